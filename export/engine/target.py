"""Boards by name, and why an engine for another one is not built here."""

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
"""Thor is sm_101 to CUDA 12 and sm_110 since 13."""
ALIASES = {"sm_101": "sm_110"}
SHIP = (
    "ship the bundle instead: ostiary-export pack BUNDLE --out FILE.zip here, then ostiary bundle"
    " install FILE.zip DIR and ostiary-export engine there"
)


def check(target: str, sm: str, device: str) -> None:
    """Refuse to build for a board, or an sm_NN, that is not this one. Raises BackendError."""
    wanted = BOARDS.get(target, target if target.startswith("sm_") else "")
    if not wanted:
        known = ", ".join(BOARDS)
        raise BackendError(f"no board {target!r} is known", f"one of {known}, or sm_NN")
    if ALIASES.get(wanted, wanted) != ALIASES.get(sm, sm):
        here = f"{device}, {sm}" if sm != "none" else "no GPU"
        raise BackendError(
            f"an engine for {target} ({wanted}) can not be built on this {platform.machine()}"
            f" machine ({here}): TensorRT's engines run where they were built",
            SHIP,
        )
