"""Repositories: which host does what, the configuration of each, what is wrong with inputs, and what a version lacks."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest as pgbackrest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_findings as judged
from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_versions as versions

PASS = "a pass phrase of some length"
LOCAL: dict[str, Any] = {"type": "local", "path": "/srv/backup"}
HOST: dict[str, Any] = {"type": "host", "host": "store", "retention_full": 4}
OBJECTS: dict[str, Any] = {
    "type": "s3",
    "bucket": "b",
    "endpoint": "s3.example.org:9000",
    "key": "an id",
    "key_secret": "a secret",
    "cipher_pass": PASS,
    "uri_style": "path",
    "offsite": True,
}
SERVERS = [
    {"name": name, "address": f"10.0.0.{number}", "data_directory": "/data", "port": 5432}
    for number, name in enumerate(("db1", "db2"), 1)
]
GIVEN: dict[str, Any] = {
    "stanza": "shop",
    "repositories": [HOST, OBJECTS],
    "copies_rule": "none",
    "addresses": {"db1": "10.0.0.1", "db2": "10.0.0.2", "store": "10.0.0.9"},
    "servers": SERVERS,
    "here": "db1",
    "repository_host": False,
    "user": "backup",
    "superuser": "postgres",
    "from_standby": True,
    "queue_max": "10GiB",
    "archive_timeout": "60s",
    "processes": 2,
    "port": 8432,
    "schedule": {"full": "Sun 01:30", "diff": None},
    "random_delay": "15min",
    "settings": {},
    "server_settings": {},
    "socket_directory": "/var/run/postgresql",
    "tls": {"certificate": "/c", "key": "/k", "authority": "/a"},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**GIVEN, **changes}


def lines(given: dict[str, Any], version: str = "2.55.1") -> list[str]:
    made = pgbackrest.plan(given)
    return pgbackrest.render(made["sections"], made["secrets"], made["names"], version).splitlines()


@pytest.mark.parametrize(
    ("repositories", "expected"),
    [
        ([LOCAL], [(None, [1])]),
        ([OBJECTS], [(None, [1])]),
        ([LOCAL, OBJECTS], [(None, [1, 2])]),
        ([HOST, OBJECTS], [("store", [1, 2])]),
        ([OBJECTS, {**HOST, "host": "vault"}, HOST], [("vault", [1, 2]), ("store", [3])]),
    ],
)
def test_backups_of_a_repository_are_taken_by_one_host(
    repositories: list[dict[str, Any]], expected: list[tuple[str | None, list[int]]]
) -> None:
    assert [(one["host"], one["repositories"]) for one in pgbackrest.takers(repositories)] == expected


def test_a_server_of_a_repository_host_pushes_and_takes_no_backups() -> None:
    made, text = pgbackrest.plan(GIVEN), lines(GIVEN)
    assert made["takes"] == []
    assert made["repositories"] == [1, 2]
    assert (made["reaches"], made["serves"]) == (True, True)
    assert "repo1-host=10.0.0.9" in text
    assert "repo1-host-type=tls" in text
    assert not [line for line in text if line.startswith(("repo1-path", "repo1-cipher", "pg2-")) or "retention" in line]
    assert "tls-server-auth=store=shop" in text
    assert text[-5:] == [
        "[shop]",
        "pg1-path=/data",
        "pg1-port=5432",
        "pg1-socket-path=/var/run/postgresql",
        "pg1-user=backup",
    ]


def test_a_repository_host_reaches_all_servers_and_keeps_what_is_wanted() -> None:
    given = changed(here="store", repository_host=True)
    made, text = pgbackrest.plan(given), lines(given)
    assert made["takes"] == [1, 2]
    assert "repo1-path=/var/lib/pgbackrest" in text
    assert "repo1-retention-full=4" in text
    assert "repo2-retention-full=2" in text
    assert [line for line in text if line.startswith(("tls-server-auth", "pg1-host=", "pg2-host="))] == [
        "tls-server-auth=db1=shop",
        "tls-server-auth=db2=shop",
        "pg1-host=10.0.0.1",
        "pg2-host=10.0.0.2",
    ]


def test_another_repository_host_knows_its_own_only() -> None:
    given = changed(repositories=[HOST, {**HOST, "host": "vault"}, OBJECTS], here="vault", repository_host=True)
    assert {line.split("-")[0] for line in lines(given) if line.startswith("repo")} == {"repo2"}
    assert pgbackrest.plan(given)["secrets"] == {}


def test_without_a_repository_host_the_primary_reads_its_standbys() -> None:
    made, text = pgbackrest.plan(changed(repositories=[OBJECTS])), lines(changed(repositories=[OBJECTS]))
    assert made["takes"] == [1]
    assert "pg2-host=10.0.0.2" in text
    assert "tls-server-auth=db2=shop" in text
    alone = pgbackrest.plan(changed(repositories=[OBJECTS], from_standby=False))
    assert (alone["reaches"], alone["serves"]) == (False, False)


def test_secrets_are_apart_and_masked() -> None:
    made = pgbackrest.plan(GIVEN)
    assert made["secrets"] == {"repo2-cipher-pass": PASS, "repo2-s3-key": "an id", "repo2-s3-key-secret": "a secret"}
    assert PASS not in str(made["sections"])
    text = "\n".join(lines(GIVEN))
    assert "repo2-s3-key-secret=a secret" in text
    assert not [secret for secret in (PASS, "an id", "a secret") if secret in pgbackrest.masked(text)]


def test_the_phrase_of_a_repository_host_s_own_repository_stays_there() -> None:
    encrypted = [{**HOST, "cipher_pass": PASS}]
    assert pgbackrest.plan(changed(repositories=encrypted))["secrets"] == {}
    there = pgbackrest.plan(changed(repositories=encrypted, here="store", repository_host=True))
    assert there["secrets"] == {"repo1-cipher-pass": PASS}


@pytest.mark.parametrize(("version", "host"), [("2.45", "store"), ("2.53", "10.0.0.9"), ("2.60", "10.0.0.9")])
def test_versions_that_verify_no_addresses_are_given_names(version: str, host: str) -> None:
    assert f"repo1-host={host}" in lines(GIVEN, version)
    made = pgbackrest.plan(GIVEN)
    named = pgbackrest.named_hosts(made["sections"], made["names"], version)
    assert named == (["store"] if version == "2.45" else [])


def test_a_store_and_its_authority() -> None:
    text = lines(changed(repositories=[{**OBJECTS, "ca": "/etc/ssl/own.crt"}]))
    assert [line for line in text if line.startswith(("repo1-s3-e", "repo1-storage"))] == [
        "repo1-s3-endpoint=s3.example.org",
        "repo1-storage-ca-file=/etc/ssl/own.crt",
        "repo1-storage-port=9000",
    ]
    given = [HOST, {**OBJECTS, "ca": "-----BEGIN CERTIFICATE-----\nx\n"}]
    assert pgbackrest.authorities(given, [1, 2]) == {
        "/etc/pgsteward/tls/repository-2.crt": "-----BEGIN CERTIFICATE-----\nx\n"
    }


@pytest.mark.parametrize(
    ("endpoint", "port", "expected"),
    [
        ("s3.example.org", None, ("s3.example.org", None)),
        ("https://s3.example.org/", None, ("s3.example.org", None)),
        ("s3.example.org:9000", None, ("s3.example.org", "9000")),
        ("http://s3:9000", None, ("http://s3", "9000")),
        ("s3:9000", 9001, ("s3", 9001)),
    ],
)
def test_places(endpoint: str, port: int | None, expected: tuple[str, Any]) -> None:
    assert pgbackrest.place_of(endpoint, port) == expected


def test_a_server_that_stops_does_not_wait_long_for_its_archive() -> None:
    text = lines(GIVEN)
    place = text.index("[global:archive-push]")
    assert text[place + 1] == "archive-timeout=20"
    assert "archive-timeout=600" in text[:place]
    assert "[global:archive-push]" not in lines(changed(here="store", repository_host=True))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "600"),
        ({"io-timeout": 2}, "120"),
        ({"io-timeout": "60"}, "3600"),
        ({"io-timeout": 3600}, "86400"),
        ({"io-timeout": "1m"}, "600"),
        ({"io-timeout": 60, "archive-timeout": 7}, "7"),
    ],
)
def test_a_backup_waits_longer_than_a_repository_that_is_down_holds_its_wal_up(
    settings: dict[str, Any], expected: str
) -> None:
    assert f"archive-timeout={expected}" in lines(changed(settings=settings))


def test_settings_of_the_operator_come_last() -> None:
    text = lines(changed(settings={"compress-type": "lz4", "start-fast": False, "log-level-file": None}))
    assert "compress-type=lz4" in text
    assert "start-fast=n" in text
    assert "log-level-file=info" in text


@pytest.mark.parametrize(
    ("version", "asked", "postgresql", "said"),
    [
        ("2.55.1", [("block", "here")], 17, []),
        ("2.45", [], 15, []),
        (
            "2.45",
            [("block", "r[0]")],
            15,
            ["r[0]: pgBackRest 2.45 does not know block incremental backups (block: true), 2.46 is"],
        ),
        (
            "2.52",
            [("addresses", "r[0]")],
            None,
            ["2.52 does not know certificates that name an address, 2.53 is the first"],
        ),
        ("2.53", [("target_time", "r"), ("addresses", "r")], None, ["2.54 is the first"]),
        ("2.55.1", [("http", "r[1]")], None, ["r[1]: pgBackRest 2.55.1 does not know an endpoint without TLS"]),
        ("2.45", [], 17, ["pgBackRest 2.45 does not know PostgreSQL 17, 2.53.1 is the first"]),
        ("2.37", [("block", "r")], 14, ["pgBackRest 2.37 is older than 2.45"]),
    ],
)
def test_what_a_version_lacks_is_refused_with_both_versions(
    version: str, asked: list[tuple[str, str]], postgresql: int | None, said: list[str]
) -> None:
    found = versions.refusals(version, asked, postgresql)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_unsafe_versions_are_named() -> None:
    assert versions.warnings("2.60", encrypted=True) == []
    assert len(versions.warnings("2.59", encrypted=True)) == 1
    assert versions.warnings("2.59.0", encrypted=False) == []
    assert all(line.startswith("pgBackRest 2.55.1: ") for line in versions.warnings("2.55.1", encrypted=True))


def test_numbers_of_versions_compare() -> None:
    assert versions.number("2.59") == versions.number("2.59.0") < versions.number("2.59.3") < versions.number("2.60")


def test_what_is_asked_of_a_version() -> None:
    repositories = [{**HOST, "host": "10.0.0.9", "block": True}, {**OBJECTS, "endpoint": "http://s3"}]
    assert pgbackrest.asks(repositories, [1, 2]) == [
        ("block", "pgbackrest_repositories[0]"),
        ("addresses", "pgbackrest_repositories[0]"),
        ("http", "pgbackrest_repositories[1]"),
    ]


def test_sound_inputs_have_no_findings() -> None:
    assert judged.findings(GIVEN) == []
    assert judged.findings(changed(copies_rule="3-2-1")) == []
    assert judged.findings(changed(repositories=[LOCAL, OBJECTS], copies_rule="3-2-1")) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"repositories": []}, "pgbackrest_repositories: name at least one"),
        ({"repositories": [{"type": "ftp"}]}, "pgbackrest_repositories[0]: type ftp is none of local, host, s3"),
        ({"repositories": [{**HOST, "hots": 1}]}, "pgbackrest_repositories[0]: unknown key hots; did you mean host?"),
        ({"repositories": [{**LOCAL, "bucket": "b"}]}, "bucket means nothing with type local"),
        ({"repositories": [{"type": "host"}]}, "pgbackrest_repositories[0]: host is missing"),
        ({"repositories": [{**OBJECTS, "key_secret": ""}]}, "key_secret is empty: put it into the vault"),
        ({"repositories": [{**OBJECTS, "cipher_pass": ""}]}, "cipher_pass is empty"),
        ({"repositories": [{**OBJECTS, "cipher_pass": "short"}]}, "cipher_pass is shorter than 16 characters"),
        ({"repositories": [{**OBJECTS, "key_secret": "a\nrepo1-path=/"}]}, "key_secret has several lines"),
        ({"repositories": [{**OBJECTS, "endpoint": "s3/bucket"}]}, "endpoint s3/bucket is no name of a store"),
        ({"repositories": [{**OBJECTS, "uri_style": "dns"}]}, "uri_style dns is none of host, path"),
        ({"repositories": [{**OBJECTS, "ca": "own.crt"}]}, "ca has to be the text of a certificate"),
        ({"repositories": [{**LOCAL, "path": "backup"}]}, "path backup has to be absolute"),
        ({"repositories": [{**LOCAL, "path": "/"}]}, "path / is the whole machine"),
        ({"repositories": [{**LOCAL, "path": "/data/backup"}]}, "lies in the data directory"),
        ({"repositories": [{**LOCAL, "retention_full": 0}]}, "retention_full: 0 would remove everything"),
        ({"repositories": [{**LOCAL, "retention_archive": -1}]}, "retention_archive: -1 would remove everything"),
        (
            {"repositories": [{**LOCAL, "retention_full_type": "days"}]},
            "retention_full_type days is none of count, time",
        ),
        ({"repositories": [{**LOCAL, "retention_full_type": "time"}]}, "retention_full is missing"),
        ({"repositories": [{**LOCAL, "block": "yes"}]}, "block has to be true or false"),
        ({"repositories": [{**LOCAL, "block": True, "bundle": False}]}, "block works with bundle only"),
        ({"repositories": [LOCAL, HOST]}, "of type local and one of type host cannot be served together"),
        ({"repositories": [HOST, HOST]}, "pgbackrest_repositories[1]: it is the same place as repository 1"),
        ({"repositories": [OBJECTS, {**OBJECTS, "path": "/pgbackrest/"}]}, "the same place as repository 1"),
        ({"repositories": [{**HOST, "host": "db2"}]}, "host db2 is a server of the cluster"),
        ({"repositories": [{**HOST, "host": "stroe"}]}, "no repository host of this inventory; did you mean store?"),
        ({"repositories": [OBJECTS], "copies_rule": "3-2-1"}, "name a second repository"),
        ({"repositories": [LOCAL, {**LOCAL, "path": "/b"}], "copies_rule": "3-2-1"}, "two kinds of place"),
        ({"repositories": [HOST, {**OBJECTS, "offsite": False}], "copies_rule": "3-2-1"}, "offsite: true"),
        ({"copies_rule": "4-3-2"}, "pgbackrest_copies_rule: 4-3-2 is none of none, 3-2-1"),
        ({"schedule": {"diff": "daily"}}, "pgbackrest_schedule: full is missing"),
        ({"schedule": {"full": "Sun", "increment": "daily"}}, "unknown key increment"),
        ({"schedule": {"full": "a\nb"}}, "full has to be a time of systemd"),
        ({"settings": {"repo1-path": "/x"}}, "pgbackrest_settings: repo1-path is the role's own"),
        ({"settings": {"tls-server-port": 1}}, "tls-server-port is the role's own"),
        ({"settings": {"buffer-size": "1\n2"}}, "has to be one line"),
        ({"server_settings": {"Archive_Command": "cp"}}, "pg_server_settings: archive_command is decided by"),
        ({"stanza": "a b"}, "pgbackrest_stanza"),
        ({"user": "postgres"}, "pgbackrest_user: it must not be the superuser"),
        ({"user": "Back up"}, "pgbackrest_user: 'Back up' cannot be"),
        ({"queue_max": "10 gigs"}, "pgbackrest_queue_max: 10 gigs is no size"),
        ({"archive_timeout": "soon"}, "pgbackrest_archive_timeout: soon is no time"),
        ({"random_delay": "a while"}, "pgbackrest_random_delay"),
        (
            {"repositories": [OBJECTS], "here": "store", "repository_host": True},
            "none of type host is on store: name it there",
        ),
        ({"backup_type": "weekly"}, "pgbackrest_backup_type: weekly is none of full, diff, incr"),
        ({"servers": []}, "pgbackrest_servers: no server is known"),
        ({"processes": 0}, "pgbackrest_processes: 0 is not from 1 to 999"),
        ({"port": 70000}, "pgbackrest_port: 70000 is not from 1 to 65535"),
    ],
)
def test_findings(changes: dict[str, Any], line: str) -> None:
    found = judged.findings(changed(**changes))
    assert [one for one in found if line in one], found
    assert not [one for one in found if "a secret" in one or PASS in one]


def test_the_rule_names_all_that_it_lacks() -> None:
    assert len(judged.findings(changed(repositories=[LOCAL], copies_rule="3-2-1"))) == 3


def test_wrong_types_pass_over_to_the_specification() -> None:
    assert judged.findings(changed(repositories="store", schedule=None, settings=None)) == []


@pytest.mark.parametrize(
    ("repositories", "said"),
    [
        ([HOST, OBJECTS], []),
        ([HOST], ["one repository is one fault away"]),
        ([HOST, {**OBJECTS, "cipher_pass": None}], ["[1]: what lies elsewhere is not encrypted"]),
    ],
)
def test_advice(repositories: list[dict[str, Any]], said: list[str]) -> None:
    found = judged.advice(changed(repositories=repositories))
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


@pytest.mark.parametrize(("text", "count"), [("16MiB", 16 << 20), ("10GB", 10 << 30), ("512B", 512), ("what", 0)])
def test_sizes(text: str, count: int) -> None:
    assert judged.queue_bytes(text) == count
