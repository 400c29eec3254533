"""The `ostiary-train` command."""

from __future__ import annotations

from ostiary.edge.cli.console import new_app, run
from ostiary.edge.errors import BackendError

HELP = """Train or fine-tune a face encoder on photos of your own people, for use at a door.

Example: `ostiary-train fit settings.toml --faces faces --bundle bundle --out run`"""

app = new_app(HELP)
try:
    from ostiary.training.cli import compare, data, finetune, fit, int8, report, verifier
except ImportError as error:
    missing = error.name or str(error)

    @app.callback(invoke_without_command=True)
    def refuse() -> None:
        """Report the missing package and exit: a door has this script too, but no training
        packages."""
        raise BackendError(
            f"training needs a package that is not installed here: {missing}",
            "pip install 'ostiary[train]' on a workstation; a door does not need it",
        )
else:
    for room in (data, fit, compare, finetune, int8, verifier, report):
        room.register(app)


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
