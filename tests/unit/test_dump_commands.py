"""The commands for people: what FILE may be, what they refuse, what they say, with which exit code."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_commands as commands
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_foreign as foreign
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_names import name_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

NOW = datetime.now(UTC)
Call = Callable[..., tuple[int, str, str]]


def make(target: Target, age: float, database: str = "shop", form: str = "custom") -> str:
    """Put a small dump into a store; return its name."""
    name = str(name_of("lab", NOW - timedelta(days=age)))
    key, ending = f"{database}/{name}", "/toc.dat" if form == "directory" else ".dump"
    files = (target.put(key, ending, "dump", b"rows"),)
    manifest = Manifest(
        name, database, "lab", "postgresql", "2026-01-01T00:00:00Z", 1.0, "db1", form, "gzip", "17.6", "17.6", files
    )
    target.put(key, ".manifest.json", "manifest", manifest.as_text().encode())
    return name


@pytest.fixture
def near(tmp_path: Path) -> Target:
    return target_of({"path": str(tmp_path / "near")})


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run one of the commands on a configuration of its own; return exit code, output and errors."""
    monkeypatch.setattr(commands.signal, "signal", lambda *_given: None)
    monkeypatch.setattr(commands.os, "umask", lambda _mask: 0)
    (tmp_path / "state").mkdir()
    held: dict[str, Any] = {
        "environment": "lab", "host": "db1", "account": pwd.getpwuid(os.geteuid()).pw_name, "socket": str(tmp_path), "port": 1,
        "user": "dumps", "superuser": "postgres", "directory": str(tmp_path / "state"), "from": "any", "bin_directory": None,
        "databases": [{"name": "shop"}], "sqlite": [], "stores": [{"path": str(tmp_path / "near"), "name": "near"}], "retention": {"count": 1},
    }  # fmt: skip

    def run(program: str, *words: str, **change: Any) -> tuple[int, str, str]:
        path = tmp_path / "dumps.json"
        path.write_text(config.text_of({**held, **change}))
        main = {"backup-db": commands.backup, "restore-db": commands.restore, "drill-db": commands.drill}[program]
        code = commands.run(program, main, [*words, "--config", str(path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_list_and_verify(call: Call, near: Target) -> None:
    good, bad = make(near, 2), make(near, 1)
    path = near.store.root / "shop" / f"{bad}.dump"  # type: ignore[attr-defined]
    path.write_bytes(b"rowz")
    code, out, _err = call("backup-db", "--list")
    assert (code, out.count("  good\n")) == (0, 2)
    code, out, err = call("backup-db", "--verify")
    assert code == 1
    assert f"near: shop/{good}: " in out
    assert err.startswith(f"backup-db: near: shop/{bad}.dump is damaged: its SHA-256 is ")
    # It is remembered, and retention goes by it.
    code, out, _err = call("backup-db", "--list")
    assert "found damaged" in out
    code, out, _err = call("backup-db", "--prune", "--dry-run")
    assert (code, out) == (0, f"shop in near: would remove {bad} ({near_size(near, bad)}); 1 stay\n")
    assert call("backup-db", "--verify", bad)[0] == 1
    assert call("backup-db", "--verify", good)[0] == 0


def near_size(target: Target, name: str) -> str:
    return commands.readable_size(sum(item.size for item in target.store.items() if name in item.key))


def test_probe(call: Call, tmp_path: Path) -> None:
    assert call("backup-db", "--probe") == (0, "near: can be written\n", "")
    (tmp_path / "file").write_text("x")
    code, _out, err = call("backup-db", "--probe", stores=[{"path": str(tmp_path / "file" / "x"), "name": "far"}])
    assert code == 1
    assert err.startswith("backup-db: far: ")


def test_prune(call: Call, near: Target) -> None:
    old, new = make(near, 2), make(near, 1)
    code, out, _err = call("backup-db", "--prune")
    assert code == 0
    assert f"removed {old}" in out
    assert {item.key.split("/")[1].split(".")[0] for item in near.store.items()} == {new}


def test_prune_that_would_take_everything(call: Call, near: Target) -> None:
    make(near, 40)
    code, _out, err = call("backup-db", "--prune", retention={"days": 30})
    assert code == 1
    assert "would remove every dump, 1 of them" in err
    assert len(near.store.items()) == 2


@pytest.mark.parametrize(
    ("words", "change", "err"),
    [
        (("nope",), {}, "nope is not in the configuration, which lists shop"),
        (("--store", "far"), {}, "there is no store far: the configuration has near"),
        (("--verify", "backup_lab_20200101_000000"), {}, "there is no dump backup_lab_20200101_000000 in near"),
        ((), {"databases": []}, "there is nothing to dump"),
        ((), {"account": "nobody_of_that_name"}, "there is no account nobody_of_that_name"),
        ((), {"stores": [{"path": "relative"}]}, "path relative has to be absolute"),
        ((), {"stores": [{"path": "/x", "encryption_key_file": "/none"}]}, "the key file /none is not there"),
    ],
)
def test_refusals_of_backup_db(call: Call, words: tuple[str, ...], change: dict[str, Any], err: str) -> None:
    code, out, said = call("backup-db", *words, **change)
    assert (code, out) == (2, "")
    assert said.startswith("backup-db: ")
    assert err in said
    assert said.count("\n") == 1


def test_a_run_that_fails_is_in_the_exit_code_and_in_the_state(call: Call, tmp_path: Path) -> None:
    code, _out, err = call("backup-db")
    assert code == 1
    assert err.startswith("backup-db: shop to near: ")
    state = json.loads((tmp_path / "state" / "dumps.json").read_text())
    assert state["databases"]["shop"]["near"]["error"] in err
    assert state["host"] == "db1"


def test_a_server_that_is_down_fails_the_scheduled_run_too(call: Call, tmp_path: Path) -> None:
    code, _out, err = call("backup-db", "--scheduled", **{"from": "primary"})
    assert code == 1
    assert "check that the server runs and listens there" in err
    assert json.loads((tmp_path / "state" / "dumps.json").read_text())["databases"]["shop"]["near"]["error"]


@pytest.mark.parametrize(
    ("place", "standby", "followers", "ours"),
    [
        ("any", True, 0, True),
        ("primary", False, 0, True),
        ("primary", True, 0, False),
        ("standby", True, 0, True),
        ("standby", False, 1, False),
        ("standby", False, 0, True),  # a primary that nobody follows
    ],
)
def test_whose_turn_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, standby: bool, followers: int, ours: bool
) -> None:
    class Connection:
        def execute(self, _query: str) -> Connection:
            return self

        def fetchone(self) -> tuple[bool, int]:
            return standby, followers

        def close(self) -> None:
            pass

    monkeypatch.setattr(commands, "connect", lambda *_given: Connection())
    held = config.Config(
        "lab", "h", "me", "/s", 5432, "dumps", "postgres", tmp_path, place, None, ({"name": "shop"},), (), ()
    )
    assert commands._is_our_turn(held, [{"name": "shop"}]) is ours


def look_up(target: Target, file: str, database: str | None = None) -> str:
    _target, found = commands._look_up_in([target], file, database)
    return f"{found.found.database}/{found.name}"


def test_what_file_may_be(near: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, folder = make(near, 3), make(near, 2), make(near, 1, "orders", "directory")
    root = tmp_path / "near"
    monkeypatch.chdir(root / "shop")
    assert look_up(near, old) == f"shop/{old}"
    assert look_up(near, "latest", "shop") == f"shop/{new}"
    assert look_up(near, f"{root}/shop/{old}.dump") == f"shop/{old}"
    assert look_up(near, f"./{old}.manifest.json") == f"shop/{old}"
    assert look_up(near, f"{root}/orders/{folder}") == f"orders/{folder}"
    assert look_up(near, f"{root}/orders/{folder}/") == f"orders/{folder}"
    assert look_up(near, f"{root}/orders/{folder}/toc.dat") == f"orders/{folder}"


@pytest.mark.parametrize(
    ("file", "database", "words"),
    [
        ("latest", None, "has latest of orders, shop: say which database"),
        ("latest", "faces", "has no good dump of faces"),
        ("nope", None, "has no dump nope; a file in this directory is written ./nope"),
        ("/etc/passwd", None, "/etc/passwd is no file of a dump of backup-db: give --unverified"),
        ("s3://bucket/shop/x.dump", None, "is in none of the stores"),
    ],
)
def test_what_file_may_not_be(near: Target, file: str, database: str | None, words: str) -> None:
    make(near, 2)
    make(near, 1, "orders")
    with pytest.raises(StewardError) as caught:
        look_up(near, file, database)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("nope",), "has no dump nope"),
        (("/etc/passwd", "--unverified"), "--unverified wants --into"),
        (("latest", "--to", "/x.db"), "is a dump of postgresql, which goes to a server and not to a file"),
        (("latest", "--table", "a.b.c"), "'a.b.c' is no table: write schema.table"),
    ],
)
def test_refusals_of_restore_db(call: Call, near: Target, words: tuple[str, ...], err: str) -> None:
    make(near, 1)
    code, out, said = call("restore-db", *words)
    assert (code, out) == (2, "")
    assert err in said
    assert said.count("\n") == 1


