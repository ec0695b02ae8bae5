"""The playbook `verify`: clean databases are clean, damage is named with its severity, what is accepted passes, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lab
import plays
import pytest

SYSTEMS = ("face_recognition", "pixcrawler", "imagemanager", "cats_monitor", "powergym")

# database, what somebody did, how it is undone, and the line about it
DAMAGE = [
    (
        "face_recognition",
        "DROP INDEX idx_persons_name",
        "CREATE INDEX idx_persons_name ON persons (name)",
        "slower: index public.idx_persons_name: existence: expected present, found absent",
    ),
    (
        "pixcrawler",
        "ALTER TABLE images DISABLE TRIGGER ALL",
        "ALTER TABLE images ENABLE TRIGGER ALL",
        "data_at_risk: constraint public.images.images_crawl_job_id_fkey: disabled_triggers: expected none, found true",
    ),
    (
        "imagemanager",
        "ALTER TABLE projects ALTER status DROP NOT NULL",
        "ALTER TABLE projects ALTER status SET NOT NULL",
        "data_at_risk: column public.projects.status: not_null: expected true, found none",
    ),
    (
        "powergym",
        "ALTER INDEX idx_biometrics_embedding SET (ef_construction = 32)",
        "ALTER INDEX idx_biometrics_embedding SET (ef_construction = 64)",
        'slower: index public.idx_biometrics_embedding: options: expected {"ef_construction": "64", "m": "16"}',
    ),
]


def verify(host: str, **of_database: dict[str, Any]) -> plays.Played:
    """Run the playbook on one host for all systems, or for those named. of_database: what the key `verify` of each is to hold."""
    databases = [
        {"name": name, "section": name, **({"verify": of_database[name]} if name in of_database else {})}
        for name in of_database or SYSTEMS
    ]
    return plays.play(plays.VERIFY, host=host, variables={"scenario_databases": databases})


@contextmanager
def damaged(host: str, *rows: tuple[str, str, str, str]) -> Iterator[None]:
    """Do the damage for as long as the context lasts."""
    try:
        for database, statement, _, _ in rows:
            lab.psql(database, statement, host)
        yield
    finally:
        for database, _, undo, _ in rows:
            lab.psql(database, undo, host)


def test_every_database_is_as_its_revision_says(server: str) -> None:
    run = verify(server)
    assert run.code == 0, run.text
    assert run.changed == 0
    for system in SYSTEMS:
        assert f"{system}: clean, " in run.text


def test_damage_is_named_and_fails_the_run(server: str) -> None:
    with damaged(server, *DAMAGE):
        run = verify(server)
        assert run.code == 2, run.text
        assert run.changed == 0
        words = " ".join(run.text.split())
        for database, _, _, line in DAMAGE:
            assert line in words
            assert f"{database}: 1 differences from snapshot" in words
        assert "cats_monitor: clean, " in words
        assert (
            "4 of 5 databases differ from their truth, or could not be verified: face_recognition, pixcrawler, imagemanager, powergym"
            in words
        )
        # Shown, not run.
        assert "CREATE INDEX CONCURRENTLY idx_persons_name ON public.persons" in words
        assert lab.psql("face_recognition", "SELECT to_regclass('idx_persons_name')", server) == [[""]]
    assert verify(server).code == 0


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ({"object": "index public.idx_persons_name", "reason": "built at night"}, 0),
        ({"object": "index *", "attribute": "existence", "reason": "built at night", "until": "2099-12-31"}, 0),
        ({"object": "index public.idx_persons_name", "reason": "was for last year", "until": "2020-12-31"}, 2),
        ({"object": "index public.another", "reason": "not this one"}, 2),
    ],
    ids=["accepted", "by pattern", "expired", "another"],
)
def test_accepted_differences_pass_until_their_day(accept: dict[str, str], code: int) -> None:
    rule = {"truth": "snapshot", "snapshot": "face_recognition/snapshots", "accept": [accept]}
    with damaged("pg18", DAMAGE[0]):
        run = verify("pg18", face_recognition=rule)
    assert run.code == code, run.text
    if code == 0:
        words = " ".join(run.text.split())
        assert "face_recognition: clean, " in words
        assert ", 1 accepted" in words


def test_severity_decides() -> None:
    server = "pg18"
    rule = {"truth": "snapshot", "snapshot": "face_recognition/snapshots", "fail_on": "wrong_results"}
    with damaged(server, DAMAGE[0]):
        run = verify(server, face_recognition=rule)
        assert run.code == 0, run.text
        assert DAMAGE[0][3] in " ".join(run.text.split())  # told all the same


@pytest.mark.parametrize("server", lab.few(lab.hosts("postgres"), "pg18"))
def test_models_are_a_truth_too(server: str) -> None:
    rules = {name: {"truth": "metadata"} for name in SYSTEMS}
    run = verify(server, **rules)
    assert run.code == 0, run.text
    assert run.text.count(": clean, ") == len(SYSTEMS)
    with damaged(server, DAMAGE[2]):
        run = verify(server, **rules)
        assert run.code == 2
        assert DAMAGE[2][3] in " ".join(run.text.split())


def test_a_spec_is_a_truth_too() -> None:
    server = "pg15"
    spec = "\n".join(
        [
            "format: 1",
            "tables:",
            "  users:",
            "    columns:",
            "      username: text",
            "    indexes:",
            "      idx_users_email: [email]",
            "      idx_users_phone: [phone]",
        ]
    )
    lab.run_on(server, "sh", "-c", f"cat > /opt/pgsteward/promises.yml <<'EOF'\n{spec}\nEOF", user="root")
    run = verify(server, powergym={"truth": "spec", "spec": "/opt/pgsteward/promises.yml"})
    words = " ".join(run.text.split())
    assert run.code == 2, run.text
    assert "column public.users.username: type: expected text, found character varying" in words
    assert "index public.idx_users_phone: existence: expected present, found absent" in words
    assert "idx_users_email" not in words


def test_a_database_that_is_not_there_is_named_and_the_others_are_looked_at() -> None:
    databases = [
        {"name": "nowhere", "section": "powergym", "user": "powergym_migrator"},
        {"name": "powergym", "section": "powergym"},
    ]
    run = plays.play(plays.VERIFY, host="pg18", variables={"scenario_databases": databases})
    assert run.code == 2
    words = " ".join(run.text.split())
    assert "nowhere: not verified: cannot connect to host localhost port 5432 database nowhere" in words
    assert "powergym: clean, " in words
