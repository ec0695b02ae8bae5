# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What alembic_revision does: let the runner compare and render, look at the file before it is written, tidy up after a failure."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils import (
    _alembic,
    _connection,
    _revisions,
    _runner_process,
    _scratch,
    _stage,
)
from ansible_collections.pgsteward.postgres.plugins.module_utils._alembic import Project
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._runner_process import Ended
from ansible_collections.pgsteward.postgres.plugins.module_utils._stage import Stage

APPLICATION_NAME = "pgsteward alembic_revision"
MAX_ID = 32  # characters; what alembic's version table holds

ARGUMENTS: dict[str, dict[str, Any]] = {
    **_alembic.ARGUMENTS,
    **_stage.ARGUMENTS,
    "message": {"type": "str", "required": True},
    "autogenerate": {"type": "bool", "default": True},
    "id": {"type": "str"},
    "head": {"type": "str", "default": "head"},
    "depends_on": {"type": "list", "elements": "str", "default": []},
    "branch_label": {"type": "str"},
    "compare_with": {"type": "str", "choices": ["scratch", "database"], "default": "scratch"},
}

_ID = re.compile(r"[A-Za-z0-9_.]+")
_LABEL = re.compile(r"[^\s@+\-\"'\\]+")
_NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
_READ_ONLY = "SET default_transaction_read_only = on"


def run_revision(module: Any) -> dict[str, Any]:
    """Do what an AnsibleModule asks for; return its result or raise StewardError."""
    _alembic.settle_secrets(module)
    result = new_revision(module.params, module.check_mode, module.tmpdir, module.warn)
    if not module._diff:
        result.pop("diff", None)
    return result


