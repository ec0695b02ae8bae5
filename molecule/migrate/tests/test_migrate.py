"""Five systems, in CI three of them, in seven states: what may be migrated arrives with every row, what may not is refused by name, and then mended.

The tests run in their order, each playbook once for all databases and hosts that it is about. What happened is judged by psql and pg_dump; what
was said, by the log of the scenario's earlier steps, by the output of the runs and by the reports that they left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import lab
import plays
import pytest
import states
import yaml
from states import BRANCH, DESTRUCTIVE, KEPT, SYSTEMS

HOSTS = list(lab.hosts("postgres"))
MIGRATABLE = ("fresh", "behind", "managed")
LOG = lab.ROOT / ".cache" / "scenario_migrate.log"
ORPHANS = 3
# For runs that are about something else than the stairs of a revision: CI has two cores, and converge walked most of them.
QUICK = {"pg_migrate_staircase": False, "pg_migrate_lint": False}
# A statement of each system's newest revision, as PostgreSQL is sent it.
NEWEST = {
    "face_recognition": "ALTER TABLE face_embeddings ADD COLUMN embedding_vec vector(512)",
    "pixcrawler": "CREATE INDEX CONCURRENTLY ix_image_crawl_job_id ON images",
    "imagemanager": "ALTER TABLE projects ALTER COLUMN status SET NOT NULL",
    "cats_monitor": "CREATE TABLE activity_features",
    "powergym": "CREATE INDEX CONCURRENTLY idx_biometrics_embedding_l2 ON biometrics USING hnsw",
}

EXAMINED = lab.few(SYSTEMS, "pixcrawler", "powergym")  # each is replayed twice over

each_host = pytest.mark.parametrize("host", HOSTS)
each_system = pytest.mark.parametrize("system", SYSTEMS)
said: list[str] = []  # every output of a run


# What is run, and what it said


def run(playbook: str, *options: str, projects: list[dict[str, Any]] | None = None, **variables: Any) -> plays.Played:
    """Run a playbook on every host; projects: those to work on."""
    if projects:
        variables["pg_migrate_projects"] = projects
    played = plays.play(f"pgsteward.postgres.{playbook}", *options, host="all", variables=variables)
    said.append(played.text)
    return played


def unchanged(playbook: str, *options: str, projects: list[dict[str, Any]], **variables: Any) -> plays.Played:
    """Run a playbook that has to leave all of its databases as they are."""
    names = [item["name"] for one in projects for item in one["databases"]]
    before = {host: states.look(host, names) for host in HOSTS}
    ran = run(playbook, *options, projects=projects, **variables)
    assert {host: states.look(host, names) for host in HOSTS} == before
    return ran


def project(name: str, *lists: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a project for the inventory; all but the systems have their source among the copies."""
    source = {} if name == "systems" else {"source": str(KEPT / name)}
    return {"name": name, **source, "databases": [item for databases in lists for item in databases]}


def databases(state: str, systems: Iterable[str] = SYSTEMS, **keys: Any) -> list[dict[str, Any]]:
    """Return databases in a state for a project of the inventory."""
    return [{"name": f"{name}_{state}", "section": name, "user": f"{name}_migrator", **keys} for name in systems]


def accepting(name: str, difference: str, reason: str) -> dict[str, Any]:
    """Return a database whose schema may differ in one object."""
    system, _, state = name.rpartition("_")
    accept = [{"object": difference, "reason": reason}]
    [item] = databases(
        state, [system], verify={"truth": "snapshot", "snapshot": f"{system}/snapshots", "accept": accept}
    )
    return item


def told(text: str, host: str) -> dict[str, list[str]]:
    """Return the lines about each database of a host, without their indentation, the first without the name."""
    found: dict[str, list[str]] = {}
    for block in re.findall(rf"^ok: \[{host}\] => *\n((?:    .*\n)+)", text, re.MULTILINE):
        message = yaml.safe_load(block)["msg"]
        for line in message if isinstance(message, list) else ():
            name, _, rest = line.partition(": ")
            if name in states.DATABASES:
                found[name] = [rest]
            elif found and line.startswith("  "):
                found[list(found)[-1]].append(line[2:])
    return found


def difference(text: str, host: str, database: str) -> list[str]:
    """Return the lines that a dry run would add to a database: Ansible shows them above the line with its name."""
    plan = text.partition("See what is pending] ")[2].partition("TASK [")[0]
    above = plan.partition(f": [{host}] => (item={database})")[0]
    shown = re.split(r"^\w+: \[\w+\] => \(item=\w+\)\s*$", above, flags=re.MULTILINE)[-1]
    return [line[1:].strip() for line in shown.splitlines() if line.startswith("+")]


