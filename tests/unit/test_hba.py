"""Rules that say who may connect: what is accepted, how it is written, and what is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _hba_server, _ident, _owned_file
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._hba import (
    Item,
    RuleError,
    assemble,
    findings,
    lockout,
    masked,
    parse_address,
    parse_item,
    parse_rule,
    parse_rules,
    render,
    rule_lines,
)

ADMIN = {"type": "local", "databases": ["all"], "users": ["postgres"], "method": "peer"}
INPUTS: dict[str, Any] = {
    "rules": [],
    "local_admin": True,
    "local_users": [],
    "peers": [],
    "maps": [],
    "loopback": False,
    "replication_addresses": [],
    "replication_user": "replicator",
    "operations_addresses": [],
    "operations_user": "operations",
    "pooler_addresses": [],
    "pooler_lookup_user": "pgbouncer_lookup",
    "pooler_databases": [],
    "pooler_users": [],
    "monitor_addresses": [],
    "monitor_user": "monitor",
    "superuser": "postgres",
}


def rule(**fields: Any) -> dict[str, Any]:
    """Return a rule of the application from its network, with some fields changed; None takes one away."""
    given = {"databases": ["shop"], "users": ["app"], "address": "10.0.0.0/8", **fields}
    return {key: value for key, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("field", "value", "kind", "written"),
    [
        ("databases", "shop", "name", "shop"),
        ("databases", "all", "keyword", "all"),
        ("databases", '"all"', "name", '"all"'),
        ("databases", "replication", "keyword", "replication"),
        ("databases", '"replication"', "name", '"replication"'),
        ("databases", "sameuser", "keyword", "sameuser"),
        ("databases", '"sameuser"', "name", '"sameuser"'),
        ("databases", '"shop"', "name", "shop"),
        ("databases", "my shop", "name", '"my shop"'),
        ("databases", 'the "best" shop', "name", '"the ""best"" shop"'),
        ("databases", '"a ""quoted"" one"', "name", '"a ""quoted"" one"'),
        ("databases", '"a,b"', "name", '"a,b"'),
        ("databases", "a#b", "name", '"a#b"'),
        ("databases", "naïve", "name", '"naïve"'),
        ("databases", "/^shop_[0-9]{1,3}$", "regex", '"/^shop_[0-9]{1,3}$"'),
        ("databases", '/^"x"$', "regex", '"/^""x""$"'),
        ("databases", "@/etc/postgresql/names", "file", "@/etc/postgresql/names"),
        ("databases", "@/etc/my names", "file", '@"/etc/my names"'),
        ("databases", "+team", "name", '"+team"'),
        ("users", "all", "keyword", "all"),
        ("users", "replication", "name", '"replication"'),
        ("users", "+team", "group", "+team"),
        ("users", "+big team", "group", '+"big team"'),
        ("users", '"+team"', "name", '"+team"'),
        ("users", '"@x"', "name", '"@x"'),
        ("users", "x" * 63, "name", "x" * 63),
    ],
)
def test_item(field: str, value: str, kind: str, written: str) -> None:
    item = parse_item(value, field)
    assert (item.kind, str(item)) == (kind, written)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("databases", "", "is no name"),
        ("databases", 5, "is no name"),
        ("databases", "a\nhost all all all trust", "control character"),
        ("databases", '"open', "quotes do not match"),
        ("databases", '"in"side"', "quotes do not match"),
        ("databases", '""', "quotes do not match"),
        ("databases", "ALL", "write all for the keyword"),
        ("databases", "@names", "whole path"),
        ("databases", "a,b", "looks like a list"),
        ("databases", '"/slash"', "regular expression"),
        ("users", "x" * 64, "63 bytes"),
        ("users", "ü" * 32, "63 bytes"),
        ("users", "+" + "x" * 64, "63 bytes"),
    ],
)
def test_item_refused(field: str, value: Any, problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        parse_item(value, field)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("samenet", "samenet"),
        ("samehost", "samehost"),
        ("all", "all"),
        ("db1.example.org", "db1.example.org"),
        ("db_1", "db_1"),
        (".example.org", ".example.org"),
    ],
)
def test_address(address: str, written: str) -> None:
    assert parse_address(address)[0] == written


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("10.0.0.300/8", "address 10.0.0.300/8 is not a network; write it as 10.0.0.0/8"),
        ("10.0.999.300/16", "address 10.0.999.300/16 is not a network; write it as 10.0.0.0/16"),
        ("10.300.0.0/16", "address 10.300.0.0/16 is not a network; write one such as"),
        ("10.1.2.3/8", "bits set behind its prefix; write it as 10.0.0.0/8, or 10.1.2.3/32 for that host"),
        ("2001:db8::1/32", "write it as 2001:db8::/32, or 2001:db8::1/128 for that host"),
        ("10.0.0.0/33", "is not a network; write one such as"),
        ("10.0.0.0/255.0.0.0", "is not in CIDR form; write it as 10.0.0.0/8"),
        ("10.0.0.0/", "is not a network; write one such as"),
        ("10.0.0.300", "is not a network"),
        ("10.0.0", "is not a network"),
        ("010.0.0.0/8", "is not a network"),
        ("fe80::1%eth0", "names an interface"),
        ("ALL", "must be written all"),
        ("-host", "no network, host name or keyword"),
        ("a b", "no network, host name or keyword"),
        ("10.0.0.0/8 trust #", "is not a network"),
        ("host..example", "no network, host name or keyword"),
        (10, "no string"),
    ],
)
def test_address_refused(address: Any, problem: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_address(address)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (rule(), "hostssl shop app 10.0.0.0/8 scram-sha-256"),
        (rule(type="host"), "host shop app 10.0.0.0/8 scram-sha-256"),
        (rule(type=None, address="samenet"), "hostssl shop app samenet scram-sha-256"),
        (ADMIN, "local all postgres peer"),
        (rule(databases=["all", '"all"'], users=["a", "+b"]), 'hostssl all,"all" a,+b 10.0.0.0/8 scram-sha-256'),
        (rule(type="hostnossl", method="reject"), "hostnossl shop app 10.0.0.0/8 reject"),
        (rule(type="hostnossl", address="127.0.0.1"), "hostnossl shop app 127.0.0.1/32 scram-sha-256"),
        (rule(method="cert", options={"map": "people"}), "hostssl shop app 10.0.0.0/8 cert map=people"),
        (
            rule(options={"clientcert": "verify-full"}),
            "hostssl shop app 10.0.0.0/8 scram-sha-256 clientcert=verify-full",
        ),
        (rule(type="host", address="::1", method="pam"), "host shop app ::1/128 pam"),
        (
            rule(type="host", method="gss", options={"include_realm": False}),
            "host shop app 10.0.0.0/8 gss include_realm=0",
        ),
        (
            rule(
                method="ldap",
                options={"ldapserver": "d", "ldaptls": 1, "ldapsuffix": ', dc="x"'},
                ldap_bind_password="a b",
            ),
            'hostssl shop app 10.0.0.0/8 ldap ldapserver=d ldaptls=1 ldapsuffix=", dc=""x""" ldapbindpasswd="a b"',
        ),
    ],
)
def test_rule(given: dict[str, Any], written: str) -> None:
    assert str(parse_rule(given, "rule")) == written


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (rule(methd="peer"), "r: methd is no key of a rule"),
        (rule(name="the shop", method="trust"), "the shop: method trust is refused: it lets anyone in"),
        (rule(type="tcp"), "type tcp is none of"),
        (rule(databases=[]), "databases must be a list"),
        (rule(databases="shop"), "databases must be a list"),
        (rule(users=None), "users must be a list"),
        (rule(address=None), "needs an address; write type: local"),
        (rule(type="local"), "has no meaning with type local"),
        (rule(method="trust"), "refused"),
        (rule(method="trust", address="127.0.0.1"), "refused"),
        (rule(method="password"), "write scram-sha-256"),
        (rule(method="md5"), "write scram-sha-256"),
        (rule(method="ident"), "peer on the local socket"),
        (rule(method="radius"), "refused"),
        (rule(method="bsd"), "is none of"),
        (rule(method="peer"), "Unix socket only"),
        (rule(type="host", method="cert"), "needs TLS"),
        (rule(type="local", address=None, method="gss"), "write peer"),
        (rule(type="host", method="pam"), "sends the password itself"),
        (rule(type="hostnogssenc", method="ldap", options={"ldaptls": 1}), "sends the password itself"),
        (rule(method="ldap", options={"ldapserver": "d"}), "to the directory in clear"),
        (rule(method="ldap", options={"ldapurl": "ldap://d"}), "to the directory in clear"),
        (rule(type="hostnossl"), "keeps out whoever uses TLS"),
        (rule(options=["map"]), "must be a dictionary"),
        (rule(options={"ma p": "x"}), "is no option name"),
        (rule(options={"map": ["x"]}), "must be a string"),
        (rule(options={"map": "x\nlocal all all trust"}), "control character"),
        (rule(options={"ldapbindpasswd": "x"}), "give it as ldap_bind_password"),
        (rule(ldap_bind_password="x"), "has no meaning with method"),
        (rule(comment="ends with a \\"), "would swallow the rule"),
        (rule(comment="a\x00b"), "control character"),
    ],
)
def test_rule_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(given, "r")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refused_rule_is_counted() -> None:
    with pytest.raises(RuleError, match=r"^rules\[1\]: method md5 is refused"):
        parse_rules([rule(), rule(method="md5")])


