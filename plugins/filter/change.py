# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of a change of primary: its plan, its proof, its report."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.pgsteward.postgres.plugins.module_utils import _change, _change_report, _operation
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError


def plan_switchover(topology: Mapping[str, Any], wanted: str | None, limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of a switchover as data."""
    try:
        return _change.plan_switchover(topology, wanted or None, limits).as_facts()
    except StewardError as error:
        raise AnsibleFilterError(str(error)) from error


def plan_failover(topology: Mapping[str, Any], wanted: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of a failover as data."""
    try:
        return _change.plan_failover(topology, wanted or None, given).as_facts()
    except StewardError as error:
        raise AnsibleFilterError(str(error)) from error


def only(one: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return those entries of a dictionary that have one of the names."""
    return {name: one[name] for name in names if name in one}


def pooler_places(hosts: Iterable[str], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name, host, port, files (what pgbouncer_files needs) of each pooler, and whether it has answered. variables: hostvars."""
    return [
        {
            "name": host,
            "host": variables[host].get("ansible_host", host),
            "port": int(variables[host].get("pgbouncer_port", 6432)),
            "addresses": addresses_of(variables[host].get("ansible_host", host)),
            "reached": "__pgbouncer_place" in variables[host],
            "prepared": bool(variables[host].get("__pgbouncer_prepared")),
            "files": variables[host].get("__pgbouncer_place", {}),
        }
        for host in hosts
    ]


def addresses_of(host: str) -> list[str]:
    """Return the addresses of a host name, and the name itself; servers see the former."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return [host]
    return list(dict.fromkeys((host, *(str(entry[4][0]) for entry in found))))


def operator(user: str) -> str:
    """Return who runs this, and on which controller. user: the account's name, empty where the environment does not say."""
    try:
        return f"{user or getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # an account without a name, as in a container
        return f"unknown@{socket.gethostname()}"


def rotated(values: Iterable[Any], turn: int) -> list[Any]:
    """Return the values beginning with that at `turn`, counted round and round: each pooler has an order of its own."""
    listed = list(values)
    start = turn % len(listed) if listed else 0
    return listed[start:] + listed[:start]


class FilterModule:
    """The filters of this file, each documented in a file of its name."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "change_ending": _change_report.ending,
            "change_page": _change_report.page,
            "change_proof": _change_report.proof,
            "change_record": _change_report.record,
            "failover_steps": _change_report.failover_steps,
            "fences_of": _change_report.fences_of,
            "held_findings": _operation.held_findings,
            "lost_hosts": _change.lost_hosts,
            "only": only,
            "operator": operator,
            "plan_failover": plan_failover,
            "plan_switchover": plan_switchover,
            "pooler_places": pooler_places,
            "rejoin_findings": _change.rejoin_findings,
            "rotated": rotated,
        }
