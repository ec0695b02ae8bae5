# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SQL around a restore that is not in the archive: missing roles, the database itself and its properties. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import PUBLIC
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import identifier, literal

HIDDEN = "(hidden)"  # what the catalog reader puts in the place of values that are secret
_ROLE = r'(?P<role>"(?:[^"]|"")+"|[^\s;"]+)'
_ABOUT = re.compile(rf"(?:CREATE|ALTER) ROLE {_ROLE}(?P<rest>.*);$", re.DOTALL)
_MEMBER = re.compile(
    r'GRANT (?P<group>"(?:[^"]|"")+"|[^\s;"]+) TO (?P<member>"(?:[^"]|"")+"|[^\s;"]+)(?P<rest>.*?)(?: GRANTED BY [^;]+)?;$'
)

_ACCOUNTS = ("role", "session_authorization")  # a session that takes them may not alter anything any more


def role_statements(text: str, missing: Collection[str], there: Collection[str]) -> list[str]:
    """Return what makes missing roles, from a dump of globals: themselves, their settings, and memberships between roles that are there.

    Who granted a membership is left out, since that role may be another one here.
    """
    found = []
    for line in text.splitlines():
        about, member = _ABOUT.match(line), _MEMBER.match(line)
        if about and _bare(about["role"]) in missing:
            found.append(line)
        elif member:
            pair = {_bare(member["group"]), _bare(member["member"])}
            if pair & set(missing) and pair <= {*missing, *there}:
                found.append(f"GRANT {member['group']} TO {member['member']}{member['rest']};")
    return found


def roles_in(text: str) -> list[str]:
    """Return the roles that a dump of globals makes."""
    return [
        _bare(match["role"])
        for line in text.splitlines()
        if line.startswith("CREATE ROLE ") and (match := _ABOUT.match(line))
    ]


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def create_database(name: str, properties: Mapping[str, Any], server_major: int) -> str:
    """Return the statement that makes an empty database of the same encoding and locale."""
    words = [f"CREATE DATABASE {identifier(name)} TEMPLATE template0"]
    if properties.get("encoding"):
        words.append(f"ENCODING {literal(properties['encoding'])}")
    locale = properties.get("locale") or {}
    provider = locale.get("provider", "libc")
    if provider != "libc":
        words.append(f"LOCALE_PROVIDER {literal(provider)}")
    for key, word in (("collate", "LC_COLLATE"), ("ctype", "LC_CTYPE")):
        if locale.get(key):
            words.append(f"{word} {literal(locale[key])}")
    if locale.get("locale"):
        words.append(f"{'BUILTIN' if provider == 'builtin' else 'ICU'}_LOCALE {literal(locale['locale'])}")
    if locale.get("rules") and server_major >= 16:
        words.append(f"ICU_RULES {literal(locale['rules'])}")
    return " ".join(words)


def property_statements(
    name: str, properties: Mapping[str, Any], owner: bool = True, roles: Collection[str] = ()
) -> list[str]:
    """Return what gives a database its owner, privileges, settings, limit and comment. roles: those of the server; others are skipped.

    owner False leaves owner and privileges as they are.
    """
    database, found = identifier(name), []
    if owner and properties.get("owner") in roles:
        found.append(f"ALTER DATABASE {database} OWNER TO {identifier(properties['owner'])}")
    if owner and properties.get("privileges") is not None:
        found += _privileges(database, properties, roles)
    for setting, value in (properties.get("settings") or {}).items():
        found += _setting(f"ALTER DATABASE {database}", setting, value)
    for role, settings in (properties.get("role_settings") or {}).items():
        if role in roles:
            for setting, value in settings.items():
                found += _setting(f"ALTER ROLE {identifier(role)} IN DATABASE {database}", setting, value)
    if "connection_limit" in properties:
        found.append(f"ALTER DATABASE {database} CONNECTION LIMIT {int(properties['connection_limit'])}")
    if properties.get("comment"):
        found.append(f"COMMENT ON DATABASE {database} IS {literal(properties['comment'])}")
    return found


def _privileges(database: str, properties: Mapping[str, Any], roles: Collection[str]) -> Iterator[str]:
    """Yield what makes the privileges those which are listed; the owner has what an owner has."""
    yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
    for whom, words in properties["privileges"].items():
        if whom != PUBLIC and whom not in roles:
            continue
        to = PUBLIC if whom == PUBLIC else identifier(whom)
        for star, option in (("", ""), ("*", " WITH GRANT OPTION")):
            listed = [word.removesuffix("*") for word in words if word.endswith("*") == bool(star)]
            if listed:
                yield f"GRANT {', '.join(listed)} ON DATABASE {database} TO {to}{option}"


def _setting(altered: str, setting: str, value: str) -> list[str]:
    """Return the statement that keeps a setting, by way of the session: so lists and odd values are what they were."""
    if value == HIDDEN:
        return []
    parts = setting.split(".")
    name = ".".join(identifier(part) for part in parts)
    if setting in _ACCOUNTS:
        return [f"{altered} SET {name} = {literal(value)}"]
    taken = f"PERFORM pg_catalog.set_config({literal(setting)}, {literal(value)}, true)"
    return [f"DO $steward$ BEGIN {taken}; {altered} SET {name} FROM CURRENT; END $steward$"]


def missing_of(wanted: Sequence[str], there: Collection[str]) -> list[str]:
    """Return the names that are not there, in order."""
    return [name for name in wanted if name not in there]
