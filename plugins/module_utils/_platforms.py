"""What the supported distributions differ in: versions of PostgreSQL, packages, paths, services. Data and pure functions.

The one place for it: the roles read it through the filter `platform`. Versions: package indexes of the distributions; paths: the
packages themselves (Debian family: postgresql-common; RHEL family: postgresql-server of AppStream and of PGDG).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DISTRIBUTION, PGDG = "distribution", "pgdg"
PGDG_VERSIONS = (13, 14, 15, 16, 17, 18)


@dataclass(frozen=True)
class Release:
    """One release of a distribution. carried: major version of PostgreSQL -> whether there is a package of pgvector for it."""

    family: str
    suite: str  # codename, or the number of the RHEL release
    carried: Mapping[int, bool]
    version: int  # of `carried`, the one to take when nothing else is said
    proven: bool = False


RELEASES: dict[str, Release] = {
    "Debian 12": Release("Debian", "bookworm", {15: False}, 15, proven=True),
    "Debian 13": Release("Debian", "trixie", {17: True}, 17, proven=True),
    "Debian 14": Release("Debian", "forky", {18: True}, 18, proven=True),
    "Ubuntu 22.04": Release("Debian", "jammy", {14: False}, 14),
    "Ubuntu 24.04": Release("Debian", "noble", {16: True}, 16),
    "Ubuntu 26.04": Release("Debian", "resolute", {18: True}, 18),
    **{
        f"{name} {number}": release
        for name in ("RedHat", "AlmaLinux", "Rocky")
        for number, release in {
            9: Release("RedHat", "9", {13: False, 15: False, 16: True}, 16),
            10: Release("RedHat", "10", {16: True}, 16),
        }.items()
    },
}
_NO_RELEASE = Release("", "", {}, 0)
_DEBIAN_NUMBERS = {release.suite: name for name, release in RELEASES.items() if release.family == "Debian"}


def name_of(facts: Mapping[str, Any]) -> str:
    """Return the key of RELEASES that Ansible's facts name, or what they say when there is none.

    A testing suite of Debian has no number of its own yet; its codename tells which it will get.
    """
    distribution = str(facts.get("distribution", "unknown"))
    if distribution == "Debian" and facts.get("distribution_release") in _DEBIAN_NUMBERS:
        return _DEBIAN_NUMBERS[str(facts["distribution_release"])]
    number = facts.get("distribution_version" if distribution == "Ubuntu" else "distribution_major_version", "")
    return f"{distribution} {number}".strip()


def describe(facts: Mapping[str, Any], repository: str, version: Any, instance: str) -> dict[str, Any]:
    """Return what a role needs to know of a host: name, family, versions, packages, paths, service.

    version: the wanted major version; anything that is no number stands for the release's own. An unknown platform has `known` False
    and empty values, so that the validation of inputs can say so. `pgvector_package` is None where there is none.
    """
    name = name_of(facts)
    release = RELEASES.get(name, _NO_RELEASE)
    own = release.version if repository == DISTRIBUTION else 0
    wanted = int(version) if str(version).isdigit() and int(version) else own
    versions = sorted(release.carried) if repository == DISTRIBUTION else list(PGDG_VERSIONS)
    described = {
        "name": name,
        "known": name in RELEASES,
        "proven": release.proven,
        "family": release.family,
        "suite": release.suite,
        "version": own,
        "versions": versions if name in RELEASES else [],
    }
    has_pgvector = release.carried.get(wanted, False) if repository == DISTRIBUTION else wanted in PGDG_VERSIONS
    layout = _redhat if release.family == "RedHat" else _debian
    described |= layout(release, repository, wanted, instance)
    if not has_pgvector:
        described["pgvector_package"] = None
    return described


def _debian(_release: Release, _repository: str, version: int, instance: str) -> dict[str, Any]:
    """Return the layout of postgresql-common: any number of instances, each with a configuration directory of its own."""
    library = f"/usr/lib/postgresql/{version}"
    return {
        # The modules connect with psycopg; community.crypto makes keys and certificates with cryptography.
        "packages": [f"postgresql-{version}", "logrotate", "python3-psycopg", "python3-cryptography"],
        "pgvector_package": f"postgresql-{version}-pgvector",
        "build_packages": ["gcc", "make", "libc6-dev"],
        # Unpacked for a build and never installed: it would bring a whole compiler suite of its own along.
        "development_package": f"postgresql-server-dev-{version}",
        "migration_packages": ["python3-venv", "python3-psycopg", "python3-packaging", "python3-yaml", "libpq5"],
        "bin_directory": f"{library}/bin",
        "pg_config": f"{library}/bin/pg_config",
        "library": f"{library}/lib/vector.so",
        "config_directory": f"/etc/postgresql/{version}/{instance}",
        "data_directory": f"/var/lib/postgresql/{version}/{instance}",
        "service": f"postgresql@{version}-{instance}",
        "last_words": ["tail", "-n", "20", f"/var/log/postgresql/postgresql-{version}-{instance}.log"],
    }


def _redhat(release: Release, repository: str, version: int, _instance: str) -> dict[str, Any]:
    """Return the layout of AppStream (one version at a time) or of PGDG (one directory per version); one instance of each."""
    common = ["python3-psycopg3", "python3-cryptography", "policycoreutils-python-utils", "logrotate"]
    migration = ["python3-psycopg3", "python3-packaging", "python3-pyyaml", "libpq"]
    if repository == PGDG:
        home, binaries = f"/var/lib/pgsql/{version}/data", f"/usr/pgsql-{version}/bin"
        packages = [f"postgresql{version}-server", f"postgresql{version}-contrib"]
        extension, service, library = f"pgvector_{version}", f"postgresql-{version}", f"/usr/pgsql-{version}/lib"
        development = f"postgresql{version}-devel"
    else:
        home, binaries, service, library = "/var/lib/pgsql/data", "/usr/bin", "postgresql", "/usr/lib64/pgsql"
        # RHEL 9 has streams for what is newer than its own; RHEL 10 has the version in the package's name.
        stream = [f"@postgresql:{version}/server"] if release.suite == "9" and version != 13 else []
        number = version if release.suite == "10" else ""
        packages = [*stream, f"postgresql{number}-server", f"postgresql{number}-contrib"]
        extension, development = "pgvector", f"postgresql{number}-server-devel"
    return {
        "packages": [*packages, *common],
        "pgvector_package": extension,
        "build_packages": ["gcc", "make", "redhat-rpm-config", development],
        "development_package": None,
        "migration_packages": migration,
        "bin_directory": binaries,
        "pg_config": f"{binaries}/pg_config",
        "library": f"{library}/vector.so",
        "config_directory": home,
        "data_directory": home,
        "service": service,
        "last_words": ["journalctl", "--unit", service, "--lines", "20", "--no-pager", "--output", "cat"],
    }


def supported_names() -> list[str]:
    """Return the names of all known releases, in their order."""
    return list(RELEASES)


_URL = re.compile(r"https?://")


def is_url(text: str) -> bool:
    """Return whether an input names something to download rather than a file of the controller."""
    return bool(_URL.match(text))
