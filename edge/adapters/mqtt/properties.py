"""What MQTT 5 adds to packets: how long a session lasts, how much may come, what is an answer."""

from __future__ import annotations

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SESSION_S = 7 * 24 * 3600
"""How long the broker keeps what we are subscribed to and missed, where only the network was away.
Who comes back later, or starts, reads of the roster what has changed, for it is retained."""
RECEIVE_MAXIMUM = 20
"""Messages that may come ahead of our acknowledgement: with the size below, 20 MiB."""
MAX_PACKET_BYTES = 1 << 20
"""Nothing of ours is larger. The broker drops what is, before it is in this device's memory."""


def connecting(session_s: int) -> Properties:
    """What we ask for when we connect."""
    said = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    said.SessionExpiryInterval = session_s
    said.ReceiveMaximum = RECEIVE_MAXIMUM
    said.MaximumPacketSize = MAX_PACKET_BYTES
    return said


def answering(correlation: bytes | None) -> Properties | None:
    """What says which question a message answers."""
    if correlation is None:
        return None
    said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    said.CorrelationData = correlation
    return said


def asked(message: MQTTMessage) -> tuple[str | None, bytes | None]:
    """Where a message wants its answer, and by what it will know it."""
    said = message.properties
    return getattr(said, "ResponseTopic", None), getattr(said, "CorrelationData", None)


def options(qos: int, replay: bool, as_published: bool) -> SubscribeOptions:
    """How to subscribe; without `replay` the broker sends nothing that it keeps."""
    kept = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
    handling = kept if replay else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos, retainAsPublished=as_published, retainHandling=handling)
