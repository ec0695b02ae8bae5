"""Who gets in and who does not, tried by clients: from this machine, which pg_hba lists, and from client1, which it does not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import lab
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NO_RULE = "no pg_hba.conf entry"


@pytest.mark.parametrize("user", ["powergym_app", "powergym_readonly", "powergym_migrator"])
def test_listed_account_logs_in_with_scram_over_tls(server: str, user: str) -> None:
    with lab.connect(user, "powergym", server, require_auth="scram-sha-256", channel_binding="require") as connection:
        pid = connection.info.backend_pid
        query = "SELECT usename, ssl, s.version IN ('TLSv1.2', 'TLSv1.3') FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE pid ="
        assert lab.psql("postgres", f"{query} {pid}", server) == [[user, "t", "t"]]


@pytest.mark.parametrize(
    ("user", "database", "changes", "words"),
    [
        ("powergym_app", "powergym", {"password": "wrong"}, "password authentication failed"),
        ("powergym_app", "powergym", {"password": ""}, "no password supplied"),
        ("powergym_app", "powergym", {"sslmode": "disable"}, "no encryption"),
        ("powergym_app", "postgres", {}, NO_RULE),
        ("powergym_app", "template1", {}, NO_RULE),
        ("powergym_monitor", "powergym", {}, NO_RULE),
        ("powergym_owner", "powergym", {"password": "x"}, NO_RULE),
        ("postgres", "powergym", {"password": "x"}, NO_RULE),
        ("nobody", "powergym", {"password": "x"}, NO_RULE),
        ("powergym_app", "powergym", {"port": 5433}, "refused"),
    ],
)
def test_refused(server: str, user: str, database: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        lab.connect(user, database, server, **changes)
    assert words in str(caught.value)


def test_unlisted_host_is_refused() -> None:
    conninfo = f"host={lab.address('db1')} dbname=powergym user=powergym_app sslmode=require connect_timeout=10"
    command = ["docker", "exec", "--env", "PGPASSWORD", "pgsteward-client1", "psql", conninfo, "-c", "SELECT 1"]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PGPASSWORD": lab.password("powergym_app"), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    assert answer.returncode == 2
    assert f'{NO_RULE} for host "{lab.address("client1")}"' in answer.stderr


def test_a_client_with_another_authority_refuses_the_server(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another authority")])
    now = x509.load_pem_x509_certificate(lab.authority().read_bytes())
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now.not_valid_before_utc).not_valid_after(now.not_valid_after_utc)
    )
    other = tmp_path / "other.crt"
    other.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        lab.connect("powergym_app", "powergym", sslrootcert=str(other))


@pytest.mark.parametrize(
    ("user", "statement", "refusal"),
    [
        ("powergym_app", "CREATE TABLE mine (id int)", "permission denied for schema public"),
        ("powergym_app", "DROP TABLE clients", "must be owner"),
        ("powergym_app", "SET ROLE powergym_owner", "permission denied to set role"),
        ("powergym_readonly", "DELETE FROM clients", "permission denied for table clients"),
        (
            "powergym_readonly",
            "INSERT INTO plans (name, price, duration_days) VALUES ('x', 1, 1)",
            "permission denied for table plans",
        ),
        ("powergym_migrator", "CREATE ROLE other", "permission denied to create role"),
    ],
)
def test_account_cannot(server: str, user: str, statement: str, refusal: str) -> None:
    with (
        lab.connect(user, "powergym", server) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=refusal),
    ):
        connection.execute(statement)


def test_migrator_works_as_the_owner_and_the_others_reach_what_it_makes(server: str) -> None:
    with lab.connect("powergym_migrator", "powergym", server) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("powergym_owner",)
    owners = lab.psql("powergym", "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", server)
    assert owners == [["powergym_owner"]]
    with lab.connect("powergym_app", "powergym", server) as connection, connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO plans (name, price, duration_days) VALUES ('trial', 1, 1)")
    with lab.connect("powergym_readonly", "powergym", server) as connection:
        connection.execute("SELECT count(*) FROM clients")


def test_every_password_is_a_scram_verifier(server: str) -> None:
    kinds = lab.psql(
        "postgres",
        "SELECT DISTINCT split_part(rolpassword, '$', 1) FROM pg_authid WHERE rolpassword IS NOT NULL",
        server,
    )
    assert kinds == [["SCRAM-SHA-256"]]


def test_no_password_is_in_the_log_of_the_server(server: str) -> None:
    log = lab.run_on(server, "cat", f"/var/log/postgresql/postgresql-{lab.version(server)}-main.log", user="root")
    secrets = [path.read_text().split()[0] for path in (lab.STATE / "secrets").iterdir()]
    assert len(secrets) >= 5
    assert not [secret for secret in secrets if secret in log]
    assert not re.search(
        r"SCRAM-SHA-256\$\d+:", log
    )  # a verifier; the poolers' lookup function names only its beginning
