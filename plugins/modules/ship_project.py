#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of ship_project that runs on the host; the action plugin of the same name packs the directory on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ship_project
short_description: Keep a directory of the host equal to one of the controller
version_added: 0.1.0
description:
  - Ships a project (an Alembic tree with its models) from the controller to the host that runs its migrations, in one step
    whatever the number of files.
  - Owns the directory O(dest) as a whole, unless O(exclusive) is false. A file there that the source does not have is removed, because a
    revision file left behind is a second head. Caches (C(__pycache__), C(.git) and the like) are neither shipped nor removed.
options:
  src:
    description: Directory on the controller.
    type: path
    required: true
  dest:
    description: Directory on the host. Its parent must exist, unless O(exclusive) is false.
    type: path
    required: true
  only:
    description: Files of O(src) to ship, relative to it. Without it all.
    type: list
    elements: str
  exclusive:
    description: Whether other files in O(dest) are removed.
    type: bool
    default: true
  files:
    description: The packed content; set by the action plugin.
    type: dict
attributes:
  check_mode:
    description: Compares and writes nothing.
    support: full
  diff_mode:
    description: Shows each file that would be written or removed.
    support: full
author: The pgsteward maintainers (@pgsteward)
"""

EXAMPLES = r"""
- name: Ship the project
  pgsteward.postgres.ship_project:
    src: "{{ playbook_dir }}/../shop/migrations"
    dest: /opt/pgsteward/shop/project
"""

RETURN = r"""
written:
  description: Files that were written, relative to O(dest).
  returned: success
  type: list
  elements: str
  sample: [versions/003_orders.py]
removed:
  description: Files that were removed, relative to O(dest).
  returned: success
  type: list
  elements: str
  sample: []
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgsteward.postgres.plugins.module_utils import _tree
from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError, run


def ship(dest: Path, packed: dict[str, str], exclusive: bool, dry_run: bool) -> dict[str, Any]:
    """Make `dest` hold the packed files, and if exclusive no others; return the module's result."""
    if exclusive and not dest.parent.is_dir() and not dry_run:
        raise StewardError(f"{dest.parent} does not exist: make it first, then ship the project below it")
    current, wanted = _tree.read(dest), _tree.unpack(packed)
    if not exclusive:
        current = {name: content for name, content in current.items() if name in wanted}
    steps = _tree.plan(current, wanted)
    if not dry_run:
        try:
            for name in steps.written:
                path = dest / name
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                path.write_bytes(wanted[name])
            for name in steps.removed:
                (dest / name).unlink()
        except OSError as error:
            raise StewardError(f"{dest} is now incomplete: {error}; mend the cause and run again") from None
    return {
        "changed": bool(steps.written or steps.removed),
        "written": list(steps.written),
        "removed": list(steps.removed),
        "diff": _tree.diffs(current, wanted, steps),
    }


def main() -> None:
    """Compare, write unless in check mode, report."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "only": {"type": "list", "elements": "str"},
            "exclusive": {"type": "bool", "default": True},
            "files": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["files"] is None:
        module.fail_json(msg="ship_project runs through its action plugin, which packs src on the controller")
    run(module, lambda: ship(Path(given["dest"]), given["files"], given["exclusive"], module.check_mode))


if __name__ == "__main__":
    main()