LOCAL = {"type": "local", "address": None}


@pytest.mark.parametrize(
    ("before", "locked"),
    [
        ([], None),
        ([rule()], None),
        ([rule(**LOCAL, method="scram-sha-256")], None),
        ([rule(**LOCAL, users=["all"], databases=["replication"])], None),
        ([rule(**LOCAL, users=['"all"'])], None),
        ([rule(**LOCAL, users=["all"], databases=["all"], method="peer")], None),
        ([rule(**LOCAL, users=["all"])], "rules[0]"),
        ([rule(), rule(**LOCAL, users=["app", "postgres"], method="reject")], "rules[1]"),
        ([rule(**LOCAL, users=["/gres$"])], "rules[0]"),
        ([rule(**LOCAL, users=["+admins"])], "rules[0]"),
        ([rule(**LOCAL, users=["@/etc/names"])], "rules[0]"),
        ([rule(**LOCAL, users=["postgres"], databases=["all"], method="peer", options={"map": "m"})], "rules[0]"),
    ],
)
def test_lockout(before: list[dict[str, Any]], locked: str | None) -> None:
    problem = lockout(parse_rules([*before, ADMIN]), "postgres")
    assert problem is None if locked is None else problem and problem.startswith(locked)


@pytest.mark.parametrize("rules", [[], [rule(users=["all"], address="all")], [rule(**LOCAL, users=["app"])]])
def test_lockout_without_any_rule_for_the_superuser(rules: list[dict[str, Any]]) -> None:
    assert "no rule lets postgres" in (lockout(parse_rules(rules), "postgres") or "")


