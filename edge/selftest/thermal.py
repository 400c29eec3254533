"""Temperatures, clock frequencies and throttling, as the kernel reports them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ostiary.edge.selftest.places import number, text

HOT_C = 85.0
"""Limit for a zone that states no temperature at which it throttles."""
COOL = "improve the cooling, or choose a lower power mode (nvpmodel)"
SUPPLY = "use a stronger power supply, or choose a lower power mode (nvpmodel)"


class Clock(msgspec.Struct, frozen=True):
    """One frequency domain: kHz for processors and Hz for GPUs, as in the kernel's files."""

    governor: str | None
    now: int | None
    least: int | None
    most: int | None
    possible: int | None


class Thermal(msgspec.Struct, frozen=True):
    """State at one moment: `alerts` are active throttle alerts, `events` are counts since boot."""

    temperatures_c: dict[str, float]
    passive_c: dict[str, float]
    alerts: list[str]
    events: dict[str, int]
    processors: dict[str, Clock]
    gpus: dict[str, Clock]


def read(root: Path = Path("/")) -> Thermal:
    """All that can be read; a zone that is powered off is left out."""
    temperatures, passive = {}, {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"), key=_order):
        name, now = text(zone / "type") or zone.name, number(zone / "temp")
        if now is None:
            continue
        temperatures[name] = now / 1000
        limit = _passive(zone)
        if limit is not None:
            passive[name] = limit
    return Thermal(
        temperatures, passive, _alerts(root), _events(root), _processors(root), _gpus(root)
    )


def _order(path: Path) -> int:
    return int(re.sub(r"\D", "", path.name) or 0)


def _passive(zone: Path) -> float | None:
    """The lowest temperature in C at which a zone throttles; None if it states none."""
    points = [p for p in zone.glob("trip_point_*_type") if text(p) == "passive"]
    limits = [number(p.with_name(p.name.replace("_type", "_temp"))) for p in points]
    return min((limit / 1000 for limit in limits if limit is not None and limit > 0), default=None)


def _alerts(root: Path) -> list[str]:
    """The active throttle alerts of a Jetson."""
    found = []
    for device in (root / "sys/class/thermal").glob("cooling_device*"):
        name = text(device / "type") or ""
        if name.endswith("-alert") and (number(device / "cur_state") or 0) > 0:
            found.append(name)
    return sorted(found)


def _events(root: Path) -> dict[str, int]:
    """How often over-current or under-voltage throttled the Jetson since boot, by sensor."""
    found = {}
    for sensor in (root / "sys/class/hwmon").glob("hwmon*"):
        if text(sensor / "name") == "soctherm_oc":
            for file in sorted(sensor.glob("oc*_event_cnt")):
                found[file.name.removesuffix("_event_cnt")] = number(file) or 0
    return found


def _processors(root: Path) -> dict[str, Clock]:
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq")
    return {
        folder.parent.name: Clock(
            governor=text(folder / "scaling_governor"),
            now=number(folder / "scaling_cur_freq"),
            least=number(folder / "scaling_min_freq"),
            most=number(folder / "scaling_max_freq"),
            possible=number(folder / "cpuinfo_max_freq"),
        )
        for folder in sorted(folders, key=lambda f: _order(f.parent))
    }


def _gpus(root: Path) -> dict[str, Clock]:
    folders = sorted((root / "sys/class/devfreq").glob("*gpu*"))
    return {
        folder.name: Clock(
            governor=text(folder / "governor"),
            now=number(folder / "cur_freq"),
            least=number(folder / "min_freq"),
            most=number(folder / "max_freq"),
            possible=max(
                map(int, (text(folder / "available_frequencies") or "").split()), default=None
            ),
        )
        for folder in folders
    }


def held_down(now: Thermal) -> list[tuple[str, str]]:
    """What throttles the board at one moment: (problem, hint)."""
    problems = [(f"{name} is on", COOL) for name in now.alerts]
    for zone, celsius in now.temperatures_c.items():
        if celsius >= now.passive_c.get(zone, HOT_C):
            problems.append((f"{zone} is at {celsius:.0f} C", COOL))
    return problems


def slowed(before: Thermal, after: Thermal) -> list[tuple[str, str]]:
    """What throttles the board after, or throttled it since `before`: (problem, hint)."""
    problems = held_down(after)
    for name, count in after.events.items():
        more = count - before.events.get(name, 0)
        if more > 0:
            problems.append(
                (f"{name} (current or voltage) throttled the board {more} times", SUPPLY)
            )
    for name, clock in (after.processors | after.gpus).items():
        was = (before.processors | before.gpus).get(name)
        if was is not None and (clock.most or 0) < (was.most or 0):
            problems.append((f"{name} is limited to {clock.most}, before {was.most}", COOL))
    return problems
