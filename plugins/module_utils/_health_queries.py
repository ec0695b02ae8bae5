# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server is asked for its health: one query for the server, one for each database, one for its slow statements.

Nothing here waits for a lock or reads a file of a table: pg_relation_size() would do the first behind an ALTER TABLE, and both on every
table. Sizes of tables are therefore those of the last vacuum or analyze; that of the database is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

TOP = 10  # of every list
SHOWN = 20  # sessions and names, where there may be hundreds
QUERY_LENGTH = 400  # characters that are fetched; what is shown is shorter

# What later major versions have and earlier ones do not: name -> (first version, expression, expression before it).
SINCE: Mapping[str, tuple[int, str, str]] = {
    "wait_began": (14, "(SELECT min(l.waitstart) FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted)", "NULL::timestamptz"),
    "collation": (15, "d.datcollversion", "NULL::text"),
    "collation_actual": (15, "pg_database_collation_actual_version(d.oid)", "NULL::text"),
    "slot_synced": (17, "s.synced", "false"),
    "slot_inactive_since": (17, "extract(epoch FROM s.inactive_since)", "NULL"),
    "slot_invalidation": (17, "s.invalidation_reason", "NULL::text"),
    "index_last_scan": (16, "extract(epoch FROM pg_stat_get_lastscan(i.oid))", "NULL"),
    "checkpoints_timed": (17, "(SELECT num_timed FROM pg_stat_checkpointer)", "(SELECT checkpoints_timed FROM pg_stat_bgwriter)"),
    "checkpoints_requested": (17, "(SELECT num_requested FROM pg_stat_checkpointer)", "(SELECT checkpoints_req FROM pg_stat_bgwriter)"),
}  # fmt: skip

