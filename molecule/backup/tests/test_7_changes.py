"""Backup and archive go on through changes of primary, planned and not, and every moment before and after each of them can be reached."""

from __future__ import annotations

from dataclasses import dataclass, field

import backups
import cluster
import lab
import pytest
import restores

pytestmark = lab.full_only
cluster.LIMIT = 600


@dataclass
class Course:
    """What happened: rows in the order of their commits, and a moment after each, by the clock of the server that had it."""

    rows: list[str] = field(default_factory=list)
    moments: dict[str, str] = field(default_factory=dict)
    timelines: list[int] = field(default_factory=list)

    def note(self, row: str) -> None:
        """Commit a row on the primary, and remember the moment after it."""
        node = cluster.primary()
        told = cluster.ask(node, f"INSERT INTO course VALUES ('{row}') RETURNING what", cluster.DATABASE)
        assert told == row
        self.rows.append(row)
        self.moments[row] = restores.now(node)
        self.timelines.append(int(cluster.ask(node, "SELECT timeline_id FROM pg_control_checkpoint()")))
        backups.archived(backups.switch_wal(node), 90)

    def until(self, row: str) -> str:
        return ",".join(self.rows[: self.rows.index(row) + 1])


@pytest.fixture(scope="module")
def course() -> Course:
    """A cluster that is switched over, loses its primary, and gets it back; with backups in between."""
    backups.idle()
    cluster.whole()
    made = Course()
    cluster.ask(cluster.primary(), "DROP TABLE IF EXISTS course; CREATE TABLE course (what text)", cluster.DATABASE)
    made.note("before the switchover")
    run = cluster.play("switchover")
    assert run.code == 0, run.text
    cluster.whole()
    made.note("after the switchover")
    assert backups.play("pgsteward.postgres.backup", type="incr").code == 0
    made.note("before the failover")
    lost = cluster.primary()
    cluster.cut_power(lost)
    # The engine's connection reports a host that is gone as a failed command; SSH says that it cannot be reached.
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LAB_CONNECTION", "ssh")
        run = cluster.play("failover", **cluster.FENCE)
    assert run.code == 0, run.text
    made.note("after the failover")
    cluster.heal()
    assert backups.play("pgsteward.postgres.backup", type="incr").code == 0
    made.note("with both again")
    return made


def pushed(node: str) -> str:
    return cluster.ask(node, "SELECT archived_count || ' and ' || failed_count FROM pg_stat_archiver")


def test_only_the_primary_archives(course: Course) -> None:
    assert len(set(course.timelines)) == 3
    assert course.timelines == sorted(course.timelines)
    standby = sorted(cluster.followers())[0]
    before = pushed(standby)
    backups.archived(backups.switch_wal(cluster.primary()))
    assert pushed(standby) == before
    backups.pgbackrest(backups.STORE, "check")


@pytest.mark.parametrize(
    "row", ["before the switchover", "after the switchover", "before the failover", "after the failover"]
)
def test_every_moment_can_be_reached(row: str, course: Course) -> None:
    host = sorted(cluster.followers())[0]
    with restores.beside(host, target_type="time", target=course.moments[row]) as reached:
        assert "reached" in reached, reached
        assert restores.inside(host, "SELECT string_agg(what, ',' ORDER BY ctid) FROM course") == course.until(row)


@pytest.mark.usefixtures("course")
def test_backups_were_taken_on_each_timeline() -> None:
    for number in backups.REPOSITORIES:
        mine = [one for one in backups.info()["backup"] if one["database"]["repo-key"] == number]
        before, after = (one["archive"]["stop"][:8] for one in mine[-2:])
        assert before < after
