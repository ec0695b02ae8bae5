# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the timer of the role pg_monitor runs on a host: looks at server, backups, dumps and pooler, and leaves figures for the exporter.

Begins as root, which alone sees disks, certificates and the log; logs in to the server as an account that may look and nothing else, and
asks pgBackRest and the pooler as the accounts that they belong to.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _dump_names,
    _health,
    _health_facts,
    _owned_file,
    _pgbackrest_run,
    _postmaster,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils import _health_thresholds as thresholds
from ansible_collections.pgsteward.postgres.plugins.module_utils import _monitor_figures as figures
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._health_facts import as_account
from ansible_collections.pgsteward.postgres.plugins.module_utils._monitor_figures import Figure
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_info import Stanza
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbackrest_run import Program
from ansible_collections.pgsteward.postgres.plugins.module_utils._pgbouncer_console import ConsolePlace, open_console

CONFIG = Path("/etc/pgsteward/monitor.json")
STATE = Path("/var/lib/pgsteward/monitor/health.json")
REPOSITORIES = Path("/var/lib/pgsteward/monitor/repositories.json")
DUMPS = Path("/var/lib/pgsteward/backup/dumps.json")
TEXTFILE = Path("/var/lib/prometheus/node-exporter/pgsteward_monitor.prom")
MODE = 0o644
TIMEOUT = 10  # seconds for a question
# A store is asked this often; what its backups were is known meanwhile, and their age goes on.
ASKED_EVERY = 600.0

Config = Mapping[str, Any]
Say = Callable[[str], None]


def collect(config: Config, say: Say, now: float) -> list[Figure]:
    """Return the figures of this host; what cannot be looked at is said, and its figures are not there, or say so."""
    found = [Figure("pgsteward_monitor_timestamp_seconds", now)]
    if config["server"]:
        found += _server(config["server"], say)
    if config["stanza"]:
        found += _backups(config["stanza"], say, now)
    if config["dumps"]:
        found += _dumps(config["dumps"])
    if config["pooler"]:
        found += figures.pooler(_pools(config["pooler"], say))
    return found


def _server(server: Config, say: Say) -> Iterator[Figure]:
    facts = None
    try:
        facts = _facts(server)
    except StewardError as error:
        say(f"the server cannot be looked at: {error}")
    yield from figures.server(facts, server["servers"])
    if facts:
        for one in facts["unknown"]:
            say(f"{one['what']} is not known: {one['reason']}")
        limits = thresholds.merged(server["thresholds"])
        yield from figures.findings(one.as_return() for one in _health.findings(facts, limits))


def _facts(server: Config) -> dict[str, Any]:
    place = Place("postgres", host=server["socket"], port=server["port"], user=server["account"])
    facts = _health_facts.read(place, server["databases"], TIMEOUT, _health_facts.read_state(STATE), server["account"])
    data_directory = facts["settings"].get("data_directory")
    running = _postmaster.find(Path(data_directory)) if data_directory else None
    process = running.pid if running else None
    facts |= _health_facts.host(facts, server["certificates"], server["log_file"], facts["unknown"], process)
    _health_facts.keep_state(STATE, facts)
    return facts


def _backups(stanza: Config, say: Say, now: float) -> list[Figure]:
    """Return what is known of the repositories, which a store is asked for only now and then."""
    kept = _kept(REPOSITORIES)
    if kept and 0 <= now - kept["at"] < ASKED_EVERY and kept["stanza"] == stanza:
        return [Figure(*one) for one in kept["figures"]]
    try:
        seen = _pgbackrest_run.look(Program(stanza["name"], account=stanza["account"]))
    except StewardError as error:
        say(f"the backups cannot be looked at: {error}")
        seen = Stanza(stanza["name"], busy=False, repositories=())
    found = list(figures.backups(seen, stanza["repositories"]))
    _owned_file.write(REPOSITORIES, json.dumps({"at": now, "stanza": stanza, "figures": found}) + "\n", mode=MODE)
    return found


def _dumps(dumps: Config) -> Iterator[Figure]:
    """Yield the newest good dump of each database in each store, of those that this host has taken."""
    state = (_kept(DUMPS) or {}).get("databases", {})
    for database in dumps["databases"]:
        for store in dumps["stores"]:
            last = state.get(database, {}).get(store, {}).get("last_good") or {}
            parsed = _dump_names.parse(last.get("name", ""))
            labels = {"database": database, "store": store}
            yield Figure("pgsteward_dump_timestamp_seconds", parsed.at.timestamp() if parsed else 0, labels)


def _kept(path: Path) -> dict[str, Any] | None:
    """Return what a file keeps; None where there is none, or what is no such thing."""
    try:
        held = json.loads(_owned_file.read(path) or "")
    except (StewardError, ValueError):
        return None
    return held if isinstance(held, dict) else None


def _pools(pooler: Config, say: Say) -> list[dict[str, str]] | None:
    """Return who waits; PgBouncer lets its own account in over the socket, without a password."""
    try:
        with (
            as_account(pooler["account"]),
            open_console(ConsolePlace("the pooler", pooler["socket"], pooler["port"]), TIMEOUT) as console,
        ):
            return console.show("POOLS")
    except StewardError as error:
        say(f"the pooler cannot be looked at: {error}")
        return None


def main() -> None:
    """Look, and leave the figures; what is not known is said in the journal and fails nothing, for the figures tell."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    found = collect(config, lambda line: print(line, file=sys.stderr), time.time())
    _owned_file.write(TEXTFILE, figures.text(found), mode=MODE)
