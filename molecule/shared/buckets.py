"""What the tests do to the S3 store themselves: by boto3 with one key or another, past everything that is under test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import backups
import cluster
import lab
import yaml
from botocore.exceptions import ClientError

BACKUPS, DUMPS, LOCKED, OTHER = "backups", "dumps", "locked", "other"
TLS = "/etc/pgsteward-store/tls"
SERVICE = "s3-store"
AUTHORITY = lab.STATE / f"ca-{backups.STORE}.crt"


@cache
def reached() -> dict[str, Any]:
    """Return where the hosts find the store: endpoint, port, ca."""
    given = yaml.safe_load((lab.INVENTORY.parent / "group_vars" / "all" / "pgbackrest.yml").read_text())
    return dict(given["s3_store"])


def endpoint() -> str:
    """Return where the controller finds it: it does not know the names of the hosts."""
    return f"https://{lab.hosts('pgbackrest')[backups.STORE]['ansible_host']}:{reached()['port']}"


def client(key: str, secret: str) -> Any:
    """Return a client of boto3, which calls the store by its address."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint(),
        verify=str(AUTHORITY),
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
    )


@cache
def own() -> Any:
    """Return a client with the backup's own key, which is what whoever breaks into a database host finds."""
    return client(lab.password("s3_key"), lab.password("s3_key_secret"))


@cache
def administrator_keys() -> dict[str, str]:
    """Return the keys of the store's administrator (Ceph)."""
    [keys] = json.loads(cluster.on(backups.STORE, "cat", "/etc/ceph/account.json"))["keys"]
    return dict(keys)


@cache
def administrator() -> Any:
    """Return a client with the administrator's key."""
    return client(administrator_keys()["access_key"], administrator_keys()["secret_key"])


def refusal(action: Callable[..., Any], **options: Any) -> str:
    """Return the code that a store refuses something with, nothing where it does it."""
    try:
        action(**options)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def versions(bucket: str, prefix: str = "") -> list[dict[str, str]]:
    """Return what a bucket holds, below marks of deletion as well."""
    pages = own().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    return [{"Key": one["Key"], "VersionId": one["VersionId"]} for page in pages for one in page.get("Versions", ())]


def files(bucket: str, prefix: str = "") -> list[str]:
    """Return the files that a bucket shows."""
    pages = own().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def uploads(bucket: str, prefix: str = "") -> list[dict[str, Any]]:
    """Return the uploads that have begun and not ended, with the numbers of the parts that are there."""
    try:
        begun = own().list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
    except own().exceptions.NoSuchUpload:  # how the small store says that nobody has begun any since its start
        return []
    return [
        {
            "key": one["Key"],
            "id": one["UploadId"],
            "parts": [
                part["PartNumber"]
                for part in own().list_parts(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"]).get("Parts", ())
            ],
        }
        for one in begun
    ]


def clear(bucket: str, prefix: str) -> None:
    """Remove files below a prefix, and uploads that nobody ends."""
    for key in files(bucket, prefix):
        own().delete_object(Bucket=bucket, Key=key)
    for one in uploads(bucket, prefix):
        own().abort_multipart_upload(Bucket=bucket, Key=one["key"], UploadId=one["id"])


# A certificate of the store's own authority for its own names, which has expired.
EXPIRE = f"""
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
load = lambda name: open("{TLS}/" + name, "rb").read()
authority = serialization.load_pem_private_key(load("ca.key"), None)
issuer, own = x509.load_pem_x509_certificate(load("ca.crt")), x509.load_pem_x509_certificate(load("store.crt"))
now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
made = x509.CertificateBuilder(issuer.subject, own.subject, own.public_key(), x509.random_serial_number(), now - 9 * day, now - day)
for extension in own.extensions:
    made = made.add_extension(extension.value, extension.critical)
open("{TLS}/store.crt", "wb").write(made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
"""


@contextmanager
def expired() -> Iterator[None]:
    """Have the certificate of the store expired for a while."""
    cluster.on(backups.STORE, "cp", "-p", f"{TLS}/store.crt", f"{TLS}/store.good")
    try:
        cluster.on(backups.STORE, "python3", "-c", EXPIRE)
        cluster.on(backups.STORE, "systemctl", "restart", SERVICE)
        yield
    finally:
        cluster.on(backups.STORE, "mv", f"{TLS}/store.good", f"{TLS}/store.crt")
        cluster.on(backups.STORE, "systemctl", "restart", SERVICE)
        cluster.until(lambda: files(BACKUPS) is not None, 30, "the store answers")
