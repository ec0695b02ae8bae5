# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a change of primary, as data and as a page for people; and what proves that it is done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def proof(primary: Mapping[str, Any], expected: Sequence[str]) -> list[str]:
    """Return what is missing: primary takes writes, and every host of `expected` streams from it.

    primary: what pg_topology_info says of the new primary. A standby that streams is on the primary's timeline.
    """
    if primary.get("state") != "primary":
        return [
            f"the new primary does not take writes: it is {primary.get('state', 'unreachable')} {primary.get('reason', '')}".strip()
        ]
    streaming = {one["name"] for one in primary.get("followers") or [] if one["state"] == "streaming"}
    return [f"{host} does not follow the new primary" for host in expected if host not in streaming]


# The moments of a failover on the controller's clock, in their order, each with the step that it ends.
_MOMENTS = (
    ("seen", "observe"),
    ("planned", "plan"),
    ("promoted", "promote"),
    ("led", "lead clients"),
    ("ended", "settle"),
)


def failover_steps(moments: Mapping[str, Any], fences: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the steps of a failover with their seconds, which together are all of it.

    moments: started, seen, planned, promoted, led, ended, in seconds since the same time; those that were not reached are None or
    not there. fences: name and seconds of each host that was fenced; the time is no other step's.
    """
    steps: list[dict[str, Any]] = []
    before, pending = float(moments["started"]), list(fences)
    for name, step in _MOMENTS:
        if moments.get(name) is None:
            continue
        seconds, before = float(moments[name]) - before, float(moments[name])
        if name not in ("seen", "planned"):  # the first moment after the plan comes after the fences too
            steps += [{"name": f"fence {fence['name']}", "seconds": float(fence["seconds"])} for fence in pending]
            seconds, pending = seconds - sum(float(fence["seconds"]) for fence in pending), []
        steps.append({"name": step, "seconds": max(0.0, seconds)})
    return steps


def fences_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return name and seconds of each fence, from the results of the loops over hosts: of pg_fence (seconds), of a command (start, end)."""
    found = []
    for one in results:
        seconds = one.get("seconds")
        if seconds is None and one.get("start") and one.get("end"):
            seconds = (datetime.fromisoformat(one["end"]) - datetime.fromisoformat(one["start"])).total_seconds()
        if seconds is not None:
            found.append({"name": one[one["ansible_loop_var"]], "seconds": seconds})
    return found


def record(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a change.

    facts: change (the plan), begun and ended (ISO times), seconds, result (of pg_switchover, or the steps of a failover, see
    failover_steps), after (what the new primary says), failure (None when all is well), unproven (lines), environment.
    """
    change, result, after = facts["change"], facts.get("result") or {}, facts.get("after") or {}
    failure = facts.get("failure")
    unproven = list(facts.get("unproven") or [])
    return {
        "format": 1,
        "operation": change["operation"],
        "environment": facts["environment"],
        "outcome": "failed" if failure or unproven else "done",
        "begun": facts["begun"],
        "ended": facts["ended"],
        "seconds": facts["seconds"],
        "primary_before": change["primary"],
        "primary_after": facts.get("serving"),
        "timeline_before": result.get("timeline_before") or change.get("timeline"),
        "timeline_after": after.get("timeline"),
        "lsn_shutdown": result.get("lsn"),
        "lsn_candidate": result.get("candidate_lsn"),
        "pause_seconds": result.get("pause_seconds"),
        "steps": [{"name": step["name"], "seconds": round(step["seconds"], 3)} for step in result.get("steps") or []],
        "loss": change.get("loss") or _loss(change, result, facts.get("serving"), bool(failure)),
        "standbys": [one["name"] for one in after.get("followers") or [] if one["state"] == "streaming"],
        "warnings": [*change.get("warnings", []), *(result.get("warnings") or [])],
        "failure": failure,
        "unproven": unproven,
    }


def _loss(change: Mapping[str, Any], result: Mapping[str, Any], serving: str | None, failed: bool) -> dict[str, Any]:
    """Return what a switchover lost: nothing, unless it ended in a way that nobody saw."""
    if serving and serving == change["primary"]:
        return {"kind": "none", "bytes": 0, "text": f"nothing: {serving} goes on"}
    if not failed or result.get("candidate_lsn"):
        return {"kind": "none", "bytes": 0, "text": "nothing: the candidate had replayed all of it"}
    return {
        "kind": "unknown",
        "bytes": None,
        "text": f"not known: nobody saw how far {change['candidate']} was when it ended",
    }


def page(one: Mapping[str, Any]) -> str:
    """Return a record as Markdown."""
    lines = [
        f"# {one['operation'].capitalize()} of {one['environment']}: {one['outcome']}",
        "",
        f"* begun {one['begun']}, ended {one['ended']}, {one['seconds']} s",
        f"* primary: {one['primary_before']} before, {one['primary_after'] or 'none'} after",
        f"* timeline: {one['timeline_before'] or 'not known'} before, {one['timeline_after'] or 'not known'} after",
        f"* loss: {one['loss'].get('text', 'not known')}",
    ]
    if one["lsn_shutdown"]:
        lines.append(
            f"* shut down at {one['lsn_shutdown']}, the candidate had replayed {one['lsn_candidate'] or 'not known'}"
        )
    if one["pause_seconds"] is not None:
        lines.append(f"* clients of the poolers waited {one['pause_seconds']:.3f} s")
    lines.append(f"* standbys that follow: {', '.join(one['standbys']) or 'none'}")
    if one["steps"]:
        lines += [
            "",
            "| step | seconds |",
            "|---|---|",
            *(f"| {step['name']} | {step['seconds']:.3f} |" for step in one["steps"]),
        ]
    for title, found in (
        ("Failure", [one["failure"]] if one["failure"] else []),
        ("Not proven", one["unproven"]),
        ("Warnings", one["warnings"]),
    ):
        if found:
            lines += ["", f"## {title}", "", *(f"* {line}" for line in found)]
    return "\n".join(lines) + "\n"


def ending(one: Mapping[str, Any]) -> str | None:
    """Return what a run that did not reach its end says last, None when all is well."""
    if one["outcome"] == "done":
        return None
    said = [*([one["failure"]] if one["failure"] else []), *one["unproven"]]
    who = f"{one['primary_after']} takes writes" if one["primary_after"] else "no server is known to take writes"
    return f"{one['operation']} failed: {'; '.join(said)}. Now {who}"
