# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the answers of the catalog's queries to the objects of a snapshot. Pure.

An attribute that has PostgreSQL's default is left out, so that a schema looks the same whatever the server knows besides.
Oids are text here, as the server writes them in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _canonical
from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_queries as queries
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import qualified, quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import PUBLIC, granted, privileges
from ansible_collections.pgsteward.postgres.plugins.module_utils._snapshot import Objects, schema_of

HIDDEN = "(hidden)"

_RELATIONS = {
    "r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view", "S": "sequence", "c": "composite type",
}  # fmt: skip
_FUNCTIONS = {"f": "function", "w": "function", "p": "procedure", "a": "aggregate"}
_CONSTRAINTS = {"p": "primary key", "u": "unique", "f": "foreign key", "c": "check", "x": "exclude"}
_ACTIONS = {"a": None, "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_ENABLED = {"O": None, "D": "disabled", "R": "replica", "A": "always"}
_COMMANDS = {"*": None, "r": "select", "a": "insert", "w": "update", "d": "delete"}
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}
_ORDERS = ("", "DESC NULLS LAST", "NULLS FIRST", "DESC")  # by the bits of pg_index.indoption
_STORAGE = {"p": "plain", "e": "external", "m": "main", "x": "extended"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
_DEFAULT_PRIVILEGES = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas", "L": "large objects"}
_ACL_KINDS = {"r": "table", "S": "sequence", "f": "function", "T": "type", "n": "schema", "L": "sequence"}
_SEQUENCE_RANGES = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_STAMP = "pg_attver"  # the server's own, see COLUMNS
_SECRET = re.compile(queries.SECRET, re.IGNORECASE)
_PLAIN_AGGREGATE = {"kind": "n", "final_modify": "r", "moving_final_modify": "r"}
_STATISTICS = {"d": "ndistinct", "f": "dependencies", "m": "mcv"}  # e comes with expressions

Answers = Mapping[str, Any]


@dataclass
class Catalog:
    """The answers, and what is looked up in them again and again."""

    answers: Answers
    major: int
    objects: Objects = field(default_factory=dict)
    schema_of: dict[tuple[str, str], str | None] = field(default_factory=dict)  # (kind, name) -> schema, quoted
    unseen: list[tuple[str, str]] = field(default_factory=list)
    schemas: dict[str, str] = field(default_factory=dict)  # oid -> name, quoted
    roles: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)  # catalog -> oids that extensions made
    relations: dict[str, tuple[str, str]] = field(default_factory=dict)  # oid -> kind, qualified name
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid -> attributes of a relation or domain
    numbers: dict[str, dict[int, str]] = field(default_factory=dict)  # oid of a relation -> number of a column -> its name
    comments: dict[tuple[str, str, int], str] = field(default_factory=dict)
    labels: dict[tuple[str, str, int], dict[str, str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)  # oid -> oids that it inherits from, in order
    behind: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid of an index -> the constraint that it serves
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)  # oid of a foreign key -> its attributes

    def put(self, kind: str, schema: str | None, name: str, attributes: dict[str, Any]) -> None:
        """Take an object in."""
        self.objects.setdefault(kind, {})[name] = attributes
        self.schema_of[kind, name] = schema

    def role(self, oid: Any) -> str:
        """Return a role's name; an oid that is no role's any more as the server shows it."""
        return PUBLIC if str(oid) == "0" else self.roles.get(str(oid), f"unknown (OID={oid})")

    def of_extension(self, catalog: str, oid: Any) -> bool:
        """Say whether an extension made the object; its version speaks for it."""
        return str(oid) in self.members.get(catalog, ())

    def common(self, catalog: str, oid: Any, owner: Any = None, acl: Any = None, kind: str = "") -> dict[str, Any]:
        """Return what objects of all kinds have: owner, privileges, comment, labels."""
        found: dict[str, Any] = {}
        if owner is not None:
            found["owner"] = self.role(owner)
        if acl is not None and (held := privileges(acl, self.role(owner), kind)) is not None:
            found["privileges"] = dict(held)
        return {**found, **self.remarks(catalog, oid)}

    def remarks(self, catalog: str, oid: Any, number: int = 0) -> dict[str, Any]:
        """Return the comment and the labels of an object or a column."""
        key = (catalog, str(oid), number)
        found: dict[str, Any] = {}
        if key in self.comments:
            found["comment"] = self.comments[key]
        if key in self.labels:
            found["labels"] = self.labels[key]
        return found


