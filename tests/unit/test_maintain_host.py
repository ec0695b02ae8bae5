"""What the role pg_maintain puts on a host, what is wrong with its inputs, and what the command makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shipping
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain, _maintain_command
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils import _maintain_host as host
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

JOB = {"name": "old", "database": "shop", "table": "results", "column": "at", "older_than": "30 days"}
INPUTS: dict[str, Any] = {
    "databases": [{"name": "shop"}, {"name": "my-db", "schedules": {"vacuum": None}, "thresholds": {"recall": 0.8}}],
    "schedules": {"weekly": None}, "clean_up": [JOB], "thresholds": {"bloat_percent": 50}, "superuser": "postgres", "port": 5432,
    "socket_directory": "/var/run/postgresql", "backups": ["*-*-* 02:00:00"],
}  # fmt: skip


def test_all_that_the_command_needs_is_shipped() -> None:
    assert shipping.needed("_maintain_command.py") == sorted(host.SHIPPED)


def test_files() -> None:
    made = host.files(INPUTS)
    assert made["timers"] == {
        f"pgsteward-maintain@{task}:{name}.timer": when
        for name, tasks in (("shop", "freeze clean_up vacuum reindex monthly"), (r"my\x2ddb", "freeze reindex monthly"))
        for task in tasks.split()
        for when in [_maintain.SCHEDULES[task]]
    }
    timer = made["wanted"]["/etc/systemd/system/pgsteward-maintain@vacuum:shop.timer"]
    assert "OnCalendar=*-*-* 04:30:00\n" in timer
    assert "Unit=pgsteward-maintain@vacuum:shop.service\n" in timer
    unit = made["wanted"][host.UNIT]
    assert "User=postgres\nExecStart=/usr/local/bin/maintain-db --scheduled -- %I\n" in unit
    assert "ExecStopPost=+/usr/local/bin/maintain-db publish\n" in unit
    compile(made["wanted"][host.COMMAND], "maintain-db", "exec")


@pytest.mark.parametrize(
    ("database", "instance"),
    [("shop", "vacuum:shop"), ("a/b", "vacuum:a-b"), ("a-b c", r"vacuum:a\x2db\x20c"), ("ü", r"vacuum:\xc3\xbc")],
)
def test_instances_are_escaped_as_systemd_does(database: str, instance: str) -> None:
    assert host.instance("vacuum", database) == instance


def test_configuration() -> None:
    held = json.loads(host.configuration(INPUTS))
    assert held["databases"]["my-db"]["recall"] == 0.8
    assert held["databases"]["shop"]["bloat_percent"] == 50
    assert held["jobs"][0]["user"] == "shop_migrator"
    assert (held["account"], held["directory"]) == ("postgres", host.DIRECTORY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"clean_up": []}, None),
        ({"clean_up": ["old"]}, None),  # its type is wrong, which is said elsewhere
        ({"databases": "shop"}, None),
        ({"databases": [{"name": "shop", "schedules": "never"}]}, "pg_maintain_databases[0].schedules is 'never'"),
        ({"databases": [{"name": "shop"}, {"name": "shop"}]}, "pg_maintain_databases has shop twice"),
        ({"databases": [{}]}, "pg_maintain_databases[0] has no name"),
        ({"databases": [{"name": "shop", "x": 1}]}, "pg_maintain_databases[0] has x"),
        ({"databases": [{"name": "shop", "thresholds": {"recall": 5}}]}, "pg_maintain_databases[0].thresholds.recall is 5"),
        ({"thresholds": {"bloat_percent": 200}}, "pg_maintain_thresholds.bloat_percent is 200"),
        ({"schedules": {"nightly": "x"}}, "pg_maintain_schedules has nightly"),
        ({"schedules": {"vacuum": "*-*-* 02:10"}}, "pg_maintain_schedules.vacuum is *-*-* 02:10, in the hour of a backup"),
        ({"clean_up": [JOB, JOB]}, "pg_maintain_clean_up has two jobs of the name old"),
        ({"clean_up": [{**JOB, "older_than": "old"}]}, "pg_maintain_clean_up[0].older_than is 'old', which is no interval"),
        ({"clean_up": [{**JOB, "database": "x"}]}, "pg_maintain_clean_up[0].database is x, which pg_maintain_databases does not list"),
        ({"clean_up": [{**JOB, "database": None}]}, "pg_maintain_clean_up[0] has no database"),
        ({"clean_up": [{**JOB, "user": "postgres"}]}, "triggers of the table would run as a superuser"),
    ],
)  # fmt: skip
def test_findings(change: dict[str, Any], words: str | None) -> None:
    found = host.findings({**INPUTS, **change})
    assert found == [] if words is None else words in found[0]


def test_accounts() -> None:
    assert config.accounts([JOB, {**JOB, "user": "app"}, {**JOB, "name": "b"}, {}]) == ["app", "shop_migrator"]


# How it went


def test_state_and_figures() -> None:
    state = config.with_outcome({}, "shop", "clean_up", 100.0, 2.0, None, {"deleted_count": 7, "findings": ["x"]})
    state = config.with_outcome(state, "shop", "clean_up", 200.0, 1.0, "no lock", {})
    entry = state["databases"]["shop"]["clean_up"]
    assert (entry["last_good"], entry["success"], entry["error"]) == (100.0, 0, "no lock")
    state = config.with_outcome(state, 'o"dd', "vacuum", 300.0, 1.0, None, {})
    text = config.figures(state)
    assert 'pgsteward_maintain_last_success_timestamp_seconds{database="shop",task="clean_up"} 100.0\n' in text
    assert 'pgsteward_maintain_success{database="o\\"dd",task="vacuum"} 1\n' in text
    assert config.without_gone(state, ["shop"])["databases"].keys() == {"shop"}
    assert config.figures({}) == ""


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"format": 9}'])
def test_a_state_that_is_none(text: str | None) -> None:
    assert config.parse_state(text) == {}


def test_figures_hold_nothing_but_numbers_and_tasks() -> None:
    hostile = {"format": 1, "databases": {"d": {"evil\n": {"begun": 1}, "vacuum": {"begun": "text", "seconds": 2}}}}
    text = config.figures(hostile)
    assert "evil" not in text
    assert "text" not in text
    assert 'pgsteward_maintain_seconds{database="d",task="vacuum"} 2\n' in text


def test_the_state_is_kept_and_published(tmp_path: Path) -> None:
    place = tmp_path / "textfiles"
    place.mkdir()
    path = tmp_path / "maintain.json"
    config.keep(path, lambda state: config.with_outcome(state, "shop", "vacuum", 1.0, 2.0, None, {}))
    config.keep(path, lambda state: config.with_outcome(state, "shop", "reindex", 1.0, 2.0, None, {}))
    assert config.parse_state(path.read_text())["databases"]["shop"].keys() == {"vacuum", "reindex"}
    assert [one.read_text() for one in config.publish(path, [place, tmp_path / "none"])] == [
        (tmp_path / config.FIGURES).read_text()
    ]
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert config.publish(link, [place]) == []


def test_one_database_after_the_other(tmp_path: Path) -> None:
    said: list[str] = []
    with config.turn(tmp_path / "maintain.json", 0.0, said.append):
        assert said == []
        with config.turn(tmp_path / "maintain.json", 0.05, said.append):  # goes on after its limit
            assert said == ["another database has its turn; waiting for its end"]


# The command


def held(**change: Any) -> config.Config:
    """Return a configuration."""
    job = {**JOB, "user": "shop_migrator"}
    given: dict[str, Any] = {
        "account": "postgres", "socket": "/run", "port": 5432, "directory": Path("/x"),
        "databases": {"shop": _maintain.thresholds_of({})}, "jobs": (job, {**job, "name": "other", "user": "app"}),
    }  # fmt: skip
    return config.Config(**{**given, **change})


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["vacuum"], [("postgres", "vacuum", 0)]),
        (["clean_up"], [("shop_migrator", "clean_up", 1), ("app", "clean_up", 1)]),
        (["clean_up", "--job", "other"], [("app", "clean_up", 1)]),
        (["weekly"], [("postgres", "review", 0), ("postgres", "review", 0)]),
        (["monthly"], [("postgres", "review", 0), ("shop_migrator", "review", 1), ("app", "review", 1), ("postgres", "vectors", 0),
                       ("postgres", "collations", 0)]),
    ],
)  # fmt: skip
def test_requests(argv: list[str], parts: list[tuple[str, str, int]]) -> None:
    options = _maintain_command.arguments().parse_args(argv)
    made = _maintain_command.requests(held(), "shop", argv[0], options, None)
    assert [(user, request.task, len(request.jobs)) for user, request in made] == parts


def test_a_job_that_there_is_not() -> None:
    options = _maintain_command.arguments().parse_args(["clean_up", "--job", "x"])
    with pytest.raises(StewardError, match="there is no job x in shop: there are old, other"):
        _maintain_command.requests(held(), "shop", "clean_up", options, None)


def test_wanted_databases() -> None:
    assert _maintain_command.wanted(held(), []) == ["shop"]
    with pytest.raises(
        StewardError, match="x is not in the configuration, which lists shop: name it in pg_maintain_databases"
    ):
        _maintain_command.wanted(held(), ["x"])


def test_scheduled_runs_wait_for_others_and_for_backups() -> None:
    options = _maintain_command.arguments().parse_args(["--scheduled", "--", "vacuum:shop"])
    assert options.task == "vacuum:shop"
    [(_user, request)] = _maintain_command.requests(held(), "shop", "vacuum", options, None)
    assert request.wait == _maintain_command.SCHEDULED_WAIT


def test_merged() -> None:
    jobs = [
        {"changed": True, "deleted_count": 3, "jobs": [1], "findings": ["a"]},
        {"changed": False, "deleted_count": 4, "jobs": [2]},
    ]
    whole = _maintain_command.merged([*jobs, {"findings": ["a", "b"], "summary": "s"}])
    assert (whole["deleted_count"], whole["jobs"], whole["findings"], whole["summary"]) == (
        7,
        [1, 2],
        ["a", "b"],
        "s; 7 rows deleted",
    )


def test_the_sizes_of_the_review_before() -> None:
    state = config.with_outcome({}, "shop", "weekly", 1.0, 1.0, None, {"disk": {"at": 1.0}})
    assert _maintain_command.last_disk(state, "shop") == {"at": 1.0}
    assert _maintain_command.last_disk({}, "shop") is None


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["dance"], "dance is no task"), (["vacuum", "--config", "/nowhere/x.json"], "the role pg_maintain writes it")],
)
def test_refusals_are_one_line(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _maintain_command.run(argv) == _maintain_command.REFUSED
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
