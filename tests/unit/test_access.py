"""What pg_access wants, what it finds wrong, and what it plans for a given state of the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.filter import access
from ansible_collections.pgsteward.postgres.plugins.module_utils import _access
from ansible_collections.pgsteward.postgres.plugins.module_utils._access_findings import findings

LOGINS = ("shop_migrator", "shop_app", "shop_readonly", "shop_monitor")
SECRET = "correct horse"


def inputs(**given: Any) -> dict[str, Any]:
    base = {"databases": [], "roles": [], "privileges": [], "passwords": {}, "superuser": "postgres", "confirm": ""}
    return {**base, **given}


def shop(**item: Any) -> dict[str, Any]:
    return inputs(databases=[{"name": "shop", **item}], passwords=dict.fromkeys(LOGINS, SECRET))


def bare(**item: Any) -> dict[str, Any]:
    """A database without the pattern, to look at one thing at a time."""
    return inputs(databases=[{"name": "shop", "pattern": "none", **item}])


def role(**attributes: Any) -> dict[str, Any]:
    """A role as the catalog query reports it."""
    flags = dict.fromkeys(_access.FLAGS, False) | {"inherit": True}
    rest = {"connection_limit": -1, "valid_until": None, "member_of": [], "owns": {}, "granted": []}
    return {**flags, **rest, **attributes}


def database(**facts: Any) -> dict[str, Any]:
    base = {"owner": "postgres", "allow_connections": True, "connection_limit": -1, "encoding": "UTF8"}
    rest = {
        "locale": "C.UTF-8",
        "locale_provider": "libc",
        "icu_locale": None,
        "acl": {"public": ["CONNECT", "TEMPORARY"]},
    }
    return {**base, **rest, **facts}


def cluster(**facts: Any) -> dict[str, Any]:
    base = {
        "version": 170000,
        "in_recovery": False,
        "roles": {"postgres": role(), "pg_monitor": role()},
        "databases": {},
    }
    rest = {"settings": [], "extensions": {"vector": {"version": "0.8.0", "schema": None}}}
    return {**base, **rest, **facts}


def inside(**facts: Any) -> dict[str, Any]:
    schemas = {"public": {"owner": "pg_database_owner", "acl": {"public": ["USAGE"]}}}
    return {"schemas": schemas, "objects": [], "defaults": [], "extensions": {}, **facts}


def plan(
    wanted: dict[str, Any], server: dict[str, Any] | None = None, content: dict[str, Any] | None = None
) -> _access.Plan:
    contents = {} if content is None else {"shop": content}
    return _access.plan(_access.expand(wanted), cluster() if server is None else server, contents)


def there(**facts: Any) -> dict[str, Any]:
    """A server that has the database shop."""
    return cluster(databases={"shop": database(**facts)})


# The pattern


def test_the_pattern_makes_five_roles() -> None:
    roles = {role.name: role for role in _access.expand(shop()).roles}
    assert list(roles) == ["shop_owner", *LOGINS]
    assert [name for name, role in roles.items() if role.needs_password] == list(LOGINS)
    assert roles["shop_migrator"].member_of == ("shop_owner",)
    assert roles["shop_migrator"].settings_in == {"shop": {"role": "shop_owner"}}
    assert roles["shop_monitor"].member_of == ("pg_monitor",)


def test_a_new_database_is_planned_in_full() -> None:
    result = plan(shop())
    assert result.problems == []
    assert result.cluster == [
        'CREATE ROLE "shop_owner" NOLOGIN',
        'CREATE ROLE "shop_migrator" LOGIN',
        'CREATE ROLE "shop_app" LOGIN',
        'CREATE ROLE "shop_readonly" LOGIN',
        'CREATE ROLE "shop_monitor" LOGIN',
        'GRANT "shop_owner" TO "shop_migrator" WITH INHERIT TRUE, SET TRUE',
        'GRANT "pg_monitor" TO "shop_monitor" WITH INHERIT TRUE, SET TRUE',
    ]
    assert result.create == ['CREATE DATABASE "shop" OWNER "shop_owner" TEMPLATE template0']
    default = 'ALTER DEFAULT PRIVILEGES FOR ROLE "shop_owner" IN SCHEMA "public" GRANT'
    assert result.databases == [
        {
            "name": "shop",
            "statements": [
                'GRANT CONNECT ON DATABASE "shop" TO "shop_app"',
                'GRANT CONNECT ON DATABASE "shop" TO "shop_readonly"',
                'GRANT CONNECT ON DATABASE "shop" TO "shop_monitor"',
                'REVOKE CONNECT, TEMPORARY ON DATABASE "shop" FROM PUBLIC',
                'GRANT USAGE ON SCHEMA "public" TO "shop_app"',
                'GRANT USAGE ON SCHEMA "public" TO "shop_readonly"',
                f'{default} SELECT, INSERT, UPDATE, DELETE ON TABLES TO "shop_app"',
                f'{default} SELECT ON TABLES TO "shop_readonly"',
                f'{default} USAGE, SELECT ON SEQUENCES TO "shop_app"',
                f'{default} SELECT ON SEQUENCES TO "shop_readonly"',
                f'{default} EXECUTE ON FUNCTIONS TO "shop_app"',
                'ALTER ROLE "shop_migrator" IN DATABASE "shop" SET role = \'shop_owner\'',
            ],
        }
    ]
    assert (result.drop, result.final) == ([], [])
    lines = result.lines()
    assert lines[7] == result.create[0]
    assert lines[-1].startswith("shop: ALTER ROLE")


def converged() -> tuple[dict[str, Any], dict[str, Any]]:
    """The state that the plan of the pattern leads to."""
    roles = {name: role(login=name in LOGINS) for name in ("shop_owner", *LOGINS)}
    roles["shop_migrator"]["member_of"], roles["shop_monitor"]["member_of"] = ["shop_owner"], ["pg_monitor"]
    connect = {key: ["CONNECT"] for key in ("shop_app", "shop_readonly", "shop_monitor")}
    server = cluster(
        roles={"postgres": role(superuser=True), "pg_monitor": role(), **roles},
        databases={"shop": database(owner="shop_owner", acl={"shop_owner": ["CONNECT", "CREATE"], **connect})},
        settings=[{"role": "shop_migrator", "database": "shop", "values": ["role=shop_owner"]}],
    )
    acls = {
        "table": {"shop_app": ["DELETE", "INSERT", "SELECT", "UPDATE"], "shop_readonly": ["SELECT"]},
        "sequence": {"shop_app": ["SELECT", "USAGE"], "shop_readonly": ["SELECT"]},
        "function": {"shop_app": ["EXECUTE"], "public": ["EXECUTE"]},
    }
    schemas = {
        "public": {
            "owner": "pg_database_owner",
            "acl": {key: ["USAGE"] for key in ("public", "shop_app", "shop_readonly")},
        }
    }
    objects = [
        {"kind": kind, "schema": "public", "acl": acl, "names": [f"a_{kind}"], "sql": [f"public.a_{kind}"]}
        for kind, acl in acls.items()
    ]
    defaults = [
        {"role": "shop_owner", "schema": "public", "kind": kind, "acl": dict(acl)} for kind, acl in acls.items()
    ]
    return server, inside(schemas=schemas, objects=objects, defaults=defaults)


def test_nothing_is_planned_when_all_is_there() -> None:
    server, content = converged()
    result = plan(shop(), server, content)
    assert (result.lines(), result.problems, result.notices) == ([], [], [])


def _drift(server: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Each change by hand, with what puts it right."""
    facts, schema = server["databases"]["shop"], content["schemas"]["public"]
    table, roles = content["objects"][0], server["roles"]
    default = 'shop: ALTER DEFAULT PRIVILEGES FOR ROLE "shop_owner" IN SCHEMA "public"'
    return {
        "login": (lambda: roles["shop_app"].update(login=False), ['ALTER ROLE "shop_app" LOGIN']),
        "power": (lambda: roles["shop_app"].update(bypassrls=True), ['ALTER ROLE "shop_app" NOBYPASSRLS']),
        "power of the owner": (lambda: roles["shop_owner"].update(superuser=True), ['ALTER ROLE "shop_owner" NOSUPERUSER']),
        "owner may log in": (lambda: roles["shop_owner"].update(login=True), ['ALTER ROLE "shop_owner" NOLOGIN']),
        "membership": (
            lambda: roles["shop_migrator"].update(member_of=[]),
            ['GRANT "shop_owner" TO "shop_migrator" WITH INHERIT TRUE, SET TRUE'],
        ),
        "role setting": (
            server["settings"].clear,
            ['shop: ALTER ROLE "shop_migrator" IN DATABASE "shop" SET role = \'shop_owner\''],
        ),
        "database owner": (lambda: facts.update(owner="x"), ['shop: ALTER DATABASE "shop" OWNER TO "shop_owner"']),
        "public connects": (
            lambda: facts["acl"].update(public=["CONNECT"]),
            ['shop: REVOKE CONNECT ON DATABASE "shop" FROM PUBLIC'],
        ),
        "public creates": (
            lambda: schema["acl"].update(public=["USAGE", "CREATE"]),
            ['shop: REVOKE CREATE ON SCHEMA "public" FROM PUBLIC'],
        ),
        "schema owner": (
            lambda: schema.update(owner="x"),
            ['shop: ALTER SCHEMA "public" OWNER TO "pg_database_owner"'],
        ),
        "schema owner by name": (lambda: schema.update(owner="shop_owner"), []),
        "table": (
            lambda: table.update(acl={**table["acl"], "shop_app": ["SELECT", "DELETE"]}),
            ['shop: GRANT INSERT, UPDATE ON TABLE public.a_table TO "shop_app"'],
        ),
        "default": (
            lambda: content["defaults"].pop(2),
            [f'{default} GRANT EXECUTE ON FUNCTIONS TO "shop_app"'],
        ),
        "default for all schemas": (lambda: content["defaults"][0].update(schema=None), []),
        "extra privilege": (lambda: schema["acl"].update(shop_readonly=["USAGE", "CREATE"]), []),
        "extra role": (lambda: facts["acl"].update(visitor=["CONNECT"]), []),
    }  # fmt: skip


