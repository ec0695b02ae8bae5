"""sqlite_import and pg_export on a server: what arrives is what was there, what cannot arrive is named, and nothing is left of a failure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _export, _import
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import connect, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from support import ROOT, Database, create_database, drop_database

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN short AS varchar(5);
CREATE TABLE users (id serial PRIMARY KEY, name varchar(20) NOT NULL, boss_id integer REFERENCES users);
CREATE TABLE everything (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id integer REFERENCES users, small smallint, big bigint, price numeric(10, 2),
    free numeric, single real, ratio double precision, active boolean DEFAULT true, note text, label short, code char(3), feeling mood, token uuid,
    raw bytea, document jsonb, plain json, born date, at time, seen timestamp, "Seen TZ" timestamptz, twice integer GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE tokens (token uuid PRIMARY KEY, amount double precision);
"""
FILE = """
CREATE TABLE everything (id INTEGER PRIMARY KEY, user_id, small, big, price, free, single, ratio, active, note, label, code, feeling, token, raw,
    document, plain, born, at, seen, "Seen TZ");
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, boss_id INTEGER);
CREATE TABLE tokens (token TEXT PRIMARY KEY, amount REAL);
"""
TOKEN = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
EVERYTHING: list[tuple[Any, ...]] = [
    (
        *(1, "1", "7", 2**40, 19.99, "1e3", 0.1, 0.1 + 0.2, "t", 'tab\t"quote" \\N \\. \r\n é', "fünf!", "ab", "ok", TOKEN.upper(), b"\x00\\x\xff"),
        *('{"b": 1.10, "aa": [null], "b": 2}', ' {"b":1, "a":2} ', "2025-11-13", "10:30", "2025-11-13T09:00:00.120000", "2025-11-13 09:00:00+02:00"),
    ),
    (2, *([None] * 20)),
    (
        *(5, 2, -3, "-5", 5, 7, 2, -2.5e-300, 0, "", "", "", "sad", bytes.fromhex(TOKEN.replace("-", "")), b""),
        *("[1e2]", "5", "2025-11-13 00:00:00", "23:59:59.5", "2025-11-13 09:00:00", "2025-11-13 09:00:00"),
    ),
]  # fmt: skip
DEFAULTS = {name: option.get("default") for name, option in _import.ARGUMENTS.items()}

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a value of each kind."""
    path = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(FILE)
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, ?)", [(1, "one", 2), (2, "two", None), (9, "gone", None)]
        )
        connection.execute("DELETE FROM users WHERE id = 9")
        connection.executemany(f"INSERT INTO everything VALUES ({', '.join('?' * 21)})", EVERYTHING)
        connection.executemany("INSERT INTO tokens VALUES (?, ?)", [(TOKEN, 1.5), (TOKEN.replace("7", "8"), None)])
        connection.commit()
    return path


@pytest.fixture
def made(database: Database) -> Database:
    """The tables, empty."""
    database.rows(SCHEMA)
    return database


@pytest.fixture
def ask(made: Database, file: Path, tmp_path: Path) -> Ask:
    """Do what the module does, in this process; options override."""
    (tmp_path / "temporary").mkdir()

    def run(check: bool = False, **options: Any) -> dict[str, Any]:
        params = {**DEFAULTS, "url": made.url, "source": str(file), **options}
        return _import.run(params, check, str(tmp_path / "temporary"))

    return run


def change(file: Path, statement: str, *values: Any) -> None:
    """Change the file."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(statement, values)
        connection.commit()


def counts(database: Database) -> list[int]:
    """Return the rows of the tables."""
    return [database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("users", "everything", "tokens")]


