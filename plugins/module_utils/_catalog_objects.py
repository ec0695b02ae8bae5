# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the answers of the catalog's queries to the objects of a snapshot. Pure.

An attribute that has PostgreSQL's default is left out, so that a schema looks the same whatever the server knows besides.
"""

from __future__ import annotations

from ansible_collections.pgsteward.postgres.plugins.module_utils import _catalog_others, _catalog_tables, _catalog_types
from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import Answers
from ansible_collections.pgsteward.postgres.plugins.module_utils._catalog_record import Catalog as Catalog
from ansible_collections.pgsteward.postgres.plugins.module_utils._identifiers import quote_ident


def objects_of(answers: Answers, major: int) -> Catalog:
    """Return everything that the answers tell."""
    catalog = Catalog(answers, major)
    _look_up(catalog)
    # The tables come first: others refer to them.
    for step in (*_catalog_tables.STEPS, *_catalog_types.STEPS, *_catalog_others.STEPS):
        step(catalog)
    return catalog


def _look_up(catalog: Catalog) -> None:
    context = catalog.answers["context"]
    catalog.schemas = {str(item["oid"]): quote_ident(item["name"]) for item in context["schemas"]}
    catalog.roles = context["roles"]
    catalog.members = {name: frozenset(map(str, oids)) for name, oids in (context["members"] or {}).items()}
    remarks = catalog.answers.get("remarks") or {"comments": (), "labels": ()}
    catalog.comments = {(name, str(oid), number): text for name, oid, number, text in remarks["comments"]}
    for name, oid, number, provider, label in remarks["labels"]:
        catalog.labels.setdefault((name, str(oid), number), {})[provider] = label