def objects_of(answers: Answers, major: int) -> Catalog:
    """Return everything that the answers tell."""
    catalog = Catalog(answers, major)
    _look_up(catalog)
    for step in (
        _database, _schemas, _extensions, _relations, _inheritance, _columns, _constraints, _indexes, _triggers, _rules, _policies,
        _sequences, _types, _functions, _statistics, _operators, _text_search, _globals, _subscriptions, _default_privileges,
        _system_privileges,
    ):  # fmt: skip
        step(catalog)
    return catalog


def sparse(**attributes: Any) -> dict[str, Any]:
    """Return the attributes without those that are None, False, empty text or an empty list."""
    return {key: value for key, value in attributes.items() if value or value == 0 and value is not False}


def options_of(values: Sequence[str] | None) -> dict[str, str] | None:
    """Return name -> value of a list of name=value; values whose names say that they are secret are hidden."""
    if not values:
        return None
    pairs = (value.partition("=")[::2] for value in values)
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in pairs if name != _STAMP}


@lru_cache(maxsize=65536)
def _text(expression: str | None) -> str | None:
    return None if expression is None else _canonical.expression(expression)


def _bracketed(expression: str) -> str:
    """Return an expression in brackets, which the server leaves out around calls."""
    text = str(_text(expression))
    return text if text.startswith("(") else f"({text})"


def _function(name: str | None) -> str | None:
    return None if name in (None, "-") else name


def _look_up(catalog: Catalog) -> None:
    context = catalog.answers["context"]
    catalog.schemas = {str(item["oid"]): quote_ident(item["name"]) for item in context["schemas"]}
    catalog.roles = context["roles"]
    catalog.members = {name: frozenset(map(str, oids)) for name, oids in (context["members"] or {}).items()}
    remarks = catalog.answers.get("remarks") or {"comments": (), "labels": ()}
    catalog.comments = {(name, str(oid), number): text for name, oid, number, text in remarks["comments"]}
    for name, oid, number, provider, label in remarks["labels"]:
        catalog.labels.setdefault((name, str(oid), number), {})[provider] = label


# The database, its schemas and extensions


def _database(catalog: Catalog) -> None:
    item = catalog.answers.get("database")
    if not item:
        return
    settings = {
        role: options_of(values) for entry in item["settings"] for role, values in [(entry["role"], entry["values"])]
    }
    own = settings.pop("0", None) or settings.pop(0, None)
    catalog.put(
        "database",
        None,
        "current",
        {
            **catalog.common("pg_database", item["oid"], item["owner"], item["acl"], "database"),
            **sparse(
                comment=item["comment"],
                encoding=item["encoding"],
                locale=sparse(
                    provider=_PROVIDERS.get(item["provider"]),
                    collate=item["collate"],
                    ctype=item["ctype"],
                    locale=item["locale"],
                    rules=item["rules"],
                ),
                settings=own,
                role_settings={catalog.role(role): values for role, values in sorted(settings.items())},
                tablespace=None if item["tablespace"] == "pg_default" else item["tablespace"],
                template=item["template"],
            ),
            **({} if item["connection_limit"] == -1 else {"connection_limit": item["connection_limit"]}),
            **({} if item["allowed"] else {"allow_connections": False}),
        },
    )


def _schemas(catalog: Catalog) -> None:
    for item in catalog.answers["context"]["schemas"]:
        if not catalog.of_extension("pg_namespace", item["oid"]):
            name = quote_ident(item["name"])
            catalog.put("schema", name, name, catalog.common("pg_namespace", item["oid"], item["owner"], item["acl"], "schema"))


def _extensions(catalog: Catalog) -> None:
    for item in catalog.answers["context"]["extensions"]:
        own = catalog.common("pg_extension", item["oid"])
        # An extension brings its comment along.
        own.pop("comment", None)
        catalog.put("extension", None, quote_ident(item["name"]), {"version": item["version"], "schema": item["schema"], **own})


