# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands of a host that work as the account of its server."""

from __future__ import annotations

import os
import pwd

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


class RefusedError(StewardError):
    """A wish that is not even begun."""


def become(account: str, role: str) -> None:
    """Go on as an account; root may, and everybody else has to be it already. role: who has named it. Raises RefusedError."""
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        raise RefusedError(
            f"there is no account {account}: the role {role} wants the one that the server runs as"
        ) from None
    if os.geteuid() == 0 and entry.pw_uid != 0:
        os.initgroups(account, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ["HOME"] = entry.pw_dir
    elif os.geteuid() != entry.pw_uid:
        raise RefusedError(f"run this as root, or as {account}")
