# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The database itself, what few databases have, and privileges that are no object's own. Pure.

From the answers of the queries to the objects of a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import (
    ENABLED,
    Catalog,
    canonical,
    options_of,
    sparse,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import granted, privileges

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "default"}
_DEFAULT_PRIVILEGES = {
    "r": "tables",
    "S": "sequences",
    "f": "functions",
    "T": "types",
    "n": "schemas",
    "L": "large objects",
}
_ACL_KINDS = {"r": "table", "S": "sequence", "f": "function", "T": "type", "n": "schema", "L": "sequence"}


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
                    collate=_locale(item["collate"]),
                    ctype=_locale(item["ctype"]),
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
            catalog.put(
                "schema", name, name, catalog.common("pg_namespace", item["oid"], item["owner"], item["acl"], "schema")
            )


def _extensions(catalog: Catalog) -> None:
    for item in catalog.answers["context"]["extensions"]:
        own = catalog.common("pg_extension", item["oid"])
        # An extension brings its comment along.
        own.pop("comment", None)
        catalog.put(
            "extension", None, quote_ident(item["name"]), {"version": item["version"], "schema": item["schema"], **own}
        )


def _operators(catalog: Catalog) -> None:
    for item in _own(catalog, "operators", "operators", "pg_operator"):
        _put(catalog, "operator", "pg_operator", item, item.pop("identity"))
    for kind, key, table in (
        ("operator family", "families", "pg_opfamily"),
        ("operator class", "classes", "pg_opclass"),
    ):
        for item in _own(catalog, "operators", key, table):
            _put(catalog, kind, table, item, f"{_qualified(catalog, item)} using {quote_ident(item.pop('method'))}")
    for item in _own(catalog, "operators", "casts", "pg_cast"):
        item["method"] = {"f": None, "i": "inout", "b": "binary"}[item["method"]]
        item["context"] = {"e": None, "a": "assignment", "i": "implicit"}[item["context"]]
        _put(catalog, "cast", "pg_cast", item, f"{item.pop('source')} as {item.pop('target')}")
    for item in _own(catalog, "operators", "conversions", "pg_conversion"):
        _put(catalog, "conversion", "pg_conversion", item, _qualified(catalog, item))
    for item in _own(catalog, "operators", "collations", "pg_collation"):
        item["provider"] = _PROVIDERS.get(item["provider"])
        item["collate"], item["ctype"] = _locale(item["collate"]), _locale(item["ctype"])
        item["nondeterministic"] = not item.pop("deterministic")
        _put(catalog, "collation", "pg_collation", item, _qualified(catalog, item))


def _text_search(catalog: Catalog) -> None:
    for kind, key, table in (
        ("text search configuration", "configurations", "pg_ts_config"),
        ("text search dictionary", "dictionaries", "pg_ts_dict"),
        ("text search parser", "parsers", "pg_ts_parser"),
        ("text search template", "templates", "pg_ts_template"),
    ):
        for item in _own(catalog, "operators", key, table):
            _put(catalog, kind, table, item, _qualified(catalog, item))


def _globals(catalog: Catalog) -> None:
    for item in _own(catalog, "globals", "languages", "pg_language"):
        _put(catalog, "language", "pg_language", item, quote_ident(item.pop("name")), "language")
    for item in _own(catalog, "globals", "access_methods", "pg_am"):
        item["type"] = {"t": "table", "i": "index"}.get(item["type"])
        _put(catalog, "access method", "pg_am", item, quote_ident(item.pop("name")))
    for item in _own(catalog, "globals", "transforms", "pg_transform"):
        name = f"for {item.pop('type')} language {quote_ident(item.pop('language'))}"
        _put(catalog, "transform", "pg_transform", item, name)
    for kind, key, table in (
        ("foreign data wrapper", "wrappers", "pg_foreign_data_wrapper"),
        ("server", "servers", "pg_foreign_server"),
    ):
        for item in _own(catalog, "globals", key, table):
            item["options"] = options_of(item["options"])
            _put(catalog, kind, table, item, quote_ident(item.pop("name")), kind)
    for item in _own(catalog, "globals", "mappings", "pg_user_mapping"):
        name = f"{quote_ident(item.pop('user'))} on {quote_ident(item.pop('server'))}"
        if not item.pop("visible"):
            catalog.unseen.append((f"user mapping {name}", "options"))
        item["options"] = options_of(item["options"])
        _put(catalog, "user mapping", "pg_user_mapping", item, name)
    for item in _own(catalog, "globals", "event_triggers", "pg_event_trigger"):
        item["enabled"] = ENABLED[item["enabled"]]
        _put(catalog, "event trigger", "pg_event_trigger", item, quote_ident(item.pop("name")))
    for item in _own(catalog, "globals", "publications", "pg_publication"):
        _publication(catalog, item)