# Relations and their parts


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
        replica_identity={"f": "full", "n": "nothing", "i": "index"}.get(rest["replica_identity"]) if letter in "rpm" else None,
        of_type=rest["of_type"],
        bound=_text(rest["bound"]),
        partition_by=_text(rest["partition_by"]),
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
    commented = {(oid, number) for name, oid, number in catalog.comments | catalog.labels if name == "pg_class" and number}
    for table, number, name, type_, not_null, expression, rest in zip(*lists, strict=True):
        column: dict[str, Any] = {"type": type_}
        if not_null:
            column["not_null"] = loose.get((table, name), True) if loose else True
        if expression is not None:
            column["default"] = _text(expression)
        if rest is not None:
            _column_rest(catalog, column, rest)
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


def _column_rest(catalog: Catalog, column: dict[str, Any], rest: Mapping[str, Any]) -> None:
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
        oid, table, domain, name, letter, deferrable, deferred, valid, enforced, no_inherit, local, keys, index, foreign, text, period = row
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
            constraint["expression"] = _text(text)
        elif letter == "x":
            constraint["definition"] = str(_text(text)).removesuffix(" INITIALLY DEFERRED").removesuffix(" DEFERRABLE")
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
    column_extras = {(str(oid), number): (options, target) for oid, number, options, target in catalog.answers["index_columns"]}
    with_extras = {oid for oid, _number in column_extras}
    parents = {parent for oids in catalog.parents.values() for parent in oids} - catalog.relations.keys()
    names = {
        oid: f"{schema_of(catalog.relations[table][1])}.{quote_ident(name)}"
        for oid, table, name in zip(*lists[:3], strict=True)
        if oid in parents
    }
    for oid, table, name, method, unique, keys, count, opclasses, _collations, options, rest in zip(*lists, strict=True):
        attributes = catalog.tables.get(table)
        if attributes is None:
            continue
        extra = _index_rest(rest, names.get(catalog.parents.get(oid, [""])[0]))
        if oid in catalog.behind:
            _share(catalog.behind[oid], catalog.numbers[table], keys.split()[count:], extra, catalog.remarks("pg_class", oid))
            continue
        numbers, expressions = catalog.numbers[table], rest and rest["expressions"]
        columns = [
            numbers[int(key)] if key != "0" else _bracketed(expressions[place]) if expressions and place < len(expressions) else "?"
            for place, key in enumerate(keys.split())
        ]
        index: dict[str, Any] = {"method": method, "columns": columns[:count]}
        if unique:
            index["unique"] = True
        if len(columns) > count:
            index["include"] = columns[count:]
        named = ["" if usual else _opclass(schema, label) for schema, label, usual in map(classes.get, opclasses.split())]
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
                    opclass_options=[options_of(item) or {} for item, _ in found] if any(item for item, _ in found) else None,
                    statistics=[target for _, target in found] if any((target or -1) >= 0 for _, target in found) else None,
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
            predicate=_text(rest["predicate"]),
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
    constraint.update(sparse(include=[numbers[int(key)] for key in included], nulls_not_distinct=extra.pop("nulls_not_distinct", None)))
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
                "definition": _text(definition),
                **sparse(enabled=_ENABLED[enabled], inherited=inherited),
                **catalog.remarks("pg_trigger", oid),
            }


def _rules(catalog: Catalog) -> None:
    for oid, table, name, enabled, definition in catalog.answers.get("rules") or ():
        if str(table) in catalog.tables:
            catalog.tables[str(table)].setdefault("rules", {})[name] = {
                "definition": _text(definition),
                **sparse(enabled=_ENABLED[enabled]),
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
                    using=_text(using),
                    check=_text(check),
                ),
                **({} if permissive else {"permissive": False}),
                **catalog.remarks("pg_policy", oid),
            }


