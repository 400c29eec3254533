"""The service: the state of its systemd units and watchdogs."""

from __future__ import annotations

from ostiary.edge.selftest.places import Ask, ask
from ostiary.edge.selftest.report import Check, fail, judged, skipped

NAME = "service"
DAEMON, ENGINE = "ostiary.service", "ostiary-engine.service"
SHOWN = ("LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts",
         "WatchdogUSec")  # fmt: skip
LOG = "run `journalctl -u ostiary` to see why"
NEVER = ("0", "infinity", "")


def check(asked: Ask = ask) -> Check:
    """The state of the units, the number of restarts, and the watchdogs."""
    daemon = shown(DAEMON, asked)
    if not daemon:
        return skipped(NAME, "systemd does not answer here")
    if daemon.get("LoadState") == "not-found":
        return skipped(NAME, f"{DAEMON} is not installed", "install it with scripts/install-device")
    manager = _parsed(asked(["systemctl", "show", "-p", "RuntimeWatchdogUSec"]))
    units = {"daemon": daemon, "engine": shown(ENGINE, asked)}
    details = {
        **units,
        "board_watchdog": manager.get("RuntimeWatchdogUSec"),
    }
    active = daemon.get("ActiveState", "")
    finding = f"{active} ({daemon.get('SubState', '')}), watchdog {daemon.get('WatchdogUSec', '')}"
    failed = [name for name, unit in units.items() if unit.get("ActiveState") == "failed"]
    if failed:
        results = ", ".join(f"{name} failed: {units[name].get('Result')}" for name in failed)
        return fail(NAME, f"{finding}; {results}", LOG, **details)
    problems = []
    if active not in ("active", "activating", "reloading"):
        problems.append(("not running", "run `systemctl start ostiary` after this test"))
    if daemon.get("NRestarts", "0") != "0":
        problems.append((f"restarted {daemon['NRestarts']} times", LOG))
    if daemon.get("WatchdogUSec", "") in NEVER:
        problems.append(("no watchdog", "install the unit that Ostiary ships"))
    if daemon.get("UnitFileState") == "disabled":
        problems.append(("not started at boot", "run `systemctl enable ostiary`"))
    return judged(NAME, finding, problems, details)


def shown(unit: str, asked: Ask) -> dict[str, str]:
    """The SHOWN properties of a unit; empty if systemd does not answer."""
    return _parsed(asked(["systemctl", "show", unit, *(f"--property={name}" for name in SHOWN)]))


def _parsed(text: str | None) -> dict[str, str]:
    lines = (line.partition("=") for line in (text or "").splitlines())
    return {name: value for name, equals, value in lines if equals}
