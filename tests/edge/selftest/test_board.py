"""The self-test on a Jetson's files: board, temperatures, clocks, power mode, service."""

from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.selftest import board, power, service, thermal, versions
from ostiary.edge.selftest.report import CheckVerdict
from tests.support.jetson_tree import MODEL, NVPMODEL, clock, gpu, jetson, put

OK, WARN, FAIL, SKIPPED = CheckVerdict


def silent(command: list[str]) -> str | None:
    """No program is installed."""
    return None


def nvpmodel(command: list[str]) -> str | None:
    return NVPMODEL if command == ["nvpmodel", "-q"] else None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return jetson(tmp_path)


def test_the_board_is_named_with_its_releases(root: Path) -> None:
    found = board.check(root, "aarch64", silent)
    assert found.verdict is OK
    assert found.details == {
        "model": MODEL, "jetson_linux": "36.4.3", "jetpack": "6.2",
        "system": "Ubuntu 22.04.5 LTS", "architecture": "aarch64", "kernel": "5.15.148-tegra",
        "cores": 6, "memory_mb": 7619,
    }  # fmt: skip
    assert "JetPack 6.2" in found.finding
    assert "1424325050123" not in str(found), "the serial number is nobody's business"


def test_the_jetpack_package_knows_better_than_a_table(root: Path) -> None:
    asked = []

    def dpkg(command: list[str]) -> str | None:
        asked.append(command[-1])
        return "6.2.1+b38\n"

    assert board.check(root, "aarch64", dpkg).details["jetpack"] == "6.2.1+b38"
    assert asked == ["nvidia-jetpack"]


@pytest.mark.parametrize(
    ("release", "jetpack", "verdict"),
    [
        ("# R38 (release), REVISION: 2.0, GCID: 41844464", "7.0", OK),
        ("# R36 (release), REVISION: 4.0, GCID: 37537400", "6.1", OK),
        ("# R36 (release), REVISION: 4.99, GCID: 1", None, OK),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178", None, WARN),
    ],
)
def test_every_release_of_jetson_linux(
    root: Path, release: str, jetpack: str | None, verdict: CheckVerdict
) -> None:
    put(root, "etc/nv_tegra_release", release)
    found = board.check(root, "aarch64", silent)
    assert (found.details["jetpack"], found.verdict) == (jetpack, verdict)


def test_a_machine_that_is_no_jetson_is_no_failure(tmp_path: Path) -> None:
    found = board.check(tmp_path, "x86_64", silent)
    assert found.verdict is OK
    assert found.details["model"] is None
    assert "not a Jetson" in found.finding


def test_a_jetsons_power_mode_heat_and_clocks(root: Path) -> None:
    found = power.check(root, nvpmodel)
    assert found.verdict is OK
    assert (found.details["mode"], found.details["mode_number"]) == ("25W", 1)
    assert found.details["temperatures_c"]["tj-thermal"] == 50.531
    assert "cv0-thermal" not in found.details["temperatures_c"]
    assert found.details["governors"] == ["schedutil"]
    assert found.details["gpus"]["17000000.gpu"]["possible"] == 1020000000
    assert found.details["events"] == {"oc1": 0, "oc2": 0, "oc3": 37}
    for part in ("mode 25W", "jetson_clocks off", "up to 1344 MHz", "51 C", "since boot oc3 37"):
        assert part in found.finding


def test_locked_clocks_are_recognised(root: Path) -> None:
    for core in range(6):
        clock(root, f"sys/devices/system/cpu/cpu{core}/cpufreq", least=1344000)
    assert "jetson_clocks off" in power.check(root, nvpmodel).finding
    gpu(root, least=918000000)
    assert "jetson_clocks on" in power.check(root, nvpmodel).finding


def test_nvpmodel_without_a_number() -> None:
    assert power.power_mode("NV Power Mode: MAXN_SUPER\n") == ("MAXN_SUPER", None)
    assert power.power_mode("NVPM ERROR: ...") == (None, None)