@pytest.mark.parametrize("case", _drift(*converged()))
def test_each_change_by_hand_is_put_right_alone(case: str) -> None:
    server, content = converged()
    change, expected = _drift(server, content)[case]
    change()
    assert plan(shop(), server, content).lines() == expected


def test_a_second_schema_is_served_like_public() -> None:
    server, content = converged()
    statements = plan(shop(schemas=[{"name": "audit"}]), server, content).databases[0]["statements"]
    assert statements[:2] == [
        'CREATE SCHEMA "audit" AUTHORIZATION "shop_owner"',
        'GRANT USAGE ON SCHEMA "audit" TO "shop_app"',
    ]
    assert len(statements) == 8


@pytest.mark.parametrize(
    ("version", "owner", "statement"),
    [
        (140000, "postgres", ['ALTER SCHEMA "public" OWNER TO "shop_owner"']),
        (140000, "pg_database_owner", ['ALTER SCHEMA "public" OWNER TO "shop_owner"']),
        (150000, "postgres", ['ALTER SCHEMA "public" OWNER TO "pg_database_owner"']),
        (150000, "pg_database_owner", []),
        (180000, "shop_owner", []),
    ],
)
def test_schema_public_belongs_to_the_owner_of_the_database(version: int, owner: str, statement: list[str]) -> None:
    server, content = converged()
    server["version"] = version
    content["schemas"]["public"]["owner"] = owner
    assert plan(shop(), server, content).lines() == [f"shop: {text}" for text in statement]


