# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and certificates as PEM text: what is wrong with them, whether one is due, and new ones. Pure, for cryptography 38 and later.

The generated authority keeps its key when its certificate is renewed, so that certificates from before and after are
trusted under the old and the new one alike. Where several authorities are trusted, as while one gives way to another, the first
one of ca.crt is the one that signs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

UTC = timezone.utc  # noqa: UP017 - hosts with Python 3.9 have no datetime.UTC
AUTHORITY_LIFE = timedelta(days=3650)
BACKDATED = timedelta(hours=1)  # clocks of hosts differ
MISSING = "there is no certificate yet"

_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NAME_LIMIT = 64  # characters of a common name (RFC 5280, ub-common-name)


def certificates(text: str | None) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, in order; raises StewardError when one cannot be read."""
    try:
        return [x509.load_pem_x509_certificate(part.encode()) for part in _PEM_CERTIFICATE.findall(text or "")]
    except ValueError:
        raise StewardError("holds a certificate that cannot be read") from None


def private_key(text: str | None) -> Any:
    """Return the private key of a PEM text; raises StewardError, which never quotes it, when there is none."""
    try:
        return serialization.load_pem_private_key((text or "").encode(), password=None)
    except TypeError:
        raise StewardError("is protected by a passphrase, which nobody can type when a server starts") from None
    except (ValueError, UnsupportedAlgorithm):
        raise StewardError("holds no private key in PEM form") from None


def starts(certificate: x509.Certificate) -> datetime:
    """Return from when on the certificate is valid."""
    if hasattr(certificate, "not_valid_before_utc"):  # cryptography 42
        return certificate.not_valid_before_utc
    return certificate.not_valid_before.replace(tzinfo=UTC)


def ends(certificate: x509.Certificate) -> datetime:
    """Return until when the certificate is valid."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def public_text(key: Any) -> str:
    """Return the public key of a private key or a certificate as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return text.decode()


def names(certificate: x509.Certificate) -> list[str]:
    """Return the host names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]


def describe(text: str | None) -> str:
    """Return the first certificate of a PEM text in words, one thing a line; an empty text for none."""
    found = certificates(text)
    if not found:
        return ""
    lines = (
        f"names: {', '.join(names(found[0]))}",
        f"issuer: {found[0].issuer.rfc4514_string()}",
        f"ends: {ends(found[0]):%Y-%m-%d %H:%M} UTC",
        f"fingerprint: {found[0].fingerprint(hashes.SHA256()).hex()}",
    )
    return "\n".join(lines) + "\n"


def due(
    certificate: str | None, key: str | None, authority: str | None, wanted: Iterable[str], days: int, now: datetime
) -> str | None:
    """Return why the server's generated certificate has to be made anew, None when it serves for more than `days` days."""
    if not certificate:
        return MISSING
    try:
        own, authorities = certificates(certificate)[0], certificates(authority)
        fits = public_text(private_key(key)) == public_text(own)
    except (StewardError, IndexError):
        return "its key or the certificate itself cannot be read"
    if not fits:
        return "it belongs to another key"
    named = [name.lower() for name in names(own)]
    lacking = [name for name in wanted if _canonical(name) not in named]
    if lacking:
        return f"it does not name {', '.join(lacking)}"
    if ends(own) - now <= timedelta(days=days):
        return f"it ends on {ends(own):%Y-%m-%d}"
    issuers = [one for one in authorities if issued(own, one)]
    if not issuers:
        return "it comes from another authority than the one in ca.crt"
    if public_text(authorities[0]) not in map(public_text, issuers):
        return "another authority stands first in ca.crt"
    if max(ends(one) for one in issuers) < ends(own):
        return "its authority ends before it"
    return None


def issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tell whether the generated authority signed the certificate."""
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or certificate.issuer != authority.subject:
        return False
    algorithm = certificate.signature_hash_algorithm or hashes.SHA256()
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def new_key() -> str:
    """Return a new private key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def authority_for(key: str, certificate: str | None, name: str, days: int, now: datetime) -> str:
    """Return the authority's certificate, made anew with the same key and name when it would end before one of `days` days.

    Clients that hold the old one have those `days` to take the new one. Other authorities below it in the text stay there.
    """
    found, signer = certificates(certificate), private_key(key)
    if found and public_text(found[0]) != public_text(signer):
        raise StewardError("the authority's certificate does not belong to its key")
    life = timedelta(days=days)
    if found and ends(found[0]) >= now + life:
        return certificate or ""
    subject = found[0].subject if found else _name(name)
    builder = _builder(subject, subject, signer.public_key(), now, now + max(AUTHORITY_LIFE, 2 * life))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    others = [one for one in found if public_text(one) != public_text(signer)]
    return _signed(builder, signer) + "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in others)


def sign(
    authority: str,
    key: str,
    public_key: str,
    common_name: str,
    alternatives: Sequence[str],
    days: int,
    now: datetime,
    *,
    client: bool = False,
) -> str:
    """Return a server's certificate of `days` days for its `public_key` (PEM) and the names and addresses `alternatives`.

    client: it serves towards other servers as well, which know the one who connects by it.
    """
    issuer, signer = certificates(authority)[0], private_key(key)
    subject = serialization.load_pem_public_key(public_key.encode())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH] + ([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])
    builder = _builder(_name(common_name), issuer.subject, subject, now, now + timedelta(days=days))
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName([_alternative(name) for name in alternatives]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return _signed(builder, signer)


def findings(own: dict[str, str | None], generated: dict[str, int], now: datetime) -> list[str]:
    """Return one line for each thing that is wrong with the TLS inputs; none holds a secret.

    own: the texts `certificate`, `key` and `ca`, None where the input is not given and empty where nothing could be read.
    generated: `days` and `renew_days` of generated certificates.
    """
    given = {part: text for part, text in own.items() if text is not None}
    if not given:
        days, before = generated["days"], generated["renew_days"]
        if not 1 <= days <= AUTHORITY_LIFE.days:
            return [f"pg_server_tls_days: {days} is not from 1 to {AUTHORITY_LIFE.days}"]
        if not 0 <= before < days:
            problem = f"is not from 0 to {days - 1}, and certificates of {days} days would be renewed on every run"
            return [f"pg_server_tls_renew_days: {before} {problem}"]
        return []
    for part in ("certificate", "key"):
        if part not in given:
            return [
                f"pg_server_tls_{part} is missing: pg_server_tls_{next(iter(given))} is given, and one needs the other"
            ]
    unread = [
        f"pg_server_tls_{part} cannot be read on the controller, or is empty" for part in given if not given[part]
    ]
    return unread or _content_findings(given, now)


def _content_findings(given: Mapping[str, str], now: datetime) -> list[str]:
    lines, first, key = [], None, None
    for part, text in given.items():
        try:
            if part == "key":
                key = private_key(text)
            elif not certificates(text):
                raise StewardError("holds no certificate in PEM form")
        except StewardError as error:
            lines.append(f"pg_server_tls_{part} {error}")
            continue
        for certificate in certificates(text) if part != "key" else []:
            whose = f"{certificate.subject.rfc4514_string() or 'the certificate'}"
            if ends(certificate) <= now:
                lines.append(f"pg_server_tls_{part} has expired: {whose} ended on {ends(certificate):%Y-%m-%d}")
            elif starts(certificate) > now:
                lines.append(f"pg_server_tls_{part} is not valid yet: {whose} begins on {starts(certificate):%Y-%m-%d}")
        if part == "certificate":
            first = certificates(text)[0]
    if first and key and public_text(first) != public_text(key):
        lines.insert(
            0, "pg_server_tls_certificate and pg_server_tls_key do not match: the certificate is for another key"
        )
    return lines


def _builder(subject: Any, issuer: Any, key: Any, now: datetime, end: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - BACKDATED).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _signed(builder: x509.CertificateBuilder, signer: Any) -> str:
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_NAME_LIMIT])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise StewardError(f"{name!r} cannot stand in a certificate: write the name in its ASCII form") from None


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _usage(*allowed: str) -> x509.KeyUsage:
    known = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    return x509.KeyUsage(
        **{usage: usage in allowed for usage in known.split()}, encipher_only=False, decipher_only=False
    )
