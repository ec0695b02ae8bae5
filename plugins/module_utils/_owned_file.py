# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that the collection owns whole: read, replaced in one step, and put back as they were."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NEW_FILE_MODE = 0o640


def read(path: Path) -> str | None:
    """Return what the file holds, None when there is none.

    Bytes that are not UTF-8 become surrogates, which write() turns back; see readable(). Raises StewardError when there is
    something that cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StewardError(f"cannot read {path}: {error.strerror}") from None


def readable(text: str | None) -> str:
    """Return text that read() gave in a form fit for output: an empty one for no file, replacement characters for odd bytes."""
    return (text or "").encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def modified(path: Path) -> int | None:
    """Return when the file was last written, in nanoseconds since 1970, None when there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def refuse_unwritable(path: Path) -> None:
    """Raise StewardError when write() could not replace the file with its owner kept; for check mode too."""
    path, account = Path(os.path.realpath(path)), os.geteuid()
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StewardError(f"cannot replace {path}: {_account(account)} must be able to write to {path.parent}")
    owner = path.stat().st_uid if path.exists() else account
    if account not in (0, owner):
        raise StewardError(f"cannot replace {path}: it belongs to {_account(owner)}; give it to {_account(account)}")


def write(
    path: Path,
    text: str,
    when: int | None = None,
    *,
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Replace the file in one step: whoever reads it sees the old text or the new one, whole, also after a loss of power.

    Owner and mode stay, and the group where the account may give a file to it; a new file belongs to the account and has
    NEW_FILE_MODE. A symbolic link stays one. when: the time of modification to give it, in nanoseconds. mode, owner (numbers of
    user and group): what the file is to have whatever it had. Raises StewardError with the old file in place.
    """
    refuse_unwritable(path)
    path, beside = Path(os.path.realpath(path)), None
    try:
        found = path.stat() if path.exists() else None
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", errors="surrogateescape"))
            stream.flush()
            if owner:
                os.fchown(descriptor, *owner)
            elif found and os.geteuid() == 0:
                os.fchown(descriptor, found.st_uid, found.st_gid)
            elif found:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, -1, found.st_gid)
            kept = stat.S_IMODE(found.st_mode) if found else NEW_FILE_MODE
            os.fchmod(descriptor, kept if mode is None else mode)
            os.fsync(descriptor)
            if when is not None:
                os.utime(descriptor, ns=(when, when))
        beside.replace(path)
        beside = None
        _sync_directory(path.parent)
    except OSError as error:
        raise StewardError(f"cannot write {path}: {error.strerror}") from None
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def restore(path: Path, before: str | None, when: int | None = None) -> None:
    """Put back what read() and modified() gave before a write; None removes the file."""
    if before is None:
        path.unlink(missing_ok=True)
    else:
        write(path, before, when)


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"account {number}"


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