def test_before_16_a_membership_has_no_options() -> None:
    assert plan(shop(), cluster(version=150000)).cluster[-1] == 'GRANT "pg_monitor" TO "shop_monitor"'


def test_before_15_everyone_loses_create_on_a_new_schema_public() -> None:
    statements = plan(shop(), cluster(version=140000)).databases[0]["statements"]
    assert 'REVOKE CREATE ON SCHEMA "public" FROM PUBLIC' in statements
    assert statements[0] == 'ALTER SCHEMA "public" OWNER TO "shop_owner"'


# Roles


@pytest.mark.parametrize(
    ("item", "observed", "expected"),
    [
        ({}, None, ['CREATE ROLE "x"']),
        ({}, {}, []),
        (
            {"login": True, "createdb": False, "bypassrls": True},
            None,
            ['CREATE ROLE "x" LOGIN BYPASSRLS'],
        ),
        ({"superuser": False}, {"superuser": True}, ['ALTER ROLE "x" NOSUPERUSER']),
        ({"replication": True}, {"replication": True}, []),
        ({"connection_limit": 5}, {"connection_limit": -1}, ['ALTER ROLE "x" CONNECTION LIMIT 5']),
        ({"connection_limit": "5"}, {"connection_limit": 5}, []),
        ({"valid_until": "2030-01-31"}, {"valid_until": "2030-01-31T00:00:00Z"}, []),
        ({"valid_until": "2030-01-31 02:00+02:00"}, {"valid_until": "2030-01-31T00:00:00Z"}, []),
        ({"valid_until": "2030-01-31"}, {}, ["ALTER ROLE \"x\" VALID UNTIL '2030-01-31T00:00:00Z'"]),
        ({"valid_until": "infinity"}, {"valid_until": None}, []),
        (
            {"valid_until": "infinity"},
            {"valid_until": "2030-01-31T00:00:00Z"},
            ["ALTER ROLE \"x\" VALID UNTIL 'infinity'"],
        ),
        ({"member_of": ["postgres"]}, {"member_of": ["postgres", "more"]}, []),
    ],
)
def test_roles(item: dict[str, Any], observed: dict[str, Any] | None, expected: list[str]) -> None:
    roles = {"postgres": role()} | ({} if observed is None else {"x": role(**observed)})
    wanted = inputs(roles=[{"name": "x", "password": False, **item}])
    assert plan(wanted, cluster(roles=roles)).lines() == expected


def test_an_item_changes_a_role_of_the_pattern() -> None:
    wanted = shop()
    wanted["roles"] = [{"name": "shop_app", "connection_limit": 40, "member_of": ["readers"]}, {"name": "readers"}]
    statements = plan(wanted).cluster
    assert 'CREATE ROLE "shop_app" LOGIN CONNECTION LIMIT 40' in statements
    assert 'GRANT "readers" TO "shop_app" WITH INHERIT TRUE, SET TRUE' in statements


def test_a_role_of_the_pattern_bypasses_row_security_only_by_its_own_item() -> None:
    server, content = converged()
    wanted = shop() | {"roles": [{"name": "shop_readonly", "bypassrls": True}]}
    assert plan(wanted, server, content).lines() == ['ALTER ROLE "shop_readonly" BYPASSRLS']
    server["roles"]["shop_readonly"]["bypassrls"] = True
    assert plan(wanted, server, content).lines() == []
    assert plan(shop(), server, content).lines() == ['ALTER ROLE "shop_readonly" NOBYPASSRLS']


def test_every_role_is_made_before_the_first_membership() -> None:
    wanted = inputs(roles=[{"name": "a", "member_of": ["b"]}, {"name": "b"}])
    assert [text.split()[0] for text in plan(wanted).cluster] == ["CREATE", "CREATE", "GRANT"]


@pytest.mark.parametrize(
    ("settings", "stored", "expected"),
    [
        ({"work_mem": "64MB"}, ["work_mem=64MB"], []),
        ({"work_mem": "64MB"}, ["work_mem=4MB"], ["SET work_mem = '64MB'"]),
        ({"log_min_duration_statement": 100}, ["log_min_duration_statement=100"], []),
        ({"jit": False}, ["jit=off"], []),
        ({"jit": True}, [], ["SET jit = 'on'"]),
        ({"datestyle": "ISO, DMY"}, ["DateStyle=ISO, DMY"], []),
        ({"work_mem": None}, ["work_mem=4MB"], ["RESET work_mem"]),
        ({"work_mem": None}, [], []),
        ({}, ["work_mem=4MB"], []),
        ({"search_path": '"$user", public'}, ['search_path="$user", public'], []),
        ({"search_path": ["$user", "public"]}, ['search_path="$user", public'], []),
        ({"search_path": "a, b"}, ["search_path=a"], ["SET search_path = 'a', 'b'"]),
        ({"search_path": '"a, b"'}, ["search_path=a, b"], ["SET search_path = 'a, b'"]),
        ({"search_path": ""}, ['search_path=""'], []),
        ({"application_name": "it's \\ x"}, [], ["SET application_name = E'it''s \\\\ x'"]),
        ({"options": "a=b"}, ["options=a=b"], []),
    ],
)
def test_settings(settings: dict[str, Any], stored: list[str], expected: list[str]) -> None:
    server = cluster(roles={"x": role()}, settings=[{"role": "x", "database": "", "values": stored}])
    result = plan(inputs(roles=[{"name": "x", "settings": settings}]), server)
    assert result.lines() == [f'ALTER ROLE "x" {text}' for text in expected]


