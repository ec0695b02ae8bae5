"""Rows a second of sqlite_import, beside a plain COPY by psycopg of the same rows, and beside pgloader; and the memory of each.

Runs inside a host of the lab, on the server's socket. The file is that of a face recognition system: a million rows in three tables, with keys and
indexes in the database. Each contender starts with empty tables. The plain COPY checks nothing, and compares nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = "/var/lib/postgresql/bench_imports"
DATABASE = "bench_imports"
PACKAGES = ("python3-psycopg", "python3-psycopg-c", "python3-packaging", "pgloader")
UTILS = "ansible_collections/pgsteward/postgres/plugins/module_utils"

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
CREATE TABLE persons (id serial PRIMARY KEY, name varchar(255) NOT NULL, description text, created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(), is_active boolean NOT NULL DEFAULT true, user_id integer);
CREATE INDEX idx_persons_name ON persons (name);
CREATE TABLE face_embeddings (id serial PRIMARY KEY, person_id integer NOT NULL REFERENCES persons ON DELETE CASCADE, embedding bytea NOT NULL,
    model_name varchar(100) NOT NULL, image_path varchar(500), quality double precision, created_at timestamp NOT NULL DEFAULT now(), landmarks jsonb);
CREATE INDEX idx_face_embeddings_person_id ON face_embeddings (person_id);
CREATE INDEX idx_face_embeddings_landmarks ON face_embeddings USING gin (landmarks);
CREATE TABLE recognition_results (id serial PRIMARY KEY, person_id integer REFERENCES persons ON DELETE SET NULL, confidence double precision NOT NULL,
    recognized_at timestamp NOT NULL DEFAULT now(), source varchar(100), image_path varchar(500));
CREATE INDEX idx_recognition_results_person_id ON recognition_results (person_id);
CREATE INDEX idx_recognition_results_timestamp ON recognition_results (recognized_at);
"""

# Makes the file: persons, two pictures of every tenth, and the rest results.
MAKE = """
import random, sqlite3, struct, sys
path, rows = sys.argv[1], int(sys.argv[2])
draw = random.Random(7)
persons, faces = rows // 20, rows // 100
file = sqlite3.connect(path)
file.executescript('''
CREATE TABLE persons (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, description TEXT, created_at TIMESTAMP, updated_at TIMESTAMP, is_active BOOLEAN,
    user_id INTEGER);
CREATE TABLE face_embeddings (id INTEGER PRIMARY KEY, person_id INTEGER, embedding BLOB, model_name TEXT, image_path TEXT, quality REAL,
    created_at TIMESTAMP, landmarks TEXT);
CREATE TABLE recognition_results (id INTEGER PRIMARY KEY, person_id INTEGER, confidence REAL, recognized_at TIMESTAMP, source TEXT, image_path TEXT);
''')
def at(n):
    return f"2025-{n % 12 + 1:02d}-{n % 28 + 1:02d} {n % 24:02d}:{n % 60:02d}:{n // 7 % 60:02d}.{n * 7919 % 1000000:06d}"
file.executemany("INSERT INTO persons VALUES (?, ?, ?, ?, ?, ?, ?)",
    ((n, f"Person {n}", None if n % 3 else "night shift", at(n), at(n + 1), n % 10 != 9, None) for n in range(1, persons + 1)))
file.executemany("INSERT INTO face_embeddings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    ((n, n % persons + 1, struct.pack("<512f", *(draw.uniform(-1, 1) for _ in range(512))), "arcface-r50", f"faces/{n}.jpg", draw.random(), at(n),
      '{"nose": [%d, %d], "left_eye": [30, 41]}' % (n % 112, n % 97)) for n in range(1, faces + 1)))
file.executemany("INSERT INTO recognition_results VALUES (?, ?, ?, ?, ?, ?)",
    ((n, n % persons + 1 if n % 8 else None, draw.random(), at(n), f"camera {n % 4}", f"camera/{n}.jpg") for n in range(1, rows - persons - faces + 1)))
file.commit()
"""

PLAIN = """
import json, resource, sqlite3, sys, time
import psycopg
begun = time.perf_counter()
file = sqlite3.connect(sys.argv[1])
with psycopg.connect(dbname=sys.argv[2]) as connection, connection.cursor() as cursor:
    for table in ("persons", "face_embeddings", "recognition_results"):
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in file.execute(f"SELECT * FROM {table} ORDER BY id"):
                copy.write_row(row)
print(json.dumps({"seconds": time.perf_counter() - begun, "kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "driver": psycopg.pq.__impl__}))
"""

OURS = """
import json, resource, sys, tempfile, time
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import
begun = time.perf_counter()
params = {name: option.get("default") for name, option in _import.ARGUMENTS.items()}
params |= {"source": sys.argv[1], "login_unix_socket": "/var/run/postgresql", "login_db": sys.argv[2], "login_user": "postgres"}
result = _import.run(params, False, tempfile.mkdtemp())
taken = {"seconds": time.perf_counter() - begun, "kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
print(json.dumps({**taken, "parts": result["seconds"], "tables": {table["source"]: table["seconds"] for table in result["tables"]}}))
"""

