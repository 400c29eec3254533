"""Boards by name, and the refusal to build an engine for a board that is not this machine."""

from __future__ import annotations

import platform

from ostiary.edge.errors import BackendError

BOARDS = {
    "jetson-nano": "sm_53",
    "jetson-tx2": "sm_62",
    "jetson-xavier-nx": "sm_72",
    "jetson-agx-xavier": "sm_72",
    "jetson-orin-nano": "sm_87",
    "jetson-orin-nx": "sm_87",
    "jetson-agx-orin": "sm_87",
    "jetson-agx-thor": "sm_110",
}
"""Each board's compute capability. Thor is sm_101 up to CUDA 12 and sm_110 from CUDA 13."""
ALIASES = {"sm_101": "sm_110"}
SHIP = (
    "ship the bundle instead: ostiary-export pack here, then ostiary bundle install and"
    " ostiary-export engine on the device"
)


def check(target: str, sm: str, device: str) -> None:
    """Raise BackendError if a board, or an sm_NN, is not this machine."""
    wanted = BOARDS.get(target, target if target.startswith("sm_") else "")
    if not wanted:
        known = ", ".join(BOARDS)
        raise BackendError(f"no board {target!r} is known", f"give one of {known}, or sm_NN")
    if ALIASES.get(wanted, wanted) != ALIASES.get(sm, sm):
        here = f"{device}, {sm}" if sm != "none" else "no GPU"
        raise BackendError(
            f"an engine for {target} ({wanted}) cannot be built on this {platform.machine()}"
            f" machine ({here}): an engine runs only on the device that built it",
            SHIP,
        )