def test_a_role_that_goes_loses_its_privileges_first() -> None:
    server = there()
    server["roles"]["x"] = role(owns={"shop": 2}, granted=["shop", "", "other"])
    server["roles"]["heir"] = role()
    result = plan(inputs(roles=[{"name": "x", "state": "absent", "reassign_to": "heir"}]), server)
    handover = ['REASSIGN OWNED BY "x" TO "heir"', 'DROP OWNED BY "x"']
    assert result.problems == []
    assert result.databases == [{"name": "other", "statements": handover}, {"name": "shop", "statements": handover}]
    assert result.final == ['DROP ROLE "x"']


@pytest.mark.parametrize(("granted", "visited"), [([], []), ([""], ["postgres"])])
def test_a_role_without_objects_goes_without_an_heir(granted: list[str], visited: list[str]) -> None:
    server = cluster(roles={"x": role(granted=granted)})
    result = plan(inputs(roles=[{"name": "x", "state": "absent"}]), server)
    assert [entry["name"] for entry in result.databases] == visited
    # Whatever the role has come to own since it was looked at goes to the superuser instead of away.
    assert all(entry["statements"][0] == 'REASSIGN OWNED BY "x" TO "postgres"' for entry in result.databases)


def test_a_role_that_is_gone_stays_gone() -> None:
    assert plan(inputs(roles=[{"name": "x", "state": "absent"}])).lines() == []


# Databases


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, 'CREATE DATABASE "shop" TEMPLATE template0'),
        ({"owner": "postgres"}, 'CREATE DATABASE "shop" OWNER "postgres" TEMPLATE template0'),
        (
            {"encoding": "UTF8", "icu_locale": "de"},
            "CREATE DATABASE \"shop\" TEMPLATE template0 ENCODING 'UTF8' ICU_LOCALE 'de' LOCALE_PROVIDER 'icu'",
        ),
        (
            {"locale_provider": "builtin", "locale": "C.UTF-8"},
            "CREATE DATABASE \"shop\" TEMPLATE template0 LOCALE_PROVIDER 'builtin' LOCALE 'C.UTF-8'",
        ),
    ],
)
def test_new_databases(item: dict[str, Any], expected: str) -> None:
    assert plan(bare(**item)).lines() == [expected]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, []),
        ({"owner": "postgres"}, []),
        ({"connection_limit": -1}, []),
        ({"connection_limit": 9}, ['ALTER DATABASE "shop" CONNECTION LIMIT 9']),
        ({"encoding": "utf-8", "locale": "C.utf8"}, []),
        ({"settings": {"work_mem": "8MB"}}, ["ALTER DATABASE \"shop\" SET work_mem = '8MB'"]),
        ({"schemas": [{"name": "public"}, {"name": "old", "state": "absent"}]}, []),
        ({"schemas": [{"name": "new"}]}, ['CREATE SCHEMA "new"']),
        ({"schemas": [{"name": "public", "state": "absent"}]}, ['DROP SCHEMA "public"']),
        ({"schemas": [{"name": "public", "owner": "postgres"}]}, ['ALTER SCHEMA "public" OWNER TO "postgres"']),
    ],
)
def test_existing_databases(item: dict[str, Any], expected: list[str]) -> None:
    assert plan(bare(**item), there(), inside()).lines() == [f"shop: {text}" for text in expected]


@pytest.mark.parametrize(
    ("item", "installed", "expected"),
    [
        ({}, None, ['CREATE EXTENSION "vector" SCHEMA "public"']),
        ({"schema": "x"}, None, ['CREATE SCHEMA "x"', 'CREATE EXTENSION "vector" SCHEMA "x"']),
        ({"version": "0.7.0"}, None, ['CREATE EXTENSION "vector" SCHEMA "public" VERSION \'0.7.0\'']),
        ({}, "0.7.0", []),
        ({"version": "0.7.0"}, "0.7.0", []),
        ({"version": "latest"}, "0.7.0", ["ALTER EXTENSION \"vector\" UPDATE TO '0.8.0'"]),
        ({"version": "latest"}, "0.8.0", []),
        ({"schema": "public"}, "0.8.0", []),
        ({"schema": "x"}, "0.8.0", ['CREATE SCHEMA "x"', 'ALTER EXTENSION "vector" SET SCHEMA "x"']),
        ({"state": "absent"}, "0.8.0", ['DROP EXTENSION "vector"']),
        ({"state": "absent"}, None, []),
    ],
)
def test_extensions(item: dict[str, Any], installed: str | None, expected: list[str]) -> None:
    extensions = {"vector": {"version": installed, "schema": "public"}} if installed else {}
    schemas = [{"name": item["schema"]}] if item.get("schema") == "x" else []
    wanted = bare(extensions=[{"name": "vector", **item}], schemas=schemas)
    assert plan(wanted, there(), inside(extensions=extensions)).lines() == [f"shop: {text}" for text in expected]


def test_an_extension_with_a_schema_of_its_own_keeps_it() -> None:
    server = there()
    server["extensions"]["cron"] = {"version": "1", "schema": "pg_catalog"}
    result = plan(bare(extensions=[{"name": "cron"}]), server, inside())
    assert result.lines() == ['shop: CREATE EXTENSION "cron"']


# Ownership

