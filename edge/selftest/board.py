"""The board: its model, its Jetson Linux and JetPack, its processor and memory."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from ostiary.edge.selftest.places import Ask, ask, text
from ostiary.edge.selftest.report import Check, ok, warn

NAME = "board"
OLDEST_L4T = 36
JETPACKS = {
    "36.2": "6.0 DP", "36.3": "6.0", "36.4": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1",
    "38.2": "7.0", "38.4": "7.1", "39.2": "7.2", "39.2.1": "7.2.1",
}  # fmt: skip
"""JetPack by Jetson Linux version; used if the package nvidia-jetpack is not installed."""
_RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")


def check(root: Path = Path("/"), machine: str = platform.machine(), asked: Ask = ask) -> Check:
    """The board as the device tree and the kernel describe it. Serial numbers are not read."""
    release = jetson_linux(root)
    details = {
        "model": text(root / "proc/device-tree/model"),
        "jetson_linux": release,
        "jetpack": jetpack(release, asked) if release else None,
        "system": _pretty_name(root),
        "architecture": machine,
        "kernel": text(root / "proc/sys/kernel/osrelease"),
        "cores": len(re.findall(r"^processor\s*:", text(root / "proc/cpuinfo") or "", re.M)),
        "memory_mb": _memory_mb(root),
    }
    said = details["model"] or f"{machine}, no device tree"
    finding = f"{said}, {details['cores']} cores, {details['memory_mb']} MB"
    if release is None:
        return ok(NAME, f"{finding}; not a Jetson", **details)
    finding += f", Jetson Linux {release}, JetPack {details['jetpack'] or 'unknown'}"
    if int(release.split(".")[0]) < OLDEST_L4T:
        return warn(
            NAME,
            finding,
            "flash JetPack 6 or 7: the Python of JetPack 4 and 5 is older than 3.10",
            **details,
        )
    return ok(NAME, finding, **details)


def jetson_linux(root: Path) -> str | None:
    """The version of Jetson Linux, for example 36.4.3; None if this is not a Jetson."""
    found = _RELEASE.search(text(root / "etc/nv_tegra_release") or "")
    return f"{found[1]}.{found[2]}" if found else None


def jetpack(release: str, asked: Ask) -> str | None:
    """The JetPack release: that of its package if installed, else by Jetson Linux version."""
    installed = asked(["dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack"])
    if installed:
        return installed.strip()
    return JETPACKS.get(release.removesuffix(".0"))


def _pretty_name(root: Path) -> str | None:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', text(root / "etc/os-release") or "", re.M)
    return found[1] if found else None


def _memory_mb(root: Path) -> int | None:
    found = re.search(r"^MemTotal:\s*(\d+) kB", text(root / "proc/meminfo") or "", re.M)
    return int(found[1]) // 1024 if found else None
