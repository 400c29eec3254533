"""Run the daemon for half an hour on a looped clip: memory, descriptors, CPU time, latency."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ostiary.edge import wire
from ostiary.edge.core.types import Image
from ostiary.edge.vision.picture import write_jpeg
from ostiary.edge.wire import DecisionMessage, TelemetryMessage, Topics
from scripts import trial

PROFILE = """
[device]
site = "soak"
id = "door"
[bundle]
path = "{bundle}"
[camera]
url = "{camera}"
fps = 15
loop = {loop}
[recognition]
cooldown_s = 0.5
reopen_s = 0.5
[state]
path = "{folder}/state"
[mqtt]
host = "127.0.0.1"
port = {port}
telemetry_s = 20
"""
"""Telemetry covers the last 300 frames, 20 s of this clip, so that each frame counts once."""
FPS, EMPTY, FRAMES = 15, 30, 150
WINDOW = 0.1
"""Share of the run that is compared: one such part after the warm-up, one at the end."""
MOST_GROWTH = 0.02
PATIENCE_S = 60.0
MB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory, descriptors, threads and CPU time of the process at one second of the run."""

    at_s: float
    memory_mb: float
    descriptors: int
    threads: int
    cpu_s: float


class Heard:
    """Subscribes to the device, counts decisions by reason and keeps its telemetry."""

    def __init__(self, port: int) -> None:
        self.reasons: Counter[str] = Counter()
        self.telemetry: list[TelemetryMessage] = []
        self._topics = Topics("soak", "door")
        self._client = trial.subscribe(port, "ostiary/1/soak/device/door/#", "soak")
        self._client.on_message = self._take
        self._client.loop_start()

    def _take(self, _client: object, _data: object, message: Any) -> None:
        if message.topic == self._topics.decision:
            decision = wire.decode(message.payload, DecisionMessage)
            self.reasons[decision.reason.value] += 1
        elif message.topic == self._topics.telemetry:
            self.telemetry.append(wire.decode(message.payload, TelemetryMessage))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.soak",
        description=__doc__,
        epilog="example: python -m bench.soak --bundle bundle --minutes 30",
    )
    options.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    options.add_argument("--minutes", type=float, default=30.0, help="length of the run")
    options.add_argument("--camera", help="URL of a camera to use instead of the clip")
    options.add_argument(
        "--warm-up-s",
        type=float,
        default=120.0,
        help="seconds before the first comparison; at most a quarter of the run",
    )
    options.add_argument("--every-s", type=float, default=2.0, help="seconds between two samples")
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main() -> int:
    """Print the figures; exit code 1 if memory grows by 2 % or descriptors or threads leak."""
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as name, trial.Mosquitto(Path(name) / "broker") as broker:
        figures = _soak(given, Path(name), broker.port)
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        for label, value in figures.items():
            sys.stdout.write(f"{label:44} {value}\n")
    return 0 if figures["verdict"] == "good" else 1


def _soak(given: argparse.Namespace, folder: Path, port: int) -> dict[str, object]:
    camera = given.camera or str(_clip(folder / "clip.avi"))
    profile = folder / "door.toml"
    profile.write_text(
        PROFILE.format(
            bundle=given.bundle.resolve(),
            camera=camera,
            loop=str(given.camera is None).lower(),
            folder=folder,
            port=port,
        )
    )
    write_jpeg(folder / "eileen.jpg", trial.astronaut())
    ostiary = [sys.executable, "-m", "ostiary.edge"]
    enroll = ["enroll", "--config", str(profile), "eileen"]
    photo = str(folder / "eileen.jpg")
    subprocess.run([*ostiary, *enroll, photo], check=True, stdout=subprocess.DEVNULL)
    heard = Heard(port)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*ostiary, "run", "--config", str(profile)], stderr=log)
    try:
        samples = _watch(process, given.minutes * 60, given.every_s)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE_S)
    heard.close()
    if code or not samples or samples[-1].at_s < given.minutes * 60 * (1 - WINDOW):
        sys.stderr.write((folder / "log").read_text())
        raise SystemExit(f"the daemon ended before its time, with exit code {code}")
    warm_s = min(given.warm_up_s, given.minutes * 60 / 4)
    return _figures(samples, heard, warm_s, given.minutes * 60)


