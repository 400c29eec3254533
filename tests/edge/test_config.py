"""Profiles: an error names the key; a valid setting reaches the code that uses it."""

from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.config import load_config
from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.rules.learning import LearningRules
from ostiary.edge.errors import ConfigError

GOOD = """
[device]
site = "hq"
id = "north-door"
[bundle]
path = "bundle"
[camera]
url = "v4l2:/dev/video0"
[state]
path = "state"
"""


MQTT = '[mqtt]\nhost = "h"\n'
ROSTER = '[roster]\noperators = "keys"\nsite_key = "/run/site-key"\n'


def load(folder: Path, text: str) -> Any:
    path = folder / "door.toml"
    path.write_text(text)
    return load_config(path)


def test_the_smallest_profile_is_enough(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.bundle.path == tmp_path / "bundle"
    assert config.state.path == tmp_path / "state"
    assert config.rules().mode is Mode.IDENTIFY
    assert config.mqtt is None


def test_every_setting_reaches_its_user(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        GOOD + '[recognition]\nmode = "verify"\nverifier = true\nmargin = 0.1\n'
        "votes = 3\ndenials = 9\ncooldown_s = 1.5\npatience_s = 2.5\nclaim_s = 4.5\n"
        "[pad]\nrequired = true\nframes = 7\nmin_live = 0.9\n"
        "[quality]\nmax_turn = 0.3\nmax_noise = 0.1\n[camera.controls]\ngain = 3\n"
        '[claims]\nsource = "line:/dev/ttyUSB0"\n[claims.cards]\n"0042" = "alice"\n'
        '[mqtt]\nhost = "h"\nca = "ca.pem"\n',
    )
    rules = config.rules()
    assert (rules.mode, rules.margin, rules.votes, rules.denials) == (Mode.VERIFY, 0.1, 3, 9)
    assert (rules.cooldown_s, rules.patience_s, rules.claim_s) == (1.5, 2.5, 4.5)
    assert rules.require_pad
    assert config.recognition.verifier
    assert (config.pad.frames, config.pad.min_live) == (7, 0.9)
    assert config.camera.controls == {"gain": 3}
    assert (config.limits().max_turn, config.limits().max_noise) == (0.3, 0.1)
    assert config.limits().min_brightness == 5.0
    assert config.claims is not None
    assert config.claims.cards == {"0042": "alice"}
    assert config.mqtt is not None
    assert config.mqtt.ca == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[recognition]\nvots = 2\n", "unknown field `vots` - at `$.recognition`"),
        (GOOD + "[recognition]\nfpir = 2.0\n", "<= 0.5 - at `$.recognition.fpir`"),
        (GOOD + "[recognition]\nvotes = 0\n", ">= 1 - at `$.recognition.votes`"),
        (GOOD + "[recognition]\nvotes = 'two'\n", "Expected `int`, got `str`"),
        (GOOD + '[recognition]\nmode = "guess"\n', "at `$.recognition.mode`"),
        (GOOD + "[doors]\n", "unknown field `doors`"),
        (GOOD.replace("hq", "HQ North"), "at `$.device.site`"),
        (GOOD.replace('[state]\npath = "state"', ""), "missing required field `state`"),
        (GOOD + '[recognition]\nmode = "verify"\n', 'mode "verify" needs [claims]'),
        (GOOD + "[recognition]\nverifier = true\n", "at `$.recognition.verifier`"),
        (GOOD.replace("video0", 'video0"\ndrop = false\n#'), "at `$.camera.drop`"),
        (GOOD + "[camera.controls]\n'Gain, Digital' = 3\n", "at `key` in `$.camera.controls`"),
        (GOOD + "[camera.controls]\ngain = 'much'\n", "at `$.camera.controls[...]`"),
        (
            GOOD.replace("v4l2:/dev/video0", "gst:v4l2src") + "[camera.controls]\ngain = 3\n",
            "only a v4l2: camera has controls - at `$.camera.controls`",
        ),
        (GOOD + '[mqtt]\nhost = "h"\ncert = "c"\n', "cert and key go together"),
        (GOOD + ROSTER, "[roster] needs [mqtt]"),
        (GOOD + MQTT + ROSTER + "stale_after_s = -1.0\n", "at `$.roster.stale_after_s`"),
        (GOOD + MQTT + '[roster]\noperators = "keys"\n', "missing required field `site_key`"),
        (GOOD + '[access]\ngroups = ["staff"]\n', "need [roster] - at `$.access.groups`"),
        (GOOD + '[access]\ngroups = ["Staff"]\n', "at `$.access.groups[0]`"),
        (
            GOOD + MQTT + ROSTER + "[learning]\nenabled = true\n",
            "learning needs liveness - at `$.learning.enabled`",
        ),
        (
            GOOD + "[pad]\nrequired = true\n[learning]\nenabled = true\n",
            "learning needs [roster] - at `$.learning.enabled`",
        ),
        (GOOD + "[learning]\nstricter = 0.2\n", "<= 0.1 - at `$.learning.stricter`"),
        (GOOD + "[learning]\nsamples = 21\n", "<= 20 - at `$.learning.samples`"),
        (GOOD + "[learning]\napart_h = 0.5\n", ">= 1.0 - at `$.learning.apart_h`"),
        ("[device\n", "door.toml"),
        ("\x00\x01", "door.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "door.toml" in str(caught.value)


def test_a_profile_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"a\.toml"):
        load_config(tmp_path / "a.toml")


def test_paths_start_at_the_profile_wherever_they_stand(tmp_path: Path) -> None:
    text = GOOD.replace("v4l2:/dev/video0", "folder:../cam")
    config = load(tmp_path, text + '[claims]\nsource = "line:cards"\n')
    assert config.camera.url == f"folder:{tmp_path / '../cam'}"
    assert config.claims is not None
    assert config.claims.source == f"line:{tmp_path / 'cards'}"
    assert load(tmp_path, GOOD).camera.url == "v4l2:/dev/video0"
    plain = load(tmp_path, GOOD.replace("v4l2:/dev/video0", "walk.mp4"))
    assert plain.camera.url == str(tmp_path / "walk.mp4")
    stream = load(tmp_path, GOOD.replace("v4l2:/dev/video0", "rtsp://cam/1"))
    assert stream.camera.url == "rtsp://cam/1"


def test_the_roster_and_the_door_of_a_fleet(tmp_path: Path) -> None:
    access = '[access]\ngroups = ["staff", "night"]\ntimezone = "Europe/Berlin"\n'
    config = load(tmp_path, GOOD + MQTT + ROSTER + "stale_after_s = 600\n" + access)
    assert config.roster is not None
    assert config.roster.operators == tmp_path / "keys"
    assert config.roster.site_key == Path("/run/site-key")
    assert config.roster.stale_after_s == 600
    assert config.access.groups == ("staff", "night")
    assert config.access.timezone == "Europe/Berlin"
    alone = load(tmp_path, GOOD)
    assert alone.roster is None
    assert (alone.access.groups, alone.access.timezone) == ((), "")


@pytest.mark.parametrize(
    "name", ["Europe/Atlantis", "Europe", "/etc/passwd", "../zoneinfo/UTC", "zone.tab", "x" * 300,
             "\\u0000", "Ünter", " ", "UTC ", "."],
)  # fmt: skip
def test_an_unknown_timezone_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a timezone .* at `\$\.access\.timezone`"):
        load(tmp_path, GOOD + f'[access]\ntimezone = "{name}"\n')


def test_learning_is_off_unless_a_door_of_a_fleet_with_liveness_turns_it_on(tmp_path: Path) -> None:
    assert not load(tmp_path, GOOD).learning.enabled
    text = GOOD + MQTT + ROSTER + "[pad]\nrequired = true\n"
    learning = "[learning]\nenabled = true\nstricter = 0.05\napart_h = 48\nsamples = 3\n"
    assert load(tmp_path, text + learning).learning_rules() == LearningRules(0.05, 48.0, 3)
