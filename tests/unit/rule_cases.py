"""For each alert of the role pg_monitor, figures on which it fires and figures on which it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RULES = Path(__file__).resolve().parents[2] / "roles" / "pg_monitor" / "files" / "rules.yml"
HERE = 'cluster="shop",instance="db1"'
NODE, POSTGRES = f'{HERE},exporter="node"', f'{HERE},exporter="postgres"'
OTHER = NODE.replace("db1", "db2")
HOUR, DAY, GB = 3600, 86400, 1 << 30
# Figures are looked at once they have stood for so long.
AFTER = 2 * HOUR

Figures = dict[str, Any]


def node(metric: str, value: Any, /, **labels: str) -> Figures:
    """Return one of our own figures, as Prometheus has it from the exporter of the host."""
    more = "".join(f',{key}="{text}"' for key, text in labels.items())
    return {f"{metric}{{{NODE}{more}}}": value}


def postgres(metric: str, value: Any, /, **labels: str) -> Figures:
    """Return a figure of the server's exporter."""
    more = "".join(f',{key}="{text}"' for key, text in labels.items())
    return {f"{metric}{{{POSTGRES}{more}}}": value}


def ago(seconds: float) -> float:
    """Return the moment that is so long ago when the figures are looked at."""
    return AFTER - seconds


def renewed(seconds: float = 0) -> str:
    """Return a moment that goes along, and is always so long ago."""
    return f"{-seconds}+60x{AFTER // 60}"


# Without it nobody has proven anything.
PROVEN = node("pgsteward_last_proven_restore_timestamp_seconds", ago(DAY), kind="physical")


def backup(seconds: float, type_: str) -> Figures:
    """Return a backup that is so old."""
    return node("pgsteward_backup_timestamp_seconds", ago(seconds), repository="1", type=type_)