def _sequences(catalog: Catalog) -> None:
    for oid, type_, start, increment, minimum, maximum, cache, cycle, table, column, how in catalog.answers.get("sequences") or ():
        if catalog.of_extension("pg_class", oid) or str(oid) not in catalog.relations:
            continue
        limit = _SEQUENCE_RANGES[type_]
        lowest, highest = (1, limit) if increment > 0 else (-limit - 1, -1)
        name = catalog.relations[str(oid)][1]
        owned = catalog.relations[str(table)][1] + "." + quote_ident(column) if str(table) in catalog.relations and column else None
        attributes = {"type": type_, **catalog.tables[str(oid)]}
        attributes.update(sparse(cycle=cycle, owned_by=owned, identity=how == "i"))
        defaults = {"start": lowest if increment > 0 else highest, "increment": 1, "minimum": lowest, "maximum": highest, "cache": 1}
        values = {"start": start, "increment": increment, "minimum": minimum, "maximum": maximum, "cache": cache}
        attributes.update({key: value for key, value in values.items() if value != defaults[key]})
        catalog.put("sequence", schema_of(name), name, attributes)


# Types and functions


def _types(catalog: Catalog) -> None:
    for item in catalog.answers.get("types") or ():
        schema = catalog.schemas[str(item["schema"])]
        name = f"{schema}.{quote_ident(item['name'])}"
        own = catalog.common("pg_type", item["oid"], item["owner"], item["acl"], "type")
        kind, details = _type_details(catalog, item)
        catalog.put(kind, schema, name, {**own, **details})


