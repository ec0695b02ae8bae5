# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of replays, kept in files of the account that runs the module, under a name that tells all they depend on.

They depend on the project's files, on the packages of its interpreter, on what env.py is told, on the live database in all that
a scratch database takes from it, and on the code that reads catalogs. What cannot be told is not kept.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _alembic
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import FORMAT

KEPT = 50  # files; the oldest go
_HASHED = 1 << 20  # bytes; of a larger file its size and its time stand for what it holds
_FILES = 20000  # a tree with more is no project
_SKIPPED = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class Cache:
    """One file, there or not. None: nothing is kept."""

    path: Path | None

    def read(self) -> Mapping[str, Any] | None:
        """Return what was kept; None when there is nothing, or nothing that we wrote."""
        if self.path is None or not _private(self.path.parent):
            return None
        try:
            held: Mapping[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return held

    def write(self, content: Mapping[str, Any]) -> None:
        """Keep content; where that cannot be done, the next run does the work again."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _private(self.path.parent):
                return
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, suffix=".new", delete=False
            ) as file:
                file.write(json.dumps(content, separators=(",", ":")))
            Path(file.name).rename(self.path)
            _prune(self.path.parent)


def find(project: Project, like: Sequence[Any], directory: str | None) -> Cache:
    """Return the file for a project and whatever else the result depends on; directory: None is the account's usual one."""
    sources = _digest_sources(project)
    if sources is None:
        return Cache(None)
    told = [project.directory, project.config, project.section, sorted(project.environment.items()), list(project.x)]
    key = json.dumps([FORMAT, _reader(), sources, told, list(like)], sort_keys=True, default=str)
    base = Path(directory) if directory else _usual()
    return Cache(base / f"history-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json")


def _usual() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "pgsteward"


def _private(directory: Path) -> bool:
    """Say whether nobody else can have put files into a directory: what is read from it decides what is stamped."""
    try:
        found = directory.stat()
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _prune(directory: Path) -> None:
    files = sorted(directory.glob("history-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[KEPT:]:
        path.unlink(missing_ok=True)


def _reader() -> str:
    """Return a digest of the code that reads catalogs."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if ".module_utils._catalog" in name or ".module_utils._canonical" in name:
            get_source = getattr(module.__spec__.loader if module.__spec__ else None, "get_source", None)
            digest.update((get_source(name) if get_source else None or "").encode())
    return digest.hexdigest()


# The project's files


def _digest_sources(project: Project) -> str | None:
    """Return a digest of all that the project's process can import as its own; None where that cannot be told."""
    scripts = _script_directories(project)
    packages = _packages(project.python)
    if scripts is None or packages is None:
        return None
    named = project.environment.get("PYTHONPATH") or os.environ.get("PYTHONPATH") or ""
    roots = [Path(project.directory), *scripts, *(Path(entry) for entry in named.split(os.pathsep) if entry)]
    digest = hashlib.sha256(json.dumps(packages).encode())
    for count, path in enumerate(_files(roots)):
        if count == _FILES:
            return None
        with contextlib.suppress(OSError):
            digest.update(str(path).encode("utf-8", "surrogateescape") + b"\0")
            found = path.stat()
            large = found.st_size > _HASHED
            digest.update(
                f"{found.st_size} {found.st_mtime_ns}".encode() if large else hashlib.sha256(path.read_bytes()).digest()
            )
    return digest.hexdigest()


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield the files below roots in order, without environments, caches and what is hidden."""
    for root in dict.fromkeys(path.resolve() for path in roots):
        for directory, names, files in os.walk(root):
            names[:] = sorted(
                name
                for name in names
                if name not in _SKIPPED
                and not name.startswith(".")
                and not Path(directory, name, "pyvenv.cfg").exists()
            )
            yield from (Path(directory, name) for name in sorted(files) if not name.endswith(".pyc"))


def _script_directories(project: Project) -> list[Path] | None:
    """Return the directories of the scripts; None where the configuration leaves that to the interpreter."""
    files = _alembic.find_config(project.directory, project.config, project.section)
    found = []
    for text in _locations(files, project.section):
        for part in text.replace("%(here)s", project.directory).split(os.pathsep):
            if ":" in part or "%" in part:  # a package, or another value of the file
                return None
            found += [Path(project.directory, word) for word in part.split()]
    # However the list is separated: what is named must be there, or it was misunderstood.
    return found if all(path.is_dir() for path in found) else None


def _locations(files: _alembic.ConfigFiles, section: str) -> Iterator[str]:
    names = ("script_location", "version_locations")
    if files.ini:
        parser = configparser.RawConfigParser()
        parser.read(files.ini, encoding="utf-8")
        # A section has the values of [DEFAULT] too.
        yield from (parser.get(section, name) for name in names if parser.has_option(section, name))
    if files.toml:
        import tomllib

        table = tomllib.loads(Path(files.toml).read_text(encoding="utf-8"))["tool"]["alembic"]
        for name in names:
            value = table.get(name)
            yield from [value] if isinstance(value, str) else value or ()


def _packages(python: str) -> list[str] | None:
    """Return the names, with versions, of the packages that an interpreter has; None where one of them lies somewhere else."""
    prefix = Path(_alembic.find_python(python)).absolute().parent.parent
    places = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")]
    places += [Path("/usr/lib/python3/dist-packages")] if prefix == Path("/usr") else []
    installed = [path for place in places for path in place.glob("*.dist-info")]
    if any(path.name.startswith("__editable__") for place in places for path in place.glob("__editable__*")):
        return None
    return sorted(path.name for path in installed)
