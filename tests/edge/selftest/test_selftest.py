"""`ostiary selftest` as an owner runs it: one report whatever breaks, and no secrets in it."""

import json
import os
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.adapters.storage.state_dir import STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.cli import selftest as command
from ostiary.edge.core.types import Template
from ostiary.edge.selftest import isolated, report, run
from ostiary.edge.selftest.checks import CHECKS, CheckTask
from ostiary.edge.selftest.report import Check, CheckVerdict, SelftestReport
from tests.support.doors.real_daemon import eventually
from tests.support.fakes import unit
from tests.support.places import ostiary, refused

OK, WARN, FAIL, SKIPPED = CheckVerdict
PASSWORD, USERNAME, HOST = "correct-horse-battery", "turnstile-seven", "nowhere.invalid"
PROFILE = """
[device]
site = "test"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "folder:frames"
fps = 30
loop = true
[state]
path = "state"
{more}
"""
BROKER = f"""
[mqtt]
host = "{HOST}"
username = "{USERNAME}"
password_file = "password"
"""


@pytest.fixture
def profile(bundle_dir: Path, tmp_path: Path, portrait_file: Path) -> Path:
    (tmp_path / "frames").mkdir()
    portrait_file.rename(tmp_path / "frames" / "1.jpg")
    path = tmp_path / "door.toml"
    path.write_text(PROFILE.format(bundle=bundle_dir, more=""))
    return path


def found_in(path: Path) -> dict[str, Check]:
    """A saved report's checks by name."""
    saved = msgspec.json.decode(path.read_bytes(), type=SelftestReport)
    assert saved.schema == report.SCHEMA
    return {check.name: check for check in saved.checks}


