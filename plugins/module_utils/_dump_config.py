# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file that tells the commands backup-db and restore-db what there is, and the file in which they tell how it went. Pure but for the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_names as names
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_retention as retention
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_target as targets
from ansible_collections.pgsteward.postgres.plugins.module_utils import _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Outcome
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_manifest import moment
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

PATH = Path("/etc/pgsteward/dumps.json")
ANY, PRIMARY, STANDBY = "any", "primary", "standby"
WHERE = (ANY, PRIMARY, STANDBY)
DATABASE_KEYS = {
    "name": "", "format": names.CUSTOM, "content": plan.ALL, "schemas": [], "tables": [], "compression": plan.AUTO, "jobs": 1,
    "globals": True,
}  # fmt: skip
SQLITE_KEYS = ("name", "path")
STATE_FORMAT = 1


@dataclass(frozen=True)
class Config:
    """What there is to dump, from where, into which stores. account: of the system, whose the commands run as."""

    environment: str
    host: str
    account: str
    socket: str
    port: int
    user: str
    superuser: str
    directory: Path
    dumped_from: str
    bin_directory: Path | None
    databases: tuple[Mapping[str, Any], ...]
    sqlite: tuple[Mapping[str, Any], ...]
    stores: tuple[Mapping[str, Any], ...]

    @property
    def staging(self) -> Path:
        """Where dumps are staged."""
        return self.directory / "staging"

    @property
    def state(self) -> Path:
        """The file that tells how it went."""
        return self.directory / "dumps.json"


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with inputs of the role, by their names without its prefix."""
    found = []
    try:
        names.name_of(str(inputs["environment"]), datetime.fromtimestamp(0).astimezone())
    except StewardError as error:
        found.append(str(error))
    if inputs["from"] not in WHERE:
        found.append(f"from {inputs['from']!r} is none of {', '.join(WHERE)}")
    for number, database in enumerate(inputs["databases"]):
        found += _database_findings(database, f"databases[{number}]")
    for number, file in enumerate(inputs["sqlite"]):
        found += _sqlite_findings(file, f"sqlite[{number}]")
    named = [str(one.get("name")) for one in (*inputs["databases"], *inputs["sqlite"])]
    found += [f"databases and sqlite have {name} twice" for name in sorted({n for n in named if named.count(n) > 1})]
    if (inputs["databases"] or inputs["sqlite"]) and not inputs["stores"]:
        found.append("stores is empty: say where the dumps are to go")
    called = [store_name(store) for store in inputs["stores"]]
    found += [
        f"stores has {name} twice: give each a name of its own"
        for name in sorted({n for n in called if called.count(n) > 1})
    ]
    for number, store in enumerate(inputs["stores"]):
        name = f"stores[{number}]"
        found += targets.findings(store, name)
        found += retention.policy_findings(store.get("retention") or {}, f"{name}.retention")
    return found + retention.policy_findings(inputs["retention"] or {})


def _database_findings(database: Mapping[str, Any], name: str) -> list[str]:
    unknown = sorted(set(database) - set(DATABASE_KEYS))
    if unknown:
        return [f"{name} has {unknown[0]}, which there is not: there are {', '.join(DATABASE_KEYS)}"]
    if not database.get("name"):
        return [f"{name} has no name"]
    given = {**DATABASE_KEYS, **database}
    found = []
    for key, known in (("format", plan.FORMATS), ("content", plan.CONTENTS)):
        if given[key] not in known:
            found.append(f"{name}: {key} {given[key]!r} is none of {', '.join(known)}")
    try:
        plan.table_names(given["tables"])
        plan.compression_of(given["compression"], plan.Tools(Path("/"), plan.ZSTD_SINCE, str(plan.ZSTD_SINCE)))
    except StewardError as error:
        found.append(f"{name}: {error}")
    if given["schemas"] and given["tables"]:
        found.append(f"{name} has schemas and tables: name the one or the other")
    if not str(given["jobs"]).isdigit():
        return [*found, f"{name}: jobs is {given['jobs']!r}, and has to be a number"]
    dump = plan.Dump(given["format"], plan.Compression(plan.GZIP), jobs=int(given["jobs"]))
    return found + [f"{name}: {finding}" for finding in plan.findings(dump)]


def _sqlite_findings(file: Mapping[str, Any], name: str) -> list[str]:
    unknown = sorted(set(file) - set(SQLITE_KEYS))
    if unknown:
        return [f"{name} has {unknown[0]}, which there is not: there are {', '.join(SQLITE_KEYS)}"]
    lacking = [key for key in SQLITE_KEYS if not file.get(key)]
    if lacking:
        return [f"{name} has no {lacking[0]}"]
    return [] if Path(file["path"]).is_absolute() else [f"{name}: path {file['path']} has to be absolute"]


def store_name(store: Mapping[str, Any]) -> str:
    """Return what a store is called."""
    if store.get("name") or not store.get("bucket"):
        return str(store.get("name") or store.get("path"))
    return str(targets.bucket_of(store))


def text_of(inputs: Mapping[str, Any]) -> str:
    """Return the file that tells the commands; it has the secrets of the stores."""
    held = {key: value for key, value in inputs.items() if key != "retention"}
    held["stores"] = [
        {
            **{key: value for key, value in store.items() if value is not None},
            "name": store_name(store),
            "retention": store.get("retention", inputs["retention"]) or {},
        }
        for store in inputs["stores"]
    ]
    return json.dumps(held, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path = PATH) -> Config:
    """Return what a file tells. Raises StewardError."""
    text = _owned_file.read(path)
    if text is None:
        raise StewardError(f"{path} is not there: the role pg_dumps writes it")
    try:
        held = json.loads(text)
        return Config(
            environment=held["environment"],
            host=held["host"],
            account=held["account"],
            socket=held["socket"],
            port=int(held["port"]),
            user=held["user"],
            superuser=held["superuser"],
            directory=Path(held["directory"]),
            dumped_from=held["from"],
            bin_directory=Path(held["bin_directory"]) if held.get("bin_directory") else None,
            databases=tuple({**DATABASE_KEYS, **database} for database in held["databases"]),
            sqlite=tuple(held["sqlite"]),
            stores=tuple(held["stores"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StewardError(f"{path} cannot be read: {error}; run the role pg_dumps") from None


# How it went


def read_state(path: Path) -> dict[str, Any]:
    """Return what the last runs told; nothing where there was none, or the file is no such thing."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) and held.get("format") == STATE_FORMAT else {}


