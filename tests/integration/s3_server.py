"""An S3 store of a test's own: rclone's server on the loopback with TLS, and certificates for it."""

from __future__ import annotations

import datetime
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ACCESS_KEY, SECRET_KEY = "dumpskey", "s3cret/of+the=store"  # with what wants quoting in places
BUCKETS = ("dumps", "other")
LIMIT = 20.0  # seconds


@dataclass(frozen=True)
class Server:
    """A running store. files: what its buckets hold, as directories."""

    endpoint: str
    files: Path
    certificate: Path

    def store(self, **more: Any) -> dict[str, Any]:
        """Return the option `store` for it."""
        return {
            "bucket": "dumps",
            "prefix": "lab",
            "endpoint": self.endpoint,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "ca_cert": str(self.certificate),
            **more,
        }

    def held(self) -> list[str]:
        """Return what the bucket holds."""
        root = self.files / "dumps"
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def certify(directory: Path, days: int = 2) -> tuple[Path, Path]:
    """Make a certificate for localhost and its key; days below 0: one that has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = directory / f"cert{days}.pem", directory / f"key{days}.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


@contextmanager
def serve(directory: Path, days: int = 2, port: int = 0) -> Iterator[Server]:
    """Run a store whose buckets are in directory."""
    program = shutil.which("rclone")
    assert program, "rclone is among the tools of requirements/dev.txt: run tools/setup"
    files = directory / "s3"
    for bucket in BUCKETS:
        (files / bucket).mkdir(parents=True, exist_ok=True)
    certificate, key = certify(directory, days)
    port = port or _free_port()
    command = [
        program,
        "serve",
        "s3",
        "--config",
        "/dev/null",
        "--addr",
        f"127.0.0.1:{port}",
        "--cert",
        str(certificate),
        "--key",
        str(key),
        str(files),
    ]
    with (directory / "s3.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={"RCLONE_AUTH_KEY": f'"{ACCESS_KEY},{SECRET_KEY}"', "HOME": str(directory)},
            stdout=log,
            stderr=log,
        )
    try:
        _await(port, process)
        yield Server(f"https://localhost:{port}", files, certificate)
    finally:
        process.terminate()
        process.wait(LIMIT)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + LIMIT
    context = ssl._create_unverified_context()  # noqa: S323  # only whether it answers
    while True:
        assert process.poll() is None, "the S3 store does not start"
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as plain, context.wrap_socket(plain):
                return
        except OSError:
            assert time.monotonic() < limit, "the S3 store does not answer"
            time.sleep(0.05)
