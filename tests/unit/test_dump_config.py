"""The configuration of the commands, what is wrong with inputs, and the state that the commands leave."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config as config
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Outcome
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import File, Manifest
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

BUCKET = {"bucket": "shop-dumps", "access_key": "a", "secret_key": "hunter2"}
INPUTS: dict[str, Any] = {
    "environment": "production",
    "host": "db1",
    "account": "postgres",
    "socket": "/var/run/postgresql",
    "port": 5432,
    "user": "dumps",
    "superuser": "postgres",
    "directory": "/var/lib/pgsteward/backup",
    "from": "primary",
    "bin_directory": None,
    "databases": [{"name": "shop"}, {"name": "orders", "format": "directory", "jobs": 4}],
    "sqlite": [{"name": "faces", "path": "/srv/faces.db"}],
    "stores": [{"path": "/srv/dumps", "retention": {"days": 7}}, BUCKET],
    "retention": {"days": 30, "monthly": 12},
}
AT = datetime(2026, 1, 31, 2, 0, 5, tzinfo=UTC)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "dumps.json"
    path.write_text(config.text_of(INPUTS))
    read = config.read(path)
    assert (read.environment, read.dumped_from, read.staging) == (
        "production",
        "primary",
        Path("/var/lib/pgsteward/backup/staging"),
    )
    assert [(database["name"], database["format"], database["jobs"]) for database in read.databases] == [
        ("shop", "custom", 1),
        ("orders", "directory", 4),
    ]
    assert [(store["name"], store["retention"]) for store in read.stores] == [
        ("/srv/dumps", {"days": 7}),
        ("s3://shop-dumps", {"days": 30, "monthly": 12}),
    ]


@pytest.mark.parametrize(
    ("text", "words"), [(None, "is not there: the role"), ("{", "cannot be read"), ("{}", "cannot be read")]
)
def test_what_is_no_configuration(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "dumps.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StewardError, match=words):
        config.read(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"databases": [], "sqlite": [], "stores": []}, None),
        ({"environment": "a b"}, "environment 'a b' cannot be part of a dump's name"),
        ({"from": "here"}, "from 'here' is none of any, primary, standby"),
        ({"stores": []}, "stores is empty"),
        ({"databases": [{"nam": "shop"}]}, "databases[0] has nam, which there is not"),
        ({"databases": [{"format": "plain"}]}, "databases[0] has no name"),
        ({"databases": [{"name": "shop", "format": "tar"}]}, "databases[0]: format 'tar' is none of"),
        ({"databases": [{"name": "shop", "content": "rows"}]}, "content 'rows' is none of"),
        ({"databases": [{"name": "shop", "compression": "lz4"}]}, "'lz4' is none of auto"),
        ({"databases": [{"name": "shop", "jobs": 4}]}, "only the format directory is written in parallel"),
        ({"databases": [{"name": "shop", "jobs": "many"}]}, "jobs is 'many'"),
        ({"databases": [{"name": "shop", "tables": ["a.b.c"]}]}, "'a.b.c' is no table"),
        ({"databases": [{"name": "shop", "tables": ["a"], "schemas": ["b"]}]}, "name the one or the other"),
        ({"sqlite": [{"name": "faces"}]}, "sqlite[0] has no path"),
        ({"sqlite": [{"name": "faces", "path": "x"}]}, "path x has to be absolute"),
        ({"sqlite": [{"name": "shop", "path": "/x"}]}, "databases and sqlite have shop twice"),
        ({"stores": [{"path": "/srv"}, {"path": "/srv"}]}, "stores has /srv twice"),
        ({"stores": [{"pfad": "/srv"}]}, "stores[0] has pfad"),
        ({"stores": [{"path": "/srv", "retention": {"days": 0}}]}, "stores[0].retention would remove every dump"),
        ({"retention": {"hours": 3}}, "retention has the rule hours"),
    ],
)  # fmt: skip
def test_findings(change: dict[str, Any], words: str | None) -> None:
    found = config.findings({**INPUTS, **change})
    assert found == [] if words is None else words in found[0]
    assert "hunter2" not in str(found)


MANIFEST = Manifest(
    "backup_production_20260131_020005", "shop", "production", "postgresql", "2026-01-31T02:00:05Z", 1.5, "db1", "custom", "zstd", "17.6",
    "17.6", (File(".dump", "dump", 100, "ab"),),
)  # fmt: skip


def test_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert config.read_state(path) == {}
    state = config.with_outcome({}, "shop", Outcome("near", MANIFEST), AT)
    state = config.with_outcome(state, "shop", Outcome("far", error="no answer"), AT)
    state = config.with_damage(state, "shop", "near", ["backup_production_20260130_020000"], AT)
    config.write_state(path, state)
    assert path.stat().st_mode & 0o777 == 0o644
    state = config.with_outcome(config.read_state(path), "shop", Outcome("near", error="disk full"), AT)
    near = state["databases"]["shop"]["near"]
    assert (near["error"], near["last_good"]["name"]) == ("disk full", MANIFEST.name)
    assert state["databases"]["shop"]["far"] == {"at": "2026-01-31T02:00:05Z", "error": "no answer"}
    assert config.damaged_in(state, "shop", "near") == ["backup_production_20260130_020000"]
    assert config.damaged_in(state, "shop", "elsewhere") == []


@pytest.mark.parametrize("text", ["", "[]", '{"format": 9}'])
def test_a_state_that_is_none_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert config.read_state(tmp_path / "state.json") == {}


def test_the_state_has_no_secrets() -> None:
    assert "hunter2" not in json.dumps(config.with_outcome({}, "shop", Outcome("near", MANIFEST), AT))
