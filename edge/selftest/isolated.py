"""Python in a process of its own: what crashes, hangs or breaks there is a finding here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import BinaryIO

# The same modules as here, also where the folder it is started in has an `edge` of its own. No
# core dump, since a face may be in it. Whoever started it gone, it must not stay behind (1 is
# PR_SET_PDEATHSIG). What libraries print must not mix with the answer.
_FIRST = """import ctypes, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
sys.path[:] = {path!r}
answer = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
"""


@dataclass(frozen=True, slots=True)
class IsolatedResult:
    """What a process answered, or the problem: a signal, a time-out, its last words."""

    answer: bytes
    problem: str = ""


def run(code: str, given: bytes, limit_s: float) -> IsolatedResult:
    """Run some code that reads `sys.stdin.buffer` and writes to `answer`.

    At the end, also after a time-out or Ctrl-C, the process and all that it started are gone.
    """
    command = [sys.executable, "-c", _FIRST.format(path=sys.path) + code]
    # Memory, not pipes: a pipe that something it started holds open would never come to its end.
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
    """A file that is on no disk."""
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
    return lines[-1] if lines else f"exit code {code} without a word"