@cache
def steps() -> dict[str, str]:
    """Return what the steps of this scenario said: status and check, which are one step, converge, and again."""
    runs: dict[str, list[str]] = {}
    process = ""
    for line in re.sub(r"\x1b\[[\d;]*m", "", LOG.read_text()).splitlines(keepends=True):  # differences are coloured
        mark = re.match(r"[\d-]+ [\d:,]+ p=(\d+) u=\S+ n=ansible \w+\| ", line)
        process = mark[1] if mark else process
        runs.setdefault(process, []).append(line[mark.end() :] if mark else line)
    texts = ["".join(lines) for lines in runs.values()]
    checked, converge, again = [text for text in texts if "PLAY [Write down what the databases are like" in text][-3:]
    status, _, check = checked.partition("PLAY [Migrate]")
    return {"status": status, "check": check, "converge": converge, "again": again}


def records(host: str) -> list[dict[str, Any]]:
    """Return the reports of all runs, oldest first."""
    return [json.loads(path.read_text()) for path in sorted((KEPT / "reports").glob(f"{host}_*.json"))]


def blockers(host: str) -> dict[str, str]:
    """Return what the last run named as standing in the way of each database."""
    found: dict[str, str] = {}
    for text in records(host)[-1]["blockers"]:
        name, _, reason = text.partition(": ")
        found[name] = f"{found.get(name, '')}{reason}\n"
    return found


def kept(host: str, database: str) -> None:
    """Every row that the database had at first is there, with the values that it had."""
    before = states.notes(host)[0][database]["rows"]
    assert before
    assert states.rows(host, database, of=before) == before


@cache
def schema(host: str, database: str) -> str:
    """Return the schema of a database that is not touched any more, without our journal."""
    return states.schemas(host, [database], "--exclude-schema=pgsteward")[database]


def in_any_order(text: str) -> list[str]:
    """Return the lines of a schema: a column that was added later stands further down."""
    return sorted(line.rstrip(",") for line in text.splitlines())


# Before: what the step check said, and what it did


STATES = {
    "fresh": ("fresh", None),
    "behind": ("behind", None),
    "managed": ("managed", None),
    # What the project does not know it cannot call newer; test_refused_by_state has a database past what is wanted.
    "ahead": ("diverged", "bring the missing files back"),
    "legacy": ("legacy", "Run the playbook adopt before anything else"),
    "partial": ("legacy", "Run the playbook adopt before anything else"),
    "heads": ("behind", None),
}


@each_host
@pytest.mark.parametrize("state", STATES)
@each_system
def test_status_of_each_database(host: str, state: str, system: str) -> None:
    lines = told(steps()["status"], host)[f"{system}_{state}"]
    word, action = STATES[state]
    assert lines[:2] == [word, "Database Connection: Connected"]
    recorded = None if state in ("legacy", "partial") else states.at(system, state)
    unknown = " (in no file of the project)" if state == "ahead" else ""
    newest = {"ahead": states.revisions(system)[-2], "heads": f"{states.head(system)}, {BRANCH}"}
    heads = newest.get(state, states.head(system))
    assert lines[2] == f"Current Revision: {recorded or 'none'}{unknown}"
    assert sorted(lines[3].removeprefix("Head Revision: ").split(", ")) == sorted(heads.split(", "))
    pending = {
        "behind": [states.head(system)],
        "heads": [BRANCH],
        **dict.fromkeys(("fresh", "legacy", "partial"), states.revisions(system)),
    }.get(state, [])
    assert [line.split()[1] for line in lines if line.startswith("Pending: ")] == pending
    assert ("No pending migrations" in lines) == (state == "managed")
    if action:
        assert action in lines[-1]


@each_host
@each_system
def test_check_shows_the_statements_that_are_pending(host: str, system: str) -> None:
    check = steps()["check"]
    assert told(check, host)[f"{system}_managed"][0] == f"nothing pending, at {states.head(system)}"
    for state, pending in (("behind", [states.head(system)]), ("fresh", states.revisions(system))):
        name = f"{system}_{state}"
        assert told(check, host)[name][0].startswith(f"would apply: {', '.join(pending)}; it is at ")
        diff = difference(check, host, name)
        assert [line.split()[1] for line in diff if line.startswith("applied: ")] == pending
        assert any(line.startswith(NEWEST[system]) for line in diff)
    history = states.rendered(system, states.head(system)).splitlines()
    tables = {line.strip() for line in history if line.startswith("CREATE TABLE") and "alembic_version" not in line}
    assert tables <= set(diff)


