"""Keys and certificates as text: what is due, what is signed, what is wrong with those of somebody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _certificate_files as files
from ansible_collections.pgsteward.postgres.plugins.module_utils import _certificates as pem
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import verification

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = ["db1.example.org", "10.20.0.11", "fd00::11"]
AUTHORITY_KEY, KEY, OTHER_KEY = pem.new_key(), pem.new_key(), pem.new_key()
AUTHORITY = pem.authority_for(AUTHORITY_KEY, None, "lab certificate authority", 365, NOW)


def public(key: str) -> str:
    return pem.public_text(pem.private_key(key))


def signed(days: int = 365, key: str = KEY, now: datetime = NOW, authority: str = AUTHORITY) -> str:
    return pem.sign(authority, AUTHORITY_KEY, public(key), "db1.example.org", NAMES, days, now)


def trusted(certificate: str, authority: str, name: str, now: datetime) -> bool:
    """Tell whether a strict client that knows `authority` takes `certificate` for `name`."""
    store = verification.Store(pem.certificates(authority))
    verifier = verification.PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(pem.certificates(certificate)[0], [])
    except verification.VerificationError:
        return False
    return True


def test_a_strict_client_takes_the_certificate_for_its_name_only() -> None:
    assert trusted(signed(), AUTHORITY, "db1.example.org", NOW)
    assert not trusted(signed(), AUTHORITY, "db2.example.org", NOW)
    other = pem.authority_for(OTHER_KEY, None, "lab certificate authority", 365, NOW)
    assert not trusted(signed(), other, "db1.example.org", NOW)


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "names", "days", "reason"),
    [
        (signed(), KEY, AUTHORITY, NAMES, 30, None),
        (signed(), KEY, AUTHORITY, ["DB1.example.org", "FD00:0::11"], 30, None),
        (signed(), KEY, AUTHORITY, [], 30, None),
        (signed(31), KEY, AUTHORITY, NAMES, 30, None),
        (signed(30), KEY, AUTHORITY, NAMES, 30, "it ends on 2026-12-20"),
        (None, None, None, NAMES, 30, "there is no certificate yet"),
        ("", KEY, AUTHORITY, NAMES, 30, "there is no certificate yet"),
        ("rubbish", KEY, AUTHORITY, NAMES, 30, "its key or the certificate itself cannot be read"),
        (signed(), None, AUTHORITY, NAMES, 30, "its key or the certificate itself cannot be read"),
        (signed(), "rubbish", AUTHORITY, NAMES, 30, "its key or the certificate itself cannot be read"),
        (signed(), OTHER_KEY, AUTHORITY, NAMES, 30, "it belongs to another key"),
        (signed(), KEY, AUTHORITY, [*NAMES, "db", "10.20.0.9"], 30, "it does not name db, 10.20.0.9"),
        (signed(), KEY, None, NAMES, 30, "it comes from another authority than the one in ca.crt"),
        (signed(), KEY, signed(), NAMES, 30, "it comes from another authority than the one in ca.crt"),
        (signed(3700), KEY, AUTHORITY, NAMES, 30, "its authority ends before it"),
    ],
)
def test_due(
    certificate: str | None, key: str | None, authority: str | None, names: list[str], days: int, reason: str | None
) -> None:
    assert pem.due(certificate, key, authority, names, days, NOW) == reason


def test_the_authority_is_renewed_before_a_certificate_would_outlive_it_and_both_stay_trusted() -> None:
    kept = pem.authority_for(AUTHORITY_KEY, AUTHORITY, "another name", 365, NOW + timedelta(days=3000))
    assert kept == AUTHORITY
    late = NOW + timedelta(days=3400)
    renewed = pem.authority_for(AUTHORITY_KEY, AUTHORITY, "another name", 365, late)
    assert renewed != AUTHORITY
    old, new = pem.certificates(AUTHORITY)[0], pem.certificates(renewed)[0]
    assert (old.subject, pem.public_text(old)) == (new.subject, pem.public_text(new))
    before, after = signed(now=late, authority=AUTHORITY), signed(now=late, authority=renewed)
    for certificate in (before, after):
        for authority in (AUTHORITY, renewed):
            assert trusted(certificate, authority, "db1.example.org", late)
    end_of_old = NOW + timedelta(days=3650)
    assert end_of_old - late == timedelta(days=250)
    assert not trusted(after, AUTHORITY, "db1.example.org", end_of_old + timedelta(days=1))
    assert trusted(after, renewed, "db1.example.org", end_of_old + timedelta(days=1))
    assert pem.due(after, KEY, renewed, NAMES, 30, late) is None


def test_an_authority_of_another_key_is_refused() -> None:
    with pytest.raises(StewardError, match="does not belong to its key"):
        pem.authority_for(OTHER_KEY, AUTHORITY, "", 365, NOW)


def test_a_name_that_cannot_stand_in_a_certificate() -> None:
    with pytest.raises(StewardError, match="write the name in its ASCII form"):
        pem.sign(AUTHORITY, AUTHORITY_KEY, public(KEY), "x" * 80, ["bücher.example"], 365, NOW)


def locked_key() -> str:
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"open")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


GENERATED = {"days": 365, "renew_days": 30}


@pytest.mark.parametrize(
    ("own", "generated", "lines"),
    [
        ({}, GENERATED, []),
        (
            {},
            {"days": 30, "renew_days": 30},
            ["pg_server_tls_renew_days: 30 is not from 0 to 29, and certificates of 30"],
        ),
        ({}, {"days": 0, "renew_days": 0}, ["pg_server_tls_days: 0 is not from 1 to 3650"]),
        ({}, {"days": 4000, "renew_days": 30}, ["pg_server_tls_days: 4000 is not from 1 to 3650"]),
        ({"certificate": signed(), "key": KEY}, GENERATED, []),
        ({"certificate": signed() + AUTHORITY, "key": KEY, "ca": AUTHORITY}, GENERATED, []),
        ({"certificate": signed()}, GENERATED, ["pg_server_tls_key is missing: pg_server_tls_certificate is given"]),
        ({"key": KEY}, GENERATED, ["pg_server_tls_certificate is missing: pg_server_tls_key is given"]),
        ({"ca": AUTHORITY}, GENERATED, ["pg_server_tls_certificate is missing: pg_server_tls_ca is given"]),
        (
            {"certificate": "", "key": ""},
            GENERATED,
            ["pg_server_tls_certificate cannot be read on the controller", "pg_server_tls_key cannot be read"],
        ),
        (
            {"certificate": signed(), "key": OTHER_KEY},
            GENERATED,
            ["pg_server_tls_certificate and pg_server_tls_key do not match: the certificate is for another key"],
        ),
        (
            {"certificate": signed(now=NOW - timedelta(days=400)), "key": KEY},
            GENERATED,
            ["pg_server_tls_certificate has expired: CN=db1.example.org ended on 2026-10-16"],
        ),
        (
            {"certificate": signed(now=NOW + timedelta(days=2)), "key": KEY},
            GENERATED,
            ["pg_server_tls_certificate is not valid yet: CN=db1.example.org begins on 2026-11-22"],
        ),
        ({"certificate": KEY, "key": KEY}, GENERATED, ["pg_server_tls_certificate holds no certificate in PEM form"]),
        (
            {"certificate": signed().replace("MII", "AAA", 1), "key": KEY},
            GENERATED,
            ["pg_server_tls_certificate holds a certificate that cannot be read"],
        ),
        ({"certificate": signed(), "key": signed()}, GENERATED, ["pg_server_tls_key holds no private key in PEM form"]),
        ({"certificate": signed(), "key": locked_key()}, GENERATED, ["pg_server_tls_key is protected by a passphrase"]),
    ],
)
def test_findings(own: dict[str, str], generated: dict[str, int], lines: list[str]) -> None:
    given: dict[str, str | None] = {"certificate": None, "key": None, "ca": None, **own}
    found = pem.findings(given, generated, NOW)
    assert [line[: len(start)] for line, start in zip(found, lines, strict=True)] == lines
    assert not [line for line in found if "PRIVATE KEY" in line]


def test_describe_says_what_matters_and_nothing_for_none() -> None:
    assert pem.describe("") == ""
    assert pem.describe(signed()).splitlines()[:3] == [
        "names: db1.example.org, 10.20.0.11, fd00::11",
        "issuer: CN=lab certificate authority",
        "ends: 2027-11-20 12:00 UTC",
    ]


@pytest.fixture
def anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files belong to whoever runs the test, who is not always root."""
    write = files._owned_file.write
    monkeypatch.setattr(files._owned_file, "write", lambda path, text, *, mode, **_owner: write(path, text, mode=mode))