def test_render() -> None:
    rules = parse_rules(
        [ADMIN, rule(comment="The shop"), rule(address="172.16.0.0/12", comment="The shop"), rule(type="host")]
    )
    rendered = render(rules)
    assert rendered.text.splitlines()[3:] == [
        "# TYPE   DATABASE  USER      ADDRESS        METHOD         OPTIONS",
        "local    all       postgres                 peer",
        "",
        "# The shop",
        "hostssl  shop      app       10.0.0.0/8     scram-sha-256",
        "hostssl  shop      app       172.16.0.0/12  scram-sha-256",
        "",
        "host     shop      app       10.0.0.0/8     scram-sha-256",
    ]
    lines = rendered.text.splitlines()
    assert {lines[number - 1].split()[0] for number in rendered.rules} == {"local", "hostssl", "host"}
    assert [rule.name for rule in rendered.rules.values()] == [f"rules[{index}]" for index in range(4)]


def test_what_is_written_is_read_back() -> None:
    rules = parse_rules(
        [
            ADMIN,
            rule(
                databases=["my shop", '"all"', "all", "/^a,b$"],
                users=["+big team", '"+x"', 'q"q', "#1"],
                comment="1 \\ 2",
            ),
            rule(method="cert", options={"map": 'a "b", c'}),
        ]
    )
    assert rule_lines(render(rules).text) == [
        "local all postgres peer",
        'hostssl "my shop","all",all,"/^a,b$" +"big team","+x","q""q","#1" 10.0.0.0/8 scram-sha-256',
        'hostssl shop app 10.0.0.0/8 cert "map=a ""b"", c"',
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("# only a comment\n\n", []),
        ("local\tall   all\tpeer # why\n", ["local all all peer"]),
        ("host a, b all 10.0.0.0 255.0.0.0 md5\n", ["host a,b all 10.0.0.0 255.0.0.0 md5"]),
        ('host "a" "all" all md5', ['host a "all" all md5']),
        ("host a \\\n  all all md5\r\n", ["host a all all md5"]),
        ("# swallowed \\\nlocal all all trust\nlocal all all peer\n", ["local all all peer"]),
        ('host "a#b" all all md5#x', ['host "a#b" all all md5']),
        ("include_dir /etc/hba.d\n", ["include_dir /etc/hba.d"]),
        ('host a +big""team all md5', ["host a +bigteam all md5"]),
        ("host all all all ldap ldapbindpasswd=x", ["host all all all ldap ldapbindpasswd=********"]),
        ('host all all all radius radiussecrets="a, b"', ["host all all all radius radiussecrets=********"]),
        ('host all "unclosed', ["host all unclosed"]),
    ],
)
def test_rule_lines(text: str, lines: list[str]) -> None:
    assert rule_lines(text) == lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# a\nlocal  all all peer\n", "# a\nlocal  all all peer\n"),
        ('h  a b c ldap ldapbindpasswd="p w" x=1\n# b\n', "h a b c ldap ldapbindpasswd=******** x=1\n# b\n"),
        ("h a b c ldap \\\n  ldapbindpasswd=pw\nlocal\n", "h a b c ldap ldapbindpasswd=********\nlocal\n"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def lines_of(**inputs: Any) -> list[str]:
    """Return the lines that the role writes for some inputs."""
    return [str(parse_rule(each, "r")) for each in assemble({**INPUTS, **inputs})]


@pytest.mark.parametrize(
    ("inputs", "lines"),
    [
        ({}, ["local all postgres peer"]),
        ({"local_admin": False}, []),
        ({"superuser": "all"}, ['local all "all" peer']),
        (
            {"local_admin": False, "loopback": True},
            ["hostssl all all 127.0.0.1/32 scram-sha-256", "hostssl all all ::1/128 scram-sha-256"],
        ),
        (
            {"replication_addresses": ["10.0.0.1", "10.0.0.2"], "rules": [rule()]},
            [
                "local all postgres peer",
                "hostssl replication,postgres replicator 10.0.0.1/32 scram-sha-256",
                "hostssl replication,postgres replicator 10.0.0.2/32 scram-sha-256",
                "hostssl shop app 10.0.0.0/8 scram-sha-256",
            ],
        ),
        (
            {"operations_addresses": ["10.0.0.2"], "replication_addresses": ["10.0.0.2"]},
            [
                "local all postgres peer",
                "hostssl replication,postgres replicator 10.0.0.2/32 scram-sha-256",
                "hostssl postgres operations 10.0.0.2/32 scram-sha-256",
            ],
        ),
        (
            {"local_admin": False, "operations_addresses": ["10.0.0.2"], "operations_user": "all"},
            ['hostssl postgres "all" 10.0.0.2/32 scram-sha-256'],
        ),
        (
            {
                "local_admin": False,
                "pooler_addresses": ["10.0.0.3"],
                "pooler_databases": ["shop"],
                "pooler_users": ["app", "+ro"],
            },
            ["hostssl shop pgbouncer_lookup,app,+ro 10.0.0.3/32 scram-sha-256"],
        ),
        ({"local_admin": False, "monitor_addresses": ["samehost"]}, ["hostssl all monitor samehost scram-sha-256"]),
    ],
)
def test_assemble(inputs: dict[str, Any], lines: list[str]) -> None:
    assert lines_of(**inputs) == lines


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({}, []),
        ({"rules": [rule()], "loopback": True}, []),
        ({"rules": "x"}, ["pg_hba_rules must be a list"]),
        ({"rules": None}, ["pg_hba_rules must be a list"]),
        ({"rules": ["x"]}, ["pg_hba_rules[0] must be a dictionary, such as databases, users and address"]),
        ({"monitor_user": ""}, ["pg_hba_monitor_user must be a name"]),
        ({"operations_user": None}, ["pg_hba_operations_user must be a name"]),
        ({"operations_addresses": "10.0.0.2"}, ["pg_hba_operations_addresses must be a list"]),
        (
            {"rules": [rule(), rule(), rule(address="10.0.0.300/8")]},
            ["pg_hba_rules[2]: address 10.0.0.300/8 is not a network; write it as 10.0.0.0/8"],
        ),
        (
            {"replication_addresses": ["10.0.0.1", "10.0.0.1/8"]},
            [
                (
                    "pg_hba_replication_addresses[1]: address 10.0.0.1/8 has bits set behind its prefix; "
                    "write it as 10.0.0.0/8, or 10.0.0.1/32 for that host"
                )
            ],
        ),
        (
            {"pooler_addresses": ["10.0.0.3"]},
            ["pg_hba_pooler_databases is empty; name the databases that clients reach through the pooler"],
        ),
        ({"local_admin": False, "rules": [ADMIN, rule()]}, []),
        (
            {"local_admin": False},
            [
                (
                    "pg_hba_local_admin is off, and no rule lets postgres, the local superuser, in by the Unix socket: "
                    "put this first: type: local, databases: [all], users: [postgres], method: peer"
                )
            ],
        ),
        ({"superuser": "a\nb"}, ["pg_hba_local_admin: users has '\"a\\nb\"', which holds a control character"]),
    ],
)
def test_findings(inputs: dict[str, Any], found: list[str]) -> None:
    assert findings({**INPUTS, **inputs}) == found