@each_host
def test_check_changed_nothing_anywhere(host: str) -> None:
    found, checked, *_ = states.notes(host)
    assert checked == found


# After: what the steps converge and idempotence did


@each_host
@each_system
def test_fresh_and_behind_are_at_the_newest_revision(host: str, system: str) -> None:
    for state in MIGRATABLE:
        assert states.revision(host, f"{system}_{state}") == [states.head(system)]
        assert schema(host, f"{system}_{state}") == schema(host, f"{system}_managed")


@each_host
@each_system
def test_no_row_is_lost_and_none_is_other(host: str, system: str) -> None:
    kept(host, f"{system}_behind")


@each_host
def test_what_was_managed_and_what_was_not_asked_for_is_untouched(host: str) -> None:
    found, now = states.notes(host)[0], states.look(host)
    for name in states.DATABASES:
        if not name.endswith(("_fresh", "_behind")):
            assert now[name] == found[name], name


@each_host
def test_the_second_run_changes_nothing(host: str) -> None:
    converged = states.notes(host)[2]
    assert states.look(host) == converged
    assert re.search(rf"^{host} .*\bchanged=0 .*\bfailed=0\b", steps()["again"], re.MULTILINE)
    assert re.search(rf"^{host} .*\bchanged=1 .*\bfailed=0\b", steps()["converge"], re.MULTILINE)


@each_host
def test_reports_say_what_was_done(host: str) -> None:
    first, second = records(host)[:2]
    assert (first["ended"], first["host"], first["blockers"], first["errors"]) == ("well", host, [], [])
    for item in first["databases"]:
        system, _, state = item["name"].rpartition("_")
        applied = {"fresh": states.revisions(system), "behind": [states.head(system)], "managed": []}[state]
        assert [entry["revision"] for entry in item["applied"]] == applied
        assert item["before"] == ([states.at(system, state)] if state != "fresh" else [])
        assert item["now"] == [states.head(system)]
        assert item["verified"]["clean"]
    assert len(first["databases"]) == len(second["databases"]) == len(SYSTEMS) * len(MIGRATABLE)
    assert all(not item["applied"] and not item["pending"] for item in second["databases"])
    page = (KEPT / "reports" / f"{host}_{first['at']}.md").read_text()
    assert page.startswith(f"# Migration: {host}, ")
    for system in SYSTEMS:
        assert f"\n## {system}_behind\n" in page
        assert (
            f"-e database={system}_behind -e revision={states.at(system, 'behind')} -e confirm={system}_behind" in page
        )


# One revision back


def test_a_way_back_wants_a_confirmation() -> None:
    before = {host: states.look(host, ["pixcrawler_behind"]) for host in HOSTS}
    refused = run("downgrade", database="pixcrawler_behind", revision="000")
    assert refused.code == 2, refused.text
    assert "give -e confirm=pixcrawler_behind" in " ".join(refused.text.split())
    assert {host: states.look(host, ["pixcrawler_behind"]) for host in HOSTS} == before


def test_a_revision_is_taken_back() -> None:
    back = run("downgrade", database="pixcrawler_behind", revision="000", confirm="pixcrawler_behind")
    assert back.code == 0, back.text
    for host in HOSTS:
        assert states.revision(host, "pixcrawler_behind") == ["000"]
        text = states.schemas(host, ["pixcrawler_behind"], "--exclude-schema=pgsteward")["pixcrawler_behind"]
        assert states.digest(text) == states.notes(host)[0]["pixcrawler_behind"]["schema"]
        kept(host, "pixcrawler_behind")


# What must not be migrated stops the run before anything is changed anywhere


@cache
def refused() -> plays.Played:
    """Migrate what must not be migrated, and with it one database that might be; return how it ended, with nothing changed."""
    behind = [states.revisions(system)[-2] for system in SYSTEMS]
    pinned = [{**item, "revision": name} for item, name in zip(databases("managed"), behind, strict=True)]
    systems = project("systems", databases("behind", ["pixcrawler"]), databases("legacy"), databases("partial"), pinned)
    return unchanged("migrate", projects=[systems, project("older", databases("ahead"))])


