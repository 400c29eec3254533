"""TensorBoard's logs of a run: what log.jsonl tells, while the run is going on."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from training.log import EpochLine, Line

BOARD = "tensorboard"


class Board:
    """Writes a run's lines below its folder: one a step to "steps", one an epoch to "epochs".

    Two logs, since steps and epochs are counted apart, and each is opened by its first line: from
    there on TensorBoard is to forget what a run that was killed has said before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BOARD
        self._logs: dict[str, SummaryWriter] = {}

    def line(self, line: Line) -> None:
        """Tell what a line measured; an epoch's, and the steps before, are then on the disk."""
        if isinstance(line, EpochLine):
            self._tell("epochs", line.epoch, eer=line.eer, tar=line.tar, guard=line.guard)
            for log in self._logs.values():
                log.flush()
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
        if name not in self._logs:
            self._logs[name] = SummaryWriter(str(self._folder / name), purge_step=at)
        for tag, value in told.items():
            if value is not None:
                self._logs[name].add_scalar(tag, value, at)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for log in self._logs.values():
            log.close()
