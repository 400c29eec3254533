"""The power mode, the clocks and governors, and whether the board is throttled now."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ostiary.edge.selftest import thermal
from ostiary.edge.selftest.places import Ask, ask
from ostiary.edge.selftest.report import Check, judged, skipped
from ostiary.edge.selftest.thermal import Thermal

NAME = "power"
_MODE = re.compile(r"NV Power Mode:\s*(\S+)\s*(\d+)?")


def check(root: Path = Path("/"), asked: Ask = ask) -> Check:
    """Mode by `nvpmodel -q`; jetson_clocks is seen in the clocks, since the program needs root."""
    now = thermal.read(root)
    mode, number = power_mode(asked(["nvpmodel", "-q"]) or "")
    clocks = [*now.processors.values(), *now.gpus.values()]
    if mode is None and not clocks and not now.temperatures_c:
        return skipped(NAME, "nvpmodel, clocks and temperatures cannot be read here")
    locked = bool(clocks) and all(c.least is not None and c.least == c.most for c in clocks)
    governors = sorted({c.governor for c in now.processors.values() if c.governor})
    details = {
        "mode": mode,
        "mode_number": number,
        "clocks_locked": locked,
        "governors": governors,
        **msgspec.to_builtins(now),
    }
    problems = thermal.held_down(now)
    if governors == ["powersave"]:
        problems.append(
            ("the governor keeps the processor at its lowest clock", "choose schedutil")
        )
    return judged(NAME, _said(mode, locked, governors, now), problems, details)


def power_mode(text: str) -> tuple[str | None, int | None]:
    """The mode's name and number in the output of nvpmodel; None if absent."""
    found = _MODE.search(text)
    if found is None:
        return None, None
    return found[1], int(found[2]) if found[2] else None


def _said(mode: str | None, locked: bool, governors: list[str], now: Thermal) -> str:
    parts = [f"mode {mode}" if mode else "no nvpmodel"]
    if governors:
        parts.append(f"governor {'/'.join(governors)}")
        parts.append("jetson_clocks on" if locked else "jetson_clocks off")
    most = [c.most for c in now.processors.values() if c.most]
    if most:
        parts.append(f"processors up to {max(most) / 1000:.0f} MHz")
    if now.temperatures_c:
        zone = max(now.temperatures_c, key=lambda name: now.temperatures_c[name])
        parts.append(f"{zone} {now.temperatures_c[zone]:.0f} C")
    events = {name: count for name, count in now.events.items() if count}
    if events:
        parts.append("since boot " + ", ".join(f"{name} {count}" for name, count in events.items()))
    return ", ".join(parts)
