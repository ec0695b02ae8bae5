"""The command lines of a dump and of its way back, and what a tool's last words become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_plan import Compression, Dump, Restore, Tools
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

SECRET = "p@ss %w:o/rd#?"
PLACE = Place("orders", "/var/run/postgresql", 5433, "dumps", SECRET)
LOGIN = "--dbname=application_name='pgsteward dump' connect_timeout=10 dbname=orders host=/var/run/postgresql port=5433 user=dumps"
OLD = Tools(Path("/usr/lib/postgresql/15/bin"), 15, "15.14")
NEW = Tools(Path("/usr/lib/postgresql/17/bin"), 17, "17.6")
SNAPSHOT = "00000003-0000001B-1"


@pytest.mark.parametrize(
    ("tools", "dump", "output", "words"),
    [
        (NEW, Dump("custom", Compression("zstd")), None, "--format=custom --compress=zstd"),
        (NEW, Dump("custom", Compression("gzip", 9)), None, "--format=custom --compress=gzip:9"),
        (NEW, Dump("plain", Compression("none")), None, "--format=plain --compress=none"),
        (OLD, Dump("custom", Compression("gzip")), None, "--format=custom --compress=6"),
        (OLD, Dump("plain", Compression("gzip", 1)), None, "--format=plain --compress=1"),
        (OLD, Dump("plain", Compression("none")), None, "--format=plain --compress=0"),
        (
            OLD,
            Dump("directory", Compression("gzip"), jobs=4),
            Path("/stage/d"),
            "--format=directory --compress=6 --jobs=4 --file=/stage/d --no-sync",
        ),
        (NEW, Dump("custom", Compression("zstd"), "schema"), None, "--format=custom --compress=zstd --schema-only"),
        (NEW, Dump("custom", Compression("zstd"), "data"), None, "--format=custom --compress=zstd --data-only"),
        (
            NEW,
            Dump("custom", Compression("zstd"), schemas=("Odd",), tables=(("public", "a.b"), ("s", 'q"t'))),
            None,
            '--format=custom --compress=zstd --schema="Odd" --table="public"."a.b" --table="s"."q""t"',
        ),
    ],
)
def test_dump(tools: Tools, dump: Dump, output: Path | None, words: str) -> None:
    line = plan.dump_command(tools, PLACE, dump, SNAPSHOT, output)
    assert line[:3] == [f"{tools.directory}/pg_dump", LOGIN, "--no-password"]
    fixed = [f"--snapshot={SNAPSHOT}", "--lock-wait-timeout=60000"]
    assert [word for word in line[3:] if word not in fixed] == words.split(" ")
    assert all(word in line for word in fixed)


@pytest.mark.parametrize("passwords", [True, False])
def test_globals(passwords: bool) -> None:
    line = plan.globals_command(NEW, PLACE, passwords)
    assert line[:4] == [f"{NEW.directory}/pg_dumpall", "--globals-only", LOGIN, "--database=orders"]
    assert ("--no-role-passwords" in line) is not passwords


@pytest.mark.parametrize(
    ("restore", "words"),
    [
        (Restore(), "--single-transaction"),
        (Restore(jobs=4), "--jobs=4"),
        (Restore(clean=True), "--single-transaction --clean --if-exists"),
        (Restore(use_list=Path("/t/list")), "--single-transaction --use-list=/t/list"),
        (Restore(role="shop_owner"), "--single-transaction --no-owner --no-privileges --role=shop_owner"),
        (Restore(jobs=2, content="data"), "--jobs=2 --data-only"),
    ],
)
def test_restore(restore: Restore, words: str) -> None:
    line = plan.restore_command(NEW, PLACE, Path("/t/x.dump"), restore)
    assert line[0] == f"{NEW.directory}/pg_restore"
    assert line[1] == LOGIN.replace("pgsteward dump", "pgsteward restore")
    assert line[2:4] == ["--no-password", "--exit-on-error"]
    assert line[4:] == [*words.split(), "/t/x.dump"]


def test_psql_reads_no_file_of_the_account_and_stops_at_the_first_error() -> None:
    line = plan.psql_command(NEW, PLACE)
    assert {"--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction", "--file=-"} < set(line)
    assert "--single-transaction" not in plan.psql_command(NEW, PLACE, single_transaction=False)


def commands() -> list[list[str]]:
    return [
        plan.dump_command(NEW, PLACE, Dump("custom", Compression("zstd")), SNAPSHOT),
        plan.globals_command(NEW, PLACE, True),
        plan.restore_command(NEW, PLACE, Path("/x"), Restore()),
        plan.psql_command(NEW, PLACE),
    ]


@pytest.mark.parametrize("command", commands())
def test_no_secret_is_on_a_command_line(command: list[str]) -> None:
    assert not any(SECRET in word or "password=" in word.replace("--no-password", "") for word in command)


def test_environment() -> None:
    base = {"PATH": "/bin", "PGPASSWORD": "x", "PGHOST": "elsewhere", "LC_MESSAGES": "de_DE", "HOME": "/root"}
    made = plan.environment(PLACE, base, Path("/t/pass"), {"maintenance_work_mem": "1 GB"})
    assert made == {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PGCLIENTENCODING": "UTF8",
        "PGPASSFILE": "/t/pass",
        "PGOPTIONS": r"-c search_path=pg_catalog,pg_temp -c maintenance_work_mem=1\ GB",
    }
    assert "PGPASSFILE" not in plan.environment(Place("orders"), {}, Path("/t/pass"))


@pytest.mark.parametrize(("password", "line"), [("plain", "plain"), (r"a:b\c", r"a\:b\\c")])
def test_pass_line(password: str, line: str) -> None:
    assert plan.pass_line(password) == f"*:*:*:*:{line}\n"


@pytest.mark.parametrize(
    ("wanted", "tools", "form", "program", "found"),
    [
        ("auto", NEW, "custom", False, "zstd:1"),
        ("auto", NEW, "directory", False, "zstd:1"),
        ("auto", NEW, "plain", True, "zstd:1"),
        ("auto", NEW, "plain", False, "gzip"),
        ("auto", OLD, "custom", True, "gzip"),
        ("gzip", NEW, "custom", True, "gzip"),
        ("gzip:9", OLD, "plain", True, "gzip:9"),
        ("zstd:19", NEW, "custom", True, "zstd:19"),
        ("none", OLD, "plain", True, "none"),
    ],
)
def test_compression(wanted: str, tools: Tools, form: str, program: bool, found: str) -> None:
    assert str(plan.compression_of(wanted, tools, form, program)) == found


@pytest.mark.parametrize(
    ("wanted", "tools", "form", "program", "words"),
    [
        (
            "zstd",
            OLD,
            "custom",
            True,
            "needs the tools of PostgreSQL 16, and here is pg_dump 15.14: take gzip, or auto",
        ),
        ("zstd", NEW, "plain", False, "install zstd, or take gzip"),
        ("lz4", NEW, "custom", True, "'lz4' is none of auto, gzip, zstd and none"),
        ("none:3", NEW, "custom", True, "is none of"),
        ("auto:3", NEW, "custom", True, "is none of"),
        ("gzip:10", NEW, "custom", True, "the level of gzip goes from 1 to 9"),
        ("zstd:", NEW, "custom", True, "the level of zstd goes from 1 to 22"),
    ],
)
def test_compressions_that_are_none(wanted: str, tools: Tools, form: str, program: bool, words: str) -> None:
    with pytest.raises(StewardError) as caught:
        plan.compression_of(wanted, tools, form, program)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"jobs": 0}, "jobs is 0: give at least 1"),
        ({"jobs": 2}, "only the format directory is written in parallel"),
        ({"jobs": 2, "form": "directory"}, None),
        ({}, None),
    ],
)
def test_findings(given: dict[str, Any], words: str | None) -> None:
    found = plan.findings(Dump(**{"form": "custom", "compression": Compression("gzip"), **given}))
    assert found == [] if words is None else words in found[0]


@pytest.mark.parametrize(
    ("said", "major", "version"),
    [
        ("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", 15, "15.14"),
        ("pg_dump (PostgreSQL) 18beta2\n", 18, "18beta2"),
    ],
)
def test_tools(said: str, major: int, version: str) -> None:
    assert plan.tools_of(Path("/x"), said) == Tools(Path("/x"), major, version)


def test_what_is_no_tool() -> None:
    assert plan.tools_of(Path("/x"), "pg_dump: command not found") is None


@pytest.mark.parametrize(
    ("there", "server", "chosen"),
    [([OLD, NEW], 15, OLD), ([NEW, OLD], 17, NEW), ([NEW, OLD], 16, NEW), ([NEW], 15, NEW)],
)
def test_choose(there: list[Tools], server: int, chosen: Tools) -> None:
    assert plan.choose(there, server) == chosen


@pytest.mark.parametrize(
    ("there", "words"),
    [([OLD], "and only those of 15 are here: install postgresql-client-18"), ([], "there are none here")],
)
def test_no_tools_for_a_server(there: list[Tools], words: str) -> None:
    with pytest.raises(StewardError) as caught:
        plan.choose(there, 18)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("stderr", "text"),
    [
        (
            "pg_dump: error: query failed: ERROR:  permission denied for table secrets\npg_dump: detail: Query was: LOCK TABLE public.secrets",
            (
                "pg_dump failed: query failed: ERROR: permission denied for table secrets / detail: Query was: LOCK TABLE public.secrets;"
                " the account of dumps is a member of pg_read_all_data and may bypass row security"
            ),
        ),
        (
            'psql:<stdin>:12: ERROR:  role "shop_owner" does not exist\n',
            'psql failed: ERROR: role "shop_owner" does not exist; make the role first, or restore with role',
        ),
        ("something odd\n", "pg_dump failed: something odd"),
        ("", "pg_dump failed: no reason given"),
    ],
)
def test_last_words(stderr: str, text: str) -> None:
    assert plan.last_words(text.split(" ", 1)[0], stderr) == text


def test_warnings() -> None:
    said = "pg_dump: warning: subscriptions not dumped because current user is not a superuser\npg_dump: saving search_path\n"
    assert plan.warnings_of(said * 2) == ("subscriptions not dumped because current user is not a superuser",)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["orders"], (("public", "orders"),)),
        (["shop.orders", '"Odd.one"."T"'], (("shop", "orders"), ("Odd.one", "T"))),
        ([], ()),
    ],
)
def test_table_names(given: list[str], found: Any) -> None:
    assert plan.table_names(given) == found


@pytest.mark.parametrize("text", ["", "a.b.c", '"a'])
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(StewardError, match=r"is no table: write schema\.table"):
        plan.table_names([text])


@pytest.mark.parametrize(("method", "factor"), [("zstd", 1), ("gzip", 1), ("none", 2)])
def test_expected_bytes(method: str, factor: int) -> None:
    assert plan.expected_bytes(1 << 30, Compression(method)) == (factor << 30) + (1 << 20)
