"""Time the daemon from its start to its first decision, and read its resident memory."""

from __future__ import annotations

import argparse
import json
import queue
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ostiary.edge.vision.picture import write_jpeg
from ostiary.edge.wire import Topics
from scripts import trial

PROFILE = """
[device]
site = "bench"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "folder:{folder}"
fps = 15
loop = true
[recognition]
cooldown_s = 0.1
reopen_s = 0.1
denials = 2
[pad]
required = {pad}
[state]
path = "{folder}/state"
[mqtt]
host = "127.0.0.1"
port = {port}
"""
PATIENCE_S = 60.0


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.daemon",
        description=__doc__,
        epilog="example: python -m bench.daemon --bundle bundle",
    )
    options.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    options.add_argument("--starts", type=int, default=5, help="how often the daemon is started")
    options.add_argument(
        "--run-s", type=float, default=20.0, help="seconds that the last start runs"
    )
    options.add_argument("--pad", action="store_true", help="require liveness")
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main() -> int:
    """Print the figures of the first start, which compiles the models, and of later ones."""
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as name, trial.Mosquitto(Path(name) / "broker") as broker:
        figures = _measure(given, Path(name), broker.port)
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0
    for label, value in figures.items():
        sys.stdout.write(f"{label:44} {value}\n")
    return 0


def _measure(given: argparse.Namespace, folder: Path, port: int) -> dict[str, float]:
    write_jpeg(folder / "1.jpg", trial.as_frame(trial.astronaut()))
    profile = folder / "door.toml"
    pad = str(given.pad).lower()
    bundle = given.bundle.resolve()
    profile.write_text(PROFILE.format(bundle=bundle, folder=folder, port=port, pad=pad))
    arrived: queue.Queue[float] = queue.Queue()
    client = trial.subscribe(port, Topics("bench", "door").decision, "bench")
    client.on_message = lambda *_: arrived.put(time.monotonic())
    client.loop_start()
    firsts: list[float] = []
    memory: dict[str, float] = {}
    for number in range(given.starts):
        began = time.monotonic()
        command = [sys.executable, "-m", "ostiary.edge", "run", "--config", str(profile)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        firsts.append(arrived.get(timeout=PATIENCE_S) - began)
        if number == given.starts - 1:
            time.sleep(given.run_s)
            memory = _memory_mb(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        while not arrived.empty():
            arrived.get()
    client.disconnect()
    client.loop_stop()
    return {
        "start to first decision, first start, s": round(firsts[0], 2),
        "start to first decision, later, median s": round(float(np.median(firsts[1:])), 2),
        "resident memory, MB": memory["VmRSS"],
        "highest resident memory, MB": memory["VmHWM"],
    }


def _memory_mb(pid: int) -> dict[str, Any]:
    """VmRSS and VmHWM of a process, from the kernel."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: round(int(fields[name].split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM")}


if __name__ == "__main__":
    sys.exit(main())