@pytest.mark.parametrize(
    ("found", "wanted", "modified", "loaded", "write", "reload"),
    [
        (None, "a b\n", None, 5, True, True),
        ("a b\n", "a b\n", 4, 5, False, False),
        ("a b\n", "a b\n", 6, 5, False, True),
        ("a  b\n", "a b\n", 4, 5, True, True),
    ],
)
def test_plan(found: str | None, wanted: str, modified: int | None, loaded: int, write: bool, reload: bool) -> None:
    plan = _hba_server.make_plan(found, wanted, modified, loaded)
    assert (plan.write, plan.reload) == (write, reload)


def test_plan_names_the_rules_that_come_and_go() -> None:
    plan = _hba_server.make_plan(
        "# x\nlocal  all all peer\nhost all all all md5\n", "local all all peer\nhost a b all reject\n", 1, 2
    )
    assert plan.added == ("host a b all reject",)
    assert plan.removed == ("host all all all md5",)


@pytest.mark.parametrize(("version", "refused"), [(150000, True), (160000, False)])
def test_regular_expressions_want_postgresql_16(version: int, refused: bool) -> None:
    observed = _hba_server.Observed(Path("h"), None, None, 0, version, True, Path("b"))
    rules = parse_rules([ADMIN, rule(users=["/^a"])])
    if refused:
        with pytest.raises(StewardError, match=r"rules\[1\] .*PostgreSQL 15 knows no regular expressions"):
            _hba_server.refuse_old(observed, rules)
    else:
        _hba_server.refuse_old(observed, rules)


