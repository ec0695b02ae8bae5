# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that say which clients may connect: checked, written as pg_hba.conf, and read back from it. Pure.

The grammar is that of the PostgreSQL documentation, chapter "The pg_hba.conf File", and of its tokenizer in hba.c.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

if TYPE_CHECKING:
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TYPES = ("hostssl", "host", "hostnossl", "hostgssenc", "hostnogssenc", "local")
METHODS = ("scram-sha-256", "cert", "peer", "gss", "ldap", "pam", "reject")
REFUSED_METHODS = {
    "trust": "it lets anyone in as anyone",
    "password": "it sends the password itself; write scram-sha-256",
    "md5": "its hash serves as the password to whoever copies it; write scram-sha-256, and set passwords stored as md5 anew",
    "ident": "it believes what the client's machine says; write scram-sha-256 or cert, and peer on the local socket",
    "radius": "it hides the password by MD5 alone on its way to the RADIUS server; write ldap or pam",
}
KEYWORDS = {
    "databases": ("all", "sameuser", "samerole", "samegroup", "replication"),
    "users": ("all",),
    "address": ("all", "samehost", "samenet"),
}
# NAMEDATALEN - 1: the server cuts longer names when it creates them, but not here, so they match nothing.
NAME_BYTES = 63
HEADER = (
    "Managed by pgsteward.postgres, role pg_hba. Change the inventory, not this file.",
    "The first line that matches a client decides. A client that no line matches is refused.",
)
MASK = "********"

