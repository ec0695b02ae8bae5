"""Bad input gets one line that names the variable or the host, and changes nothing there. Runs the playbooks against the lab."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from typing import Any

import pytest
from support import HOST, ROOT, few

SITE = "pgsteward.postgres.site"
MIGRATE = "pgsteward.postgres.migrate"
PROJECT = {"name": "systems", "databases": [{"name": "powergym", "section": "powergym"}]}
SECRETS = {"powergym_migrator": "wrong"}
SECOND = {"pg_server_instance": "second", "pg_port": 5433}
RULE = {"databases": ["powergym"], "users": ["powergym_app"]}


def play(playbook: str, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection against the lab with extra variables."""
    command = ["ansible-playbook", *HOST, playbook, "-e", json.dumps(variables)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (SITE, {"pg_server_prot": 5433}, "db1: unknown variable pg_server_prot; did you mean pg_server_port?"),
    (SITE, {"pg_server_repository": "pgdg"}, "db1: pg_server_version: name the version, by pg_version"),
    (
        SITE,
        {
            "pg_server_pgvector": "source",
            "pg_server_pgvector_archive": str(ROOT / "README.md"),
            "pg_server_pgvector_checksum": "0" * 64,
            "pg_server_pgvector_version": "0.8.0",
        },
        f"README.md has the SHA-256 {sha256((ROOT / 'README.md').read_bytes()).hexdigest()}, not {'0' * 64}",
    ),
    (SITE, {"pg_server_wal_directory": "/srv/wal"}, "db1: pg_server_wal_directory: the instance keeps its WAL in"),
    (SITE, {"pg_server_port": 70000}, "db1: pg_server_port: 70000 is not a port; give 1 to 65535"),
    (SITE, {"pg_server_settings": "fast"}, "pg_server_settings"),
    (SITE, {"pg_hba_rules": [{**RULE, "address": "10.0.0.0/8", "method": "md5"}]}, "md5"),
    (SITE, {"pg_access_passwords": {}}, "pg_access_passwords"),
    (MIGRATE, {"pg_migrate_passwords": {}}, "db1: pg_migrate_passwords has no entry for powergym_migrator"),
    (MIGRATE, {"pg_migrate_passwords": SECRETS}, "password authentication failed"),
    (MIGRATE, {"pg_migrate_projects": [{**PROJECT, "config": "nowhere.ini"}]}, "nowhere.ini"),
    (
        MIGRATE,
        {"pg_migrate_wheelhouse": "/nowhere"},
        "db1: pg_migrate_wheelhouse: /nowhere is no directory on the controller",
    ),
]
# Their reasons are in tables of unit tests, too.
REFUSED_AS_WELL: list[tuple[str, dict[str, Any], str]] = [
    (SITE, {"pg_verison": 17}, "db1: unknown variable pg_verison; did you mean pg_version?"),
    (SITE, {"pg_version": 16}, "db1: pg_server_version: 16 is not available on Debian 13; it carries 17"),
    (SITE, {"pg_server_repository": "pgdg", "pg_version": 17}, "db1: pg_server_pgdg_mirror: give the address"),
    (SITE, {"pg_server_pgvector": "source"}, "db1: pg_server_pgvector_archive: it is needed"),
    (
        SITE,
        {**SECOND, "pg_server_locale": "xx_XX.UTF-8"},
        "db1: pg_server_locale: this host has no locale xx_XX.UTF-8",
    ),
    (SITE, {**SECOND, "pg_server_data_directory": "/usr"}, "db1: pg_server_data_directory: /usr holds other data"),
    (
        SITE,
        {**SECOND, "pg_server_data_directory": "/var/lib/postgresql/17/main"},
        "db1: pg_server_data_directory: /var/lib/postgresql/17/main belongs to the instance 17/main",
    ),
    (
        SITE,
        {"pg_server_settings": {"shared_bufers": "1GB"}},
        "db1: pg_server_settings: PostgreSQL 17 has no setting 'shared_bufers'; did you mean 'shared_buffers'?",
    ),
    (SITE, {"pg_hba_rules": [{**RULE, "address": "10.0.0.300/8"}]}, "pg_hba_rules[0]"),
    (SITE, {"pg_hba_rules": [{**RULE, "address": "10.1.2.3/8"}]}, "10.0.0.0/8"),
]


@pytest.mark.parametrize(("playbook", "variables", "line"), few([*REFUSED, *REFUSED_AS_WELL], *REFUSED))
def test_one_line_and_nothing_changed(playbook: str, variables: dict[str, Any], line: str) -> None:
    run = play(playbook, variables)
    assert run.returncode != 0
    assert [
        text
        for text in run.stdout.splitlines() + run.stderr.splitlines()
        if text.startswith("[ERROR]") and line in text
    ], run.stdout + run.stderr
    assert "changed=0" in run.stdout


@pytest.mark.parametrize(
    ("variables", "path", "words"),
    [
        (
            {"pg_server_settings": {"log_min_messages": "plenty"}},
            "conf.d/50-pgsteward.conf",
            'PostgreSQL refuses the settings, nothing was changed: invalid value for parameter "log_min_messages": "plenty"',
        ),
        (
            {"pg_hba_rules": [{**RULE, "address": "10.0.0.0/8", "method": "pam", "options": {"nosuchoption": "1"}}]},
            "pg_hba.conf",
            'PostgreSQL says: unrecognized authentication option name: "nosuchoption"; nothing was changed',
        ),
    ],
)
def test_what_only_the_server_can_refuse_leaves_its_file_as_it_was(
    variables: dict[str, Any], path: str, words: str
) -> None:
    def now() -> str:
        command = ["docker", "exec", "pgsteward-db1", "sha256sum", f"/etc/postgresql/17/main/{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    before = now()
    run = play(SITE, variables)
    assert run.returncode != 0
    assert words in run.stdout + run.stderr
    assert now() == before