@pytest.mark.parametrize(
    ("errors", "tls", "message"),
    [
        ([], True, None),
        ([(5, "hostssl record cannot match because SSL is disabled")], False, None),
        (
            [(5, "hostssl record cannot match because SSL is disabled")],
            True,
            "rules[0] (local all postgres peer): PostgreSQL says: ",
        ),
        ([(5, "bad"), (99, "worse")], True, "rules[0] (local all postgres peer): PostgreSQL says: bad; untouched"),
        ([(99, "worse")], True, "line 99: PostgreSQL says: worse; untouched"),
    ],
)
def test_errors_name_the_rule(errors: list[tuple[int, str]], tls: bool, message: str | None) -> None:
    wanted = render(parse_rules([ADMIN]))
    assert list(wanted.rules) == [5]
    if message is None:
        _hba_server.refuse_errors(errors, wanted, "untouched", tls)
        return
    with pytest.raises(StewardError) as caught:
        _hba_server.refuse_errors(errors, wanted, "untouched", tls)
    assert str(caught.value).startswith(message)


def test_no_server_is_said_in_one_line(tmp_path: Path) -> None:
    place = _hba_server.Place("postgres", host=str(tmp_path), port=5433, user="postgres")
    assert (_hba_server.absence(place) or "").startswith(
        f"no server at {tmp_path}/.s.PGSQL.5433: install and start one"
    )
    rendered = render(parse_rules([ADMIN]))
    preview = _hba_server.converge(place, (), rendered, dry_run=True)
    assert preview["changed"]
    assert preview["diff"]["before"] == ""
    assert preview["diff"]["after"] == rendered.text
    assert len(preview["warnings"]) == 1
    with pytest.raises(StewardError, match="no server at"):
        _hba_server.converge(place, (), rendered, dry_run=False)


