# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the server of this host says of its archiving, and the WAL that waits for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, read_json
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Archiver

APPLICATION = "pgsteward pgbackrest"

STATE = """
SELECT json_build_object(
  'primary', NOT pg_is_in_recovery(), 'mode', current_setting('archive_mode'), 'command', current_setting('archive_command'),
  'segment_bytes', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
  'archived', archived_count, 'last_wal', last_archived_wal, 'last_time', extract(epoch FROM last_archived_time),
  'failed', failed_count, 'last_failed_wal', last_failed_wal, 'last_failed_time', extract(epoch FROM last_failed_time))
FROM pg_stat_archiver
"""

_SEGMENT = re.compile(r"[0-9A-F]{24}\.ready")


def read(place: Place, data_directory: Path) -> Archiver:
    """Return the state of archiving; needs the rights of the account that owns the data, for what waits."""
    state: dict[str, Any] = read_json(place, APPLICATION, STATE)
    ready, since = waiting(data_directory)
    return Archiver(**state, ready=ready, ready_since=since)


def waiting(data_directory: Path) -> tuple[int, float | None]:
    """Return how many segments wait for their archive, and since when the first of them does, in seconds since 1970."""
    times = []
    for path in (data_directory / "pg_wal" / "archive_status").glob("*.ready"):
        if _SEGMENT.fullmatch(path.name):
            try:
                times.append(path.stat().st_mtime)
            except FileNotFoundError:
                continue  # archived meanwhile
    return len(times), min(times, default=None)
