"""docs/troubleshooting.md, shown: each symptom is made, seen by another tool, asked about by the command of the document, and healed by its remedy.

Commands and texts come from the document. Its database is called otherwise here, one for each symptom, all of one small project. The tests run
in their order; what several symptoms ask is asked once. Those that other tests show are listed in tests/unit/test_troubleshooting.py.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lab
import plays
import psycopg
import pytest
import symptoms

HOST = next(iter(lab.hosts("postgres")))
MAJOR = lab.version(HOST)
SERVICE = f"postgresql@{MAJOR}-main"
DATA = f"/var/lib/postgresql/{MAJOR}/main"
DUMP = "/var/lib/postgresql/shop.dump"
CONFIG = f"/etc/postgresql/{MAJOR}/main/conf.d/99-troubleshooting.conf"
SCRATCH = {"kind": "database", "url": "postgresql://shop_scratch:shop_scratch@localhost:5432/postgres"}
MIGRATOR = "powergym_migrator"  # every inventory of the lab has its password
PAGE = symptoms.read()
LIMIT = 20.0  # seconds that a symptom may take to come about

# The project

KEPT = lab.ROOT / ".cache" / "troubleshooting"
TREE, REPORTS = KEPT / "project", KEPT / "reports"
PROJECT = "/opt/pgsteward/troubleshooting"
ENV = """
import os
import sqlalchemy as sa
from alembic import context

