"""The host and the server on it, asked by testinfra and psql."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import lab
import pytest
from cryptography import x509
from testinfra.host import Host


def version_on(host: Host) -> int:
    """Return the major version of PostgreSQL that a host of testinfra is to have."""
    return lab.version(host.backend.get_hostname().removeprefix("pgsteward-"))


@pytest.mark.parametrize("name", ["postgresql-{version}", "python3-psycopg"])
def test_package(host: Host, name: str) -> None:
    assert host.package(name.format(version=version_on(host))).is_installed


def test_one_instance_runs_and_starts_at_boot(host: Host) -> None:
    version = version_on(host)
    assert host.service(f"postgresql@{version}-main").is_running
    assert host.service(f"postgresql@{version}-main").is_enabled
    assert host.check_output("pg_lsclusters -h | awk '{print $1, $2, $3, $4}'") == f"{version} main 5432 online"


@pytest.mark.parametrize("socket", ["tcp://0.0.0.0:5432", "unix:///var/run/postgresql/.s.PGSQL.5432"])
def test_listens(host: Host, socket: str) -> None:
    assert host.socket(socket).is_listening


@pytest.mark.parametrize(
    ("path", "user", "mode"),
    [
        ("/etc/pgsteward/tls/server.key", "postgres", 0o600),
        ("/etc/pgsteward/tls/ca.key", "root", 0o600),
        ("/etc/pgsteward/tls/server.crt", "root", 0o644),
        ("/etc/pgsteward/tls/ca.crt", "root", 0o644),
        ("/etc/postgresql/{version}/main/conf.d/50-pgsteward.conf", "postgres", 0o640),
        ("/etc/postgresql/{version}/main/pg_hba.conf", "postgres", 0o640),
    ],
)
def test_file(host: Host, path: str, user: str, mode: int) -> None:
    file = host.file(path.format(version=version_on(host)))
    assert (file.user, file.mode) == (user, mode)


def test_vector_extension_is_installed(server: str) -> None:
    query = """
      SELECT e.extversion = a.default_version FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
      WHERE e.extname = 'vector'
    """
    assert lab.psql("powergym", query, server) == [["t"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_checksums", "on"),
        ("password_encryption", "scram-sha-256"),
        ("ssl", "on"),
        ("ssl_min_protocol_version", "TLSv1.2"),
        ("server_encoding", "UTF8"),
        ("cluster_name", "lab"),
        ("listen_addresses", "*"),
        ("shared_buffers", "256MB"),  # from the inventory
        ("maintenance_work_mem", "256MB"),
        ("random_page_cost", "1.1"),
        ("log_min_duration_statement", "1s"),
        ("log_line_prefix", "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h"),
    ],
)
def test_setting_in_force(server: str, name: str, value: str) -> None:
    assert lab.psql("postgres", f"SELECT trim(current_setting('{name}'))", server) == [[value]]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM pg_settings WHERE pending_restart",
        "SELECT name FROM pg_file_settings WHERE error IS NOT NULL OR NOT applied AND sourcefile LIKE '%pgsteward%'",
        "SELECT line_number FROM pg_hba_file_rules WHERE error IS NOT NULL",
    ],
)
def test_nothing_waits_and_no_line_is_in_error(server: str, query: str) -> None:
    assert lab.psql("postgres", query, server) == []


def test_certificate_names_the_host_and_its_addresses(server: str) -> None:
    certificate = x509.load_pem_x509_certificate(lab.run_on(server, "cat", "/etc/pgsteward/tls/server.crt").encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {server, "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", lab.address(server)} <= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=300) < left <= timedelta(days=366)
