"""An operator with made-up subjects and their sealed records, and a broker that keeps them."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ostiary.edge.core.types import Floats
from ostiary.edge.roster.record import (
    SHARDS,
    Head,
    Index,
    Record,
    Sum,
    encode,
    shard_names,
    shard_of,
    sum_of,
    total,
)
from ostiary.edge.roster.sealing import Sealer, Site
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterTopics
from ostiary.fleet.broker.session import Broker, Retained
from scripts import trial

ROOT = Path(__file__).parents[2]
SITE, DIM = "bench", 128
SITE_KEY, SEED = bytes(range(32)), bytes(range(32, 64))
ENCODER = "ab" * 32
NOISE = 0.03
"""Noise added to each value of a template to make a probe: a cosine of about 0.95."""
HERE = "127.0.0.1"


class Counted(trial.Mosquitto):
    """A broker with default settings; reads its CPU time and memory from the kernel."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lasting=False)

    def start(self) -> Counted:
        # Each device takes a descriptor; the broker inherits our limit.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        super().start()
        return self

    def __enter__(self) -> Counted:
        return self.start()

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9

    @property
    def memory_mb(self) -> float:
        return memory_mb(self._pid)["VmRSS"]

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid


def memory_mb(process: int | str) -> dict[str, float]:
    """VmRSS and VmHWM of a process, from the kernel."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def connection(port: int) -> MqttSection:
    """Settings of a client that connects to the broker without TLS."""
    return MqttSection(host=HERE, port=port)


def name_of(number: int) -> str:
    return f"subject-{number:06d}"


def template(number: int, dim: int = DIM) -> Floats:
    """A random unit embedding, the same for the same number in every process."""
    row = np.random.default_rng([7, number]).normal(size=dim)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def probe(number: int, dim: int = DIM) -> Floats:
    """The template of this number with noise, as a camera would give it."""
    noise = np.random.default_rng([8, number]).normal(scale=NOISE, size=dim)
    row = template(number, dim) + noise
    return np.asarray(row / np.linalg.norm(row), np.float32)


class Operator:
    """Keeps revisions in memory, and makes each sealed message when it is sent."""

    def __init__(
        self,
        encoders: Sequence[str] = (ENCODER,),
        dim: int = DIM,
        topics: RosterTopics | None = None,
    ) -> None:
        self.sealer = Sealer(Site(SITE_KEY), SEED)
        self.sequence = 0
        self.topics = topics or RosterTopics(SITE)
        self._encoders, self._dim = encoders, dim
        self._shards: dict[str, dict[str, int]] = {name: {} for name in shard_names()}
        self._sums: dict[str, Sum] = {name: sum_of({}) for name in shard_names()}

    @property
    def digest(self) -> str:
        """The digest that a device with the whole roster reports."""
        return total(self._sums[name] for name in shard_names())

    def enroll(self, numbers: Iterable[int], revoked: bool = False) -> Iterator[Retained]:
        """Messages that change these subjects: records first, then their indexes, then the head."""
        changed = set()
        for number in numbers:
            name = name_of(number)
            self.sequence += 1
            shard = shard_of(name)
            self._shards[shard][name] = self.sequence
            changed.add(shard)
            yield self._record(number, revoked)
        yield from self._summed_up(sorted(changed))

    def revoke(self, number: int) -> list[Retained]:
        """The messages that revoke a subject: tombstone, index and head."""
        return list(self.enroll([number], revoked=True))

    def _record(self, number: int, revoked: bool) -> Retained:
        name = name_of(number)
        raw = {} if revoked else {e: template(number, self._dim).tobytes() for e in self._encoders}
        record = Record(name, self.sequence, revoked, raw)
        return self._sealed(self.topics.subject(shard_of(name), name), encode(record))

    def _summed_up(self, shards: Sequence[str]) -> Iterator[Retained]:
        for shard in shards:
            entries = self._shards[shard]
            self._sums[shard] = sum_of(entries)
            index = Index(shard, self.sequence, tuple(sorted(entries.items())))
            yield self._sealed(self.topics.index(shard), encode(index))
        sums = tuple(self._sums[name] for name in shard_names())
        assert len(sums) == SHARDS
        head = Head(self.sequence, time.time(), sums)
        yield self._sealed(self.topics.head, encode(head))

    def _sealed(self, topic: str, body: bytes) -> Retained:
        return Retained(topic, self.sealer.seal(topic, body))


def publish(port: int, messages: Iterable[Retained]) -> int:
    """Publish retained messages; returns how many."""
    with Broker(connection(port)) as broker:
        return broker.publish(messages)
