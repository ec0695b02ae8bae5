"""What people and time do to a server, and what the next run makes of it: edits by hand, a bad setting, an old certificate, a wrong key."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lab
import plays
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER = "db1"
CONFIG = f"/etc/postgresql/{lab.version(SERVER)}/main"
SETTINGS, HBA, TLS = f"{CONFIG}/conf.d/50-pgsteward.conf", f"{CONFIG}/pg_hba.conf", "/etc/pgsteward/tls"
ONLY = ("--tags", "pg_server,pg_hba")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def read(path: str) -> str:
    return lab.run_on(SERVER, "cat", path, user="root")


def write(path: str, text: str) -> None:
    """Put text into a file that is there; its owner and mode stay."""
    command = ["docker", "exec", "-i", f"pgsteward-{SERVER}", "tee", path]
    subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)


def value(query: str) -> str:
    return lab.psql("postgres", query, SERVER)[0][0]


def served() -> x509.Certificate:
    """Return the certificate that the server shows to a new client."""
    context = ssl.create_default_context(cafile=str(lab.authority(SERVER)))
    with socket.create_connection((lab.address(SERVER), 5432), timeout=10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname=SERVER) as secured:
            return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")


def aged(days: int) -> str:
    """Return the server's certificate as it would be `days` days before its end."""
    now = datetime.now(UTC).replace(microsecond=0)
    old = x509.load_pem_x509_certificate(read(f"{TLS}/server.crt").encode())
    signer = serialization.load_pem_private_key(read(f"{TLS}/ca.key").encode(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    builder = builder.not_valid_before(now - timedelta(days=345)).not_valid_after(now + timedelta(days=days))
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_edits_by_hand_are_put_back_and_reported() -> None:
    settings, hba = read(SETTINGS), read(HBA)
    write(SETTINGS, settings.replace("log_statement = ddl", "log_statement = none"))
    write(HBA, hba + "host all all 0.0.0.0/0 trust\n")
    lab.run_on(SERVER, "psql", "-XAtqc", "SELECT pg_reload_conf()")
    run = plays.converge("--diff", *ONLY, host=SERVER)
    assert (read(SETTINGS), read(HBA)) == (settings, hba)
    assert run.changed == 2
    for line in ("-log_statement = none", "+log_statement = ddl", "-host all all 0.0.0.0/0 trust"):
        assert line in run.text
    assert value("SHOW log_statement") == "ddl"
    assert value("SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'") == "0"


def test_a_bad_setting_leaves_file_and_server_as_they_were() -> None:
    settings, loaded = read(SETTINGS), value("SELECT pg_conf_load_time()")
    run = plays.play(plays.SITE, *ONLY, host=SERVER, variables={"pg_server_settings": {"deadlock_timeout": "soon"}})
    assert run.code != 0
    assert (
        'PostgreSQL refuses the settings, nothing was changed: invalid value for parameter "deadlock_timeout"'
        in " ".join(run.text.split())
    )
    assert read(SETTINGS) == settings
    assert value("SELECT pg_conf_load_time()") == loaded


def test_an_old_certificate_is_renewed_under_an_open_connection() -> None:
    authority = read(f"{TLS}/ca.crt")
    write(f"{TLS}/server.crt", aged(days=20))
    lab.run_on(SERVER, "psql", "-XAtqc", "SELECT pg_reload_conf()")
    started = value("SELECT pg_postmaster_start_time()")
    with lab.connect("powergym_app", "powergym", SERVER) as connection:
        before = served()
        assert before.not_valid_after_utc - datetime.now(UTC) < timedelta(days=21)
        run = plays.converge("--diff", *ONLY, host=SERVER)
        assert "a new certificate, because it ends on" in run.text
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
    after = served()
    assert after.not_valid_after_utc - datetime.now(UTC) > timedelta(days=360)
    assert after.public_key() == before.public_key()
    assert read(f"{TLS}/ca.crt") == authority
    assert value("SELECT pg_postmaster_start_time()") == started
    assert plays.converge(*ONLY, host=SERVER).changed == 0


def test_a_key_of_another_certificate_is_refused_before_anything_changes(tmp_path: Path) -> None:
    now, keys = datetime.now(UTC), [ec.generate_private_key(ec.SECP256R1()) for _each in range(2)]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db1")])
    builder = x509.CertificateBuilder(name, name, keys[0].public_key(), 1, now, now + timedelta(days=90))
    certificate, key = tmp_path / "db1.crt", tmp_path / "db1.key"
    certificate.write_bytes(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(keys[1].private_bytes(serialization.Encoding.PEM, form, plain))
    files = lab.run_on(SERVER, "ls", TLS, user="root")
    given = {"pg_server_tls_certificate": str(certificate), "pg_server_tls_key": str(key)}
    run = plays.play(plays.SITE, *ONLY, "-vv", host=SERVER, variables=given)
    assert run.code != 0
    assert run.changed == 0
    line = "pg_server_tls_certificate and pg_server_tls_key do not match: the certificate is for another key"
    assert f"{SERVER}: {line}" in " ".join(run.text.split())
    assert "PRIVATE KEY" not in run.text
    assert key.read_text().splitlines()[1] not in run.text
    assert lab.run_on(SERVER, "ls", TLS, user="root") == files
