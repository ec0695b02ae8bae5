"""What a platform is, and what its inputs may say."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._install_findings import (
    input_findings,
    instance_findings,
    key_findings,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgvector import digest
from ansible_collections.pgsteward.postgres.plugins.module_utils._platforms import RELEASES, describe, name_of

TRIXIE = {"distribution": "Debian", "distribution_release": "trixie", "distribution_major_version": "13"}
BOOKWORM = {"distribution": "Debian", "distribution_release": "bookworm", "distribution_major_version": "12"}
ALMA = {"distribution": "AlmaLinux", "distribution_major_version": "9", "distribution_release": "Seafoam Ocelot"}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (TRIXIE, "Debian 13"),
        (
            {"distribution": "Debian", "distribution_release": "forky", "distribution_major_version": "forky/sid"},
            "Debian 14",
        ),
        ({"distribution": "Debian", "distribution_release": "buster", "distribution_major_version": "10"}, "Debian 10"),
        ({"distribution": "Ubuntu", "distribution_release": "noble", "distribution_version": "24.04"}, "Ubuntu 24.04"),
        (ALMA, "AlmaLinux 9"),
        ({"distribution": "RedHat", "distribution_major_version": "10"}, "RedHat 10"),
        ({}, "unknown"),
    ],
)
def test_name(facts: dict[str, Any], name: str) -> None:
    assert name_of(facts) == name


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_takes_a_version_that_it_carries(name: str) -> None:
    assert RELEASES[name].version in RELEASES[name].carried


@pytest.mark.parametrize(
    ("facts", "repository", "version", "expected"),
    [
        (BOOKWORM, "distribution", 0, {"version": 15, "pgvector_package": None, "service": "postgresql@15-main"}),
        (BOOKWORM, "pgdg", 18, {"version": 0, "pgvector_package": "postgresql-18-pgvector"}),
        (
            TRIXIE,
            "distribution",
            0,
            {"pgvector_package": "postgresql-17-pgvector", "bin_directory": "/usr/lib/postgresql/17/bin"},
        ),
        (TRIXIE, "distribution", "no number", {"config_directory": "/etc/postgresql/17/main"}),
        (
            ALMA,
            "distribution",
            0,
            {"service": "postgresql", "data_directory": "/var/lib/pgsql/data", "pgvector_package": "pgvector"},
        ),
        (ALMA, "distribution", 15, {"pgvector_package": None}),
        (
            ALMA,
            "pgdg",
            17,
            {"service": "postgresql-17", "data_directory": "/var/lib/pgsql/17/data", "pgvector_package": "pgvector_17"},
        ),
        ({"distribution": "Plan 9"}, "distribution", 0, {"known": False, "versions": [], "version": 0}),
    ],
)
def test_description(facts: dict[str, Any], repository: str, version: Any, expected: dict[str, Any]) -> None:
    described = describe(facts, repository, version, "main")
    assert {key: described[key] for key in expected} == expected


def inputs(**changes: Any) -> dict[str, Any]:
    """Return inputs that are right on Debian 13, but for `changes`."""
    usual = {
        "version": 17,
        "instance": "main",
        "repository": "distribution",
        "pgdg_mirror": None,
        "pgdg_key": None,
        "pgdg_key_fingerprint": None,
        "pgvector": "package",
        "pgvector_archive": None,
        "pgvector_checksum": None,
        "pgvector_version": None,
        "locale": "C.UTF-8",
        "locale_provider": "libc",
        "provider_locale": None,
        "encoding": "UTF8",
        "config_directory": "/etc/postgresql/17/main",
        "data_directory": "/var/lib/postgresql/17/main",
        "wal_directory": None,
    }
    return {**usual, **changes}


def test_right_inputs_have_no_findings() -> None:
    assert input_findings(TRIXIE, inputs()) == []
    assert input_findings(BOOKWORM, inputs(version=15, pgvector="none")) == []


@pytest.mark.parametrize(
    ("facts", "changes", "words"),
    [
        ({}, {}, "gather_facts is off"),
        ({"distribution": "Plan 9"}, {}, "Plan 9 is not supported by pg_server; supported are: Debian 12, Debian 13"),
        (
            TRIXIE,
            {"version": 16},
            "16 is not available on Debian 13; it carries 17; with pg_server_repository: pgdg there are 13 to 18",
        ),
        (TRIXIE, {"version": "new"}, "new is not available"),
        (BOOKWORM, {"version": 15}, "Debian 12 has no package of pgvector for PostgreSQL 15"),
        (TRIXIE, {"pgvector": "source"}, "pg_server_pgvector_archive: it is needed"),
        (TRIXIE, {"pgvector": "source", "pgvector_archive": "/a"}, "pg_server_pgvector_checksum: it is needed"),
        (
            TRIXIE,
            {"pgvector": "source", "pgvector_archive": "/a", "pgvector_checksum": "abc", "pgvector_version": "0.8.0"},
            "64 hexadecimal digits",
        ),
        (
            TRIXIE,
            {
                "pgvector": "source",
                "pgvector_archive": "/a",
                "pgvector_checksum": "0" * 64,
                "pgvector_version": "0.8.0",
            },
            "/a is no file",
        ),
        (TRIXIE, {"repository": "pgdg", "version": 0}, "name the version"),
        (TRIXIE, {"repository": "pgdg", "version": 12}, "12 is not in PGDG"),
        (TRIXIE, {"repository": "pgdg"}, "pg_server_pgdg_mirror: give the address"),
        (TRIXIE, {"repository": "pgdg", "pgdg_mirror": "https://mirror.example.org"}, "pg_server_pgdg_key_fingerprint"),
        (TRIXIE, {"locale_provider": "icu"}, "pg_server_provider_locale: it is needed"),
        (TRIXIE, {"provider_locale": "de"}, "takes its locale from pg_server_locale"),
        (
            TRIXIE,
            {"locale_provider": "builtin", "provider_locale": "PG_UNICODE_FAST"},
            "no builtin locale PG_UNICODE_FAST",
        ),
        (BOOKWORM, {"version": 15, "pgvector": "none", "locale_provider": "builtin"}, "it came with 17"),
        (ALMA, {"version": 16, "instance": "second"}, "leave it at main"),
        (TRIXIE, {"data_directory": "data"}, "no absolute path"),
        (TRIXIE, {"wal_directory": "/var/lib/postgresql/17/main/wal"}, "outside the data directory"),
    ],
)
def test_wrong_input(facts: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    assert words in input_findings(facts, inputs(**changes))[0]


def test_archive_must_be_the_one_that_is_named(tmp_path: Path) -> None:
    control = tmp_path / "pgvector-0.8.0" / "vector.control"
    control.parent.mkdir()
    control.write_text("comment = 'x'\ndefault_version = '0.8.0'\n")
    archive = tmp_path / "pgvector.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(control.parent, "pgvector-0.8.0")
    source = {"pgvector": "source", "pgvector_archive": str(archive), "pgvector_version": "0.8.0"}
    assert input_findings(TRIXIE, inputs(**source, pgvector_checksum=digest(archive))) == []
    (wrong,) = input_findings(TRIXIE, inputs(**source, pgvector_checksum="0" * 64))
    assert digest(archive) in wrong
    (other,) = input_findings(
        TRIXIE, inputs(**{**source, "pgvector_version": "0.8.1"}, pgvector_checksum=digest(archive))
    )
    assert "holds pgvector 0.8.0, not 0.8.1" in other
    archive.write_text("no archive")
    (damaged,) = input_findings(TRIXIE, inputs(**source, pgvector_checksum=digest(archive)))
    assert "no readable archive" in damaged


def look(**changes: Any) -> dict[str, Any]:
    """Return what a bare host looks like, but for `changes`; `data` is merged."""
    bare = {
        "configuration": False,
        "instances": [],
        "charmap": "UTF-8",
        "locales": ["C", "C.utf8"],
        "wal_entries": [],
    }
    data = {"state": "absent", "version": None, "wal_directory": None, "entries": [], **changes.pop("data", {})}
    return {**bare, "data": data, **changes}


MINE = {"name": "main", "version": "17", "data_directory": "/var/lib/postgresql/17/main"}
OLD = {"name": "main", "version": "15", "data_directory": "/var/lib/postgresql/15/main"}
THERE = {"configuration": True, "instances": [MINE], "data": {"state": "instance", "version": "17"}}


@pytest.mark.parametrize(
    ("seen", "changes"),
    [
        ({}, {}),
        ({"data": {"state": "empty"}}, {}),
        (THERE, {}),
        ({**THERE, "charmap": None}, {}),  # an instance that is there keeps its locale
        ({**THERE, "instances": [OLD, MINE]}, {}),
        ({"instances": [OLD]}, {"instance": "second", "data_directory": "/data"}),
        ({"charmap": "ISO-8859-1"}, {"encoding": "LATIN1", "locale": "de_DE"}),
        ({"charmap": "ANSI_X3.4-1968"}, {"locale": "C"}),
        ({**THERE, "data": {"state": "instance", "version": "17", "wal_directory": "/wal"}}, {"wal_directory": "/wal"}),
    ],
)
def test_an_instance_that_is_there_or_can_be_made(seen: dict[str, Any], changes: dict[str, Any]) -> None:
    assert instance_findings(look(**seen), inputs(**changes)) == []


@pytest.mark.parametrize(
    ("seen", "changes", "words"),
    [
        (
            {"data": {"state": "instance", "version": "15"}},
            {},
            "holds an instance of PostgreSQL 15; bringing it to 17 is an upgrade",
        ),
        ({"instances": [OLD]}, {}, "the instance main of PostgreSQL 15 is here already"),
        (
            {"instances": [OLD]},
            {"instance": "second", "data_directory": OLD["data_directory"]},
            "belongs to the instance 15/main",
        ),
        (THERE, {"data_directory": "/data"}, "keeps its data in /var/lib/postgresql/17/main, not in /data"),
        (THERE, {"wal_directory": "/wal"}, "keeps its WAL in /var/lib/postgresql/17/main/pg_wal, not in /wal"),
        ({**THERE, "data": {"state": "absent"}}, {}, "PG_VERSION is missing while"),
        ({"data": {"state": "instance", "version": "17"}}, {}, "postgresql.conf is missing while"),
        ({"data": {"state": "other", "entries": ["photos"]}}, {}, "holds other data (photos)"),
        (
            {"wal_entries": ["000000010000000000000001"]},
            {"wal_directory": "/wal"},
            "pg_server_wal_directory: /wal holds other data",
        ),
        (
            {"charmap": None},
            {"locale": "xx_XX"},
            "this host has no locale xx_XX; make it there, or take one of: C, C.utf8",
        ),
        ({}, {"encoding": "LATIN1"}, "LATIN1 does not go with the locale C.UTF-8"),
    ],
)
def test_what_stands_in_the_way(seen: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    assert words in instance_findings(look(**seen), inputs(**changes))[0]


# A key made for this test; its secret half is gone.
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mQENBGsAQggBCAC04TlieiRduUg8WOJaL2notOeK788wQNpTGP4aO11WA6buVyjE
SnB2OW/1O1//W9ICWtNfEI5AX2vEAZumYOnipj+FxRTA3I9knj7WGuhKEp5JebDj
ReEuONMlicngZVb4WTlpTDQrWj08TB7o1l5H8dDmZYTVR2ZCWwIo92CxyM1zwfnH
Au0PPgOtLem7jL/y0SAn0Anc+MWS4nMAR3KoWJ+LI86lrYFWqtQRIi0IWHkX1mic
/ILPX/C9SIAMBiMh3c8oS6zbP9ZLGGdQ0Rc1VUeek2LJM3grGZtPRM3jS66LG55W
9Cgqq+yY/OC3N8DQ6JT3tJlrcsdewT9GfZB7ABEBAAG0HFRlc3QgYXJjaGl2ZSA8
dEBleGFtcGxlLm9yZz6JAU4EEwEKADgWIQSPDghuuXFD3IWvfpFOVnSjbjy0sgUC
awBCCAIbAwULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRBOVnSjbjy0sqznCACK
I3jrNoRr1mQRob7RPPaRm2+VlYqe5q+HoLHHx6vBGV9n+Z6rTi2Gpysuj/ROWclG
qx0YAZpkXDQjwa4a7UXLCiaKqRdFKe4JmLAT6KM6RiVKuNZ7XCA39mfMt9aqtBdB
Oihp3c0oGWppLbfgllMX2WEs8XSkte9jVzCED5Atjhe5n6QMOHBu6SQa5ZkPeJi4
nikEuLgVJeQowNRrMDYtPCSVecS69/oL/SyMweZ5/3dMSka/OAhqikowrtqaTET4
/6b89GyTCbVd8qhAelCybwubk8K3Vpx9A9eirhi7YcmjDp6rX0FJpIeIVG0VuORs
7ggiAJaP2haXeqcykqbE
=pCWF
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "8F0E086EB97143DC85AF7E914E5674A36E3CB4B2"


def test_fingerprint() -> None:
    assert key_findings(KEY, FINGERPRINT) == []
    assert key_findings(KEY, " ".join(FINGERPRINT[at : at + 4] for at in range(0, 40, 4)).lower()) == []
    assert f"it has the fingerprint {FINGERPRINT}, not" in key_findings(KEY, "0" * 40)[0]
    assert "damaged" in key_findings(KEY.replace("=\n", "\n").replace("mQ", "!!", 1), FINGERPRINT)[0]
    assert "no armored" in key_findings("hello", FINGERPRINT)[0]
    assert "and" in key_findings(KEY + KEY, FINGERPRINT)[0]
