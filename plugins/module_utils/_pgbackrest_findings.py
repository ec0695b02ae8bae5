# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the inputs of the role pgbackrest. Pure.

No line holds a secret. What only pgBackRest knows, such as the name of an option, it is asked itself before its file goes live.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _pgbackrest as config

KEYS: Mapping[str, tuple[str, ...]] = {
    config.LOCAL: (),
    config.HOST: ("host", "port"),
    config.S3: ("bucket", "endpoint", "region", "key", "key_secret", "uri_style", "port", "ca"),
}
COMMON = (
    "type",
    "path",
    "cipher_pass",
    "retention_full",
    "retention_full_type",
    "retention_diff",
    "retention_archive",
    "offsite",
    "bundle",
    "block",
)
ALL_KEYS = tuple(dict.fromkeys([*COMMON, *(key for keys in KEYS.values() for key in keys)]))
NEEDED = {config.LOCAL: (), config.HOST: ("host",), config.S3: ("bucket", "endpoint", "key", "key_secret")}
RETENTIONS = ("retention_full", "retention_diff", "retention_archive")
RULES = ("none", "3-2-1")
SHORTEST_PASS = 16  # characters of a pass phrase
# Lines that follow from the inputs; pgbackrest_settings holds the rest.
OWNED = (
    "stanza",
    "archive-async",
    "archive-push-queue-max",
    "process-max",
    "spool-path",
    "lock-path",
    "config",
    "repo",
    "pg",
)
OWNED_PATTERN = re.compile(r"(repo|pg)[0-9]+-|tls-server-")
SERVER_SETTINGS = ("archive_mode", "archive_command", "archive_library", "restore_command", "archive_timeout")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SIZE = re.compile(r"[1-9][0-9]*(B|[KMGT]i?B)")