def request(**changes: Any) -> dict[str, Any]:
    given = {"public_key": public(KEY), "common_name": "db1", "names": ["db1"], "days": 365}
    return {**given, "authority_name": "lab", "trusted": "", **changes}


@pytest.mark.usefixtures("anybody")
def test_issue_makes_the_authority_once(tmp_path: Path) -> None:
    directory = tmp_path / "etc" / "tls"
    first, second = files.issue(directory, request(), "db1"), files.issue(directory, request(), "db1")
    assert first["authority"] == second["authority"] == (directory / "ca.crt").read_text()
    assert first["certificate"] != second["certificate"]
    assert second["replaced_authority_ends"] is None
    assert (directory / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (directory / "ca.crt").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("anybody")
def test_issue_refuses_a_lost_key_and_a_stranger(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match="the authority on db2 is another than the one"):
        files.issue(tmp_path, request(trusted=AUTHORITY), "db2")
    assert not list(tmp_path.iterdir())
    (tmp_path / "ca.crt").write_text(AUTHORITY)
    with pytest.raises(StewardError, match=r"db2 knows an authority by .*ca\.crt and has no .*ca\.key"):
        files.issue(tmp_path, request(), "db2")


@pytest.mark.usefixtures("anybody")
def test_one_authority_gives_way_to_another_and_everybody_is_trusted_all_the_while(tmp_path: Path) -> None:
    key_file, certificate_file = tmp_path / "ca.key", tmp_path / "ca.crt"
    following = pem.authority_for(OTHER_KEY, None, "lab certificate authority 2", 365, NOW)
    old_first, new_first, now = AUTHORITY + following, following + AUTHORITY, datetime.now(UTC)
    before = signed()
    assert pem.due(before, KEY, old_first, NAMES, 30, NOW) is None  # everybody knows both, the old one signs
    assert pem.due(before, KEY, new_first, NAMES, 30, NOW) == "another authority stands first in ca.crt"
    key_file.write_text(AUTHORITY_KEY)
    certificate_file.write_text(new_first)
    with pytest.raises(StewardError, match="the authority's certificate does not belong to its key"):
        files.issue(tmp_path, request(), "db1")
    key_file.write_text(OTHER_KEY)
    result = files.issue(tmp_path, request(trusted=old_first, names=NAMES), "db1")
    assert result["authority"] == new_first
    assert pem.due(result["certificate"], KEY, new_first, NAMES, 30, NOW) is None
    for certificate in (before, result["certificate"]):
        assert trusted(certificate, old_first, "db1.example.org", now)
        assert trusted(certificate, new_first, "db1.example.org", now)
    assert pem.due(result["certificate"], KEY, following, NAMES, 30, NOW) is None  # the old one is gone
    assert pem.due(before, KEY, following, NAMES, 30, NOW) == "it comes from another authority than the one in ca.crt"


def test_an_authority_that_is_renewed_keeps_the_others_of_its_file() -> None:
    following = pem.authority_for(OTHER_KEY, None, "lab certificate authority 2", 365, NOW)
    renewed = pem.certificates(
        pem.authority_for(AUTHORITY_KEY, AUTHORITY + following, "", 365, NOW + timedelta(days=3400))
    )
    assert [pem.public_text(one) for one in renewed] == [public(AUTHORITY_KEY), public(OTHER_KEY)]


@pytest.mark.usefixtures("anybody")
@pytest.mark.parametrize("client", [False, True])
def test_a_certificate_speaks_for_a_client_only_when_asked(tmp_path: Path, client: bool) -> None:
    made = files.issue(tmp_path, request(client=client), "db1")
    purposes = pem.certificates(made["certificate"])[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH in purposes) is client
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH in purposes
