"""What the owner of a database plants in it is never called by a superuser's session of ours.

Planted are twins of the server's own operators and functions, versions that fit better than the server's, views with the names of
catalogs, and casts of the application's type; a search path that prefers them is set for the database and for the account. Each call
advances a sequence, which no rollback takes back. The control shows that they do count where a superuser's path is not pinned.
"""

from __future__ import annotations

from collections.abc import Iterator

import lab
import plays
import psycopg
import pytest

CALLS = {"superusers": "public.planted_by_superusers", "others": "public.planted_by_others"}

# Every planted body starts with this call; is_superuser is the server's word on the current user.
NOTE = """
CREATE FUNCTION public.planted_note() RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT pg_catalog.nextval(
    CASE WHEN pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'::pg_catalog.text
    THEN 'public.planted_by_superusers' ELSE 'public.planted_by_others' END::pg_catalog.regclass
  ) IS NOT NULL
$$
"""

# Twins: the same names and types as the server's, in front of which a search path can put them.
TWIN_OPERATORS = """
DO $plant$
DECLARE o record;
BEGIN
  FOR o IN
    SELECT p.oprname AS name, p.oprleft::regtype AS l, p.oprright::regtype AS r, p.oprresult::regtype AS result, p.oid AS number
    FROM pg_operator AS p
    WHERE p.oprnamespace = 'pg_catalog'::regnamespace AND p.oprkind = 'b'
      AND p.oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '~', '!~', '~~', '!~~', '->', '->>', '@>', '+', '-', '&')
      AND p.oprleft::regtype::text IN ('text', 'name', 'oid', 'integer', 'bigint', 'smallint', 'boolean', '"char"', 'jsonb', 'timestamp with time zone')
      AND p.oprright::regtype::text IN ('text', 'name', 'oid', 'integer', 'bigint', 'smallint', 'boolean', '"char"', 'jsonb', 'timestamp with time zone')
  LOOP
    EXECUTE format(
      'CREATE FUNCTION public.planted_operator_%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql VOLATILE AS $f$
        BEGIN PERFORM public.planted_note(); RETURN a OPERATOR(pg_catalog.%s) b; END $f$',
      o.number, o.l, o.r, o.result, o.name);
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted_operator_%s)', o.name, o.l, o.r, o.number);
  END LOOP;
END $plant$
"""
TWIN_FUNCTIONS = """
DO $plant$
DECLARE f record;
BEGIN
  FOR f IN
    SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS types, p.prorettype::regtype AS result,
      (SELECT coalesce(string_agg('$' || n, ', ' ORDER BY n), '') FROM generate_series(1, p.pronargs) AS n) AS arguments
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0
      AND p.proargmodes IS NULL AND p.prorettype::regtype::text IN ('text', 'name', 'integer', 'bigint', 'boolean', 'oid')
      AND p.proname IN ('version', 'current_setting', 'set_config', 'current_database', 'current_schema', 'current_user', 'session_user',
        'pg_is_in_recovery', 'pg_get_userbyid', 'format_type', 'quote_ident', 'quote_literal', 'lower', 'upper', 'split_part', 'replace',
        'to_char', 'length', 'btrim', 'substr', 'strpos', 'starts_with', 'has_schema_privilege', 'has_database_privilege', 'pg_backend_pid',
        'pg_try_advisory_lock', 'obj_description', 'pg_get_indexdef', 'pg_get_expr', 'pg_encoding_to_char', 'pg_table_is_visible', 'to_regclass',
        'to_regtype', 'pg_get_constraintdef', 'pg_database_size', 'txid_current', 'isfinite', 'concat')
  LOOP
    EXECUTE format(
      'CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql VOLATILE AS $f$
        BEGIN PERFORM public.planted_note(); RETURN pg_catalog.%I(%s); END $f$',
      f.name, f.types, f.result, f.name, f.arguments);
  END LOOP;
END $plant$
"""

