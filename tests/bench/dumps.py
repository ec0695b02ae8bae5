"""Seconds of a dump into S3 and of a restore from it, beside what people type: `pg_dump | gzip` with an upload, and `psql <` of plain SQL.

Runs inside a host of the lab, with the server's own tools, so that no network is measured. The S3 store is rclone's, on the same host and with TLS, for
both sides. Each contender runs once, on the same database, in one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".cache" / "collections"))

import s3_server
from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config, _dump_host

ROOT = Path(__file__).resolve().parents[2]
HOME = "/var/lib/postgresql/bench_dumps"
PORT = 9443
DATABASE = "bench_dumps"
PACKAGES = ("python3-psycopg", "python3-boto3", "python3-cryptography", "gzip", "zstd")
TABLES = 4
BYTES_OF_ROW = 190  # of plain SQL, about

# Rows as applications have them: keys, times, words, and a document that is searched.
FILL = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text UNIQUE, created_at timestamptz NOT NULL);
INSERT INTO customers SELECT n, 'customer ' || n, 'c' || n || '@example.org', timestamptz '2025-01-01' + n * interval '1 minute'
FROM generate_series(1, 10000) n;
{tables}
"""
TABLE = """
CREATE TABLE events_{number} (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, kind text NOT NULL, at timestamptz NOT NULL,
  amount numeric(12, 2), payload jsonb, note text);
INSERT INTO events_{number} SELECT n, 1 + n % 10000, (ARRAY['order', 'payment', 'refund', 'visit'])[1 + n % 4],
  timestamptz '2025-01-01' + n * interval '1 second', (n % 100000) / 100.0,
  jsonb_build_object('ip', '10.' || n % 256 || '.' || n % 13 || '.1', 'session', md5(n::text), 'ok', n % 7 <> 0),
  'note of ' || md5((n * 7)::text) || CASE WHEN n % 3 = 0 THEN ' with some more words in it' ELSE '' END
FROM generate_series(1, {rows}) n;
CREATE INDEX events_{number}_customer_idx ON events_{number} (customer_id, at);
CREATE INDEX events_{number}_kind_idx ON events_{number} (kind, at);
CREATE INDEX events_{number}_payload_idx ON events_{number} USING gin (payload jsonb_path_ops);
"""

UPLOAD = """
import boto3, sys
path, endpoint, key, secret, ca = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret, verify=ca, region_name="us-east-1")
client.upload_file(path, "other", "base.sql.gz")
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

    def seconds(self, *command: str) -> float:
        """Return how long a command takes there, after what is waiting for the disk is on it."""
        self.run("sync", user="root")
        self.run("psql", "-qc", "CHECKPOINT")
        started = time.perf_counter()
        self.run(*command)
        return time.perf_counter() - started

    def put(self, files: dict[str, bytes], mode: int = 0o644) -> None:
        """Write files there, by path below HOME."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), mode
                tar.addfile(entry, BytesIO(content))
        full = ["docker", "exec", "-i", "-u", "postgres", self.container, "tar", "-C", HOME, "-xf", "-"]
        subprocess.run(full, input=packed.getvalue(), check=True)


def prepare(host: Host, directory: Path) -> None:
    """Have store, commands and packages there."""
    missing = [
        package
        for package in PACKAGES
        if "ok installed" not in host.run("sh", "-c", f"dpkg-query -W -f='${{Status}}' {package} || true")
    ]
    if missing:
        host.run("apt-get", "-qq", "update", user="root")
        host.run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, user="root")
    host.run("rm", "-rf", HOME)
    host.run("mkdir", "-m", "0700", HOME, f"{HOME}/state", f"{HOME}/s3", f"{HOME}/s3/dumps", f"{HOME}/s3/other")
    utils = ROOT / "plugins" / "module_utils"
    place = _dump_host.MODULE_UTILS.removeprefix(_dump_host.LIBRARY).strip("/")
    host.put({f"python/{place}/{name}": (utils / name).read_bytes() for name in _dump_host.SHIPPED})
    certificate, key = s3_server.certify(directory)
    store = {
        "name": "s3", "bucket": "dumps", "endpoint": f"https://localhost:{PORT}", "access_key": s3_server.ACCESS_KEY,
        "secret_key": s3_server.SECRET_KEY, "ca_cert": f"{HOME}/cert.pem",
    }  # fmt: skip
    inputs = {
        "environment": "bench", "host": "here", "account": "postgres", "socket": "/var/run/postgresql", "port": 5432, "user": "postgres",
        "superuser": "postgres", "directory": f"{HOME}/state", "from": "any", "bin_directory": None, "sqlite": [], "retention": {},
        "databases": [{"name": DATABASE, "globals": False}], "stores": [store],
    }  # fmt: skip
    commands = {path.rsplit("/", 1)[1]: text for path, text in _dump_host.commands().items()}
    host.put(
        {name: text.replace(_dump_host.LIBRARY, f"{HOME}/python").encode() for name, text in commands.items()}, 0o755
    )
    host.put(
        {
            "dumps.json": _dump_config.text_of(inputs).encode(),
            "cert.pem": certificate.read_bytes(),
            "key.pem": key.read_bytes(),
            "upload.py": UPLOAD.encode(),
        },
        0o600,
    )
    host.put({"rclone": Path(str(shutil.which("rclone"))).read_bytes()}, 0o755)
    account = f'RCLONE_AUTH_KEY="{s3_server.ACCESS_KEY},{s3_server.SECRET_KEY}"'
    serve = f"{HOME}/rclone serve s3 --config /dev/null --addr 127.0.0.1:{PORT} --cert {HOME}/cert.pem --key {HOME}/key.pem {HOME}/s3"
    noted = ["sh", "-c", f"echo $$ > {HOME}/rclone.pid; exec {serve}"]
    subprocess.run(["docker", "exec", "-d", "-u", "postgres", "-e", account, host.container, *noted], check=True)