def _type_details(catalog: Catalog, item: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if item["kind"] == "e":
        return "enum", {"labels_in_order": item["labels"] or []}
    if item["kind"] == "d":
        domain = item["domain"]
        constraints = catalog.tables.get(str(item["oid"]), {}).get("constraints")
        return "domain", {
            "base": domain["base"],
            **sparse(not_null=domain["not_null"], default=_text(domain["default"]), collation=domain["collation"], constraints=constraints),
        }
    if item["kind"] == "r":
        return "range type", sparse(**item["range"])
    if item["kind"] == "c":
        attributes = catalog.tables.get(str(item["relation"]), {})
        return "composite type", {key: attributes[key] for key in ("columns", "column_order") if key in attributes}
    return "base type", {key: value for key, value in item["base"].items() if value not in (None, "-")}


def _functions(catalog: Catalog) -> None:
    for item in catalog.answers.get("functions") or ():
        schema, kind = catalog.schemas[str(item["schema"])], _FUNCTIONS[item["kind"]]
        name = f"{schema}.{quote_ident(item['name'])}({item['inputs']})"
        attributes = catalog.common("pg_proc", item["oid"], item["owner"], item["acl"], "function")
        attributes["arguments"] = _text(item["arguments"])
        if item["aggregate"]:
            attributes["definition"] = {
                key: value
                for key, value in item["aggregate"].items()
                if value not in (None, "-", False, 0) and _PLAIN_AGGREGATE.get(key) != value
            }
            attributes.update(sparse(returns=item["returns"], parallel=_parallel(item["parallel"])))
        else:
            attributes.update(_function_details(item))
        catalog.put(kind, schema, name, attributes)


def _parallel(letter: str) -> str | None:
    return {"s": "safe", "r": "restricted"}.get(letter)


def _function_details(item: Mapping[str, Any]) -> dict[str, Any]:
    usual_cost = 1 if item["language"] in ("c", "internal") else 100
    body = _text(item["body"]) if item["body"] is not None else item["source"]
    return {
        "language": item["language"],
        "body": body,
        **sparse(
            returns=item["returns"],
            library=item["binary"],
            volatility={"i": "immutable", "s": "stable"}.get(item["volatility"]),
            strict=item["strict"],
            security_definer=item["security_definer"],
            leakproof=item["leakproof"],
            parallel=_parallel(item["parallel"]),
            cost=None if item["cost"] == usual_cost else item["cost"],
            rows=item["rows"] if item["set"] and item["rows"] != 1000 else None,
            support=item["support"],
            settings=options_of(item["settings"]),
            transforms=item["transforms"],
            window=item["kind"] == "w",
        ),
    }


def _statistics(catalog: Catalog) -> None:
    for oid, schema, name, owner, target, kinds, table, columns, expressions in catalog.answers.get("statistics") or ():
        attributes = {
            **catalog.common("pg_statistic_ext", oid, owner),
            "table": catalog.relations[str(table)][1] if str(table) in catalog.relations else f"unknown ({table})",
            "columns": [*(columns or ()), *map(_bracketed, expressions or ())],
        }
        named = [word for letter, word in _STATISTICS.items() if letter in kinds]
        if 0 < len(named) < len(_STATISTICS):
            attributes["kinds"] = named
        if target is not None and target >= 0:
            attributes["target"] = target
        catalog.put("statistics", catalog.schemas[str(schema)], f"{catalog.schemas[str(schema)]}.{quote_ident(name)}", attributes)


# What few databases have


def _operators(catalog: Catalog) -> None:
    answers = catalog.answers.get("operators") or {}

    def of(key: str, table: str) -> Iterable[dict[str, Any]]:
        return (dict(item) for item in answers.get(key, ()) if not catalog.of_extension(table, item["oid"]))

    for item in of("operators", "pg_operator"):
        _put_plain(catalog, "operator", "pg_operator", item, lambda item: item.pop("identity"))
    for kind, key, table in (("operator family", "families", "pg_opfamily"), ("operator class", "classes", "pg_opclass")):
        for item in of(key, table):
            method = item.pop("method")
            _put_plain(catalog, kind, table, item, lambda item, method=method: f"{_own_name(catalog, item)} using {method}")
    for item in of("casts", "pg_cast"):
        name = f"{item.pop('source')} as {item.pop('target')}"
        item["method"] = {"f": None, "i": "inout", "b": "binary"}[item["method"]]
        item["context"] = {"e": None, "a": "assignment", "i": "implicit"}[item["context"]]
        _put_plain(catalog, "cast", "pg_cast", item, lambda _item, name=name: name)
    for kind, key, table in (("conversion", "conversions", "pg_conversion"), ("collation", "collations", "pg_collation")):
        for item in of(key, table):
            if kind == "collation":
                item["provider"] = _PROVIDERS.get(item["provider"])
                item["nondeterministic"] = not item.pop("deterministic")
            _put_plain(catalog, kind, table, item, lambda item: _own_name(catalog, item))


def _text_search(catalog: Catalog) -> None:
    answers = catalog.answers.get("operators") or {}
    for kind, key, table in (
        ("text search configuration", "configurations", "pg_ts_config"),
        ("text search dictionary", "dictionaries", "pg_ts_dict"),
        ("text search parser", "parsers", "pg_ts_parser"),
        ("text search template", "templates", "pg_ts_template"),
    ):
        for item in answers.get(key, ()):
            if not catalog.of_extension(table, item["oid"]):
                _put_plain(catalog, kind, table, dict(item), lambda item: _own_name(catalog, item))


def _own_name(catalog: Catalog, item: dict[str, Any]) -> str:
    return f"{catalog.schemas[str(item['schema'])]}.{quote_ident(item.pop('name'))}"


def _put_plain(
    catalog: Catalog, kind: str, table: str, item: dict[str, Any], name_of: Callable[[dict[str, Any]], str], acl_kind: str = ""
) -> None:
    """Take in an object whose fields are its attributes as they are."""
    name = name_of(item)
    schema = item.pop("schema", None)
    own = catalog.common(table, item.pop("oid"), item.pop("owner", None), item.pop("acl", None), acl_kind)
    attributes = {key: _function(value) if isinstance(value, str) else value for key, value in item.items()}
    catalog.put(kind, None if schema is None else catalog.schemas[str(schema)], name, {**own, **sparse(**attributes)})


def _globals(catalog: Catalog) -> None:
    answers = catalog.answers.get("globals") or {}

    def of(key: str, table: str) -> Iterable[dict[str, Any]]:
        return (dict(item) for item in answers.get(key, ()) if not catalog.of_extension(table, item["oid"]))

    def named(item: dict[str, Any]) -> str:
        return quote_ident(item.pop("name"))

    for item in of("languages", "pg_language"):
        _put_plain(catalog, "language", "pg_language", item, named, "language")
    for item in of("access_methods", "pg_am"):
        item["type"] = {"t": "table", "i": "index"}.get(item["type"])
        _put_plain(catalog, "access method", "pg_am", item, named)
    for item in of("transforms", "pg_transform"):
        name = f"for {item.pop('type')} language {item.pop('language')}"
        _put_plain(catalog, "transform", "pg_transform", item, lambda _item, name=name: name)
    for kind, key, table in (("foreign data wrapper", "wrappers", "pg_foreign_data_wrapper"), ("server", "servers", "pg_foreign_server")):
        for item in of(key, table):
            item["options"] = options_of(item["options"])
            _put_plain(catalog, kind, table, item, named, kind)
    for item in of("mappings", "pg_user_mapping"):
        name = f"{quote_ident(item.pop('user'))} on {quote_ident(item.pop('server'))}"
        if not item.pop("visible"):
            catalog.unseen.append((f"user mapping {name}", "options"))
        item["options"] = options_of(item["options"])
        _put_plain(catalog, "user mapping", "pg_user_mapping", item, lambda _item, name=name: name)
    for item in of("event_triggers", "pg_event_trigger"):
        item["enabled"] = _ENABLED[item["enabled"]]
        _put_plain(catalog, "event trigger", "pg_event_trigger", item, named)
    for item in of("publications", "pg_publication"):
        _publication(catalog, item)


def _publication(catalog: Catalog, item: Mapping[str, Any]) -> None:
    published = ("insert", "update", "delete", "truncate")
    missing = [word for word in published if not item[f"pub{word}"]]
    tables = {
        catalog.relations[str(table)][1]: sparse(where=_text(where), columns=columns)
        for table, where, columns in item["tables"] or ()
        if str(table) in catalog.relations
    }
    catalog.put(
        "publication",
        None,
        quote_ident(item["pubname"]),
        {
            **catalog.common("pg_publication", item["oid"], item["pubowner"]),
            **sparse(
                all_tables=item["puballtables"],
                tables=tables,
                schemas=item["schemas"],
                via_partition_root=item["pubviaroot"],
                generated_columns={"s": "stored"}.get(item.get("pubgencols") or ""),
            ),
            **({"publish": [word for word in published if word not in missing]} if missing else {}),
        },
    )


def _subscriptions(catalog: Catalog) -> None:
    for item in catalog.answers.get("subscriptions") or ():
        attributes = {key: value for key, value in item.items() if key not in ("oid", "name", "owner", "more", "stream")}
        attributes["streaming"] = {"t": "on", "true": "on", "p": "parallel"}.get(str(item["stream"]).lower())
        attributes["disabled"] = not attributes.pop("enabled")
        attributes["synchronous_commit"] = None if item["synchronous_commit"] == "off" else item["synchronous_commit"]
        attributes["publications"] = sorted(item["publications"])
        own = catalog.common("pg_subscription", item["oid"], item["owner"])
        catalog.put("subscription", None, quote_ident(item["name"]), {**own, **sparse(**attributes, **item["more"])})


# Privileges that are not an object's own


def _default_privileges(catalog: Catalog) -> None:
    for role, schema, letter, acl in catalog.answers.get("default_privileges") or ():
        name = f"of {quote_ident(catalog.role(role))} on {_DEFAULT_PRIVILEGES[letter]}" + (f" in {quote_ident(schema)}" if schema else "")
        held: Mapping[str, list[str]] | None = (
            granted(acl, _ACL_KINDS[letter]) if schema else privileges(acl, catalog.role(role), _ACL_KINDS[letter])
        )
        # A list that says what holds without it is none.
        if held is not None and (held or not schema):
            catalog.put("default privileges", quote_ident(schema) if schema else None, name, {"privileges": dict(held)})


def _system_privileges(catalog: Catalog) -> None:
    for kind, identity, owner, acl in catalog.answers.get("system_privileges") or ():
        held = privileges(acl, catalog.role(owner), kind)
        catalog.put("system privileges", None, f"on {kind} {identity}", {"privileges": None if held is None else dict(held)})
