"""Demo on real input: photos enroll people, camera frames arrive, a broker delivers decisions."""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge import wire
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.errors import BundleError, OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.picture import write_jpeg
from ostiary.edge.wire import DecisionMessage, Topics
from scripts import trial
from scripts.contact_sheet import sheet_of

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "demo"
RECIPE = "sface-128"
PATIENCE_S = 60.0
PROFILE = """
[device]
site = "demo"
id = "{name}-door"
[bundle]
path = "bundle"
[camera]
url = "{camera}"
fps = 15
hold_frames = 30
loop = {loop}
[recognition]
mode = "{mode}"
[state]
path = "state-{name}"
[mqtt]
host = "127.0.0.1"
port = {port}
{more}
"""
ROSTER = """
[roster]
operators = "fleet"
site_key = "fleet/site.key"
"""
Expected = tuple[str, str, str | None]


def parser() -> argparse.ArgumentParser:
    """The options of the demo."""
    options = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    options.add_argument("--camera", help="number of a webcam: enroll and recognise yourself")
    return options


def main() -> int:
    """Run the demo; exit code 0 if every decision was the right one."""
    camera = parser().parse_args().camera
    try:
        _fresh()
        with trial.Mosquitto(WORK / "broker") as broker:
            _say(f"a broker of our own listens on port {broker.port}")
            return _webcam(camera, broker.port) if camera else _recorded(broker.port)
    except OstiaryError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _fresh() -> None:
    """Remove everything of an earlier run except the bundle and its keys."""
    WORK.mkdir(parents=True, exist_ok=True)
    for path in WORK.iterdir():
        if path.name not in ("bundle", "config"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # The demo has its own keys, and does not touch the user's.
    os.environ["XDG_CONFIG_HOME"] = str(WORK / "config")
    try:
        bundles.load(WORK / "bundle")
    except BundleError:
        shutil.rmtree(WORK / "bundle", ignore_errors=True)
        _say(f"building and signing the bundle {RECIPE}")
        _ostiary("ostiary-export", "build", RECIPE, "--out", str(WORK / "bundle"))


def _recorded(port: int) -> int:
    photos = trial.sample_photos()
    _frames(photos)
    people = {"obama": photos / "obama.jpg", "biden": photos / "biden.jpg"}
    identify = _profile("identify", port, WORK / "walk-up")
    verify = _profile("verify", port, WORK / "card", loop=True)
    for profile in (identify, verify):
        for subject, photo in people.items():
            _ostiary("ostiary", "enroll", "--config", str(profile), subject, str(photo))
    with Daemon(identify, port, "identify") as daemon:
        _say("identify: two enrolled people and a stranger walk up")
        right = daemon.expect(("granted", "matched", "obama"))
        right &= daemon.expect(("denied", "unknown", None))
        right &= daemon.expect(("granted", "matched", "biden"))
    with Daemon(verify, port, "verify") as daemon:
        _say("verify: the same person shows two cards, the right one and another's")
        for card, expected in (
            ("obama", ("granted", "matched", "obama")),
            ("biden", ("denied", "mismatch", "biden")),
        ):
            _show_card(card)
            right &= daemon.expect(expected)
    right &= _followed(port, people["obama"])
    _say(f"contact sheet: {_contact_sheet()}")
    _say("every decision was right" if right else "A DECISION WAS WRONG")
    return 0 if right else 1


def _followed(port: int, photo: Path) -> bool:
    """Run a door that follows the operator's roster; nobody enrolls at the door itself."""
    fleet = ("--fleet", str(WORK / "fleet"))
    bundle = str(WORK / "bundle")
    broker = f"127.0.0.1:{port}"
    where = ("--site", "demo", "--bundle", bundle, "--broker", broker)
    _ostiary("ostiary-fleet", "init", *where, *fleet)
    profile = _profile("identify", port, WORK / "card", loop=True, more=ROSTER, name="fleet")
    with Daemon(profile, port, "fleet") as daemon:
        _say("fleet: nobody is enrolled; then the operator enrolls, and revokes, from elsewhere")
        right = daemon.comes_to(("denied", "unknown", None))
        _ostiary("ostiary-fleet", "enroll", "obama", str(photo), *fleet)
        right &= daemon.comes_to(("granted", "matched", "obama"))
        _ostiary("ostiary-fleet", "revoke", "obama", *fleet)
        return right & daemon.comes_to(("denied", "unknown", None))


def _frames(photos: Path) -> None:
    """Make the cameras' frames. There is only one photo of biden, so his frame is a varied copy."""
    walk_up, card = WORK / "walk-up", WORK / "card"
    walk_up.mkdir()
    card.mkdir()
    other = trial.as_frame(read_photo(photos / "obama2.jpg"))
    write_jpeg(walk_up / "1.jpg", other)
    write_jpeg(walk_up / "2.jpg", trial.as_frame(trial.astronaut()))
    write_jpeg(walk_up / "3.jpg", trial.as_frame(trial.worn(read_photo(photos / "biden.jpg"))))
    write_jpeg(card / "1.jpg", other)


def _profile(
    mode: str,
    port: int,
    camera: Path | str,
    loop: bool = False,
    more: str = "",
    name: str | None = None,
) -> Path:
    if mode == "verify":
        os.mkfifo(WORK / "cards")
        more = f'[claims]\nsource = "line:{WORK / "cards"}"'
    url = camera if isinstance(camera, str) else f"folder:{camera}"
    path = WORK / f"{name or mode}.toml"
    settings = {"mode": mode, "camera": url, "loop": str(loop).lower(), "port": port}
    path.write_text(PROFILE.format(**settings, name=name or mode, more=more))
    return path


def _show_card(subject: str) -> None:
    _say(f"a card says: {subject}")
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            cards = os.open(WORK / "cards", os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:  # nobody reads the pipe: the daemon is still starting
            if time.monotonic() > until:
                raise OstiaryError("the daemon reads no cards", f"see {WORK}/verify.log") from error
            time.sleep(0.02)
            continue
        os.write(cards, f"{subject}\n".encode())
        return os.close(cards)


class Daemon:
    """The real daemon in its own process, and a subscriber to its decisions."""

    def __init__(self, profile: Path, port: int, name: str) -> None:
        self._decisions: queue.Queue[DecisionMessage] = queue.Queue()
        topics = Topics("demo", f"{name}-door")
        self._client = trial.subscribe(port, topics.decision, f"demo-{name}")
        self._client.on_message = lambda _c, _d, m: self._decisions.put(
            wire.decode(bytes(m.payload), DecisionMessage)
        )
        self._client.loop_start()
        command = [_program("ostiary"), "run", "--config", str(profile)]
        command += ["--pictures", str(WORK / "pictures" / name)]
        self._log = (WORK / f"{name}.log").open("wb")
        self._process = subprocess.Popen(command, stderr=self._log)

    def next(self) -> DecisionMessage | None:
        """The next decision, which is printed too; None if none came in time."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and (
            self._process.poll() is None or self._decisions.qsize()
        ):
            try:
                decision = self._decisions.get(timeout=0.2)
            except queue.Empty:
                continue
            score = "" if decision.score is None else f"score {decision.score:.3f}"
            tau = "" if decision.tau is None else f"tau {decision.tau:.3f} for K={decision.k}"
            sys.stdout.write(
                f"  {decision.at}  {decision.outcome.value:8} {decision.reason.value:10}"
                f" {decision.subject or '-':8} {score}  {tau}"
                f"  {decision.latency_ms['total']:.1f} ms\n"
            )
            return decision
        return None

    def expect(self, expected: Expected) -> bool:
        """Whether the next decision is (outcome, reason, subject)."""
        found = self.next()
        if found is None:
            sys.stdout.write(f"  no decision came; see {self._log.name}\n")
            return False
        return _is(found, expected)

    def comes_to(self, expected: Expected) -> bool:
        """Whether this decision comes in time; other decisions before it are ignored."""
        while (found := self.next()) is not None:
            if _is(found, expected):
                return True
        return False

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_S)
        self._client.disconnect()
        self._client.loop_stop()
        self._log.close()


def _is(found: DecisionMessage, expected: Expected) -> bool:
    return (found.outcome.value, found.reason.value, found.subject) == expected


def _webcam(number: str, port: int) -> int:
    device = f"/dev/video{number}"
    _say(f"look into {device} to be enrolled")
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    got = [capture.read() for _ in range(30)] if capture.isOpened() else []
    capture.release()
    seen = [image for ok, image in got if ok]
    if not seen:
        raise OstiaryError(
            f"no picture from {device}", "check that it is a camera and that you may read it"
        )
    write_jpeg(WORK / "you.jpg", np.asarray(seen[-1], np.uint8))
    profile = _profile("identify", port, f"v4l2:{device}")
    _ostiary("ostiary", "enroll", "--config", str(profile), "you", f"{WORK}/you.jpg")
    _say("now walk up to it; Ctrl-C ends this")
    with Daemon(profile, port, "identify") as daemon:
        try:
            while True:
                daemon.next()
        except KeyboardInterrupt:
            return 0


def _contact_sheet() -> Path:
    """Join the annotated pictures of all decisions into one."""
    sheet = WORK / "decisions.jpg"
    write_jpeg(sheet, sheet_of(sorted((WORK / "pictures").glob("*/*.jpg"))))
    return sheet


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _ostiary(name: str, *arguments: str) -> None:
    if subprocess.run([_program(name), *arguments]).returncode:
        raise OstiaryError(f"{name} {arguments[0]} failed; see its error above")


def _say(text: str) -> None:
    sys.stdout.write(f"demo: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
