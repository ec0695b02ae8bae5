"""Building pgvector out of a source archive for one installed server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgvector
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


@dataclass(frozen=True)
class Build:
    """One build: which archive, for which server. development_package is unpacked for the build when it is named, not installed."""

    archive: Path
    checksum: str
    version: str
    pg_config: Path
    development_package: str | None
    stamp: Path


def apply(build: Build, dry_run: bool) -> dict[str, Any]:
    """Build and install unless the stamp says that it was done and the library is what came out of it.

    Raises StewardError with everything as before when the archive is another one, or does not build.
    """
    target = Path(ask(build.pg_config, "--pkglibdir")) / "vector.so"
    if _is_done(build, target):
        return {"changed": False}
    if dry_run:
        return {"changed": True}
    wrong = _pgvector.archive_findings(build.archive, build.checksum, build.version)
    if wrong:
        raise StewardError(wrong[0])
    # /tmp may be mounted without the right to run programs from it.
    build.stamp.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=build.stamp.parent, prefix="build-") as directory,
        _toolchain(build, Path(directory) / "server") as (pg_config, prefix),
    ):
        _install(build, Path(directory), pg_config, prefix)
    build.stamp.write_text(_pgvector.stamp(build.version, build.checksum, _pgvector.digest(target)))
    return {"changed": True}


def _is_done(build: Build, library: Path) -> bool:
    try:
        return build.stamp.read_text() == _pgvector.stamp(build.version, build.checksum, _pgvector.digest(library))
    except OSError:
        return False


def ask(pg_config: Path, what: str) -> str:
    """Return what pg_config says."""
    return execute([str(pg_config), what]).strip()


def execute(command: list[str], directory: Path | None = None) -> str:
    """Return what a command prints; raises StewardError with its last lines when it fails."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    environment |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    try:
        outcome = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=1800, cwd=directory, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StewardError(f"{command[0]} cannot be run: {error}") from None
    if outcome.returncode:
        lines = [line.strip() for line in (outcome.stderr or outcome.stdout).splitlines() if line.strip()]
        raise StewardError(f"{' '.join(command[:2])} failed: {' / '.join(lines[-3:])}")
    return outcome.stdout


@contextmanager
def _toolchain(build: Build, directory: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a pg_config that finds headers and makefiles, and the prefix by which its paths are off.

    Debian's package of the headers depends on a compiler suite of its own (a gigabyte) that this build does not need: it is unpacked
    beside the installed server's parts. pg_config works out its paths from where it stands itself.
    """
    if not build.development_package:
        yield build.pg_config, Path("/")
        return
    directory.mkdir()
    options = ["-qq", "-o", "APT::Sandbox::User=root"]
    execute(["apt-get", *options, "download", build.development_package], directory)
    for package in directory.glob("*.deb"):
        execute(["dpkg-deb", "-x", str(package), str(directory)])
    makefiles = Path(ask(build.pg_config, "--pgxs")).parents[2]
    for source in (build.pg_config, makefiles):
        copy = directory / source.relative_to("/")
        if source.is_dir():
            shutil.copytree(source, copy, dirs_exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    yield directory / build.pg_config.relative_to("/"), directory


def _install(build: Build, directory: Path, pg_config: Path, prefix: Path) -> None:
    source, stage = directory / "source", directory / "stage"
    source.mkdir()
    execute(["tar", "-xf", str(build.archive), "-C", str(source), "--strip-components=1", "--no-same-owner"])
    # Without OPTFLAGS the code runs on any processor of this architecture, also on a standby that is older than the build host.
    make = ["make", "-C", str(source), f"PG_CONFIG={pg_config}", "OPTFLAGS=", "with_llvm=no"]
    execute([*make, f"-j{os.cpu_count() or 1}"])
    execute([*make, "install", f"DESTDIR={stage}"])
    for what in ("--pkglibdir", "--sharedir"):
        made = Path(ask(pg_config, what))
        root = stage / made.relative_to("/")
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            _replace(file, Path("/") / made.relative_to(prefix) / file.relative_to(root))


def _replace(source: Path, target: Path) -> None:
    """Put a file in place in one step; whoever has the former one open keeps it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.pgsteward")
    shutil.copyfile(source, staged)
    staged.chmod(0o755 if source.suffix == ".so" else 0o644)
    staged.replace(target)
