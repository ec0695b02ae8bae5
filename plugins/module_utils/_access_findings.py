# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the inputs of the role pg_access, as far as the inputs alone can tell. Pure.

Types are the business of the role's specification; what has a wrong type is passed over here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._access import (
    FLAGS,
    PATTERN,
    PRIVILEGES,
    Item,
    expand,
    has_pattern,
    is_present,
    moment,
    pattern_roles,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import PUBLIC

MAX_BYTES = 63  # NAMEDATALEN - 1: the server cuts longer names off and goes on
KEYS: Mapping[str, Sequence[str]] = {
    "databases": (
        *("name", "state", "pattern", "owner", "adopt_from", "connection_limit", "settings", "schemas", "extensions"),
        *("encoding", "locale", "locale_provider", "icu_locale"),
    ),
    "roles": (
        *("name", "state", *FLAGS, "connection_limit", "valid_until", "member_of", "settings", "password"),
        "reassign_to",
    ),
    "privileges": ("database", "role", "privileges", "type", "schema", "objects", "state"),
    "schemas": ("name", "owner", "state"),
    "extensions": ("name", "schema", "version", "state"),
}
_RESERVED_ROLES = (PUBLIC, "none", "current_role", "current_user", "session_user")
PROVIDERS = ("libc", "icu", "builtin")
_TEMPLATES = ("template0", "template1")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def findings(inputs: Item) -> list[str]:
    """Return one line for each finding, the variable first; no line holds a secret.

    inputs: databases, roles, passwords, privileges, superuser and confirm, as the role's variables have them.
    """
    if not _sound_types(inputs):
        return []
    shape = list(_shape_findings(inputs))
    # What follows reads names that are known to be there only now.
    return shape or [
        *_database_findings(inputs),
        *_role_findings(inputs),
        *_privilege_findings(inputs),
        *_password_findings(inputs),
    ]


def _sound_types(inputs: Item) -> bool:
    lists = [inputs["databases"], inputs["roles"], inputs["privileges"]]
    inner = [
        item.get(key) for item in _mappings(inputs["databases"]) for key in ("schemas", "extensions", "adopt_from")
    ]
    inner += [item.get("member_of") for item in _mappings(inputs["roles"])]
    inner += [item.get(key) for item in _mappings(inputs["privileges"]) for key in ("privileges", "objects")]
    settings = [item.get("settings") for key in ("databases", "roles") for item in _mappings(inputs[key])]
    return (
        all(isinstance(value, list) for value in lists)
        and all(value is None or isinstance(value, list) for value in inner)
        and all(value is None or isinstance(value, Mapping) for value in settings)
        and isinstance(inputs["passwords"], Mapping)
    )


def _mappings(value: Any) -> list[Item]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _shape_findings(inputs: Item) -> Iterator[str]:
    """Yield what keeps an item from being read at all: no mapping, unknown keys, no name."""
    for kind in ("databases", "roles", "privileges"):
        names = ("database", "role", "privileges") if kind == "privileges" else ("name",)
        yield from _items_findings(f"pg_access_{kind}", kind, inputs[kind], names)
    for item in _mappings(inputs["databases"]):
        for kind in ("schemas", "extensions"):
            where = f"pg_access_databases: {item.get('name', 'an item')}: {kind}"
            yield from _items_findings(where, kind, item.get(kind) or [], ("name",))


def _items_findings(where: str, kind: str, items: Iterable[Any], required: Iterable[str]) -> Iterator[str]:
    for position, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            yield f"{where}: item {position} is no mapping: write - name: …"
            continue
        label = str(item.get("name") or f"item {position}")
        for key in item:
            if key not in KEYS[kind]:
                yield f"{where}: {label} has the unknown key {key}; known are {', '.join(sorted(KEYS[kind]))}"
        for key in required:
            if not item.get(key):
                yield f"{where}: item {position} has no {key}"
        if item.get("state", "present") not in ("present", "absent"):
            yield f"{where}: {label} has state {item['state']}; known are present and absent"


def _name_findings(where: str, names: Iterable[str]) -> Iterator[str]:
    counted = Counter(str(name) for name in names)
    for name, count in counted.items():
        if count > 1:
            yield f"{where}: {name} is listed {count} times"
        if len(name.encode()) > MAX_BYTES:
            yield f"{where}: {name} is longer than {MAX_BYTES} bytes"
        if not name.isprintable():
            yield f"{where}: {name!a} holds characters that cannot be printed"


def _database_findings(inputs: Item) -> Iterator[str]:
    where = "pg_access_databases"
    yield from _name_findings(where, (item["name"] for item in inputs["databases"]))
    for item in inputs["databases"]:
        name = str(item["name"])
        if name in _TEMPLATES:
            yield f"{where}: {name} is a template of the server, not a database to manage"
        if item.get("pattern", "standard") not in ("standard", "none"):
            yield f"{where}: {name} has pattern {item['pattern']}; known are standard and none"
        elif is_present(item) and has_pattern(item):
            yield from _pattern_findings(where, item)
        owner = f"{name}_owner" if has_pattern(item) else item.get("owner")
        if item.get("adopt_from") and not owner:
            yield f"{where}: {name} has adopt_from, but no owner who would get those objects: name one in owner"
        elif owner in (item.get("adopt_from") or ()):
            yield f"{where}: {name} has {owner} in adopt_from, who is the owner already"
        if item.get("locale_provider", "libc") not in PROVIDERS:
            yield f"{where}: {name} has locale_provider {item['locale_provider']}; known are {', '.join(PROVIDERS)}"
        for kind in ("schemas", "extensions"):
            yield from _name_findings(f"{where}: {name}: {kind}", (entry["name"] for entry in item.get(kind) or []))
        for entry in item.get("schemas") or []:
            if str(entry["name"]).startswith("pg_") or entry["name"] == "information_schema":
                yield f"{where}: {name}: schema {entry['name']} belongs to the server"
        yield from _setting_findings(f"{where}: {name}", item)