def with_outcome(state: Mapping[str, Any], database: str, outcome: Outcome, at: datetime) -> dict[str, Any]:
    """Return the state after a dump went into a store, or did not."""
    databases = dict(state.get("databases", {}))
    stores = dict(databases.get(database, {}))
    former = stores.get(outcome.target, {})
    manifest = outcome.manifest
    now: dict[str, Any] = {"at": moment(at), "error": outcome.error}
    if manifest:
        now |= {"name": manifest.name, "begun": manifest.begun, "seconds": manifest.seconds, "bytes": manifest.bytes}
        now["last_good"] = {"name": manifest.name, "begun": manifest.begun, "bytes": manifest.bytes}
    elif former.get("last_good"):
        now["last_good"] = former["last_good"]
    if former.get("damaged"):
        now["damaged"] = former["damaged"]
    stores[outcome.target] = now
    databases[database] = stores
    return {**state, "format": STATE_FORMAT, "databases": databases}


def with_damage(
    state: Mapping[str, Any], database: str, store: str, damaged: Sequence[str], at: datetime
) -> dict[str, Any]:
    """Return the state after the dumps of a database in a store were verified. damaged: names."""
    databases = dict(state.get("databases", {}))
    stores = dict(databases.get(database, {}))
    stores[store] = {**stores.get(store, {}), "damaged": sorted(damaged), "verified": moment(at)}
    databases[database] = stores
    return {**state, "format": STATE_FORMAT, "databases": databases}


def mark_damaged(path: Path, database: str, store: str, name: str, at: datetime) -> None:
    """Keep that a dump was found damaged, so that the retention knows of it."""
    state = read_state(path)
    damaged = {*damaged_in(state, database, store), name}
    write_state(path, with_damage(state, database, store, sorted(damaged), at))


def damaged_in(state: Mapping[str, Any], database: str, store: str) -> list[str]:
    """Return the dumps that were found damaged."""
    return list(state.get("databases", {}).get(database, {}).get(store, {}).get("damaged", ()))


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Keep the state, open to everybody: it has no secrets, and others read it."""
    _owned_file.write(path, json.dumps(state, indent=1, sort_keys=True, ensure_ascii=False) + "\n", mode=0o644)