# alert -> figures that it fires on, each apart; figures that no alert fires on, each apart.
CASES: dict[str, tuple[list[Figures], list[Figures]]] = {
    "PgServerDown": (
        [node("pgsteward_server_up", 0) | {f"pgsteward_server_up{{{OTHER}}}": 1}, postgres("pg_up", 0),
         node("pgsteward_server_up", 0) | postgres("pg_up", 0) | {f"pgsteward_server_up{{{OTHER}}}": 1}],
        [node("pgsteward_server_up", 1) | postgres("pg_up", 1)],
    ),
    "PgNoPrimary": (
        [node("pgsteward_server_primary", 0) | {f"pgsteward_server_primary{{{OTHER}}}": 0}],
        [node("pgsteward_server_primary", 0) | {f"pgsteward_server_primary{{{OTHER}}}": 1}],
    ),
    "PgTwoPrimaries": (
        [node("pgsteward_server_primary", 1) | {f"pgsteward_server_primary{{{OTHER}}}": 1}],
        [node("pgsteward_server_primary", 1)],
    ),
    "PgMonitorStale": (
        [node("pgsteward_monitor_timestamp_seconds", 0)],
        [node("pgsteward_monitor_timestamp_seconds", renewed(90))],
    ),
    "PgExporterDown": ([node("up", 0), postgres("up", 0)], [node("up", 1), {'up{job="another"}': 0}]),
    "PgStandbyMissing": (
        [node("pgsteward_standbys", 1) | node("pgsteward_cluster_servers", 3)],
        [node("pgsteward_standbys", 2) | node("pgsteward_cluster_servers", 3), node("pgsteward_cluster_servers", 3)],
    ),
    "PgStandbyNotStreaming": ([node("pgsteward_standby_streaming", 0)], [node("pgsteward_standby_streaming", 1)]),
    "PgReplicationLag": (
        [node("pgsteward_standby_lag_seconds", 31, standby="db2"), node("pgsteward_standby_lag_bytes", GB, standby="db2"),
         node("pgsteward_standby_lag_seconds", 31, standby="db2") | node("pgsteward_standby_lag_bytes", GB, standby="db2")],
        [node("pgsteward_standby_lag_seconds", 1, standby="db2") | node("pgsteward_standby_lag_bytes", 1e6, standby="db2")],
    ),
    "PgSlotRetainsWal": (
        [node("pgsteward_slot_retained_bytes", 2 * GB, slot="db2")],
        [node("pgsteward_slot_retained_bytes", GB // 2, slot="db2")],
    ),
    "PgSlotLost": ([node("pgsteward_slot_lost", 1, slot="db2")], [node("pgsteward_slot_lost", 0, slot="db2")]),
    "PgArchiverFailing": (
        [node("pgsteward_archive_failing", 1), postgres("pg_stat_archiver_failed_count", "0+1x200")],
        [node("pgsteward_archive_failing", 0) | postgres("pg_stat_archiver_failed_count", 7)],
    ),
    "PgArchiveWaiting": (
        [node("pgsteward_archive_waiting_segments", 17)], [node("pgsteward_archive_waiting_segments", 3)],
    ),
    "PgRepositoryDown": (
        [node("pgsteward_backup_repository_up", 0, repository="1")],
        [node("pgsteward_backup_repository_up", 1, repository="1"),
         node("pgsteward_backup_repository_up", 1, repository="1") | {f'pgsteward_backup_repository_up{{{OTHER},repository="1"}}': 0}],
    ),
    "PgBackupOld": (
        [backup(2 * DAY, "any") | PROVEN],
        [backup(DAY, "any") | PROVEN],
    ),
    "PgFullBackupOld": (
        [backup(9 * DAY, "full") | PROVEN],
        [backup(7 * DAY, "full") | PROVEN],
    ),
    "PgDumpOld": (
        [node("pgsteward_dump_timestamp_seconds", ago(2 * DAY), database="shop", store="s3")],
        [node("pgsteward_dump_timestamp_seconds", ago(DAY), database="shop", store="s3")
         | {f'pgsteward_dump_timestamp_seconds{{{OTHER},database="shop",store="s3"}}': -60 * DAY}],
    ),
    "PgRestoreUnproven": (
        [node("pgsteward_last_proven_restore_timestamp_seconds", ago(36 * DAY), kind="physical"),
         backup(DAY, "any")],
        [node("pgsteward_last_proven_restore_timestamp_seconds", ago(30 * DAY), kind="physical")
         | backup(DAY, "any")],
    ),
    "PgRestoreDrillFailed": (
        [node("pgsteward_restore_drill_success", 0, kind="physical")], [node("pgsteward_restore_drill_success", 1, kind="physical")],
    ),
    "PgMaintenanceFailed": (
        [node("pgsteward_maintain_success", 0, database="shop", task="vacuum")],
        [node("pgsteward_maintain_success", 1, database="shop", task="vacuum")],
    ),
    "PgFreezeAge": (
        [node("pgsteward_database_freeze_age", 3e8, database="shop")], [node("pgsteward_database_freeze_age", 1.9e8, database="shop")],
    ),
    "PgConnections": (
        [postgres("pg_stat_activity_count", 85, datname="shop", state="idle") | postgres("pg_settings_max_connections", 100)],
        [postgres("pg_stat_activity_count", 60, datname="shop", state="idle") | postgres("pg_settings_max_connections", 100)],
    ),
    "PgBlocked": ([node("pgsteward_blocked_seconds", 61)], [node("pgsteward_blocked_seconds", 5)]),
    "PgPoolerDown": ([node("pgsteward_pooler_up", 0)], [node("pgsteward_pooler_up", 1)]),
    "PgPoolerWaiting": (
        [node("pgsteward_pooler_longest_wait_seconds", 2, database="shop", user="app")],
        [node("pgsteward_pooler_longest_wait_seconds", 0.5, database="shop", user="app")],
    ),
    "PgCertificateEnds": (
        [node("pgsteward_certificate_end_timestamp_seconds", ago(-20 * DAY), path="/a"),
         node("pgsteward_certificate_end_timestamp_seconds", ago(DAY), path="/a")],
        [node("pgsteward_certificate_end_timestamp_seconds", ago(-22 * DAY), path="/a")],
    ),
    "PgDiskFull": ([node("pgsteward_disk_free_ratio", 0.1, holds="data")], [node("pgsteward_disk_free_ratio", 0.2, holds="data")]),
    "PgSchemaDrift": (
        [node("pgsteward_schema_differences", 2, database="shop", severity="wrong_results")],
        [node("pgsteward_schema_differences", 0, database="shop", severity="wrong_results")
         | node("pgsteward_schema_differences", 3, database="shop", severity="cosmetic")],
    ),
    "PgSchemaUnverified": (
        [node("pgsteward_schema_timestamp_seconds", ago(3 * DAY), database="shop")],
        [node("pgsteward_schema_timestamp_seconds", ago(DAY), database="shop")],
    ),
    "PgFinding": (
        [node("pgsteward_finding", 1, name="log_grave", subject="", severity="critical")],
        [node("pgsteward_finding", 1, name="slow_statement", subject="", severity="notice"),
         node("pgsteward_finding", 1, name="archiver_failing", subject="", severity="critical")],
    ),
}  # fmt: skip


def document(rules: str) -> dict[str, Any]:
    """Return what `promtool test rules` takes; rules: where it finds them."""
    tests = []
    for alert, (firing, quiet) in CASES.items():
        for figures, expected in [*((one, [alert]) for one in firing), *((one, []) for one in quiet)]:
            tests.append(
                {
                    "name": f"{alert}: {figures}",
                    "interval": "1m",
                    "input_series": [
                        {"series": name, "values": value if isinstance(value, str) else f"{value:g}x{AFTER // 60}"}
                        for name, value in figures.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                            "eval_time": f"{AFTER}s",
                            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected],
                        }
                    ],
                }
            )
    return {"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}
