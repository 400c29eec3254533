"""What stops a run before its end: a full disk, or its user."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostiary.training.run.log import Line, StepLine
from tests.support.training import tiny_run


@contextmanager
def nearly_full(byte_count: int) -> Iterator[None]:
    """No file of this process may grow beyond `byte_count`, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def stopped_at(step: int, folder: Path) -> None:
    """Begin the tiny run in a folder and interrupt it, as Ctrl-C does, after a step."""

    def stopping(line: Line) -> None:
        if isinstance(line, StepLine) and line.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_run.run(folder, tiny_run.task(), watchers=[stopping])
