# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that say which data directory is to follow which primary."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: a data directory here, and how to log in to the primary."""

    DOCUMENTATION = r"""
options:
  data_directory:
    description: The data directory.
    type: path
    required: true
  bin_directory:
    description: Directory of the server's programs, of the same major version.
    type: path
    required: true
  host:
    description: Address of the primary.
    type: str
    required: true
  port:
    description: Port of the primary.
    type: int
    default: 5432
  user:
    description: Account of replication. It may read the primary's files.
    type: str
    required: true
  pass_file:
    description: File with its password, readable for O(owner).
    type: path
    required: true
  owner:
    description: The operating system's account that owns the data.
    type: str
    default: postgres
"""
