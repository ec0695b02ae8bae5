"""Names that look like a role's input and are not."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils._inputs import unknown_names

OPTIONS = ("pg_server_port", "pg_server_settings")
ROLES = ("pg_server", "pg_hba")
SHARED = ("pg_version", "pg_port")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("pg_server_port", None),
        ("pg_port", None),
        ("__pg_server_found", None),
        ("pg_hba_anything", None),  # another role's: judged there
        ("ansible_host", None),
        ("pg_server_prot", "unknown variable pg_server_prot; did you mean pg_server_port?"),
        ("pg_zzzzzzzzzz", "unknown variable pg_zzzzzzzzzz"),
        ("pg_verison", "unknown variable pg_verison; did you mean pg_version?"),
        ("pg_serverport", "unknown variable pg_serverport; did you mean pg_server_port?"),
    ],
)
def test_unknown_names(name: str, finding: str | None) -> None:
    assert unknown_names([name], "pg_server", OPTIONS, ROLES, SHARED) == ([finding] if finding else [])
