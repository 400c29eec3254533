"""Asks one device to open, or to make a template of a person, and waits for its answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import msgspec
import numpy as np

from ostiary.edge.core.types import Template
from ostiary.edge.errors import SealError
from ostiary.edge.roster.record import MOST_PHOTOS, Command, encode
from ostiary.edge.roster.sealing import Site
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import Response, Topics, decode
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.doors.devices import Said, read_known
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet
from ostiary.fleet.terminal import plain

OPEN_S, CAPTURE_S = 10.0, 60.0
NONCE_BYTES = 16
UNIT_TOLERANCE = 1e-3


class CommandError(FleetError):
    """The device refused or did not answer; `reason` is the device's, empty if it gave none."""

    def __init__(self, message: str, hint: str = "", reason: str = "", option: str = "") -> None:
        super().__init__(plain(message), hint, option=option)
        self.reason = reason


HINTS = {
    "busy": "wait until its other capture has ended",
    "attack": "a live person must stand at the door, not a picture",
    "no-face": "look into the camera",
    "two-faces": "only one person may stand at the door",
    "not-upright": "hold the head upright; if the camera hangs turned, set `rotate` in its profile",
    "covered": "take off mask, scarf and sunglasses, and keep hands from the face",
    "low-quality": "add light, come closer, and face the camera",
    "timeout": "look into the camera for longer; to allow more seconds",
}
OPTIONS = {"timeout": "timeout"}


def ask(
    fleet: Fleet,
    device: str,
    name: str,
    subject: str | None = None,
    timeout_s: float = OPEN_S,
    wall: Callable[[], float] = time.time,
    connect: Callable[[MqttSection], Broker] = Broker,
) -> Response:
    """Send a command and return the device's answer, which may be a refusal.

    The command expires after `timeout_s`, at the broker and at the device. Raises CommandError if
    no answer came, BrokerError if the broker fails.
    """
    site, topics = fleet.settings.site, Topics(fleet.settings.site, device)
    command = Command(secrets.token_bytes(NONCE_BYTES), wall() + timeout_s, subject, timeout_s)
    topic, answer_on = topics.command(name), topics.response(name)
    payload = fleet.sealer().seal(topic, encode(command))
    with connect(fleet.mqtt()) as broker:
        broker.listen([answer_on], replay=False)
        # The device may answer only at the end of its own time, so wait a little longer.
        until = time.monotonic() + timeout_s + 2.0
        heard = broker.command(topic, payload, answer_on, command.nonce, max(1, int(timeout_s)))
        while heard and (left := until - time.monotonic()) > 0:
            message = broker.receive(left)
            if message is None or message.correlation != command.nonce:
                continue
            response = _opened(fleet.site(), answer_on, message.payload)
            if response is not None and response.nonce == command.nonce.hex():
                return response
        said = read_known(broker, site, [device], ["state"])[device]
    raise CommandError(*_no_answer(device, said, timeout_s, heard=heard))


def open_door(fleet: Fleet, device: str, timeout_s: float = OPEN_S) -> None:
    """Let a device open its door once. Raises CommandError if the device did not open it."""
    response = ask(fleet, device, "open", timeout_s=timeout_s)
    if not response.ok:
        raise _refused(device, "did not open", response)


def clear_lockout(fleet: Fleet, device: str, timeout_s: float = OPEN_S) -> None:
    """End every lockout at a device. Raises CommandError if it did not."""
    response = ask(fleet, device, "clear-lockout", timeout_s=timeout_s)
    if not response.ok:
        raise _refused(device, "did not end its lockouts", response)


def capture(
    fleet: Fleet, device: str, subject: str, encoder: str, dim: int, timeout_s: float = CAPTURE_S
) -> Template:
    """A (dim,) template of the person who stands at the device. Raises CommandError.

    Its number of frames is 0 if the device is too old to state it.
    """
    response = ask(fleet, device, "capture", subject, timeout_s)
    if not response.ok:
        raise _refused(device, "got no template", response)
    if response.encoder != encoder:
        raise CommandError(
            f"{device} embeds with {response.encoder[:12]}..., this fleet with {encoder[:12]}...",
            "install the same bundle on both",
        )
    if len(response.template) != 4 * dim:
        raise CommandError(
            f"{device} sent a template of {len(response.template)} bytes in place of {4 * dim}"
        )
    if not 0 <= response.photos <= MOST_PHOTOS:
        raise CommandError(f"{device} sent a template of {response.photos} frames")
    row = np.frombuffer(response.template, "<f4").astype(np.float32)
    norm = float(np.linalg.norm(row))
    # Written so that NaN is refused.
    if not abs(norm - 1) < UNIT_TOLERANCE:
        raise CommandError(f"{device} sent a template of length {norm:.3f} in place of 1")
    return Template(subject, encoder, np.asarray(row / norm, np.float32), response.photos)


def _opened(site: Site, topic: str, payload: bytes) -> Response | None:
    """The answer, if it is sealed with the site's key; None for anything else."""
    try:
        return decode(site.open(topic, payload), Response)
    except (SealError, msgspec.DecodeError):
        return None


def _refused(device: str, what: str, response: Response) -> CommandError:
    reason = response.reason
    hint, option = HINTS.get(reason, ""), OPTIONS.get(reason, "")
    return CommandError(f"{device} {what}: {reason}", hint, reason, option)


def _no_answer(device: str, said: Said, timeout_s: float, heard: bool) -> tuple[str, str]:
    state = said.state
    if state is None:
        return (
            f"no device {device} ever reported to this broker",
            "`ostiary-fleet status` lists the devices that did",
        )
    if not said.online:
        since = f" since {state.at}" if state.at else ""
        return (
            f"{device} is {state.status}{since}",
            "the device got no command; try again when it is online",
        )
    if not heard:
        return (
            f"{device} is online, but takes no commands",
            "its profile needs [roster]: see `ostiary-fleet provision`",
        )
    return (
        f"{device} did not answer within {timeout_s:.0f} s",
        "check that the device trusts this operator's key, that its clock is right, and that the"
        " broker lets it write its response; `ostiary-fleet watch` shows what it refuses",
    )