_SERVER = """
WITH here AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby),
activity AS MATERIALIZED (
  SELECT a.pid, a.usename, a.datname, a.application_name, a.client_addr, a.backend_type, a.state, a.wait_event_type, a.wait_event,
    a.backend_start, a.xact_start, a.query_start, a.state_change, left(a.query, {query_length}) AS query, age(a.backend_xmin) AS xmin_age,
    CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) END AS blocked_by
  FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid()),
blockers AS (SELECT DISTINCT unnest(blocked_by) AS pid FROM activity),
-- Who waits or is waited for, is in a transaction, or works.
shown AS (
  SELECT a.*, extract(epoch FROM clock_timestamp() - a.xact_start) AS transaction_age,
    extract(epoch FROM clock_timestamp() - a.query_start) AS query_age, extract(epoch FROM clock_timestamp() - a.state_change) AS state_age,
    CASE WHEN blocked_by <> '{{}}' THEN extract(epoch FROM clock_timestamp() - coalesce({wait_began}, a.query_start)) END AS waiting
  FROM activity a WHERE a.blocked_by <> '{{}}' OR a.pid IN (SELECT pid FROM blockers)
    OR (a.backend_type = 'client backend' AND (a.xact_start IS NOT NULL OR a.state = 'active'))),
told AS (
  SELECT * FROM shown ORDER BY blocked_by IS NOT NULL OR pid IN (SELECT pid FROM blockers) DESC, transaction_age DESC NULLS LAST LIMIT 500)
SELECT json_build_object(
  'version', current_setting('server_version_num')::int, 'version_text', current_setting('server_version'),
  'standby', here.standby, 'at', extract(epoch FROM clock_timestamp()),
  'started', extract(epoch FROM pg_postmaster_start_time()), 'loaded', extract(epoch FROM pg_conf_load_time()),
  'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN ('archive_mode', 'archive_command', 'archive_library',
     'autovacuum', 'autovacuum_freeze_max_age', 'cluster_name', 'data_checksums', 'data_directory', 'log_timezone',
     'max_connections', 'max_slot_wal_keep_size', 'port', 'reserved_connections', 'ssl', 'ssl_ca_file', 'ssl_cert_file',
     'superuser_reserved_connections', 'synchronous_standby_names', 'wal_segment_size')),
  'counts_statements', current_setting('pg_stat_statements.max', true) IS NOT NULL,
  'pending_restart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'backends', (SELECT coalesce(json_agg(json_build_object('type', backend_type, 'state', state, 'database', datname, 'user', usename,
      'count', count) ORDER BY count DESC), '[]') FROM (SELECT backend_type, state, datname, usename, count(*) FROM activity
      WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4) c),
  'walsenders', (SELECT count(*) FROM activity WHERE backend_type = 'walsender'),
  'sessions', (SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'database', datname, 'application', application_name,
      'address', host(client_addr), 'type', backend_type, 'state', state, 'wait', concat_ws(':', wait_event_type, wait_event),
      'transaction_age', transaction_age, 'query_age', query_age, 'state_age', state_age, 'waiting', waiting, 'xmin_age', xmin_age,
      'blocked_by', blocked_by, 'query', query)), '[]') FROM told),
  'prepared', (SELECT coalesce(json_agg(json_build_object('gid', gid, 'database', database, 'owner', owner,
      'age', extract(epoch FROM clock_timestamp() - prepared)) ORDER BY prepared), '[]') FROM pg_prepared_xacts),
  'databases', (SELECT coalesce(json_agg(json_build_object('name', d.datname, 'connects', d.datallowconn, 'template', d.datistemplate,
      'limit', d.datconnlimit, 'bytes', pg_database_size(d.oid), 'freeze_age', age(d.datfrozenxid),
      'multixact_age', mxid_age(d.datminmxid), 'collation', {collation},
      'collation_actual', {collation_actual}, 'commits', s.xact_commit, 'rollbacks', s.xact_rollback,
      'blocks_read', s.blks_read, 'blocks_hit', s.blks_hit, 'deadlocks', s.deadlocks, 'temp_bytes', s.temp_bytes,
      'conflicts', s.conflicts, 'checksum_failures', s.checksum_failures, 'reset', extract(epoch FROM s.stats_reset)) ORDER BY d.datname), '[]')
    FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid),
  'checkpoints_timed', {checkpoints_timed}, 'checkpoints_requested', {checkpoints_requested},
  'lsn', CASE WHEN here.standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'followers', (SELECT coalesce(json_agg(json_build_object('name', r.application_name, 'address', host(r.client_addr), 'state', r.state,
      'sync_state', r.sync_state, 'lag_bytes', CASE WHEN here.standby THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn) END,
      'lag_seconds', extract(epoch FROM r.replay_lag)) ORDER BY r.application_name), '[]')
    FROM pg_stat_replication r WHERE r.state IN ('streaming', 'catchup')),
  'receiver', CASE WHEN here.standby THEN (SELECT json_build_object('status', w.status, 'from', w.sender_host,
      'heard', extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)) FROM pg_stat_wal_receiver w) END,
  'replay', CASE WHEN here.standby THEN json_build_object('paused', pg_is_wal_replay_paused(),
      'received_lsn', pg_last_wal_receive_lsn(), 'replayed_lsn', pg_last_wal_replay_lsn(),
      'bytes', pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), pg_last_wal_replay_lsn()),
      'seconds', CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END) END,
  'slots', (SELECT coalesce(json_agg(json_build_object('name', s.slot_name, 'type', s.slot_type, 'database', s.database, 'active', s.active,
      'temporary', s.temporary, 'wal_status', s.wal_status, 'restart_lsn', s.restart_lsn, 'synced', {slot_synced},
      'retained_bytes', pg_wal_lsn_diff(CASE WHEN here.standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn),
      'safe_bytes', s.safe_wal_size, 'inactive_since', {slot_inactive_since}, 'invalidation', {slot_invalidation}) ORDER BY s.slot_name), '[]')
    FROM pg_replication_slots s),
  'archiver', (SELECT json_build_object('archived', archived_count, 'last_wal', last_archived_wal,
      'last_time', extract(epoch FROM last_archived_time), 'failed', failed_count, 'last_failed_wal', last_failed_wal,
      'last_failed_time', extract(epoch FROM last_failed_time)) FROM pg_stat_archiver),
  'archive_waiting', CASE WHEN current_setting('archive_mode') = 'off' THEN NULL ELSE
    (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{{24}}\\.ready$') END,
  'wal_bytes', (SELECT sum(size) FROM pg_ls_waldir()),
  'tablespaces', (SELECT coalesce(json_agg(pg_tablespace_location(oid)) FILTER (WHERE pg_tablespace_location(oid) <> ''), '[]')
    FROM pg_tablespace))
FROM here
"""

