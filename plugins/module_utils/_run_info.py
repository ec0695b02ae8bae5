# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of the runner: a look at the revisions, the models, and where the database stands among them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ._alembic_runner import Run, maximal, resolve_target

_CREATED = re.compile(r"^[ \t]*Create Date:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


class Info(Run):
    """The run that only looks: at the revisions, at the models, and where the database stands among them."""

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Report all that the project says; the database itself is read by the module."""
        self.read(context)
        targets = [
            revision
            for target in self.request["targets"]
            for revision in resolve_target(target, self.script, self.graph, self.current)
        ]
        self.report(
            targets=maximal(self.graph, targets),
            graph=self.graph,
            looked={
                "files": {revision: file_facts(self.script.get_revision(revision)) for revision in self.graph},
                "models": models_of(self.metadata, context),
            },
        )


def file_facts(item: Any) -> dict[str, Any]:
    """Return what a revision's file says beyond the graph: the revisions right below it, and when it was created."""
    down = item.down_revision or ()
    created = _CREATED.search(item.longdoc or "")
    return {"down": [down] if isinstance(down, str) else list(down), "created": created[1] if created else None}


def models_of(metadata: Any, context: Any) -> list[list[str | None]] | None:
    """Return schema and name of each table that the models describe and env.py lets autogenerate compare.

    None where that cannot be told: without models, and where the connection puts other schemas in place of theirs.
    """
    if metadata is None or context.connection.get_execution_options().get("schema_translate_map"):
        return None
    collection = metadata if isinstance(metadata, (list, tuple)) else [metadata]
    tables = [table for item in collection for table in item.tables.values()]
    included = context.opts.get("include_object")
    if included is not None:
        tables = [table for table in tables if included(table, table.name, "table", False, None)]
    return sorted(([table.schema, table.name] for table in tables), key=str)
