# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of the runner: a new revision file, from alembic's own templates and the project's hooks."""

from __future__ import annotations

import ast
import builtins
import contextlib
import dis
import importlib
import json
import logging
import os
import re
import sys
import types
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._alembic_runner import Run, RunnerError, closure, describe, place_text, raw, read_graph, resolve_target

if TYPE_CHECKING:
    from ._alembic_runner import Graph

# Ours, and those of extensions. Nothing of the search path is relied on: it is the application's.
_HIDDEN = """
SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, c.relname))::pg_catalog.text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE n.nspname OPERATOR(pg_catalog.=) 'pgsteward' OR EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid OPERATOR(pg_catalog.=) c.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')
"""


class Shown(Exception):  # noqa: N818 - a way to end, no error
    """The file is rendered, and a check ends here."""


class NewRevision(Run):
    """The run that makes a revision file; request: revision (arguments of the command), write, beside the usual.

    write: whether the file is written, once the module has seen it; else it is only shown.
    """

    done = False
    content = ""

    def hook(self, environment: Any) -> None:
        """Let env.py find what it finds under `alembic revision`, besides configure."""
        from alembic import command
        from alembic.autogenerate import RevisionContext

        config, asked = environment.config, self.request["revision"]
        config.cmd_opts = Namespace(
            cmd=(command.revision, [], sorted(asked)),
            **{name: getattr(config.cmd_opts, name) for name in ("config", "name", "raiseerr", "x")},
            **asked,
        )
        sys.argv = ["alembic", "revision", "-m", asked["message"]] + ["--autogenerate"] * asked["autogenerate"]
        self.context = RevisionContext(config, self.script, asked)
        environment.context_opts["template_args"] = self.context.template_args
        environment.context_opts["revision_context"] = self.context
        self.asked = asked
        super().hook(environment)

    def work(self, context: Any, migrate: Callable[[], None]) -> None:
        """Find out what there is to say, and write it unless nothing is."""
        if self.done:
            raise RunnerError("env.py runs the migrations several times: choose one of them by x or environment")
        self.done = True
        graph, notes = read_graph(self.script)
        heads = sorted(self.script.get_heads())
        self.report(heads=heads, notes=notes, target_metadata=self.metadata is not None)
        bases = self.bases(graph, heads)
        with self.told("the models cannot be compared" if self.asked["autogenerate"] else "env.py failed"):
            reason = self.collect(context, graph, heads, bases)
        if reason:
            self.report(nothing=reason)
            return
        self.check(graph, heads, bases)
        with self.told("the revision cannot be made"):
            self.write()

    @contextlib.contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Say what failed, where it is not env.py as a whole."""
        try:
            yield
        except RunnerError:
            raise
        except Exception as error:
            text, where = describe(error).values()
            raise RunnerError(f"{what}: {text}" + (f" ({where})" if where else "")) from error

    # What the new revision stands on

    def bases(self, graph: Graph, heads: Sequence[str]) -> list[str]:
        """Return the revisions that the new one comes after; raises RunnerError where that is not clear."""
        head = self.asked["head"]
        if head == "base":
            return []
        if head == "head" and len(heads) > 1:
            raise RunnerError(f"the project has {len(heads)} heads ({', '.join(heads)}): name one of them by head")
        return sorted(resolve_target(head, self.script, graph, ()))

    def check(self, graph: Graph, heads: Sequence[str], bases: Sequence[str]) -> None:
        """Raise RunnerError for options that do not fit the project; alembic finds some only after it has written."""
        below = [revision for revision in bases if revision not in heads]
        if below:
            raise RunnerError(f"revision {below[0]!r} is no head, but {', '.join(heads)} is: name that by head")
        revision, label = self.asked["rev_id"], self.asked["branch_label"]
        if revision in graph:
            raise RunnerError(f"revision {revision!r} exists already, in {graph[revision]['path']}: give another id")
        # Those of a branch are all its revisions', and the oldest comes first.
        labels = {name: found for found in reversed(list(graph)) for name in graph[found]["labels"]}
        if label in labels or label in graph:
            raise RunnerError(f"branch_label {label!r} is taken by revision {labels.get(label, label)}: give another")
        for name in self.asked["depends_on"] or ():
            resolve_target(name, self.script, graph, ())

    # What is to be said

    def collect(self, context: Any, graph: Graph, heads: Sequence[str], bases: Sequence[str]) -> str:
        """Let alembic and the project's hooks gather the operations; return why there is nothing to write, if so."""
        if self.asked["autogenerate"]:
            self.compare(context, graph, heads)
            scripts = self.context.generated_revisions
            if scripts and not any(operations(script) for script in scripts):
                return "the models describe what is there already"
        else:
            from alembic.util import asbool

            twin = self.twin(graph, heads, bases)
            if twin:
                self.report(twin=twin)
                return f"the empty revision {twin['revision']} says that already"
            config = self.context.config
            get = getattr(config, "get_alembic_option", config.get_main_option)
            if asbool(get("revision_environment")):
                self.context.run_no_autogenerate(tuple(context.get_current_heads()), context)
        scripts = self.context.generated_revisions
        if len(scripts) > 1:
            raise RunnerError(
                f"process_revision_directives of env.py makes {len(scripts)} revisions of one: ask for each"
            )
        return "" if scripts else "process_revision_directives of env.py left nothing to write"

    def compare(self, context: Any, graph: Graph, heads: Sequence[str]) -> None:
        """Run alembic's autogenerate; raises RunnerError where its answer would mean nothing."""
        several = isinstance(self.metadata, (list, tuple))
        collection = [item for item in (self.metadata if several else [self.metadata]) if item is not None]
        if not collection:
            raise RunnerError(
                "env.py gives no target_metadata: there are no models to compare (autogenerate: false writes an empty revision)"
            )
        if not any(metadata.tables for metadata in collection):
            raise RunnerError(
                "target_metadata has no tables: the modules that define the models are not imported by env.py"
            )
        current = sorted(context.get_current_heads())
        if not set(current) <= set(graph) or set(graph) - closure(graph, current):
            raise RunnerError(
                f"{place_text(self.request['place'])} is at {', '.join(current) or 'no revision'}, and the project at "
                f"{', '.join(heads)}: run alembic_upgrade first, or choose compare_with: scratch"
            )
        found = raw(context.connection, [_HIDDEN])[0]
        hidden = {(schema, name) for schema, name in json.loads(found or "[]")}
        default = context.connection.dialect.default_schema_name
        context.opts["include_object"] = without(hidden, default, context.opts.get("include_object"))
        with listening() as lines:
            self.context.run_autogenerate(tuple(current), context)
        self.report(detected=[text for level, text in lines if level < logging.WARNING])
        self.report(remarks=[text for level, text in lines if level >= logging.WARNING])

    def twin(self, graph: Graph, heads: Sequence[str], bases: Sequence[str]) -> dict[str, Any]:
        """Return the empty head that an earlier run of the same made; nothing when there is none."""
        message = " ".join(self.asked["message"].split())
        for revision in heads:
            item = self.script.get_revision(revision)
            same = graph[revision]["message"] == message and self.asked["branch_label"] in (None, *item.branch_labels)
            if same and (revision in bases or down_of(item) == list(bases)) and is_empty(Path(item.path)):
                return file_facts(item, item.path)
        return {}

    # The file

    def write(self) -> None:
        """Render the one revision; the module may look at it before it is written."""
        [script] = self.context.generated_revisions
        self.report(operations=operations(script), dropped=dropped(script))
        # On the instance, and only now: what alembic does around it stays its own.
        self.script._generate_template = self.generate
        self.script._ensure_directory = lambda _path: None
        with contextlib.suppress(Shown):
            [item] = list(self.context.generate_scripts())
            content = Path(item.path).read_text(encoding=self.script.output_encoding)
            if content != self.content:
                check_file(content, str(item.path))
            self.report(file={**file_facts(item, item.path), "content": content})

    def generate(self, source: Any, path: Any, **arguments: Any) -> None:
        """Render the template, try the result, and write it; in place of ScriptDirectory._generate_template."""
        if not Path(source).exists():
            raise RunnerError(f"there is no {os.path.relpath(source)}: take the one that `alembic init` makes")
        self.content = (
            importlib.import_module("mako.template").Template(filename=str(source)).render_unicode(**arguments)
        )
        down = arguments["down_revision"] or ()
        facts = {
            "revision": arguments["up_revision"],
            "down_revision": [down] if isinstance(down, str) else list(down),
            "path": os.path.relpath(path),
            "content": self.content,
        }
        if Path(path).exists():
            raise RunnerError(f"{facts['path']} exists already: give another message or id")
        check_file(self.content, str(path))
        if not self.request["write"]:
            self.report(file=facts, hooked=self.has_hooks())
            raise Shown
        self.report(file=facts, asks="file")
        self.permit()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("xb") as file:
            self.report(written=True)
            file.write(self.content.encode(self.script.output_encoding))

    def has_hooks(self) -> bool:
        """Say whether the project has programs that go over a new file."""
        hooks = getattr(self.script, "hooks", None) or getattr(self.script, "hook_config", None)
        return bool(hooks.get("hooks") if isinstance(hooks, Mapping) else hooks)


