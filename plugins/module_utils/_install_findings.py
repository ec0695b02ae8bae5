"""What is wrong with the inputs that decide what is installed and made, and what stands in the way on the host. Pure but for reading
files of the controller that inputs name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _openpgp, _pgvector
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._platforms import (
    DISTRIBUTION,
    PGDG,
    PGDG_VERSIONS,
    describe,
    is_url,
    supported_names,
)


def input_findings(facts: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong; inputs are those of pg_server without the prefix."""
    if "distribution" not in facts:
        return ["pg_server needs the facts distribution and network: gather_facts is off"]
    repository = str(inputs["repository"])
    platform = describe(facts, repository, inputs["version"], str(inputs["instance"]))
    if not platform["known"]:
        return [f"{platform['name']} is not supported by pg_server; supported are: {', '.join(supported_names())}"]
    findings = _version_findings(platform, repository, inputs["version"])
    if repository == PGDG:
        findings += _pgdg_findings(inputs)
    return findings + _pgvector_findings(platform, inputs) + _instance_input_findings(platform, inputs)


def _version_findings(platform: Mapping[str, Any], repository: str, version: Any) -> list[str]:
    if str(version).isdigit() and int(version) in platform["versions"]:
        return []
    if repository == DISTRIBUTION:
        carried = ", ".join(str(number) for number in platform["versions"])
        return [
            (
                f"pg_server_version: {version} is not available on {platform['name']}; it carries {carried};"
                f" with pg_server_repository: pgdg there are {PGDG_VERSIONS[0]} to {PGDG_VERSIONS[-1]}"
            )
        ]
    if not version:
        return [
            "pg_server_version: name the version, by pg_version, when pg_server_repository is pgdg, which carries several"
        ]
    return [f"pg_server_version: {version} is not in PGDG; it carries {PGDG_VERSIONS[0]} to {PGDG_VERSIONS[-1]}"]


def _pgdg_findings(inputs: Mapping[str, Any]) -> list[str]:
    findings = []
    if not is_url(str(inputs["pgdg_mirror"])):
        findings.append(
            "pg_server_pgdg_mirror: give the address of the PGDG archive, or of a mirror of it, when pg_server_repository is pgdg;"
            " the README of pg_server says where to find it"
        )
    wanted = plain_fingerprint(inputs["pgdg_key_fingerprint"])
    if not re.fullmatch(r"[0-9A-F]{40}", wanted):
        findings.append(
            "pg_server_pgdg_key_fingerprint: give the 40 hexadecimal digits of the archive key's fingerprint"
        )
    elif not inputs["pgdg_key"]:
        findings.append(
            "pg_server_pgdg_key: give the archive key, as a file on the controller or an address to fetch it from"
        )
    elif not is_url(str(inputs["pgdg_key"])):
        path = Path(str(inputs["pgdg_key"]))
        if not path.is_file():
            findings.append(f"pg_server_pgdg_key: {path} is no file on the controller")
        else:
            findings += key_findings(path.read_text(errors="replace"), wanted)
    return findings


def plain_fingerprint(text: Any) -> str:
    """Return a fingerprint without blanks, in upper case."""
    return re.sub(r"\s", "", str(text or "")).upper()


def key_findings(text: str, fingerprint: Any) -> list[str]:
    """Return what is wrong with an armored key: exactly the one with this fingerprint must be in it."""
    try:
        found = _openpgp.fingerprints(text)
    except StewardError as error:
        return [f"pg_server_pgdg_key: {error}"]
    if found != [plain_fingerprint(fingerprint)]:
        return [
            f"pg_server_pgdg_key: it has the fingerprint {' and '.join(found)}, not {plain_fingerprint(fingerprint)}"
        ]
    return []


