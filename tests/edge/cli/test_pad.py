"""`ostiary pad fit` and `evaluate`, from a folder of recordings to a file and to rates."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ostiary.edge.__main__ import app
from ostiary.edge.errors import OstiaryError
from ostiary.edge.presentations import cache
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace
from ostiary.edge.runtime.bundle import Bundle
from tests.edge.presentations.made_up import DEAD, made, pad_for, people
from tests.edge.presentations.test_recordings import record
from tests.support import tiny_bundle


class Site:
    """Recordings of some people and of a print of each, which no model needs to look at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.folder, self.recordings = folder, folder / "recordings"
        self.bundle = tiny_bundle.make(folder / "bundle")
        self.looked: list[str] = []
        self._living = people(count, seed=3)
        for name in self._living:
            for number in (0, 1):
                record(self.recordings / "bona-fide" / "day" / name / str(number), "0.png")
            record(self.recordings / "attack" / "print" / "day" / name / "0", "0.png")
        monkeypatch.setattr(cache, "trace", self._trace)
        monkeypatch.setattr(cache, "each_photo", self._each)

    def _trace(self, _pipeline: object, one: Recording, apart_s: float) -> Trace:
        assert apart_s == 0.5
        self.looked.append(one.name)
        return made([DEAD] * 20) if one.is_attack else self._living[one.person][int(one.path.name)]

    @staticmethod
    def _each(
        _bundle: Bundle, items: Sequence[int], work: Callable[[Any, int], None], *_: object
    ) -> None:
        for item in items:
            work(None, item)

    def call(self, command: str, *more: object) -> Result:
        asked = ["pad", command, self.recordings, "--bundle", self.bundle, *more]
        return CliRunner().invoke(app, [str(one) for one in asked], env={"COLUMNS": "200"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch, 6)


def test_fit_writes_the_rules_and_says_what_people_left_out_get(site: Site) -> None:
    out = site.folder / "pad.json"
    done = site.call("fit", "--out", out, "--bpcer", 0.2, "--json")
    assert done.exit_code == 0, done.output
    assert "6 attacks are left out" in done.stderr
    assert "warning: with 6 people" in done.stderr
    said, written = json.loads(done.stdout), json.loads(out.read_bytes())
    assert said["pad"] == written
    assert (written["people"], written["data_set"]) == (6, "recordings")
    assert set(written["models"]) == {"pad", "encoder"}
    assert said["left_out"]["verdicts"] == 36
    assert not any(name.startswith("attack") for name in site.looked)
    before = out.read_bytes()
    told = site.call("fit", "--out", out, "--bpcer", 0.2, "--data-set", "hall")
    assert "fitted on 6 people for a BPCER of 0.2\nBPCER of people left out" in told.stdout
    assert out.read_bytes() == before.replace(b'"recordings"', b'"hall"')


def test_with_fifteen_people_there_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, monkeypatch, 15)
    done = site.call("fit", "--out", tmp_path / "pad.json")
    assert done.exit_code == 0
    assert "warning" not in done.output


def test_too_few_people_are_refused_before_any_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, monkeypatch, 4)
    done = site.call("fit", "--out", tmp_path / "pad.json")
    assert isinstance(done.exception, OstiaryError)
    assert "4 people are too few" in str(done.exception)
    assert not site.looked
    assert not (tmp_path / "pad.json").exists()


def test_a_file_that_cannot_be_written_is_told_before_any_model_runs(site: Site) -> None:
    done = site.call("fit", "--out", site.folder / "gone" / "pad.json")
    assert "there is no folder" in str(done.exception)
    assert not site.looked


def test_evaluate_prints_each_rate_with_its_interval(site: Site) -> None:
    pad = pad_for(site.bundle, site.folder / "pad.json")
    kept = site.folder / "traces"
    done = site.call("evaluate", "--pad", pad, "--windows", 3.2, "--cache", kept, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["evaluation"]
    apcer = next(row for row in found["rates"] if (row["measure"], row["of"]) == ("APCER", "all"))
    assert (apcer["rate"]["value"], apcer["people"], apcer["verdicts"]) == (0.0, 6, 18)
    assert apcer["rate"]["high"] > 0.3, "six people are no proof"
    assert {row["of"] for row in found["rates"]} >= {"all", "print", "light day"}
    assert found["worst"] == "print"
    assert len(site.looked) == 18
    again = site.call("evaluate", "--pad", pad, "--within", 3, "--cache", kept)
    assert len(site.looked) == 18, "the cache has them"
    assert "verdicts within 3 s" in again.stdout
    assert "EER of the passive scores: 0.000" in again.stdout


def test_a_bundle_without_rules_is_measured_by_the_usual_limits(site: Site) -> None:
    done = site.call("evaluate", "--within", 4, "--json")
    assert "the bundle has no pad.json" in done.stderr
    rates = json.loads(done.stdout)["evaluation"]["rates"]
    assert rates[0]["rate"]["value"] == 0.0


def test_rules_of_other_models_are_refused(site: Site) -> None:
    other = tiny_bundle.make(site.folder / "other", seed=1)
    done = site.call("evaluate", "--pad", pad_for(other, site.folder / "pad.json"))
    assert "fitted with another model" in str(done.exception)