_DATABASE = """
WITH relations AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpages::bigint * current_setting('block_size')::int AS bytes, c.reltoastrelid,
    c.relfrozenxid, greatest(c.reltuples, 0) AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm', 't', 'i') AND NOT c.relisshared),
tables AS MATERIALIZED (
  SELECT t.oid, t.nspname, t.relname, t.bytes + coalesce(toast.bytes, 0) AS bytes, t.rows,
    greatest(age(t.relfrozenxid), age(toast.relfrozenxid)) AS freeze_age,
    pg_stat_get_live_tuples(t.oid) AS live, pg_stat_get_dead_tuples(t.oid) AS dead, pg_stat_get_numscans(t.oid) AS seq_scans,
    pg_stat_get_tuples_returned(t.oid) AS seq_rows,
    greatest(pg_stat_get_last_vacuum_time(t.oid), pg_stat_get_last_autovacuum_time(t.oid)) AS vacuumed,
    greatest(pg_stat_get_last_analyze_time(t.oid), pg_stat_get_last_autoanalyze_time(t.oid)) AS analyzed
  FROM relations t LEFT JOIN relations toast ON toast.oid = t.reltoastrelid WHERE t.relkind IN ('r', 'm')),
indexes AS MATERIALIZED (
  SELECT i.oid, i.nspname, i.relname, i.bytes, x.indrelid, x.indisvalid, x.indisunique OR x.indisexclusion AS keeps,
    pg_stat_get_numscans(i.oid) AS scans, pg_stat_get_tuples_returned(i.oid) AS read, pg_stat_get_tuples_fetched(i.oid) AS fetched,
    {index_last_scan} AS last_scan,
    i.oid IN (SELECT conindid FROM pg_constraint) AS constrains
  FROM relations i JOIN pg_index x ON x.indexrelid = i.oid WHERE i.relkind = 'i' AND i.nspname NOT IN ('pg_toast')),
own_tables AS MATERIALIZED (SELECT * FROM tables WHERE nspname NOT IN ('pg_catalog', 'information_schema')),
own_indexes AS MATERIALIZED (
  SELECT i.*, t.relname AS of_table FROM indexes i JOIN relations t ON t.oid = i.indrelid
  WHERE i.nspname NOT IN ('pg_catalog', 'information_schema'))
SELECT json_build_object(
  'tables', (SELECT json_build_object('count', count(*), 'bytes', coalesce(sum(bytes), 0), 'live_rows', coalesce(sum(live), 0),
      'dead_rows', coalesce(sum(dead), 0), 'sequential_scans', coalesce(sum(seq_scans), 0)) FROM own_tables),
  'indexes', (SELECT json_build_object('count', count(*), 'bytes', coalesce(sum(bytes), 0), 'scans', coalesce(sum(scans), 0),
      'read', coalesce(sum(read), 0), 'fetched', coalesce(sum(fetched), 0)) FROM own_indexes),
  'biggest_tables', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'bytes', bytes, 'rows', live)
      ORDER BY bytes DESC, oid), '[]') FROM (SELECT * FROM own_tables ORDER BY bytes DESC, oid LIMIT {top}) b),
  'biggest_indexes', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'table', of_table, 'bytes', bytes,
      'scans', scans, 'read', read, 'fetched', fetched, 'last_scan', last_scan) ORDER BY bytes DESC, oid), '[]')
      FROM (SELECT * FROM own_indexes ORDER BY bytes DESC, oid LIMIT {top}) b),
  'dead', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'live', live, 'dead', dead,
      'vacuumed', extract(epoch FROM vacuumed), 'analyzed', extract(epoch FROM analyzed)) ORDER BY dead DESC, oid), '[]')
      FROM (SELECT * FROM tables WHERE dead > 0 ORDER BY dead DESC, oid LIMIT {top}) b),
  'oldest', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'age', freeze_age) ORDER BY freeze_age DESC, oid),
      '[]') FROM (SELECT * FROM tables ORDER BY freeze_age DESC NULLS LAST, oid LIMIT 3) b),
  'invalid_indexes', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'table', of_table, 'bytes', bytes)
      ORDER BY nspname, relname), '[]') FROM (SELECT * FROM own_indexes i WHERE NOT indisvalid
        AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.oid) ORDER BY nspname, relname LIMIT {shown}) b),
  'unused_indexes', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'table', of_table, 'bytes', bytes)
      ORDER BY bytes DESC, oid), '[]') FROM (SELECT * FROM own_indexes WHERE scans = 0 AND indisvalid AND NOT keeps AND NOT constrains
        ORDER BY bytes DESC, oid LIMIT {top}) b),
  'extensions', (SELECT json_object_agg(e.extname, json_build_object('version', e.extversion, 'schema', n.nspname))
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace))
"""

