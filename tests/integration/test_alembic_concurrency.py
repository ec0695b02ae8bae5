"""alembic_upgrade among others: runs at once, runs that were killed, readers that hold locks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import support
import trees
from support import Database, Upgrade, names

KEY = "SELECT pg_advisory_lock(3810316526202338722)"
LIMIT = 20.0  # seconds until a wait in these tests is given up


def until(condition: Callable[[], Any]) -> Any:
    """Return what condition returns once that is true."""
    limit = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < limit, "it never came about"
        time.sleep(0.01)
    return found


def sessions(database: Database, application: str) -> list[int]:
    """Return the processes of the sessions of that name in the database."""
    rows = database.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = "
        f"'{application}' ORDER BY pid"
    )
    return [pid for (pid,) in rows]


def asleep(database: Database) -> list[tuple[Any, ...]]:
    """Return the migration's sessions that sleep in pg_sleep."""
    return database.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        " AND application_name = 'pgsteward migration'"
    )


@contextlib.contextmanager
def started(collections: Path, project: Path, database: Database) -> Iterator[subprocess.Popen[str]]:
    """Start the module and give its process while it runs."""
    arguments = {"project": str(project), "url": database.url}
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.pgsteward.postgres.plugins.modules.alembic_upgrade"],
        env={**os.environ, "PYTHONPATH": str(collections)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def child_of(process: subprocess.Popen[str]) -> int:
    """Return the process of the module's runner."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    [child] = text.split()
    return int(child)


# Many at once

CONCURRENTLY = """\
with op.get_context().autocommit_block():
    op.create_index("i_r2", "t_r1", ["id"], postgresql_concurrently=True)
"""
TREES = {
    "plain": trees.chain(4),
    "concurrently": {
        **trees.chain(1),
        "r2": trees.revision("r2", "r1", CONCURRENTLY),
        "r3": trees.table("r3", "r2"),
    },
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_ten_at_once_apply_each_revision_once(
    tree: dict[str, str], database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, tree)
    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(lambda _number: upgrade(), range(10)))
    assert [ran.msg for ran in runs if ran.failed] == []
    applied = [names(ran.result["applied"]) for ran in runs if ran.result["applied"]]
    assert applied == [list(tree)]
    assert {ran.result["state"] for ran in runs if not ran.result["changed"]} == {"managed"}
    assert database.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_the_one_who_holds_the_lock_is_named(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    trees.write_tree(tmp_path, trees.chain(1))
    with database.connect() as holder:
        holder.execute("SET application_name = 'somebody else'")
        holder.execute(KEY)
        ran = upgrade(lock_wait="0")
        assert f"pid {holder.info.backend_pid} (somebody else" in ran.msg
        assert "since 20" in ran.msg
        assert "raise lock_wait" in ran.msg
        assert "\n" not in ran.msg
        assert not upgrade(check=True, lock_wait="0").failed
        assert database.relations() == []
        threading.Timer(0.5, holder.close).start()
        assert not upgrade(lock_wait="20s").failed


# Killed runs

SLOW = {
    **trees.chain(1),
    "r2": trees.revision(
        "r2",
        "r1",
        "import pathlib\n"
        'seconds = 0 if pathlib.Path("tried").exists() else 60\n'
        'pathlib.Path("tried").touch()\n'
        'op.execute(f"SELECT pg_sleep({seconds})")\n'
        'op.execute("CREATE TABLE t_r2 (id int)")',
    ),
}


@pytest.mark.parametrize("victim", ["runner", "module"])
def test_what_a_killed_run_left_at_work_is_ended_first(
    victim: str, database: Database, collections: Path, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, SLOW)
    with started(collections, tmp_path, database) as process:
        [(backend,)] = until(lambda: asleep(database))
        os.kill(child_of(process) if victim == "runner" else process.pid, signal.SIGKILL)
        process.wait()
        killed = time.monotonic()
    ran = upgrade()
    assert not ran.failed, ran.msg
    assert ran.result["current"] == ["r2"]
    assert backend not in sessions(database, "pgsteward migration")
    assert database.tables() == ["r1", "r2"]
    assert "was cut short in revision r2" in str(ran.result.get("warnings"))
    assert time.monotonic() - killed < LIMIT


def test_a_session_that_does_not_notice_is_terminated(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    """As one on a host that was cut off: its client is there for all that the server knows."""
    trees.write_tree(tmp_path, trees.chain(1))
    with database.connect() as orphan:
        orphan.execute("SET application_name = 'pgsteward migration'")
        begun = time.monotonic()
        ran = upgrade()
        assert not ran.failed, ran.msg
        assert time.monotonic() - begun < 5
        with pytest.raises(psycopg.OperationalError):
            orphan.execute("SELECT 1")
    assert "waiting for what a killed run left at work" in str(ran.result["messages"])


def test_the_overlap_with_a_dead_run_is_short(
    database: Database, collections: Path, upgrade: Upgrade, tmp_path: Path
) -> None:
    trees.write_tree(tmp_path, SLOW)
    with started(collections, tmp_path, database) as process:
        [(backend,)] = until(lambda: asleep(database))
        os.kill(child_of(process), signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: backend not in sessions(database, "pgsteward migration"))
        assert time.monotonic() - killed < 0.5
        process.wait()
    assert upgrade().result["current"] == ["r2"]


def test_without_its_lock_a_run_begins_no_further_revision(
    database: Database, collections: Path, upgrade: Upgrade, tmp_path: Path
) -> None:
    slow = trees.revision("r1", None, 'op.execute("CREATE TABLE t_r1 (id int)")\nop.execute("SELECT pg_sleep(1)")')
    trees.write_tree(tmp_path, {"r1": slow, "r2": trees.table("r2", "r1")})
    with started(collections, tmp_path, database) as process:
        until(lambda: asleep(database))
        [module] = sessions(database, "pgsteward alembic_upgrade")
        database.rows(f"SELECT pg_terminate_backend({module})")
        assert process.stdout
        ran = json.loads(process.stdout.read())
    assert "was lost, so revision r2 was not begun: run again" in ran["msg"]
    assert (names(ran["applied"]), ran["current"], ran["changed"]) == (["r1"], ["r1"], True)
    assert names(upgrade().result["applied"]) == ["r2"]


# Locks that others hold

ALTER = {"r1": trees.revision("r1", None, 'op.execute("ALTER TABLE busy ADD n int")')}


def test_a_reader_is_waited_for_without_holding_up_others(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE busy (id int)")
    trees.write_tree(tmp_path, ALTER)
    stalls: list[float] = []
    over = threading.Event()

    def read() -> None:
        with database.connect() as connection:
            while not over.is_set():
                begun = time.monotonic()
                connection.execute("SELECT count(*) FROM busy")
                stalls.append(time.monotonic() - begun)
                over.wait(0.005)

    others = threading.Thread(target=read)
    with database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT 'hush', count(*) FROM busy")
        others.start()
        support.commit_when_waited_for(reader, database, 1.0)
        try:
            ran = upgrade(lock_timeout="200ms")
        finally:
            over.set()
            others.join()
        pid = reader.info.backend_pid
    assert not ran.failed, ran.msg
    assert ran.result["retries"] > 0
    assert names(ran.result["applied"]) == ["r1"]
    [wait] = [wait for wait in ran.result["waits"] if wait["pid"] == pid]
    assert (wait["revision"], wait["query"]) == ("r1", "SELECT '…', count(*) FROM busy")
    assert 0 < wait["age"] < 10
    assert wait["seconds"] > 0
    assert max(stalls) <= 0.25
    assert "hush" not in ran.text


def test_who_blocks_for_too_long_is_named(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE busy (id int)")
    trees.write_tree(tmp_path, {**ALTER, "r2": trees.table("r2", "r1")})
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT * FROM busy")
        ran = upgrade(lock_timeout="200ms", lock_retry="1s")
        assert f"blocked by pid {reader.info.backend_pid} of " in ran.msg
        assert "SELECT * FROM busy" in ran.msg
        assert "tried " in ran.msg
        assert "end what blocks, or raise lock_timeout or lock_retry" in ran.msg
        assert "\n" not in ran.msg
        assert (ran.result["changed"], ran.result["applied"]) == (False, [])
    again = upgrade()
    assert names(again.result["applied"]) == ["r1", "r2"], again.msg


def test_tries_keep_the_first_plan(database: Database, upgrade: Upgrade, tmp_path: Path) -> None:
    database.rows("CREATE TABLE busy (id int)")
    trees.write_tree(
        tmp_path,
        {**trees.chain(1), "r2": trees.revision("r2", "r1", 'op.execute("ALTER TABLE busy ADD n int")'), **third()},
    )
    with database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM busy")
        support.commit_when_waited_for(reader, database, 1.0)
        ran = upgrade(lock_timeout="100ms", revision=["+2"])
    assert names(ran.result["applied"]) == names(ran.result["pending"]) == ["r1", "r2"], ran.msg
    assert ran.result["retries"] > 0
    assert ran.result["state"] == "legacy"
    assert (ran.result["current"], database.tables()) == (["r2"], ["r1"])


def third() -> dict[str, str]:
    """Return a revision that must not be applied."""
    return {"r3": trees.table("r3", "r2")}


def test_a_revision_that_left_its_transaction_is_not_tried_again(
    database: Database, upgrade: Upgrade, tmp_path: Path
) -> None:
    body = 'with op.get_context().autocommit_block():\n    op.execute("CREATE TABLE t_r1 (id int)")\n'
    body += 'op.execute("ALTER TABLE busy ADD n int")'
    database.rows("CREATE TABLE busy (id int)")
    trees.write_tree(tmp_path, {"r1": trees.revision("r1", None, body)})
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT * FROM busy")
        ran = upgrade(lock_timeout="100ms")
    assert "lock timeout" in ran.msg
    assert ran.result["retries"] == 0
