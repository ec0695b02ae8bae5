"""Scratch databases: what is decided without a server."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _private_cluster as cluster
from ansible_collections.pgsteward.postgres.plugins.module_utils import _scratch
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, parse_url
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._scratch import Live, Locale

NO_SERVER = 99  # no host has programs of this version
LIVE_URL = "postgresql+asyncpg://app:old@db1/shop"
LIVE = Live(parse_url(LIVE_URL), NO_SERVER, "1", "shop", "app", "app", Locale("UTF8", "C", "C", "c"))


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., Path]:
    """Make a directory of server programs that say they are of a version."""

    def make(version: str, *names: str) -> Path:
        for name in names:
            (tmp_path / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Debian 1-2)'\n")
            (tmp_path / name).chmod(0o755)
        return tmp_path

    return make


@pytest.mark.parametrize(("version", "major"), [("15.18", 15), ("19devel", 19), ("20beta1", 20)])
def test_binaries_that_are_named(version: str, major: int, programs: Callable[..., Path]) -> None:
    directory = programs(version, "postgres", "initdb")
    assert cluster.find_binaries(major, str(directory)) == directory
    assert _scratch.choose(None, major, str(directory)) == "instance"


@pytest.mark.parametrize(
    ("version", "names", "message"),
    [
        ("15.18", ["postgres", "initdb"], f"has PostgreSQL 15, and the live server is PostgreSQL {NO_SERVER}"),
        (f"{NO_SERVER}.1", ["postgres"], "has no server"),
        (f"{NO_SERVER}.1", ["initdb"], "has no server"),
        ("", ["postgres", "initdb"], "has no server"),
    ],
)
def test_binaries_that_do_not_fit(version: str, names: list[str], message: str, programs: Callable[..., Path]) -> None:
    with pytest.raises(StewardError, match=message):
        cluster.find_binaries(NO_SERVER, str(programs(version, *names)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (None, {}, f"no server binaries of PostgreSQL {NO_SERVER} on this host: install postgresql-{NO_SERVER}, or choose"),
        ("instance", {}, "or choose scratch: database with scratch_url"),
        ("docker", {}, "'docker': choose one of instance, database, url"),
        ("database", {}, "scratch: database needs scratch_url: the URL of a login with CREATEDB"),
        ("url", {}, "scratch: url needs scratch_url: the URL of an empty database"),
        ("url", {"url": "mysql://root:geheim@db/x"}, "'mysql'"),
    ],
)  # fmt: skip
def test_bad_choices(kind: str | None, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StewardError, match=message) as caught:
        _scratch.scratch(kind, LIVE, **options)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "rest"),
    [
        ({}, ""),
        ({"datlocprovider": "c", "daticulocale": None}, " LOCALE_PROVIDER = 'libc'"),
        (
            {"datlocprovider": "i", "daticulocale": "de", "daticurules": "&a < b"},
            " LOCALE_PROVIDER = 'icu' ICU_LOCALE = 'de' ICU_RULES = '&a < b'",
        ),
        (
            {"datlocprovider": "b", "datlocale": "C.UTF-8", "daticurules": None},
            " LOCALE_PROVIDER = 'builtin' BUILTIN_LOCALE = 'C.UTF-8'",
        ),
    ],
    ids=["14", "15", "16", "17"],
)
def test_locale_of_every_version(row: dict[str, Any], rest: str) -> None:
    facts = {"encoding": "UTF8", "datcollate": "de_DE.UTF-8", "datctype": "C", **row}
    assert Locale.of(facts).clause() == f"ENCODING = 'UTF8' LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'C'{rest}"


@pytest.mark.parametrize(("encoding", "name"), [("UTF8", "C.UTF-8"), ("LATIN1", "C")])
def test_the_locale_that_every_host_has(encoding: str, name: str) -> None:
    assert Locale(encoding, "xx_XX", "xx_XX", "i", "xx").plain() == Locale(encoding, name, name, "c")
    assert Locale(encoding, "xx_XX", "xx_XX").plain().provider is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LIVE_URL, "postgresql+asyncpg://me:new@/scratch?host=%2Fs"),
        ("postgresql://other@db1:5432/shop", "postgresql+psycopg://me:new@/scratch?host=%2Fs"),
        ("postgresql://app@db2/shop", "postgresql://app@db2/shop"),
        ("redis://db1/shop", "redis://db1/shop"),
        ("shop", "shop"),
    ],
)
def test_redirect(value: str, expected: str) -> None:
    place = Place("scratch", "/s", None, "me", "new", "psycopg")
    assert _scratch.redirect({"A_URL": value}, LIVE.place, place) == {"A_URL": expected}


def test_the_live_url_gives_the_driver_and_what_speaks_to_it_but_no_transport() -> None:
    live = parse_url(
        "postgresql+asyncpg://app@db1/shop?ssl=require&async_fallback=true&options=-csearch_path%3Da&port=5"
    )
    dressed = _scratch._dressed(parse_url("postgresql://me@db2/x?sslmode=require"), live)
    assert (dressed.host, dressed.port, dressed.user, dressed.driver) == ("db2", None, "me", "asyncpg")
    assert dict(dressed.query) == {"sslmode": "require", "async_fallback": "true", "options": "-csearch_path=a"}
    kept = _scratch._dressed(parse_url("postgresql+psycopg2://me@db2/x?options=-cwork_mem%3D1MB"), live)
    assert (kept.driver, dict(kept.query)["options"]) == ("psycopg2", "-cwork_mem=1MB")


def test_only_directories_that_nobody_holds_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "BASE", tmp_path)
    kept, left, target = (tmp_path / name for name in ("pgsteward_scratch_kept", "pgsteward_scratch_left", "other"))
    for directory in (kept, left, target):
        (directory / "data").mkdir(parents=True)
    (tmp_path / "pgsteward_scratch_link").symlink_to(target)
    lock = os.open(kept, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    cluster.remove_leftovers()
    os.close(lock)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other",
        "pgsteward_scratch_kept",
        "pgsteward_scratch_link",
    ]
    assert (target / "data").is_dir()


def test_an_account_other_than_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cluster._account() is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = cluster._account()
    assert account
    assert account.pw_uid != 0

    def unknown(_name: str) -> None:
        raise KeyError

    monkeypatch.setattr(cluster.pwd, "getpwnam", unknown)
    with pytest.raises(StewardError, match="no account postgres or nobody: make one"):
        cluster._account()
