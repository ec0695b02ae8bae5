# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Passwords of roles: which of them the server does not have, and setting those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _scram
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    import psycopg

# A verifier is no secret to log in with, but what is guessed offline starts from one: it stays out of logs and statistics.
# A name with a dot that no loaded library knows is accepted and has no effect.
_SILENCE: Mapping[str, str] = {
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "track_activities": "off",
    "pg_stat_statements.track_utility": "off",
    "pgaudit.log": "none",
}


def set_passwords(connection: psycopg.Connection[Any], passwords: Mapping[str, Any], *, dry_run: bool) -> list[str]:
    """Set the passwords that do not belong to the stored verifiers; return their roles, sorted.

    connection is in autocommit mode and belongs to a superuser. Raises StewardError for a role that does not exist, unless
    dry_run; before anything is set.
    """
    for role, password in passwords.items():
        if not isinstance(password, str) or not password or "\0" in password:
            raise StewardError(f"passwords: the entry for {role} is empty or no text: put a password there, in quotes")
    stored = _read_verifiers(connection, list(passwords))
    missing = sorted(set(passwords) - set(stored))
    if missing and not dry_run:
        raise StewardError(
            f"passwords: role {missing[0]} does not exist: make it first, or take its entry away", missing=missing
        )
    roles = sorted(role for role, password in passwords.items() if not _scram.matches(password, stored.get(role)))
    if roles and not dry_run:
        _store(connection, {role: passwords[role] for role in roles})
    return roles


def _read_verifiers(connection: psycopg.Connection[Any], roles: list[str]) -> dict[str, str | None]:
    import psycopg

    try:
        rows = connection.execute(
            "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = ANY (%s::pg_catalog.text[])",
            (roles,),
        ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        rows = None
    if rows is None:
        raise StewardError(f"login_user {connection.info.user} may not read verifiers: log in as a superuser")
    return dict(rows)


def _store(connection: psycopg.Connection[Any], passwords: Mapping[str, str]) -> None:
    import psycopg
    from psycopg import sql

    verifiers = {role: _verifier(connection, role, password) for role, password in passwords.items()}
    # The session is ours alone and ends soon. A transaction is sampled for the log as it begins, so the silence begins before it.
    connection.execute(
        "SELECT pg_catalog.set_config(name, setting, false) FROM pg_catalog.jsonb_each_text(%s::pg_catalog.jsonb) AS s (name, setting)",
        (json.dumps(_SILENCE),),
    )
    failure = ""
    try:
        with connection.transaction():
            for role, verifier in verifiers.items():
                statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
                connection.execute(statement)
    except psycopg.Error as error:
        # The statement holds a verifier; the server's own sentence does not.
        failure = error.diag.message_primary or type(error).__name__
    if failure:
        raise StewardError(f"passwords: the server refuses to set them, and none is set: {failure}")


def _verifier(connection: psycopg.Connection[Any], role: str, password: str) -> str:
    if _scram.parse(password):
        return password
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode("ascii")
