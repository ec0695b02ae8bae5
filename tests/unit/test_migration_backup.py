"""What a migration can come back to: which databases are dumped first, and the commands that restore them."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _dump_commands,
    _migration_backup,
    _restore_request,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Outcome
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest

ROOT = Path(__file__).resolve().parents[2]
GB, MB = 1 << 30, 1 << 20
WHOLE = {"name": "shop"}
PRIMARY = {"item": "db2", "query_result": [{"sizes": {"shop": 3 * MB, "crm": 3 * GB}}]}
STANDBY = {"item": "db1", "query_result": []}
GONE = {"item": "db1", "unreachable": True, "msg": "Failed to connect\ntimed out"}
NONE: dict[str, Any] = {"due": [], "left": [], "failures": []}
DUE = {"name": "shop", "host": "db2", "bytes": 3 * MB}


def plan(*sizes: dict[str, Any], entries: Any = (WHOLE,), names: Any = ("shop",), limit: Any = "2GB") -> dict[str, Any]:
    dumps = {"db1": list(entries), "db2": list(entries)}
    return _migration_backup.plan(names, {"dumps": dumps, "limit": limit, "sizes": list(sizes)})


@pytest.mark.parametrize(
    ("found", "due", "left"),
    [
        (plan(), [], []),  # nobody was asked: no dumps here, or never
        (plan({"item": "db1", "skipped": True}), [], []),
        (plan(STANDBY, PRIMARY), [DUE], []),
        (plan(GONE, PRIMARY), [DUE], []),
        (plan(PRIMARY, limit=3 * MB), [DUE], []),
        (plan(PRIMARY, limit="2MB"), [], ["it has 3.0 MB, and pg_migrate_dump_limit is 2.0 MB"]),
        (
            plan(PRIMARY, names=["shop", "crm"], entries=[WHOLE, {"name": "crm"}]),
            [DUE],
            ["it has 3.0 GB, and pg_migrate_dump_limit is 2.0 GB"],
        ),
        (plan(PRIMARY, entries=[]), [], ["pg_dumps_databases does not list it"]),
        (plan(PRIMARY, entries=[{**WHOLE, "content": "all", "schemas": [], "format": "directory"}]), [DUE], []),
        (plan(PRIMARY, entries=[{**WHOLE, "content": "schema"}]), [], ["pg_dumps_databases has only a part of it dumped"]),
        (plan(PRIMARY, entries=[{**WHOLE, "tables": ["a.b"]}]), [], ["pg_dumps_databases has only a part of it dumped"]),
        (plan({"item": "db2", "query_result": [{"sizes": {}}]}), [], ["the server does not know it"]),
        (plan(STANDBY), [], ["no server that dumps are taken from takes writes"]),
    ],
)  # fmt: skip
def test_what_is_dumped(found: dict[str, Any], due: list[Any], left: list[str]) -> None:
    assert (found["due"], [item["why"] for item in found["left"]], found["failures"]) == (due, left, [])


def test_nobody_knows_the_sizes_where_a_server_is_silent() -> None:
    [failure] = plan(STANDBY, GONE)["failures"]
    assert failure.startswith("no server that takes writes has told how large the databases are (db1: timed out)")


@pytest.mark.parametrize(("limit", "wrong"), [("2GB", False), (0, False), ("0", False), ("2 GiB", True), ("much", True), ("-1", True)])  # fmt: skip
def test_limits(limit: Any, wrong: bool) -> None:
    assert bool(_migration_backup.limit_findings(limit)) == wrong


def kept(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    asked = {
        "inventory": ["my inventory"],
        "cluster": "prod",
        "plan": {**NONE, "due": [DUE]},
        "dumped": list(results),
        "point": {"name": "before-migrate-20261122T061500Z", "results": []},
    }
    return _migration_backup.kept({**asked, **changes})


def said(capsys: pytest.CaptureFixture[str], *names: str, database: str = "shop") -> str:
    """Return what backup-db says of dumps."""
    for name in names:
        manifest = SimpleNamespace(name=name, bytes=1, seconds=0.1, files=())
        _dump_commands._tell(database, Outcome("s3://backups/x to y: z", cast("Manifest", manifest)))
    return capsys.readouterr().out


NAME, EARLIER = "backup_prod_20261122_061500", "backup_prod_20261122_020000"


def test_the_dump_is_the_one_that_backup_db_names_last(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, EARLIER, NAME) + said(capsys, EARLIER, database="other")
    dump = kept({"item": DUE, "rc": 0, "stdout": told})["dumps"]["shop"]
    assert (dump["name"], dump["failures"]) == (NAME, [])


@pytest.mark.parametrize(
    ("result", "failure"),
    [
        ({"rc": 1, "stdout": "", "stderr": "x\nbackup-db: shop to a: no room\n"}, "backup-db: shop to a: no room"),
        ({"rc": 0, "stdout": ""}, "it has named no dump"),
        ({"unreachable": True, "msg": "timed out"}, "timed out"),
    ],
)
def test_a_dump_that_failed(result: dict[str, Any], failure: str) -> None:
    assert kept({"item": DUE, **result})["failures"] == [f"the dump of shop on db2 failed: {failure}"]


def test_what_was_not_dumped_is_no_failure() -> None:
    found = kept(plan={**NONE, "left": [{"name": "shop", "why": "it is large"}]})
    assert found["failures"] == []
    assert _migration_backup.lines(found) == ["shop: dump: none, as it is large"]


def variables(command: str) -> dict[str, str]:
    """Return what a command of ours gives a playbook."""
    words = shlex.split(command)
    assert words[:3] == ["ansible-playbook", "-i", "my inventory"]
    return dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "-e")


def test_the_commands_are_ones_that_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    point = {"name": "before-migrate-20261122T061500Z", "results": [{"item": "db2", "query_result": [{"lsn": "0/3"}]}]}
    found = kept({"item": DUE, "rc": 0, "stdout": said(capsys, NAME)}, point=point)
    dump = found["dumps"]["shop"]
    # On the host.
    words = shlex.split(dump["restore_there"])
    assert words[:2] == ["sudo", "/usr/local/bin/restore-db"]
    options = _dump_commands.restore_arguments().parse_args(words[2:])
    assert (options.file, options.of, options.confirm) == (NAME, "shop", "shop")
    # By the playbook of dumps, which hands on what the role knows.
    given = variables(dump["restore"])
    assert given == {"database": "shop", "dump": NAME, "confirm": "shop"}
    role = (ROOT / "roles" / "pg_dumps" / "vars" / "main.yml").read_text()
    assert all(re.search(rf'^  {name}: "{{{{ {name} \|', role, re.MULTILINE) for name in given)
    assert (ROOT / "playbooks" / "restore_dump.yml").exists()
    # To the restore point.
    given = variables(found["restore"])
    text = (ROOT / "roles" / "pgbackrest" / "vars" / "restore.yml").read_text()
    asked = dict.fromkeys(re.findall(r"^  '?(\w+)'?: \"{{ \w+ \| default\(", text, re.MULTILINE), "")
    assert given.keys() <= asked.keys()
    known = {"cluster": "prod", "servers": ["db1", "db2"], "hosts": ["db1", "db2"], "pointed": True, "check": False}
    read = _restore_request.read({**asked, "timeline": "latest", "exclusive": False, **given}, known)
    assert (read["findings"], read["way"], read["kind"], read["text"]) == ([], "in_place", "name", point["name"])
