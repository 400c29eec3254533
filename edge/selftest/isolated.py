"""Runs Python code in a separate process, so that a crash or a hang becomes a finding."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import BinaryIO

# `sys.path` is the parent's, so that the process imports the same modules. There is no core dump,
# since it may contain a face. If the parent dies, the process is killed too (1 is
# PR_SET_PDEATHSIG). Standard output goes to standard error, so that what libraries print does not
# mix with the answer.
_FIRST = """import ctypes, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
sys.path[:] = {path!r}
answer = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
"""


@dataclass(frozen=True, slots=True)
class IsolatedResult:
    """The answer of a process, or its problem: a signal, a time-out, or its last error line."""

    answer: bytes
    problem: str = ""


def run(code: str, given: bytes, limit_s: float) -> IsolatedResult:
    """Run code that reads `given` from `sys.stdin.buffer` and writes to the file `answer`.

    At the end, also after a time-out or Ctrl-C, the process and all its children are killed.
    """
    command = [sys.executable, "-c", _FIRST.format(path=sys.path) + code]
    # These are files and not pipes: if a child of the process kept a pipe open, reading would never
    # end.
    with _memory(given) as told, _memory() as answer, _memory() as said:
        process = subprocess.Popen(
            command, stdin=told, stdout=answer, stderr=said, start_new_session=True
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return IsolatedResult(b"", f"no end after {limit_s:.0f} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        answer.seek(0)
        said.seek(0)
        return IsolatedResult(answer.read(), _problem(status, said.read()))


def _memory(content: bytes = b"") -> BinaryIO:
    """A file in memory."""
    file = os.fdopen(os.memfd_create("ostiary-selftest"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _problem(code: int, said: bytes) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code} without a message"
