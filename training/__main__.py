"""The `ostiary-train` command."""

from __future__ import annotations

from ostiary.edge.cli.console import new_app, run
from ostiary.edge.errors import BackendError

HELP = "Train or fine-tune a face encoder on your own faces, and carry it to the door."

app = new_app(HELP)
try:
    from ostiary.training.cli import compare, data, finetune, fit, int8, report, verifier
except ImportError as error:
    missing = error.name or str(error)

    @app.callback(invoke_without_command=True)
    def refuse() -> None:
        """Say what is missing: a door has none of it, and gets this script all the same."""
        raise BackendError(
            f"training needs what is not installed here: {missing}",
            "pip install 'ostiary[train]' on a workstation; a door needs none of it",
        )
else:
    for room in (data, fit, compare, finetune, int8, verifier, report):
        room.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