# Better fits: the server would have to convert an argument, these take it as it is. They win wherever public is in the path at all.
BETTER = """
DO $plant$
DECLARE o record;
BEGIN
  FOR o IN
    SELECT row_number() OVER () AS number, s.name, t.l, t.r
    FROM (VALUES ('='), ('<>'), ('~')) AS s (name),
      (VALUES ('name', 'character varying'), ('text', 'character varying'), ('character varying', 'text'), ('"char"', 'text'),
        ('"char"', 'character varying'), ('character varying', 'character varying')) AS t (l, r)
  LOOP
    EXECUTE format(
      'CREATE FUNCTION public.planted_better_%s(a %s, b %s) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $f$
        BEGIN PERFORM public.planted_note(); RETURN a::pg_catalog.text OPERATOR(pg_catalog.%s) b::pg_catalog.text; END $f$',
      o.number, o.l, o.r, o.name);
    EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted_better_%s)', o.name, o.l, o.r, o.number);
  END LOOP;
END $plant$;
CREATE FUNCTION public.quote_ident(a name) RETURNS text LANGUAGE plpgsql VOLATILE
  AS 'BEGIN PERFORM public.planted_note(); RETURN pg_catalog.quote_ident(a::pg_catalog.text); END';
CREATE FUNCTION public.lower(a character varying) RETURNS text LANGUAGE plpgsql VOLATILE
  AS 'BEGIN PERFORM public.planted_note(); RETURN pg_catalog.lower(a::pg_catalog.text); END'
"""
VIEWS = "; ".join(
    f"CREATE VIEW public.{name} AS SELECT c.* FROM pg_catalog.{name} AS c WHERE public.planted_note()"
    for name in (
        "pg_class",
        "pg_roles",
        "pg_database",
        "pg_extension",
        "pg_namespace",
        "pg_settings",
        "pg_proc",
        "pg_type",
    )
)
CASTS = """
CREATE FUNCTION public.planted_cast(a user_role_enum) RETURNS name LANGUAGE plpgsql VOLATILE
  AS 'BEGIN PERFORM public.planted_note(); RETURN pg_catalog.enum_out(a)::pg_catalog.name; END';
CREATE CAST (user_role_enum AS name) WITH FUNCTION public.planted_cast(user_role_enum) AS IMPLICIT
"""
PATH = "public, pg_catalog"
RESET_PATHS = "ALTER DATABASE powergym RESET search_path; ALTER ROLE powergym_migrator RESET search_path"

# What a superuser might type, and whether it takes a path of the planter's making to call what is planted.
CONTROLS = {
    "operator": ("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'clients'::text", PATH),
    "function": ("SELECT current_setting('server_version')", PATH),
    "view": ("SELECT count(*) FROM pg_extension", PATH),
    "better operator": (
        "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'clients'::varchar",
        '"$user", public',
    ),
    "better function": ("SELECT quote_ident(relname) FROM pg_catalog.pg_class LIMIT 1", '"$user", public'),
}


def calls(who: str) -> int:
    """Return how often something planted was called since the sequence was made."""
    ((value, called),) = lab.psql("powergym", f"SELECT last_value, is_called FROM {CALLS[who]}")
    return int(value) if called == "t" else 0


@pytest.fixture(scope="module")
def planted() -> Iterator[int]:
    """Plant as the owner of the database; return how many functions there are."""
    with lab.connect("powergym_migrator", "powergym") as connection:
        try:
            for name in CALLS.values():
                connection.execute(f"CREATE SEQUENCE {name}")  # type: ignore[call-overload]
                connection.execute(f"GRANT ALL ON SEQUENCE {name} TO PUBLIC")  # type: ignore[call-overload]
            for statement in (NOTE, TWIN_OPERATORS, TWIN_FUNCTIONS, BETTER, VIEWS, CASTS):
                connection.execute(statement)  # type: ignore[call-overload]
            connection.execute(f"ALTER DATABASE powergym SET search_path = {PATH}")  # type: ignore[call-overload]
            connection.execute("SET ROLE NONE")
            connection.execute(f"ALTER ROLE CURRENT_USER SET search_path = {PATH}")  # type: ignore[call-overload]
            ((count,),) = lab.psql("powergym", uprooting("SELECT count(*)"))
            restart()
            yield int(count)
        finally:
            clean()


def uprooting(head: str, where: str = "true") -> str:
    """Return a query over what is planted, written so that nothing planted is called by it."""
    return (
        f"SET search_path = pg_catalog, pg_temp; {head} FROM pg_catalog.pg_proc"
        f" WHERE pronamespace = 'public'::regnamespace AND prosrc LIKE '%planted\\_%' AND {where}"
    )


def restart() -> None:
    for name in CALLS.values():
        lab.psql("powergym", f"SELECT pg_catalog.setval('{name}', 1, false)")


def clean() -> None:
    statements = lab.psql("powergym", uprooting("SELECT 'DROP ROUTINE IF EXISTS ' || oid::regprocedure || ' CASCADE'"))
    drops = "; ".join(statement for (statement,) in statements)
    lab.psql(
        "powergym",
        "SET search_path = pg_catalog, pg_temp; SET client_min_messages = warning; "
        f"{drops or 'SELECT'}; DROP SEQUENCE IF EXISTS {', '.join(CALLS.values())}; {RESET_PATHS}",
    )