metadata = sa.MetaData()
customers = sa.Table("customers", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table("orders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("customer_id", sa.ForeignKey(customers.c.id)))
settings = context.config.get_section(context.config.config_ini_section)
url = settings.get("sqlalchemy.url") or os.environ["DATABASE_URL"]
with sa.create_engine(url, poolclass=sa.pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""{name}"""

from alembic import op

revision = "{name}"
down_revision = {down!r}


def upgrade() -> None:
    for statement in {up!r}:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
'''
CUSTOMERS = "CREATE TABLE customers (id integer PRIMARY KEY)"
ORDERS = "CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer, note text)"
KEY = "ALTER TABLE orders ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers (id)"
LOST = "CREATE TABLE lost (id integer PRIMARY KEY)"
DROP = "ALTER TABLE orders DROP COLUMN note"
FACES = "CREATE TABLE faces (id integer PRIMARY KEY, seen vector(3))"
# section of alembic.ini: its revisions in a line, and what each does
HISTORIES = {
    "keys": {"001_tables": [CUSTOMERS, ORDERS], "002_keys": [KEY]},
    "drops": {"001_tables": [CUSTOMERS, ORDERS], "002_drop_note": [DROP]},
    "faces": {"001_faces": [FACES]},
    "lost": {"001_tables": [CUSTOMERS, ORDERS], "002_keys": [KEY], "003_lost": [LOST]},
}


def at(revision: str) -> list[str]:
    """Return the statements that note a revision as Alembic does."""
    table = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
    return [table, f"INSERT INTO alembic_version VALUES ('{revision}')"]


ROWS = [
    "INSERT INTO customers VALUES (1)",
    "INSERT INTO orders VALUES (1, 1, 'kept'), (2, 7, 'lost'), (3, 8, 'lost'), (4, 9, 'lost')",
]
MANY = "INSERT INTO orders SELECT n, n % 1000, 'note' FROM generate_series(1, 100000) n"
# database: section of the project, what somebody made in it before
DATABASES: dict[str, tuple[str | None, list[str]]] = {
    "shop_legacy": ("keys", [CUSTOMERS, ORDERS]),
    "shop_keys": ("keys", [CUSTOMERS, ORDERS, *at("001_tables"), *ROWS]),
    "shop_drops": ("drops", [CUSTOMERS, ORDERS, *at("001_tables"), *ROWS, "ANALYZE"]),
    "shop_faces": ("faces", []),
    "shop_lost": ("lost", [CUSTOMERS, ORDERS, KEY, LOST, *at("003_lost")]),
    "shop_busy": (None, [ORDERS, MANY]),
}


def write_project() -> None:
    """Write the project, but for the revision that somebody lost."""
    shutil.rmtree(KEPT, ignore_errors=True)
    ini = "[DEFAULT]\nscript_location = %(here)s\npath_separator = os\n"
    for section, revisions in HISTORIES.items():
        ini += f"\n[{section}]\nversion_locations = %(here)s/{section}\n"
        (TREE / section).mkdir(parents=True)
        for name in revisions:
            if name != "003_lost":
                write_revision(section, name)
    (TREE / "alembic.ini").write_text(ini)
    (TREE / "env.py").write_text(ENV)
    for name in ("script.py.mako", "requirements.txt"):
        shutil.copy(lab.ROOT / "migrations" / name, TREE)


def write_revision(section: str, name: str) -> None:
    names = [None, *HISTORIES[section]]
    text = REVISION.format(name=name, down=names[names.index(name) - 1], up=HISTORIES[section][name])
    (TREE / section / f"{name}.py").write_text(text)


def project(*names: str) -> list[dict[str, Any]]:
    """Return the project for the inventory, with some of the databases."""
    listed = [
        {
            "name": name,
            "section": DATABASES[name][0],
            "user": MIGRATOR,
            "extensions": ["vector"] * (name == "shop_faces"),
        }
        for name in names
    ]
    return [{"name": Path(PROJECT).name, "source": str(TREE), "databases": listed}]


def section_of(name: str) -> str:
    """Return the section of the project that a database belongs to."""
    return str(DATABASES[name][0])


MIGRATED = tuple(name for name, (section, _made) in DATABASES.items() if section)

# What is typed, and what it says


def inside(*command: str, user: str = "postgres") -> list[str]:
    """Return how a command is run on the host."""
    return ["docker", "exec", "-i", "-w", "/", f"pgsteward-{HOST}", "runuser", "-u", user, "--", *command]


def on(*command: str, user: str = "postgres", check: bool = True) -> str:
    """Return all that a command on the host prints."""
    full = inside(*command, user=user)
    run = subprocess.run(
        full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert run.returncode == 0 or not check, run.stdout
    return run.stdout


def psql(database: str, *statements: str, check: bool = True) -> str:
    """Return what the host's own psql prints, errors and all."""
    given = [word for statement in statements for word in ("-c", statement)]
    return on("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, *given, check=check)


def alembic(database: str, *words: str) -> str:
    """Return what plain Alembic says, run by hand on the host."""
    options = f"host=/var/run/postgresql&options=-c%20role%3D{MIGRATOR}"
    environment = [f"DATABASE_URL=postgresql+psycopg:///{database}?{options}", "PYTHONDONTWRITEBYTECODE=1"]
    ini = ["-c", f"{PROJECT}/project/alembic.ini", "-n", section_of(database)]
    return on("env", *environment, f"{PROJECT}/venv/bin/alembic", *ini, *words, check=False)


def typed(command: str, database: str, **variables: Any) -> plays.Played:
    """Run a command of the document, with the lab's inventory and names for its own; return how it ended."""
    words = [HOST if word == "db1" else word for word in shlex.split(symptoms.named(command, database))]
    if words[0] == "sudo":
        return plays.Played(
            0, on(*words[3 if words[1] == "-u" else 1 :], user=words[2] if words[1] == "-u" else "root")
        )
    assert words[1:3] == ["-i", "inventories/production"], command
    quick = {"pg_migrate_staircase": False, "pg_migrate_lint": False, "pg_migrate_scratch": SCRATCH}
    given = {"ansible_remote_tmp": "/tmp", "pg_monitor_report_directory": str(REPORTS), **quick, **variables}  # noqa: S108
    full = [words[0], "-i", str(lab.INVENTORY), "--limit", HOST, *words[3:], "--extra-vars", json.dumps(given)]
    run = subprocess.run(full, capture_output=True, text=True, check=False, cwd=lab.ROOT, env=plays.environment())
    return plays.Played(run.returncode, run.stdout + run.stderr)


@cache
def asked(playbook: str, *names: str) -> plays.Played:
    """Ask about several databases at once."""
    command = f"ansible-playbook -i inventories/production pgsteward.postgres.{playbook}"
    return typed(command, "", **({"pg_migrate_projects": project(*names)} if names else {}))


def same(title: str, playbook: str) -> None:
    """The command of the document is that playbook, whose answer for all of them is looked at."""
    [command] = PAGE[title].steps[0].commands
    assert command.startswith(f"ansible-playbook -i inventories/production pgsteward.postgres.{playbook} "), command


def about(text: str, database: str) -> str:
    """Return what is said about a database, of what is said about all of them."""
    rest = text[text.rindex(f"'{database}: ") :].split("\n    - 'shop_")
    return rest[0]


def sees(title: str, text: str, database: str = symptoms.DATABASE) -> None:
    assert not symptoms.missing(PAGE[title].seen, text, database), text


def answers(title: str, text: str, database: str = symptoms.DATABASE, step: int = 0) -> None:
    assert PAGE[title].steps[step].answer
    assert not symptoms.missing(PAGE[title].steps[step].answer, text, database), text


def heals(title: str, database: str, step: int = 1, **variables: Any) -> None:
    """Run the remedy of the document, which has to end well."""
    for command in PAGE[title].steps[step].commands:
        ended = typed(command, database, pg_migrate_projects=project(*MIGRATED), **variables)
        assert ended.code == 0, ended.text


@pytest.fixture(scope="module", autouse=True)
def shop() -> Iterator[None]:
    """The project, and the databases as somebody made them."""
    write_project()
    on("mkdir", "-p", PROJECT, user="root")
    on("sh", "-c", f"[ ! -e /opt/pgsteward/systems/venv ] || ln -sfn ../systems/venv {PROJECT}/venv", user="root")
    clear()
    psql(
        "postgres", "CREATE ROLE shop_scratch LOGIN CREATEDB PASSWORD 'shop_scratch'"
    )  # quicker than a private cluster
    for name, (_section, statements) in DATABASES.items():
        psql("postgres", f"CREATE DATABASE {name} OWNER {MIGRATOR}")
        if statements:
            psql(name, f"SET ROLE {MIGRATOR}", *statements)
    yield
    clear()
    on("rm", "-rf", PROJECT, OLD, user="root")
    if on("sh", "-c", f"[ ! -e {CONFIG} ] || echo ours"):
        on("rm", CONFIG)
        on("systemctl", "restart", SERVICE, user="root")


def clear() -> None:
    databases = (f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in DATABASES)
    psql("postgres", *databases, "DROP ROLE IF EXISTS shop_scratch")


# Migrations


def test_the_extension_is_missing() -> None:
    title = 'Type "vector" does not exist'
    same(title, "migrate --check")
    stopped = asked("migrate", "shop_faces")  # brings the project to the host, and stops
    assert stopped.code == 2
    answers(title, stopped.text)
    sees(title, alembic("shop_faces", "upgrade", "head"))


@pytest.mark.parametrize(
    ("title", "database", "words"),
    [
        ("Relation already exists", "shop_legacy", ["upgrade", "head"]),
        ("Target database is not up to date", "shop_keys", ["revision", "--autogenerate", "-m", "more"]),
        ("Can't locate revision", "shop_lost", ["upgrade", "head"]),
    ],
)
def test_the_state_is_asked_for(title: str, database: str, words: list[str]) -> None:
    sees(title, alembic(database, *words))
    same(title, "migration_status")
    told = asked("migration_status", "shop_legacy", "shop_keys", "shop_lost")
    assert told.code == 0, told.text
    answers(title, about(told.text, database), database)


def test_connection_refused() -> None:
    title = "Connection refused"
    on("pg_dump", "-Fc", "-d", "shop_lost", "-f", DUMP)
    on("systemctl", "stop", SERVICE, user="root")
    try:
        sees(title, on("psql", "-h", lab.address(HOST), "-d", "powergym", "-c", "SELECT 1", check=False))
        told = asked("status")
        assert told.code == 2
        answers(title, told.text.replace(f"{HOST}:", "db1:"))
        what_a_guide_would_do_with_a_stopped_server()
        if "pg_stat_statements" not in on(
            "sh", "-c", f"grep -h preload_libraries {Path(CONFIG).parent}/*", check=False
        ):
            on("sh", "-c", f"echo \"shared_preload_libraries = 'pg_stat_statements'\" > {CONFIG}")
        converge()
    finally:
        on("systemctl", "start", SERVICE, user="root")


def converge() -> None:
    """Run site, which is the remedy for a server that is stopped, and for an extension that is not in its database."""
    [command] = PAGE["Connection refused"].steps[1].commands
    assert PAGE['Type "vector" does not exist'].steps[1].commands == (command,)
    faces = {"name": "shop_faces", "pattern": "none", "extensions": [{"name": "vector"}]}
    only = {"pg_access_databases": [faces], "pg_access_roles": [], "pg_access_passwords": {}}
    healed = typed(f"{command} --tags pg_server,pg_access", "", **only)
    assert healed.code == 0, healed.text
    assert psql("shop_faces", "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == "1\n"


def what_a_guide_would_do_with_a_stopped_server() -> None:
    """A dump is restored into a server that is stopped, and recovery.conf written into its data directory."""
    said = on("pg_restore", "-d", "imagemanager", DUMP, check=False)
    on("rm", DUMP)
    assert not symptoms.missing(symptoms.guide("pg_restore").happens[1:2], said), said
    on("touch", f"{DATA}/recovery.conf")
    try:
        assert "failed" in on("systemctl", "start", SERVICE, user="root", check=False)
        log = on("tail", "-n", "20", f"/var/log/postgresql/postgresql-{MAJOR}-main.log", user="root")
        assert not symptoms.missing(symptoms.guide("recovery.conf").happens, log), log
    finally:
        on("rm", f"{DATA}/recovery.conf")
        on("systemctl", "reset-failed", SERVICE, user="root")


def test_orphans_and_losses_stop_a_migration() -> None:
    keys, drops = "Violates foreign key constraint", "Data-loss warning"
    sees(keys, alembic("shop_keys", "upgrade", "head"))
    same(keys, "migrate --check")
    same(drops, "migrate --check --diff")
    stopped = asked("migrate", "shop_keys", "shop_drops")
    assert stopped.code == 2
    answers(keys, stopped.text)
    answers(drops, stopped.text)
    assert psql("shop_keys", "SELECT count(*) FROM orders") == "4\n"


def test_all_of_them_are_healed() -> None:
    quarantine, migrate = PAGE["Violates foreign key constraint"].steps[1].commands
    assert typed(quarantine, "shop_keys").code == 0
    adopt, then = PAGE["Relation already exists"].steps[1].commands
    adopted = typed(adopt, "shop_legacy", pg_migrate_projects=project("shop_legacy"))
    assert adopted.code == 0, adopted.text
    write_revision("lost", "003_lost")
    allowing = PAGE["Data-loss warning"].steps[1].commands[0]
    one = {
        PAGE[title].steps[1].commands[-1] for title in ("Target database is not up to date", "Can't locate revision")
    }
    assert one == {migrate, then} == {allowing.partition(" -e '")[0]}
    # The same command for each of them, so once for all; only in a cluster of its own may an account create the extension vector.
    alone = {"pg_migrate_projects": project(*MIGRATED), "pg_migrate_scratch": {"kind": "instance"}}
    healed = typed(allowing.replace(" -e database=shop", ""), "", **alone)
    assert healed.code == 0, healed.text
    for name in MIGRATED:
        assert psql(name, "SELECT version_num FROM alembic_version").strip() == list(HISTORIES[section_of(name)])[-1]
    assert psql("shop_keys", "SELECT count(*) FROM orders", "SELECT count(*) FROM orders__orphans") == "1\n3\n"


def test_a_revision_without_a_way_back() -> None:
    sees("Rollback fails", alembic("shop_lost", "downgrade", "-1"))


# The server


@contextlib.contextmanager
def session(database: str, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a session of psql on the host open, once it has been told some statements."""
    full = inside("psql", "-XAtq", "-d", database)
    process = subprocess.Popen(full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdin is not None
    try:
        process.stdin.write("".join(f"{statement};\n" for statement in statements))
        process.stdin.flush()
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(LIMIT)


def until(query: str) -> str:
    """Return what a query answers, once it answers something."""
    limit = time.monotonic() + LIMIT
    while not (said := psql("postgres", query).strip()):
        assert time.monotonic() < limit, query
        time.sleep(0.1)
    return said


HOLDER = "SELECT pid FROM pg_stat_activity WHERE datname = 'shop_busy' AND state = 'idle in transaction'"
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = 'shop_busy' AND wait_event_type = 'Lock'"
SLOT = "SELECT {} FROM pg_replication_slots WHERE slot_name = 'old_standby'"
FULL = "/srv/troubleshooting"
OLD = "/srv/old"
BLOCKED = "Blocked: canceling statement due to lock timeout"
SLOW = "SELECT count(*) FROM orders WHERE customer_id = 7"
seen: dict[str, str] = {}


@pytest.fixture(scope="module")
def looked() -> Iterator[str]:
    """What status says while all of it goes wrong at once."""
    often = ["SELECT note FROM orders, pg_sleep(0.003) WHERE id = 7"] * 150
    counted = ["CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()"]
    psql("shop_busy", *counted, *[SLOW] * 6, *often)
    build = "CREATE INDEX CONCURRENTLY orders_note ON orders (note, customer_id, id)"
    try:
        psql(listed(), ORDERS, MANY)
        seen["index"] = psql(listed(), "SET statement_timeout = '20ms'", build, check=False)
        fill_a_disk()
        with cut_off(), session("shop_busy", "BEGIN", "LOCK TABLE orders"):
            holder = until(HOLDER)
            with session("shop_busy", "SELECT count(*) FROM orders"):
                until(WAITING)
                look = "SELECT count(*) FROM orders"
                seen["blocked"] = psql("shop_busy", "SET lock_timeout = '50ms'", look, check=False)
                [command] = PAGE[BLOCKED].steps[0].commands
                said = typed(command, "shop_busy", pg_monitor_thresholds={"statement_mean": 1}).text
                psql("postgres", f"SELECT pg_terminate_backend({holder})")
        yield said.replace(f"{HOST}:", "db1:").replace(f"{HOST} ", "db1 ")
    finally:
        psql(listed(), "DROP TABLE IF EXISTS orders")
        psql("shop_busy", "DROP TABLE IF EXISTS old_results, new_results")
        psql(
            "postgres", "DROP TABLESPACE IF EXISTS troubleshooting", SLOT.format("pg_drop_replication_slot(slot_name)")
        )
        on("umount", FULL, user="root", check=False)


@cache
def listed() -> str:
    """Return a database that the inventory has maintained."""
    return str(next(iter(json.loads(on("cat", "/etc/pgsteward/maintain.json"))["databases"])))


def fill_a_disk() -> None:
    """Give a table a disk of its own that is too small, and somebody's slot WAL to keep."""
    mount = f"mkdir -p {FULL} && mount -t tmpfs -o size=8m,mode=700,uid=$(id -u postgres) tmpfs {FULL}"
    on("sh", "-c", mount, user="root")
    psql("postgres", f"CREATE TABLESPACE troubleshooting LOCATION '{FULL}'")
    psql("postgres", "SELECT pg_create_physical_replication_slot('old_standby', true)")
    psql("shop_busy", "CREATE TABLE old_results (note text) TABLESPACE troubleshooting")
    fill = "INSERT INTO old_results SELECT repeat('x', 1000) FROM generate_series(1, {})"
    seen["full"] = psql("shop_busy", fill.format(5000), fill.format(5000), check=False)
    seen["vacuum"] = psql("shop_busy", "VACUUM FULL old_results", check=False)


@contextlib.contextmanager
def cut_off() -> Iterator[None]:
    """Let nothing come back from the server to the one who asks over the network."""
    _default, _via, controller, *_rest = on("ip", "-4", "route", "show", "default", user="root").split()
    route = ["blackhole", f"{controller}/32"]
    on("ip", "route", "add", *route, user="root")
    try:
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(host=lab.address(HOST), user="powergym_app", dbname="powergym", connect_timeout=2)
        seen["timeout"] = str(caught.value)
        yield
    finally:
        on("ip", "route", "del", *route, user="root")


def test_connection_timed_out(looked: str) -> None:
    title = "Connection timed out"
    sees(title, seen["timeout"])
    answers(title, looked)
    listens, _route = PAGE[title].steps[1].commands
    assert typed(listens, "").text.strip()


def test_slow(looked: str) -> None:
    title = "Slow"
    answers(title, looked)
    [written] = REPORTS.glob("*-status.json")
    statements = json.loads(written.read_text())["servers"][HOST]["health"]["statements"]
    assert [one["calls"] for one in statements["busiest"] if one["query"].startswith("SELECT note FROM orders")] == [
        150
    ]
    [explain] = PAGE[title].steps[1].commands
    answers(title, typed(explain, "shop_busy").text, step=1)
    psql("shop_busy", "CREATE INDEX CONCURRENTLY orders_customer_id ON orders (customer_id)")
    heals(title, "shop_busy", step=2)
    assert "orders_customer_id" in typed(explain, "shop_busy").text


def test_blocked(looked: str) -> None:
    sees(BLOCKED, seen["blocked"])
    answers(BLOCKED, looked, "shop_busy")
    [command] = PAGE[BLOCKED].steps[1].commands
    with session("shop_busy", "BEGIN", "LOCK TABLE orders"):
        assert typed(command.replace("4711", until(HOLDER)), "").text == "t\n"
        assert psql("shop_busy", "SET lock_timeout = '2s'", "SELECT count(*) FROM orders") == "100000\n"


def test_an_index_build_that_was_cut_short(looked: str) -> None:
    title = "Index build: canceling statement due to statement timeout"
    sees(title, seen["index"])
    answers(title, looked, listed())
    heals(title, listed())
    assert psql(listed(), "SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_note'::regclass") == "t\n"


def test_no_space(looked: str) -> None:
    title = "No space left on device"
    sees(title, seen["full"])
    answers(title, looked)
    assert not symptoms.missing(symptoms.guide("VACUUM FULL").happens, seen["vacuum"]), seen["vacuum"]
    heals(title, "shop_busy")
    psql("shop_busy", "CREATE TABLE new_results TABLESPACE troubleshooting AS SELECT repeat('there is room', 1000)")
    assert psql("postgres", SLOT.format("count(*)")) == "0\n"


# SQLite


def test_a_damaged_sqlite_file(tmp_path: Path) -> None:
    title, database = "Database disk image is malformed", "shop_legacy"
    path = tmp_path / f"{database}.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [(n, "x" * 100) for n in range(1000)])
        connection.commit()
    data = bytearray(path.read_bytes())
    data[4096 * 9 : 4096 * 9 + 300] = b"\xaa" * 300
    path.write_bytes(data)
    with contextlib.closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("SELECT sum(length(note)) FROM orders").fetchall()
    sees(title, str(caught.value))
    save, again = PAGE[title].steps[1].commands
    on("sh", "-c", "command -v sqlite3 || { apt-get -q update && apt-get -qy install sqlite3; }", user="root")
    on("mkdir", "-p", OLD, user="root")
    subprocess.run(["docker", "cp", "-q", str(path), f"pgsteward-{HOST}:{OLD}"], check=True)
    on("sh", "-c", symptoms.named(save, database), user="root", check=False)
    [ask] = PAGE[title].steps[0].commands
    answers(title, typed(ask, database, pg_migrate_projects=project(database)).text, database)
    imported = typed(again, database, pg_migrate_projects=project(database))
    assert imported.code == 0, imported.text


# What older guides get wrong


@pytest.mark.parametrize(
    ("word", "query"),
    [
        ("referenced_table_name", "SELECT constraint_name FROM information_schema.key_column_usage WHERE {}"),
        ("mean_time", "SELECT query FROM pg_stat_statements {} DESC"),
    ],
)
@pytest.mark.usefixtures("looked")
def test_columns_that_are_not_there(word: str, query: str) -> None:
    line = symptoms.guide(word)
    said = psql("shop_busy", query.format(line.says[0]), check=False)
    assert not symptoms.missing(line.happens, said), said


def test_a_wildcard_of_several_dumps(tmp_path: Path) -> None:
    line = symptoms.guide("backup_*.sql")
    for day in (1, 2):
        (tmp_path / f"backup_2026010{day}.sql").touch()
    ran = subprocess.run(["bash", "-c", line.says[0]], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert not symptoms.missing(line.happens, ran.stderr), ran.stderr


def test_stamp_base_and_upgrade() -> None:
    line = symptoms.guide("alembic stamp base")
    alembic("shop_legacy", "stamp", "base")
    said = alembic("shop_legacy", "upgrade", "head")
    assert not symptoms.missing(line.happens, said), said