def findings(given: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong; given: the inputs by their names without the prefix, and what plan() takes.

    `server_settings`: what pg_server_settings says. Wrong types are the specification's matter and pass over here.
    """
    repositories = given.get("repositories")
    found = [*_plain(given), *_schedule(given.get("schedule")), *_settings(given)]
    if not isinstance(repositories, list) or not all(isinstance(one, Mapping) for one in repositories):
        return found
    if not repositories:
        found.append("pgbackrest_repositories: name at least one repository")
    own = [line for index, one in enumerate(repositories) for line in _repository(index, one)]
    if own or not repositories:
        return found + own
    return [*found, *_together(repositories, given), *_rule(repositories, str(given.get("copies_rule") or "none"))]


def _plain(given: Mapping[str, Any]) -> Iterator[str]:
    if not _NAME.fullmatch(str(given.get("stanza"))):
        yield f"pgbackrest_stanza: {given.get('stanza')!r} cannot be the name of a stanza: use letters, digits, dots, dashes and _"
    if not _ACCOUNT.fullmatch(str(given.get("user"))):
        yield f"pgbackrest_user: {given.get('user')!r} cannot be the name of this account: use small letters, digits and _"
    if given.get("user") == given.get("superuser"):
        yield "pgbackrest_user: it must not be the superuser: backups need an account that can write nothing"
    if not _SIZE.fullmatch(str(given.get("queue_max"))):
        yield f"pgbackrest_queue_max: {given.get('queue_max')} is no size; write one such as 10GiB"
    if not re.fullmatch(r"[1-9][0-9]*(s|min)?|0", str(given.get("archive_timeout"))):
        yield f"pgbackrest_archive_timeout: {given.get('archive_timeout')} is no time; write one such as 60s, or 0 for none"
    if not re.fullmatch(r"[0-9]+\s?(s|sec|min|h)?", str(given.get("random_delay"))):
        yield f"pgbackrest_random_delay: {given.get('random_delay')} is no time; write one such as 15min, or 0 for none"
    if given.get("backup_type") not in (*config.BACKUPS, None):
        yield f"pgbackrest_backup_type: {given['backup_type']} is none of {', '.join(config.BACKUPS)}"
    for name, most in (("processes", 999), ("port", 65535)):
        if not 1 <= _integer(given.get(name)) <= most:
            yield f"pgbackrest_{name}: {given.get(name)} is not from 1 to {most}"


def _schedule(schedule: Any) -> Iterator[str]:
    if not isinstance(schedule, Mapping):
        return
    for name, when in schedule.items():
        if name not in config.BACKUPS:
            yield f"pgbackrest_schedule: unknown key {name}{_guess(str(name), config.BACKUPS)}; the keys are {', '.join(config.BACKUPS)}"
        elif when is not None and (not isinstance(when, str) or not when.strip() or not when.isprintable()):
            yield f"pgbackrest_schedule: {name} has to be a time of systemd in one line, such as Sun 01:30, or null"
    if not schedule.get("full"):
        yield "pgbackrest_schedule: full is missing: without full backups the others depend on one for ever, and nothing is ever removed"


def _settings(given: Mapping[str, Any]) -> Iterator[str]:
    settings = given.get("settings")
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        if name in OWNED or OWNED_PATTERN.match(str(name)):
            yield f"pgbackrest_settings: {name} is the role's own; use the input that decides it, or take it away"
        elif isinstance(value, (list, dict)) or not str(value).isprintable():
            yield f"pgbackrest_settings: the value of {name} has to be one line of text"
    elsewhere = {str(name).lower() for name in given.get("server_settings") or ()}
    for name in SERVER_SETTINGS:
        if name in elsewhere:
            yield f"pg_server_settings: {name} is decided by the role pgbackrest; take it away there"


def _repository(index: int, one: Mapping[str, Any]) -> Iterator[str]:
    where, kind = f"pgbackrest_repositories[{index}]", config.kind(one)
    if kind not in config.TYPES:
        yield f"{where}: type {kind} is none of {', '.join(config.TYPES)}"
        return
    allowed = COMMON + KEYS[kind]
    for key in one:
        if key not in ALL_KEYS:
            yield f"{where}: unknown key {key}{_guess(str(key), allowed)}"
        elif key not in allowed:
            yield f"{where}: {key} means nothing with type {kind}; take it away"
    for key in NEEDED[kind]:
        if not one.get(key):
            yield f"{where}: {key} is {'empty: put it into the vault' if key in config.SECRETS else 'missing'}"
    yield from _words(where, one)
    yield from _numbers(where, one)
    if "cipher_pass" in one and one["cipher_pass"] is not None and len(str(one["cipher_pass"])) < SHORTEST_PASS:
        short = "empty" if not one["cipher_pass"] else f"shorter than {SHORTEST_PASS} characters"
        yield f"{where}: cipher_pass is {short}: put a long random one into the vault, and keep a copy elsewhere"
    if kind == config.S3:
        yield from _store(where, one)


def _words(where: str, one: Mapping[str, Any]) -> Iterator[str]:
    for key, value in one.items():
        text = str(value)
        if key != "ca" and value is not None and (not text.isprintable() or text != text.strip()):
            yield f"{where}: {key} has several lines or blanks around it; write it in one line"
    path = str(one.get("path") or "/default")
    if not path.startswith("/") or ".." in path.split("/"):
        yield f"{where}: path {path} has to be absolute"
    elif path.rstrip("/") == "" and config.kind(one) != config.S3:
        yield f"{where}: path / is the whole machine; name a directory of its own"
    if one.get("host") and not re.fullmatch(r"[0-9A-Za-z_.:-]+", str(one["host"])):
        yield f"{where}: host {one['host']} is no name of a host"
    for key in ("offsite", "bundle", "block"):
        if key in one and not isinstance(one[key], bool):
            yield f"{where}: {key} has to be true or false"
    if one.get("block") is True and one.get("bundle") is False:
        yield f"{where}: block works with bundle only; leave bundle out"


def _numbers(where: str, one: Mapping[str, Any]) -> Iterator[str]:
    for key in RETENTIONS:
        if one.get(key) is not None and _integer(one[key]) < 1:
            yield f"{where}: {key}: {one[key]} would remove everything; give at least 1, or leave it out"
    if one.get("retention_full_type") not in (None, "count", "time"):
        yield f"{where}: retention_full_type {one['retention_full_type']} is none of count, time (days)"
    if one.get("retention_full_type") == "time" and one.get("retention_full") is None:
        yield f"{where}: retention_full is missing: how many days, with retention_full_type: time"
    if "port" in one and not 1 <= _integer(one["port"]) <= 65535:
        yield f"{where}: port {one['port']} is not from 1 to 65535"


def _store(where: str, one: Mapping[str, Any]) -> Iterator[str]:
    if one.get("uri_style") not in (None, "host", "path"):
        yield f"{where}: uri_style {one['uri_style']} is none of host, path"
    endpoint, _port = config.place_of(str(one.get("endpoint") or "s3"), one.get("port"))
    if not re.fullmatch(r"(http://)?[0-9A-Za-z.-]+", endpoint):
        yield f"{where}: endpoint {one['endpoint']} is no name of a store, such as s3.example.org or s3.example.org:9000"
    ca = one.get("ca")
    if ca and "-----BEGIN" not in str(ca) and not str(ca).startswith("/"):
        yield f"{where}: ca has to be the text of a certificate, or its path on the hosts"


def _together(repositories: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> Iterator[str]:
    kinds = {config.kind(one) for one in repositories}
    if {config.LOCAL, config.HOST} <= kinds:
        yield (
            "pgbackrest_repositories: a repository of type local and one of type host cannot be served together, because pgBackRest takes the"
            " backups of each where it lies: give the first one to the repository host as well, with a path of its own"
        )
    places: dict[tuple[str, ...], int] = {}
    for number, one in enumerate(repositories, 1):
        place = _place(one)
        if place in places:
            yield f"pgbackrest_repositories[{number - 1}]: it is the same place as repository {places[place]}: a copy is worth something elsewhere"
        places.setdefault(place, number)
    if not given.get("servers"):
        yield "pgbackrest_servers: no server is known: the role pg_topology comes first, and repository hosts are told by the playbook site"
    known, servers = given.get("addresses") or {}, {one["name"] for one in given.get("servers") or ()}
    if given.get("repository_host") and given["here"] not in config.hosts(repositories):
        yield f"pgbackrest_repositories: none of type host is on {given['here']}: name it there, or take it out of the repository hosts"
    for host in config.hosts(repositories):
        if host in servers:
            yield f"pgbackrest_repositories: host {host} is a server of the cluster: its repository would be lost with it"
        elif known and host not in known:
            yield f"pgbackrest_repositories: host {host} is no repository host of this inventory{_guess(host, list(known))}"
    data = [str(one["data_directory"]) for one in given.get("servers") or ()]
    for number, one in enumerate(repositories, 1):
        path = str(one.get("path") or config.DEFAULT_PATH[config.kind(one)])
        if config.kind(one) == config.LOCAL and any(f"{path}/".startswith(f"{directory}/") for directory in data):
            yield f"pgbackrest_repositories[{number - 1}]: path {path} lies in the data directory, which it is to save"


def _place(one: Mapping[str, Any]) -> tuple[str, ...]:
    kind = config.kind(one)
    path = str(one.get("path") or config.DEFAULT_PATH[kind]).rstrip("/")
    if kind == config.S3:
        endpoint, port = config.place_of(str(one["endpoint"]), one.get("port"))
        return (kind, endpoint, str(port or 443), str(one["bucket"]), path)
    return (kind, str(one.get("host") or ""), path)


def _rule(repositories: Sequence[Mapping[str, Any]], rule: str) -> Iterator[str]:
    """Yield what the rule lacks: three copies, the live data among them, in two kinds of place, one of them elsewhere."""
    if rule not in RULES:
        yield f"pgbackrest_copies_rule: {rule} is none of {', '.join(RULES)}"
    if rule != "3-2-1":
        return
    if len(repositories) < 2:
        yield "pgbackrest_copies_rule: 3-2-1 wants three copies, the live data among them: name a second repository"
    if {config.kind(one) for one in repositories} <= {config.LOCAL}:
        yield "pgbackrest_copies_rule: 3-2-1 wants two kinds of place, and all copies are on disks of the servers: add type host or s3"
    if not any(one.get("offsite") is True for one in repositories):
        yield "pgbackrest_copies_rule: 3-2-1 wants a copy elsewhere: mark the repository that is in another building with offsite: true"


def advice(given: Mapping[str, Any]) -> list[str]:
    """Return what is allowed and had better be otherwise, one line each."""
    found = []
    for index, one in enumerate(given["repositories"]):
        elsewhere = config.kind(one) == config.S3 or one.get("offsite")
        if elsewhere and not one.get("cipher_pass"):
            found.append(
                f"pgbackrest_repositories[{index}]: what lies elsewhere is not encrypted: give it a cipher_pass before its first backup"
            )
    if given.get("copies_rule") == "none" and len(given["repositories"]) == 1:
        found.append(
            "pgbackrest_repositories: one repository is one fault away from none; see pgbackrest_copies_rule: 3-2-1"
        )
    return found


def queue_bytes(text: str) -> int:
    """Return a size as pgBackRest counts it, in bytes: 10GiB and 10GB are the same."""
    found = re.fullmatch(r"([0-9]+)(?:([KMGT])i?)?B", text)
    return int(found[1]) << (10 * (" KMGT".index(found[2]) if found[2] else 0)) if found else 0


def _guess(name: str, candidates: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _integer(value: Any) -> int:
    return int(value) if re.fullmatch(r"-?[0-9]+", str(value)) else 0
