# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Types, functions and statistics, from the answers of the queries to the objects of a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import (
    Catalog,
    bracketed,
    canonical,
    options_of,
    sparse,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident

_FUNCTIONS = {"f": "function", "w": "function", "p": "procedure", "a": "aggregate"}
_PLAIN_AGGREGATE = {"kind": "n", "final_modify": "r", "moving_final_modify": "r"}
_STATISTICS = {"d": "ndistinct", "f": "dependencies", "m": "mcv"}  # e comes with expressions


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
            **sparse(
                not_null=domain["not_null"],
                default=canonical(domain["default"]),
                collation=domain["collation"],
                constraints=constraints,
            ),
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
        attributes["arguments"] = canonical(item["arguments"])
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
    body = canonical(item["body"]) if item["body"] is not None else item["source"]
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
            "columns": [*(columns or ()), *map(bracketed, expressions or ())],
        }
        named = [word for letter, word in _STATISTICS.items() if letter in kinds]
        if 0 < len(named) < len(_STATISTICS):
            attributes["kinds"] = named
        if target is not None and target >= 0:
            attributes["target"] = target
        catalog.put(
            "statistics",
            catalog.schemas[str(schema)],
            f"{catalog.schemas[str(schema)]}.{quote_ident(name)}",
            attributes,
        )


STEPS = (_types, _functions, _statistics)
