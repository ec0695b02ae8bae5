# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands beside the listed roles and privileges, and the statements that take it away. Pure.

Only with pg_access_exclusive. Privileges and memberships go; a role or a database that nobody lists is named and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._quoting import PUBLIC, grantee, identifier

if TYPE_CHECKING:
    from ansible_collections.pgsteward.postgres.plugins.module_utils._access import Database, Grant, Wanted

Item = Mapping[str, Any]

GRANT_OPTION = " WITH GRANT OPTION"  # what the catalog queries append
# What PostgreSQL itself gives to everyone (utils/adt/acl.c, acldefault); it stays unless an item takes it away.
_BUILT_IN: Mapping[str, tuple[str, ...]] = {"database": ("CONNECT", "TEMPORARY"), "function": ("EXECUTE",)}


def unlisted(wanted: Wanted, cluster: Item) -> list[str]:
    """Return one notice for the roles and one for the databases that no item lists."""
    others = cluster.get("others", {"roles": {}, "databases": []})
    roles = [
        name + (f" ({', '.join(traits)})" if traits else "")
        for name, facts in sorted(others["roles"].items())
        if name != wanted.superuser
        for traits in [[key for key in ("superuser", "bypassrls") if facts[key]]]
    ]
    found = {"roles that log in or bypass privileges": roles, "databases": others["databases"]}
    return [f"not listed, and left alone: {what} {', '.join(names)}" for what, names in found.items() if names]


def surplus_memberships(wanted: Wanted, cluster: Item) -> list[str]:
    """Return the end of each membership in a listed role, or of a listed role, that no item lists."""
    listed = {role.name for role in wanted.roles if role.present}
    going = {role.name for role in wanted.roles if not role.present}
    kept = {(group, role.name) for role in wanted.roles for group in role.member_of}
    statements = []
    for entry in cluster.get("memberships", ()):
        group, member = entry["role"], entry["member"]
        if (group, member) in kept or not {group, member} & listed or member in (wanted.superuser, *going):
            continue
        # Since version 16 each grantor's membership is one of its own.
        grantor = f" GRANTED BY {identifier(entry['grantor'])}" if cluster["version"] >= 160000 else ""
        statements.append(f"REVOKE {identifier(group)} FROM {identifier(member)}{grantor} CASCADE")
    return sorted(set(statements))


def surplus_inside(database: Database, creator: str, facts: Item, inside: Item) -> list[str]:
    """Return the end of all privileges on a database, its listed schemas and what they hold that no item lists.

    creator is whose default privileges are made exact as well. What an owner may do with its own is never touched.
    """
    schemas = {schema.name for schema in database.schemas if schema.present}
    name = identifier(database.name)
    statements = list(_revocations(_surplus(database.grants, "database", facts, None, None), f"DATABASE {name}"))
    for schema in sorted(schemas & inside["schemas"].keys()):
        target = f"SCHEMA {identifier(schema)}"
        statements += _revocations(_surplus(database.grants, "schema", inside["schemas"][schema], schema, None), target)
    for group in inside["objects"]:
        if group["schema"] in schemas:
            statements += _object_revocations(database.grants, group)
    for entry in inside["defaults"]:
        if entry["role"] == creator and entry["kind"] != "other" and entry["schema"] in (None, *schemas):
            statements += _default_revocations(database.grants, entry)
    return statements


def _allowed(
    grants: Iterable[Grant], kind: str, role: str, schema: str | None, name: str | None, everywhere: bool = False
) -> set[str]:
    """Return what the items give a role on one thing; everywhere asks for all schemas together."""
    matching = [
        grant
        for grant in grants
        if (grant.kind, grant.role) == (kind, role)
        and (kind == "database" or everywhere or grant.schema == schema)
        and (grant.objects is None or name in grant.objects)
    ]
    given = {privilege for grant in matching if grant.present for privilege in grant.privileges}
    if role == PUBLIC:
        given |= {*_BUILT_IN.get(kind, ()), *(("USAGE",) if (kind, schema) == ("schema", PUBLIC) else ())}
        given -= {privilege for grant in matching if not grant.present for privilege in grant.privileges}
    return given


def _surplus(
    grants: Iterable[Grant], kind: str, facts: Item, schema: str | None, name: str | None
) -> dict[str, tuple[str, ...]]:
    """Return by role what it holds and no item gives. Privileges that an item takes away are that item's to revoke."""
    surplus = {}
    for role, held in sorted(facts["acl"].items()):
        if role == facts.get("owner"):
            continue
        allowed = _allowed(grants, kind, role, schema, name)
        allowed |= {
            privilege
            for grant in grants
            if not grant.present
            and (grant.kind, grant.role) == (kind, role)
            and grant.schema == (schema or grant.schema)
            and (grant.objects is None or name in grant.objects)
            for privilege in grant.privileges
        }
        surplus[role] = tuple(
            privilege
            for privilege in sorted(held)
            # Without the privilege its grant option is gone as well.
            if privilege not in allowed and (not privilege.endswith(GRANT_OPTION) or _plain(privilege) in allowed)
        )
    return {role: privileges for role, privileges in surplus.items() if privileges}


def _plain(privilege: str) -> str:
    return privilege.removesuffix(GRANT_OPTION)


def _object_revocations(grants: Sequence[Grant], group: Item) -> Iterator[str]:
    alike: dict[tuple[tuple[str, tuple[str, ...]], ...], list[str]] = {}
    for name, sql in zip(group["names"], group["sql"], strict=True):
        surplus = _surplus(grants, group["kind"], group, group["schema"], name)
        alike.setdefault(tuple(surplus.items()), []).append(sql)
    word = "ROUTINE" if group["kind"] == "function" else group["kind"].upper()
    for found, names in alike.items():
        yield from _revocations(dict(found), f"{word} {', '.join(names)}")


def _revocations(surplus: Mapping[str, Sequence[str]], target: str) -> Iterator[str]:
    for role, privileges in surplus.items():
        whole = [privilege for privilege in privileges if not privilege.endswith(GRANT_OPTION)]
        options = [_plain(privilege) for privilege in privileges if privilege.endswith(GRANT_OPTION)]
        if whole:
            yield f"REVOKE {', '.join(whole)} ON {target} FROM {grantee(role)} CASCADE"
        if options:
            yield f"REVOKE GRANT OPTION FOR {', '.join(options)} ON {target} FROM {grantee(role)} CASCADE"


def _default_revocations(grants: Sequence[Grant], entry: Item) -> Iterator[str]:
    where = f" IN SCHEMA {identifier(entry['schema'])}" if entry["schema"] else ""
    for role, held in sorted(entry["acl"].items()):
        # An entry for all schemas repeats what the owner and everyone have anyway.
        if role == entry["role"] or (role == PUBLIC and not entry["schema"]):
            continue
        allowed = _allowed(grants, entry["kind"], role, entry["schema"], None, everywhere=not entry["schema"])
        surplus = sorted({_plain(privilege) for privilege in held} - allowed)
        if surplus:
            head = f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(entry['role'])}{where}"
            yield f"{head} REVOKE {', '.join(surplus)} ON {entry['kind'].upper()}S FROM {grantee(role)}"
