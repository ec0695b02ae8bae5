"""The end of `make demo`: sample data, a vector search through the application's account, and what runs where."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "molecule" / "shared"))

import lab
from samples import powergym

CLIENTS = 10_000
FACE = 4_242  # whose picture is searched for


ABOUT = """
SELECT c.first_name || ' ' || c.last_name, current_setting('server_version'), e.extversion, a.version_num, s.version, s.cipher
FROM clients c, alembic_version a, pg_catalog.pg_extension e, pg_catalog.pg_stat_ssl s
WHERE c.id = %s AND e.extname = 'vector' AND s.pid = pg_catalog.pg_backend_pid()
"""


def main() -> None:
    """Fill, search, tell."""
    vectors = lab.fill_powergym(CLIENTS)
    with lab.connect("powergym_app", "powergym") as connection:
        started = time.perf_counter()
        answer = connection.execute(powergym.SEARCH_COSINE, {"q": powergym.probe(FACE)}).fetchone()
        milliseconds = (time.perf_counter() - started) * 1000
        if answer is None or str(answer[0]) != powergym.client_id(FACE):
            sys.exit(f"the vector search did not find client {powergym.client_id(FACE)}: it answered {answer}")
        ((name, version, pgvector, revision, protocol, cipher),) = connection.execute(ABOUT, [answer[0]]).fetchall()
    host = lab.address("db1")
    print(f"""
What runs where
  db1      {host}   PostgreSQL {version}, pgvector {pgvector}, database powergym at revision {revision}
  client1  {lab.address("client1")}   a host that pg_hba does not list: it is refused

Log in
  PGPASSWORD=$(cat .cache/lab/secrets/powergym_app) psql "host={host} dbname=powergym user=powergym_app sslmode=verify-full sslrootcert=.cache/lab/ca.crt"
  docker exec -it pgsteward-db1 runuser -u postgres -- psql powergym
  ssh -i .cache/lab/id_ed25519 root@{host}

A vector search, as powergym_app over {protocol} ({cipher}), among {vectors} faces of 512 dimensions
  {powergym.SEARCH_COSINE.replace("%(q)s", "q")}
  -> client {answer[0]} ({name}), similarity {answer[1]:.3f}, {milliseconds:.1f} ms

Again: make demo      Down: make lab-down""")


if __name__ == "__main__":
    main()
