"""scripts/install-device: what it installs, keeps, refuses and removes, below a root of its own."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT, ostiary_export

STAND_IN = """#!/bin/bash
case "$*" in
    "-m venv "*) d=${!#}; mkdir -p "$d/bin"; cp "$0" "$d/bin/python"; echo "at $d" >"$d/pyvenv.cfg"
        printf '#!%s/bin/python\\n' "$d" >"$d/bin/ostiary"; echo "${*:2}" >>LOG ;;
    "-m pip "*) s=${!#}; echo $(ls "${s%[*}") "${*:2}" >>LOG; [[ $* != *"${PIP_FAILS:-none}"* ]] ;;
    "-c import tensorrt") exit 1 ;;
    *"bundle install"*) echo "${*:2}" >>LOG ;;
    *"version_info"*) echo "${PYTHON_IS:-3.12}" ;;
    *) exec PYTHON "$@" ;;
esac
"""
"""A Python whose environments are made in no time. The last test uses a real one."""

PACKAGES = [path.parent.name for path in ROOT.glob("*/__init__.py")]
NO_TOOLS = os.geteuid() == 0 and not shutil.which("systemd-sysusers")
pytestmark = pytest.mark.skipif(NO_TOOLS, reason="needs systemd-sysusers (Debian: systemd)")


class Device:
    """A root directory to install into, and a checkout to install from."""

    def __init__(self, folder: Path) -> None:
        self.root, self.checkout = folder / "device", folder / "checkout"
        self.python, self._log = folder / "python", folder / "log"
        text = STAND_IN.replace("LOG", str(self._log)).replace('PYTHON "', f'{sys.executable} "')
        self.python.write_text(text)
        self.python.chmod(0o755)
        for name in (*PACKAGES, "systemd", "firmware_configs"):
            shutil.copytree(ROOT / name, self.checkout / name, symlinks=True)
        for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "install-device", self.checkout / "scripts")

    def run(
        self, *options: object, umask: int = 0o022, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The script, into the root."""
        command = [self.checkout / "scripts" / "install-device", "--root", self.root, *options]
        given = {**os.environ, "OSTIARY_PYTHON": str(self.python), **environment}
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=given, umask=umask
        )

    def installed(self, *options: object, umask: int = 0o022, **environment: str) -> str:
        """What the script says where it succeeds."""
        done = self.run(*options, umask=umask, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *options: object, **environment: str) -> str:
        done = self.run(*options, umask=0o022, **environment)
        assert done.returncode == 2, done.stdout
        assert done.stderr.startswith("error: "), done.stderr
        return done.stderr

    def asked(self) -> list[str]:
        """What Python was asked to make and to install."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def in_use(self) -> str:
        return str(self.at("/opt/ostiary/venv").readlink())

    def change(self, text: str) -> None:
        (self.checkout / "ostiary" / "py.typed").write_text(text)

    def everything(self) -> dict[str, tuple[int, int, int]]:
        """Each file with what changes when it is written again."""
        found = {str(p): p.lstat() for p in self.root.rglob("*") if not p.is_dir()}
        return {p: (s.st_ino, s.st_mode, s.st_mtime_ns) for p, s in found.items()}


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--profil", "x86-cpu"], "--profil is no option"),
        (["x86-cpu"], "x86-cpu is no option"),
        (["--profile"], "--profile needs a value"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--profile", "toaster"], "no profile toaster; there are: "),
        (["--bundle", "/nowhere.zip"], "no models at /nowhere.zip"),
    ],
)
def test_wrong_options_are_refused(device: Device, options: list[str], said: str) -> None:
    assert said in device.refused(*options)
    assert not device.root.exists()


def test_help_has_examples(device: Device) -> None:
    said = device.installed("--help")
    for part in (
        "  sudo scripts/",
        "--bundle",
        "--no-start",
        "--uninstall",
        "--purge",
        "--dry-run",
    ):
        assert part in said


@pytest.mark.parametrize("version", ["3.6", "3.9", "2.7"])
def test_an_old_python_is_refused(device: Device, version: str) -> None:
    said = device.refused(PYTHON_IS=version)
    assert f"Python {version} and 3.10 is needed" in said
    assert "JetPack 5" in said
    assert not device.root.exists()


def test_another_system_than_linux_is_refused(device: Device, tmp_path: Path) -> None:
    (tmp_path / "uname").write_text("#!/bin/sh\necho Darwin\n")
    (tmp_path / "uname").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert "a device runs Linux, this is Darwin" in device.refused(PATH=path)


def test_a_device_from_nothing(device: Device) -> None:
    # Whatever the umask of who installs: the service's own user must be able to read it.
    device.installed("--profile", "x86-cpu", umask=0o077)
    units = device.at("/etc/systemd/system")
    for unit in (ROOT / "systemd").glob("*.service"):
        assert (units / unit.name).read_text() == unit.read_text()
        assert stat.S_IMODE((units / unit.name).stat().st_mode) == 0o644
    wanted = units / "multi-user.target.wants/ostiary.service"
    assert wanted.resolve() == units / "ostiary.service"
    profile = (ROOT / "firmware_configs" / "x86-cpu.toml").read_text()
    assert device.at("/etc/ostiary/door.toml").read_text() == profile
    script = device.at("/opt/ostiary/venv/bin/ostiary")
    # An image's programs must not look for the folder it was made in.
    assert script.read_text().startswith(f"#!/opt/ostiary/{device.in_use()}/bin/python")
    assert str(device.root) not in device.at("/opt/ostiary/venv/pyvenv.cfg").read_text()
    for folder in (script.parent, *script.resolve().parents[1:3], device.at("/opt/ostiary")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert "/source[cpu]" in device.asked()[-1]
    assert f"-c {device.checkout}/constraints.txt" in device.asked()[-1]
    assert "--system-site-packages" not in device.asked()[0]
    assert {*PACKAGES} < {*device.asked()[-1].split()}
    if os.geteuid() == 0:
        for secret in ("mqtt-key", "mqtt-password", "site-key"):
            assert device.at(f"/etc/ostiary/credentials/{secret}").read_bytes() == b""


def test_a_second_run_changes_nothing(device: Device) -> None:
    device.installed("--profile", "x86-cpu")
    before = device.everything(), device.asked()
    device.installed("--profile", "x86-cpu")
    assert (device.everything(), device.asked()) == before


def test_a_profile_that_is_there_stays(device: Device) -> None:
    door = device.at("/etc/ostiary/door.toml")
    door.parent.mkdir(parents=True)
    door.write_text("mine")
    assert "stays as it is" in device.installed("--profile", "x86-cpu")
    assert door.read_text() == "mine"


def test_an_upgrade_takes_the_place_when_it_is_whole(device: Device) -> None:
    device.installed()
    first = device.in_use()
    device.change("new")
    device.installed()
    assert (second := device.in_use()) != first
    # The one before is still there: a door that runs reads from it until it is restarted.
    assert device.at(f"/opt/ostiary/{first}/bin/ostiary").exists()
    device.change("newer")
    device.installed()
    kept = {f"venvs/{path.name}" for path in device.at("/opt/ostiary/venvs").iterdir()}
    assert kept == {second, device.in_use()}


def test_an_upgrade_that_fails_breaks_nothing_and_can_be_run_again(device: Device) -> None:
    device.installed()
    first = device.in_use()
    device.change("new")
    assert "before is still in use" in device.refused(PIP_FAILS="install")
    assert device.in_use() == first
    (half,) = [p for p in device.at("/opt/ostiary/venvs").iterdir() if p.name not in first]
    (half / "half-written").touch()
    device.installed()
    assert device.in_use() == f"venvs/{half.name}"
    assert not (half / "half-written").exists()


def jetson(device: Device) -> None:
    release = device.at("/etc/nv_tegra_release")
    release.parent.mkdir(parents=True)
    release.write_text("# R36 (release), REVISION: 4.3\n")


def test_a_jetson_sees_the_systems_tensorrt_and_builds_pycuda(device: Device) -> None:
    jetson(device)
    assert "apt install nvidia-jetpack, or python3-libnvinfer" in device.installed()
    venv, pip = device.asked()
    assert venv.startswith("venv --system-site-packages ")
    assert pip.endswith("/source[jetson]")


def test_a_jetson_that_can_not_build_pycuda_takes_the_wheels(device: Device) -> None:
    jetson(device)
    device.installed(PIP_FAILS="[jetson]")
    assert device.asked()[-1].endswith("/source[jetson-wheels]")
    device.change("new")
    assert "pip could not install" in device.refused(PIP_FAILS="jetson")


def test_the_growing_pauses_are_for_a_systemd_that_knows_them(device: Device) -> None:
    libraries = device.at("/usr/lib/aarch64-linux-gnu/systemd")
    libraries.mkdir(parents=True)
    new = libraries / "libsystemd-shared-255.so"
    new.touch()
    device.installed()
    backoff = device.at("/etc/systemd/system/ostiary.service.d/backoff.conf")
    assert "RestartSteps=" in backoff.read_text()
    new.rename(libraries / "libsystemd-shared-249.so")
    assert "systemd 249: a fixed pause" in device.installed()
    assert not backoff.exists()


def test_a_bundle_is_installed_by_the_new_program(device: Device, tmp_path: Path) -> None:
    (models := tmp_path / "models.zip").write_bytes(b"models")
    (state := device.at("/var/lib/ostiary")).mkdir(parents=True)
    device.installed("--bundle", models)
    keys = device.at("/etc/ostiary/keys")
    wanted = f"bundle install {state}/.incoming.zip {state}/bundle --keys {keys}"
    assert device.asked()[-1].endswith(wanted)
    assert not (state / ".incoming.zip").exists()


def test_a_dry_run_says_all_and_does_nothing(device: Device) -> None:
    said = device.installed("--dry-run", "--profile", "x86-cpu")
    assert not device.root.exists()
    assert device.asked() == []
    for word in ("ostiary[cpu]", "ostiary.service", "door.toml", "systemd-sysusers", "tmpfiles"):
        assert word in said
    device.installed()
    before = device.everything()
    assert "would run: rm" in device.installed("--dry-run", "--uninstall", "--purge")
    assert device.everything() == before


def test_uninstalling_keeps_what_can_not_be_made_again(device: Device) -> None:
    device.installed("--profile", "x86-cpu")
    override = device.at("/etc/systemd/system/ostiary.service.d/override.conf")
    journal = device.at("/var/lib/ostiary/journal.db")
    for file in (override, journal):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for _ in range(2):
        device.installed("--uninstall")
        assert not [p for p in device.root.rglob("*ostiary*") if p.is_file() or p.is_symlink()]
        assert not device.at("/opt/ostiary").exists()
        kept = (journal, override, device.at("/etc/ostiary/door.toml"))
        assert all(path.exists() for path in kept)
    for _ in range(2):
        device.installed("--uninstall", "--purge")
        for path in ("/etc/ostiary", "/var/lib/ostiary", "/etc/systemd/system/ostiary.service.d"):
            assert not device.at(path).exists()


@pytest.mark.long
def test_a_real_environment_runs_real_models(
    device: Device, bundle_dir: Path, tmp_path: Path
) -> None:
    keys = device.at("/etc/ostiary/keys")
    shutil.copytree(Path(os.environ["XDG_CONFIG_HOME"]) / "ostiary" / "keys", keys)
    models = tmp_path / "models.zip"
    assert ostiary_export("pack", bundle_dir, "--out", models).returncode == 0
    device.at("/var/lib/ostiary").mkdir(parents=True)
    device.installed("--profile", "x86-cpu", "--bundle", models, OSTIARY_PYTHON=sys.executable)
    assert device.at("/var/lib/ostiary/bundle/manifest.json").is_file()
    programs = device.at("/opt/ostiary/venv/bin")
    for name, command in (("ostiary", "run"), ("ostiary-export", "engine")):
        assert (programs / name).read_text().startswith("#!/opt/ostiary/venvs/")
        line: list[str | Path] = [programs / "python", programs / name, command, "--help"]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
