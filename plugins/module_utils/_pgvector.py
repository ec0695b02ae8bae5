"""pgvector: what its versions need of an operator, and what its source archives are. Pure but for reading an archive."""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


@dataclass(frozen=True)
class Gate:
    """A fault of all versions from `since` to below `fixed`, and what to do as long as it is there."""

    since: str
    fixed: str
    fault: str
    remedy: str


PARALLEL_BUILD = Gate(
    "0.6.0",
    "0.8.2",
    "a parallel build of an HNSW index can overflow a buffer",
    "build with max_parallel_maintenance_workers = 0",
)
VACUUM = Gate("0.5.0", "0.8.3", "vacuum can damage an HNSW index", "reindex HNSW indexes after an update")
GATES = (PARALLEL_BUILD, VACUUM)


def number(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare: 0.8.10 is newer than 0.8.9. What is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def open_gates(version: str) -> list[Gate]:
    """Return the gates whose fault a version has."""
    return [gate for gate in GATES if number(gate.since) <= number(version) < number(gate.fixed)]


def reindex_after(before: str, after: str) -> bool:
    """Return whether HNSW indexes that `before` worked on must be built again now that `after` runs."""
    return VACUUM in open_gates(before) and VACUUM not in open_gates(after)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def archive_version(path: Path) -> str:
    """Return the version that a source archive of pgvector says it has; raises StewardError when it is none."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if re.fullmatch(r"(\./)?[^/]+/vector\.control", member.name):
                    content = archive.extractfile(member)
                    match = re.search(rb"^default_version\s*=\s*'([^']+)'", content.read() if content else b"", re.M)
                    if match:
                        return match[1].decode("ascii", "replace")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise StewardError(f"{path} is no readable archive: {error}") from None
    raise StewardError(f"{path} is no source archive of pgvector: it has no vector.control")


def archive_findings(path: Path, checksum: str, version: str) -> list[str]:
    """Return what is wrong with an archive: missing, another digest than `checksum`, not pgvector, or another version of it."""
    if not path.is_file():
        return [f"{path} is no file"]
    found = digest(path)
    if found != checksum.lower():
        return [f"{path} has the SHA-256 {found}, not {checksum}"]
    try:
        holds = archive_version(path)
    except StewardError as error:
        return [str(error)]
    return [] if holds == version else [f"{path} holds pgvector {holds}, not {version}"]


def stamp(version: str, checksum: str, library: str) -> str:
    """Return the line that remembers a build: version, digest of the archive, digest of the library that came out of it."""
    return f"{version} {checksum.lower()} {library}\n"
