"""Gives orders to the process that builds, and reads its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from edge.errors import BackendError, BundleError
from export.engine.order import (
    Answer,
    Build,
    Built,
    Here,
    Order,
    Probe,
    Prove,
    Proven,
    Refusal,
    Step,
)

CHILD = "from export.engine.child import main; main()"
LAST_WORDS = 2000
Heard = Callable[[Step], None]
A = TypeVar("A", Here, Built, Proven)


class Workshop(Protocol):
    """Where orders are carried out. Each raises an OstiaryError where it can not be done."""

    def probe(self, order: Probe) -> Here:
        """What can be built here."""
        ...

    def build(self, order: Build, heard: Heard) -> Built:
        """Write a plan, reporting progress."""
        ...

    def prove(self, order: Prove) -> Proven:
        """Run a plan against the golden vectors."""
        ...


class Apart:
    """A workshop in a process of its own for each order."""

    def probe(self, order: Probe) -> Here:
        return _ask(order, Here, _deaf)

    def build(self, order: Build, heard: Heard) -> Built:
        return _ask(order, Built, heard)

    def prove(self, order: Prove) -> Proven:
        return _ask(order, Proven, _deaf)


def _deaf(step: Step) -> None:
    """Nobody asked for progress."""


def _ask(order: Order, kind: type[A], heard: Heard) -> A:
    found: Answer | None = None
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CHILD]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=there
        )
        try:
            with child:
                found = _converse(child, order, heard)
        except BaseException:
            child.kill()
            raise
        said.seek(0)
        last_words = said.read()[-LAST_WORDS:].decode("utf-8", "replace").strip()
    if isinstance(found, Refusal):
        raise BundleError(found.message, found.hint)
    if not isinstance(found, kind):
        raise BackendError(_death(child.returncode, last_words))
    return found


def _converse(child: subprocess.Popen[bytes], order: Order, heard: Heard) -> Answer | None:
    """The last answer that is no progress."""
    assert child.stdin is not None
    assert child.stdout is not None
    found: Answer | None = None
    try:
        child.stdin.write(msgspec.json.encode(order))
        child.stdin.close()
    except BrokenPipeError:
        return None
    for line in child.stdout:
        answer: Answer = msgspec.json.decode(line, type=Answer)
        if isinstance(answer, Step):
            heard(answer)
        else:
            found = answer
    return found


def _death(status: int, last_words: str) -> str:
    """Why a process that gave no answer may have ended."""
    name = f"status {status}"
    if status < 0:
        name = signal.Signals(-status).name
    said = f": {last_words.splitlines()[-1]}" if last_words else ""
    return f"TensorRT's process died of it with {name}{said}"