def test_a_door_is_tested_and_the_report_is_saved(profile: Path, tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    done = ostiary("selftest", "--config", profile, "--save", saved, "--seconds", "1")
    checks = found_in(saved)
    assert done.returncode == 0, done.stdout
    assert list(checks) == list(CHECKS)
    for name, check in checks.items():
        assert name in done.stdout
        assert f"{name} ..." in done.stderr
        assert check.verdict is not FAIL, check
    off = checks["golden vectors, openvino"].details["off"]
    assert set(off) == {"detector", "landmarks", "pad", "encoder", "encoder_int8"}
    assert all(0 <= model["worst"] <= model["tolerance"] for model in off.values())
    assert checks["golden vectors, onnxruntime"].verdict is OK
    assert checks["golden vectors, tensorrt"].verdict is SKIPPED
    stages = checks["latency"].details["stages_ms"]
    assert {"detect", "landmarks", "align", "embed", "search", "frame"} == set(stages)
    assert stages["frame"]["p99"] >= stages["frame"]["p50"] > stages["embed"]["p50"] > 0
    assert checks["camera"].details["share_with_face"] == 1.0
    assert checks["camera"].details["sizes"].keys() == {"640x480"}
    assert len(checks["bundle"].details["signer"]) == 64
    assert not (tmp_path / "state").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["door.toml", "frames", "report.json"]


@pytest.mark.long
def test_the_report_holds_nothing_private(profile: Path, tmp_path: Path) -> None:
    profile.write_text(PROFILE.format(bundle=_bundle_of(profile), more=BROKER))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    template = unit(range(1, 193))
    store = Store(tmp_path / "state" / STORE)
    store.put(Template("eileen-collins", "e" * 64, template), 0.0)
    store.close()
    saved = tmp_path / "report.json"
    done = ostiary("selftest", "--config", profile, "--save", saved, "--seconds", "1", "--json")
    assert done.returncode == 1
    assert msgspec.json.decode(done.stdout) == msgspec.json.decode(saved.read_bytes())
    checks = found_in(saved)
    assert checks["broker"].verdict is FAIL
    assert checks["broker"].details["password"]
    assert (checks["state"].verdict, checks["state"].details["store"]["subjects"]) == (WARN, 1)
    written = saved.read_bytes() + done.stdout.encode() + done.stderr.encode()
    for secret in (PASSWORD, USERNAME, HOST, "eileen", os.uname().nodename, str(template[0])):
        assert secret.encode() not in written, secret
    assert template.tobytes() not in written
    assert re.search(rb"(-?\d\.\d+e?-?\d*,\s*){20}", written) is None, "that looks like a vector"


def _bundle_of(profile: Path) -> str:
    found = re.search(r'path = "(.*mobile.*)"', profile.read_text())
    assert found is not None
    return found[1]


def test_a_damaged_bundle_and_a_missing_camera_fail_and_the_rest_is_still_seen(
    profile: Path, bundle_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle_dir, broken)
    data = bytearray((broken / "encoder.onnx").read_bytes())
    data[1000] ^= 1
    (broken / "encoder.onnx").write_bytes(data)
    text = PROFILE.format(bundle=broken, more="")
    profile.write_text(text.replace("folder:frames", "v4l2:/dev/video99"))
    saved = tmp_path / "r.json"
    done = ostiary("selftest", "--config", profile, "--save", saved, "--seconds", "1")
    assert done.returncode == 1
    checks = found_in(saved)
    assert "encoder.onnx is not the file that was exported" in checks["bundle"].finding
    assert checks["latency"].verdict is SKIPPED
    assert checks["camera"].verdict is FAIL
    assert "/dev/video99" in checks["camera"].finding
    assert "is not the file" in checks["camera"].details["no_faces_because"]
    assert checks["disk"].verdict is not FAIL


@pytest.mark.long
def test_a_bundle_alone(bundle_dir: Path, tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    done = ostiary("selftest", "--bundle", bundle_dir, "--save", saved, "--seconds", "1")
    assert done.returncode == 0, done.stdout
    checks = found_in(saved)
    assert checks["latency"].verdict is not SKIPPED
    for name in ("camera", "broker", "disk", "state"):
        assert checks[name].verdict is SKIPPED
    assert json.loads(saved.read_text())["device"] is None


def test_bad_input_is_refused_before_anything_is_done(profile: Path, tmp_path: Path) -> None:
    assert "--config FILE" in refused("selftest")
    assert "--config FILE" in refused("selftest", "--config", profile, "--bundle", tmp_path)
    nowhere = tmp_path / "no" / "r.json"
    assert str(nowhere) in refused("selftest", "--config", profile, "--save", nowhere)
    assert "cannot write" in refused("selftest", "--config", profile, "--save", tmp_path)
    profile.write_text(profile.read_text() + "[recognition]\nfipr = 0.1\n")
    assert "fipr" in refused("selftest", "--config", profile)
    assert "cannot read" in refused("selftest", "--config", tmp_path / "none.toml")


@pytest.mark.parametrize("json", [False, True])
def test_a_report_that_cannot_be_saved_is_not_printed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json: bool
) -> None:
    """The error is then the only document on standard output."""
    at = "2026-01-01T00:00:00Z"
    made = SelftestReport(
        schema=1, at=at, ostiary="", site=None, device=None, verdict=OK, checks=[]
    )
    monkeypatch.setattr(command, "run_selftest", lambda *a: made)
    with pytest.raises(OSError, match="too long"):
        command.selftest(tmp_path, None, tmp_path / f"{'r' * 250}.json", 1.0, json)
    assert capsys.readouterr().out == ""


BREAKING = """
import msgspec
from ostiary.edge.selftest.checks import CHECKS, run_one
given = sys.stdin.buffer.read()
def crash(door): os.kill(os.getpid(), signal.SIGSEGV)
def hang(door): signal.pause()
def mistake(door): return {}["nothing"]
def away(door): raise FileNotFoundError(2, "No such file", "/sys/none")
names = list(CHECKS)
CHECKS |= {names[0]: crash, names[1]: hang, names[2]: mistake, names[3]: away}
run_one(given, answer)
os._exit(0)
"""


def test_a_check_that_crashes_hangs_or_is_wrong_stops_no_other(
    bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hangs = isolated.run, list(CHECKS)[1]

    def patient(code: str, given: bytes, limit_s: float) -> isolated.IsolatedResult:
        """A short limit only for the check that hangs: a busy machine starts checks slowly."""
        held = msgspec.json.decode(given, type=CheckTask)
        return real(code, given, limit_s if held.check == hangs else 60.0)

    monkeypatch.setattr(isolated, "run", patient)
    monkeypatch.setattr(run, "LIMIT_S", 1.0)
    monkeypatch.setattr(run, "CHECKS", dict(list(CHECKS.items())[:5]))
    begun: list[str] = []
    found = run.selftest(None, bundle_dir, 1.0, begun.append, BREAKING)
    said = [check.finding for check in found.checks]
    assert said[:4] == [
        "the check broke: ended by SIGSEGV",
        "the check broke: no end after 2 s",
        "the check broke: KeyError: 'nothing'",
        "/sys/none: No such file",
    ]
    assert (found.verdict, found.checks[4].verdict) == (FAIL, OK)
    assert begun == list(CHECKS)[:5]


def test_children_of_a_process_end_with_it_and_its_prints_are_not_its_answer() -> None:
    code = """
import subprocess
print("a library says hello", flush=True)
child = subprocess.Popen(["sleep", "600"])
answer.write(str(child.pid).encode()); answer.close()
"""
    found = isolated.run(code, b"", 30.0)
    assert found.problem == ""
    child = int(found.answer)
    assert eventually(lambda: not _alive(child))
    assert isolated.run("sys.exit(3)", b"", 30.0).problem == "exit code 3 without a message"


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
