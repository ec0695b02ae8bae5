"""Face Recognition: persons, their face embeddings, and what was recognised; formerly on SQLite."""