def fill(host: Host, megabytes: int) -> int:
    """Make the database; return its size in bytes."""
    rows = megabytes * 1_000_000 // BYTES_OF_ROW // TABLES
    tables = "".join(TABLE.format(number=number, rows=rows) for number in range(TABLES))
    host.run("psql", "-qc", f"CREATE DATABASE {DATABASE}")
    host.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-f", "-", text=FILL.format(tables=tables))
    host.run("psql", "-qd", DATABASE, "-c", "VACUUM ANALYZE")
    return int(host.run("psql", "-Atc", f"SELECT pg_database_size('{DATABASE}')"))


def clean(host: Host) -> None:
    """Leave nothing."""
    host.run("sh", "-c", f"[ ! -e {HOME}/rclone.pid ] || kill $(cat {HOME}/rclone.pid) || true")
    for name in (DATABASE, f"{DATABASE}_psql", f"{DATABASE}_copy"):
        host.run("psql", "-qc", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    host.run("rm", "-rf", HOME)


def measure(host: Host, megabytes: int) -> None:
    """Measure and print."""
    size = fill(host, megabytes)
    config = ["--config", f"{HOME}/dumps.json"]
    plain, packed = f"{HOME}/base.sql", f"{HOME}/base.sql.gz"
    arguments = [
        packed,
        f"https://localhost:{PORT}",
        s3_server.ACCESS_KEY,
        f"'{s3_server.SECRET_KEY}'",
        f"{HOME}/cert.pem",
    ]
    # Without this boto3 sends checksums as trailers, which this store refuses.
    upload = f"AWS_REQUEST_CHECKSUM_CALCULATION=when_required python3 {HOME}/upload.py {' '.join(arguments)}"
    by_hand = host.seconds("sh", "-c", f"pg_dump {DATABASE} | gzip > {packed} && {upload}")
    ours = host.seconds(f"{HOME}/backup-db", *config)
    host.run("pg_dump", f"--file={plain}", DATABASE)
    text = int(host.run("stat", "-c", "%s", plain))
    state = json.loads(host.run("cat", f"{HOME}/state/dumps.json"))["databases"][DATABASE]["s3"]
    zipped = int(host.run("stat", "-c", "%s", packed))
    print(
        f"dump of {text / 1e9:.2f} GB of SQL ({size / 1e9:.2f} GB database) into S3: pg_dump | gzip + upload {by_hand:.1f} s ({zipped / 1e6:.0f} MB),"
        f" backup-db {ours:.1f} s ({state['bytes'] / 1e6:.0f} MB), {by_hand / ours:.1f} x",
        flush=True,
    )
    host.run("psql", "-qc", f"CREATE DATABASE {DATABASE}_psql")
    by_psql = host.seconds("sh", "-c", f"psql -q -v ON_ERROR_STOP=1 -d {DATABASE}_psql -f {plain} > /dev/null")
    host.run("psql", "-qc", f"DROP DATABASE {DATABASE}_psql")
    restored = host.seconds(f"{HOME}/restore-db", "latest", "--into", f"{DATABASE}_copy", *config)
    print(
        f"restore of it: psql < plain SQL on the same disk {by_psql:.1f} s; restore-db from S3, with verification, counts and ANALYZE {restored:.1f} s,"
        f" {by_psql / restored:.1f} x"
    )


def main() -> None:
    """Prepare, measure, leave nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="db1", help="a host of the lab with PostgreSQL 16 or newer (default db1)")
    parser.add_argument("--megabytes", type=int, default=2200, help="of plain SQL (default 2200)")
    options = parser.parse_args()
    host = Host(options.host)
    clean(host)
    with tempfile.TemporaryDirectory() as directory:
        try:
            prepare(host, Path(directory))
            measure(host, options.megabytes)
        finally:
            clean(host)


if __name__ == "__main__":
    main()
