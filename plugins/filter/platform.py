"""Filters over platforms and installations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import _install_findings, _pgvector, _platforms


def platform(
    facts: Mapping[str, Any], repository: str = _platforms.DISTRIBUTION, version: Any = 0, instance: str = "main"
) -> dict[str, Any]:
    """Return what a role needs to know of a host's platform."""
    return _platforms.describe(facts, repository, version, instance)


def install_findings(facts: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that is wrong with the inputs."""
    return _install_findings.input_findings(facts, inputs)


def instance_findings(look: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return why the wanted instance cannot be what is on the host."""
    return _install_findings.instance_findings(look, wanted)


def archive_key_findings(text: str, fingerprint: str) -> list[str]:
    """Return what is wrong with an armored key."""
    return _install_findings.key_findings(text, fingerprint)


def pgvector_stamp(digest: str | None, version: str, checksum: str) -> str:
    """Return the line that remembers a build of pgvector."""
    return _pgvector.stamp(version, checksum, str(digest))


class FilterModule:
    """The filters of this file, internal to the roles."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        functions = (
            platform,
            install_findings,
            instance_findings,
            archive_key_findings,
            pgvector_stamp,
        )
        return {function.__name__: function for function in functions}