def test_everything_arrives(made: Database, ask: Ask) -> None:
    result = ask()
    assert result["changed"]
    assert result["rows"] == {"public.users": 2, "public.everything": 3, "public.tokens": 2}
    one, two, three = made.rows("SELECT * FROM everything ORDER BY id")
    assert one == (
        *(1, 1, 7, 2**40, Decimal("19.99"), Decimal(1000), pytest.approx(0.1), 0.1 + 0.2, True, 'tab\t"quote" \\N \\. \r\n é', "fünf!", "ab ", "ok"),
        *(UUID(TOKEN), b"\x00\\x\xff", {"aa": [None], "b": 2}, {"b": 1, "a": 2}, date(2025, 11, 13), clock(10, 30)),
        *(datetime(2025, 11, 13, 9, 0, 0, 120000), datetime(2025, 11, 13, 7, tzinfo=UTC), 2),
    )  # fmt: skip
    assert two[:2] == (2, None)
    assert set(two[1:-1]) == {None}
    assert three[12:15] == ("sad", UUID(TOKEN), b"")
    assert three[17:19] == (date(2025, 11, 13), clock(23, 59, 59, 500000))
    assert made.rows("SELECT id, boss_id FROM users ORDER BY id") == [(1, 2), (2, None)]
    # SQLite gave out 9 once, and nobody gets it again
    assert made.rows("INSERT INTO users (name) VALUES ('new') RETURNING id") == [(10,)]
    assert made.rows("INSERT INTO everything (note) VALUES ('new') RETURNING id") == [(6,)]
    [everything] = [table for table in result["tables"] if table["source"] == "everything"]
    assert everything["changed_values"] == {"Seen TZ": {"zone_assumed": 1}}


def test_the_schema_stays_as_it_was(made: Database, ask: Ask) -> None:
    made.rows(
        "CREATE INDEX plain_idx ON everything (user_id DESC NULLS LAST, note) INCLUDE (small) WHERE big > 0;"
        "CREATE INDEX document_idx ON everything USING gin (document jsonb_path_ops);"
        "CREATE INDEX told_idx ON everything (lower(note)); COMMENT ON INDEX told_idx IS 'kept';"
        "CREATE INDEX measured_idx ON everything ((user_id + 1)); ALTER INDEX measured_idx ALTER COLUMN 1 SET STATISTICS 200;"
        "ALTER TABLE everything ADD CONSTRAINT told_fkey FOREIGN KEY (small) REFERENCES users ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;"
        "COMMENT ON CONSTRAINT told_fkey ON everything IS 'kept'; CREATE INDEX clustered_idx ON everything (big);"
        "ALTER TABLE everything CLUSTER ON clustered_idx"
    )
    before = fingerprint(made)
    with pytest.raises(StewardError, match="told_fkey"):
        ask()  # 7 is no user
    made.rows("ALTER TABLE everything DROP CONSTRAINT told_fkey")
    for options in ({"check": True}, {}, {"mode": "replace", "confirm": made.name}):
        before = fingerprint(made)
        ask(**options)
        assert fingerprint(made) == before
    made.rows("SET enable_seqscan = off; SELECT id FROM everything WHERE lower(note) = ''")


def fingerprint(database: Database) -> str:
    """Return the fingerprint of everything that the catalog says of a database's schema."""
    place = parse_url(database.url)
    with contextlib.closing(connect(place, "test")) as connection:
        return str(_catalog.read(connection, place).snapshot.as_dict()["fingerprint"])


def test_a_second_run_changes_nothing(made: Database, ask: Ask) -> None:
    first = ask()
    again = ask()
    assert not again["changed"]
    assert {table["state"] for table in again["tables"]} == {"same"}
    assert again["checksums"] == first["checksums"]
    for options in (
        {"check": True},
        {"commit": "table"},
        {"mode": "append"},
        {"mode": "replace", "confirm": made.name},
    ):
        assert not ask(**options)["changed"]
    assert counts(made) == [2, 3, 2]


def test_check_mode_says_the_same_and_writes_nothing(made: Database, ask: Ask) -> None:
    said = ask(check=True)
    assert said["changed"]
    assert counts(made) == [0, 0, 0]
    assert made.rows("SELECT last_value, is_called FROM users_id_seq") == [(1, False)]
    done = ask()
    assert (said["rows"], said["checksums"]) == (done["rows"], done["checksums"])


@pytest.mark.parametrize("commit", ["all", "table"])
def test_what_cannot_arrive_is_named(made: Database, ask: Ask, file: Path, commit: str) -> None:
    change(file, "UPDATE everything SET label = 'sechs!' WHERE id = 5")
    with pytest.raises(StewardError) as caught:
        ask(commit=commit)
    assert "everything.label, row id=5, has 6 characters, and public.short takes 5: 'sechs!'" in str(caught.value)
    assert counts(made) == ([0, 0, 0] if commit == "all" else [2, 0, 0])