LEAST_CALLS = 5  # before that the mean says little: what was run once, such as an index build, stands behind the others
# mean_exec_time is there since version 1.8 of the extension, which every server from 13 on can have.
STATEMENTS_SINCE = (1, 8)
_STATEMENTS = """
SELECT json_build_object(
  'held', (SELECT count(*) FROM {view}), 'most', current_setting('pg_stat_statements.max', true)::int,
  'top', ({slowest}), 'busiest', ({busiest}))
"""
_STATEMENTS_BY = """
SELECT coalesce(json_agg(json_build_object('id', queryid::text, 'database', d.datname, 'user', r.rolname, 'calls', t.calls,
    'mean_ms', t.mean_exec_time, 'total_ms', t.total_exec_time, 'max_ms', t.max_exec_time, 'rows', t.rows,
    'query', left(t.query, {query_length})) ORDER BY {by}), '[]')
  FROM (SELECT * FROM {view} ORDER BY {by} LIMIT {top}) t
  LEFT JOIN pg_database d ON d.oid = t.dbid LEFT JOIN pg_roles r ON r.oid = t.userid"""


def expressions(major: int) -> dict[str, str]:
    """Return what a major version has for each name of SINCE."""
    return {name: now if major >= first else before for name, (first, now, before) in SINCE.items()}


def server(major: int) -> str:
    """Return the query for what is known of a whole server."""
    return _SERVER.format(query_length=QUERY_LENGTH, **expressions(major))


def database(major: int) -> str:
    """Return the query for what only a connection to a database can see."""
    return _DATABASE.format(top=TOP, shown=SHOWN, index_last_scan=expressions(major)["index_last_scan"])


def statements(view: str) -> str:
    """Return the query for the slowest statements, and for those that took most in all; view: pg_stat_statements with its schema, quoted."""
    slowest, busiest = (
        _STATEMENTS_BY.format(view=view, by=by, top=TOP, query_length=QUERY_LENGTH)
        for by in (f"calls < {LEAST_CALLS}, mean_exec_time DESC", "total_exec_time DESC")
    )
    return _STATEMENTS.format(view=view, slowest=slowest, busiest=busiest)
