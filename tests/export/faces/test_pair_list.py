"""Lists of pairs: strict reading, the photos' files, and LFW's accuracy against a naive loop."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.export.faces import pair_list
from ostiary.export.faces.pair_list import ListedPair, accuracy, best_threshold, tar_rows

TWO_FOLDS = "2\t2\nA\t1\t2\nB\t1\t3\nA\t1\tB\t1\nA\t2\tC\t1\nC 1 2\nB 2 3\nC 2 A 1\nB 1 C 3\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_a_list_of_folds_is_read(tmp_path: Path) -> None:
    found = pair_list.read(written(tmp_path, TWO_FOLDS))
    assert [pair.fold for pair in found] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [pair.same for pair in found] == [True, True, False, False] * 2
    assert found[0] == ListedPair(0, 2, ("A", 1), ("A", 2))
    assert found[7] == ListedPair(1, 9, ("B", 1), ("C", 3))


def test_a_byte_order_mark_and_blanks_at_the_end_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "marked.txt"
    marked = TWO_FOLDS.replace("\n", " \t\r\n") + " \r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + marked.encode())
    assert pair_list.read(path) == pair_list.read(written(tmp_path, TWO_FOLDS))


def test_a_list_without_folds_is_one_fold(tmp_path: Path) -> None:
    found = pair_list.read(written(tmp_path, "1\nA 1 2\nA 1 B 1\n\n"))
    assert [(pair.fold, pair.same) for pair in found] == [(0, True), (0, False)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected one or two numbers, got 0"),
        ("1 2 3\n", "line 1: expected one or two numbers, got 3"),
        ("ten 300\n", "line 1: 'ten' is not a number"),
        ("0 300\n", "line 1: '0' is not a number"),
        ("1\nA 1 2\n", "has 1 lines after the first, 2 are expected"),
        (TWO_FOLDS + "A 1 2\n", "has 9 lines after the first, 8 are expected"),
        ("1\nA 1 2 3\nA 1 B 1\n", 'line 2: expected "name i j", got "A 1 2 3"'),
        ("1\nA 1 2\nA 1 B\n", 'line 3: expected "name1 i name2 j", got "A 1 B"'),
        ("1\nA 1 two\nA 1 B 1\n", "line 2: 'two' is not a number"),
        ("1\nA 1 -2\nA 1 B 1\n", "line 2: '-2' is not a number"),
        ("1\nA 1 1\nA 1 B 1\n", "line 2: expected two photos of one person"),
        ("1\nA 1 2\nA 1 A 2\n", "line 3: expected photos of two people"),
        ("1\n../A 1 2\nA 1 B 1\n", "line 2: '../A' is not a folder's name"),
        ("1\nA 1 2\nA 1 .. 1\n", r"line 3: '\.\.' is not a folder's name"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"pairs\.txt,? {said}"):
        pair_list.read(written(tmp_path, text))


@pytest.mark.parametrize("data", [None, b"\xff\xfe"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "pairs.txt").write_bytes(data)
    with pytest.raises(ConfigError, match=r"cannot read the list .*pairs\.txt"):
        pair_list.read(tmp_path / "pairs.txt")


def test_a_photo_is_found_by_its_number_whatever_picture_it_is(tmp_path: Path) -> None:
    def touch(name: str) -> Path:
        path = tmp_path / "A" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    one, two = ListedPair(0, 7, ("A", 1), ("A", 12)), ListedPair(0, 8, ("A", 1), ("A", 3))
    first, second = touch("A_0001.png"), touch("A_0012.jpg")
    touch("A_0012.png")
    touch("A_0001.txt")
    assert pair_list.photos([one], tmp_path) == {("A", 1): first, ("A", 12): second}
    with pytest.raises(PhotoError, match=r"line 8 of the list: there is no .*A_0003\.jpg"):
        pair_list.photos([one, two], tmp_path)
    touch("A_0003.png")
    touch("A_0003.pgm")
    with pytest.raises(PhotoError, match="line 8 of the list: 2 files fit A_0003"):
        pair_list.photos([one, two], tmp_path)


def drawn(pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, some of them equal, and which pairs are of one person."""
    rng = np.random.default_rng(seed)
    same = rng.random(pairs) < 0.5
    return np.round(rng.normal(np.where(same, 0.6, 0.2), 0.2), 2).astype(np.float32), same


def naive_right(scores: np.ndarray, same: np.ndarray, tau: float) -> int:
    return sum((score >= tau) == is_same for score, is_same in zip(scores, same, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_decides_more_pairs_rightly(seed: int) -> None:
    scores, same = drawn(40, seed)
    best = naive_right(scores, same, best_threshold(scores, same))
    assert best == max(naive_right(scores, same, tau) for tau in np.arange(-1, 2, 0.005))


@pytest.mark.parametrize("same", [True, False])
def test_of_one_kind_of_pairs_all_are_decided_rightly(same: bool) -> None:
    scores, kind = np.array([0.3, 0.1, 0.2], np.float32), np.full(3, same)
    assert naive_right(scores, kind, best_threshold(scores, kind)) == 3


def test_each_fold_is_judged_by_the_threshold_of_the_others() -> None:
    scores, same = drawn(300, 5)
    fold = np.arange(300) % 5
    found = accuracy(scores, same, fold)
    assert found is not None
    naive = []
    for held in range(5):
        tau = best_threshold(scores[fold != held], same[fold != held])
        naive.append(naive_right(scores[fold == held], same[fold == held], tau) / 60)
    assert found.folds == pytest.approx(naive)
    mean = sum(naive) / 5
    assert found.mean == pytest.approx(mean)
    spread = sqrt(sum((value - mean) ** 2 for value in naive) / 4)
    assert found.standard_error == pytest.approx(spread / sqrt(5))
    # The pairs of a fold must not choose its own threshold.
    flipped = same.copy()
    flipped[fold == 0] = ~flipped[fold == 0]
    other = accuracy(scores, flipped, fold)
    assert other is not None
    assert other.folds[0] == pytest.approx(1 - naive[0])
    assert accuracy(scores, same, np.zeros(300, np.int64)) is None


def test_tar_is_told_only_where_enough_pairs_show_it() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(0.6, 0.1, 500), rng.normal(0.1, 0.1, 10_000)])
    scores = scores.astype(np.float32)
    same = np.arange(len(scores)) < 500
    rows = tar_rows(scores, same)
    assert [row.fmr for row in rows] == [1e-2, 1e-3]
    for row in rows:
        assert (scores[~same] >= row.tau).mean() <= row.fmr
        assert row.tar.value == pytest.approx((scores[same] >= row.tau).mean())
        assert row.tar.low < row.tar.value < row.tar.high
    assert tar_rows(scores[:1400], same[:1400]) == []
