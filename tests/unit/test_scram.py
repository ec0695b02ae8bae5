"""SCRAM verifiers: which password belongs to which, as libpq would have it."""

from __future__ import annotations

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _scram

PENCIL = "SCRAM-SHA-256$4096:oMtfmW8DHsqfSsdsJVJbow==$UN7fK89BtR2KnEL6d9Ukp/yhmzlFJAab7ZybHIb9YfY=:hvOFI7usJamKFrYVOKoeYPR2WvVfs8DbC12EdFyUSD4="
# Made by PQencryptPasswordConn of libpq 18, each from a random salt.
VERIFIERS = [
    ("pencil", PENCIL),
    (
        "I\u00adX",  # the soft hyphen is mapped to nothing
        "SCRAM-SHA-256$4096:FGiOtY5KXLhcB2SP4hmHmQ==$mSv+YYqnUwu1LVBbkob6xqkr9PjapkUxfaLvUKXnUuc=:OTr/mkrBN9HnHelLGYHd/kXNjGuKPcfppi5t5r0SB6I=",
    ),
    (
        "\u2168",  # the Roman numeral nine is IX
        "SCRAM-SHA-256$4096:ZYEw1u9VlSppTgfljYttuA==$kmJTexqIYXk8qhr6Y/KMyOzILfyk8ClBH0if8VA8Uzg=:9PGElmgwQBseubPvvQAaMLrTWSYJqQff+e8HP/FNKtc=",
    ),
    (
        "pass\u00a0word",  # a space that does not break is a space
        "SCRAM-SHA-256$4096:9PahZXkC3oInuItUqPAK5A==$4zqsDuPK/3zPI7EBtEwbyUVoiL5gR9LA0kRDiDvOlX4=:UPnfrQK/4+rfcSklRKF95B5FWP87oeLsWai7bTXMI2Q=",
    ),
    (
        "\u06271",  # right-to-left text that ends in a digit is forbidden, so it is taken as it is
        "SCRAM-SHA-256$4096:2yXrCLGedn37Tl/YY7YMbA==$CP/HZZ3b2k0LvQncNeLLcWxFrr0ynm/xi8+PELTnd5Q=:j5ev46J4JDlkufsEtrIZVyqVIR7ZK3K1c5A2eILKi34=",
    ),
    (
        "\u0007bell\u00e9",  # a control character beside a letter that is not ASCII: forbidden as well
        "SCRAM-SHA-256$4096:PtGavpPpho25jV2c18TraA==$XdbhcLHyVot51MUCRt7QDi4hShN1AXY9XPu+aXHRqfI=:cKL3/DNlaa6B6gDAAcyIuN1KrgiN6MOHx4YjjOw5jvs=",
    ),
    (
        "e\u0301",  # composed to one letter
        "SCRAM-SHA-256$4096:aoVvZR+6eoxRtSJtB/9RKA==$s7YGTcrVl75MJIdsZyshvVWbhML0kVMejQrYek0ye8c=:7uJqBBz1Gtbx1k6sopEIhLItjEaKxY/k/ck/hrjWUCw=",
    ),
    (
        "\u0221",  # not assigned in Unicode 3.2: forbidden
        "SCRAM-SHA-256$4096:pdL6zfdrqX3l8UqJ5yDukA==$T7w1WZXjX2NstpiUEkfJqSJPLZM80+MHfkCi85poar4=:JB2BynV/Kqe7jqNCmI7jBTkBzUcNpTwbcX7e6jyeioc=",
    ),
    (
        "\u0001\u007f",  # ASCII is never looked at
        "SCRAM-SHA-256$4096:cGKOEmWWGswoJAlyuEVdQg==$V23tHtrNVPWye2LvmHf+LU8VgSc473d25T4ZrWnZEWw=:F5mU74iqhN7B4f9qLxBx9Nq6N+8u+TBULw0BoTdz1sU=",
    ),
]


@pytest.mark.parametrize(("password", "verifier"), VERIFIERS)
def test_a_password_belongs_to_the_verifier_that_libpq_made(password: str, verifier: str) -> None:
    assert _scram.matches(password, verifier)
    assert not _scram.matches(password + "x", verifier)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "pencil",
        "md5" + "0" * 32,
        PENCIL[:-1],
        PENCIL + "=",
        PENCIL.replace("256$4096", "512$4096"),
        PENCIL.replace("4096", "0"),
        PENCIL.replace("4096", "99999999999"),
        PENCIL.replace(":hvOF", ":"),
        PENCIL.replace("oMtf", "o*tf"),
        PENCIL + "\n",
    ],
)
def test_what_is_no_verifier_belongs_to_no_password(stored: str | None) -> None:
    assert _scram.parse(stored) is None
    assert not _scram.matches("pencil", stored)


def test_a_verifier_may_stand_for_its_password() -> None:
    assert _scram.matches(PENCIL, PENCIL)
    assert not _scram.matches(VERIFIERS[1][1], PENCIL)


@pytest.mark.parametrize("part", ["UN7f", "hvOF"])
def test_both_keys_count(part: str) -> None:
    assert not _scram.matches("pencil", PENCIL.replace(part, "AAAA"))


def test_iterations_are_those_of_the_verifier() -> None:
    derived = _scram.derive("pencil", b"salt", 8192)
    assert derived.iterations == 8192
    assert derived != _scram.derive("pencil", b"salt", 4096)


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("plain", "plain"),
        (" two  spaces ", " two  spaces "),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("a\u200bb\u00e9", "a b\u00e9"),
        ("\u00ad\u200d", "\u00ad\u200d"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        ("\ufb01\u00ad\u0221", "\ufb01\u00ad\u0221"),
    ],
)
def test_passwords_are_prepared_as_libpq_does(password: str, prepared: str) -> None:
    assert _scram.prepared(password) == prepared


def test_keys_stay_out_of_messages() -> None:
    assert "key" not in repr(_scram.parse(PENCIL))


# Where the tables of SASLprep begin and end, and both sides of each edge.
EDGES = "\u007f\u0080\u00a0\u00a1\u00ad\u034f\u0340\u0341\u05be\u0600\u06dd\u070f\u1680\u180e\u2000\u200b\u200c\u200e\u2028\u202f"
EDGES += (
    "\u205f\u2060\u206a\u2ff0\u3000\ud7a3\ue000\ufb1d\ufd3e\ufe00\ufeff\ufff9\ufffc\ufffd\U0001d173\U000e0001\U0010fffd"
)


@pytest.mark.parametrize("character", EDGES, ids=[f"U+{ord(character):04X}" for character in EDGES])
def test_libpq_itself_agrees(character: str) -> None:
    pq = pytest.importorskip("psycopg.pq")
    connection = pq.PGconn.connect_start(b"host=/nonexistent")  # no server is needed to make a verifier
    for password in (character, f"a{character}b", f"\u05d0{character}\u05d0", f"\u00e9{character}"):
        verifier = connection.encrypt_password(password.encode(), b"role", b"scram-sha-256").decode()
        assert _scram.matches(password, verifier)
