"""Checkpoints: whole, refused where damaged or of another run, and a full disk leaves the last."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ostiary.edge.errors import ConfigError, StoreError
from ostiary.training.run import checkpoint, log
from ostiary.training.run.checkpoint import RunProgress, RunState
from ostiary.training.run.log import EpochLine, Line, StepLine
from tests.support.training.interruptions import nearly_full


def state() -> RunState:
    weight = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    layer = torch.nn.Parameter(weight.clone())
    optimiser = torch.optim.AdamW([layer])
    layer.grad = weight * 2
    optimiser.step()
    place = RunProgress(epoch=3, done=2, steps=14, best=0.125, best_epoch=1, stale=1)
    return RunState({"settings": "a"}, place, {"w": weight}, {}, optimiser.state_dict())


def test_it_comes_back_as_it_went(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.pt"
    checkpoint.write(path, state())
    found = checkpoint.read(path)
    assert (found.place, found.made_with) == (state().place, {"settings": "a"})
    assert torch.equal(found.encoder["w"], state().encoder["w"])
    moments = found.optimiser["state"][0]
    assert torch.equal(moments["exp_avg"], state().optimiser["state"][0]["exp_avg"])
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_damage_anywhere_is_refused(tmp_path: Path) -> None:
    """Torch alone would load most of these, with other weights."""
    path = tmp_path / "last.pt"
    checkpoint.write(path, state())
    raw = path.read_bytes()
    damaged = [raw[:at] for at in range(0, len(raw), len(raw) // 20)]
    for at in range(0, len(raw), len(raw) // 60):
        damaged.append(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])
    for data in [*damaged, raw + b"\0", b"", b"\n", raw.partition(b"\n")[2]]:
        path.write_bytes(data)
        with pytest.raises(StoreError, match=r"last\.pt is damaged, or not a checkpoint"):
            checkpoint.read(path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*last\.pt: No such file"):
        checkpoint.read(tmp_path / "last.pt")


def test_another_run_is_refused_and_says_what_differs() -> None:
    made = {"settings": "a", "photos": "b"}
    checkpoint.check("last.pt", made, {"settings": "a", "photos": "b"})
    with pytest.raises(ConfigError, match=r"last.pt was made with other photos \("):
        checkpoint.check("last.pt", made, {"settings": "a", "photos": "c"})
    with pytest.raises(ConfigError, match=r"made with other photos and settings \("):
        checkpoint.check("last.pt", made, {"settings": "b"})


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.write(path, state())
    raw = path.read_bytes()
    later = replace(state(), place=RunProgress(epoch=9))
    with nearly_full(len(raw) // 2), pytest.raises(StoreError) as caught:
        checkpoint.write(path, later)
    assert "cannot write" in caught.value.message
    assert str(path) in caught.value.message
    assert "free some space, then resume the run" in caught.value.hint
    assert caught.value.option == "resume"
    assert path.read_bytes() == raw
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


STEPS = [StepLine(1 + i // 2, i + 1, 0.5, None, 9.0, 0.1) for i in range(6)]
EPOCHS = [EpochLine(i, 0.3, None, i == 0) for i in range(3)]
LINES: list[Line] = [EPOCHS[0], *STEPS[:2], EPOCHS[1], *STEPS[2:4], EPOCHS[2], *STEPS[4:]]


def write_log(folder: Path) -> Path:
    for line in LINES:
        log.append(folder, line)
    return folder / log.LOG


def test_the_log_comes_back_without_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = write_log(tmp_path)
    assert log.read(tmp_path) == LINES
    path.write_bytes(path.read_bytes()[:-7])
    assert log.read(tmp_path) == LINES[:-1]


@pytest.mark.parametrize(
    ("epoch", "steps", "kept"),
    [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 2, 4), (2, 3, 5), (3, 4, 7), (3, 6, 9)],
)
def test_a_resumed_log_ends_where_the_checkpoint_is(
    tmp_path: Path, epoch: int, steps: int, kept: int
) -> None:
    write_log(tmp_path)
    log.cut(tmp_path, epoch, steps)
    assert log.read(tmp_path) == LINES[:kept]


@pytest.mark.parametrize("rubbish", [b"\0" * 40, b'{"kind":"step","epoch":1}', b"\xff"])
def test_a_log_is_cut_at_the_first_line_that_is_none(tmp_path: Path, rubbish: bytes) -> None:
    """A power cut leaves zeros where blocks were not yet written."""
    path = write_log(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], rubbish + b"\n", *lines[5:]]))
    log.cut(tmp_path, 3, 6)
    assert log.read(tmp_path) == LINES[:5]


def test_a_log_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*log\.jsonl"):
        log.read(tmp_path)
    (tmp_path / log.LOG).write_text('{"kind":"step","epoch":1}\n')
    with pytest.raises(StoreError, match=r"log.jsonl: Object missing required field"):
        log.read(tmp_path)


def test_a_full_disk_at_the_log_is_named(tmp_path: Path) -> None:
    path = write_log(tmp_path)
    size = path.stat().st_size
    with nearly_full(size), pytest.raises(StoreError, match=r"cannot write .*jsonl"):
        log.append(tmp_path, LINES[0])
