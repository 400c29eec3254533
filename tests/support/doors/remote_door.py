"""A door of a fleet without models, camera and network; the test sets the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ostiary.edge.clock import WallClock
from ostiary.edge.config import Config
from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.scores.calibration import Threshold
from ostiary.edge.core.types import Floats
from ostiary.edge.remote.client import Remote
from ostiary.edge.sections import (
    BundleSection,
    CameraSection,
    DeviceSection,
    MqttSection,
    RosterSection,
    StateSection,
)
from tests.support.roster.operator import DIM, ENCODER, SITE, SITE_KEY, Operator
from tests.support.roster.wire import FakeBroker

NOW_S = 1_790_000_000.0
NEXT = "cd" * 32


class FakeEnrolled:
    """A gallery of names."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.stale = False
        self.tau = Threshold(0.4, 1, 0.01, 0.01, True)

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        self.names |= {subject for subject, *_ in put}
        self.names -= set(removed)


class FakeReporter:
    link = None

    def __init__(self) -> None:
        self.events: list[str] = []
        self.state: dict[str, object] = {}

    def event(self, name: str, detail: str = "") -> None:
        self.events.append(f"{name}: {detail}")

    def threshold(self, tau: Threshold) -> None:
        """Ignored."""

    def change(self, **fields: object) -> None:
        self.state.update(fields)


class Door:
    """A `Remote` without models, camera and network; the test sets the time."""

    def __init__(self, folder: Path, operator: Operator, stale_after_s: float) -> None:
        (folder / "operators").mkdir()
        (folder / "operators" / "one.pub").write_text(operator.sealer.public.hex())
        key = folder / "site-key"
        key.write_text(SITE_KEY.hex())
        key.chmod(0o600)
        self.roster = RosterSection(
            operators=folder / "operators", site_key=key, stale_after_s=stale_after_s
        )
        self.config = Config(
            device=DeviceSection(site=SITE, id="door"),
            bundle=BundleSection(path=folder),
            camera=CameraSection(url=""),
            state=StateSection(path=folder / "state"),
            mqtt=MqttSection(host="none"),
            roster=self.roster,
        )
        self.wall_s, self.now_s = NOW_S, 0.0
        self.moment = WallClock("UTC", lambda: self.wall_s, lambda: self.now_s)
        self.reporter = FakeReporter()
        self._joined: FakeBroker | None = None
        self.start()

    def new_enrolled(self) -> Any:
        return FakeEnrolled()

    def start(self) -> None:
        self.enrolled = self.new_enrolled()
        bundle = SimpleNamespace(encoder_id=ENCODER, dim=DIM)
        self.remote = Remote(
            self.config,
            self.roster,
            cast(Any, SimpleNamespace(bundle=bundle)),
            cast(Any, self.enrolled),
            self.moment,
            cast(Any, None),
            cast(Any, self.reporter),
            lambda: self.wall_s,
            lambda: self.now_s,
        )
        box: Any = SimpleNamespace(put=self.remote.inbox)
        if self._joined is None:
            self._joined = FakeBroker(box)
        else:
            self._joined.join(box)

    @property
    def broker(self) -> FakeBroker:
        """The broker that the door joins at each start."""
        assert self._joined is not None
        return self._joined

    def turns(self, seconds: float = 0.0) -> None:
        """Move both clocks forward, then run one turn of the loop."""
        self.wall_s, self.now_s = self.wall_s + seconds, self.now_s + seconds
        for _ in range(5):
            self.remote.turn(cast(Any, self.broker))