def test_a_hot_board_an_alert_and_a_slow_governor_are_warnings(root: Path) -> None:
    put(root, "sys/class/thermal/thermal_zone8/temp", "98900")
    assert power.check(root, nvpmodel).verdict is OK
    put(root, "sys/class/thermal/thermal_zone8/temp", "99000")
    put(root, "sys/class/thermal/cooling_device1/cur_state", "1")
    for core in range(6):
        put(root, f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "powersave")
    found = power.check(root, nvpmodel)
    assert found.verdict is WARN
    for part in ("tj-thermal is at 99 C", "gpu-throttle-alert is on", "at its lowest"):
        assert part in found.finding
    assert "cooling" in found.hint


def test_a_zone_without_a_limit_of_its_own_is_hot_at_85(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "acpitz")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "84900")
    assert thermal.held_down(thermal.read(tmp_path)) == []
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "85000")
    assert len(thermal.held_down(thermal.read(tmp_path))) == 1


def test_what_slows_a_board_between_two_moments_is_named(root: Path) -> None:
    before = thermal.read(root)
    assert thermal.slowed(before, thermal.read(root)) == []
    put(root, "sys/class/hwmon/hwmon3/oc3_event_cnt", "40")
    clock(root, "sys/devices/system/cpu/cpu2/cpufreq", most=729600)
    gpu(root, most=612000000)
    found = [problem for problem, _ in thermal.slowed(before, thermal.read(root))]
    assert found == [
        "oc3 (current or voltage) throttled the board 3 times",
        "cpu2 is limited to 729600, before 1344000",
        "17000000.gpu is limited to 612000000, before 918000000",
    ]


def test_a_machine_that_tells_nothing_is_skipped(tmp_path: Path) -> None:
    assert power.check(tmp_path, silent).verdict is SKIPPED


UNIT = {
    "LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active",
    "SubState": "running", "Result": "success", "NRestarts": "0", "WatchdogUSec": "10s",
}  # fmt: skip


def systemd(daemon: dict[str, str], engine: dict[str, str] | None = None) -> Any:
    """`systemctl show` of these two units, and of the manager."""

    def asked(command: list[str]) -> str:
        assert command[:2] == ["systemctl", "show"]
        shown = {service.DAEMON: daemon, service.ENGINE: engine or UNIT}
        unit = shown.get(command[2], {"RuntimeWatchdogUSec": "infinity"})
        return "".join(f"{name}={value}\n" for name, value in unit.items())

    return asked


@pytest.mark.parametrize(
    ("changed", "verdict", "part"),
    [
        ({}, OK, "active (running), watchdog 10s"),
        ({"ActiveState": "inactive", "SubState": "dead"}, WARN, "not running"),
        ({"NRestarts": "3"}, WARN, "restarted 3 times"),
        ({"WatchdogUSec": "infinity"}, WARN, "no watchdog"),
        ({"UnitFileState": "disabled"}, WARN, "not started at boot"),
        ({"ActiveState": "failed", "Result": "watchdog"}, FAIL, "daemon failed: watchdog"),
        ({"LoadState": "not-found"}, SKIPPED, "not installed"),
    ],
)
def test_the_service(changed: dict[str, str], verdict: CheckVerdict, part: str) -> None:
    found = service.check(systemd({**UNIT, **changed}))
    assert found.verdict is verdict
    assert part in found.finding
    assert (verdict is OK) == (found.hint == "")


def test_a_failed_engine_unit_and_an_absent_systemd() -> None:
    found = service.check(systemd(UNIT, {**UNIT, "ActiveState": "failed", "Result": "timeout"}))
    assert (found.verdict, "engine failed: timeout" in found.finding) == (FAIL, True)
    assert service.check(silent).verdict is SKIPPED


def test_the_driver_is_read_and_what_is_absent_is_said_so(root: Path) -> None:
    found = versions.check(root)
    assert found.details["nvidia_driver"] == "540.4.0"
    assert found.details["numpy"].split(".")[0].isdigit()
    assert versions.version(["no-such-package"], "no_such_module") == "absent"


def test_a_module_that_crashes_at_its_import_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "crashing.py", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    put(tmp_path, "unregistered.py", "__version__ = '10.3.0'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert versions.version(["none"], "crashing") == "cannot be imported: ended by SIGSEGV"
    assert versions.version(["none"], "unregistered") == "10.3.0"
