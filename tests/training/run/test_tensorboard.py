"""TensorBoard's logs say what the lines say, each once, also after a kill or on a full disk."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from ostiary.edge.errors import StoreError
from ostiary.training.run.log import EpochLine, StepLine
from ostiary.training.run.tensorboard import BOARD, Board
from tests.support.training.interruptions import nearly_full


def step(at: int, loss: float, active: float | None = 0.5) -> StepLine:
    return StepLine(1 + (at - 1) // 2, at, loss, active, 100.0 + at, 0.01 / at)


def said(folder: Path, log: str) -> dict[str, list[tuple[int, Any]]]:
    """Every scalar that TensorBoard would show, as (step, value)."""
    read = EventAccumulator(str(folder / BOARD / log))
    read.Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def aged(folder: Path) -> None:
    """Its logs as if they were of yesterday: TensorBoard reads them in the order of their names."""
    for path in (folder / BOARD).rglob("events.out.tfevents.*"):
        parts = path.name.split(".")
        parts[3] = str(int(parts[3]) - 86_400)
        path.rename(path.with_name(".".join(parts)))


def test_every_figure_of_a_line_is_told(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.line(EpochLine(0, 0.4, None, True))
        board.line(step(1, 0.9))
        board.line(step(2, 0.8, active=None))
        board.line(EpochLine(1, 0.3, 0.25, True, 0.75))
    steps, epochs = said(tmp_path, "steps"), said(tmp_path, "epochs")
    assert {tag: [at for at, _ in told] for tag, told in steps.items()} == {
        "loss": [1, 2],
        "active": [1],
        "images_s": [1, 2],
        "rate": [1, 2],
    }
    assert [value for _, value in steps["loss"]] == pytest.approx([0.9, 0.8])
    assert [value for _, value in steps["images_s"]] == pytest.approx([101, 102])
    assert [value for _, value in steps["rate"]] == pytest.approx([0.01, 0.005])
    assert set(epochs) == {"eer", "tar", "guard"}
    assert epochs["eer"] == [(0, pytest.approx(0.4)), (1, pytest.approx(0.3))]
    assert epochs["tar"] == [(1, pytest.approx(0.25))]
    assert epochs["guard"] == [(1, pytest.approx(0.75))]


def test_an_epoch_is_on_the_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        for epoch in range(1, 4):
            board.line(step(2 * epoch - 1, 1.0))
            board.line(step(2 * epoch, 1.0))
            board.line(EpochLine(epoch, 0.5, None, True))
            told = said(tmp_path, "steps"), said(tmp_path, "epochs")
            assert [at for at, _ in told[0]["rate"]] == list(range(1, 2 * epoch + 1))
            assert [at for at, _ in told[1]["eer"]] == list(range(1, epoch + 1))


def test_what_a_resumed_run_says_again_is_told_once(tmp_path: Path) -> None:
    with Board(tmp_path) as board:
        board.line(EpochLine(0, 0.4, None, True))
        for at in range(1, 6):
            board.line(step(at, 1.0))
        board.line(EpochLine(1, 0.3, None, True))
    aged(tmp_path)
    # The checkpoint was of step 3: the run goes on from there, and judges epoch 1 again.
    with Board(tmp_path) as board:
        for at in range(4, 8):
            board.line(step(at, 2.0))
        board.line(EpochLine(1, 0.2, None, True))
    found = said(tmp_path, "steps")
    assert found["loss"] == [(at, 1.0 if at < 4 else 2.0) for at in range(1, 8)]
    assert [at for at, _ in found["active"]] == list(range(1, 8))
    assert said(tmp_path, "epochs")["eer"] == [(0, pytest.approx(0.4)), (1, pytest.approx(0.2))]


def fill(board: Board) -> None:
    for at in range(1, 100):
        board.line(step(at, 1.0))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with (
        nearly_full(500),
        pytest.raises(StoreError, match=r"cannot write .*steps: ") as caught,
        Board(tmp_path) as board,
    ):
        fill(board)
    assert "free some space" in caught.value.hint


def test_a_full_disk_does_not_hide_what_ended_the_run(tmp_path: Path) -> None:
    with (
        nearly_full(500),
        pytest.raises(StoreError, match="the checkpoint"),
        Board(tmp_path) as board,
    ):
        with pytest.raises(StoreError):
            fill(board)
        raise StoreError("the checkpoint")


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / BOARD).write_bytes(b"")
    with Board(tmp_path) as board, pytest.raises(StoreError, match=r"cannot write .*epochs: "):
        board.line(EpochLine(0, 0.4, None, True))
