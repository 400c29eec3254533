"""An operator's desk for the tests of two encoders: people, photos, and what was published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from ostiary.edge.runtime.bundle import Bundle
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.reembed import Reembedding, ReembedReport
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from tests.support.fleet.people import OLD, template
from tests.support.places import ROOT

PORTRAIT = (ROOT / "export" / "assets" / "portrait.jpg").read_bytes()
GREY = b"P5 64 64 255\n" + bytes([90]) * 64 * 64
NOW_S = 1000.0


class Desk:
    """An operator who keeps photos, and what was published when."""

    def __init__(self, fleet: Fleet, bundle: Bundle) -> None:
        settings = msgspec.structs.replace(fleet.settings, keep_photos=True)
        self.album = Album(Fleet(fleet.folder, settings))
        self.folder = fleet.folder
        self.registry, self.bundle, self.encoder = fleet.registry(), bundle, bundle.encoder_id
        self.published: list[dict[str, int]] = []
        self.steps: list[tuple[int, int]] = []

    def enroll(self, subject: str, *photos: bytes) -> None:
        self.registry.put(Person(subject=subject), {OLD: Fused(template(len(subject)))}, NOW_S)
        if photos:
            self.album.keep(subject, [(f"{n}.jpg", photo) for n, photo in enumerate(photos)])

    def settle(self, bundle: Path, port: int) -> None:
        """What fleet.toml says to a command."""
        (self.folder / SETTINGS).write_text(
            f'site = "hq"\nbundle = "{bundle}"\nhost = "127.0.0.1"\nport = {port}\n'
            "keep_photos = true\n"
        )

    def publish(self) -> None:
        self.published.append(self.registry.people.coverage())
        self.registry.set_published(self.registry.roster.sequence)

    def run(self, publish: Callable[[], object] | None = None) -> ReembedReport:
        run = Reembedding(
            self.registry, self.album, self.bundle, lambda: NOW_S, publish or self.publish
        )
        return run.run(lambda done, total: self.steps.append((done, total)))
