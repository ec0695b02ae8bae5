"""The options of sqlite_import and the words of its result, without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pgsteward.postgres.plugins.module_utils import _import, _import_load
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError

DEFAULTS = {name: option.get("default") for name, option in _import.ARGUMENTS.items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus', which this host does not know"),
        ({"timezone": "../etc/passwd"}, "timezone is '../etc/passwd', which this host does not know"),
        ({"tables": {"a": 5}}, "tables has {'a': 5}: give it the name of a table, or null to leave a out"),
        ({"tables": {"a": ""}}, "tables has {'a': ''}"),
        ({"max_rejected": -1}, "max_rejected is -1: give at least 0"),
        ({"max_rejected": 5}, "max_rejected needs rejects"),
        ({"max_rejected": 5, "rejects": "/nowhere/at/all"}, "rejects /nowhere/at/all cannot be written: there is no directory"),
        ({"on_orphan": "reject"}, "on_orphan reject needs max_rejected"),
        ({"source": "/nowhere"}, "/nowhere cannot be read: No such file or directory"),
        ({"source": "/"}, "/ cannot be read: Is a directory"),
    ],
)  # fmt: skip
def test_bad_options(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    params = {**DEFAULTS, "url": "postgresql://nobody@127.0.0.1:1/nowhere", "source": "/nowhere", **options}
    with pytest.raises(StewardError) as caught:
        _import.run(params, False, str(tmp_path))
    assert str(caught.value).startswith(words)


def send_all(write: Callable[[bytes], object], numbers: Iterable[int]) -> None:
    """Send one divided by each number."""
    with _import_load._sender(write) as send:
        for number in numbers:
            send(b"%d" % (100 // number))


def test_sending_keeps_the_order() -> None:
    sent: list[bytes] = []
    send_all(sent.append, range(1, 101))
    assert sent == [b"%d" % (100 // number) for number in range(1, 101)]


@pytest.mark.parametrize("count", [1, 100])
def test_a_failure_of_the_sender_is_raised_here(count: int) -> None:
    def write(_data: bytes) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        send_all(write, [1] * count)


def test_a_failure_here_ends_the_sender() -> None:
    sent: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        send_all(sent.append, [1, 0])
    assert sent == [b"100"]
