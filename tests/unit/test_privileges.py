"""Privileges from the catalog's lists."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._privileges import granted, privileges


@pytest.mark.parametrize(
    ("acl", "owner", "kind", "expected"),
    [
        (None, "o", "table", None),
        (["o=arwdDxt/o"], "o", "table", None),
        (["o=arwdDxtm/o"], "o", "table", None),  # PostgreSQL 17 has MAINTAIN as well
        (["o=arwdDxt/o", "app=arw/o"], "o", "table", {"app": ["INSERT", "SELECT", "UPDATE"]}),
        (["o=arwdDxt/o", "app=r*w/o"], "o", "table", {"app": ["SELECT*", "UPDATE"]}),
        (["o=arwdDxt/o", "app=arwdDxt/o"], "o", "table", {"app": ["ALL"]}),
        (["o=arwdDxtm/o", "app=arwdDxtm/o"], "o", "table", {"app": ["ALL"]}),
        (["o=arwdDxt/o", "app=a*r*w*d*D*x*t*/o"], "o", "table", {"app": ["ALL*"]}),
        (["o=arwdDxt/o", "=r/o"], "o", "table", {"PUBLIC": ["SELECT"]}),
        (["o=arwd/o"], "o", "table", {"o": ["DELETE", "INSERT", "SELECT", "UPDATE"]}),
        ([], "o", "table", {"o": []}),
        (["app=r/o"], "o", "table", {"app": ["SELECT"], "o": []}),
        (["o=arwdDxt/o", "app=r/o", "app=w/x"], "o", "table", {"app": ["SELECT", "UPDATE"]}),  # by two grantors
        (["=X/o", "o=X/o"], "o", "function", None),
        (["o=X/o"], "o", "function", {}),
        (["=UC/o", "o=UC/o"], "o", "schema", {"PUBLIC": ["CREATE", "USAGE"]}),
        (["=Tc/o", "o=CTc/o"], "o", "database", None),
        (["o=CTc/o"], "o", "database", {}),
        (["app=r/o"], "", "column", {"app": ["SELECT"]}),
        ([], "", "column", None),
        (["o=arwdDxt/o", '"odd ""name"=r/o'], "o", "table", {'odd "name': ["SELECT"]}),
    ],
)
def test_privileges(acl: list[str] | None, owner: str, kind: str, expected: dict[str, list[str]] | None) -> None:
    assert privileges(acl, owner, kind) == expected


def test_a_list_by_itself_keeps_everybody() -> None:
    assert granted(["o=r/o", "=X/o"], "table") == {"PUBLIC": ["EXECUTE"], "o": ["SELECT"]}
