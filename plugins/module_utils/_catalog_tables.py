# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Relations and their parts, from the answers of the queries to the objects of a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _canonical
from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import (
    ENABLED,
    Catalog,
    bracketed,
    canonical,
    options_of,
    sparse,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import PUBLIC, privileges
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import schema_of

_RELATIONS = {
    "r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view", "S": "sequence", "c": "composite type",
}  # fmt: skip
_CONSTRAINTS = {"p": "primary key", "u": "unique", "f": "foreign key", "c": "check", "x": "exclude"}
_ACTIONS = {"a": None, "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_COMMANDS = {"*": None, "r": "select", "a": "insert", "w": "update", "d": "delete"}
_ORDERS = ("", "DESC NULLS LAST", "NULLS FIRST", "DESC")  # by the bits of pg_index.indoption
_STORAGE = {"p": "plain", "e": "external", "m": "main", "x": "extended"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
_SEQUENCE_RANGES = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def _relations(catalog: Catalog) -> None:
    for item in catalog.answers["relations"]:
        oid, letter, schema = str(item["oid"]), item["kind"], catalog.schemas[str(item["schema"])]
        name = f"{schema}.{quote_ident(item['name'])}"
        kind = _RELATIONS[letter]
        catalog.relations[oid] = (kind, name)
        catalog.numbers[oid] = {}
        acl_kind = "sequence" if letter == "S" else "table"
        attributes = {} if letter == "c" else catalog.common("pg_class", oid, item["owner"], item["acl"], acl_kind)
        if item["rest"]:
            attributes.update(_relation_rest(item["rest"], letter, catalog.major))
        catalog.tables[oid] = attributes
        if letter not in "Sc" and not catalog.of_extension("pg_class", oid):
            catalog.put(kind, schema, name, attributes)


def _relation_rest(rest: Mapping[str, Any], letter: str, major: int) -> dict[str, Any]:
    """Return what is unusual of a relation. Partitioned tables have no storage; an access method there is for their partitions."""
    secured, forced = rest["row_security"], rest["force_row_security"]
    return sparse(
        persistence={"u": "unlogged", "t": "temporary"}.get(rest["persistence"]),
        options=options_of(rest["options"]),
        toast_options=options_of(rest["toast_options"]),
        access_method=None if rest["access_method"] in (None, "heap") else rest["access_method"],
        tablespace=rest["tablespace"],
        row_security=("forced" if forced else "enabled") if secured else "forced, not enabled" if forced else None,
        replica_identity={"f": "full", "n": "nothing", "i": "index"}.get(rest["replica_identity"])
        if letter in "rpm"
        else None,
        of_type=rest["of_type"],
        bound=canonical(rest["bound"]),
        partition_by=canonical(rest["partition_by"]),
        definition=None if rest["definition"] is None else _canonical.view(rest["definition"], major),
        server=rest["server"],
        foreign_options=options_of(rest["foreign_options"]),
    )


def _inheritance(catalog: Catalog) -> None:
    for child, parent, detaching in catalog.answers["inherits"]:
        catalog.parents.setdefault(str(child), []).append(str(parent))
        if detaching and str(child) in catalog.tables:
            catalog.tables[str(child)]["detach_pending"] = True
    for child, parents in catalog.parents.items():
        if child in catalog.tables:
            names = [catalog.relations[parent][1] for parent in parents if parent in catalog.relations]
            attributes = catalog.tables[child]
            if "bound" in attributes:
                attributes["partition_of"] = names[0]
            else:
                attributes["inherits"] = names


def _columns(catalog: Catalog) -> None:
    lists = catalog.answers["columns"]
    if not lists[0]:
        return
    loose = {(str(table), name): text for table, name, text in _odd_not_nulls(catalog)}
    by_table: dict[str, dict[str, Any]] = {}
    commented = {
        (oid, number) for name, oid, number in catalog.comments | catalog.labels if name == "pg_class" and number
    }
    for table, number, name, type_, not_null, expression, rest in zip(*lists, strict=True):
        column: dict[str, Any] = {"type": type_}
        if not_null:
            column["not_null"] = loose.get((table, name), True) if loose else True
        if expression is not None:
            column["default"] = canonical(expression)
        if rest is not None:
            _column_rest(column, rest)
        if (table, number) in commented:
            column.update(catalog.remarks("pg_class", table, number))
        catalog.numbers[table][number] = name
        if table not in by_table:
            by_table[table] = {}
        by_table[table][name] = column
    for table, columns in by_table.items():
        catalog.tables[table]["columns"] = columns
        catalog.tables[table]["column_order"] = list(columns)


def _odd_not_nulls(catalog: Catalog) -> Iterable[tuple[Any, str, str]]:
    for table, name, validated, no_inherit in catalog.answers.get("not_nulls") or ():
        yield table, name, ", ".join([*["not valid"] * (not validated), *["no inherit"] * no_inherit])


def _column_rest(column: dict[str, Any], rest: Mapping[str, Any]) -> None:
    if rest["generated"]:
        column["generated"] = column.pop("default", None)
    statistics = rest["statistics"]
    held = privileges(rest["acl"], "", "column")
    column.update(
        sparse(
            virtual=rest["generated"] == "v",
            identity={"a": "always", "d": "by default"}.get(rest["identity"]),
            collation=rest["collation"],
            storage=_STORAGE.get(rest["storage"]),
            compression=_COMPRESSION.get(rest["compression"]),
            statistics=None if statistics is None or statistics < 0 else statistics,
            options=options_of(rest["options"]),
            foreign_options=options_of(rest["foreign_options"]),
            privileges=None if held is None else dict(held),
            inherited=not rest["local"],
        )
    )


def _constraints(catalog: Catalog) -> None:
    lists = catalog.answers["constraints"]
    for row in zip(*lists, strict=True) if lists[0] else ():
        (
            oid,
            table,
            domain,
            name,
            letter,
            deferrable,
            deferred,
            valid,
            enforced,
            no_inherit,
            local,
            keys,
            index,
            foreign,
            text,
            period,
        ) = row
        owner = catalog.tables.setdefault(str(domain), {}) if str(table) == "0" else catalog.tables.get(str(table))
        if owner is None:
            continue
        numbers = catalog.numbers.get(str(table), {})
        constraint: dict[str, Any] = {"type": _CONSTRAINTS[letter]}
        if letter in "puf":
            constraint["columns"] = [numbers.get(number, "?") for number in keys or ()]
        if foreign is not None:
            constraint.update(_reference(catalog, foreign, numbers))
        if letter == "c":
            constraint["expression"] = canonical(text)
        elif letter == "x":
            constraint["definition"] = (
                str(canonical(text)).removesuffix(" INITIALLY DEFERRED").removesuffix(" DEFERRABLE")
            )
        if period:
            constraint["period" if letter == "f" else "without_overlaps"] = True
        constraint.update(
            sparse(
                deferrable=deferrable,
                initially_deferred=deferred,
                no_inherit=no_inherit and letter == "c",
                inherited=not local,
            )
        )
        if not enforced:
            constraint["enforced"] = False
        elif not valid:
            constraint["valid"] = False
        constraint.update(catalog.remarks("pg_constraint", oid))
        owner.setdefault("constraints", {})[name] = constraint
        if letter in "pux":
            catalog.behind[str(index)] = constraint
        if letter == "f":
            catalog.keys[str(oid)] = constraint


def _reference(catalog: Catalog, foreign: Sequence[Any], numbers: Mapping[int, str]) -> dict[str, Any]:
    """Return what a foreign key refers to, and how."""
    table, keys, on_update, on_delete, match, delete_columns = foreign
    theirs = catalog.numbers.get(str(table), {})
    return {
        "references": catalog.relations[str(table)][1] if str(table) in catalog.relations else f"unknown ({table})",
        "referenced_columns": [theirs.get(number, "?") for number in keys],
        **sparse(
            on_update=_ACTIONS[on_update],
            on_delete=_ACTIONS[on_delete],
            match={"f": "full", "p": "partial"}.get(match),
            on_delete_columns=[numbers.get(number, "?") for number in delete_columns or ()],
        ),
    }


def _indexes(catalog: Catalog) -> None:
    lists = catalog.answers["indexes"]
    if not lists[0]:
        return
    classes = catalog.answers["classes"]
    collations: dict[str, dict[int, str]] = {}
    for oid, number, name in catalog.answers["index_collations"]:
        collations.setdefault(str(oid), {})[number - 1] = name
    column_extras = {
        (str(oid), number): (options, target) for oid, number, options, target in catalog.answers["index_columns"]
    }
    with_extras = {oid for oid, _number in column_extras}
    parents = {parent for oids in catalog.parents.values() for parent in oids} - catalog.relations.keys()
    names = {
        oid: f"{schema_of(catalog.relations[table][1])}.{quote_ident(name)}"
        for oid, table, name in zip(*lists[:3], strict=True)
        if oid in parents
    }
    for oid, table, name, method, unique, keys, count, opclasses, _collations, options, rest in zip(
        *lists, strict=True
    ):
        attributes = catalog.tables.get(table)
        if attributes is None:
            continue
        extra = _index_rest(rest, names.get(catalog.parents.get(oid, [""])[0]))
        if oid in catalog.behind:
            _share(
                catalog.behind[oid],
                catalog.numbers[table],
                keys.split()[count:],
                extra,
                catalog.remarks("pg_class", oid),
            )
            continue
        numbers, expressions = catalog.numbers[table], rest and rest["expressions"]
        columns = [
            numbers[int(key)]
            if key != "0"
            else bracketed(expressions[place])
            if expressions and place < len(expressions)
            else "?"
            for place, key in enumerate(keys.split())
        ]
        index: dict[str, Any] = {"method": method, "columns": columns[:count]}
        if unique:
            index["unique"] = True
        if len(columns) > count:
            index["include"] = columns[count:]
        named = [
            "" if usual else _opclass(schema, label) for schema, label, usual in map(classes.get, opclasses.split())
        ]
        if any(named):
            index["opclasses"] = named
        if options.strip("0 "):
            index["orders"] = [_ORDERS[int(option) & 3] for option in options.split()]
        if oid in collations:
            index["collations"] = [collations[oid].get(place, "") for place in range(count)]
        if oid in with_extras:
            found = [column_extras.get((oid, number + 1), (None, None)) for number in range(count)]
            index.update(
                sparse(
                    opclass_options=[options_of(item) or {} for item, _ in found]
                    if any(item for item, _ in found)
                    else None,
                    statistics=[target for _, target in found]
                    if any((target or -1) >= 0 for _, target in found)
                    else None,
                )
            )
        index.update(extra)
        index.update(catalog.remarks("pg_class", oid))
        attributes.setdefault("indexes", {})[name] = index


def _opclass(schema: str, name: str) -> str:
    return quote_ident(name) if schema == "pg_catalog" else qualified(schema, name)


def _index_rest(rest: Mapping[str, Any] | None, parent: str | None) -> dict[str, Any]:
    """Return what is unusual of an index. A parent's index that lacks a partition's is invalid as well."""
    found: dict[str, Any] = {}
    if rest is not None:
        found = sparse(
            predicate=canonical(rest["predicate"]),
            options=options_of(rest["options"]),
            clustered=rest["clustered"],
            replica_identity=rest["replica_identity"],
            nulls_not_distinct=rest["nulls_not_distinct"],
            tablespace=rest["tablespace"],
        )
        if not rest["valid"]:
            found["valid"] = False
        if rest["partition"]:
            found["partition_of"] = parent
    return found


def _share(
    constraint: dict[str, Any],
    numbers: Mapping[int, str],
    included: Sequence[str],
    extra: dict[str, Any],
    remarks: Mapping[str, Any],
) -> None:
    """Put what the index behind a constraint has into the constraint."""
    constraint.update(
        sparse(
            include=[numbers[int(key)] for key in included], nulls_not_distinct=extra.pop("nulls_not_distinct", None)
        )
    )
    if constraint["type"] == "exclude":
        # Its definition says all this.
        extra.pop("predicate", None)
        extra.pop("options", None)
        constraint.pop("include", None)
    constraint.update(sparse(index={**extra, **remarks}))


def _triggers(catalog: Catalog) -> None:
    for oid, table, name, enabled, inherited, definition, constraint in catalog.answers.get("triggers") or ():
        if definition is None:
            # One of those that keep a foreign key; normally nobody sees them.
            if str(constraint) in catalog.keys:
                catalog.keys[str(constraint)]["disabled_triggers"] = True
        elif str(table) in catalog.tables:
            catalog.tables[str(table)].setdefault("triggers", {})[name] = {
                "definition": canonical(definition),
                **sparse(enabled=ENABLED[enabled], inherited=inherited),
                **catalog.remarks("pg_trigger", oid),
            }


def _rules(catalog: Catalog) -> None:
    for oid, table, name, enabled, definition in catalog.answers.get("rules") or ():
        if str(table) in catalog.tables:
            catalog.tables[str(table)].setdefault("rules", {})[name] = {
                "definition": canonical(definition),
                **sparse(enabled=ENABLED[enabled]),
                **catalog.remarks("pg_rewrite", oid),
            }


def _policies(catalog: Catalog) -> None:
    for oid, table, name, command, permissive, roles, using, check in catalog.answers.get("policies") or ():
        if str(table) in catalog.tables:
            named = sorted(catalog.role(role) for role in roles)
            catalog.tables[str(table)].setdefault("policies", {})[name] = {
                **sparse(
                    command=_COMMANDS[command],
                    roles=None if named == [PUBLIC] else named,
                    using=canonical(using),
                    check=canonical(check),
                ),
                **({} if permissive else {"permissive": False}),
                **catalog.remarks("pg_policy", oid),
            }


def _sequences(catalog: Catalog) -> None:
    for oid, type_, start, increment, minimum, maximum, cache, cycle, table, column, how in (
        catalog.answers.get("sequences") or ()
    ):
        if catalog.of_extension("pg_class", oid) or str(oid) not in catalog.relations:
            continue
        limit = _SEQUENCE_RANGES[type_]
        lowest, highest = (1, limit) if increment > 0 else (-limit - 1, -1)
        name = catalog.relations[str(oid)][1]
        owned = (
            catalog.relations[str(table)][1] + "." + quote_ident(column)
            if str(table) in catalog.relations and column
            else None
        )
        attributes = {"type": type_, **catalog.tables[str(oid)]}
        attributes.update(sparse(cycle=cycle, owned_by=owned, identity=how == "i"))
        defaults = {
            "start": lowest if increment > 0 else highest,
            "increment": 1,
            "minimum": lowest,
            "maximum": highest,
            "cache": 1,
        }
        values = {"start": start, "increment": increment, "minimum": minimum, "maximum": maximum, "cache": cache}
        attributes.update({key: value for key, value in values.items() if value != defaults[key]})
        catalog.put("sequence", schema_of(name), name, attributes)


STEPS = (_relations, _inheritance, _columns, _constraints, _indexes, _triggers, _rules, _policies, _sequences)
