# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the list of accepted differences."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: differences between a schema and its truth that somebody decided to live with."""

    DOCUMENTATION = r"""
options:
  accept:
    description:
      - Differences that are accepted. They are returned apart and stop nothing.
      - An entry that fits no difference, or whose last day is over, is named in a warning.
    type: list
    elements: dict
    default: []
    suboptions:
      object:
        description:
          - Object as a difference names it, such as C(index public.idx_users_email); C(*) and C(?) stand for any text and any character.
        type: str
        required: true
      attribute:
        description:
          - Attribute as a difference names it.
        type: str
        default: '*'
      reason:
        description:
          - Why this may differ.
        type: str
        required: true
      until:
        description:
          - Last day on which it is accepted, as C(2026-12-31). Without it for good.
        type: str
"""