def test_owned_file_round(tmp_path: Path) -> None:
    path = tmp_path / "owned.conf"
    assert (_owned_file.read(path), _owned_file.modified(path)) == (None, None)
    _owned_file.write(path, "one\n")
    assert path.stat().st_mode & 0o777 == _owned_file.NEW_FILE_MODE
    path.chmod(0o604)
    path.write_bytes(b"\xff two\r\n")
    before, when = _owned_file.read(path), _owned_file.modified(path)
    _owned_file.write(path, "three\n")
    assert path.read_text() == "three\n"
    _owned_file.restore(path, before, when)
    assert path.read_bytes() == b"\xff two\r\n"
    assert _owned_file.modified(path) == when
    assert path.stat().st_mode & 0o777 == 0o604
    assert _owned_file.readable(before) == "\ufffd two\r\n"
    _owned_file.restore(path, None)
    assert list(tmp_path.iterdir()) == []


def test_owned_file_behind_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("one\n")
    link.symlink_to(target)
    _owned_file.write(link, "two\n")
    assert link.is_symlink()
    assert target.read_text() == "two\n"


def test_owned_file_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(StewardError, match="cannot replace"):
        _owned_file.write(tmp_path / "missing" / "file", "text")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StewardError, match="cannot read"):
        _owned_file.read(tmp_path / "directory")
    with pytest.raises(StewardError, match="cannot write"):
        _owned_file.write(tmp_path / "directory", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


def test_item_equality_is_by_meaning() -> None:
    assert parse_item('"shop"', "databases") == parse_item("shop", "databases") == Item("name", "shop")
    assert parse_item('"all"', "databases") != parse_item("all", "databases")


MAPS = [{"map": "people", "system_user": "/^(.*)@example[.]org$", "user": "\\1"}]


def test_the_server_s_account_may_be_others_by_a_map() -> None:
    inputs = {**INPUTS, "local_users": ["backup"], "peers": ["prometheus"], "maps": MAPS}
    assert [str(one) for one in parse_rules(assemble(inputs))] == [
        "local all postgres peer",
        "local all backup peer map=pgsteward",
        "local all prometheus peer",
    ]
    assert lockout(parse_rules(assemble(inputs)), "postgres") is None
    written = _ident.render(_ident.parse(_ident.assemble(inputs)))
    assert rule_lines(written) == ["pgsteward postgres backup", 'people "/^(.*)@example[.]org$" "\\1"']
    assert _ident.is_ours(written)
    assert findings(inputs) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"local_users": ["postgres"]},
            "pg_hba_local_users[0] must be the name of an account other than the superuser",
        ),
        ({"local_users": "backup"}, "pg_hba_local_users must be a list"),
        ({"maps": ["a b c"]}, "pg_hba_maps[0] must be a dictionary"),
    ],
)
def test_findings_about_maps(changes: dict[str, Any], line: str) -> None:
    assert findings({**INPUTS, **changes})[0].startswith(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"map": "a", "system_user": "b", "user": "c", "x": 1},
            "pg_hba_maps[0]: x is no key; the keys are map, system_user, user",
        ),
        ({"map": "a", "system_user": "b"}, "pg_hba_maps[0]: user has to be a name"),
        ({"map": "a\nb", "system_user": "b", "user": "c"}, "pg_hba_maps[0]: map has to be a name"),
    ],
)
def test_lines_of_maps_that_are_wrong(line: dict[str, Any], message: str) -> None:
    assert _ident.findings({**INPUTS, "maps": [line]})[0].startswith(message)