def test_rows_that_are_left_out_are_in_the_file(made: Database, ask: Ask, file: Path, tmp_path: Path) -> None:
    change(file, "UPDATE users SET name = NULL WHERE id = 2")
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(StewardError, match="that is one more than the 3 that may be left out"):
        ask(max_rejected=3, rejects=str(rejects))
    result = ask(max_rejected=4, rejects=str(rejects))
    # The first user has the second one as a boss, and two rows of everything have these users.
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(item["table"], item["key"]["id"], item["column"]) for item in found] == [
        ("users", 1, "boss_id"), ("users", 2, "name"), ("everything", 1, "user_id"), ("everything", 5, "user_id"),
    ]  # fmt: skip
    assert result["rejected_count"] == 4
    assert counts(made) == [0, 1, 2]
    assert rejects.stat().st_mode & 0o777 == 0o600


def test_tables_with_other_rows(made: Database, ask: Ask) -> None:
    made.rows("INSERT INTO tokens VALUES (gen_random_uuid(), 1)")
    with pytest.raises(StewardError, match=r"public\.tokens of .* has rows already, and not those of the file"):
        ask()
    with pytest.raises(StewardError, match="confirm is missing"):
        ask(mode="replace")
    assert counts(made) == [0, 0, 1]
    assert ask(mode="append")["changed"]
    assert counts(made) == [2, 3, 3]
    assert ask(mode="replace", confirm=made.name)["changed"]
    assert counts(made) == [2, 3, 2]


def test_orphans(made: Database, ask: Ask, file: Path, tmp_path: Path) -> None:
    change(file, "UPDATE everything SET user_id = 77 WHERE id = 2")
    with pytest.raises(
        StewardError, match=r"everything\.user_id of the file has 1 values that no row of users has \(77\)"
    ):
        ask()
    result = ask(on_orphan="reject", max_rejected=1, rejects=str(tmp_path / "rejects.jsonl"))
    assert (
        result["rejected"][0]["reason"]
        == "refers by key everything_user_id_fkey to a row of public.users that is not there"
    )
    made.rows("TRUNCATE users, everything, tokens; INSERT INTO users VALUES (77, 'there')")
    assert ask(mode="append")["changed"]
    assert counts(made) == [3, 3, 2]


def test_tables_that_refer_to_each_other(database: Database, tmp_path: Path) -> None:
    database.rows(
        "CREATE TABLE a (id integer PRIMARY KEY, b_id integer NOT NULL); CREATE TABLE b (id integer PRIMARY KEY, a_id integer NOT NULL REFERENCES a);"
        "ALTER TABLE a ADD CONSTRAINT a_b_fkey FOREIGN KEY (b_id) REFERENCES b"
    )
    before = database.rows(
        "SELECT conname, condeferrable, condeferred, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
    )
    path = tmp_path / "ring.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id); CREATE TABLE b (id INTEGER PRIMARY KEY, a_id);"
            "INSERT INTO a VALUES (1, 2); INSERT INTO b VALUES (2, 1);"
        )
    for commit in ("table", "all"):
        params = {**DEFAULTS, "url": database.url, "source": str(path), "commit": commit}
        assert _import.run(params, False, str(tmp_path))["changed"] == (commit == "table")
    assert database.rows("SELECT * FROM a, b") == [(1, 2, 2, 1)]
    assert (
        database.rows(
            "SELECT conname, condeferrable, condeferred, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
        )
        == before
    )


def test_a_trigger_that_changes_rows_is_found_out(made: Database, ask: Ask) -> None:
    made.rows(
        "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;"
        "CREATE TRIGGER planted BEFORE INSERT ON everything FOR EACH ROW EXECUTE FUNCTION planted()"
    )
    with pytest.raises(
        StewardError, match=r"public\.everything\.note does not hold what was sent: look at the triggers"
    ):
        ask()
    assert counts(made) == [0, 0, 0]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "INSERT INTO tokens SELECT upper(token), 2 FROM tokens LIMIT 1",
            "duplicate key value violates unique constraint",
        ),
        ("ALTER TABLE tokens ADD COLUMN surplus", "column tokens.surplus of the file has no place"),
        ("CREATE TABLE surplus (id)", "schema public has no table surplus"),
        ("UPDATE everything SET seen = 2025", "numbers from 2025 to 2025 for times"),
    ],
)
def test_nothing_is_left_of_a_failure(made: Database, ask: Ask, file: Path, statement: str, words: str) -> None:
    change(file, statement)
    with pytest.raises(StewardError) as caught:
        ask()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert counts(made) == [0, 0, 0]


