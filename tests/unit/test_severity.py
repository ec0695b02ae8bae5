"""How grave a difference is, by what it does to those who use the database."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._drift import ABSENT, EXISTENCE, PRESENT, Drift
from ansible_collections.pgsteward.postgres.plugins.module_utils._severity import SEVERITIES, at_least, severity

RISK, WRONG, SLOWER, COSMETIC = SEVERITIES
OBJECTS: dict[str, dict[str, dict[str, Any]]] = {
    "table": {
        'public."t.t"': {
            "columns": {
                "plain": {"type": "text"},
                "strict": {"type": "text", "not_null": True},
                "filled": {"type": "text", "not_null": True, "default": "'x'::text"},
                "counted": {"type": "bigint", "not_null": True, "identity": "always"},
            },
            "constraints": {"t_pkey": {"type": "primary key", "columns": ["counted"], "index": {"valid": False}}},
            "indexes": {
                "slow": {"method": "btree", "columns": ["plain"]},
                "only": {"method": "btree", "columns": ["plain"], "unique": True},
            },
        }
    },
}
T = 'public."t.t"'


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [
        ("table public.x", WRONG, COSMETIC),
        ("view public.x", WRONG, COSMETIC),
        ("schema x", WRONG, COSMETIC),
        ("extension x", WRONG, COSMETIC),
        ("enum public.x", WRONG, COSMETIC),
        ("sequence public.x", WRONG, COSMETIC),
        ("function public.x(integer)", WRONG, WRONG),
        (f"column {T}.plain", WRONG, COSMETIC),
        (f"column {T}.filled", WRONG, COSMETIC),
        (f"column {T}.counted", WRONG, COSMETIC),
        (f"column {T}.strict", WRONG, WRONG),
        (f"constraint {T}.x", RISK, WRONG),
        (f"constraint {T}.(unique a, b)", RISK, WRONG),
        ("index public.slow", SLOWER, SLOWER),
        ("index public.only", RISK, WRONG),
        ("index public.nowhere", SLOWER, SLOWER),
        (f"trigger {T}.x", RISK, WRONG),
        (f"rule {T}.x", RISK, WRONG),
        (f"policy {T}.x", RISK, WRONG),
        ("statistics public.x", SLOWER, COSMETIC),
        ("publication x", RISK, RISK),
        ("default privileges of x on tables", RISK, RISK),
        ("no kind of ours", WRONG, WRONG),
    ],
)
def test_missing_and_extra_objects(name: str, missing: str, extra: str) -> None:
    assert severity(Drift(name, EXISTENCE, PRESENT, ABSENT), OBJECTS, {}) == missing
    assert severity(Drift(name, EXISTENCE, ABSENT, PRESENT), {}, OBJECTS) == extra


@pytest.mark.parametrize(
    ("name", "attribute", "expected", "found", "wanted"),
    [
        ("table public.x", "owner", "a", "b", RISK),
        ("table public.x", "privileges", {}, None, RISK),
        ("table public.x", "row_security", "enabled", None, RISK),
        ("table public.x", "replica_identity", "full", None, RISK),
        ("table public.x", "persistence", None, "unlogged", RISK),
        ("table public.x", "persistence", "unlogged", None, SLOWER),
        ("table public.x", "partition_by", "RANGE (a)", None, WRONG),
        ("table public.x", "tablespace", "fast", None, SLOWER),
        ("table public.x", "options", {"fillfactor": "70"}, None, SLOWER),
        ("table public.x", "column_order", [], [], COSMETIC),
        ("table public.x", "comment", "a", None, COSMETIC),
        ("view public.x", "options", {"security_barrier": "true"}, None, RISK),
        ("view public.x", "definition", "SELECT 1", "SELECT 2", WRONG),
        ("materialized view public.x", "options", {"fillfactor": "70"}, None, SLOWER),
        (f"column {T}.plain", "type", "text", "integer", WRONG),
        (f"column {T}.plain", "default", "1", None, WRONG),
        (f"column {T}.plain", "collation", '"C"', None, WRONG),
        (f"column {T}.plain", "not_null", True, None, RISK),
        (f"column {T}.plain", "not_null", True, "not valid", RISK),
        (f"column {T}.plain", "not_null", None, True, WRONG),
        (f"column {T}.plain", "storage", "external", None, SLOWER),
        (f"column {T}.plain", "statistics", 100, None, SLOWER),
        (f"column {T}.plain", "inherited", None, True, COSMETIC),
        (f"constraint {T}.x", "on_delete", "cascade", None, RISK),
        (f"constraint {T}.x", "expression", "a", "b", RISK),
        (f"constraint {T}.x", "valid", None, False, RISK),
        (f"constraint {T}.x", "valid", False, None, COSMETIC),
        (f"constraint {T}.x", "enforced", True, False, RISK),
        (f"constraint {T}.x", "disabled_triggers", None, True, RISK),
        (f"constraint {T}.x", "deferrable", True, None, WRONG),
        (f"constraint {T}.x", "comment", "a", None, COSMETIC),
        ("index public.slow", "valid", None, False, SLOWER),
        ("index public.slow", "options", {"lists": "100"}, None, SLOWER),
        ("index public.slow", "columns", ["a"], ["b"], SLOWER),
        ("index public.slow", "unique", None, True, WRONG),
        ("index public.slow", "replica_identity", True, None, RISK),
        ("index public.only", "unique", True, None, RISK),
        ("index public.only", "valid", None, False, RISK),
        ("index public.only", "columns", ["a"], ["b"], RISK),
        ("index public.only", "options", None, {"fillfactor": "70"}, SLOWER),
        ("index public.t_pkey", "valid", None, False, RISK),
        (f"trigger {T}.x", "enabled", None, "disabled", RISK),
        (f"trigger {T}.x", "enabled", "always", "replica", RISK),
        (f"trigger {T}.x", "enabled", "disabled", None, WRONG),
        (f"trigger {T}.x", "definition", "a", "b", WRONG),
        (f"policy {T}.x", "using", "a", "b", RISK),
        (f"policy {T}.x", "comment", "a", "b", COSMETIC),
        ("function public.f()", "security_definer", None, True, RISK),
        ("function public.f()", "body", "a", "b", WRONG),
        ("function public.f()", "cost", 1, 100, SLOWER),
        ("enum public.e", "labels_in_order", ["a"], ["b"], WRONG),
        ("extension vector", "version", "0.8.0", "0.7.0", WRONG),
        ("publication p", "tables", {}, None, RISK),
        ("statistics public.s", "columns", [], [], SLOWER),
        ("server s", "options", {}, None, WRONG),
    ],
)
def test_differences(name: str, attribute: str, expected: Any, found: Any, wanted: str) -> None:
    drift = Drift(name, attribute, expected, found)
    assert severity(drift, OBJECTS, OBJECTS) == wanted
    if not name.startswith("index"):  # a spec does not say what else there is
        assert severity(drift, {}, OBJECTS) == wanted


def test_thresholds() -> None:
    assert at_least(RISK, COSMETIC)
    assert at_least(SLOWER, SLOWER)
    assert not at_least(COSMETIC, SLOWER)
