# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of dumps do, from their options to their results."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump, _dump_restore, _dump_sqlite
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_list as dumps
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_manifest as manifests
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_plan as plan
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_retention as retention
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place, place_from_params
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_branch import Outcome
from ansible_collections.pgsteward.postgres.plugins.module_utils._dump_target import Target, target_of
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

LATEST = "latest"
MAINTENANCE = "postgres"  # the database that administration logs in to


def dump(params: Mapping[str, Any], staging: Path, check: bool) -> dict[str, Any]:
    """Take a dump, or in check mode say what would be done. staging: where nothing else is named."""
    target = target_of(params["store"])
    staging = Path(params["staging"]) if params["staging"] else staging
    host = params["host"] or platform.node()
    if params["sqlite"]:
        path = Path(params["sqlite"])
        asked = _dump_sqlite.Request(path, params["sqlite_name"] or path.stem, params["environment"], host, staging)
        if check:
            return {"changed": True, **_dump_sqlite.preview(asked, [target]), "notes": []}
        return dumped(_dump_sqlite.take(asked, [target]))
    request = _dump.Request(
        place_from_params(params),
        params["environment"],
        host,
        staging,
        form=params["format"],
        compression=params["compression"],
        content=params["content"],
        schemas=tuple(params["schemas"]),
        tables=plan.table_names(params["tables"]),
        jobs=params["jobs"],
        with_globals=params["globals"],
        role_passwords=params["role_passwords"],
        bin_directory=Path(params["bin_directory"]) if params["bin_directory"] else None,
    )
    if check:
        planned, ready = _dump.preview(request, [target])
        return {"changed": True, **planned.as_return(request), "notes": [note for _t, f in ready for note in f.notes]}
    return dumped(_dump.take(request, [target]))


def dumped(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the result of a dump into one store; raise StewardError when there is none."""
    [outcome] = outcomes
    if outcome.manifest is None:
        raise StewardError(str(outcome.error))
    told = outcome.manifest.as_dict()
    told.pop("format")
    return {
        "changed": True,
        **outcome.as_return(),
        **{
            name: told[name]
            for name in ("name", "database", "dump_format", "compression", "content", "standby", "seconds")
        },
        "manifest": told,
        "notes": [*outcome.notes, *outcome.manifest.notes],
    }


def info(params: Mapping[str, Any]) -> dict[str, Any]:
    """List the dumps of a store, and verify them where asked."""
    target = target_of(params["store"])
    features = target.store.features(dry=True)
    here = dumps.listing(target, params["database"], params["names"])
    missing = sorted(set(params["names"]) - {dump.name for dump in here.dumps})
    if missing:
        raise StewardError(f"{target.store} has no dump {', '.join(missing)}")
    found = [dumps.verify(target, dump) if params["verify"] else dump for dump in here.dumps]
    return {
        "changed": False,
        "dumps": [dump.as_return(params["rows"]) for dump in found],
        "damaged": [finding for dump in found for finding in dump.as_return()["findings"]],
        "unfinished": [f"{one.database}/{one.name}" for one in here.unfinished],
        "bytes": sum(dump.found.bytes for dump in found),
        "versioning": features.versioning,
        "object_lock": features.object_lock,
        "notes": list(features.notes),
    }


def prune(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Remove dumps by rule, or in check mode say which."""
    given = {rule: params[rule] for rule in retention.RULES if params[rule] is not None}
    policy = retention.policy_of(given)
    if policy is None:
        raise StewardError(f"give at least one of {', '.join(retention.RULES)}")
    target = target_of(params["store"])
    target.store.features(dry=check)
    databases = params["databases"] or sorted({one.database for one in manifests.found_in(target.store.items())})
    # Every database is looked at before anything of any goes.
    planned = {
        database: dumps.plan_pruning(target, database, policy, _dump.now(), params["damaged"]) for database in databases
    }
    done = planned if check else {name: dumps.prune(target, name, pruning) for name, pruning in planned.items()}
    told = {name: pruning.as_return() for name, pruning in done.items()}
    return {
        "changed": any(one["changed"] for one in told.values()),
        "databases": told,
        "freed_bytes": sum(one["freed_bytes"] for one in told.values()),
        "diff": {
            "before": _listed({name: [*one["kept"], *one["removed"], *one["leftovers"]] for name, one in told.items()}),
            "after": _listed({name: list(one["kept"]) for name, one in told.items()}),
        },
    }


def _listed(names: Mapping[str, Sequence[str]]) -> str:
    return "".join(f"{database}/{name}\n" for database in sorted(names) for name in sorted(names[database]))


def restore(params: Mapping[str, Any], staging: Path, check: bool) -> dict[str, Any]:
    """Restore a dump, or in check mode say what would be done."""
    target = target_of(params["store"])
    staging = Path(params["staging"]) if params["staging"] else staging
    found = find(target, params["source"], params["name"])
    if found.manifest is None:
        raise StewardError(str(found.problem))
    manifest = found.manifest
    if params["path"]:
        path = Path(params["path"])
        _dump_sqlite.refuse(manifest, path, params["confirm"])
        if check:
            return {"changed": True, "name": manifest.name, "plan": [f"restore {manifest.name} to {path}"]}
        return _dump_sqlite.restore(target, manifest, path, params["confirm"], staging)
    request = request_of(params, manifest.database, staging)
    if check:
        planned = _dump_restore.preview(request, manifest)
        return {
            "changed": True,
            "name": manifest.name,
            "database": request.database,
            "former": planned.former if request.keep_former else None,
            "plan": list(_dump_restore.words_of(planned, request, manifest)),
        }
    return _dump_restore.restore(request, target, manifest)


def request_of(params: Mapping[str, Any], database: str, staging: Path) -> _dump_restore.Request:
    """Return what options ask of a restore; database: the name where none is given."""
    place = place_from_params(params)
    return _dump_restore.Request(
        place=maintenance(place, params["database"] or database),
        database=params["database"] or database,
        staging=staging,
        confirm=params["confirm"],
        schemas=tuple(params["schemas"]),
        tables=plan.table_names(params["tables"]),
        clean=params["clean"],
        content=params["content"],
        jobs=params["jobs"],
        role=params["role"],
        create_roles=params["create_roles"],
        keep_former=params["keep_former"],
        bin_directory=Path(params["bin_directory"]) if params["bin_directory"] else None,
    )


def maintenance(place: Place, database: str) -> Place:
    """Return the place for administration: the database that is named, or one that a restore does not rename."""
    if place.database and place.database != database:
        return place
    return replace(place, database="template1" if database == MAINTENANCE else MAINTENANCE)


def find(target: Target, database: str | None, name: str) -> dumps.Listed:
    """Return a dump by its name, or the newest good one of a database. Raises StewardError."""
    here = dumps.listing(target, database, () if name == LATEST else (name,))
    fit = [dump for dump in here.dumps if name != LATEST or dump.good]
    databases = sorted({dump.found.database for dump in fit})
    of = f" of {database}" if database else ""
    if not fit:
        half = (
            "; what is there of it was never finished" if any(str(one.name) == name for one in here.unfinished) else ""
        )
        what = f"no good dump{of}" if name == LATEST else f"no dump {name}{of}"
        raise StewardError(f"{target.store} has {what}{half}")
    if len(databases) > 1:
        raise StewardError(f"{target.store} has {name} of {', '.join(databases)}: say which database")
    found = fit[-1]
    if found.findings:
        raise StewardError(f"{found.findings[0]}: nothing was restored from it")
    return found
