"""The `ostiary-export` command."""

from __future__ import annotations

from ostiary.edge.cli.console import new_app, run
from ostiary.export.cli import engines

HELP = "Turn a trained face encoder into a proven, signed int8 bundle for door devices."
DEVICE_HELP = (
    "Engines for this device. The workstation's commands need pip install 'ostiary[export]'."
)

try:
    from ostiary.export.cli import files, judging, making
except ImportError:
    # A device builds engines, and has not all installed that makes a bundle.
    app = new_app(DEVICE_HELP)
    engines.register(app)
else:
    app = new_app(HELP)
    for room in (making, judging, files, engines):
        room.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