OURS = _ident.render(_ident.parse(_ident.local(["backup"], "postgres")))


@pytest.mark.parametrize(
    ("found", "maps", "written", "reload"),
    [
        ("# nothing\n", OURS, True, True),
        (None, OURS, True, True),
        (OURS, OURS, False, False),
        (OURS, None, True, True),  # nobody asks for maps any more
        ("people a b\n", None, False, False),
        ("pgsteward postgres  backup # by hand\n", OURS, True, True),
    ],
)
def test_the_file_of_maps_is_ours_when_there_are_any(
    found: str | None, maps: str | None, written: bool, reload: bool
) -> None:
    ident = _hba_server.Found(Path("i"), found, 4)
    observed = _hba_server.Observed(Path("h"), "a b\n", 4, 5, 170000, True, Path("b"), ident)
    plan = _hba_server.with_maps(_hba_server.make_plan("a b\n", "a b\n", 4, 5), observed, maps)
    assert (plan.ident is not None, plan.write, plan.reload) == (written, False, reload)


def test_maps_of_others_are_not_lost() -> None:
    observed = _hba_server.Observed(
        Path("h"), "", 4, 5, 170000, True, Path("b"), _hba_server.Found(Path("i"), "people a b\n", 4)
    )
    with pytest.raises(StewardError, match=r"holds a map of somebody else's \(people a b\): list it in pg_hba_maps"):
        _hba_server.with_maps(_hba_server.make_plan("", "", 4, 5), observed, OURS)


def test_a_file_of_maps_younger_than_the_last_reload_is_reloaded() -> None:
    observed = _hba_server.Observed(Path("h"), "", 4, 5, 170000, True, Path("b"), _hba_server.Found(Path("i"), OURS, 6))
    plan = _hba_server.with_maps(_hba_server.make_plan("", "", 4, 5), observed, OURS)
    assert (plan.ident, plan.reload) == (None, True)