def _watch(process: subprocess.Popen[bytes], seconds: float, every_s: float) -> list[Sample]:
    """Samples until the time is over; prints a line on stderr each minute."""
    began, minute = time.monotonic(), 0
    samples: list[Sample] = []
    while (at_s := time.monotonic() - began) < seconds:
        time.sleep(every_s)
        if process.poll() is not None:
            break
        samples.append(_sample(process.pid, at_s))
        if at_s // 60 >= minute:
            minute += 1
            now = samples[-1]
            sys.stderr.write(
                f"{at_s / 60:5.1f} of {seconds / 60:.0f} min: {now.memory_mb:.1f} MB,"
                f" {now.descriptors} descriptors, {now.threads} threads, {now.cpu_s:.1f} s\n"
            )
    return samples


def _sample(pid: int, at_s: float) -> Sample:
    process = Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    # The process's name stands before them in brackets and may hold blanks.
    spent = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    ticks = sum(int(part) for part in spent)
    return Sample(
        at_s,
        int(fields["VmRSS"].split()[0]) / MB,
        len(list((process / "fd").iterdir())),
        int(fields["Threads"]),
        ticks / os.sysconf("SC_CLK_TCK"),
    )


def _figures(
    samples: list[Sample], heard: Heard, warm_s: float, seconds: float
) -> dict[str, object]:
    length = seconds * WINDOW
    warm = [s for s in samples if warm_s <= s.at_s < warm_s + length]
    last = [s for s in samples if s.at_s >= seconds - length]
    before, after = (float(np.median([s.memory_mb for s in part])) for part in (warm, last))
    growth = after / before - 1
    # Descriptors are opened and closed all the time; a leak is one that is never closed.
    leaked = min(s.descriptors for s in last) - max(s.descriptors for s in warm)
    threads = min(s.threads for s in last) - max(s.threads for s in warm)
    cpu = (last[-1].cpu_s - warm[0].cpu_s) / max(last[-1].at_s - warm[0].at_s, 1e-9)
    good = growth < MOST_GROWTH and leaked <= 0 and threads <= 0
    return {
        "minutes": round(samples[-1].at_s / 60, 1),
        "resident memory after warm-up, MB": round(before, 1),
        "resident memory at the end, MB": round(after, 1),
        "growth, %": round(growth * 100, 2),
        "descriptors after warm-up, most": max(s.descriptors for s in warm),
        "descriptors at the end, least": min(s.descriptors for s in last),
        "threads at the end, least": min(s.threads for s in last),
        "CPU share, % of one core": round(cpu * 100, 1),
        **_latency(heard.telemetry),
        "decisions": dict(sorted(heard.reasons.items())),
        "verdict": "good" if good else "memory grows, or descriptors or threads leak",
    }


def _latency(telemetry: list[TelemetryMessage]) -> dict[str, object]:
    """Latency over the windows that the device reports, but the first, which has the start-up."""
    windows = telemetry[1:] or telemetry
    if not windows:
        return {}
    p99 = [w.frame_ms_p99 or 0.0 for w in windows]
    return {
        "frames": windows[-1].frames,
        "frames a second": windows[-1].fps,
        "a frame, ms, p50": round(float(np.median([w.frame_ms_p50 for w in windows])), 2),
        "a frame, ms, p99, median of 20 s": round(float(np.median(p99)), 2),
        "a frame, ms, p99, worst of 20 s": max(p99),
    }


def _clip(path: Path) -> Path:
    """A clip of ten seconds: an empty scene, then a person who comes nearer, with fresh noise."""
    rng = np.random.default_rng(0)
    photo = trial.astronaut()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 480))
    for number in range(FRAMES):
        nearer = (number - EMPTY) / (FRAMES - EMPTY)
        frame = trial.as_frame(photo, 0.7 + 0.5 * nearer) if nearer >= 0 else _nobody()
        noise = rng.normal(0, 4, frame.shape)
        writer.write(np.clip(frame + noise, 0, 255).astype(np.uint8))
    writer.release()
    return path


def _nobody() -> Image:
    return np.full((480, 640, 3), 96, np.uint8)


if __name__ == "__main__":
    sys.exit(main())