def file_facts(item: Any, path: Any) -> dict[str, Any]:
    """Return what the module is told about a revision's file."""
    return {"revision": item.revision, "down_revision": down_of(item), "path": os.path.relpath(path)}


def down_of(item: Any) -> list[str]:
    """Return the revisions right below one, sorted."""
    down = item.down_revision or ()
    return [down] if isinstance(down, str) else sorted(down)


def without(hidden: set[tuple[str, str]], default: str, included: Callable[..., bool] | None) -> Callable[..., bool]:
    """Return include_object of env.py, which then sees no hidden table; hidden: schemas and names."""

    def visible(item: Any, name: str, kind: str, reflected: bool, other: Any) -> bool:
        if kind == "table" and (item.schema or default, name) in hidden:
            return False
        return included is None or included(item, name, kind, reflected, other)

    return visible


@contextlib.contextmanager
def listening() -> Iterator[list[tuple[int, str]]]:
    """Collect what autogenerate logs, as (level, line), whatever fileConfig of env.py made of its loggers."""
    lines: list[tuple[int, str]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.levelno, " ".join(record.getMessage().split())))

    parent, collector = logging.getLogger("alembic.autogenerate"), Collector()
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(parent.name):
            logging.getLogger(name).disabled = False
    level = parent.level
    parent.setLevel(logging.INFO)
    parent.addHandler(collector)
    try:
        yield lines
    finally:
        parent.removeHandler(collector)
        parent.setLevel(level)


