# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the catalog of a scratch database again and again, and each time only what changed since.

Event triggers note which relations a revision touches. Whatever is more than a change of relations, and every renaming, which
other objects' definitions show, makes it read the whole catalog. So does an account that may not create event triggers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog, _catalog_tables, _snapshot
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_queries as queries
from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import Catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils._connection import Place
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects, Scope

if TYPE_CHECKING:
    import psycopg

# How the names of both event triggers begin; the schema is our own, and left out of snapshots.
NAME = "pgsteward_changes"

_FOLLOW = """
CREATE SCHEMA pgsteward;
CREATE TABLE pgsteward.changes (class oid, object oid, tag text, names text[], along bool);
CREATE FUNCTION pgsteward.note_change() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO pgsteward.changes SELECT classid, objid, command_tag, NULL, false FROM pg_event_trigger_ddl_commands();
END $$;
CREATE FUNCTION pgsteward.note_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO pgsteward.changes SELECT classid, objid, NULL, address_names, NOT (original OR normal)
    FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary;
END $$;
CREATE EVENT TRIGGER pgsteward_changes_made ON ddl_command_end EXECUTE FUNCTION pgsteward.note_change();
CREATE EVENT TRIGGER pgsteward_changes_dropped ON sql_drop EXECUTE FUNCTION pgsteward.note_drop();
-- Also for a revision that sets session_replication_role.
ALTER EVENT TRIGGER pgsteward_changes_made ENABLE ALWAYS;
ALTER EVENT TRIGGER pgsteward_changes_dropped ENABLE ALWAYS
"""
_TAKE = """
WITH taken AS (DELETE FROM pgsteward.changes RETURNING class::regclass::text, object::text, tag, names, along)
SELECT coalesce(json_agg(json_build_array(class, object, tag, names, along)), '[]') FROM taken
"""
_IMMATERIAL = ("GRANT", "REVOKE", "ALTER DEFAULT PRIVILEGES")  # of a scope without privileges
_ON_TABLES = ("pg_constraint", "pg_attrdef", "pg_trigger", "pg_policy", "pg_rewrite")
_TABLES_OF_INDEXES = """
SELECT coalesce(json_agg(json_build_array(indexrelid::text, indrelid::text)), '[]') FROM pg_index WHERE indexrelid = ANY (%(only)s::oid[])
"""


