# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role pg_monitor puts on a host: exporters tied down, the timer of our own figures, and what Prometheus is told. Pure."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _dump_config, _dump_host
from ansible_collections.pgsteward.postgres.plugins.module_utils._maintain_host import LIBRARY, program

EXPORTERS = {"postgres": 9187, "node": 9100}
PRELOADED = ("pg_stat_statements", "auto_explain")
ACCOUNT = "prometheus"  # of the system, made by Debian's packages, and of the server, which knows it by that
COMMAND = "/usr/local/lib/pgsteward/monitor"
CONFIG = "/etc/pgsteward/monitor.json"
UNITS = "/etc/systemd/system"
SERVICE = "pgsteward-monitor"
HEADER = "# Managed by pgsteward.postgres: the role pg_monitor writes this file whole.\n"
DIRECTORY = "/var/lib/pgsteward/monitor"
TEXTFILES = "/var/lib/prometheus/node-exporter"

# The modules that the command is made of; a test holds it equal to what they import.
SHIPPED = tuple(
    f"_{name}.py"
    for name in """
    certificates children connection drill_report dump_names errors health health_facts health_locks health_log health_queries health_rates
    health_thresholds identifiers lock_waits monitor_command monitor_figures owned_file pgbackrest_info pgbackrest_run pgbouncer_console pgvector postmaster
    quoting safe_versions
    """.split()
)

# What nothing here needs. Without a mount of its own: an exporter of the machine is to see the file systems as they are.
_TIED = """NoNewPrivileges=true
LockPersonality=true
MemoryDenyWriteExecute=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
"""
_WALLED = """ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
ProtectControlGroups=true
ProtectKernelModules=true
ProtectKernelTunables=true
"""


