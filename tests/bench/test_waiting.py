"""The benchmark of stays, on real faces and as a user would mistype it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import waiting
from bench.stays import STAYS

pytestmark = pytest.mark.long


def test_a_folder_that_shows_nobody_is_an_error_and_no_traceback(
    bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["--bundle", str(bundle_dir), "--faces", str(tmp_path)]
    assert waiting.main(words) == 2
    assert "shows fewer than two people" in capsys.readouterr().err


@pytest.mark.data
def test_the_enrolled_get_in_and_each_stay_has_a_rate(
    bundle_dir: Path, faces_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--people", "8", "--k", "3", "--draws", "1", "--fps", "2", "--json"]
    stays = ["--stay", "1 s", "--stay", "5 s"]
    given = ["--bundle", str(bundle_dir), "--faces", str(faces_data)]
    assert waiting.main([*given, *words, *stays]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["k"], told["strangers"]) == (3, 5)
    assert list(told["fpir"]) == [stay.name for stay in STAYS[:2]]
    assert told["fnir"]["value"] < 0.5
    assert told["grant_s_p50"] < 3