PGLOADER = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
command = ["pgloader", "--with", "data only", "--with", "truncate", "--with", "batch rows = 10000", "--cast", "type timestamp to timestamp",
    sys.argv[1], f"postgresql://postgres@unix:/var/run/postgresql:5432/{sys.argv[2]}"]
ran = subprocess.run(command, capture_output=True, text=True)
taken = {"seconds": time.perf_counter() - begun, "kb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}
print(json.dumps({**taken, "code": ran.returncode, "said": (ran.stdout + ran.stderr)[-2000:]}))
"""


class Host:
    """A host of the lab."""

    def __init__(self, name: str) -> None:
        self.container = f"pgsteward-{name}"

    def run(self, *command: str, user: str = "postgres", text: str | None = None) -> str:
        """Return what a command prints there."""
        full = [
            "docker",
            "exec",
            *(["-i"] if text is not None else []),
            "-u",
            user,
            "-w",
            "/",
            self.container,
            *command,
        ]
        ran = subprocess.run(full, input=text, capture_output=True, text=True, check=False)
        if ran.returncode:
            sys.exit(f"{' '.join(command)[:200]} failed on {self.container}: {ran.stdout[-1000:]}{ran.stderr[-1000:]}")
        return ran.stdout

    def put(self, files: dict[str, bytes]) -> None:
        """Write files there, by path below HOME."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, BytesIO(content))
        full = ["docker", "exec", "-i", "-u", "postgres", self.container, "tar", "-C", HOME, "-xf", "-"]
        subprocess.run(full, input=packed.getvalue(), check=True)


def prepare(host: Host, rows: int) -> None:
    """Have packages, programs and the file there."""
    host.run("apt-get", "-qq", "update", user="root")
    host.run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *PACKAGES, user="root")
    host.run("rm", "-rf", HOME)
    host.run("mkdir", "-m", "0700", HOME)
    utils = ROOT / "plugins" / "module_utils"
    host.put(
        {
            **{f"{UTILS}/{path.name}": path.read_bytes() for path in utils.glob("_*.py")},
            **{
                f"{name}.py": text.encode()
                for name, text in {"make": MAKE, "plain": PLAIN, "ours": OURS, "pgloader": PGLOADER}.items()
            },
        }
    )
    host.run("python3", f"{HOME}/make.py", f"{HOME}/faces.db", str(rows))


def contend(host: Host, name: str, rows: int) -> dict[str, object]:
    """Let one contender load the file into empty tables; return its seconds and its memory."""
    host.run("psql", "-qXc", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", "-c", f"CREATE DATABASE {DATABASE}")
    host.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, text=SCHEMA)
    host.run("psql", "-qXc", "CHECKPOINT")
    said = host.run("env", f"PYTHONPATH={HOME}", "python3", f"{HOME}/{name}.py", f"{HOME}/faces.db", DATABASE)
    result: dict[str, object] = json.loads(said)
    counted = "SELECT (SELECT count(*) FROM persons) + (SELECT count(*) FROM face_embeddings) + (SELECT count(*) FROM recognition_results)"
    there = int(host.run("psql", "-XAtc", counted, "-d", DATABASE))
    if there != rows:
        print(f"[bench] {name} loaded {there} of {rows} rows: {result.get('said', '')}")
    return {**result, "rows": there}


def main() -> None:
    """Load it three times by each, and print the best of each, as ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="db1")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["plain", "ours", "pgloader"])
    given = parser.parse_args()
    host = Host(given.host)
    prepare(host, given.rows)
    best: dict[str, dict[str, object]] = {}
    for _round in range(given.rounds):
        for name in given.only:
            found = contend(host, name, given.rows)
            if name not in best or float(str(found["seconds"])) < float(str(best[name]["seconds"])):
                best[name] = found
    for name, found in best.items():
        seconds = float(str(found["seconds"]))
        rest = {key: value for key, value in found.items() if key not in ("seconds", "kb", "said")}
        print(
            f"[bench] {name}: {seconds:.1f} s, {given.rows / seconds:,.0f} rows/s, {int(str(found['kb'])) // 1024} MB {rest}"
        )
    if "ours" in best:
        ours = float(str(best["ours"]["seconds"]))
        for other, wanted in (("plain", 0.9), ("pgloader", 2.0)):
            if other in best:
                ratio = float(str(best[other]["seconds"])) / ours
                print(f"[bench] sqlite_import has {ratio:.2f} times the rows/s of {other} (wanted: {wanted})")
    host.run("psql", "-qXc", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    host.run("rm", "-rf", HOME)


if __name__ == "__main__":
    main()
