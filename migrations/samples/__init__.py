"""Sample data for the five systems: realistic, of any size, and the same rows for the same seed on every machine.

For tests and demonstrations only, and apart from the histories: a production host needs nothing of this package.
"""