def test_help_says_what_the_exit_codes_mean() -> None:
    for parser in (commands.backup_arguments(), commands.restore_arguments()):
        assert "Exit code: 0" in parser.format_help()
        assert "--config" not in parser.format_help()


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("x.dump", b"PGDMP\x01", ("custom", "none")),
        ("x.sql", b"-- PostgreSQL", ("plain", "none")),
        ("x.sql.gz", b"\x1f\x8b\x08\x00\x00", ("plain", "gzip")),
        ("x.sql.zst", b"\x28\xb5\x2f\xfd\x00", ("plain", "zstd")),
        ("x.sql", b"\x1f\x8b\x08\x00\x00", "is compressed with gzip: let its name end in .gz"),
        ("x.sql", b"", "is empty"),
    ],
)
def test_dumps_of_others(tmp_path: Path, name: str, head: bytes, kind: tuple[str, str] | str) -> None:
    path = tmp_path / name
    path.write_bytes(head)
    if isinstance(kind, tuple):
        assert foreign.kind_of(path) == kind
        target, found = foreign.listed(path, "copy")
        assert found.manifest
        assert [target.store.path(found.manifest.key(file.ending)) for file in found.manifest.files] == [path]  # type: ignore[attr-defined]
        assert not found.manifest.signed
    else:
        with pytest.raises(StewardError) as caught:
            foreign.kind_of(path)
        assert kind in str(caught.value)


