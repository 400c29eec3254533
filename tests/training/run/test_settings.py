"""Settings: short files, and refusals that name the field."""

from pathlib import Path

import pytest

from ostiary.edge.errors import ConfigError
from ostiary.training.losses import by_name, distance
from ostiary.training.run.settings import (
    FitSettings,
    LossChoice,
    Optimiser,
    RunPlan,
    parse,
    parse_settings,
    raw,
)

SHORT = '[encoder]\narchitecture = "small-28"\n'


def settings(text: str, folder: Path = Path()) -> FitSettings:
    return parse_settings(text.encode(), folder / "settings.toml")


def test_two_lines_are_enough() -> None:
    found = settings(SHORT)
    assert found.encoder.architecture == "small-28"
    assert (found.loss.name, found.loss.mining, found.seed) == ("triplet", "semi-hard", 0)


def test_a_loss_mines_the_same_where_nobody_says_how() -> None:
    made = by_name.make("triplet", 8, 4)
    assert isinstance(made, distance.TripletLoss)
    assert made.mining == LossChoice().mining


def test_every_field_can_be_said(tmp_path: Path) -> None:
    text = """
        seed = 7
        threads = 2
        [encoder]
        bundle = "bundle"
        [data]
        choosing = 0.3
        [loss]
        name = "arcface"
        alpha = 0.4
        mining = "semi-hard"
        scale = 32
        [batches]
        people = 5
        images = 3
        [optimiser]
        rate = 0.01
        weight_decay = 0
        schedule = "constant"
        warm_up = 0.25
        epochs = 3
        [stop]
        patience = 2
        [checkpoint]
        steps = 10
        [augment]
        domain = "door"
    """
    found = settings(text, tmp_path)
    assert found.encoder.bundle == tmp_path / "bundle"
    assert found.optimiser == Optimiser(
        rate=0.01, weight_decay=0, schedule="constant", warm_up=0.25, epochs=3
    )
    defaults = FitSettings(encoder=found.encoder)
    changed = [
        n for n in FitSettings.__struct_fields__ if getattr(found, n) != getattr(defaults, n)
    ]
    assert set(changed) == set(FitSettings.__struct_fields__) - {"encoder"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SHORT + "[optimiser]\nrates = 1\n", "unknown field `rates` - at `$.optimiser`"),
        (SHORT + "[optimiser]\nrate = 0\n", "at `$.optimiser.rate`"),
        (SHORT + "[optimiser]\nrate = nan\n", "at `$.optimiser.rate`"),
        (SHORT + "[loss]\nalpha = nan\n", "at `$.loss.alpha`"),
        (SHORT + "[optimiser]\nweight_decay = inf\n", "at `$.optimiser.weight_decay`"),
        (SHORT + '[optimiser]\nschedule = "step"\n', "at `$.optimiser.schedule`"),
        (SHORT + "[optimiser]\nepochs = 2\nwarm_up = 3\n", "warm_up"),
        (SHORT + '[loss]\nmining = "hard"\n', "at `$.loss.mining`"),
        (SHORT + "[batches]\nimages = 1\n", "`int` >= 2 - at `$.batches.images`"),
        (SHORT + "[batches]\npeople = 683\nimages = 6\n", "4098 photos is more than 4096"),
        (SHORT + "[data]\njudging = 1.0\n", "at `$.data.judging`"),
        (SHORT + "[data]\njudging = 0.9\n", "leave nobody to train on - at `$.data`"),
        ("seed = -1\n" + SHORT, "at `$.seed`"),
        ("[encoder]\n", "needs either architecture"),
        (SHORT + 'bundle = "b"\n', "needs either architecture"),
        ("seed = 1\n", "missing required field `encoder`"),
        ("seed = \n", "settings.toml: Invalid value"),
        ("[encoder]\nbundle = 5\n", "not a path - at `$.encoder.bundle`"),
        ('[encoder]\nbundle = "a\\u0000b"\n', "not a path - at `$.encoder.bundle`"),
        (SHORT + "[stop]\npatience = 99999999999999999999999\n", "at `$.stop.patience`"),
        ("seed = " + "[" * 5000, "too many nested brackets"),
    ],
)
def test_a_refusal_names_the_field(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert problem in caught.value.message
    assert "settings.toml" in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml"):
        raw(tmp_path / "none.toml")


def test_other_kinds_of_run_read_theirs_the_same_way() -> None:
    class Own(RunPlan, frozen=True, kw_only=True):
        strength: float

    found = parse(b"strength = 0.5\n[stop]\npatience = 1\n", Path("settings.toml"), Own)
    assert (found.strength, found.stop.patience) == (0.5, 1)


def test_the_rate_rises_then_falls() -> None:
    cosine = Optimiser(rate=0.1, epochs=11, warm_up=1)
    assert [cosine.at(x) for x in (0, 0.5, 1, 6, 11)] == pytest.approx([0, 0.05, 0.1, 0.05, 0])
    constant = Optimiser(rate=0.1, schedule="constant", warm_up=0)
    assert [constant.at(x) for x in (0, 0.5, 30)] == [0.1, 0.1, 0.1]