def test_much_is_planted(planted: int) -> None:
    assert planted >= 150


@pytest.mark.parametrize("name", CONTROLS)
def test_it_counts_where_a_superuser_s_path_is_not_pinned(planted: int, name: str) -> None:
    query, path = CONTROLS[name]
    assert planted
    before = calls("superusers")
    lab.run_on(
        "db1", "psql", "-XAtq", "-d", f"dbname=powergym options='-c search_path={path.replace(' ', '')}'", "-c", query
    )
    assert calls("superusers") > before
    lab.run_on("db1", "psql", "-XAtq", "-d", "dbname=powergym options='-c search_path=pg_catalog,pg_temp'", "-c", query)
    after = calls("superusers")
    lab.run_on("db1", "psql", "-XAtq", "-d", "dbname=powergym options='-c search_path=pg_catalog,pg_temp'", "-c", query)
    assert calls("superusers") == after


def test_the_database_s_own_search_path_is_enough_to_be_called(planted: int) -> None:
    before = calls("superusers")
    assert lab.psql("powergym", "SHOW search_path") == [[PATH]]
    lab.psql("powergym", CONTROLS["operator"][0])
    assert planted
    assert calls("superusers") > before


def test_the_cast_counts(planted: int) -> None:
    before = calls("others")
    assert planted
    with lab.connect("powergym_app", "powergym") as connection:
        connection.execute("SELECT 'admin'::public.user_role_enum::name")
    assert calls("others") > before


def test_a_whole_site_run_calls_nothing(planted: int) -> None:
    assert planted
    restart()
    plays.converge("--diff")
    assert {who: calls(who) for who in CALLS} == {"superusers": 0, "others": 0}


@pytest.mark.parametrize("truth", ["snapshot", "metadata"])
def test_a_verification_calls_nothing(planted: int, truth: str) -> None:
    """It finds what was planted, by reading about it."""
    assert planted
    restart()
    verify = {"truth": truth, "snapshot": "powergym/snapshots"}
    project = {"name": "systems", "databases": [{"name": "powergym", "section": "powergym", "verify": verify}]}
    run = plays.play(plays.VERIFY, variables={"pg_migrate_projects": [project]})
    words = " ".join(run.text.split())
    assert "powergym: not verified" not in words
    found = "function public.planted_note(): existence: expected absent, found present" in words
    assert found is (truth == "snapshot"), run.text
    assert {who: calls(who) for who in CALLS} == {"superusers": 0, "others": 0}


def test_a_superuser_s_snapshot_calls_nothing(planted: int) -> None:
    restart()
    snapshot = plays.module("pgsteward.postgres.schema_info", login_db="powergym", kinds=["function"])
    assert snapshot["objects"]["function"] >= planted
    assert {who: calls(who) for who in CALLS} == {"superusers": 0, "others": 0}


def test_a_migration_in_check_mode_lets_no_superuser_call_anything(planted: int) -> None:
    """A migration works with the application's path, as the application's owner: it may stumble over what that one planted, as that one."""
    assert planted
    restart()
    plays.play(plays.MIGRATE, "--check", "--diff")
    assert calls("superusers") == 0


def test_a_migration_in_check_mode_calls_no_twin_behind_the_usual_path(planted: int) -> None:
    """Without the operators that fit better, which its own driver would call, nothing planted is called at all."""
    assert planted
    better = lab.psql("powergym", uprooting("SELECT oid::regprocedure", "proname LIKE 'planted\\_better\\_%'"))
    drops = "; ".join(f"DROP FUNCTION {name} CASCADE" for (name,) in better)
    lab.psql("powergym", f"SET client_min_messages = warning; {drops}; {RESET_PATHS}")
    restart()
    run = plays.play(plays.MIGRATE, "--check", "--diff")
    assert run.code == 0, run.text
    assert {who: calls(who) for who in CALLS} == {"superusers": 0, "others": 0}


def test_what_was_planted_can_be_removed() -> None:
    clean()
    assert lab.psql("powergym", uprooting("SELECT count(*)")) == [["0"]]
    assert lab.psql("powergym", "SHOW search_path") == [['"$user", public']]
    with pytest.raises(psycopg.errors.UndefinedTable), lab.connect("powergym_app", "powergym") as connection:
        connection.execute("SELECT * FROM planted_by_others")
