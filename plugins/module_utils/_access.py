# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role pg_access wants, and the statements that lead there from what a server has. Pure.

expand() turns the inputs of the role into records, the five roles of the pattern included. plan() compares them with
what the catalog queries of the role have read, and answers with statements for what differs. Names and values are quoted
here; no statement carries a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._access_exclusive import (
    GRANT_OPTION,
    surplus_inside,
    surplus_memberships,
    unlisted,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import PUBLIC, grantee, identifier, literal

Item = Mapping[str, Any]
Privileges = Mapping[str, Sequence[str]]  # role (PUBLIC for everyone) -> privileges

DATABASE_OWNER = "pg_database_owner"  # since version 15 owner of schema public: whoever owns the database
PATTERN = ("owner", "migrator", "app", "readonly", "monitor")
NEWEST = 180000
UNLIMITED = -1

PRIVILEGES: Mapping[str, tuple[str, ...]] = {
    "database": ("CONNECT", "CREATE", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
}
FLAGS: Mapping[str, tuple[str, str]] = {
    name: (name.upper(), f"NO{name.upper()}")
    for name in ("login", "superuser", "createdb", "createrole", "inherit", "replication", "bypassrls")
}
# What stands above every privilege. A role of the pattern has it only where its own item says so.
POWERS = ("superuser", "createdb", "createrole", "replication", "bypassrls")
# These settings are lists of names, which the server quotes one by one (GUC_LIST_QUOTE in guc_tables.c).
LISTS = frozenset(("local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"))


@dataclass(frozen=True)
class Role:
    """A role. attributes, settings and memberships hold only what is to be managed."""

    name: str
    present: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    member_of: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_in: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # database -> settings
    password: bool = True
    reassign_to: str | None = None

    @property
    def needs_password(self) -> bool:
        """Whether the role logs in, and by a password."""
        return self.present and self.password and self.attributes.get("login") is True


@dataclass(frozen=True)
class Grant:
    """Privileges for a role. objects is None for all that a schema holds, now and later."""

    kind: str
    role: str
    privileges: tuple[str, ...]
    schema: str = PUBLIC
    objects: tuple[str, ...] | None = None
    present: bool = True


@dataclass(frozen=True)
class Schema:
    """A schema; without an owner, whoever owns it."""

    name: str
    present: bool = True
    owner: str | None = None


@dataclass(frozen=True)
class Extension:
    """An extension; version is a name, `latest`, or None for whichever there is."""

    name: str
    present: bool = True
    schema: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Database:
    """A database with all that is wanted inside it. creation holds what can be chosen only when it is made."""

    name: str
    present: bool = True
    owner: str | None = None
    adopt_from: frozenset[str] = frozenset()  # whose objects in the schemas become the owner's
    connection_limit: int | None = None
    creation: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    schemas: tuple[Schema, ...] = ()
    extensions: tuple[Extension, ...] = ()
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """All that the inputs ask for."""

    roles: tuple[Role, ...]
    databases: tuple[Database, ...]
    superuser: str
    confirmed: frozenset[str]
    exclusive: bool = False

    def scope(self) -> dict[str, list[str]]:
        """Return the names that the catalog queries have to look at."""
        mentioned = {name for name, _where in _mentioned_roles(self)} | {role.name for role in self.roles}
        return {
            "roles": sorted(mentioned),
            "dropped": sorted(role.name for role in self.roles if not role.present),
            "handed_over": sorted({name for database in self.databases for name in database.adopt_from}),
            "databases": sorted(database.name for database in self.databases),
            "schemas": sorted({name for database in self.databases for name in _mentioned_schemas(database)}),
        }


@dataclass
class Plan:
    """What to do, in the order of the fields.

    The statements of cluster and of final are one transaction each, and so are those of each database; create and drop
    hold statements that run outside of transactions.
    """

    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    cluster: list[str] = field(default_factory=list)
    create: list[str] = field(default_factory=list)
    databases: list[dict[str, Any]] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    final: list[str] = field(default_factory=list)

    def inside(self, database: str, statements: Iterable[str]) -> None:
        """Add statements that have to run in a database, behind those that are there for it."""
        added = list(statements)
        if not added:
            return
        for entry in self.databases:
            if entry["name"] == database:
                entry["statements"] += added
                return
        self.databases.append({"name": database, "statements": added})

    def lines(self) -> list[str]:
        """Return the plan for people: one line a step, with the database that it runs in."""
        return [
            *self.cluster,
            *self.create,
            *(f"{entry['name']}: {text}" for entry in self.databases for text in entry["statements"]),
            *self.drop,
            *self.final,
        ]


# From the inputs to records


def expand(inputs: Item) -> Wanted:
    """Return what the inputs want: keys databases, roles, privileges, superuser, confirm, exclusive, as the role has them."""
    databases = [_database(item, inputs["privileges"]) for item in inputs["databases"]]
    roles: dict[str, Role] = {}
    for item in inputs["databases"]:
        if is_present(item) and has_pattern(item):
            roles.update({role.name: role for role in pattern_roles(item["name"])})
    for item in inputs["roles"]:
        role = _role(item)
        roles[role.name] = _merged(roles[role.name], role) if role.name in roles else role
    confirm = str(inputs.get("confirm") or "")
    confirmed = frozenset((confirm, *(name.strip() for name in confirm.split(",")))) - {""}
    return Wanted(
        tuple(roles.values()), tuple(databases), inputs["superuser"], confirmed, bool(inputs.get("exclusive"))
    )


def is_present(item: Item) -> bool:
    """Tell whether an item is to exist."""
    return bool(item.get("state", "present") == "present")


def has_pattern(item: Item) -> bool:
    """Tell whether a database item gets the five roles."""
    return bool(item.get("pattern", "standard") == "standard")


def pattern_roles(database: str) -> tuple[Role, ...]:
    """Return the five roles of a database: owner, migrator, app, readonly, monitor."""
    owner, migrator, app, readonly, monitor = (f"{database}_{suffix}" for suffix in PATTERN)
    powerless = dict.fromkeys(POWERS, False)
    login = {"login": True, **powerless}
    return (
        Role(owner, attributes={"login": False, **powerless}),
        # What a migration makes belongs to the owner, whose default privileges then serve the others.
        Role(migrator, attributes=login, member_of=(owner,), settings_in={database: {"role": owner}}),
        Role(app, attributes=login),
        Role(readonly, attributes=login),
        Role(monitor, attributes=login, member_of=("pg_monitor",)),
    )


def pattern_grants(database: str, schemas: Iterable[str]) -> tuple[Grant, ...]:
    """Return the privileges of the five roles, and what everyone loses."""
    app, readonly, monitor = (f"{database}_{suffix}" for suffix in PATTERN[2:])
    grants = [Grant("database", role, ("CONNECT",)) for role in (app, readonly, monitor)]
    grants.append(Grant("database", PUBLIC, ("CONNECT", "TEMPORARY"), present=False))
    for schema in schemas:
        grants += [
            Grant("schema", PUBLIC, ("CREATE",), schema, present=False),
            Grant("schema", app, ("USAGE",), schema),
            Grant("schema", readonly, ("USAGE",), schema),
            Grant("table", app, ("SELECT", "INSERT", "UPDATE", "DELETE"), schema),
            Grant("table", readonly, ("SELECT",), schema),
            Grant("sequence", app, ("USAGE", "SELECT"), schema),
            Grant("sequence", readonly, ("SELECT",), schema),
            Grant("function", app, ("EXECUTE",), schema),
        ]
    return tuple(grants)


def _database(item: Item, privileges: Iterable[Item]) -> Database:
    name, pattern = item["name"], has_pattern(item)
    owner = f"{name}_owner" if pattern else item.get("owner")
    listed = {entry["name"]: entry for entry in item.get("schemas") or []}
    if pattern:
        listed = {PUBLIC: {"name": PUBLIC}, **listed}
    schemas = tuple(
        Schema(key, is_present(entry), entry.get("owner") or (owner if pattern else None))
        for key, entry in listed.items()
    )
    grants = pattern_grants(name, (schema.name for schema in schemas if schema.present)) if pattern else ()
    extensions = (
        Extension(entry["name"], is_present(entry), entry.get("schema"), entry.get("version"))
        for entry in item.get("extensions") or []
    )
    creation = {key: item[key] for key in ("encoding", "locale_provider", "locale", "icu_locale") if item.get(key)}
    if "icu_locale" in creation:
        creation.setdefault("locale_provider", "icu")
    return Database(
        name=name,
        present=is_present(item),
        owner=owner,
        adopt_from=frozenset(item.get("adopt_from") or ()),
        connection_limit=item.get("connection_limit"),
        creation=creation,
        settings=item.get("settings") or {},
        schemas=schemas,
        extensions=tuple(extensions),
        grants=(*grants, *(_grant(entry) for entry in privileges if entry["database"] == name)),
    )


def _grant(item: Item) -> Grant:
    objects = item.get("objects")
    return Grant(
        kind=item.get("type", "table"),
        role=item["role"],
        privileges=tuple(privilege.upper() for privilege in item["privileges"]),
        schema=item.get("schema") or PUBLIC,
        objects=None if objects is None else tuple(objects),
        present=is_present(item),
    )


def _role(item: Item) -> Role:
    names = (*FLAGS, "connection_limit", "valid_until")
    return Role(
        name=item["name"],
        present=is_present(item),
        attributes={key: item[key] for key in names if item.get(key) is not None},
        member_of=tuple(item.get("member_of") or ()),
        settings=item.get("settings") or {},
        password=bool(item.get("password", True)),
        reassign_to=item.get("reassign_to"),
    )


def _merged(pattern: Role, listed: Role) -> Role:
    """Return a role of the pattern with what its own item adds or changes."""
    return Role(
        name=listed.name,
        present=listed.present,
        attributes={**pattern.attributes, **listed.attributes},
        member_of=tuple(dict.fromkeys((*pattern.member_of, *listed.member_of))),
        settings=listed.settings,
        settings_in=pattern.settings_in,
        password=listed.password,
        reassign_to=listed.reassign_to,
    )


def _mentioned_roles(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Yield each role that something wanted leans on, with the place of the mention."""
    for role in wanted.roles:
        if role.reassign_to:
            yield role.reassign_to, f"pg_access_roles: {role.name} hands its objects to"
        if role.present:
            for group in role.member_of:
                yield group, f"pg_access_roles: {role.name} is to be a member of"
    for database in wanted.databases:
        if not database.present:
            continue
        if database.owner:
            yield database.owner, f"pg_access_databases: {database.name} is to be owned by"
        for schema in database.schemas:
            if schema.present and schema.owner:
                yield schema.owner, f"pg_access_databases: schema {schema.name} of {database.name} is to be owned by"
        for grant in database.grants:
            if grant.present and grant.role != PUBLIC:
                yield grant.role, f"pg_access_privileges: database {database.name} names"


def _mentioned_schemas(database: Database) -> set[str]:
    schemas = {schema.name for schema in database.schemas}
    schemas |= {extension.schema for extension in database.extensions if extension.schema}
    return schemas | {grant.schema for grant in database.grants if grant.kind != "database"}


# From records and the server's state to a plan


def plan(wanted: Wanted, cluster: Item, databases: Mapping[str, Item]) -> Plan:
    """Return what differs between the wanted and the observed state.

    cluster and databases are the answers of cluster.sql and database.sql; cluster is empty where no server runs yet.
    """
    result = Plan()
    if cluster.get("in_recovery"):
        result.notices.append("this server is a standby: roles, databases and privileges come from its primary")
        return result
    result.problems += _problems(wanted, cluster, databases)
    settings = _observed_settings(cluster)
    for role in wanted.roles:
        if role.present:
            result.cluster += _role_statements(role, cluster, settings)
    for role in wanted.roles:
        if role.present:
            result.cluster += _membership_statements(role, cluster)
    if wanted.exclusive:
        result.cluster += surplus_memberships(wanted, cluster)
        result.notices += unlisted(wanted, cluster)
    for database in wanted.databases:
        exists = database.name in cluster.get("databases", {})
        if not database.present:
            result.drop += [f"DROP DATABASE {identifier(database.name)}"] if exists else []
            continue
        if not exists:
            result.create.append(_creation(database))
        _plan_inside(result, database, wanted, cluster, databases.get(database.name), settings)
    for role in wanted.roles:
        if not role.present and role.name in cluster.get("roles", {}):
            _plan_role_drop(result, role, wanted, cluster)
    return result


def _version(cluster: Item) -> int:
    return int(cluster.get("version", NEWEST))


def _plan_inside(
    result: Plan, database: Database, wanted: Wanted, cluster: Item, inside: Item | None, settings: Mapping[Any, Item]
) -> None:
    owner = database.owner or wanted.superuser
    facts = cluster.get("databases", {}).get(database.name)
    if facts is None:
        facts = {"owner": owner, "connection_limit": UNLIMITED, "acl": {PUBLIC: ["CONNECT", "TEMPORARY"]}}
    if inside is None:
        inside = _pristine(_version(cluster), wanted.superuser)
    result.inside(database.name, _database_statements(database, facts, settings))
    result.inside(database.name, _schema_statements(database, inside, _version(cluster)))
    result.inside(database.name, _extension_statements(database, inside, cluster.get("extensions", {})))
    result.inside(database.name, _schema_drops(database, inside))
    result.inside(database.name, _adoptions(database, inside))
    facts, inside = _after_handing_over(database, facts, inside, _version(cluster))
    creator = database.owner or facts["owner"]
    for grant in database.grants:
        result.inside(database.name, _grant_statements(database.name, grant, facts, inside, wanted.exclusive))
        result.inside(database.name, _default_statements(grant, creator, inside["defaults"]))
        result.notices += _absent_objects(database.name, grant, inside["objects"])
    if wanted.exclusive:
        result.inside(database.name, surplus_inside(database, creator, facts, inside))
    for role in wanted.roles:
        values = role.settings_in.get(database.name)
        if role.present and values:
            target = f"ROLE {identifier(role.name)} IN DATABASE {identifier(database.name)}"
            result.inside(
                database.name, _setting_statements(target, values, settings.get((role.name, database.name), {}))
            )


def _creation(database: Database) -> str:
    """Return the statement that makes a database, from the template that nobody can have added to."""
    words = [f"CREATE DATABASE {identifier(database.name)}"]
    if database.owner:
        words.append(f"OWNER {identifier(database.owner)}")
    words.append("TEMPLATE template0")
    words += [f"{key.upper()} {literal(str(value))}" for key, value in database.creation.items()]
    return " ".join(words)


def _pristine(version: int, superuser: str) -> dict[str, Any]:
    """Return what a database made from template0 holds."""
    schema: dict[str, Any] = {"owner": DATABASE_OWNER, "acl": {PUBLIC: ["USAGE"]}}
    if version < 150000:
        schema = {"owner": superuser, "acl": {PUBLIC: ["USAGE", "CREATE"]}}
    extensions = {"plpgsql": {"version": "1.0", "schema": "pg_catalog"}}
    return {"schemas": {PUBLIC: schema}, "objects": [], "defaults": [], "extensions": extensions}


# Why the plan cannot be carried out


def _problems(wanted: Wanted, cluster: Item, databases: Mapping[str, Item]) -> Iterator[str]:
    there = set(cluster.get("roles", {})) | {wanted.superuser}
    coming = {role.name for role in wanted.roles if role.present}
    going = {role.name for role in wanted.roles if not role.present}
    for name, where in _mentioned_roles(wanted):
        predefined = not cluster and name.startswith("pg_")
        if name in going or not (name in there or name in coming or predefined):
            why = "is to be dropped" if name in going else "does not exist and is not listed in pg_access_roles"
            yield f"{where} {name}, a role that {why}"
    for role in wanted.roles:
        owned = cluster.get("roles", {}).get(role.name, {}).get("owns", {})
        leftover = {name: count for name, count in owned.items() if name not in _dropped(wanted)}
        if not role.present and leftover and not role.reassign_to:
            places = ", ".join(f"{count} in {name or 'the cluster'}" for name, count in sorted(leftover.items()))
            yield f"pg_access_roles: {role.name} owns objects ({places}): name their new owner in reassign_to"
    for database in wanted.databases:
        facts = cluster.get("databases", {}).get(database.name)
        if facts and not database.present and database.name not in wanted.confirmed:
            yield f"pg_access_databases: dropping {database.name} wants a confirmation: -e confirm={database.name}"
        if database.present:
            yield from _database_problems(database, facts, cluster, databases.get(database.name))


def _dropped(wanted: Wanted) -> set[str]:
    return {database.name for database in wanted.databases if not database.present}


def _database_problems(database: Database, facts: Item | None, cluster: Item, inside: Item | None) -> Iterator[str]:
    prefix = f"pg_access_databases: {database.name}"
    if facts and not facts["allow_connections"]:
        yield f"{prefix} takes no connections (datallowconn is off), so nothing inside it can be read"
    for key, value in database.creation.items() if facts else ():
        if not _same_locale(str(facts[key] or "") if facts else "", str(value)):
            found = facts[key] if facts else None
            yield f"{prefix} has {key} {found}, which cannot become {value}: dump it and make it anew"
    if not cluster:
        return
    if not facts:
        yield from _creation_problems(prefix, database, cluster)
    for extension in database.extensions:
        installed = extension.name in (inside["extensions"] if inside else ())
        if extension.present and not installed and extension.name not in cluster["extensions"]:
            yield f"{prefix} wants extension {extension.name}, which this server does not have: install its package first"
        versions = cluster["extensions"].get(extension.name, {}).get("versions")
        named = extension.version if extension.version not in (None, "latest") else None
        held = inside["extensions"].get(extension.name, {}).get("version") if inside else None
        if extension.present and named and versions and named not in (*versions, held):
            offered = ", ".join(sorted(versions, key=_by_number))
            yield f"{prefix} wants extension {extension.name} {named}, and the installed files offer {offered}"
    schemas = {
        PUBLIC,
        *(inside["schemas"] if inside else ()),
        *(schema.name for schema in database.schemas if schema.present),
    }
    for name in sorted(_mentioned_schemas(database) - {schema.name for schema in database.schemas} - schemas):
        yield f"{prefix} has no schema {name}: list it in schemas"
    for grant in database.grants:
        if "MAINTAIN" in grant.privileges and _version(cluster) < 170000:
            yield f"pg_access_privileges: database {database.name} names MAINTAIN, which needs PostgreSQL 17"


def _creation_problems(prefix: str, database: Database, cluster: Item) -> Iterator[str]:
    provider, locale = database.creation.get("locale_provider"), database.creation.get("locale")
    needed = {"icu": 150000, "builtin": 170000}.get(provider or "", 0)
    if _version(cluster) < needed:
        yield f"{prefix} wants locale_provider {provider}, which needs PostgreSQL {needed // 10000}"
    # The names of provider builtin are the server's own; the others are the operating system's, also beside an icu_locale.
    known = cluster.get("locales") or ()
    if locale and known and provider != "builtin" and not any(_same_locale(name, locale) for name in known):
        yield f"{prefix} wants locale {locale}, which this host lacks; it has {', '.join(known)}"


def _by_number(version: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else -1, part) for part in version.split(".")]


def _same_locale(found: str, wanted: str) -> bool:
    """Compare encodings and locales as the operating system does: C.UTF-8 is C.utf8."""
    return found.lower().replace("-", "") == wanted.lower().replace("-", "")


# Statements, part by part


def _role_statements(role: Role, cluster: Item, settings: Mapping[Any, Item]) -> list[str]:
    observed = cluster.get("roles", {}).get(role.name)
    name = identifier(role.name)
    words = [
        text
        for key, value in role.attributes.items()
        if (observed is None and (value or key not in POWERS))
        or (observed is not None and _attribute(key, observed[key]) != _attribute(key, value))
        for text in [_attribute(key, value)]
    ]
    statements = [f"CREATE ROLE {name} {' '.join(words)}".rstrip()] if observed is None else []
    if observed is not None and words:
        statements.append(f"ALTER ROLE {name} {' '.join(words)}")
    return statements + _setting_statements(f"ROLE {name}", role.settings, settings.get((role.name, ""), {}))


def _attribute(key: str, value: Any) -> str:
    """Return the words of CREATE ROLE for an attribute; equal words mean equal values."""
    if key in FLAGS:
        return FLAGS[key][0 if value else 1]
    if key == "connection_limit":
        return f"CONNECTION LIMIT {int(value)}"
    return f"VALID UNTIL {literal(moment(value))}"


def moment(value: Any) -> str:
    """Return a time as the plan writes it, in UTC and to the second; without a zone it is UTC. Raises ValueError."""
    text = str("infinity" if value is None else value).strip()
    if text.lower() == "infinity":
        return "infinity"
    time = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _membership_statements(role: Role, cluster: Item) -> list[str]:
    observed = cluster.get("roles", {}).get(role.name, {}).get("member_of", [])
    # Since version 16 a membership may be held without using it; the pattern needs SET ROLE and inheritance.
    options = " WITH INHERIT TRUE, SET TRUE" if _version(cluster) >= 160000 else ""
    return [
        f"GRANT {identifier(group)} TO {identifier(role.name)}{options}"
        for group in role.member_of
        if group not in observed
    ]


def _observed_settings(cluster: Item) -> dict[tuple[str, str], dict[str, str]]:
    """Return the settings stored for (role, database); the empty name stands for all."""
    return {
        (entry["role"], entry["database"]): {
            name.lower(): value for name, _equals, value in (text.partition("=") for text in entry["values"])
        }
        for entry in cluster.get("settings", [])
    }


def _setting_statements(target: str, settings: Mapping[str, Any], observed: Item) -> list[str]:
    statements = []
    for name, value in settings.items():
        stored = observed.get(name.lower())
        if value is None:
            if stored is not None:
                statements.append(f"ALTER {target} RESET {name}")
        elif stored is None or _setting_parts(name, stored) != _setting_parts(name, value):
            statements.append(f"ALTER {target} SET {name} = {', '.join(map(literal, _setting_parts(name, value)))}")
    return statements


def _setting_parts(name: str, value: Any) -> tuple[str, ...]:
    """Return a value as the strings that SET takes: several for a list of names, otherwise one."""
    if isinstance(value, bool):
        return ("on" if value else "off",)
    if name.lower() not in LISTS:
        return (", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value),)
    parts = value if isinstance(value, (list, tuple)) else re.findall(r'"(?:[^"]|"")*"|[^,]+', str(value))
    stripped = [str(part).strip() for part in parts]
    names = [part[1:-1].replace('""', '"') if part[:1] == '"' == part[-1:] else part for part in stripped]
    return tuple(name for name in names if name) or ("",)


def _database_statements(database: Database, facts: Item, settings: Mapping[Any, Item]) -> list[str]:
    target = f"DATABASE {identifier(database.name)}"
    statements = []
    if database.owner and facts["owner"] != database.owner:
        statements.append(f"ALTER {target} OWNER TO {identifier(database.owner)}")
    if database.connection_limit is not None and facts["connection_limit"] != database.connection_limit:
        statements.append(f"ALTER {target} CONNECTION LIMIT {int(database.connection_limit)}")
    return statements + _setting_statements(target, database.settings, settings.get(("", database.name), {}))


def _schema_statements(database: Database, inside: Item, version: int) -> list[str]:
    statements = []
    for schema in database.schemas:
        observed = inside["schemas"].get(schema.name)
        if not schema.present:
            continue
        if observed is None:
            authorization = f" AUTHORIZATION {identifier(schema.owner)}" if schema.owner else ""
            statements.append(f"CREATE SCHEMA {identifier(schema.name)}{authorization}")
        elif new := _new_owner(schema, database, observed, version):
            statements.append(f"ALTER SCHEMA {identifier(schema.name)} OWNER TO {identifier(new)}")
    return statements


def _new_owner(schema: Schema, database: Database, observed: Item, version: int) -> str | None:
    """Return who is to own a schema that belongs to somebody else, or None."""
    # Since version 15 the owner of the database owns schema public without being named; that survives a change of owner.
    through_database = schema.name == PUBLIC and schema.owner == database.owner and version >= 150000
    fitting = (schema.owner, DATABASE_OWNER) if through_database else (schema.owner,)
    if not (schema.present and schema.owner) or observed["owner"] in fitting:
        return None
    return DATABASE_OWNER if through_database else schema.owner


def _schema_drops(database: Database, inside: Item) -> list[str]:
    gone = (schema.name for schema in database.schemas if not schema.present and schema.name in inside["schemas"])
    return [f"DROP SCHEMA {identifier(name)}" for name in gone]


def _extension_statements(database: Database, inside: Item, available: Mapping[str, Item]) -> list[str]:
    statements = []
    for extension in database.extensions:
        name = identifier(extension.name)
        observed = inside["extensions"].get(extension.name)
        offered = available.get(extension.name, {})
        version = offered.get("version") if extension.version == "latest" else extension.version
        if not extension.present:
            statements += [f"DROP EXTENSION {name}"] if observed else []
        elif observed is None:
            # An extension that brings its own schema refuses any other.
            schema = extension.schema or (None if offered.get("schema") else PUBLIC)
            where = f" SCHEMA {identifier(schema)}" if schema else ""
            statements.append(f"CREATE EXTENSION {name}{where}" + (f" VERSION {literal(version)}" if version else ""))
        else:
            if version and observed["version"] != version:
                statements.append(f"ALTER EXTENSION {name} UPDATE TO {literal(version)}")
            if extension.schema and observed["schema"] != extension.schema:
                statements.append(f"ALTER EXTENSION {name} SET SCHEMA {identifier(extension.schema)}")
    return statements


def _adoptions(database: Database, inside: Item) -> list[str]:
    """Return the change of owner of each object that the database takes over."""
    schemas = {schema.name for schema in database.schemas if schema.present}
    return [
        f"ALTER {entry['sql']} OWNER TO {identifier(database.owner)}"
        for entry in inside.get("handed_over", ())
        if database.owner and entry["owner"] in database.adopt_from and entry["schema"] in schemas
    ]


def _after_handing_over(database: Database, facts: Item, inside: Item, version: int) -> tuple[Item, Item]:
    """Return what the statements for owners leave: with an object its former owner gives away all that it may do with it."""
    owner, schemas = database.owner, {schema.name for schema in database.schemas if schema.present}
    contents = dict(inside["schemas"])
    for schema in database.schemas:
        observed = contents.get(schema.name)
        new = observed and _new_owner(schema, database, observed, version)
        if observed and new:
            contents[schema.name] = {"owner": new, "acl": _without(observed["acl"], observed["owner"])}
    if owner and facts["owner"] != owner:
        facts = {**facts, "owner": owner, "acl": _without(facts["acl"], facts["owner"])}
    groups = [
        {**group, "owner": owner, "acl": _without(group["acl"], group["owner"])}
        if owner and group.get("owner") in database.adopt_from and group["schema"] in schemas
        else group
        for group in inside["objects"]
    ]
    return facts, {**inside, "schemas": contents, "objects": groups}


def _without(acl: Privileges, role: str) -> Privileges:
    return {name: privileges for name, privileges in acl.items() if name != role}


def _difference(grant: Grant, observed: Privileges) -> tuple[str, ...]:
    """Return the privileges that a grant lacks, or those that a revocation still finds."""
    held = observed.get(grant.role, ())
    return tuple(privilege for privilege in grant.privileges if (privilege in held) != grant.present)


def _lasting(grant: Grant, observed: Privileges, exclusive: bool) -> Privileges:
    """Return what is held for good: a privilege that somebody else passed on goes when the grant options are taken away."""
    passed_on = any(privilege.endswith(GRANT_OPTION) for held in observed.values() for privilege in held)
    return {} if exclusive and grant.present and passed_on else observed


def _grant_statements(database: str, grant: Grant, facts: Item, inside: Item, exclusive: bool) -> list[str]:
    if grant.kind == "database":
        acl = _lasting(grant, facts["acl"], exclusive)
        return _grant_statement(grant, _difference(grant, acl), f"DATABASE {identifier(database)}")
    if grant.kind == "schema":
        acl = _lasting(grant, inside["schemas"].get(grant.schema, {"acl": {}})["acl"], exclusive)
        return _grant_statement(grant, _difference(grant, acl), f"SCHEMA {identifier(grant.schema)}")
    statements: dict[tuple[str, ...], list[str]] = {}
    for group in _groups(grant, inside["objects"]):
        chosen = [
            sql
            for name, sql in zip(group["names"], group["sql"], strict=True)
            if grant.objects is None or name in grant.objects
        ]
        statements.setdefault(_difference(grant, _lasting(grant, group["acl"], exclusive)), []).extend(chosen)
    word = "ROUTINE" if grant.kind == "function" else grant.kind.upper()
    return [
        text
        for privileges, names in statements.items()
        if names
        for text in _grant_statement(grant, privileges, f"{word} {', '.join(names)}")
    ]


def _groups(grant: Grant, objects: Iterable[Item]) -> list[Item]:
    return [group for group in objects if (group["kind"], group["schema"]) == (grant.kind, grant.schema)]


def _grant_statement(grant: Grant, privileges: Sequence[str], target: str) -> list[str]:
    if not privileges:
        return []
    verb, preposition = ("GRANT", "TO") if grant.present else ("REVOKE", "FROM")
    return [f"{verb} {', '.join(privileges)} ON {target} {preposition} {grantee(grant.role)}"]


def _default_statements(grant: Grant, creator: str, defaults: Iterable[Item]) -> list[str]:
    """Return the change of the default privileges for what creator will make in the schema of a grant for all objects."""
    if grant.kind in ("database", "schema") or grant.objects is not None:
        return []
    held: dict[str, list[str]] = {}
    for entry in defaults:
        # An entry without a schema holds for all of them; it can fulfil a grant, but is not ours to revoke.
        everywhere = entry["schema"] is None and grant.present
        if (entry["role"], entry["kind"]) == (creator, grant.kind) and (entry["schema"] == grant.schema or everywhere):
            for role, privileges in entry["acl"].items():
                held.setdefault(role, []).extend(privileges)
    head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(creator)} IN SCHEMA {identifier(grant.schema)}"
    return [f"{head} {text}" for text in _grant_statement(grant, _difference(grant, held), f"{grant.kind.upper()}S")]


def _absent_objects(database: str, grant: Grant, objects: Iterable[Item]) -> list[str]:
    if grant.objects is None or not grant.present or grant.kind in ("database", "schema"):
        return []
    names = {name for group in _groups(grant, objects) for name in group["names"]}
    return [
        f"{database} has no {grant.kind} {grant.schema}.{name} yet: a later run grants it to {grant.role}"
        for name in grant.objects
        if name not in names
    ]


def _plan_role_drop(result: Plan, role: Role, wanted: Wanted, cluster: Item) -> None:
    """Take a role out of every database that knows it, then drop it.

    DROP OWNED takes away privileges and drops what the role owns, so all that it owns is handed over in the same transaction.
    """
    name, heir = identifier(role.name), identifier(role.reassign_to or wanted.superuser)
    observed = cluster["roles"][role.name]
    databases = {*observed.get("owns", {}), *observed.get("granted", ())} - _dropped(wanted)
    # What belongs to no database (a grant on a database, say) is taken away from any of them.
    places = sorted(databases - {""}) or (["postgres"] if databases else [])
    for database in places:
        result.inside(database, [f"REASSIGN OWNED BY {name} TO {heir}", f"DROP OWNED BY {name}"])
    result.final.append(f"DROP ROLE {name}")
