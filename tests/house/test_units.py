"""The units: clean under `systemd-analyze verify`, confined, and every weakness with its reason."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ostiary.edge import sections
from ostiary.edge.adapters.door.program import GRACE_S
from ostiary.edge.config import load_config
from tests.support.places import ROOT, ostiary

UNITS = ROOT / "systemd"
DOOR, ENGINE = UNITS / "ostiary.service", UNITS / "ostiary-engine.service"
BOTH = pytest.mark.parametrize("unit", [DOOR, ENGINE], ids=lambda path: path.stem)
BACKOFF = UNITS / "since-254" / "ostiary.service.d" / "backoff.conf"
MOST_EXPOSURE = 2.0
WEAKER = ("DeviceAllow", "RestrictAddressFamilies", "SupplementaryGroups", "SystemCallFilter")
"""What is a relaxation whatever its value; others are one where they say no or all."""


def _version() -> int:
    if shutil.which("systemd-analyze") is None:
        return 0
    done = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True)
    return int(done.stdout.split()[1])


VERSION = _version()
needs_systemd = pytest.mark.skipif(VERSION < 250, reason="needs systemd 250 (Debian: systemd)")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")


def settings(path: Path) -> list[tuple[str, str]]:
    """Every `Key=value` of a unit, in order."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "["))]
    return [(key, value) for key, found, value in (x.partition("=") for x in lines) if found]


def all_of(path: Path, key: str) -> list[str]:
    return [value for name, value in settings(path) if name == key]


def one_of(path: Path, key: str) -> str:
    (value,) = all_of(path, key)
    return value


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root directory with systemd's own units, ours, and programs where ours look for them."""
    theirs = next(p for p in map(Path, ("/usr/lib/systemd", "/lib/systemd")) if p.is_dir())
    shutil.copytree(theirs / "system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    ours = tmp_path / "etc/systemd/system"
    ours.mkdir(parents=True)
    for unit in (DOOR, ENGINE):
        shutil.copy(unit, ours)
        for name in ("/bin/sh", *(command[0] for command in commands(unit))):
            program = tmp_path / name.lstrip("/")
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
    return tmp_path


def verify(system: Path) -> tuple[int, str]:
    names = [DOOR.name, ENGINE.name]
    command = ["systemd-analyze", "verify", "--man=no", f"--root={system}", *names]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@needs_systemd
def test_the_units_are_clean(system: Path) -> None:
    if VERSION >= 254:
        shutil.copytree(BACKOFF.parent, system / "etc/systemd/system" / BACKOFF.parent.name)
    assert verify(system) == (0, "")


@needs_systemd
@pytest.mark.parametrize("wrong", ["WatchdogSecs=10", "ExecStartPre=/opt/ostiary/nowhere"])
def test_a_unit_that_is_wrong_would_be_found(system: Path, wrong: str) -> None:
    unit = system / "etc/systemd/system" / DOOR.name
    unit.write_text(unit.read_text().replace("Type=notify", f"Type=notify\n{wrong}"))
    assert verify(system) != (0, "")


def security(unit: Path, *options: str) -> str:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", *options, str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_systemd
@BOTH
def test_the_exposure_is_low(unit: Path) -> None:
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", security(unit))
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSURE


@needs_systemd
@BOTH
def test_each_weakness_that_systemd_finds_has_its_reason(unit: Path) -> None:
    """A comment `# Name: why`, or `# Name, Name: why`, for each finding with any exposure."""
    findings = [row for row in json.loads(security(unit, "--json=short")) if row["exposure"]]
    reasons = re.findall(r"^# ((?:\w+, )*\w+):", unit.read_text(), re.M)
    explained = {name for names in reasons for name in names.split(", ")}
    assert findings
    assert {re.findall(r"^\w+", row["name"])[0] for row in findings} <= explained


@BOTH
def test_each_relaxation_stands_below_a_comment(unit: Path) -> None:
    above, bare = False, []
    for line in unit.read_text().splitlines():
        key, _, value = line.partition("=")
        if line.startswith("#") or not line:
            above = line.startswith("#")
        elif (key in WEAKER or value in ("no", "all")) and not above:
            bare.append(line)
    assert bare == []


def commands(unit: Path) -> list[list[str]]:
    """What a unit runs; of a shell's, the first command in it."""
    split = [shlex.split(value) for key, value in settings(unit) if key.startswith("Exec")]
    return [shlex.split(c[2].partition(";")[0]) if c[0] == "/bin/sh" else c for c in split]


EVERY_COMMAND = [command for unit in (DOOR, ENGINE) for command in commands(unit)]


@pytest.mark.parametrize(
    "command", EVERY_COMMAND, ids=lambda c: f"{Path(c[0]).name}-{c[1]}-{c[-1]}"
)
def test_the_units_run_real_commands_with_real_options(command: list[str]) -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
    entry = project["project"]["scripts"][Path(command[0]).name]
    done = ostiary(command[1], "--help", program=entry.split(".")[1])
    assert done.returncode == 0, done.stderr
    wanted = {word for word in command if word.startswith("-")}
    assert wanted <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_the_engine_is_built_first_and_the_door_opens_without_it() -> None:
    assert one_of(ENGINE, "Before") == DOOR.name
    assert one_of(DOOR, "Wants") == ENGINE.name
    assert all_of(DOOR, "Requires") == []
    assert one_of(ENGINE, "Type") == "oneshot"
    (condition,) = all_of(ENGINE, "ExecCondition")
    # Asking and building must be about the same profile.
    assert condition.startswith(f"/bin/sh -c '{one_of(ENGINE, 'ExecStart')} --needed; case $$? in ")
    assert one_of(ENGINE, "StartLimitBurst") == "3"


@pytest.mark.parametrize(("code", "said"), [(0, 0), (3, 1), (2, 1), (1, 255), (139, 255)])
def test_only_an_answer_skips_the_engine_and_a_crash_is_seen(code: int, said: int) -> None:
    """systemd skips a unit whose condition ends with 1 to 254, and fails it at 255."""
    _, _, script = shlex.split(one_of(ENGINE, "ExecCondition"))
    _, _, judged = script.replace("$$", "$").partition(";")
    done = subprocess.run(["/bin/sh", "-c", f"(exit {code});{judged}"])
    assert done.returncode == said


def test_the_door_never_gives_up() -> None:
    assert one_of(DOOR, "Restart") == "always"
    assert one_of(DOOR, "StartLimitIntervalSec") == "0"
    # Only newer systemd knows these keys; older ones complain about them.
    assert {key for key, _ in settings(BACKOFF)} == {"RestartSteps", "RestartMaxDelaySec"}


def test_the_watchdog_is_the_loops_own() -> None:
    assert one_of(DOOR, "Type") == "notify"
    assert one_of(DOOR, "NotifyAccess") == "main"
    # The last feeding may be half of its time old when a door's program begins to hang.
    watchdog_s = float(one_of(DOOR, "WatchdogSec"))
    assert watchdog_s / 2 + sections.DoorSection().timeout_s + GRACE_S < watchdog_s
    assert one_of(DOOR, "KillMode") == "mixed"
    assert one_of(DOOR, "TimeoutStopSec") == "5"


def test_a_door_that_hangs_leaves_the_stack_of_every_thread() -> None:
    """What systemd does after the watchdog's time: SIGABRT, with the unit's environment."""
    given = dict(value.split("=", 1) for value in all_of(DOOR, "Environment"))
    hangs = (
        "import sys\ndef the_loop():\n    print('up', flush=True)\n    sys.stdin.read()\nthe_loop()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hangs],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONFAULTHANDLER": given["PYTHONFAULTHANDLER"]},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGABRT)
        assert "in the_loop" in process.communicate()[1]
    assert process.returncode == -signal.SIGABRT


def test_both_units_may_use_the_same_gpu() -> None:
    door, engine = set(all_of(DOOR, "DeviceAllow")), set(all_of(ENGINE, "DeviceAllow"))
    assert engine < door
    not_the_gpu = {"video4linux", "input", "ttyUSB", "ttyACM", "nvsciipc"}
    assert {device.split()[0].removeprefix("char-") for device in door - engine} == not_the_gpu
    for unit in (DOOR, ENGINE):
        assert one_of(unit, "DevicePolicy") == "closed"


def table(name: str) -> list[list[str]]:
    """The lines of a sysusers.d or tmpfiles.d file."""
    lines = (UNITS / name / "ostiary.conf").read_text().splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def test_what_the_units_name_is_made_by_somebody() -> None:
    made = {line[1]: line[0] for line in table("tmpfiles.d")}
    for source in all_of(DOOR, "LoadCredential"):
        assert made[source.partition(":")[2]] == "f"
    for command in EVERY_COMMAND:
        assert made[str(Path(command[command.index("--config") + 1]).parent)] == "d"
    assert one_of(DOOR, "StateDirectory") == one_of(ENGINE, "StateDirectory") == "ostiary"
    assert made["/var/lib/ostiary"] == "d"
    assert f"TMPDIR=/run/{one_of(DOOR, 'RuntimeDirectory')}" in all_of(DOOR, "Environment")
    known = {line[1] for line in table("sysusers.d") if line[0] in "gu"}
    assert set(one_of(DOOR, "SupplementaryGroups").split()) <= known
    assert {one_of(DOOR, "User"), one_of(ENGINE, "User")} <= known


PROFILES = sorted((ROOT / "firmware_configs").glob("*.toml"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_names_what_the_unit_gives(profile: Path) -> None:
    config = load_config(profile)
    made = {line[1] for line in table("tmpfiles.d")}
    assert str(config.state.path) in made
    assert config.bundle.path.parent == config.state.path
    assert str(config.bundle.keys) in made
    assert config.mqtt is not None
    names = {value.partition(":")[0] for value in all_of(DOOR, "LoadCredential")}
    for secret in filter(None, (config.mqtt.key, config.mqtt.password_file)):
        assert secret.parent == Path("/run/credentials", DOOR.name)
        assert secret.name in names
    for public in filter(None, (config.mqtt.ca, config.mqtt.cert)):
        assert str(public.parent) in made


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A root directory in which systemd-sysusers has made the user and the groups."""
    shutil.copytree(UNITS / "sysusers.d", tmp_path / "etc/sysusers.d")
    shutil.copytree(UNITS / "tmpfiles.d", tmp_path / "etc/tmpfiles.d")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], check=True, capture_output=True)
    return tmp_path


@needs_systemd
@needs_root
def test_the_user_can_not_log_in_and_is_in_its_groups(users: Path) -> None:
    passwd = (users / "etc/passwd").read_text().strip().split(":")
    assert (passwd[0], passwd[5]) == ("ostiary", "/var/lib/ostiary")
    assert passwd[6].endswith("nologin")
    groups = [line.split(":") for line in (users / "etc/group").read_text().splitlines()]
    assert {g[0] for g in groups if g[3] == "ostiary"} == {"video", "render", "input", "dialout"}


@needs_systemd
@needs_root
def test_the_folders_are_made_and_what_is_in_them_stays(users: Path) -> None:
    secret = users / "etc/ostiary/credentials/mqtt-key"
    command = ["systemd-tmpfiles", "--create", f"--root={users}"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
    assert secret.read_bytes() == b""
    secret.write_text("key")
    secret.chmod(0o644)
    door = users / "etc/ostiary/door.toml"
    door.write_text("profile")
    subprocess.run(command, check=True)
    assert secret.read_text() == "key"
    uid, gid = map(int, (users / "etc/passwd").read_text().split(":")[2:4])
    modes = {"credentials": 0o700, "credentials/mqtt-key": 0o600, "keys": 0o755, "door.toml": 0o640}
    for name, mode in modes.items():
        assert (door.parent / name).stat().st_mode & 0o777 == mode
        assert (door.parent / name).stat().st_uid == 0
    assert door.stat().st_gid == gid
    assert (users / "var/lib/ostiary").stat().st_uid == uid
