"""Histories: bytes choose what the registry, the broker, devices and an attacker do."""

from __future__ import annotations

from collections.abc import Callable

from ostiary.edge.roster.record import Record
from tests.support.roster.model import HOT, PEOPLE, Broker, Publisher, Registry, topic_of
from tests.support.roster.world import Device

OP = 3
"""Bytes per event: what happens, to which device or subject, and how."""
ROUNDS = 3
"""Rounds of a sync: a head, the indexes of differing shards, the records that they name."""


class World:
    """Everything that happens to a fleet of devices."""

    def __init__(self, devices: int) -> None:
        self.registry, self.broker = Registry(), Broker()
        self.publisher = Publisher(self.registry)
        self.devices: list[Device] = []
        for _ in range(devices):
            self.broker.queues.append([])
            self.devices.append(Device(self.publisher, self.broker.queues[-1]))
        self.sending = self.publisher.publish(True, 1, False)
        self.backup: dict[str, Record] = {}

    def run(self, program: bytes) -> None:
        """Carry out the events, one after another."""
        for at in range(0, len(program) - OP + 1, OP):
            what, whom, how = program[at : at + OP]
            EVENTS[what % len(EVENTS)](self, whom, how)

    def finish(self, how: int) -> None:
        """Repair the broker and deliver messages: every device then equals the registry."""
        if how & 1:
            self.broker.forget()
        if not self.registry.sequence:
            self.registry.enroll(PEOPLE[0])
        self.publish(0, how | 1)
        self.send(0, 1000)
        for device in self.devices:
            for _ in range(ROUNDS):
                device.pull(self.broker)
                self._deliver(device, device.under_way, how)
            self._check_equal(device)
            # Late or repeated messages change nothing any more.
            self._deliver(device, device.queue, how)
            self._check_equal(device)
            store = device.disk
            self._deliver(device, list(self.publisher.signed), how)
            self._deliver(device, self.publisher.signed[::-1], ~how)
            assert device.disk == store
            self._check_equal(device)
            device.restart(0)
            self._check_equal(device)

    def _deliver(self, device: Device, messages: list, how: int) -> None:  # type: ignore[type-arg]
        taken = list(messages)
        messages.clear()
        if how & 2:
            device.take(taken)
            return
        for message in taken:
            device.take([message])

    def _check_equal(self, device: Device) -> None:
        assert device.disk.records == self.registry.records
        assert device.state.head is not None
        assert device.state.head.sequence == self.registry.sequence
        assert device.state.unproven() == []
        for name in HOT:
            assert device.state.shard(name).index is None
            assert not device.state.shard(name).waiting

    def _device(self, whom: int) -> Device:
        return self.devices[whom % len(self.devices)]

    # The events; `whom` and `how` are a byte each.

    def enroll(self, whom: int, how: int) -> None:
        self.registry.enroll(PEOPLE[whom % len(PEOPLE)])

    def revoke(self, whom: int, how: int) -> None:
        self.registry.revoke(PEOPLE[whom % len(PEOPLE)])

    def suspend(self, whom: int, how: int) -> None:
        self.registry.suspend(PEOPLE[whom % len(PEOPLE)])

    def resume(self, whom: int, how: int) -> None:
        self.registry.resume(PEOPLE[whom % len(PEOPLE)])

    def erase(self, whom: int, how: int) -> None:
        self.registry.erase(PEOPLE[whom % len(PEOPLE)])

    def publish(self, whom: int, how: int) -> None:
        """Start to publish; an earlier publisher that has not ended is killed."""
        if self.registry.sequence:
            self.sending.close()
            self.sending = self.publisher.publish(bool(how & 1), 1 + (how >> 2) % 4, bool(how & 2))

    def send(self, whom: int, how: int) -> None:
        """The publisher sends some more messages."""
        if self.registry.sequence:
            for _, (topic, message) in zip(range(how), self.sending, strict=False):
                self.broker.publish(topic, message)

    def send_some(self, whom: int, how: int) -> None:
        self.send(whom, 1 + how % 16)

    def deliver(self, whom: int, how: int) -> None:
        """Some requested or live messages arrive; some of them arrive again later."""
        device = self._device(whom)
        source = device.under_way if whom & 64 else device.queue
        if not source:
            return
        first = (how >> 3) % len(source) if how & 4 else 0
        chosen = source[first : first + 1 + (how & 3) * 2]
        if not whom & 128:
            del source[first : first + len(chosen)]
        self._deliver(device, chosen[::-1] if whom & 32 else chosen, how >> 4)

    def pull(self, whom: int, how: int) -> None:
        device = self._device(whom)
        device.pull(self.broker)
        if how & 1:
            self._deliver(device, device.under_way, how)

    def lose(self, whom: int, how: int) -> None:
        """Messages get lost on the way."""
        device = self._device(whom)
        source = device.under_way if whom & 64 else device.queue
        del source[how & 3 : (how & 3) + (how >> 4)]

    def restart(self, whom: int, how: int) -> None:
        """A device restarts; after a bad crash its disk has lost some transactions."""
        self._device(whom).restart(how % 4 if how > 127 else 0)
        if how & 64:
            self._device(whom).queue.clear()

    def replay(self, whom: int, how: int) -> None:
        """An attacker without a key replays a genuine message, retained or not."""
        if self.publisher.signed:
            message = self.publisher.signed[how % len(self.publisher.signed)]
            self.broker.publish(topic_of(message), message, retain=bool(whom & 1))

    def rewind(self, whom: int, how: int) -> None:
        """The attacker publishes again everything that was once retained."""
        for message in self.publisher.signed[: how % (len(self.publisher.signed) + 1)]:
            self.broker.retained[topic_of(message)] = message

    def forget(self, whom: int, how: int) -> None:
        """The broker restarts and has lost all retained messages."""
        if how % 4 == 0:
            self.broker.forget()

    def back_up(self, whom: int, how: int) -> None:
        self.backup = dict(self.registry.records)

    def restore(self, whom: int, how: int) -> None:
        """The registry is restored from a backup; all records get numbers above any seen so far."""
        if how % 3 == 0:
            self.sending.close()
            above = max(self.registry.sequence, self.publisher.highest)
            self.registry.restore(self.backup, above)
            if self.registry.sequence:
                self.sending = self.publisher.publish(True, 2, True)


EVENTS: tuple[Callable[[World, int, int], None], ...] = (
    *(World.enroll,) * 3,
    *(World.revoke,) * 2,
    *(World.suspend, World.resume, World.erase),
    *(World.publish,) * 4,
    *(World.send_some,) * 4,
    *(World.deliver,) * 7,
    *(World.pull,) * 3,
    *(World.lose, World.restart, World.rewind, World.forget, World.back_up, World.restore),
    *(World.replay,) * 2,
)
