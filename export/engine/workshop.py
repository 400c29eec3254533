"""Starts a process for each order to build or prove an engine, and reads its answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from ostiary.edge.errors import BackendError, BundleError
from ostiary.export.engine.order import (
    Answer,
    Build,
    BuildRefusal,
    BuildStep,
    Built,
    Here,
    Order,
    PlaceQuery,
    Prove,
    ProvenPlan,
)

CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from ostiary.export.engine.child import main; main()"
)
"""The process's program. It imports from its parent's paths, but not from the current folder."""
LONGEST_S = {PlaceQuery: 120.0, Build: 1800.0, Prove: 300.0}
LAST_WORDS = 2000
Heard = Callable[[BuildStep], None]
A = TypeVar("A", Here, Built, ProvenPlan)


class PassingError(BackendError):
    """A failure that may not occur at the next try: a full disk, too little memory, a crash."""


class Workshop(Protocol):
    """Carries out orders; each method raises OstiaryError if the order fails."""

    def probe(self, order: PlaceQuery) -> Here:
        """What can be built here."""
        ...

    def build(self, order: Build, heard: Heard) -> Built:
        """Write a plan, reporting progress."""
        ...

    def prove(self, order: Prove) -> ProvenPlan:
        """Run a plan against the golden vectors."""
        ...


class Apart:
    """Carries out each order in a new process."""

    def probe(self, order: PlaceQuery) -> Here:
        return _ask(order, Here, _deaf)

    def build(self, order: Build, heard: Heard) -> Built:
        return _ask(order, Built, heard)

    def prove(self, order: Prove) -> ProvenPlan:
        return _ask(order, ProvenPlan, _deaf)


def _deaf(step: BuildStep) -> None:
    """Ignore progress."""


def _ask(order: Order, kind: type[A], heard: Heard) -> A:
    found: Answer | None = None
    command = [sys.executable, "-c", CHILD, json.dumps([path for path in sys.path if path])]
    limit_s = LONGEST_S[type(order)]
    with tempfile.TemporaryFile() as said:
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said) as child:
            late = threading.Timer(limit_s, child.kill)
            late.start()
            try:
                found = _converse(child, order, heard)
            except BaseException:
                child.kill()
                raise
            finally:
                late.cancel()
        said.seek(0)
        last_words = said.read()[-LAST_WORDS:].decode("utf-8", "replace").strip()
    if isinstance(found, BuildRefusal):
        raise (PassingError if found.passing else BundleError)(found.message, found.hint)
    if not isinstance(found, kind):
        raise PassingError(_death(child.returncode, last_words, limit_s))
    return found


def _converse(child: subprocess.Popen[bytes], order: Order, heard: Heard) -> Answer | None:
    """Send the order, report progress, and return the final answer; None if there is none."""
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
        if isinstance(answer, BuildStep):
            heard(answer)
        else:
            found = answer
    return found


def _death(status: int, last_words: str, limit_s: float) -> str:
    """How a process without an answer ended, and the likely reason."""
    name = f"status {status}"
    if status < 0:
        name = signal.Signals(-status).name
    said = f": {last_words.splitlines()[-1]}" if last_words else ""
    killed = f" (out of memory, or no answer in {limit_s:.0f} s)" if name == "SIGKILL" else ""
    return f"TensorRT's process died with {name}{killed}{said}"