OLD = [
    {"owner": "legacy", "schema": "public", "sql": "TABLE public.a"},
    {"owner": "legacy", "schema": "public", "sql": "TYPE public.mood"},
    {"owner": "legacy", "schema": "other", "sql": "TABLE other.a"},
    {"owner": "stranger", "schema": "public", "sql": "TABLE public.b"},
]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, []),
        ({"adopt_from": ["legacy"]}, ["TABLE public.a", "TYPE public.mood"]),
        ({"adopt_from": ["gone"]}, []),
        ({"adopt_from": ["legacy", "stranger"]}, ["TABLE public.a", "TYPE public.mood", "TABLE public.b"]),
        (
            {"adopt_from": ["legacy"], "schemas": [{"name": "other"}]},
            ["TABLE public.a", "TYPE public.mood", "TABLE other.a"],
        ),
    ],
)
def test_objects_are_handed_over_from_the_named_owners_in_the_listed_schemas(
    item: dict[str, Any], expected: list[str]
) -> None:
    server, content = converged()
    content["handed_over"] = OLD
    content["schemas"]["other"] = content["schemas"]["public"] | {"owner": "shop_owner"}
    statements = [text for text in plan(shop(**item), server, content).lines() if "OWNER TO" in text]
    assert statements == [f'shop: ALTER {text} OWNER TO "shop_owner"' for text in expected]


def test_whoever_hands_over_gets_back_what_the_pattern_gives() -> None:
    """The application's account made the table; as an owner it could do everything, afterwards only what it is granted."""
    server, content = converged()
    content["handed_over"] = [{"owner": "shop_app", "schema": "public", "sql": "TABLE public.a"}]
    all_of_it = {"shop_app": ["DELETE", "INSERT", "SELECT", "TRUNCATE", "UPDATE"], "shop_readonly": ["SELECT"]}
    content["objects"] = [
        {
            "kind": "table",
            "schema": "public",
            "owner": "shop_app",
            "acl": all_of_it,
            "names": ["a"],
            "sql": ["public.a"],
        }
    ]
    assert plan(shop(adopt_from=["shop_app"]), server, content).lines() == [
        'shop: ALTER TABLE public.a OWNER TO "shop_owner"',
        'shop: GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.a TO "shop_app"',
    ]


def test_a_former_owner_of_database_and_schema_gets_its_privileges_in_the_same_run() -> None:
    server, content = converged()
    server["databases"]["shop"]["owner"] = "shop_app"
    content["schemas"]["public"]["owner"] = "shop_readonly"
    assert plan(shop(), server, content).lines() == [
        'shop: ALTER DATABASE "shop" OWNER TO "shop_owner"',
        'shop: ALTER SCHEMA "public" OWNER TO "pg_database_owner"',
        'shop: GRANT CONNECT ON DATABASE "shop" TO "shop_app"',
        'shop: GRANT USAGE ON SCHEMA "public" TO "shop_readonly"',
    ]


# Exclusive


def exclusive(**item: Any) -> dict[str, Any]:
    return shop(**item) | {"exclusive": True}


def test_exclusive_leaves_what_is_listed_and_what_everyone_has_from_the_start() -> None:
    server, content = converged()
    content["defaults"].append({"role": "stranger", "schema": "public", "kind": "table", "acl": {"x": ["SELECT"]}})
    content["defaults"].append(
        {"role": "shop_owner", "schema": None, "kind": "function", "acl": {"public": ["EXECUTE"]}}
    )
    result = plan(exclusive(), server, content)
    assert (result.lines(), result.notices, result.problems) == ([], [], [])


