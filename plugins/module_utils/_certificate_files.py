# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and certificates in the files of one host: look, put in place, and the generated authority. What is in them is made in _certificates."""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _certificates as pem
from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

KEY_MODE, CERTIFICATE_MODE, DIRECTORY_MODE = 0o600, 0o644, 0o755


@dataclass(frozen=True)
class Files:
    """The files of one server, and the account that reads the key."""

    certificate: Path
    key: Path
    authority: Path
    owner: str


def look(files: Files, wanted: Sequence[str], days: int, dry_run: bool) -> dict[str, Any]:
    """Say whether the generated certificate is due, and make the key when there is none; return the module's result."""
    if not pem.HAS_CRYPTOGRAPHY and dry_run:
        return {"changed": True, "due": True, "reason": "python3-cryptography is to be installed first"}
    _need_library()
    found = _owned_file.read(files.certificate)
    key, authority = _owned_file.read(files.key), _owned_file.read(files.authority)
    reason = pem.due(found, key, authority, wanted, days, _now())
    if reason and not dry_run and not _readable(key):
        key = pem.new_key()
        make_directory(files.key.parent)
        _owned_file.write(files.key, key, mode=KEY_MODE, owner=_account(files.owner))
    after = f"a new certificate, because {reason}\nnames: {', '.join(wanted)}\n" if reason else pem.describe(found)
    return {
        "changed": reason is not None,
        "due": reason is not None,
        "reason": reason,
        "ends": None if reason == pem.MISSING else _end(found),
        "public_key": pem.public_text(pem.private_key(key)) if _readable(key) else None,
        "authority": authority or "",
        "diff": {"before": _described(found), "after": after, **_headers(files.certificate)},
    }


def put(files: Files, certificate: str, key: str | None, authority: str | None, dry_run: bool) -> dict[str, Any]:
    """Put certificates, and a key where one is given, in place as far as they differ; return the module's result.

    The key is written first: between two files a server goes on with what it has in memory. Raises StewardError, with nothing
    written, when key and certificate do not match.
    """
    if not (pem.HAS_CRYPTOGRAPHY or dry_run):
        _need_library()
    if pem.HAS_CRYPTOGRAPHY:
        own = pem.private_key(key or _owned_file.read(files.key))
        if pem.public_text(own) != pem.public_text(pem.certificates(certificate)[0]):
            raise StewardError(f"the certificate for {files.certificate} does not belong to its key")
    root, reader = (0, 0), _account(files.owner)
    wanted = [(files.key, key, KEY_MODE, reader), (files.certificate, certificate, CERTIFICATE_MODE, root)]
    wanted.append((files.authority, authority, CERTIFICATE_MODE, root))
    before = _owned_file.read(files.certificate)
    differing = [
        entry for entry in wanted if entry[1] is not None and not _stands(entry[0], _text(entry[1]), *entry[2:])
    ]
    if differing and not dry_run:
        make_directory(files.certificate.parent)
        for path, text, mode, owner in differing:
            _owned_file.write(path, _text(text), mode=mode, owner=owner)
    return {
        "changed": bool(differing),
        "written": [str(path) for path, _text_, _mode, _owner in differing],
        "ends": _end(certificate),
        "days_left": (pem.ends(pem.certificates(certificate)[0]) - _now()).days if pem.HAS_CRYPTOGRAPHY else None,
        "diff": {"before": _described(before), "after": _described(certificate), **_headers(files.certificate)},
    }


def issue(directory: Path, given: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Sign a certificate by the authority in `directory`, which is made or renewed when needed; return the module's result.

    given: `public_key`, `common_name`, `names`, `days`, `authority_name`, `trusted`, the authority that the server knows, and `client`, whether it
    connects to others by the certificate as well.
    """
    _need_library()
    make_directory(directory)
    key_file, certificate_file = directory / "ca.key", directory / "ca.crt"
    with _alone(directory):
        found, before = _owned_file.read(key_file), _owned_file.read(certificate_file)
        if before and not found:
            raise StewardError(
                f"{host} knows an authority by {certificate_file} and has no {key_file}: put the key of that authority there, or remove"
                f" {certificate_file} from every server to start a new one, of which all clients must be told"
            )
        key = found or pem.new_key()
        authority = pem.authority_for(key, before, given["authority_name"], given["days"], _now())
        _refuse_stranger(given["trusted"], authority, certificate_file, host)
        if key != found:
            _owned_file.write(key_file, key, mode=KEY_MODE, owner=(0, 0))
        if authority != before:
            _owned_file.write(certificate_file, authority, mode=CERTIFICATE_MODE, owner=(0, 0))
    asked = (given["public_key"], given["common_name"], given["names"], given["days"])
    signed = pem.sign(authority, key, *asked, _now(), client=given.get("client", False))
    renewed = before is not None and authority != before
    return {
        "changed": True,
        "certificate": signed,
        "authority": authority,
        "ends": _end(signed),
        "replaced_authority_ends": _end(before) if renewed else None,
    }


def make_directory(path: Path) -> None:
    """Make a directory that everybody can look into, with its parents; one that exists stays as it is."""
    for part in (*reversed(path.parents), path):
        if not part.exists():
            part.mkdir(exist_ok=True)
            part.chmod(DIRECTORY_MODE)


def _refuse_stranger(trusted: str, authority: str, path: Path, host: str) -> None:
    known = [pem.public_text(one) for one in pem.certificates(trusted)]
    if known and pem.public_text(pem.certificates(authority)[0]) not in known:
        raise StewardError(
            f"the authority on {host} is another than the one that this server and its clients know:"
            f" to change over to it, remove {path} on this server, run again, and give clients the new one"
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep out other servers' requests to the same authority, which come at the same time."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stands(path: Path, text: str, mode: int, owner: tuple[int, int]) -> bool:
    if _owned_file.read(path) != text:
        return False
    found = path.stat()
    return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, *owner)


def _text(text: str | None) -> str:
    return (text or "").strip() + "\n"


def _readable(key: str | None) -> bool:
    try:
        pem.private_key(key)
    except StewardError:
        return False
    return True


def _described(text: str | None) -> str:
    try:
        return pem.describe(text) if pem.HAS_CRYPTOGRAPHY else ""
    except StewardError as error:
        return f"{error}\n"


def _end(text: str | None) -> str | None:
    try:
        return f"{pem.ends(pem.certificates(text)[0]):%Y-%m-%d}" if pem.HAS_CRYPTOGRAPHY else None
    except (StewardError, IndexError):
        return None


def _headers(path: Path) -> dict[str, str]:
    return {"before_header": str(path), "after_header": str(path)}


def _account(name: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StewardError(f"there is no account {name}, who is to read the key") from None
    return entry.pw_uid, entry.pw_gid


def _now() -> datetime:
    return datetime.now(pem.UTC).replace(microsecond=0)


def _need_library() -> None:
    if not pem.HAS_CRYPTOGRAPHY:
        raise StewardError("the Python package cryptography is missing here: install python3-cryptography")