@each_host
@pytest.mark.parametrize(
    ("state", "reason", "action"),
    [
        ("legacy", "the database is legacy.", "Run the playbook adopt before anything else"),
        ("partial", "the database is legacy.", "Run the playbook adopt before anything else"),
        ("ahead", "the database is diverged.", "bring the missing files back"),
        ("managed", "the database is ahead.", "bring the project to its revision"),
    ],
    ids=["legacy", "partial", "lacking file", "past what is wanted"],
)
@each_system
def test_refused_by_state(host: str, state: str, reason: str, action: str, system: str) -> None:
    ran = refused()
    assert (ran.code, ran.changed) == (2, 0), ran.text
    named = blockers(host)[f"{system}_{state}"]
    assert reason in named
    assert action in named
    shown = told(ran.text, host)[f"{system}_{state}"]
    assert shown[0] == "BLOCKED, nothing was changed"
    assert action in shown[1]


@each_host
def test_a_refusal_is_reported_as_one(host: str) -> None:
    refused()
    record = records(host)[-1]
    assert record["ended"] == "stopped"
    assert record["message"].startswith("stopped before anything was changed: ")
    assert not any(item["applied"] for item in record["databases"])
    assert (KEPT / "reports" / f"{host}_{record['at']}.md").read_text().startswith(f"# Migration stopped: {host}, ")


@cache
def examined() -> plays.Played:
    """Migrate over two heads, destructive revisions and orphan rows; return how it ended, with nothing changed."""
    add = (
        "INSERT INTO images (crawl_job_id, original_url, filename)"
        f" SELECT 2000000000 + n, 'https://images.example/lost', 'lost' FROM generate_series(1, {ORPHANS}) AS n"
    )
    for host in HOSTS:
        lab.psql("pixcrawler_behind", add, host)
    projects = [
        project("systems", databases("behind", ["pixcrawler"])),
        project("forked", databases("heads", EXAMINED)),
        project("destructive", databases("ahead", EXAMINED)),
    ]
    return unchanged("migrate", projects=projects, **QUICK)


@each_host
@pytest.mark.parametrize("system", EXAMINED)
def test_refused_by_what_the_revisions_are(host: str, system: str) -> None:
    ran = examined()
    assert (ran.code, ran.changed) == (2, 0), ran.text
    heads, destructive = blockers(host)[f"{system}_heads"], blockers(host)[f"{system}_ahead"]
    assert "the project has 2 heads" in heads
    assert BRANCH in heads
    assert "alembic merge heads" in heads
    table, column = SYSTEMS[system].drops
    assert f"the revision costs column {table}.{column}" in destructive
    assert f"allow it by pg_migrate_allow_destructive: [{DESTRUCTIVE}]" in destructive


@each_host
def test_refused_by_orphans_which_are_moved_aside(host: str) -> None:
    examined()
    named = blockers(host)["pixcrawler_behind"]
    assert f"{ORPHANS} rows break the key images_crawl_job_id_fkey of public.images" in named
    assert "by its action quarantine" in named
    key = {"table": "images", "columns": ["crawl_job_id"], "references": "crawl_jobs"}
    moved = plays.module(
        "pgsteward.postgres.foreign_key_orphans",
        host,
        login_db="pixcrawler_behind",
        keys=[key],
        action="quarantine",
    )
    assert moved["total"] == ORPHANS, moved
    query = "SELECT (SELECT count(*) FROM images__orphans), count(*) FROM images WHERE crawl_job_id > 2000000000"
    assert lab.psql("pixcrawler_behind", query, host) == [[str(ORPHANS), "0"]]


def test_what_is_allowed_by_name_goes_on() -> None:
    table, column = SYSTEMS["powergym"].drops
    before = {}
    for host in HOSTS:
        rest = states.rows(host, "powergym_ahead")
        rest[table][0].remove(column)
        before[host] = states.rows(host, "powergym_ahead", of=rest)
    ran = run(
        "migrate",
        "-vvv",
        projects=[
            project("systems", databases("behind", ["pixcrawler"])),
            project("destructive", databases("ahead", ["powergym"])),
        ],
        pg_migrate_allow_destructive=[DESTRUCTIVE],
        **QUICK,
    )
    assert ran.code == 0, ran.text[-5000:]
    for host, held in before.items():
        assert states.revision(host, "pixcrawler_behind") == ["001"]
        kept(host, "pixcrawler_behind")
        assert states.revision(host, "powergym_ahead") == [DESTRUCTIVE]
        assert states.rows(host, "powergym_ahead") == held  # the column is gone, and nothing else
        allowed = {item["name"]: item["allowed"] for item in records(host)[-1]["databases"]}
        assert [entry["revision"] for entry in allowed["powergym_ahead"]] == [DESTRUCTIVE]