@dataclass
class Follower:
    """The catalog of one database, as it was when it was last read. scope: all schemas, without privileges."""

    connection: psycopg.Connection[Any]
    place: Place
    scope: Scope
    partial: bool = False
    objects: Objects = field(default_factory=dict)
    _catalog: Catalog | None = None
    _tables: dict[str, str] = field(default_factory=dict)  # oid of an index -> that of its table
    _inherits: list[Any] = field(default_factory=list)

    def follow(self) -> None:
        """Have changes noted from now on, where that is possible."""
        import psycopg

        try:
            self.connection.execute(_FOLLOW.encode())
        except psycopg.Error:
            return
        self.connection.execute(_catalog.SETTINGS.replace("true)", "false)").encode())
        self.partial = True

    def read(self) -> Objects:
        """Return the catalog as it is now. What did not change is the same object as in the last answer."""
        touched = self._touched() if self.partial and self._catalog else None
        if touched is None or not self._read_some(touched):
            self._read_all()
        return self.objects

    def read_all(self) -> Objects:
        """Return the catalog as it is now, read as a whole and apart from what is kept."""
        return self._without_ours(_catalog.read(self.connection, self.place, self.scope).snapshot.objects)

    def _read_all(self) -> None:
        reading, self._catalog = _catalog.read_whole(self.connection, self.place, self.scope)
        self.objects = shared(self._without_ours(reading.snapshot.objects), self.objects)
        self._tables = {}
        self._keep(self._catalog)
        if self.partial:
            self._value(_TAKE)

    def _without_ours(self, objects: Objects) -> Objects:
        named = {name: held for name, held in objects.get("event trigger", {}).items() if not name.startswith(NAME)}
        return {
            **{kind: held for kind, held in objects.items() if kind != "event trigger"},
            **({"event trigger": named} if named else {}),
        }

    # What changed

    def _touched(self) -> set[str] | None:
        """Return the oids of the relations that changed; None where that is not all that did."""
        touched: set[str] = set()
        for class_, oid, tag, names, along in self._value(_TAKE):
            if tag in _IMMATERIAL or (class_ == "pg_type" and along):
                continue
            if class_ == "pg_class":
                touched.add(oid)
            elif names and len(names) == 3 and class_ in _ON_TABLES:
                touched |= self._called(names[0], names[1])
            else:
                return None
        return touched

    def _called(self, schema: str, table: str) -> set[str]:
        name = qualified(schema, table)
        relations = self._catalog.relations if self._catalog else {}
        return {oid for oid, (_kind, named) in relations.items() if named == name}

    # Reading some

    def _read_some(self, touched: set[str]) -> bool:
        """Read relations again; return False where something came to light that concerns others."""
        catalog = self._catalog
        if not touched:
            return True
        if catalog is None:
            return False
        self.connection.prepare_threshold = 0
        indexes = dict(self._value(_TABLES_OF_INDEXES, {"only": _catalog.array(touched)}))
        oids = {indexes.get(oid) or self._tables.get(oid) or oid for oid in touched}
        inherits = self._value(queries.INHERITS)
        oids = _family(oids, [*inherits, *self._inherits])
        before = {
            oid: (catalog.relations[oid], dict(catalog.numbers.get(oid, {})))
            for oid in oids
            if oid in catalog.relations
        }
        found = self._build(catalog, oids, inherits)
        for oid, (named, numbers) in before.items():
            there = found.relations.get(oid)
            if there is not None and (
                there != named or any(found.numbers[oid].get(key, name) != name for key, name in numbers.items())
            ):
                return False
        if any(kind == "composite type" for oid, (kind, _name) in found.relations.items() if oid in oids):
            return False
        self._merge(catalog, found, oids, before)
        return True

    def _build(self, catalog: Catalog, oids: set[str], inherits: Any) -> Catalog:
        """Return the relations as they are now; names of others come from what is known."""
        parameters = {"only": _catalog.array(oids), "schemas": _catalog.array(catalog.schemas)}
        answers: dict[str, Any] = {
            "context": catalog.answers["context"],
            "classes": catalog.answers["classes"],
            "inherits": inherits,
        }
        for name in queries.PARTIAL:
            query = _catalog.for_version(_catalog.QUESTIONS[name].query, catalog.major)
            answers[name] = self._value(queries.partial(name, query), parameters)
        answers["remarks"] = self._value(_catalog.QUESTIONS["remarks"].query)
        new = Catalog(answers, catalog.major)
        new.schemas, new.roles, new.members = catalog.schemas, catalog.roles, catalog.members
        new.comments = {(name, str(oid), number): text for name, oid, number, text in answers["remarks"]["comments"]}
        for name, oid, number, provider, label in answers["remarks"]["labels"]:
            new.labels.setdefault((name, str(oid), number), {})[provider] = label
        new.relations = {oid: named for oid, named in catalog.relations.items() if oid not in oids}
        new.numbers = dict(catalog.numbers)
        for step in _catalog_tables.STEPS:
            step(new)
        return new

    def _merge(self, catalog: Catalog, found: Catalog, oids: set[str], before: Mapping[str, Any]) -> None:
        objects = {kind: dict(named) for kind, named in self.objects.items()}
        for (kind, name), _numbers in before.values():
            objects.get(kind, {}).pop(name, None)
        for kind, named in _snapshot.limit(found.objects, self.scope).items():
            earlier = self.objects.get(kind, {})
            objects.setdefault(kind, {}).update({name: _same(held, earlier.get(name)) for name, held in named.items()})
        self.objects = {kind: named for kind, named in objects.items() if named}
        catalog.relations, catalog.numbers = found.relations, found.numbers
        self._keep(found)

    def _keep(self, catalog: Catalog) -> None:
        self._inherits = catalog.answers["inherits"]
        lists = catalog.answers["indexes"]
        if lists[0]:
            self._tables.update({str(index): str(table) for index, table in zip(lists[0], lists[1], strict=True)})

    def _value(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
        row = self.connection.execute(query.encode(), parameters or {}).fetchone()
        return row[0] if row else None


def _family(oids: set[str], inherits: Iterable[Any]) -> set[str]:
    """Return relations with all that they inherit from, or that inherit from them: partitions take part in what their table does."""
    near: dict[str, set[str]] = {}
    for child, parent, _detaching in inherits:
        near.setdefault(str(child), set()).add(str(parent))
        near.setdefault(str(parent), set()).add(str(child))
    found, waiting = set(oids), list(oids)
    while waiting:
        for other in near.get(waiting.pop(), set()) - found:
            found.add(other)
            waiting.append(other)
    return found


def shared(objects: Objects, earlier: Objects) -> Objects:
    """Return objects in which those that equal the earlier ones are these themselves, not others like them."""
    return {
        kind: {name: _same(held, earlier.get(kind, {}).get(name)) for name, held in named.items()}
        for kind, named in objects.items()
    }


def _same(held: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    return earlier if earlier is not None and earlier == held else held