def test_a_directory_of_others(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match=r"has no toc\.dat"):
        foreign.kind_of(tmp_path)
    (tmp_path / "toc.dat").write_bytes(b"x")
    assert foreign.kind_of(tmp_path) == ("directory", "none")


# drill-db


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("here", "nope"), "nope is not in the configuration, which lists shop"),
        (("here", "--store", "far"), "there is no store far: the configuration has near"),
    ],
)
def test_drills_that_do_not_begin(
    call: Call, words: tuple[str, ...], err: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.os, "geteuid", lambda: 0)
    code, _out, said = call("drill-db", *words)
    assert code == 2
    assert err in said


def test_a_drill_is_for_root(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.os, "geteuid", lambda: 1234)
    code, _out, said = call("drill-db", "here")
    assert (code, said) == (2, "drill-db: run this as root, as what it finds is kept where only root may write\n")


@pytest.mark.parametrize(("words", "kept"), [((), 1), (("shop",), 0), (("--store", "near"), 0)])
@pytest.mark.parametrize(("error", "code"), [(None, 0), ("no dump", 1)])
def test_what_a_drill_of_a_part_proves_is_not_kept(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], kept: int, error: str | None, code: int
) -> None:
    record = {"kind": "dump", "error": error, "removed": True, "seconds": 2.0}
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(commands.os, "geteuid", lambda: 0)
    monkeypatch.setattr(commands._drill, "as_owner", lambda _owner, _work: record)
    monkeypatch.setattr(commands._drill_report, "write", lambda one: written.append(one) or one)
    found, out, _err = call("drill-db", "here", *words)
    assert (found, len(written)) == (code, kept)
    assert out == ("proven in 2.0 s\n" if error is None else "not proven: no dump\n")


def test_there_may_be_nothing_to_clean(call: Call) -> None:
    assert call("drill-db", "clean") == (0, "", "")
