"""Write the variable table of every role's README from its argument_specs; `--check` only says whether one is out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- variables:begin -->", "<!-- variables:end -->"


def table(options: dict[str, dict[str, Any]], defaults: dict[str, Any]) -> str:
    """Return the Markdown table of a role's inputs."""
    rows = ["| variable | type | default | what it does |", "|---|---|---|---|"]
    for name, option in options.items():
        text = option["description"]
        sentences = " ".join(text if isinstance(text, list) else [text])
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = yaml.safe_dump(defaults[name], default_flow_style=True, width=1000).split("\n")[0]
        rows.append(f"| `{name}` | {kind} | `{default}` | {plain(sentences)} |")
    return "\n".join(rows)


def plain(text: str) -> str:
    """Return Ansible's markup as Markdown, fit for a table cell."""
    for mark in ("C(", "O(", "V(", "M(", "B("):
        while mark in text:
            before, _, rest = text.partition(mark)
            inside, _, after = rest.partition(")")
            text = f"{before}`{inside}`{after}"
    return " ".join(text.split()).replace("|", "\\|")


def renewed(readme: str, role: Path) -> str:
    """Return the README with its table made anew."""
    options = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(options, defaults)}\n{END}{after}"


def main() -> int:
    """Renew or check every role's README."""
    stale = []
    only_check = "--check" in sys.argv
    for readme in sorted(ROOT.glob("roles/*/README.md")):
        text = readme.read_text()
        new = renewed(text, readme.parent)
        if new != text:
            stale.append(str(readme.relative_to(ROOT)))
            if not only_check:
                readme.write_text(new)
    if stale:
        print("out of date: run tools/role_readme.py:" if only_check else "renewed:", ", ".join(stale))
    return int(bool(stale) and only_check)


if __name__ == "__main__":
    sys.exit(main())
