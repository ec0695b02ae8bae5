"""Changes that an application lives through: a hand-over of its tables, a new password without downtime, a drop. In a database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lab
import plays
import psycopg
import pytest

SHOP = "pgsteward_shop"  # pg_hba of the lab lets everyone of this machine into databases of this prefix
APP, SECOND, OLD = f"{SHOP}_app", f"{SHOP}_app_2", "pgsteward_old"
PATTERN = [f"{SHOP}_{suffix}" for suffix in ("owner", "migrator", "app", "readonly", "monitor")]
PASSWORDS = {role: f"first of {role}" for role in PATTERN[1:]}

# What an application left behind that made its tables with its own account, and what somebody gave away in a hurry.
LEGACY = f"""
  CREATE ROLE {OLD} LOGIN;
  CREATE ROLE pgsteward_visitor LOGIN;
  GRANT CREATE ON SCHEMA public TO {OLD};
  SET ROLE {OLD};
  CREATE TYPE mood AS ENUM ('calm', 'busy');
  CREATE TABLE orders (id serial PRIMARY KEY, mood mood);
  INSERT INTO orders (mood) VALUES ('calm');
  CREATE VIEW calm_orders AS SELECT * FROM orders WHERE mood = 'calm';
  CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders';
  RESET ROLE;
  GRANT CONNECT ON DATABASE {SHOP} TO pgsteward_visitor;
  GRANT SELECT ON orders TO pgsteward_visitor WITH GRANT OPTION;
  SET ROLE pgsteward_visitor; GRANT SELECT ON orders TO {APP}; RESET ROLE;
  GRANT {SHOP}_owner TO pgsteward_visitor
