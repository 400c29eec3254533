"""The shipped broker for tests: its conf and ACL, its certificates made as its README says."""

from __future__ import annotations

import os
import queue
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from scripts import trial
from tests.support.places import ROOT

CONFIGS = ROOT / "firmware_configs"
PATIENCE_S = 20.0
HOST = "127.0.0.1"


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A text with each change made; a change that finds nothing to change is a failure."""
    for old, new in changes:
        assert old in text, f"nothing to change: {old!r}"
        text = text.replace(old, new)
    return text


class Authority:
    """Certificates by the very commands of the README, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        once, self._client = _commands("# The authority, once.").split("# A client", 1)
        self._run(changed(once, ("DNS:broker.example", f"IP:{HOST}")))

    def client(self, name: str, file: str) -> tuple[Path, Path]:
        """The certificate and key of a client whose CN is `name`."""
        # openssl reads + and / in a subject as separators.
        escaped = re.sub(r"([+/\\])", r"\\\1", name)
        self._run(changed("#" + self._client, ("CN=north-door", f"CN={escaped}"), ("device", file)))
        return self.folder / f"{file}.crt", self.folder / f"{file}.key"

    def revoke(self, file: str) -> None:
        """Put a client's certificate on the list of those that are refused."""
        self._run(changed(_commands("# A device was stolen."), ("device", file)))

    def _run(self, script: str) -> None:
        command = ["sh", "-eu", "-c", script]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def _commands(first: str) -> str:
    """The block of the README's commands that begins with this comment."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", (CONFIGS / "README.md").read_text(), re.S)
    (found,) = (block for block in blocks if block.startswith(first))
    return found


class SiteBroker:
    """Mosquitto on the shipped conf; only its port, paths and user are other than shipped.

    `more` are changes that the conf invites to.
    """

    def __init__(self, folder: Path, authority: Authority, *more: tuple[str, str]) -> None:
        self.port = trial.free_port()
        self._log, self._conf = folder / "mosquitto.log", folder / "mosquitto.conf"
        rights = folder / "acl"
        rights.write_text((CONFIGS / "mosquitto" / "acl").read_text())
        self._conf.write_text(
            changed(
                (CONFIGS / "mosquitto" / "mosquitto.conf").read_text(),
                *more,
                ("listener 8883", f"listener {self.port} {HOST}"),
                ("/etc/mosquitto/certs/", f"{authority.folder}/"),
                ("acl_file /etc/mosquitto/acl", f"acl_file {rights}"),
                ("/var/lib/mosquitto/", f"{folder}/"),
            )
            + f"\nuser {os.environ.get('USER', 'root')}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def log(self) -> str:
        return self._log.read_text()

    def __enter__(self) -> SiteBroker:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, "mosquitto is not installed: run scripts/setup"
        with self._log.open("ab") as log:
            command = [program, "-c", str(self._conf)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return self
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError(self.log())

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()


class Peer:
    """An MQTT 5 client of the broker; what happens to it is waited for, never slept for."""

    def __init__(
        self,
        broker: SiteBroker,
        ca: Path,
        identity: tuple[Path, Path] | None,
        name: str,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.received: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[int] = queue.Queue()
        self._fate: queue.Queue[str] = queue.Queue()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5,
            # Who was thrown off would throw off the other of that name.
            reconnect_on_failure=False,
        )
        cert, key = identity if identity is not None else (None, None)
        self.client.tls_set(ca_certs=str(ca), certfile=_text(cert), keyfile=_text(key))
        if will is not None:
            self.client.will_set(will[0], will[1], qos=1)
        self.client.on_connect = lambda c, d, f, reason, p: self._fate.put(str(reason))
        self.client.on_disconnect = lambda c, d, f, reason, p: self._fate.put(f"gone: {reason}")
        self.client.on_connect_fail = lambda c, d: self._fate.put("gone: cannot connect")
        self.client.on_publish = lambda c, d, mid, reason, p: self._answers.put(reason.value)
        self.client.on_subscribe = lambda c, d, mid, codes, p: self._answers.put(codes[0].value)
        self.client.on_message = lambda c, d, m: self.received.put((m.topic, bytes(m.payload)))
        self.client.connect_async(HOST, broker.port, 30)
        self.client.loop_start()
        self.fate = self._fate.get(timeout=PATIENCE_S)

    def publish(self, topic: str, payload: bytes = b"x", retain: bool = False) -> int:
        """Publish at QoS 1; the PUBACK's reason code."""
        self.client.publish(topic, payload, 1, retain)
        return self._answers.get(timeout=PATIENCE_S)

    def subscribe(self, topic: str) -> int:
        self.client.subscribe(topic, 1)
        return self._answers.get(timeout=PATIENCE_S)

    def next(self) -> tuple[str, bytes]:
        """The next message that came or comes."""
        return self.received.get(timeout=PATIENCE_S)

    def close(self) -> None:
        trial.leave(self.client)


Connect = Callable[..., Peer]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
