# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Repositories of pgBackRest: which host does what, and the configuration of each host as a text. Pure.

The place of a repository in the list is its number everywhere. Backups of a repository are taken by one host only: those of a
repository host by that one; those in S3 by the first repository host, or by the primary where there is none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest_versions as versions

LOCAL, HOST, S3 = "local", "host", "s3"
TYPES = (LOCAL, HOST, S3)
BACKUPS = ("full", "diff", "incr")
CONFIG = "/etc/pgbackrest.conf"
DEFAULT_PATH = {LOCAL: "/var/lib/pgbackrest", HOST: "/var/lib/pgbackrest", S3: "/pgbackrest"}
DEFAULT_REGION = "us-east-1"
DEFAULT_FULL = 2  # full backups that are kept where nothing is said
# A server that stops tries its last segment three times. Pushing goes on in the background, however short this is.
PUSH_SECONDS = "20"
IO_SECONDS = 10
SECRETS = ("key", "key_secret", "cipher_pass")
MASK = "********"

Repository = Mapping[str, Any]
Sections = dict[str, dict[str, str]]

_SECRET_LINE = re.compile(r"^(repo\d+-(?:cipher-pass|s3-key|s3-key-secret)=).*$", re.MULTILINE)
_HEADER = "# Managed by pgsteward.postgres: the role pgbackrest writes this file whole.\n"


def kind(repository: Repository) -> str:
    """Return the type of a repository."""
    return str(repository.get("type") or LOCAL)


def hosts(repositories: Sequence[Repository]) -> list[str]:
    """Return the repository hosts in the order of the list."""
    return list(dict.fromkeys(str(one["host"]) for one in repositories if kind(one) == HOST))


def taken_by(repositories: Sequence[Repository], repository_host: str | None) -> list[int]:
    """Return the numbers of the repositories whose backups a repository host takes; None: those that the primary takes itself."""
    first, *_rest = [*hosts(repositories), None]
    numbers = []
    for number, one in enumerate(repositories, 1):
        taker = {LOCAL: None, HOST: one.get("host"), S3: first}[kind(one)]
        if taker == repository_host:
            numbers.append(number)
    return numbers


def takers(repositories: Sequence[Repository]) -> list[dict[str, Any]]:
    """Return who takes backups: `host` (None: the primary) and the numbers of its `repositories`."""
    listed = [{"host": host, "repositories": taken_by(repositories, host)} for host in (None, *hosts(repositories))]
    return [one for one in listed if one["repositories"]]


def plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host has to have; given: the inputs of the role by their names without the prefix, and more.

    `servers` (list of name, address, data_directory, port), `addresses` (host -> how others reach it), `here` (this host's name),
    `repository_host` (whether it is one, rather than a server), `tls` (paths certificate, key, authority), `socket_directory`.
    Returns `sections` without their `secrets`, `names` (address -> name, for versions that verify no addresses), `repositories` that are
    configured here, `takes` (those whose backups this host takes), `reaches` (whether it connects to other hosts), `serves` (whether they
    connect to it), `asks` (features that a version may lack, with the input that asks).
    """
    repositories, here = given["repositories"], given["here"]
    servers = [one for one in given["servers"] if one["name"] != here]
    if given["repository_host"]:
        takes = taken_by(repositories, here)
        configured, peers, clients = takes, servers, [one["name"] for one in servers]
    else:
        takes = taken_by(repositories, None)
        configured = list(range(1, len(repositories) + 1))
        # A standby is read by the primary where the primary takes the backups.
        peers = servers if takes and given["from_standby"] else []
        clients = hosts(repositories) + [one["name"] for one in peers]
    sections: Sections = {"global": _global(given)}
    if not given["repository_host"]:
        sections["global:archive-push"] = {"archive-timeout": PUSH_SECONDS}
    secrets: dict[str, str] = {}
    for number in configured:
        one = repositories[number - 1]
        sections["global"].update(_repository(number, one, given))
        if number in takes:
            sections["global"].update(_retention(number, one))
        if number in takes or kind(one) == S3:
            secrets.update(_secrets(number, one))
    if clients:
        sections["global"].update(_server(given, clients))
    sections["global"].update({name: _text(value) for name, value in given["settings"].items() if value is not None})
    sections[given["stanza"]] = _servers(given, peers)
    addresses = {str(given["addresses"].get(host, host)): host for host in hosts(repositories)}
    addresses |= {str(one["address"]): one["name"] for one in given["servers"]}
    return {
        "sections": sections,
        "secrets": secrets,
        "names": {address: name for address, name in addresses.items() if is_address(address)},
        "repositories": configured,
        "takes": takes,
        "reaches": bool(peers) or (not given["repository_host"] and bool(hosts(repositories))),
        "serves": bool(clients),
        "asks": [list(pair) for pair in [*asks(repositories, configured), *_nameless(peers)]],
    }


def _global(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        "archive-async": "y",
        "archive-push-queue-max": str(given["queue_max"]),
        # WAL goes to all repositories in one go. One that does not answer is given up after twenty times io-timeout (seen with 2.55), and until
        # then the others wait. A backup of theirs must wait for the go that is on its way and for the next one, which takes its WAL along.
        "archive-timeout": _archive_timeout(given["settings"].get("io-timeout", IO_SECONDS)),
        "io-timeout": str(IO_SECONDS),
        "compress-type": "zst",
        "lock-path": "/var/spool/pgbackrest/lock",  # not below /tmp, where anybody could have made it before
        "log-level-file": "info",
        "log-level-stderr": "off",
        "process-max": str(given["processes"]),
        "spool-path": "/var/spool/pgbackrest",
        "start-fast": "y",
    }


def _archive_timeout(io_timeout: Any) -> str:
    """Return the seconds that a backup waits for its WAL: three goes, at most a day, which is all that pgBackRest takes."""
    try:
        seconds = float(io_timeout)
    except (TypeError, ValueError):  # a word of the operator's, who has archive-timeout as well
        seconds = IO_SECONDS
    return f"{min(60 * seconds, 86400):.0f}"


def _repository(number: int, one: Repository, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of one repository that are no secrets and say nothing of how long backups are kept."""
    here = given["repository_host"]
    path = str(one.get("path") or DEFAULT_PATH[kind(one)])
    if kind(one) == HOST and not here:
        host = str(given["addresses"].get(one["host"], one["host"]))
        lines = {"host": host, "host-port": str(one.get("port") or given["port"]), **_client(given)}
    elif kind(one) == S3:
        endpoint, port = place_of(str(one["endpoint"]), one.get("port"))
        lines = {
            "type": "s3",
            "path": path,
            "s3-bucket": str(one["bucket"]),
            "s3-endpoint": endpoint,
            "s3-region": str(one.get("region") or DEFAULT_REGION),
            "s3-uri-style": str(one.get("uri_style") or "host"),
        }
        lines |= {"storage-port": str(port)} if port else {}
        lines |= {"storage-ca-file": ca_file(number, one)} if one.get("ca") else {}
    else:
        lines = {"path": path}
    if (kind(one) != HOST or here) and one.get("cipher_pass"):
        lines["cipher-type"] = "aes-256-cbc"
    return {f"repo{number}-{name}": value for name, value in lines.items()}


def _retention(number: int, one: Repository) -> dict[str, str]:
    """Return what only the host that takes the backups of a repository has to know."""
    by_time = one.get("retention_full_type") == "time"
    lines = {
        "retention-full": one.get("retention_full") or (None if by_time else DEFAULT_FULL),
        "retention-full-type": one.get("retention_full_type"),
        "retention-diff": one.get("retention_diff"),
        "retention-archive": one.get("retention_archive"),
        "bundle": "y" if one.get("bundle", True) else None,
        "block": "y" if one.get("block") else None,
    }
    return {f"repo{number}-{name}": str(value) for name, value in lines.items() if value is not None}


def _secrets(number: int, one: Repository) -> dict[str, str]:
    named = {"cipher-pass": one.get("cipher_pass")}
    if kind(one) == S3:
        named |= {"s3-key": one.get("key"), "s3-key-secret": one.get("key_secret")}
    return {f"repo{number}-{name}": str(value) for name, value in named.items() if value}


def _client(given: Mapping[str, Any]) -> dict[str, str]:
    files = given["tls"]
    return {
        "host-type": "tls",
        "host-ca-file": files["authority"],
        "host-cert-file": files["certificate"],
        "host-key-file": files["key"],
    }


def _server(given: Mapping[str, Any], clients: Sequence[str]) -> dict[str, str]:
    files = given["tls"]
    return {
        "tls-server-address": "*",
        "tls-server-port": str(given["port"]),
        "tls-server-ca-file": files["authority"],
        "tls-server-cert-file": files["certificate"],
        "tls-server-key-file": files["key"],
        # Several lines of one name: one for each client, by the common name of its certificate.
        "tls-server-auth": "\n".join(f"{client}={given['stanza']}" for client in clients),
    }


def _servers(given: Mapping[str, Any], peers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the section of the stanza: on a server itself and then its siblings, on a repository host all servers."""
    own = [] if given["repository_host"] else [one for one in given["servers"] if one["name"] == given["here"]]
    lines: dict[str, str] = {}
    for index, one in enumerate([*own, *peers], 1):
        lines[f"pg{index}-path"] = str(one["data_directory"])
        lines[f"pg{index}-port"] = str(one["port"])
        lines[f"pg{index}-socket-path"] = given["socket_directory"]
        lines[f"pg{index}-user"] = given["user"]
        if one["name"] != given["here"]:
            lines[f"pg{index}-host"] = str(one["address"])
            lines[f"pg{index}-host-port"] = str(given["port"])
            lines |= {f"pg{index}-{name}": value for name, value in _client(given).items()}
    return lines


def asks(repositories: Sequence[Repository], numbers: Sequence[int]) -> list[tuple[str, str]]:
    """Return the features that a version may lack, each with the input that asks for it."""
    found = []
    for number in numbers:
        one, where = repositories[number - 1], f"pgbackrest_repositories[{number - 1}]"
        if one.get("block"):
            found.append(("block", where))
        if kind(one) == S3 and str(one.get("endpoint")).startswith("http://"):
            found.append(("http", where))
        if kind(one) == HOST and is_address(str(one.get("host"))):
            found.append(("addresses", where))
    return found


def _nameless(peers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    both = [one["name"] for one in peers if is_address(str(one["name"])) and is_address(str(one["address"]))]
    return [("addresses", f"the server {name}") for name in both]


def place_of(endpoint: str, port: Any = None) -> tuple[str, Any]:
    """Return the endpoint and the port of a store that is given as name, name:port or address of the web; TLS unless it says http."""
    text = re.sub(r"^https://", "", endpoint).rstrip("/")
    found = re.fullmatch(r"((?:http://)?[^:/]+):([0-9]+)", text)
    return (found[1], port or found[2]) if found else (text, port)


def ca_file(number: int, one: Repository) -> str:
    """Return the path on the hosts of the authority of a store: the one that is given, or where its text goes."""
    given = str(one["ca"])
    return f"/etc/pgsteward/tls/repository-{number}.crt" if "-----BEGIN" in given else given


def authorities(repositories: Sequence[Repository], numbers: Sequence[int]) -> dict[str, str]:
    """Return the authorities of stores that are given as text, by the path that they go to."""
    listed = [(number, repositories[number - 1]) for number in numbers]
    return {
        ca_file(number, one): str(one["ca"]).strip() + "\n"
        for number, one in listed
        if "-----BEGIN" in str(one.get("ca"))
    }


def is_address(text: str) -> bool:
    """Tell whether a text is an address rather than a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def render(
    sections: Mapping[str, Mapping[str, str]], secrets: Mapping[str, str], names: Mapping[str, str], version: str
) -> str:
    """Return the configuration for a version. names: what to call an address where the version verifies names only."""
    renamed = {} if versions.has(version, "addresses") else names
    parts = []
    for section, settings in sections.items():
        lines = {**settings, **(secrets if section == "global" else {})}
        text = [
            f"{name}={renamed.get(line, line) if name.endswith('-host') else line}"
            for name in sorted(lines, key=_order)
            for line in lines[name].split("\n")
        ]
        parts.append("\n".join([f"[{section}]", *text]) + "\n")
    return _HEADER + "\n" + "\n".join(parts)


def _order(name: str) -> list[tuple[int, Any]]:
    """Order names as a person does: pg2 comes before pg10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def masked(text: str) -> str:
    """Return a configuration without its secrets."""
    return _SECRET_LINE.sub(rf"\g<1>{MASK}", text)


def named_hosts(sections: Mapping[str, Mapping[str, str]], names: Mapping[str, str], version: str) -> list[str]:
    """Return the names that this host has to resolve because the version verifies no addresses."""
    if versions.has(version, "addresses"):
        return []
    used = {value for settings in sections.values() for name, value in settings.items() if name.endswith("-host")}
    return sorted(name for address, name in names.items() if address in used)


def _text(value: Any) -> str:
    return {True: "y", False: "n"}.get(value, str(value)) if isinstance(value, bool) else str(value)