def _pgvector_findings(platform: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    if inputs["pgvector"] == "package" and not platform["pgvector_package"] and platform["versions"]:
        return [
            (
                f"pg_server_pgvector: {platform['name']} has no package of pgvector for PostgreSQL {inputs['version']}; build it (source, with"
                " pg_server_pgvector_archive, _checksum and _version), take the packages from PGDG, or do without (none)"
            )
        ]
    if inputs["pgvector"] != "source":
        return []
    for name in ("archive", "checksum", "version"):
        if not inputs[f"pgvector_{name}"]:
            return [f"pg_server_pgvector_{name}: it is needed when pg_server_pgvector is source"]
    if not re.fullmatch(r"[0-9a-fA-F]{64}", str(inputs["pgvector_checksum"])):
        return ["pg_server_pgvector_checksum: give the 64 hexadecimal digits of the archive's SHA-256"]
    archive = str(inputs["pgvector_archive"])
    if is_url(archive):
        return []
    wrong = _pgvector.archive_findings(Path(archive), str(inputs["pgvector_checksum"]), str(inputs["pgvector_version"]))
    return [f"pg_server_pgvector_archive: {line}" for line in wrong]


BUILTIN_LOCALES = {"C": 17, "C.UTF-8": 17, "PG_UNICODE_FAST": 18}
_PROVIDERS = {"libc": 0, "icu": 15, "builtin": 17}


def _instance_input_findings(platform: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    findings = []
    version, provider, locale = inputs["version"], str(inputs["locale_provider"]), inputs["provider_locale"]
    known = int(version) if str(version).isdigit() else 0
    if known < _PROVIDERS.get(provider, 0):
        findings.append(
            f"pg_server_locale_provider: PostgreSQL {version} does not know {provider}; it came with {_PROVIDERS[provider]}"
        )
    elif provider == "libc" and locale:
        findings.append("pg_server_provider_locale: the provider libc takes its locale from pg_server_locale")
    elif provider == "icu" and not locale:
        findings.append(
            "pg_server_provider_locale: it is needed when pg_server_locale_provider is icu; und is the root locale"
        )
    elif provider == "builtin" and known < BUILTIN_LOCALES.get(str(locale or "C.UTF-8"), 1000):
        findings.append(f"pg_server_provider_locale: PostgreSQL {version} has no builtin locale {locale}")
    if platform["family"] == "RedHat" and inputs["instance"] != "main":
        findings.append("pg_server_instance: the packages of the RHEL family serve one instance; leave it at main")
    data, wal = PurePosixPath(str(inputs["data_directory"])), inputs["wal_directory"]
    if not data.is_absolute():
        findings.append(f"pg_server_data_directory: {data} is no absolute path")
    if wal and (not PurePosixPath(str(wal)).is_absolute() or PurePosixPath(str(wal)).is_relative_to(data)):
        findings.append(f"pg_server_wal_directory: {wal} must be an absolute path outside the data directory")
    return findings


def instance_findings(look: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return why the wanted instance cannot be what is on the host; nothing when it is there already or can be made.

    look: the result of pg_installation_info. wanted: version, instance, config_directory, data_directory, wal_directory, locale, encoding.
    """
    version, data, wal = str(wanted["version"]), str(wanted["data_directory"]), wanted["wal_directory"]
    config = f"{wanted['config_directory']}/postgresql.conf"
    upgrade = "bringing it to {} is an upgrade, which pg_server does not do: upgrade it by its own tools first, or name the version {}"
    there = look["data"]
    if there["state"] == "instance" and there["version"] != version:
        return [
            f"{data} holds an instance of PostgreSQL {there['version']}; {upgrade.format(version, there['version'])}"
        ]
    for other in look["instances"]:
        mine = other["name"] == str(wanted["instance"]) and other["version"] == version
        if other["name"] == str(wanted["instance"]) and not mine and not look["configuration"]:
            return [
                (
                    f"the instance {other['name']} of PostgreSQL {other['version']} is here already, in {other['data_directory']};"
                    f" {upgrade.format(version, other['version'])}; a second instance wants another pg_server_instance"
                )
            ]
        if not mine and other["data_directory"] == data:
            return [f"pg_server_data_directory: {data} belongs to the instance {other['version']}/{other['name']}"]
        if mine and other["data_directory"] not in (None, data):
            return [
                (
                    f"pg_server_data_directory: the instance keeps its data in {other['data_directory']}, not in {data}; moving data is not"
                    " this role's work"
                )
            ]
    if look["configuration"]:
        if there["state"] != "instance":
            return [
                f"{data}/PG_VERSION is missing while {config} exists; restore the one or move the other aside, then run again"
            ]
        if wal and there["wal_directory"] != str(wal):
            return [
                (
                    f"pg_server_wal_directory: the instance keeps its WAL in {there['wal_directory'] or data + '/pg_wal'}, not in {wal};"
                    " moving it is not this role's work"
                )
            ]
        return []
    if there["state"] == "instance":
        return [
            f"{config} is missing while {data}/PG_VERSION exists; restore the one or move the other aside, then run again"
        ]
    return _making_findings(look, wanted)


def _making_findings(look: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return why an instance that is not there cannot be made."""
    findings = []
    if look["data"]["state"] == "other":
        findings.append(
            f"pg_server_data_directory: {wanted['data_directory']} holds other data ({', '.join(look['data']['entries'])});"
            " nothing is built over it"
        )
    if look["wal_entries"]:
        findings.append(
            f"pg_server_wal_directory: {wanted['wal_directory']} holds other data ({', '.join(look['wal_entries'])}); nothing is built over it"
        )
    locale, charmap = wanted["locale"], look["charmap"]
    if charmap is None:
        has = ", ".join(look["locales"])
        findings.append(f"pg_server_locale: this host has no locale {locale}; make it there, or take one of: {has}")
    elif locale not in ("C", "POSIX") and _plain(charmap) != _plain(wanted["encoding"]):
        findings.append(
            f"pg_server_encoding: {wanted['encoding']} does not go with the locale {locale}, which is in {charmap}"
        )
    return findings


_SAME = {"latin1": "iso88591", "latin2": "iso88592", "latin9": "iso885915", "win1252": "cp1252", "win1251": "cp1251"}


def _plain(encoding: Any) -> str:
    text = re.sub(r"[^a-z0-9]", "", str(encoding).lower())
    return _SAME.get(text, text)