# What nobody wrote down is found out, proven, and mended where that loses nothing

UNVERSIONED = [project("systems", databases("legacy"), databases("partial"))]
# A column that was added later stands behind the others for good.
MENDED = accepting("pixcrawler_partial", "table public.profiles", "a column was added when it was adopted")
ADOPTED = [
    project(
        "systems",
        databases("legacy"),
        [MENDED if item["name"] == MENDED["name"] else item for item in databases("partial")],
    )
]


@cache
def adopted(check: bool) -> plays.Played:
    """Adopt the legacy databases and the partial ones; return how it ended."""
    if check:
        return unchanged("adopt", "--check", "--diff", projects=UNVERSIONED)
    return run("adopt", projects=UNVERSIONED)


@each_host
@each_system
@pytest.mark.parametrize("check", [True, False], ids=["check", "for real"])  # one after the other
def test_legacy_is_adopted_and_partial_is_refused(host: str, check: bool, system: str) -> None:
    ran = adopted(check)
    assert ran.code == 2, ran.text
    particular, lines = SYSTEMS[system], told(ran.text, host)
    would = "would be " if check else ""
    assert lines[f"{system}_legacy"][0] == f"{would}stamped with {particular.legacy}, which is proven"
    assert states.revision(host, f"{system}_legacy") == (None if check else [particular.legacy])
    partial = lines[f"{system}_partial"]
    assert partial[0] == "not adopted"
    assert f"is nearest to revision {particular.legacy}, and not at it" in partial[1]
    listed = [line.split(": ") for line in partial if line.endswith(" (blocks)")]
    assert sorted((kind, name) for kind, name, _ in listed) == sorted(("missing", name) for name in particular.missing)
    assert states.revision(host, f"{system}_partial") is None
    kept(host, f"{system}_legacy")


@each_host
def test_partial_is_left_as_it_was(host: str) -> None:
    names = [f"{system}_partial" for system in SYSTEMS]
    found = states.notes(host)[0]
    assert states.look(host, names) == {name: found[name] for name in names}


def test_only_what_is_missing_is_added() -> None:
    ran = run("adopt", projects=[project("systems", databases("partial"))], repair="additive")
    assert ran.code == 0, ran.text
    for host in HOSTS:
        for system, particular in SYSTEMS.items():
            name = f"{system}_partial"
            assert states.revision(host, name) == [particular.legacy]
            kept(host, name)
            both = states.schemas(host, [name, f"{system}_legacy"], "--exclude-schema=pgsteward")
            assert in_any_order(both[name]) == in_any_order(both[f"{system}_legacy"])


@cache
def migrated() -> plays.Played:
    """Migrate what was adopted."""
    return run("migrate", projects=ADOPTED, **QUICK)


@each_host
@each_system
def test_what_was_adopted_is_migrated_with_every_row(host: str, system: str) -> None:
    assert migrated().code == 0, migrated().text
    for state in ("legacy", "partial"):
        name = f"{system}_{state}"
        assert states.revision(host, name) == [states.head(system)]
        kept(host, name)
        assert in_any_order(schema(host, name)) == in_any_order(schema(host, f"{system}_managed"))


# At the end


def test_all_are_as_their_revision_says() -> None:
    for host in HOSTS:
        lab.psql("pixcrawler_behind", "DROP TABLE images__orphans", host)
    lists = [*(databases(state) for state in MIGRATABLE), ADOPTED[0]["databases"]]
    ran = run("verify", projects=[project("systems", *lists)])
    assert (ran.code, ran.changed) == (0, 0), ran.text
    for host in HOSTS:
        lines = told(ran.text, host)
        assert len(lines) == len(SYSTEMS) * (len(MIGRATABLE) + 2)
        assert all(about[0].startswith("clean, ") for about in lines.values())


def test_no_password_in_any_output_or_report() -> None:
    secrets = [lab.password(user) for user in ("pgsteward_test", *(f"{system}_migrator" for system in SYSTEMS))]
    reports = [path.read_text() for path in (KEPT / "reports").iterdir()]
    assert len(reports) >= 2 * len(HOSTS) * 6
    assert len(said) >= 10
    texts = [LOG.read_text(), *said, *reports]
    assert not [text for text in texts for secret in secrets if secret in text]