def _surplus(server: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Each thing that nobody lists, with what takes it away."""
    facts, schema, defaults = server["databases"]["shop"], content["schemas"]["public"], content["defaults"]
    table = content["objects"][0]
    members = server["memberships"] = []
    default = 'shop: ALTER DEFAULT PRIVILEGES FOR ROLE "shop_owner"'
    option = " WITH GRANT OPTION"
    return {
        "connect": (
            lambda: facts["acl"].update(visitor=["CONNECT", "TEMPORARY"]),
            ['shop: REVOKE CONNECT, TEMPORARY ON DATABASE "shop" FROM "visitor" CASCADE'],
        ),
        "schema": (
            lambda: schema["acl"].update(shop_readonly=["USAGE", "CREATE"]),
            ['shop: REVOKE CREATE ON SCHEMA "public" FROM "shop_readonly" CASCADE'],
        ),
        "table": (
            lambda: table["acl"].update(shop_readonly=["SELECT", "DELETE"], public=["SELECT"]),
            [
                "shop: REVOKE SELECT ON TABLE public.a_table FROM PUBLIC CASCADE",
                'shop: REVOKE DELETE ON TABLE public.a_table FROM "shop_readonly" CASCADE',
            ],
        ),
        "owner of the table": (lambda: (table.update(owner="me"), table["acl"].update(me=["TRUNCATE"])), []),
        "grant option": (
            lambda: table["acl"].update(shop_readonly=["SELECT", "SELECT" + option], visitor=["SELECT"]),
            [
                'shop: GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.a_table TO "shop_app"',
                'shop: GRANT SELECT ON TABLE public.a_table TO "shop_readonly"',
                'shop: REVOKE GRANT OPTION FOR SELECT ON TABLE public.a_table FROM "shop_readonly" CASCADE',
                'shop: REVOKE SELECT ON TABLE public.a_table FROM "visitor" CASCADE',
            ],
        ),
        "grant option of what is not listed": (
            lambda: schema["acl"].update(visitor=["USAGE", "USAGE" + option]),
            [
                'shop: GRANT USAGE ON SCHEMA "public" TO "shop_app"',
                'shop: GRANT USAGE ON SCHEMA "public" TO "shop_readonly"',
                'shop: REVOKE USAGE ON SCHEMA "public" FROM "visitor" CASCADE',
            ],
        ),
        "default": (
            lambda: defaults[0]["acl"].update(visitor=["SELECT"]),
            [f'{default} IN SCHEMA "public" REVOKE SELECT ON TABLES FROM "visitor"'],
        ),
        "default everywhere": (
            lambda: defaults.append({"role": "shop_owner", "schema": None, "kind": "table", "acl": {"visitor": ["SELECT"]}}),
            [f'{default} REVOKE SELECT ON TABLES FROM "visitor"'],
        ),
        "member": (
            lambda: members.append({"role": "shop_owner", "member": "visitor", "grantor": "postgres"}),
            ['REVOKE "shop_owner" FROM "visitor" GRANTED BY "postgres" CASCADE'],
        ),
        "group": (
            lambda: members.append({"role": "pg_read_all_data", "member": "shop_app", "grantor": "me"}),
            ['REVOKE "pg_read_all_data" FROM "shop_app" GRANTED BY "me" CASCADE'],
        ),
        "listed member": (
            lambda: members.append({"role": "shop_owner", "member": "shop_migrator", "grantor": "postgres"}),
            [],
        ),
        "member of nobody listed": (
            lambda: members.append({"role": "pg_monitor", "member": "other", "grantor": "postgres"}),
            [],
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", _surplus(*converged()))
def test_exclusive_takes_away_what_nobody_lists_and_only_then(case: str) -> None:
    server, content = converged()
    change, expected = _surplus(server, content)[case]
    change()
    assert plan(shop(), server, content).lines() == []
    assert plan(exclusive(), server, content).lines() == expected


def test_before_16_a_membership_has_no_grantor_to_name() -> None:
    server, content = converged()
    server["version"] = 150000
    server["memberships"] = [{"role": "shop_owner", "member": "visitor", "grantor": "x"}] * 2
    assert plan(exclusive(), server, content).cluster == ['REVOKE "shop_owner" FROM "visitor" CASCADE']


def test_exclusive_lets_listed_privileges_stand() -> None:
    server, content = converged()
    content["objects"][0]["acl"]["auditor"] = ["SELECT"]
    server["roles"]["auditor"] = role()
    wanted = exclusive()
    wanted["privileges"] = [{"database": "shop", "role": "auditor", "privileges": ["SELECT"], "objects": ["a_table"]}]
    assert plan(wanted, server, content).lines() == []


def test_exclusive_names_roles_and_databases_that_nobody_lists() -> None:
    server, content = converged()
    traits = {"login": True, "superuser": False, "bypassrls": False}
    others = {"visitor": traits, "boss": traits | {"superuser": True}, "postgres": traits}
    server["others"] = {"roles": others, "databases": ["old"]}
    result = plan(exclusive(), server, content)
    assert result.lines() == []
    assert result.notices == [
        "not listed, and left alone: roles that log in or bypass privileges boss (superuser), visitor",
        "not listed, and left alone: databases old",
    ]
    assert plan(shop(), server, content).notices == []


# Privileges

OBJECTS = [
    {"kind": "table", "schema": "public", "acl": {}, "names": ["a", "b c"], "sql": ["public.a", 'public."b c"']},
    {"kind": "table", "schema": "public", "acl": {"x": ["SELECT"]}, "names": ["d"], "sql": ["public.d"]},
    {
        "kind": "function",
        "schema": "public",
        "acl": {},
        "names": ["f", "f"],
        "sql": ["public.f()", "public.f(integer)"],
    },
]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"privileges": ["select", "INSERT"], "objects": ["a", "d"]},
            [
                'GRANT SELECT, INSERT ON TABLE public.a TO "x"',
                'GRANT INSERT ON TABLE public.d TO "x"',
            ],
        ),
        ({"privileges": ["SELECT"], "objects": ["d"]}, []),
        (
            {"privileges": ["SELECT"]},
            [
                'GRANT SELECT ON TABLE public.a, public."b c" TO "x"',
                'ALTER DEFAULT PRIVILEGES FOR ROLE "postgres" IN SCHEMA "public" GRANT SELECT ON TABLES TO "x"',
            ],
        ),
        ({"privileges": ["SELECT"], "state": "absent"}, ['REVOKE SELECT ON TABLE public.d FROM "x"']),
        (
            {"privileges": ["EXECUTE"], "type": "function", "objects": ["f"]},
            ['GRANT EXECUTE ON ROUTINE public.f(), public.f(integer) TO "x"'],
        ),
        ({"privileges": ["TEMPORARY"], "type": "database"}, ['GRANT TEMPORARY ON DATABASE "shop" TO "x"']),
        (
            {"privileges": ["CONNECT"], "type": "database", "role": "public", "state": "absent"},
            ['REVOKE CONNECT ON DATABASE "shop" FROM PUBLIC'],
        ),
        ({"privileges": ["USAGE"], "type": "schema", "role": "public"}, []),
    ],
)
def test_privileges(item: dict[str, Any], expected: list[str]) -> None:
    wanted = bare()
    wanted["roles"] = [{"name": "x"}]
    wanted["privileges"] = [{"database": "shop", "role": "x", **item}]
    server = there()
    server["roles"]["x"] = role()
    result = plan(wanted, server, inside(objects=OBJECTS))
    assert (result.lines(), result.notices) == ([f"shop: {text}" for text in expected], [])


def test_objects_that_are_not_there_yet_are_said() -> None:
    wanted = bare()
    wanted["privileges"] = [{"database": "shop", "role": "postgres", "privileges": ["SELECT"], "objects": ["later"]}]
    result = plan(wanted, there(), inside(objects=OBJECTS))
    assert result.lines() == []
    assert result.notices == ["shop has no table public.later yet: a later run grants it to postgres"]


# What cannot be done


@pytest.mark.parametrize(
    ("wanted", "server", "problem"),
    [
        (bare(owner="nobody"), None, "shop is to be owned by nobody, a role that does not exist"),
        (bare(owner="nobody"), {}, "shop is to be owned by nobody, a role that does not exist"),
        (bare(schemas=[{"name": "s", "owner": "nobody"}]), None, "schema s of shop is to be owned by nobody"),
        (inputs(roles=[{"name": "x", "member_of": ["nobody"]}]), None, "x is to be a member of nobody"),
        (
            inputs(roles=[{"name": "x", "member_of": ["y"]}, {"name": "y", "state": "absent"}]),
            None,
            "x is to be a member of y, a role that is to be dropped",
        ),
        (
            inputs(roles=[{"name": "x", "state": "absent"}]),
            cluster(roles={"x": role(owns={"": 1, "shop": 2})}),
            r"x owns objects \(1 in the cluster, 2 in shop\): name their new owner in reassign_to",
        ),
        (
            inputs(roles=[{"name": "x", "state": "absent", "reassign_to": "nobody"}]),
            None,
            "x hands its objects to nobody, a role that does not exist",
        ),
        (bare(state="absent"), there(), "dropping shop wants a confirmation: -e confirm=shop"),
        (bare(), there(allow_connections=False), "shop takes no connections"),
        (bare(encoding="LATIN1"), there(), "shop has encoding UTF8, which cannot become LATIN1"),
        (bare(icu_locale="de"), there(), "shop has icu_locale None|shop has locale_provider libc"),
        (bare(extensions=[{"name": "nonesuch"}]), None, "wants extension nonesuch, which this server does not have"),
        (
            bare(extensions=[{"name": "vector", "version": "9"}]),
            cluster(
                extensions={"vector": {"version": "0.8.0", "schema": None, "versions": ["0.10.0", "0.8.0", "0.7.4"]}}
            ),
            r"wants extension vector 9, and the installed files offer 0\.7\.4, 0\.8\.0, 0\.10\.0",
        ),
        (
            bare(locale="de_DE.UTF-8"),
            cluster(locales=["C", "C.utf8"]),
            "locale de_DE.UTF-8, which this host lacks; it has C, C.utf8",
        ),
        (bare(locale_provider="builtin", locale="C"), cluster(version=160000), "builtin, which needs PostgreSQL 17"),
        (bare(icu_locale="de"), cluster(version=140000), "locale_provider icu, which needs PostgreSQL 15"),
        (bare(extensions=[{"name": "vector", "schema": "x"}]), None, "shop has no schema x: list it in schemas"),
        (
            bare() | {"privileges": [{"database": "shop", "role": "public", "privileges": ["MAINTAIN"]}]},
            cluster(version=160000),
            "names MAINTAIN, which needs PostgreSQL 17",
        ),
    ],
)
def test_problems_stop_the_plan(wanted: dict[str, Any], server: dict[str, Any] | None, problem: str) -> None:
    found = plan(wanted, server).problems
    assert found
    assert any(re.search(problem, text) for text in found), found
    assert all(text.startswith("pg_access_") and "\n" not in text for text in found)


@pytest.mark.parametrize(
    ("confirm", "dropped"), [("", False), ("sho", False), ("SHOP", False), ("shop", True), ("other, shop", True)]
)
def test_a_database_goes_only_when_it_is_named(confirm: str, dropped: bool) -> None:
    result = plan(bare(state="absent") | {"confirm": confirm}, there(), inside())
    assert result.drop == ['DROP DATABASE "shop"']
    assert (result.problems == []) is dropped


def test_a_database_that_is_gone_needs_no_confirmation() -> None:
    result = plan(bare(state="absent"))
    assert (result.lines(), result.problems) == ([], [])


def test_what_goes_with_its_database_needs_no_heir() -> None:
    server = there(owner="x")
    server["roles"]["x"] = role(owns={"shop": 3}, granted=["shop"])
    wanted = bare(state="absent") | {"confirm": "shop", "roles": [{"name": "x", "state": "absent"}]}
    result = plan(wanted, server)
    assert result.problems == []
    assert result.lines() == ['DROP DATABASE "shop"', 'DROP ROLE "x"']


def test_a_standby_is_left_alone() -> None:
    result = plan(shop(), cluster(in_recovery=True))
    assert (result.lines(), result.problems) == ([], [])
    assert "standby" in result.notices[0]


def test_without_a_server_everything_is_planned() -> None:
    result = plan(shop(extensions=[{"name": "vector", "version": "latest"}]), {})
    assert result.problems == []
    assert 'CREATE EXTENSION "vector" SCHEMA "public"' in result.databases[0]["statements"]


def test_names_are_quoted() -> None:
    wanted = inputs(
        databases=[{"name": 'a"b', "pattern": "none", "owner": "O'x", "schemas": [{"name": "S c"}]}],
        roles=[{"name": "O'x", "settings": {"role": "it's"}}],
    )
    assert plan(wanted).lines() == [
        'CREATE ROLE "O\'x"',
        "ALTER ROLE \"O'x\" SET role = 'it''s'",
        'CREATE DATABASE "a""b" OWNER "O\'x" TEMPLATE template0',
        'a"b: CREATE SCHEMA "S c"',
    ]


# Findings


def test_sound_inputs_have_no_findings() -> None:
    wanted = shop(extensions=[{"name": "vector"}], settings={"hnsw.ef_search": 100})
    wanted["roles"] = [{"name": "peer", "login": True, "password": False, "valid_until": "2030-01-31T00:00:00Z"}]
    wanted["privileges"] = [{"database": "shop", "role": "peer", "privileges": ["select"]}]
    assert findings(inputs()) == findings(wanted) == []


def privileges(**item: Any) -> dict[str, Any]:
    wanted = shop()
    wanted["privileges"] = [{"database": "shop", "role": "public", "privileges": ["SELECT"], **item}]
    return wanted


def secret(**passwords: Any) -> dict[str, Any]:
    wanted = shop()
    wanted["passwords"] = {
        name: text for name, text in {**wanted["passwords"], **passwords}.items() if text is not None
    }
    return wanted


@pytest.mark.parametrize(
    ("wanted", "finding"),
    [
        (inputs(databases=[{}]), "pg_access_databases: item 1 has no name"),
        (inputs(databases=["shop"]), "pg_access_databases: item 1 is no mapping"),
        (shop(patern="none"), "pg_access_databases: shop has the unknown key patern"),
        (shop(state="gone"), "pg_access_databases: shop has state gone"),
        (shop(pattern="odd"), "pg_access_databases: shop has pattern odd"),
        (
            shop(adopt_from=["shop_owner"]),
            "pg_access_databases: shop has shop_owner in adopt_from, who is the owner already",
        ),
        (bare(adopt_from=["x"]), "pg_access_databases: shop has adopt_from, but no owner"),
        (shop(owner="me"), "pg_access_databases: shop is owned by shop_owner"),
        (shop(locale_provider="glibc"), "pg_access_databases: shop has locale_provider glibc"),
        (shop(extensions=[{"schema": "public"}]), "pg_access_databases: shop: extensions: item 1 has no name"),
        (shop(extensions=[{"name": "v"}, {"name": "v"}]), "pg_access_databases: shop: extensions: v is listed 2 times"),
        (shop(schemas=[{"name": "pg_x"}]), "pg_access_databases: shop: schema pg_x belongs to the server"),
        (shop(settings={"a b": 1}), "pg_access_databases: shop: a b is no name of a setting"),
        (
            inputs(databases=[{"name": "d", "pattern": "none"}, {"name": "d", "pattern": "none"}]),
            "pg_access_databases: d is listed 2 times",
        ),
        (inputs(databases=[{"name": "template1", "pattern": "none"}]), "pg_access_databases: template1 is a template"),
        (inputs(databases=[{"name": "ä" * 32, "pattern": "none"}]), "is longer than 63 bytes"),
        (inputs(databases=[{"name": "x" * 55}]), f"makes the role {'x' * 55}_migrator, longer than 63 bytes"),
        (inputs(roles=[{"name": "a\nb"}]), "'a\\nb' holds characters that cannot be printed"),
        (inputs(roles=[{"name": "pg_x"}]), "pg_access_roles: pg_x is a name that the server reserves"),
        (inputs(roles=[{"name": "public"}]), "pg_access_roles: public is a name that the server reserves"),
        (inputs(roles=[{"name": "x", "colour": 1}]), "pg_access_roles: x has the unknown key colour"),
        (inputs(roles=[{"name": "x", "valid_until": "soon"}]), "pg_access_roles: x has valid_until soon"),
        (inputs(roles=[{"name": "x", "member_of": ["x"]}]), "pg_access_roles: x cannot be a member of itself"),
        (inputs(roles=[{"name": "x", "reassign_to": "y"}]), "pg_access_roles: x has reassign_to"),
        (inputs(roles=[{"name": "postgres", "state": "absent"}]), "pg_access_roles: postgres is the superuser"),
        (
            shop() | {"roles": [{"name": "shop_app", "state": "absent"}]},
            "pg_access_roles: shop_app is to be absent, but",
        ),
        (inputs(roles=[{"name": "x", "login": True}]), "pg_access_passwords has no entry for x"),
        (secret(shop_app=None), "pg_access_passwords has no entry for shop_app"),
        (secret(shop_ap="x"), "pg_access_passwords has an entry for shop_ap, a role that is neither listed"),
        (secret(shop_app=""), "pg_access_passwords: the entry for shop_app is empty"),
        (secret(shop_app=" "), "pg_access_passwords: the entry for shop_app is empty"),
        (secret(shop_app=12345), "pg_access_passwords: the entry for shop_app is no text"),
        (secret(shop_app="Shop_App"), "pg_access_passwords: the password of shop_app is the name of the role"),
        (secret(shop_app="a\0b"), "pg_access_passwords: the entry for shop_app holds a NUL character"),
        (secret(shop_app="md5" + "a" * 32), "pg_access_passwords: the entry for shop_app is an MD5 hash"),
        (privileges(database="other"), "pg_access_privileges: item 1 names the database other"),
        (privileges(type="view"), "pg_access_privileges: item 1 has type view"),
        (privileges(privileges=["FLY"]), "pg_access_privileges: item 1 wants FLY on a table"),
        (privileges(privileges=[]), "pg_access_privileges: item 1 has no privileges"),
        (
            privileges(type="database", privileges=["CONNECT"], objects=["x"]),
            "pg_access_privileges: item 1 has objects, which a database does not hold",
        ),
        (
            privileges(type="database", privileges=["CONNECT"], schema="x"),
            "pg_access_privileges: item 1 has a schema, which type: database has no use for",
        ),
    ],
)
def test_findings_name_the_variable_in_one_line(wanted: dict[str, Any], finding: str) -> None:
    found = findings(wanted)
    assert found
    assert finding in found[0]
    assert all(text.startswith("pg_access_") and "\n" not in text and SECRET not in text for text in found)


@pytest.mark.parametrize("name", ["databases", "roles", "privileges", "passwords"])
def test_wrong_types_are_left_to_the_specification(name: str) -> None:
    assert findings(inputs(**{name: "text"})) == []
    assert findings(inputs(databases=[{"name": "x", "extensions": "vector"}])) == []


# The filters


def test_the_filters_speak_plain_data() -> None:
    filters = access.FilterModule().filters()
    assert filters["access_findings"](shop()) == []
    scope = filters["access_scope"](shop())
    assert scope["databases"] == ["shop"]
    assert scope["schemas"] == ["public"]
    assert scope["roles"] == sorted(["pg_monitor", "shop_owner", *LOGINS])
    result = filters["access_plan"](shop(), {}, {})
    assert result["lines"][0] == result["cluster"][0] == 'CREATE ROLE "shop_owner" NOLOGIN'
    assert result["problems"] == []
