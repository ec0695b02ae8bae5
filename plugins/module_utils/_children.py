# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes that live no longer than we do."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def bound_to_parent(ending: signal.Signals) -> Callable[[], None]:
    """Return what a child calls before it runs, so that the kernel sends it a signal when we end, however that comes about.

    A change of account takes this back, so it must come after that, as it does in subprocess.
    """
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(ending))
        if os.getppid() != parent:  # too late
            os._exit(1)

    return bind


def ending(status: int) -> str:
    """Return how a child ended, by the status that subprocess gives, negative for a signal."""
    return f"it was ended by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