# What operations say in few words


def operations(script: Any) -> list[str]:
    """Return the operations of a MigrationScript's upgrade, each in a few words, such as `add column users.email`."""
    return [words(item) for container in script.upgrade_ops_list for item in flat(container)]


def dropped(script: Any) -> list[str]:
    """Return the tables and columns that the upgrade drops, such as `column users.email`."""
    found = [item for container in script.upgrade_ops_list for item in flat(container)]
    return [words(item).partition(" ")[2] for item in found if type(item).__name__ in ("DropTableOp", "DropColumnOp")]


def flat(container: Any) -> Iterator[Any]:
    """Yield the operations of a container and of those in it."""
    for item in container.ops:
        if hasattr(item, "ops"):
            yield from flat(item)
        else:
            yield item


def words(item: Any) -> str:
    """Return an operation in a few words."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"Op$", "", type(item).__name__)).lower()
    table = getattr(item, "table_name", None) or getattr(item, "source_table", None) or ""
    schema = getattr(item, "schema", None) or getattr(item, "source_schema", None)
    place = f"{schema}.{table}" if schema and table else table
    column = getattr(item, "column_name", None) or getattr(getattr(item, "column", None), "name", None)
    if column:
        return f"{kind} {place}.{column}"
    part = getattr(item, "index_name", None) or getattr(item, "constraint_name", None)
    if part:
        return f"{kind} {part} on {place}"
    return f"{kind} on {place}" if kind.endswith(("constraint", "key", "index")) else f"{kind} {place}".strip()


# What a file says


def is_empty(path: Path) -> bool:
    """Say whether upgrade() and downgrade() of a revision's file do nothing."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    functions = [item for item in tree.body if isinstance(item, ast.FunctionDef)]
    return all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions
        if function.name in ("upgrade", "downgrade")
        for statement in function.body
    )


def check_file(content: str, path: str) -> None:
    """Raise RunnerError unless content is a revision that can be imported, and whose functions know all that they name."""
    where = os.path.relpath(path)
    try:
        code = compile(content, path, "exec")
    except (SyntaxError, ValueError) as error:
        raise RunnerError(f"{where} would be no Python ({error}): look at message and script.py.mako") from None
    module = types.ModuleType(Path(path).stem)
    module.__file__ = path
    try:
        exec(code, module.__dict__)  # noqa: S102 - as alembic does with every revision
    except Exception as error:
        raise RunnerError(
            f"{where} could not be imported ({type(error).__name__}: {error}): look at script.py.mako"
        ) from None
    for name in ("revision", "upgrade"):
        if not hasattr(module, name):
            raise RunnerError(f"{where} would have no {name}: look at script.py.mako")
    known = {*vars(module), *vars(builtins)}
    functions = [
        value.__code__
        for value in vars(module).values()
        if isinstance(value, types.FunctionType) and value.__code__.co_filename == path
    ]
    unknown = sorted({name for item in functions for name in global_names(item)} - known)
    if unknown:
        raise RunnerError(
            f"{where} would name {', '.join(unknown)} without importing it: add the import to script.py.mako, "
            "or render the type by render_item in env.py"
        )


def global_names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a function and those within it look up outside of themselves."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant)