def new_revision(params: Mapping[str, Any], check: bool, temporary: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Write a revision file, or in check mode say what it would be; return the result.

    temporary: a private directory. Raises StewardError, and leaves no file behind then.
    """
    asked = command_of(params)
    project, place = Project.from_params(params), _alembic.place_from_params(params)
    files = _alembic.find_config(project.directory, project.config, project.section)
    # The project's directory gets the one file and nothing else.
    project = replace(project, environment={**_NO_BYTECODE, **project.environment})
    secrets = _connection.secrets_of(place) | project.secrets() | _alembic.inherited_secrets(os.environ)
    if params.get("scratch_url"):
        secrets |= _connection.secrets_of(_connection.parse_url(params["scratch_url"]))
    watch = Watch(project.directory, secrets)
    request = {"action": "revision", "revision": asked, "write": not check}
    with (
        contextlib.closing(_connection.connect(place, APPLICATION_NAME)) as connection,
        _alembic.queries(place),
        _tidy(watch),
    ):
        server = _connection.read_server(connection, place)
        connection.execute(_READ_ONLY)
        if asked["autogenerate"] and params["compare_with"] == "scratch":
            live = _scratch.read_live(connection, place)
            with _stage.stage(project, live, params, secrets, temporary) as stage:
                watch.secrets |= stage.secrets
                _replay(stage)
                ended = stage.run(["heads"], watch, **request)
            for note in stage.notes:
                warn(note)
        else:
            named = {**params, "revision": ["heads"]}
            request = {**_alembic.build_request(project, files, place, named, True, server), **request}
            python = _alembic.find_python(project.python)
            with contextlib.closing(_runner_process.Runner(project, python, temporary)) as runner:
                ended = runner.ask(request, secrets, watch)
        for note in [*ended.answer.notes, *watch.facts.get("remarks", ())]:
            warn(_connection.mask(note, secrets))
        known = {"output": ended.output, "versions": dict(ended.answer.versions or {})}
        _refuse_unfinished(ended, known)
        watch.refuse_secrets()
    for text in warnings_of(watch.facts, check):
        warn(text)
    return {**as_return(watch.facts, check), **known}


def command_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of alembic's command that the options mean; raises StewardError for what can be seen without a project."""
    message, revision, label = params["message"], params.get("id"), params.get("branch_label")
    if not message.strip() or not message.isprintable():
        raise StewardError("message must be one line of text: say what the revision does")
    if '"""' in message or "\\" in message:
        raise StewardError(
            f'message {message!r} has a backslash or """ in it: the file holds it in a docstring; leave them out'
        )
    if revision is not None:
        if len(revision) > MAX_ID:
            raise StewardError(
                f"id {revision!r} has {len(revision)} characters, and the version table holds {MAX_ID}: give a shorter one"
            )
        if not _ID.fullmatch(revision) or revision in ("base", "head", "heads"):
            raise StewardError(f"id {revision!r} cannot be one: take letters, digits and _")
    if label is not None and not _LABEL.fullmatch(label):
        raise StewardError(f"branch_label {label!r} cannot be one: take letters, digits and _")
    return {
        "message": message,
        "autogenerate": params["autogenerate"],
        "sql": False,
        "head": params["head"],
        "splice": False,
        "branch_label": label,
        "version_path": None,
        "rev_id": revision,
        "depends_on": list(params["depends_on"]) or None,
    }


def _replay(stage: Stage) -> None:
    """Make in the scratch database what the history makes; raises StewardError when that cannot be done."""
    ended = stage.run(["heads"])
    if not ended.answer.finished:
        message = _revisions.failure_message(ended.answer, (), ended.how, ())
        raise StewardError(f"the history cannot be replayed on a scratch database: {message}", output=ended.output)
    with contextlib.closing(stage.connect()) as connection, _alembic.queries(stage.place):
        current = _alembic.read_heads(connection, ended.answer)
    if not _revisions.reached(ended.answer, current):
        message = _revisions.unreached_message(ended.answer, current)
        raise StewardError(f"the history cannot be replayed on a scratch database: {message}", output=ended.output)


def _refuse_unfinished(ended: Ended, known: Mapping[str, Any]) -> None:
    """Raise StewardError unless the runner came to its end."""
    if not ended.answer.finished:
        message = _revisions.failure_message(ended.answer, (), ended.how, ())
        if "read-only transaction" in message:
            message += ": the database is only read here; let env.py write inside of revisions only"
        raise StewardError(message, **known)


# The file, before it is written and when something fails


@dataclass
class Watch:
    """Takes what the runner reports, and lets no file come into being that must not."""

    directory: str
    secrets: frozenset[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def fact(self, fact: Mapping[str, Any]) -> None:
        """Take what the runner reports; raises StewardError for a file that must not be written."""
        self.facts.update(fact)
        if "file" in fact:
            self.refuse_secrets()

    def tick(self) -> None:
        """Nothing is to be done while the runner works."""

    def refuse_secrets(self) -> None:
        """Raise StewardError when the file that the runner told of holds a secret."""
        file = self.facts.get("file")
        if file and holds_secret(file["content"], self.secrets):
            raise StewardError(
                f"{file['path']} would hold a password or another secret, so it is not written: "
                "look for it in the models, in script.py.mako and in what env.py hands to it"
            )

    def remove(self) -> None:
        """Remove the file, if the runner made it."""
        if self.facts.get("written"):
            Path(self.directory, self.facts["file"]["path"]).unlink(missing_ok=True)


@contextlib.contextmanager
def _tidy(watch: Watch) -> Iterator[None]:
    """Leave no file behind when anything fails."""
    try:
        yield
    except BaseException:
        watch.remove()
        raise


def holds_secret(text: str, secrets: Iterable[str]) -> bool:
    """Say whether text has a secret in it that is not just a part of a longer word, as `postgres` is of `postgresql`."""
    return any(re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text) for secret in secrets if secret.strip())


# What is told about it


def warnings_of(facts: Mapping[str, Any], check: bool) -> list[str]:
    """Return what the operator should look at before the revision is applied."""
    found = [f"the revision drops {item} with all that is in it: is that meant?" for item in facts.get("dropped", ())]
    if check and facts.get("hooked"):
        found.append("post_write_hooks of the project are not run in check mode: the file may look otherwise then")
    return found


def as_return(facts: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Return what the module returns of a run that did not fail."""
    file = facts.get("file") or facts.get("twin") or {}
    changed = "file" in facts
    done = "would be written" if check else "is written"
    holds = ", ".join(facts.get("operations", ())) or "empty"
    said = f"revision {file.get('revision')} {done} to {file.get('path')}: {holds}"
    return {
        "changed": changed,
        "msg": said if changed else f"nothing to write: {facts['nothing']}",
        "revision": file.get("revision"),
        "down_revision": list(file.get("down_revision", ())),
        "path": file.get("path"),
        "content": file.get("content"),
        "operations": list(facts.get("operations", ())),
        "detected": list(facts.get("detected", ())),
        "diff": {
            "before_header": file.get("path") or "",
            "after_header": file.get("path") or "",
            "before": "",
            "after": file.get("content") or "",
        },
    }
