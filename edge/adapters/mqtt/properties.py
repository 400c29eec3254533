"""MQTT 5 properties: a session's length, limits of messages, the request that a message answers."""

from __future__ import annotations

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

SESSION_S = 7 * 24 * 3600
"""How long the broker keeps our subscriptions and missed messages while only the network is down. A
device that returns later, or restarts, reads what has changed from the retained roster."""
RECEIVE_MAXIMUM = 20
"""The most messages that may come before we acknowledge one: at MAX_PACKET_BYTES each, 20 MiB."""
MAX_PACKET_BYTES = 1 << 20
"""None of our messages is larger. The broker drops larger ones before they fill our memory."""


def connecting(session_s: int) -> Properties:
    """The properties of our CONNECT packet."""
    said = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    said.SessionExpiryInterval = session_s
    said.ReceiveMaximum = RECEIVE_MAXIMUM
    said.MaximumPacketSize = MAX_PACKET_BYTES
    return said


def answering(correlation: bytes | None) -> Properties | None:
    """Properties that say which request a message answers; None without a correlation."""
    if correlation is None:
        return None
    said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    said.CorrelationData = correlation
    return said


def asked(message: MQTTMessage) -> tuple[str | None, bytes | None]:
    """A message's response topic and correlation data; None for each that it lacks."""
    said = message.properties
    return getattr(said, "ResponseTopic", None), getattr(said, "CorrelationData", None)


def options(qos: int, replay: bool, as_published: bool) -> SubscribeOptions:
    """Options of a subscription; without `replay` the broker sends no retained messages."""
    kept = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
    handling = kept if replay else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos, retainAsPublished=as_published, retainHandling=handling)
