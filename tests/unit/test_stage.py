"""The SQL that a scratch database begins with, as far as no server is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _stage
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._revisions import Answer, Failure
from ansible_collections.pgsteward.postgres.plugins.module_utils._runner_process import Ended


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("SELECT 1;\n", "SELECT 1;\n"),
        ("\\restrict Sv1\n\nSELECT 1;\n\\unrestrict Sv1\n", "\n\nSELECT 1;\n\n"),
        ("ALTER TABLE ONLY public.a ALTER COLUMN b SET (pg_attver=691);\n", "\n"),
        ("ALTER COLUMN b SET (n_distinct=5, pg_attver=691);", "ALTER COLUMN b SET (n_distinct=5);"),
        ("ALTER COLUMN b SET (pg_attver=691, n_distinct=5);", "ALTER COLUMN b SET (n_distinct=5);"),
        ("SELECT '\\restrict';\n", "SELECT '\\restrict';\n"),
    ],
)
def test_what_pg_dump_writes_for_others_is_left_out(text: str, left: str, tmp_path: Path) -> None:
    (tmp_path / "first.sql").write_text(text)
    assert _stage.baseline_of({"scratch_baseline": str(tmp_path / "first.sql")}) == left


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert _stage.baseline_of({"scratch_baseline": None}) is None
    with pytest.raises(StewardError, match=r"scratch_baseline .*first\.sql cannot be read: "):
        _stage.baseline_of({"scratch_baseline": str(tmp_path / "first.sql")})


@pytest.mark.parametrize(
    ("sqlstate", "baseline", "noted"), [("42P01", None, True), ("42P01", "first.sql", False), ("23505", None, False)]
)
def test_a_missing_table_may_be_of_the_baseline(sqlstate: str, baseline: str | None, noted: bool) -> None:
    ended = Ended(Answer(failure=Failure("UndefinedTable: x", "", False, sqlstate)), [], "")
    assert ("scratch_baseline" in _stage.baseline_note(ended, {"scratch_baseline": baseline})) is noted
