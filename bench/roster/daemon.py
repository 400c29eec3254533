"""Measure a whole daemon with its models while it reads a roster: seconds and memory."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.roster.operator import HERE, ROOT, SITE, SITE_KEY, Counted, Operator, memory_mb, publish
from bench.roster.table import Figure
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.picture import write_jpeg
from ostiary.edge.wire import RosterMessage, Topics, decode
from scripts import trial

PROFILE = """
[device]
site = "{site}"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "folder:{folder}"
fps = 15
loop = true
[recognition]
cooldown_s = 0.5
reopen_s = 0.5
[pad]
required = false
[state]
path = "{folder}/state"
[roster]
operators = "{folder}/operators"
site_key = "{folder}/site.key"
[mqtt]
host = "{host}"
port = {port}
"""
PATIENCE_S = 300.0
REST_S = 10.0
MEMORY_MB = 400.0

Told = Callable[[str], None]


def measure(folder: Path, bundle: Path, subjects: int, told: Told) -> Iterator[Figure]:
    """The figures of the part `daemon`."""
    folder.mkdir(parents=True)
    manifest = bundles.load(bundle)
    operator = Operator((manifest.encoder_id,), manifest.dim)
    name = f"daemon, {subjects:,}"
    with Counted(folder / "broker") as broker:
        profile = _profile(folder, bundle, broker.port, operator)
        arrived: queue.Queue[tuple[float, RosterMessage]] = queue.Queue()
        client = trial.subscribe(broker.port, Topics(SITE, "door").roster, "bench")
        client.on_message = lambda _c, _d, message: arrived.put(
            (time.monotonic(), decode(bytes(message.payload), RosterMessage))
        )
        client.loop_start()
        told("a daemon without a roster")
        process = _run(profile)
        time.sleep(REST_S)
        yield Figure(name, "models only: memory", memory_mb(process.pid)["VmHWM"], "MB")
        told(f"publishing {subjects:,} subjects to nobody")
        _end(process)
        publish(broker.port, operator.enroll(range(subjects)))
        for what in ("new", "started again"):
            told(f"a daemon, {what}")
            while not arrived.empty():
                arrived.get()
            began = time.monotonic()
            process = _run(profile)
            at_s = _complete(arrived, operator) - began
            yield Figure(name, f"{what}: from start to complete", at_s, "s")
            time.sleep(REST_S)
            yield Figure(name, f"{what}: memory", memory_mb(process.pid)["VmRSS"], "MB")
            highest = memory_mb(process.pid)["VmHWM"]
            yield Figure(name, f"{what}: memory, highest", highest, "MB", MEMORY_MB)
            _end(process)
        client.disconnect()
        client.loop_stop()


def _profile(folder: Path, bundle: Path, port: int, operator: Operator) -> Path:
    write_jpeg(folder / "1.jpg", trial.as_frame(trial.astronaut()))
    (folder / "operators").mkdir()
    (folder / "operators" / "operator.pub").write_text(operator.sealer.public.hex() + "\n")
    key = folder / "site.key"
    key.touch(0o600)
    key.write_text(SITE_KEY.hex() + "\n")
    profile = folder / "door.toml"
    profile.write_text(
        PROFILE.format(site=SITE, bundle=bundle, folder=folder, host=HERE, port=port)
    )
    return profile


def _run(profile: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ostiary.edge", "run", "--config", str(profile)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)


def _complete(arrived: queue.Queue[tuple[float, RosterMessage]], operator: Operator) -> float:
    """The monotonic time at which the device first reports the whole roster."""
    while True:
        at_s, message = arrived.get(timeout=PATIENCE_S)
        if message.complete and message.digest == operator.digest:
            return at_s
