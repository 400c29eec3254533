"""`ostiary run`: the daemon."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ostiary.edge.adapters import logs, systemd
from ostiary.edge.config import Config, load_config
from ostiary.edge.core.types import Decision, Frame
from ostiary.edge.daemon.assemble import assemble
from ostiary.edge.daemon.shutdown import Shutdown
from ostiary.edge.vision import picture
from ostiary.edge.vision.observer import Sighting

log = logging.getLogger("ostiary")


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    config: Annotated[Path, typer.Option("--config", help="Profile of the door (TOML).")],
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a picture of every decision. It stores faces: for trials only."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more details.")] = False,
) -> None:
    """Run the door in the foreground, until SIGTERM, Ctrl-C, or the end of a recording.

    Example: `ostiary run --config door.toml`, with this profile:

    ```toml
    [device]
    site = "hq"
    id = "north-door"
    [bundle]
    path = "bundle"
    [camera]
    url = "v4l2:/dev/video0"
    [state]
    path = "state"
    [mqtt]
    host = "broker.example"
    ```
    """
    # Read first, so that no process started later inherits systemd's variables.
    managed = "NOTIFY_SOCKET" in os.environ
    service = systemd.from_environment()
    logs.set_up(logging.DEBUG if verbose else logging.INFO)
    # Under systemd the process exits for a restart: its unit builds missing engines before the
    # start.
    profile: Config | None = None
    again = True
    while again:
        # Each run gets a new Shutdown: the previous one still holds its deadline.
        shutdown = Shutdown(service)
        shutdown.listen()
        profile = profile or load_config(config)
        again = _watch(profile, service, shutdown, pictures) and not managed


def _watch(
    profile: Config, service: systemd.Notifier, shutdown: Shutdown, pictures: Path | None
) -> bool:
    """Run the daemon once. True if it asks for a restart, for example for a new bundle."""
    service.status("loading and checking the models")
    daemon = assemble(profile, service, shutdown, _painter(pictures) if pictures else None)
    if not daemon.run():
        log.warning("the camera does not respond; the daemon exits without closing it")
        logging.shutdown()
        os._exit(0)
    return daemon.restart_wanted and not shutdown.wanted


def _painter(folder: Path) -> Callable[[Frame, Sighting | None, Decision, int], None]:
    folder.mkdir(parents=True, exist_ok=True)

    def paint(frame: Frame, sighting: Sighting | None, decision: Decision, seq: int) -> None:
        name = f"{time.strftime('%H%M%S')}-{seq:06d}-{decision.outcome.value}.jpg"
        face = sighting.face if sighting else None
        try:
            picture.write_jpeg(folder / name, picture.draw(frame.image, face, decision))
        except OSError as error:
            log.warning("cannot write the picture of decision %d: %s", seq, error)

    return paint