"""


def access(*options: str, **given: Any) -> plays.Played:
    """Run the role for the database of these tests alone; what is not given is as the pattern has it."""
    passwords = {**PASSWORDS, **given.pop("passwords", {})}
    variables = {"pg_access_databases": [{"name": SHOP, **given.pop("database", {})}], "pg_access_passwords": passwords}
    variables |= {f"pg_access_{name}": value for name, value in {"roles": [], **given}.items()}
    return plays.play(plays.SITE, "--tags", "pg_access", "--diff", *options, variables=variables)


def connect(user: str, password: str) -> psycopg.Connection[Any]:
    return lab.connect(user, SHOP, password=password)


def remove() -> None:
    lab.psql("postgres", f"DROP DATABASE IF EXISTS {SHOP} WITH (FORCE)")
    roles = ", ".join((*PATTERN, SECOND, OLD, "pgsteward_visitor"))
    lab.psql("postgres", f"SET client_min_messages = warning; DROP ROLE IF EXISTS {roles}")


@pytest.fixture(scope="module", autouse=True)
def shop() -> Iterator[None]:
    """A database that the role made, with what others did to it since."""
    remove()
    made = access()
    assert made.code == 0, made.text
    lab.psql(SHOP, LEGACY)
    yield
    remove()


def owners() -> set[str]:
    """Return who owns what schema public holds: relations, functions, types."""
    parts = (
        ("pg_class", "relnamespace", "relowner"),
        ("pg_proc", "pronamespace", "proowner"),
        ("pg_type", "typnamespace", "typowner"),
    )
    query = " UNION ".join(
        f"SELECT {owner}::regrole::text FROM {table} WHERE {schema} = 'public'::regnamespace"
        for table, schema, owner in parts
    )
    return {name for (name,) in lab.psql(SHOP, query)}


def test_without_a_word_tables_stay_whose_they_are() -> None:
    assert access("--check").text.count("OWNER TO") == 0
    assert owners() == {OLD}


def test_tables_are_handed_over_and_what_nobody_lists_goes() -> None:
    plan = access("--check", database={"adopt_from": [OLD]}, exclusive=True)
    assert f'ALTER TABLE public.orders OWNER TO "{SHOP}_owner"' in plan.text
    assert "not listed, and left alone" in plan.text
    assert owners() == {OLD}
    run = access(database={"adopt_from": [OLD]}, exclusive=True)
    assert (run.code, run.changed) == (0, 2), run.text
    assert owners() == {f"{SHOP}_owner"}
    rights = f"""
      SELECT has_table_privilege('{APP}', 'orders', 'SELECT, INSERT, UPDATE, DELETE'), has_table_privilege('{SHOP}_readonly', 'orders', 'SELECT'),
        has_table_privilege('pgsteward_visitor', 'orders', 'SELECT'), has_database_privilege('pgsteward_visitor', '{SHOP}', 'CONNECT'),
        pg_has_role('pgsteward_visitor', '{SHOP}_owner', 'MEMBER'), has_schema_privilege('{OLD}', 'public', 'CREATE')
    """
    assert lab.psql(SHOP, rights) == [["t", "t", "f", "f", "f", "f"]]
    again = access(database={"adopt_from": [OLD]}, exclusive=True)
    assert (again.code, again.changed) == (0, 0), again.text
    with connect(f"{SHOP}_migrator", PASSWORDS[f"{SHOP}_migrator"]) as connection:
        connection.execute("ALTER TABLE orders ADD COLUMN note text")


def test_a_password_changes_without_downtime() -> None:
    """Two accounts overlap: the application moves to the second, then the first gets its new password."""
    second = {"name": SECOND, "login": True, "member_of": [APP], "connection_limit": 30}
    passwords = {SECOND: "of the second"}
    with connect(APP, PASSWORDS[APP]) as first:
        assert access(roles=[second], passwords=passwords).code == 0
        with connect(SECOND, passwords[SECOND]) as moved:
            moved.execute("INSERT INTO orders (mood) VALUES ('busy')")
            connect(APP, PASSWORDS[APP]).close()

            ended = {"name": APP, "valid_until": "2020-01-01T00:00:00Z"}
            assert access(roles=[second, ended], passwords=passwords).code == 0
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                connect(APP, PASSWORDS[APP])
            for session in (first, moved):
                session.execute("UPDATE orders SET mood = 'calm'")

            renewed = {"name": APP, "valid_until": "infinity"}
            gone = {"name": SECOND, "state": "absent"}
            assert access(roles=[renewed, second], passwords={**passwords, APP: "second of the first"}).code == 0
            connect(APP, "second of the first").close()
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                connect(APP, PASSWORDS[APP])
    done = access(roles=[renewed, gone], passwords={APP: "second of the first"})
    assert done.code == 0, done.text
    assert lab.psql("postgres", f"SELECT count(*) FROM pg_roles WHERE rolname = '{SECOND}'") == [["0"]]
    again = access(roles=[renewed, gone], passwords={APP: "second of the first"})
    assert (again.code, again.changed) == (0, 0), again.text


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"name": f"{SHOP}_2", "locale": "xx_XX.UTF-8"}, "wants locale xx_XX.UTF-8, which this host lacks"),
    ({"extensions": [{"name": "vector", "version": "99"}]}, "wants extension vector 99, and the installed files offer"),
    ({"name": f"{SHOP}_2", "pattern": "none", "owner": "pgsteward_unknown"}, "a role that does not exist"),
    ({"state": "absent"}, f"dropping {SHOP} wants a confirmation: -e confirm={SHOP}"),
]


@pytest.mark.parametrize(("database", "line"), lab.few(IMPOSSIBLE, IMPOSSIBLE[0], IMPOSSIBLE[-1]))
def test_what_cannot_be_done_is_one_line_before_anything_changes(database: dict[str, Any], line: str) -> None:
    extra = {
        f"{database.get('name', SHOP)}_{suffix}": "x of it" for suffix in ("migrator", "app", "readonly", "monitor")
    }
    pattern = database.get("pattern", "standard") == "standard" and database.get("state") != "absent"
    variables = {"pg_access_databases": [{"name": SHOP, **database}], "pg_access_passwords": extra if pattern else {}}
    run = plays.play(plays.SITE, "--tags", "pg_access", variables={**variables, "pg_access_roles": []})
    assert run.code != 0
    assert run.changed == 0
    assert [text for text in run.text.splitlines() if text.startswith("[ERROR]") and line in text], run.text


def test_a_database_and_its_roles_go_when_they_are_named() -> None:
    gone = [{"name": role, "state": "absent"} for role in PATTERN]
    variables = {
        "pg_access_databases": [{"name": SHOP, "state": "absent"}],
        "pg_access_roles": gone,
        "pg_access_passwords": {},
    }
    run = plays.play(plays.SITE, "--tags", "pg_access", variables={**variables, "confirm": SHOP})
    assert run.code == 0, run.text
    assert lab.psql("postgres", f"SELECT count(*) FROM pg_database WHERE datname = '{SHOP}'") == [["0"]]
    assert lab.psql("postgres", f"SELECT count(*) FROM pg_roles WHERE rolname LIKE '{SHOP}%'") == [["0"]]
    again = plays.play(plays.SITE, "--tags", "pg_access", variables={**variables, "confirm": SHOP})
    assert (again.code, again.changed) == (0, 0), again.text
