"""The `ostiary-export` command."""

from __future__ import annotations

from ostiary.edge.cli.console import new_app, run
from ostiary.export.cli import engines

HELP = """Turn a trained face encoder into a tested, signed int8 bundle for door devices.

Example: `ostiary-export build --out bundle`
"""
DEVICE_HELP = """Build the TensorRT engines of this device.

Every other command needs `pip install 'ostiary[export]'`.

Example: `ostiary-export engine --config /etc/ostiary/door.toml`
"""

try:
    from ostiary.export.cli import covered, evaluating, files, judging, labels, making, upright
except ImportError:
    # A device only builds engines: the packages that make a bundle are not installed there.
    app = new_app(DEVICE_HELP)
    engines.register(app)
else:
    app = new_app(HELP)
    for room in (making, judging, evaluating, labels, upright, covered, files, engines):
        room.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
