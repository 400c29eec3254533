"""The `ostiary-export` command."""

from __future__ import annotations

import importlib.util

from edge.cli.console import new_app, run
from export.cli import engines

HELP = "Turn a trained face encoder into a proven, signed int8 bundle for door devices."
DEVICE_HELP = (
    "Engines for this device. The workstation's commands need pip install 'ostiary[export]'."
)

WORKSTATION = importlib.util.find_spec("onnx") is not None
"""A device builds engines, and has nothing installed to make a bundle with."""
app = new_app(HELP if WORKSTATION else DEVICE_HELP)
engines.register(app)
if WORKSTATION:
    from export.cli import files, judging, making

    for room in (making, judging, files):
        room.register(app)
else:

    @app.callback()
    def several() -> None:
        """Keep Typer from taking the only command for the whole program."""


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