def _pattern_findings(where: str, item: Item) -> Iterator[str]:
    name = str(item["name"])
    longest = f"{name}_{max(PATTERN, key=len)}"
    if len(longest.encode()) > MAX_BYTES >= len(name.encode()):
        yield f"{where}: {name} makes the role {longest}, longer than {MAX_BYTES} bytes: shorten it or say pattern: none"
    if item.get("owner"):
        yield f"{where}: {name} is owned by {name}_owner, so owner is not used: say pattern: none as well, or leave it out"
    if name.startswith("pg_"):
        yield f"{where}: {name} would make roles that start with pg_, which the server reserves: say pattern: none"


def _setting_findings(where: str, item: Item) -> Iterator[str]:
    for setting in item.get("settings") or {}:
        if not _SETTING.fullmatch(str(setting)):
            yield f"{where}: {setting} is no name of a setting"


def _role_findings(inputs: Item) -> Iterator[str]:
    where = "pg_access_roles"
    yield from _name_findings(where, (item["name"] for item in inputs["roles"]))
    made = _made_by_patterns(inputs)
    for item in inputs["roles"]:
        name = str(item["name"])
        if name in _RESERVED_ROLES or name.startswith("pg_"):
            yield f"{where}: {name} is a name that the server reserves"
        if not is_present(item) and name in made:
            yield f"{where}: {name} is to be absent, but the pattern of database {made[name]} makes it"
        if not is_present(item) and name == inputs["superuser"]:
            yield f"{where}: {name} is the superuser that this role logs in as, and cannot be dropped"
        if item.get("reassign_to") and is_present(item):
            yield f"{where}: {name} has reassign_to, which belongs to state: absent"
        if name in (item.get("member_of") or []):
            yield f"{where}: {name} cannot be a member of itself"
        yield from _moment_findings(where, item)
        yield from _setting_findings(f"{where}: {name}", item)


def _moment_findings(where: str, item: Item) -> Iterator[str]:
    try:
        moment(item.get("valid_until"))
    except ValueError:
        yield f"{where}: {item['name']} has valid_until {item['valid_until']}: write 2027-01-31T00:00:00Z or infinity"


def _made_by_patterns(inputs: Item) -> dict[str, str]:
    """Return the role names that patterns make, with their databases."""
    databases = [str(item["name"]) for item in inputs["databases"] if is_present(item) and has_pattern(item)]
    return {role.name: database for database in databases for role in pattern_roles(database)}


def _privilege_findings(inputs: Item) -> Iterator[str]:
    where = "pg_access_privileges"
    databases = {item["name"] for item in inputs["databases"] if is_present(item)}
    for position, item in enumerate(inputs["privileges"], start=1):
        label, kind = f"{where}: item {position}", item.get("type", "table")
        if item["database"] not in databases:
            yield f"{label} names the database {item['database']}, which pg_access_databases does not list"
        if kind not in PRIVILEGES:
            yield f"{label} has type {kind}; known are {', '.join(PRIVILEGES)}"
            continue
        for privilege in item["privileges"]:
            if str(privilege).upper() not in PRIVILEGES[kind]:
                yield f"{label} wants {privilege} on a {kind}; there are {', '.join(PRIVILEGES[kind])}"
        if item.get("objects") is not None and kind in ("database", "schema"):
            yield f"{label} has objects, which a {kind} does not hold"
        if item.get("schema") and kind == "database":
            yield f"{label} has a schema, which type: database has no use for"


def _password_findings(inputs: Item) -> Iterator[str]:
    where, passwords = "pg_access_passwords", inputs["passwords"]
    wanted = expand(inputs)
    for role in wanted.roles:
        if role.needs_password and role.name not in passwords:
            yield f"{where} has no entry for {role.name}: add its password to the vault, or say password: false in pg_access_roles"
    known = {role.name for role in wanted.roles if role.present}
    for name, password in passwords.items():
        if name not in known:
            yield f"{where} has an entry for {name}, a role that is neither listed in pg_access_roles nor made by a pattern"
        elif not isinstance(password, str):
            yield f"{where}: the entry for {name} is no text: put it in quotes"
        elif not password.strip():
            yield f"{where}: the entry for {name} is empty"
        elif "\0" in password:
            yield f"{where}: the entry for {name} holds a NUL character"
        elif password.lower() == str(name).lower():
            yield f"{where}: the password of {name} is the name of the role: choose another"
        elif re.fullmatch(r"md5[0-9a-f]{32}", password):
            yield f"{where}: the entry for {name} is an MD5 hash, which is no longer safe: give the password itself"