def test_there_and_back(made: Database, ask: Ask, tmp_path: Path) -> None:
    first = ask()
    tables = ["users", "everything", "tokens"]
    back = tmp_path / "back.db"
    params = {"url": made.url, "schema": "public", "tables": tables, "format": "sqlite", "path": str(back)}
    assert _export.run(params, False)["rows"] == {"public.users": 2, "public.everything": 3, "public.tokens": 2}
    assert not _export.run(params, False)["changed"]
    other = create_database(f"{made.name}_back")
    try:
        other.rows(SCHEMA)
        ignored = [{"table": "everything", "name": "twice", "ignore": True}]
        options = {**DEFAULTS, "url": other.url, "source": str(back), "columns": ignored}
        there = _import.run(options, False, str(tmp_path))["checksums"]
        for table, columns in first["checksums"].items():
            assert there[table] == columns
    finally:
        drop_database(other.name)


def test_json_lines(made: Database, ask: Ask, tmp_path: Path) -> None:
    ask()
    params = {
        "url": made.url,
        "schema": "public",
        "tables": ["everything", "users"],
        "format": "jsonl",
        "path": str(tmp_path),
    }
    result = _export.run(params, False)
    lines = [json.loads(line) for line in (tmp_path / "everything.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [1, 2, 5]
    assert lines[0]["note"] == 'tab\t"quote" \\N \\. \r\n é'
    assert result["rows"] == {"public.everything": 3, "public.users": 2}
    assert not _export.run(params, False)["changed"]


KILLED = """
import json, sys
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import
_import.run(json.loads(sys.argv[1]), False, sys.argv[2])
"""


@pytest.mark.parametrize("commit", ["all", "table"])
def test_killed_in_the_middle(database: Database, tmp_path: Path, collections: Path, commit: str) -> None:
    names = ["a", "b", "c", "d"]
    path = tmp_path / "large.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in names:
            database.rows(f"CREATE TABLE {name} (id integer PRIMARY KEY, note text)")
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, note TEXT)")
            connection.execute(
                f"INSERT INTO {name} WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 100000)"
                " SELECT id, 'row ' || id FROM n"
            )
        connection.commit()
    params = {**DEFAULTS, "url": database.url, "source": str(path), "commit": commit}
    environment = {**os.environ, "PYTHONPATH": str(collections)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, json.dumps(params), str(tmp_path)], env=environment, cwd=ROOT
    )
    query = "SELECT count(*) FROM b" if commit == "table" else "SELECT count(*) FROM pg_stat_progress_copy"
    limit = time.monotonic() + 60
    while not database.rows(query)[0][0] and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _attempt in range(100):
        if not database.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = 'pgsteward sqlite_import'"):
            break
        time.sleep(0.1)
    there = [database.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names]
    assert set(there) <= {0, 100000}
    assert there[-1] == 0 or process.returncode == 0
    result = _import.run(params, False, str(tmp_path))
    assert [table["state"] for table in result["tables"]].count("same") == there.count(100000)
    assert [database.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names] == [100000] * 4


def test_embeddings(tmp_path: Path) -> None:
    from databases import own_database

    with own_database(vector=True) as database:
        database.rows(
            "CREATE TABLE faces (id integer PRIMARY KEY, embedding bytea NOT NULL, embedding_vec vector(512))"
        )
        path = tmp_path / "faces.db"
        singles = struct.pack("<512f", *(n / 7 for n in range(512)))
        doubles = struct.pack("<512d", *(n / 7 for n in range(512)))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE faces (id INTEGER PRIMARY KEY, embedding BLOB)")
            connection.executemany("INSERT INTO faces VALUES (?, ?)", [(1, singles), (2, doubles)])
            connection.commit()
        columns = [
            {"table": "faces", "name": "embedding"},
            {"table": "faces", "name": "embedding", "to": "embedding_vec"},
        ]
        params = {**DEFAULTS, "url": database.url, "source": str(path), "columns": columns}
        assert _import.run(params, False, str(tmp_path))["changed"]
        assert database.rows("SELECT count(DISTINCT embedding_vec::text), count(DISTINCT embedding) FROM faces") == [
            (1, 2)
        ]
        assert not _import.run(params, False, str(tmp_path))["changed"]