def _own(catalog: Catalog, answer: str, key: str, table: str) -> Iterator[dict[str, Any]]:
    """Yield copies of what an answer tells under a key, without what extensions made."""
    for item in (catalog.answers.get(answer) or {}).get(key, ()):
        if not catalog.of_extension(table, item["oid"]):
            yield dict(item)


def _qualified(catalog: Catalog, item: dict[str, Any]) -> str:
    return f"{catalog.schemas[str(item['schema'])]}.{quote_ident(item.pop('name'))}"


def _put(catalog: Catalog, kind: str, table: str, item: dict[str, Any], name: str, acl_kind: str = "") -> None:
    """Take in an object whose remaining fields are its attributes as they are."""
    schema = item.pop("schema", None)
    own = catalog.common(table, item.pop("oid"), item.pop("owner", None), item.pop("acl", None), acl_kind)
    attributes = {key: None if value == "-" else value for key, value in item.items()}
    catalog.put(kind, None if schema is None else catalog.schemas[str(schema)], name, {**own, **sparse(**attributes)})


def _publication(catalog: Catalog, item: Mapping[str, Any]) -> None:
    published = ("insert", "update", "delete", "truncate")
    missing = [word for word in published if not item[f"pub{word}"]]
    tables = {
        catalog.relations[str(table)][1]: sparse(where=canonical(where), columns=columns)
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
        attributes = {
            key: value for key, value in item.items() if key not in ("oid", "name", "owner", "more", "stream")
        }
        attributes["streaming"] = {"t": "on", "true": "on", "p": "parallel"}.get(str(item["stream"]).lower())
        attributes["disabled"] = not attributes.pop("enabled")
        attributes["synchronous_commit"] = None if item["synchronous_commit"] == "off" else item["synchronous_commit"]
        attributes["publications"] = sorted(item["publications"])
        own = catalog.common("pg_subscription", item["oid"], item["owner"])
        catalog.put("subscription", None, quote_ident(item["name"]), {**own, **sparse(**attributes, **item["more"])})


def _locale(name: str | None) -> str | None:
    """Return a locale of the C library, which takes several spellings of its most usual encoding."""
    return name and re.sub(r"\.utf-?8\b", ".UTF-8", name, flags=re.IGNORECASE)


def _default_privileges(catalog: Catalog) -> None:
    for role, schema, letter, acl in catalog.answers.get("default_privileges") or ():
        name = f"of {quote_ident(catalog.role(role))} on {_DEFAULT_PRIVILEGES[letter]}" + (
            f" in {quote_ident(schema)}" if schema else ""
        )
        held: Mapping[str, list[str]] | None = (
            granted(acl, _ACL_KINDS[letter]) if schema else privileges(acl, catalog.role(role), _ACL_KINDS[letter])
        )
        # A list that says what holds without it is none.
        if held is not None and (held or not schema):
            catalog.put("default privileges", quote_ident(schema) if schema else None, name, {"privileges": dict(held)})


def _system_privileges(catalog: Catalog) -> None:
    for kind, identity, owner, acl in catalog.answers.get("system_privileges") or ():
        held = privileges(acl, catalog.role(owner), kind)
        catalog.put(
            "system privileges", None, f"on {kind} {identity}", {"privileges": None if held is None else dict(held)}
        )


STEPS = (
    _database,
    _schemas,
    _extensions,
    _operators,
    _text_search,
    _globals,
    _subscriptions,
    _default_privileges,
    _system_privileges,
)