_ALL_KEYWORDS = frozenset(word for words in KEYWORDS.values() for word in words)
_RULE_KEYS = ("type", "databases", "users", "address", "method", "options", "ldap_bind_password", "comment", "name")
_COLUMNS = ("TYPE", "DATABASE", "USER", "ADDRESS", "METHOD", "OPTIONS")
_WIDEST_COLUMN = 40
_PLAIN = re.compile(r"[\w.$:/=*%-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST_NAME = re.compile(r"\.?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_SECRET_OPTIONS = ("ldapbindpasswd", "radiussecrets")
# Connections of these types cannot be overheard: TLS, GSSAPI encryption, or no network at all.
_PRIVATE_TYPES = ("hostssl", "hostgssenc", "local")


class RuleError(StewardError):
    """A rule that must not be written, and what to write instead."""


@dataclass(frozen=True)
class Item:
    """A database or user of a rule. kind: keyword, name, regex, group or file; text is without quotes and without + or @."""

    kind: str
    text: str

    def __str__(self) -> str:
        if self.kind == "keyword":
            return self.text
        if self.kind == "regex":
            return _quoted(self.text)
        mark = {"group": "+", "file": "@", "name": ""}[self.kind]
        # A keyword, or a leading sign that means something, loses its meaning within quotes.
        special = self.kind == "name" and (self.text[0] in "+@" or self.text in _ALL_KEYWORDS)
        return mark + (_quoted(self.text) if special else bare(self.text))


@dataclass(frozen=True)
class Rule:
    """One checked line. address is None on the local socket; name is what messages call the rule."""

    name: str
    type: str
    databases: tuple[Item, ...]
    users: tuple[Item, ...]
    address: str | None
    method: str
    options: tuple[tuple[str, str], ...]
    comment: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The fields as they are written, one per column."""
        options = " ".join(f"{key}={bare(value)}" for key, value in self.options)
        databases, users = (",".join(map(str, items)) for items in (self.databases, self.users))
        return (self.type, databases, users, self.address or "", self.method, options)

    def __str__(self) -> str:
        return " ".join(cell for cell in self.cells if cell)


@dataclass(frozen=True)
class Rendered:
    """The text of a file, and which rule stands on which of its lines (counted from 1)."""

    text: str
    rules: Mapping[int, Rule]


def parse_rules(rules: Iterable[Mapping[str, Any]], variable: str = "rules") -> tuple[Rule, ...]:
    """Return the rules checked; raises RuleError for the first that is wrong, called `variable[index]` or by its own name."""
    return tuple(parse_rule(rule, f"{variable}[{index}]") for index, rule in enumerate(rules))


def parse_rule(rule: Mapping[str, Any], name: str) -> Rule:
    """Return one rule checked; raises RuleError with one line that starts with its name."""
    name = rule.get("name") or name
    try:
        return _parse_rule(rule, name)
    except RuleError as error:
        raise RuleError(f"{name}: {error}") from None


def _parse_rule(rule: Mapping[str, Any], name: str) -> Rule:
    given = {key: value for key, value in rule.items() if value is not None}
    unknown = sorted(set(given) - set(_RULE_KEYS))
    if unknown:
        raise RuleError(f"{unknown[0]} is no key of a rule; the keys are {', '.join(_RULE_KEYS)}")
    kind = given.get("type", "hostssl")
    if kind not in TYPES:
        raise RuleError(f"type {kind} is none of {', '.join(TYPES)}")
    databases, users = (_items(given.get(field), field) for field in ("databases", "users"))
    address, network = _address_of(kind, given.get("address"))
    inside = kind == "local" or address in ("samehost", "localhost") or (network is not None and network.is_loopback)
    method = given.get("method", "scram-sha-256")
    options = _options(given.get("options", {}), given.get("ldap_bind_password"))
    _check_method(kind, method, inside, dict(options))
    if kind == "hostnossl" and method != "reject" and not inside:
        raise RuleError(
            "type hostnossl with an address of the network keeps out whoever uses TLS; write host or hostssl"
        )
    return Rule(name, kind, databases, users, address, method, options, _comment(given.get("comment", "")))


def _items(values: Any, field: str) -> tuple[Item, ...]:
    if not isinstance(values, (list, tuple)) or not values:
        raise RuleError(f"{field} must be a list of at least one; write [all] for all of them")
    return tuple(parse_item(value, field) for value in values)


def parse_item(value: Any, field: str) -> Item:
    """Return what one entry of databases or users means; `field` is the one or the other.

    An entry in double quotes is the name within them, whatever it looks like; a quote inside is doubled.
    Raises RuleError with one line that does not name the rule.
    """
    if not isinstance(value, str) or not value:
        raise RuleError(f"{field} has {value!r}, which is no name; write names as strings")
    if _CONTROL.search(value):
        raise RuleError(f"{field} has {value!r}, which holds a control character")
    if value.startswith('"'):
        inner = value[1:-1]
        if len(value) < 3 or not value.endswith('"') or '"' in inner.replace('""', ""):
            raise RuleError(f"{field} has {value}, whose quotes do not match; double a quote that belongs to the name")
        return _name(inner.replace('""', '"'), field)
    if value in KEYWORDS[field]:
        return Item("keyword", value)
    if value.lower() in KEYWORDS[field]:
        raise RuleError(f"{field} has {value}; write {value.lower()} for the keyword, or '\"{value}\"' for a name")
    if value.startswith("/") and len(value) > 1:
        return Item("regex", value)
    if value.startswith("@"):
        if not value.startswith("@/"):
            raise RuleError(f"{field} has {value}, a file; write its whole path, such as @/etc/postgresql/names")
        return Item("file", value[1:])
    if "," in value:
        raise RuleError(
            f"{field} has {value}, which looks like a list; write one entry for each, or '\"{value}\"' for a name"
        )
    if field == "users" and value.startswith("+") and len(value) > 1:
        return Item("group", _name(value[1:], field).text)
    return _name(value, field)


def _name(text: str, field: str) -> Item:
    if text.startswith("/"):
        raise RuleError(
            f"{field} has the name {text}, which PostgreSQL would take for a regular expression; write /^{text}$"
        )
    if len(text.encode()) > NAME_BYTES:
        raise RuleError(f"{field} has {text}, which is longer than the {NAME_BYTES} bytes of a PostgreSQL name")
    return Item("name", text)


def _address_of(kind: str, address: Any) -> tuple[str | None, Network | None]:
    if kind == "local":
        if address is not None:
            raise RuleError(f"address {address} has no meaning with type local, which is the Unix socket; leave it out")
        return None, None
    if address is None:
        raise RuleError(f"type {kind} needs an address; write type: local for the Unix socket")
    return parse_address(address)


def parse_address(address: Any) -> tuple[str, Network | None]:
    """Return an address as it is written in the file, and its network when it is one.

    Accepts a network in CIDR form, a single address, a host name, a suffix of host names (.example.org), and the keywords
    all, samehost and samenet. Raises RuleError with one line that does not name the rule.
    """
    if not isinstance(address, str):
        raise RuleError(f"address {address!r} is no string")
    if address in KEYWORDS["address"]:
        return address, None
    if address.lower() in KEYWORDS["address"]:
        raise RuleError(f"address {address} must be written {address.lower()}")
    if not re.fullmatch(r"[\d.]+", address) and not re.search(r"[/:]", address):
        if len(address) > 253 or not _HOST_NAME.fullmatch(address):
            raise RuleError(f"address {address!r} is no network, host name or keyword")
        return address, None
    if "%" in address:
        raise RuleError(f"address {address} names an interface; write it without the part from the % on")
    try:
        network = ipaddress.ip_network(address)
    except ValueError:
        raise RuleError(_address_problem(address)) from None
    if "/" in address and not address.partition("/")[2].isdigit():
        raise RuleError(f"address {address} is not in CIDR form; write it as {network}")
    return str(network), network


def _address_problem(address: str) -> str:
    """Return what is wrong with a network, and the right one where only one can be meant."""
    base, _slash, bits = address.partition("/")
    right = _network(address)
    if right:
        return f"address {address} has bits set behind its prefix; write it as {right}, or {base}/{right.max_prefixlen} for that host"
    octets = base.split(".")
    if bits.isdigit() and all(octet.isdigit() for octet in octets):
        # Octets that lie wholly behind the prefix are cut off anyway, so a wrong one there leaves no doubt.
        kept = [octet if index * 8 < int(bits) else "0" for index, octet in enumerate(octets)]
        right = _network(f"{'.'.join(kept)}/{bits}")
    return f"address {address} is not a network; write " + (
        f"it as {right}" if right else "one such as 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32"
    )


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _options(options: Any, ldap_bind_password: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(options, Mapping):
        raise RuleError("options must be a dictionary of names and values")
    pairs = []
    for key, value in options.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(key)):
            raise RuleError(f"options has {key!r}, which is no option name")
        if key in _SECRET_OPTIONS:
            raise RuleError(f"options has {key}, a secret; give it as ldap_bind_password")
        if not isinstance(value, (str, int, bool)):
            raise RuleError(f"option {key} must be a string, a number or a boolean")
        pairs.append((str(key), str(int(value)) if isinstance(value, bool) else str(value)))
    if ldap_bind_password is not None:
        pairs.append(("ldapbindpasswd", str(ldap_bind_password)))
    for key, value in pairs:
        if _CONTROL.search(value):
            raise RuleError(f"option {key} holds a control character")
    return tuple(pairs)


def _check_method(kind: str, method: Any, inside: bool, options: Mapping[str, str]) -> None:
    if method in REFUSED_METHODS:
        raise RuleError(f"method {method} is refused: {REFUSED_METHODS[method]}")
    if method not in METHODS:
        raise RuleError(f"method {method} is none of {', '.join(METHODS)}")
    if method == "peer" and kind != "local":
        raise RuleError(f"method peer works on the Unix socket only; write type: local, not {kind}")
    if method == "cert" and kind != "hostssl":
        raise RuleError(f"method cert needs TLS; write type: hostssl, not {kind}")
    if method == "gss" and kind == "local":
        raise RuleError("method gss does not work on the Unix socket; write peer")
    if method in ("ldap", "pam") and kind not in _PRIVATE_TYPES and not inside:
        raise RuleError(f"method {method} sends the password itself; write type: hostssl, not {kind}")
    if method == "ldap" and not _speaks_tls(options):
        raise RuleError(
            "method ldap would send passwords to the directory in clear; add the option ldaptls: 1 or ldapscheme: ldaps"
        )
    if "ldapbindpasswd" in options and method != "ldap":
        raise RuleError(f"ldap_bind_password has no meaning with method {method}; leave it out")


def _speaks_tls(options: Mapping[str, str]) -> bool:
    return (
        options.get("ldaptls") == "1"
        or options.get("ldapscheme") == "ldaps"
        or options.get("ldapurl", "").lower().startswith("ldaps://")
    )


def _comment(text: Any) -> str:
    lines = str(text).strip().splitlines()
    if any(_CONTROL.search(line.replace("\t", " ")) for line in lines):
        raise RuleError("comment holds a control character")
    if any(line.rstrip().endswith("\\") for line in lines):
        raise RuleError("comment has a line that ends with a backslash, which would swallow the rule below it")
    return "\n".join(line.rstrip() for line in lines)


def lockout(rules: Sequence[Rule], superuser: str) -> str | None:
    """Return why the superuser could not be sure to log in over the Unix socket under these rules; None when it can.

    The first local rule that may match the superuser must be peer for all databases. Whether a group or a regular expression
    matches is the server's to know, so both count as a match when they would shut the superuser out.
    """
    remedy = f"put this first: type: local, databases: [all], users: [{Item('name', superuser)}], method: peer"
    for rule in rules:
        if rule.type != "local" or all(item == Item("keyword", "replication") for item in rule.databases):
            continue
        certain = any(item in (Item("keyword", "all"), Item("name", superuser)) for item in rule.users)
        if certain and rule.method == "peer" and not rule.options and Item("keyword", "all") in rule.databases:
            return None
        if not certain and all(item.kind in ("name", "keyword") for item in rule.users):
            continue
        return f"{rule.name} ({rule}) comes before a peer rule for {superuser}, the local superuser, who would be locked out: {remedy}"
    return f"no rule lets {superuser}, the local superuser, in by the Unix socket: {remedy}"


def render(rules: Sequence[Rule]) -> Rendered:
    """Return the file: a header, then one line per rule in aligned columns, each below its comment."""
    table = [_COLUMNS, *(rule.cells for rule in rules)]
    lengths = [[len(row[column]) for row in table] for column in range(len(_COLUMNS))]
    widths = [max(length for length in column if length <= _WIDEST_COLUMN) for column in lengths]
    widths[0] = max(widths[0], len(f"# {_COLUMNS[0]}"))
    lines = [*(f"# {line}" for line in HEADER), "", _row((f"# {_COLUMNS[0]}", *_COLUMNS[1:]), widths)]
    places, comment = {}, ""
    for rule in rules:
        if rule.comment != comment:
            lines += ["", *(f"# {line}".rstrip() for line in rule.comment.splitlines())]
            comment = rule.comment
        lines.append(_row(rule.cells, widths))
        places[len(lines)] = rule
    return Rendered("\n".join(lines) + "\n", places)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, cells, widths)).rstrip()


def bare(text: str) -> str:
    """Return text as one item of a line, in quotes where it needs them."""
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def rule_lines(text: str) -> list[str]:
    """Return the lines of a file that say something, each in one spelling: comments, spacing and needless quotes are gone.

    Two files with equal lists mean the same. Secrets are masked.
    """
    return [" ".join(",".join(field) for field in fields) for _start, _end, fields in _lines(text) if fields]


def masked(text: str) -> str:
    """Return the text of a file with its secrets masked; a line that holds one loses its spacing and its comment."""
    physical = text.split("\n")
    for start, end, fields in reversed(list(_lines(text, mask=False))):
        if any(_secret(item) for field in fields for item in field):
            physical[start:end] = [" ".join(",".join(_mask(item) for item in field) for field in fields)]
    return "\n".join(physical)


def _lines(text: str, mask: bool = True) -> Iterator[tuple[int, int, list[list[str]]]]:
    """Yield each record: the physical lines it covers (from, up to), and its fields as lists of items.

    A backslash at the end of a line continues the record, even in a comment.
    """
    physical = [line.rstrip("\r") for line in text.split("\n")]
    start = 0
    while start < len(physical):
        end, record = start + 1, physical[start]
        while record.endswith("\\") and end < len(physical):
            record, end = record[:-1] + physical[end], end + 1
        fields = [[_spelled(item, quoted) for item, quoted in field] for field in _fields(record)]
        yield start, end, [[_mask(item) for item in field] for field in fields] if mask else fields
        start = end


def _fields(record: str) -> list[list[tuple[str, bool]]]:
    """Split a record as hba.c does: each field is a list of items with whether the item began with a quote."""
    fields: list[list[tuple[str, bool]]] = []
    position, joined = 0, False
    while True:
        item, quoted, position, comma = _next_item(record, position)
        if item is None:
            return fields
        if joined:
            fields[-1].append((item, quoted))
        else:
            fields.append([(item, quoted)])
        joined = comma


def _next_item(record: str, position: int) -> tuple[str | None, bool, int, bool]:
    """Return the next item, whether it began with a quote, where reading goes on, and whether a comma ended it."""
    while position < len(record) and record[position] in " \t\r,":
        position += 1
    if position == len(record) or record[position] == "#":
        return None, False, len(record), False
    item, begins_quoted, inside, was_quote = "", record[position] == '"', False, False
    while position < len(record) and (inside or record[position] not in " \t\r"):
        character = record[position]
        if not inside and character == "#":
            position = len(record)
            break
        position += 1
        if not inside and character == ",":
            return item, begins_quoted, position, True
        if character != '"' or was_quote:
            item += character
        was_quote = inside and character == '"' and not was_quote
        if character == '"':
            inside = not inside
    return item, begins_quoted, position, False


def _spelled(item: str, quoted: bool) -> str:
    """Return an item of a file in the one spelling that Item and Rule use too."""
    mark = item[:1] if item[:1] in ("+", "@") and not quoted else ""
    text = item[len(mark) :]
    return mark + (_quoted(text) if quoted and text in _ALL_KEYWORDS else bare(text))


def _secret(item: str) -> bool:
    return item.strip('"').partition("=")[0] in _SECRET_OPTIONS


def _mask(item: str) -> str:
    return f"{item.strip(chr(34)).partition('=')[0]}={MASK}" if _secret(item) else item


def assemble(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of a host in order, from the inputs of the role by their names without the prefix.

    The automatic ones come first, so that no rule of the operator can cut off replication or the poolers: the local superuser, accounts
    that its operating system's account may be as well, the exporters, clients on the host itself, standbys, operations, poolers, monitoring; then the
    operator's own in the order they are given.
    """
    rules: list[dict[str, Any]] = []

    def add(name: str, databases: list[str], users: list[str], **rest: Any) -> None:
        rules.append({"name": f"pg_hba_{name}", "databases": databases, "users": users, **rest})

    if inputs["local_admin"]:
        comment = "The superuser on the host itself, recognised by the operating system"
        add("local_admin", ["all"], [_quoted(inputs["superuser"])], type="local", method="peer", comment=comment)
    if inputs["local_users"]:
        add(
            "local_users",
            ["all"],
            [_quoted(user) for user in inputs["local_users"]],
            type="local",
            method="peer",
            options={"map": "pgsteward"},
            comment="Accounts of backups and the like, which are the server's own account to the operating system",
        )
    if inputs["peers"]:
        comment = "Accounts that only look, each recognised by the operating system as the one of its name"
        add("peers", ["all"], [_quoted(user) for user in inputs["peers"]], type="local", method="peer", comment=comment)
    if inputs["loopback"]:
        for address in ("127.0.0.1/32", "::1/128"):
            add("loopback", ["all"], ["all"], address=address, comment="Clients on the host itself, over TCP")
    groups = (
        # pg_rewind, and what a base backup asks first, log in to a database.
        (
            "replication",
            ["replication", "postgres"],
            [_quoted(inputs["replication_user"])],
            "Standbys, base backups, and former primaries that rejoin",
        ),
        (
            "operations",
            ["postgres"],
            [_quoted(inputs["operations_user"])],
            "Changes of primary, from the other servers of the cluster",
        ),
        (
            "pooler",
            inputs["pooler_databases"],
            [_quoted(inputs["pooler_lookup_user"]), *inputs["pooler_users"]],
            "Poolers: their lookup account, and the accounts of the clients behind them",
        ),
        ("monitor", ["all"], [_quoted(inputs["monitor_user"])], "Monitoring"),
    )
    for group, databases, users, comment in groups:
        for index, address in enumerate(inputs[f"{group}_addresses"]):
            add(f"{group}_addresses[{index}]", databases, users, address=address, comment=comment)
    for index, rule in enumerate(inputs["rules"]):
        rules.append({"name": f"pg_hba_rules[{index}]", **rule})
    return rules


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing wrong with the inputs of the role, named without the prefix; never raises.

    Lists of the wrong type are reported; so is a set of rules that would lock the local superuser out.
    """
    found = [f"pg_hba_{name} must be a list" for name in _LIST_INPUTS if not isinstance(inputs[name], (list, tuple))]
    names = {name: inputs[name] for name in _NAME_INPUTS}
    found += [
        f"pg_hba_{name} must be a name" for name, value in names.items() if not isinstance(value, str) or not value
    ]
    if found:
        return found
    for index, rule in enumerate(inputs["rules"]):
        if not isinstance(rule, Mapping):
            found.append(f"pg_hba_rules[{index}] must be a dictionary, such as databases, users and address")
    for index, user in enumerate(inputs["local_users"]):
        if not isinstance(user, str) or not user or user == inputs["superuser"]:
            found.append(f"pg_hba_local_users[{index}] must be the name of an account other than the superuser")
    for index, line in enumerate(inputs["maps"]):
        if not isinstance(line, Mapping):
            found.append(f"pg_hba_maps[{index}] must be a dictionary of map, system_user and user")
    if inputs["pooler_addresses"] and not inputs["pooler_databases"]:
        found.append("pg_hba_pooler_databases is empty; name the databases that clients reach through the pooler")
    if found:
        return found
    checked = []
    for rule in assemble(inputs):
        try:
            checked.append(parse_rule(rule, rule["name"]))
        except RuleError as error:
            found.append(str(error))
    locked = None if found else lockout(checked, inputs["superuser"])
    return found + ([f"pg_hba_local_admin is off, and {locked}"] if locked else [])


_LIST_INPUTS = (
    "rules",
    "local_users",
    "maps",
    "replication_addresses",
    "operations_addresses",
    "pooler_addresses",
    "pooler_databases",
    "pooler_users",
    "monitor_addresses",
)
_NAME_INPUTS = ("superuser", "replication_user", "operations_user", "pooler_lookup_user", "monitor_user")
