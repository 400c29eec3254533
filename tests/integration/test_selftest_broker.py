"""The self-test against real brokers: timed, refused, unreached, and heard by nobody."""

import gc
import queue
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.config import Config
from ostiary.edge.sections import (
    BundleSection,
    CameraSection,
    DeviceSection,
    MqttSection,
    StateSection,
)
from ostiary.edge.selftest import broker as brokers
from ostiary.edge.selftest import state
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import CheckVerdict
from scripts import trial
from tests.support.doors.real_daemon import Door as RunningDoor
from tests.support.doors.real_daemon import Listener
from tests.support.site_broker import Authority, SiteBroker

OK, WARN, FAIL, SKIPPED = CheckVerdict


def door_with(site: str = "test", device: str = "door", **mqtt: Any) -> DoorUnderTest:
    profile = Config(
        device=DeviceSection(site=site, id=device), bundle=BundleSection(path=Path("none")),
        camera=CameraSection(url="folder:x"), state=StateSection(path=Path("none")),
        mqtt=MqttSection(**mqtt),
    )  # fmt: skip
    return DoorUnderTest(profile, profile.bundle, 1.0)


def local(port: int, **more: Any) -> DoorUnderTest:
    return door_with(host="127.0.0.1", port=port, **more)


def test_a_broker_is_timed(broker: trial.Mosquitto) -> None:
    found = brokers.check(local(broker.port))
    assert found.verdict is OK, found
    assert found.details["connect_ms"] > 0
    trips = found.details["round_trip_ms"]
    assert trips["p99"] >= trips["p50"] > 0
    assert found.details["tls"] is None


def test_nobody_hears_of_it_and_nothing_stays(tmp_path: Path) -> None:
    with trial.Mosquitto(tmp_path, "allow_anonymous true\nsys_interval 1") as broker:
        listening = trial.subscribe(broker.port, "#", "everything")
        heard: queue.Queue[str] = queue.Queue()
        ready = threading.Event()
        listening.on_subscribe = lambda *_: ready.set()
        listening.on_message = lambda c, d, message: heard.put(message.topic)
        listening.loop_start()
        assert ready.wait(10)
        assert brokers.check(local(broker.port)).verdict is OK
        # What was published before this would have come before it.
        listening.publish("last", b"", qos=1)
        assert heard.get(timeout=10) == "last"
        trial.leave(listening)


def test_the_running_daemon_keeps_its_connection(
    tmp_path: Path, bundle_dir: Path, broker: trial.Mosquitto, camera: str
) -> None:
    listener = Listener(broker.port)
    with RunningDoor(tmp_path / "door", bundle_dir, camera, broker.port) as running:
        assert listener.until(lambda h: any(s.camera == "ok" for s in h.states)), running.log()
        session = listener.states[-1].session
        assert brokers.check(local(broker.port)).verdict is OK
        assert state.daemon_runs(running.state)
        said = len(listener.decisions)
        assert listener.until(lambda h: len(h.decisions) > said)
        assert {s.session for s in listener.states} == {session}
        assert {s.status for s in listener.states} == {"online"}
        assert running.end() == 0
    listener.close()


def test_a_broker_that_is_away_refuses_or_says_nothing(tmp_path: Path) -> None:
    away = brokers.check(local(trial.free_port()))
    assert (away.verdict, away.finding) == (FAIL, "not reached: Connection refused")
    (tmp_path / "users").write_text("")
    (tmp_path / "password").write_text("wrong\n")
    settings = f"allow_anonymous false\npassword_file {tmp_path / 'users'}"
    with trial.Mosquitto(tmp_path / "broker", settings) as broker:
        user = {"username": "door", "password_file": tmp_path / "password"}
        refused = brokers.check(local(broker.port, **user))
        assert refused.verdict is FAIL
        assert "Not authorized" in refused.finding
        none = brokers.check(local(broker.port, username="door", password_file=tmp_path / "none"))
        assert "credentials cannot be used" in none.finding
    assert "wrong" not in str(refused)


def test_a_broker_that_takes_the_connection_and_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = brokers.check(local(silent.getsockname()[1]))
    assert found.verdict is FAIL
    assert "no answer within" in found.finding


def test_a_door_without_a_broker_is_skipped() -> None:
    given = local(1)
    assert given.profile is not None
    assert brokers.check(DoorUnderTest(None, given.choice, 1.0)).verdict is SKIPPED


def test_a_broker_elsewhere_without_tls_is_a_warning(broker: trial.Mosquitto) -> None:
    # Another name of this machine than those that are known to be its own.
    found = brokers.check(door_with(host="127.1", port=broker.port))
    assert found.verdict is WARN
    assert "without TLS" in found.finding


def test_the_shipped_broker_is_met_with_the_devices_own_certificate(
    site: SiteBroker, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = authority.client("north-door", "device")
    given = {"ca": authority.folder / "ca.crt", "cert": cert, "key": key}
    found = brokers.check(local(site.port, site="hq", device="north-door", **given))
    assert found.verdict is OK, found
    assert found.details["tls"]["version"] == "TLSv1.3"
    assert found.details["tls"]["broker_certificate_days"] > 14
    # While the unit does not run, its credentials are where root keeps them.
    monkeypatch.setattr(brokers, "KEPT_CREDENTIALS", tmp_path)
    (tmp_path / "mqtt-key").write_bytes(key.read_bytes())
    given["key"] = brokers.UNIT_CREDENTIALS / "ostiary.service" / "mqtt-key"
    assert brokers.check(local(site.port, **given)).verdict is OK
    monkeypatch.setattr(brokers, "EXPIRES_DAYS", 1e6)
    assert "certificate ends in" in brokers.check(local(site.port, **given)).finding


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_that_is_not_trusted_or_not_given_is_named(
    site: SiteBroker, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    stranger = brokers.check(local(site.port, ca=other.folder / "ca.crt"))
    assert stranger.verdict is FAIL
    assert "certificate is refused" in stranger.finding
    bare = brokers.check(local(site.port, ca=authority.folder / "ca.crt"))
    assert bare.verdict is FAIL
    empty = tmp_path / "empty"
    empty.touch()
    cert, _ = authority.client("south-door", "south")
    none = brokers.check(local(site.port, ca=authority.folder / "ca.crt", cert=cert, key=empty))
    assert "credentials cannot be used" in none.finding
    # paho forgets a socket whose handshake failed; it is not to be the next test's warning.
    gc.collect()