def findings(inputs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the inputs of the role, by their names without its prefix, each named as the role has it.

    inputs has, beside those, `server_settings`: pg_server_settings; and `family`: of the operating system.
    """
    exporters = inputs["exporters"]
    if exporters is None or not isinstance(exporters, Sequence) or isinstance(exporters, str):
        return []  # nothing is asked for, or whoever checks the types of inputs says so
    unknown = [str(one) for one in exporters if one not in EXPORTERS]
    if unknown:
        return [f"pg_monitor_exporters has {unknown[0]}, which there is not: there are {', '.join(EXPORTERS)}"]
    if not exporters:
        return []
    if inputs["family"] != "Debian":
        return ["pg_monitor_exporters: only Debian and Ubuntu have packages that this role knows; take it away here"]
    found = [
        f"pg_monitor_client_addresses[{number}] is {one}, and has to be an address or a network, such as 10.0.0.7 or 10.0.0.0/24"
        for number, one in enumerate(inputs["client_addresses"])
        if not _network(one)
    ]
    try:
        outside = not ipaddress.ip_address(inputs["listen_address"]).is_loopback
    except ValueError:
        return [*found, f"pg_monitor_listen_address is {inputs['listen_address']!r}, and has to be one address"]
    if outside and not inputs["client_addresses"]:
        found.append(
            f"pg_monitor_listen_address is {inputs['listen_address']}, and nobody is named who may come: list the servers of Prometheus in"
            " pg_monitor_client_addresses"
        )
    return found + _preload_findings(inputs["server_settings"])


def _network(text: Any) -> bool:
    try:
        ipaddress.ip_network(str(text))
    except ValueError:
        return False
    return True


def _preload_findings(settings: Mapping[str, Any]) -> list[str]:
    given = {str(name).lower(): value for name, value in settings.items()}
    if "shared_preload_libraries" not in given:
        return []
    value = given["shared_preload_libraries"] or ""
    named = {word.strip() for word in (value.split(",") if isinstance(value, str) else map(str, value))}
    lacking = [name for name in PRELOADED if name not in named]
    return (
        [f"pg_server_settings.shared_preload_libraries takes the place of ours: add {' and '.join(lacking)} to it"]
        if lacking
        else []
    )


def unit_of(exporter: str) -> str:
    """Return the unit of an exporter, as Debian's packages call it."""
    return f"prometheus-{exporter}-exporter.service"


def files(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts that are `wanted` by path, those `unwanted`, the `exporters` of this host by their units, and what is `shipped`.

    inputs: those of the role by their names without its prefix; `server` and `pooler`, what the command is told of them, None where there is
    none; `tls`, files of a `certificate` and its `key`; `port` and `socket` of the server.
    """
    listed = [name for name in EXPORTERS if name in (inputs["exporters"] or ())]
    here = [name for name in listed if name != "postgres" or inputs["server"]]
    encrypted = bool(here) and not ipaddress.ip_address(inputs["listen_address"]).is_loopback
    wanted: dict[str, str] = {}
    if here:
        wanted[COMMAND] = program("_monitor_command", HEADER)
        wanted[CONFIG] = _config(inputs)
        wanted[f"{UNITS}/{SERVICE}.service"] = _service()
        wanted[f"{UNITS}/{SERVICE}.timer"] = _timer()
        wanted["/etc/tmpfiles.d/pgsteward-monitor.conf"] = (
            HEADER + f"d /var/lib/pgsteward 0755 root root\nd {DIRECTORY} 0755 root root\n"
        )
        wanted[f"{LIBRARY}/ansible_collections/__init__.py"] = _dump_host.HEADER  # one text, whichever role writes it
    for name in here:
        wanted[_drop_in(name)] = _exporter(name, inputs, encrypted)
        if encrypted:
            wanted[_web(name)] = _web_config(inputs["tls"])
    ours = [
        COMMAND,
        CONFIG,
        f"{UNITS}/{SERVICE}.service",
        f"{UNITS}/{SERVICE}.timer",
        "/etc/tmpfiles.d/pgsteward-monitor.conf",
        *(path for name in EXPORTERS for path in (_drop_in(name), _web(name))),
        # Not ours to write here, and of no use to anybody without the rest.
        *([] if encrypted else [inputs["tls"]["certificate"]]),
        *([] if here else [f"{TEXTFILES}/pgsteward_monitor.prom", f"{TEXTFILES}/pgsteward_schemas.prom"]),
    ]
    return {
        "wanted": wanted,
        "unwanted": [path for path in ours if path not in wanted],
        "encrypted": encrypted,
        "exporters": {unit_of(name): f"prometheus-{name}-exporter" for name in here},
        "drop_ins": {unit_of(name): _drop_in(name) for name in EXPORTERS},
        "shipped": list(SHIPPED),
    }


def _drop_in(exporter: str) -> str:
    return f"{UNITS}/{unit_of(exporter)}.d/50-pgsteward.conf"


def _web(exporter: str) -> str:
    return f"/etc/pgsteward/monitor-{exporter}.yml"


def _exporter(name: str, inputs: Mapping[str, Any], encrypted: bool) -> str:
    """Return the drop-in of an exporter. Options of the operator's own for that of the machine go on; the other is ours whole."""
    address = inputs["listen_address"]
    options = [f"--web.listen-address={_bracketed(address)}:{EXPORTERS[name]}"]
    lines = ["RestartSec=5"]
    if encrypted:
        options.append(f"--web.config.file={_web(name)}")
    if name == "postgres":
        source = f"user={ACCOUNT} host={inputs['socket']} port={inputs['port']} dbname=postgres"
        lines += ["EnvironmentFile=", f'Environment="DATA_SOURCE_NAME={source}"']
    else:
        options += [f"--collector.textfile.directory={TEXTFILES}", "$ARGS"]
    lines += ["ExecStart=", f"ExecStart=/usr/bin/prometheus-{name}-exporter {' '.join(options)}"]
    allowed = " ".join(["localhost", *map(str, inputs["client_addresses"])])
    walls = _WALLED if name == "postgres" else ""
    families = "AF_UNIX AF_INET AF_INET6" + ("" if name == "postgres" else " AF_NETLINK")
    return (
        f"{HEADER}[Service]\n"
        + "\n".join(lines)
        + f"\nIPAddressDeny=any\nIPAddressAllow={allowed}\nCapabilityBoundingSet=\nRestrictAddressFamilies={families}\n{_TIED}{walls}"
    )


def _web_config(tls: Mapping[str, str]) -> str:
    """Return what exporters read of TLS; they read the files themselves at each connection, so that a renewal needs no restart."""
    return f"{HEADER}tls_server_config:\n  cert_file: {tls['certificate']}\n  key_file: {tls['key']}\n  min_version: TLS12\n"


def _config(inputs: Mapping[str, Any]) -> str:
    told = {name: inputs[name] for name in ("server", "stanza", "dumps", "pooler")}
    if told["dumps"]:  # of the stores, which have secrets, the names only
        told["dumps"] = {**told["dumps"], "stores": [_dump_config.store_name(one) for one in told["dumps"]["stores"]]}
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _service() -> str:
    return (
        HEADER
        + f"""[Unit]
Description=Figures of this host for its monitoring
After=postgresql.service pgbouncer.service
# Whoever wants to look may have it as often as he likes.
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart={COMMAND}
TimeoutStartSec=5min
Nice=10
# Others are asked as their own accounts; disks, certificates and the log are read past the rights of files, and two directories are written to.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_DAC_OVERRIDE
ReadWritePaths={DIRECTORY} {TEXTFILES}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
# A line a minute is nobody's: only what is not known is.
SyslogLevel=warning
LogLevelMax=notice
"""
        + _TIED
        + _WALLED
    )


def _timer() -> str:
    return (
        HEADER
        + """[Unit]
Description=Figures of this host for its monitoring
[Timer]
OnActiveSec=0
OnCalendar=minutely
RandomizedDelaySec=15
AccuracySec=1
[Install]
WantedBy=timers.target
"""
    )


# What Prometheus is told


def targets(hosts: Iterable[Mapping[str, Any]], servers: Sequence[str]) -> str:
    """Return the targets as Prometheus reads them from a file, also of hosts that are down, which is what is to be seen.

    hosts: their variables, as the inventory has them; servers: the names of those that have a server.
    """
    listed = []
    for host in hosts:
        name = str(host["inventory_hostname"])
        listens = str(host.get("pg_monitor_listen_address", "127.0.0.1"))
        loopback = ipaddress.ip_address(listens).is_loopback
        address = listens if loopback else str(host.get("ansible_host", name))
        for exporter, port in EXPORTERS.items():
            if exporter in (host.get("pg_monitor_exporters") or ()) and (exporter != "postgres" or name in servers):
                labels = {
                    "__scheme__": "http" if loopback else "https",
                    "cluster": str(host.get("pg_cluster_name", "main")),
                    "exporter": exporter,
                    "instance": name,
                }
                listed.append({"targets": [f"{_bracketed(address)}:{port}"], "labels": labels})
    return json.dumps(listed, indent=1, sort_keys=True) + "\n"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
