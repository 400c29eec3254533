"""Output of every command: tables for people, JSON for machines, errors in one line."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, TextIO

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ostiary import __version__
from ostiary.edge.errors import OstiaryError
from ostiary.edge.files import as_text

BAD_INPUT = 2
INTERRUPTED = 130
JSON = "--json"
"""The flag of every command with output for machines; an error is then printed as JSON too."""

# In a pipe there is no terminal, so a table must not be squeezed into the usual 80 columns.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def new_app(help_text: str) -> typer.Typer:
    """A program or group of commands, with plain tracebacks and without shell completion."""
    app = typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_every_command)
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


def _every_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_say_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """The options that every program takes before its sub-command."""


def run(app: typer.Typer) -> NoReturn:
    """Run a command line. An error that a person can fix gives one line and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name need not be UTF-8, and a terminal may lack a letter: print an escape, do not
        # fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except OstiaryError as error:
        _fail(error.message, advice(error))
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", hint)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)


def advice(error: OstiaryError) -> str:
    """What a person at a command line can do: the error's hint, and its option as a flag."""
    flag = f"--{error.option.replace('_', '-')}" if error.option else ""
    return ": ".join(part for part in (error.hint, flag) if part)


def _fail(message: str, hint: str) -> NoReturn:
    shown = f" [dim]({escape(hint)})[/]" if hint else ""
    with _or_nowhere(sys.stderr):
        err.print(f"[bold red]error:[/] {escape(message)}{shown}")
    with _or_nowhere(sys.stdout):
        if JSON in sys.argv:
            print_json({"error": message, "hint": hint})
    sys.exit(BAD_INPUT)


@contextmanager
def _or_nowhere(stream: TextIO) -> Iterator[None]:
    """Write to a stream that may be closed or full; output that it cannot take is dropped.

    Otherwise the interpreter would try again at exit, complain, and change the exit code.
    """
    try:
        yield
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output. Raises OSError if it cannot be written."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_as_text(msgspec.to_builtins(value)))
    sys.stdout.write(encoded.decode() + "\n")
    # Flush here: an OSError is then reported like any other, and not at the interpreter's exit.
    sys.stdout.flush()


def _as_text(value: Any) -> Any:
    """The same value, with each byte of a name that is not UTF-8 as `\\udcff`."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {_as_text(key): _as_text(held) for key, held in value.items()}
    return [_as_text(held) for held in value] if isinstance(value, list | tuple) else value


def progress(label: str) -> tuple[Progress, Callable[[int, int], None]]:
    """A progress bar on standard error, and the function (done, total) that moves it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task(label, total=None)
    return bar, lambda done, total: bar.update(task, completed=done, total=total)
