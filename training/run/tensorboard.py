"""TensorBoard's logs of a run: the figures of log.jsonl, written during the run."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2  # type: ignore[import-untyped]
from torch.utils.tensorboard import RecordWriter

from ostiary.edge.errors import StoreError
from ostiary.training.run.log import EpochLine, Line

BOARD = "tensorboard"


class Board:
    """Writes a run's lines below its folder: steps to "steps", epochs to "epochs".

    There are two logs, since steps and epochs are counted separately. The first line opens a log
    and makes TensorBoard discard what a killed run wrote from that step on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BOARD
        self._logs: dict[str, _Log] = {}

    def line(self, line: Line) -> None:
        """Write the figures of a line. Raises StoreError if they cannot be written."""
        if isinstance(line, EpochLine):
            self._tell("epochs", line.epoch, eer=line.eer, tar=line.tar, guard=line.guard)
            return
        self._tell(
            "steps",
            line.step,
            loss=line.loss,
            active=line.active,
            images_s=line.images_s,
            rate=line.rate,
        )

    def _tell(self, name: str, at: int, **told: float | None) -> None:
        try:
            if name not in self._logs:
                self._logs[name] = _Log(self._folder / name, at)
            self._logs[name].tell(
                at, {tag: value for tag, value in told.items() if value is not None}
            )
        except OSError as error:
            raise StoreError(
                f"cannot write {self._folder / name}: {error.strerror}",
                "free some space, then resume the run",
                option="resume",
            ) from error

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for log in self._logs.values():
            # Every line was flushed when it was written, or raised an error then; closing must not
            # replace that error by another.
            with suppress(OSError):
                log.close()


class _Log:
    """A log file; TensorBoard discards what older files hold from step `at` on.

    TensorBoard's own writer is not used: its thread prints a traceback when the disk is full.
    """

    def __init__(self, folder: Path, at: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        self._file = (folder / f"events.out.tfevents.{time.time():.6f}").open("xb")
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        self._add(step=at, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def tell(self, at: int, told: dict[str, float]) -> None:
        """Write figures of step `at`. Raises OSError if they cannot be written."""
        values = [
            summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in told.items()
        ]
        self._add(step=at, summary=summary_pb2.Summary(value=values))
        self._file.flush()

    def _add(self, **fields: Any) -> None:
        event = event_pb2.Event(wall_time=time.time(), **fields)
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        self._file.close()
