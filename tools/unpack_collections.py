"""Unpack the collections that we depend on from the wheel of the `ansible` package: seconds and megabytes, not minutes and gigabytes."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

WANTED = (
    "ansible/posix",
    "community/crypto",
    "community/docker",
    "community/library_inventory_filtering_v1",  # community.docker imports it
    "community/postgresql",
)


def wanted(name: str) -> bool:
    """Tell whether the archive member `name` belongs to a wanted collection and is not one of its tests."""
    return any(
        name.startswith(f"ansible_collections/{collection}/")
        and not name.startswith(f"ansible_collections/{collection}/tests/")
        for collection in WANTED
    )


def main(wheel: str, target: str) -> None:
    """Unpack `wheel` (a file) into `target` (a directory of ANSIBLE_COLLECTIONS_PATH)."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(Path(target), members=[name for name in archive.namelist() if wanted(name)])


if __name__ == "__main__":
    main(*sys.argv[1:])
