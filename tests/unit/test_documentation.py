"""What every module documents is what it takes: options, types, choices, defaults, suboptions; and each return has a sample."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.pgsteward.postgres.plugins"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py"))
RUN = [
    name for name in MODULES if not (ROOT / "plugins" / "action" / f"{name}.py").exists()
]  # the others are documentation only


class _AskedError(Exception):
    """Raised in the place of running a module."""


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the argument spec that a module hands to Ansible."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    asked: dict[str, Any] = {}

    def capture(*_arguments: Any, **options: Any) -> None:
        asked.update(options)
        raise _AskedError

    monkeypatch.setattr(module, "AnsibleModule", capture)
    with pytest.raises(_AskedError):
        module.main()
    spec: dict[str, Any] = asked["argument_spec"]
    return spec


def documented(name: str) -> dict[str, Any]:
    """Return the options that a module documents, with those of its fragments, whose own words come last."""
    text = safe_load(importlib.import_module(f"{PACKAGE}.modules.{name}").DOCUMENTATION)
    options: dict[str, Any] = {}
    for fragment in text.get("extends_documentation_fragment", []):
        file, _dot, part = fragment.removeprefix("pgsteward.postgres.").partition(".")
        held = importlib.import_module(f"{PACKAGE}.doc_fragments.{file}").ModuleDocFragment
        options |= safe_load(getattr(held, part.upper() or "DOCUMENTATION")).get("options", {})
    return options | text.get("options", {})


def plain(options: dict[str, Any], inner: str) -> dict[str, Any]:
    """Return options with all that both sides say of them; inner: what suboptions are called."""
    return {
        name: {
            "type": option.get("type", "str"),
            "required": bool(option.get("required")),
            "default": option.get("default"),
            "choices": sorted(option.get("choices") or (), key=str),
            "elements": option.get("elements"),
            "aliases": sorted(option.get("aliases", ())),
            "options": plain(option.get(inner) or {}, inner),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", RUN)
def test_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain(documented(name), "suboptions") == plain(spec_of(name, monkeypatch), "options")


@pytest.mark.parametrize("name", MODULES)
def test_returns(name: str) -> None:
    returned = safe_load(importlib.import_module(f"{PACKAGE}.modules.{name}").RETURN) or {}
    assert [key for key, entry in returned.items() if "sample" not in entry and "contains" not in entry] == []
    assert [key for key, entry in returned.items() if not {"description", "returned", "type"} <= entry.keys()] == []
