"""The profiles of boards: complete, loadable in every choice they offer, their pipelines run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.adapters.camera.sources import check_url, open_source
from ostiary.edge.config import Config, load_config
from ostiary.edge.sections import CameraSection
from tests.support.places import ROOT, ostiary, write_png

CONFIGS = ROOT / "firmware_configs"
PROFILES = sorted(CONFIGS.glob("*.toml"))
JETSONS = [path for path in PROFILES if path.stem.startswith("jetson-")]
BOARDS = {
    "jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin", "jetson-agx-thor",
    "arm64-cpu", "x86-cpu",
}  # fmt: skip
LEFT_OUT = {
    "bundle.next": "only while a fleet changes its encoder",
    "camera.rotate": "a version before it, gone back to, would not read the profile",
    "camera.flip": "the same",
    "camera.shut_on": "the same",
    "camera.controls": "the same, and only the site knows its camera",
    "quality.max_noise": "a version before it, gone back to, would not read the profile",
    "pad.motion": "a version before it, gone back to, would not read the profile",
    "recognition.tau": "a version before it, gone back to, would not read the profile",
    "recognition.verifier": "the same",
    "pad.file": "only a site that fitted its own rules has one",
    "claims.source": "only in verify mode, and only the site knows its reader",
    "claims.cards": "the same",
    "mqtt.username": "in place of a certificate",
    "mqtt.password_file": "in place of a certificate",
    "roster.operators": "only in a fleet, whose keys must be there first",
    "roster.site_key": "the same",
    "roster.stale_after_s": "the same",
    "learning.enabled": "only in a fleet, with liveness, and where people consented",
    "learning.stricter": "the same",
    "learning.apart_h": "the same",
    "learning.samples": "the same",
}
"""Keys that a profile may have as a comment only, and why."""
MORE_THAN_A_LINE = (
    "recognition.mode", "recognition.verifier", "access.groups", "bundle.next", "camera.controls",
)  # fmt: skip
"""Keys whose other choice goes together with other lines."""
LINE = re.compile(r'(?P<left_out>#?)(?:\[(?P<table>[a-z.]+)\]|(?P<key>[a-z0-9_]+|"\w+") = .+)')
"""A line of TOML, or one that waits to be uncommented; prose has a space after its `#`."""


def lines_of(text: str) -> Iterator[tuple[str, bool, str]]:
    """Each key of a profile as `table.key`, whether it is left out, and its line."""
    table = ""
    for line in text.splitlines():
        found = LINE.fullmatch(line)
        if found and found["table"]:
            table = found["table"]
        elif found:
            yield f"{table}.{found['key']}", found["left_out"] == "#", line


def chosen(text: str, line: str) -> str:
    """The profile with one commented line in the place of the key's own, if it has one."""
    key = line[1:].partition(" = ")[0]
    present = (x for name, out, x in lines_of(text) if not out and name.endswith(f".{key}"))
    own = next(present, None)
    if own is None:
        return text.replace(f"{line}\n", f"{line[1:]}\n")
    return text.replace(f"{line}\n", "").replace(f"{own}\n", f"{line[1:]}\n")


def choices(text: str) -> Iterator[str]:
    """The profile as it is, and once with each choice that it offers as a comment."""
    yield text
    for name, out, line in lines_of(text):
        # What needs more than one line is tried below.
        tables = ("claims", "mqtt", "roster", "learning")
        if out and name.split(".")[0] not in tables and name not in MORE_THAN_A_LINE:
            yield chosen(text, line)
    verify = chosen(text, next(x for n, out, x in lines_of(text) if out and "verify" in x))
    verify = re.sub(r"^#(?=\[claims|source|\"\w+\" = )", "", verify, flags=re.M)
    yield verify
    yield re.sub(r"^#(?=verifier = )", "", verify, flags=re.M)
    password = re.sub(r"^(?=(cert|key) = )", "#", text, flags=re.M)
    yield re.sub(r"^#(?=username|password_file)", "", password, flags=re.M)
    yield in_a_fleet(text)
    yield that_learns(text)


def in_a_fleet(text: str) -> str:
    """The profile with the choices that only go together with the roster."""
    members = chosen(text, next(x for n, out, x in lines_of(text) if out and n == "access.groups"))
    return re.sub(r"^#(?=next|\[roster|operators|site_key|stale_after_s)", "", members, flags=re.M)


def that_learns(text: str) -> str:
    """The profile of a door whose templates learn: in a fleet, with liveness."""
    live = in_a_fleet(text).replace("required = false", "required = true")
    return re.sub(r"^#(?=\[learning|enabled|stricter|apart_h|samples)", "", live, flags=re.M)


def cameras(path: Path) -> list[CameraSection]:
    """The profile's camera, once with each URL that it offers."""
    text = path.read_text()
    camera = msgspec.convert(msgspec.toml.decode(text)["camera"], CameraSection)
    urls = [line for name, _, line in lines_of(text) if name == "camera.url"]
    found = [re.search(r'url = "([^"]+)"', line) for line in urls]
    return [msgspec.structs.replace(camera, url=match[1]) for match in found if match]


def test_there_is_a_profile_for_each_board_and_the_readme_names_them() -> None:
    assert {path.stem for path in PROFILES} == BOARDS
    readme = (CONFIGS / "README.md").read_text()
    assert set(re.findall(r"`([a-z0-9-]+)\.toml`", readme)) == BOARDS
    for text in [readme, *(path.read_text() for path in JETSONS)]:
        assert "Not yet run on a Jetson" in text


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_key_is_there(path: Path) -> None:
    text = path.read_text()
    left_out = {name for name, out, _ in lines_of(text) if out}
    present = {name for name, out, _ in lines_of(text) if not out}
    decoded = msgspec.toml.decode(text)
    assert present == {f"{t}.{key}" for t, table in decoded.items() for key in table}
    for table in msgspec.structs.fields(Config):
        kind = table.type if isinstance(table.type, type) else table.type.__args__[0]
        for key in msgspec.structs.fields(kind):
            name = f"{table.name}.{key.name}"
            if name == "claims.cards":
                assert any(commented.startswith("claims.cards.") for commented in left_out)
            else:
                assert name in (left_out if name in LEFT_OUT else present), name


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_choice_of_a_profile_is_a_good_profile(path: Path, tmp_path: Path) -> None:
    files = []
    for number, text in enumerate(choices(path.read_text())):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(text)
    assert len({file.read_text() for file in files}) == len(files) > 6
    done = ostiary("check-config", "--json", *files)
    assert set(json.loads(done.stdout).values()) == {"ok"}, done.stdout
    loaded = [load_config(file) for file in files]
    assert {config.recognition.mode.value for config in loaded} == {"identify", "verify"}
    assert {config.recognition.verifier for config in loaded} == {False, True}
    brokers = [config.mqtt for config in loaded if config.mqtt is not None]
    assert len(brokers) == len(loaded)
    assert {broker.username for broker in brokers} == {None, "north-door"}
    assert {config.claims is None for config in loaded} == {True, False}
    assert {config.roster is None for config in loaded} == {True, False}
    assert {config.learning.enabled for config in loaded} == {True, False}
    assert {config.access.timezone for config in loaded} == {"", "Europe/Berlin"}
    urls = {camera.url for camera in cameras(path)}
    assert {config.camera.url for config in loaded} == urls


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_profile_lives_where_the_service_does(path: Path) -> None:
    config = load_config(path)
    assert config.mqtt is not None
    assert [str(place) for place in (
        config.state.path, config.bundle.path, config.bundle.keys,
        config.mqtt.ca, config.mqtt.cert, config.mqtt.key,
    )] == [
        "/var/lib/ostiary", "/var/lib/ostiary/bundle", "/etc/ostiary/keys",
        "/etc/ostiary/certs/ca.crt", "/etc/ostiary/certs/device.crt",
        "/run/credentials/ostiary.service/mqtt-key",
    ]  # fmt: skip


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_the_rosters_keys_lie_where_the_service_finds_them(path: Path, tmp_path: Path) -> None:
    (tmp_path / "door.toml").write_text(in_a_fleet(path.read_text()))
    config = load_config(tmp_path / "door.toml")
    assert config.roster is not None
    assert config.access.groups == ("staff", "cleaners")
    operators, name = str(config.roster.operators), config.roster.site_key.name
    assert config.roster.site_key == Path("/run/credentials/ostiary.service", name)
    unit = (ROOT / "systemd" / "ostiary.service").read_text().splitlines()
    assert f"LoadCredential={name}:/etc/ostiary/credentials/{name}" in unit
    made = (ROOT / "systemd" / "tmpfiles.d" / "ostiary.conf").read_text().splitlines()
    # A credential that is not there would keep the service from starting.
    assert f"f /etc/ostiary/credentials/{name} 0600 root root -" in made
    assert f"d {operators} 0755 root root -" in made


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_way_to_a_camera_is_offered(path: Path) -> None:
    offered = [camera.url for camera in cameras(path)]
    wanted = ["v4l2:", "gst:v4l2src .* jpegdec", "rtsp:"]
    wanted += ["gst:nvarguscamerasrc .*NVMM.* nvvidconv .*BGRx"] if path in JETSONS else []
    for form in wanted:
        assert any(re.match(form, url) for url in offered), form
    for camera in cameras(path):
        check_url(camera)
        # Here nothing is NVMM memory, so the test below would not miss the way out of it.
        _, nvidia, rest = re.split(r"(nvarguscamerasrc|nvv4l2decoder|$)", camera.url, maxsplit=1)
        assert not nvidia or " ! nvvidconv ! video/x-raw,format=BGRx," in rest
        # A frame of another shape would be stretched, and nobody would see it but the faces.
        shapes = re.findall(r"width=(\d+),height=(\d+)", camera.url)
        assert not shapes or shapes[-1] == (str(camera.width), str(camera.height))


SOFTWARE = {
    "nvarguscamerasrc": "videotestsrc pattern=blue",
    "nvvidconv": "videoconvert ! videoscale",
    # What a network camera would send is not made here: its picture starts behind the decoder.
    "rtspsrc": "videotestsrc pattern=blue",
    "rtph264depay": "",
    "h264parse": "",
    "nvv4l2decoder": "",
    "nvv4l2decoder mjpeg=1": "jpegdec",
    # Of the packages that scripts/setup leaves out; it changes nothing in a picture.
    "jpegparse": "",
    "jpegdec": "jpegdec",
    "videorate": "videorate drop-only=true",
}
"""What stands here for each element of a profile's pipelines; another one fails the test."""


def in_software(pipeline: str, jpeg: Path) -> str:
    """A profile's pipeline with a picture in place of the sensor, without NVIDIA's elements."""
    parts = [part.strip() for part in pipeline.split("!")]
    made = []
    for part, after in zip(parts, [*parts[1:], ""], strict=True):
        if part.startswith(("video/", "image/")):
            fields = {field.partition("=")[0] for field in part.split(",")[1:]}
            assert fields <= {"width", "height", "format", "framerate"}, part
            made.append(part.replace("(memory:NVMM)", ""))
        elif part.startswith("v4l2src "):
            assert after.startswith("image/jpeg,"), "a raw USB camera is v4l2:"
            made.append(f"multifilesrc location={jpeg} loop=true caps={after}")
        else:
            made.append(SOFTWARE[part if part in SOFTWARE else part.split()[0]])
    return " ! ".join(part for part in made if part)


def has_gstreamer(element: str) -> bool:
    """Whether the element is installed."""
    if shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None:
        return False
    asked = subprocess.run(["gst-inspect-1.0", "--exists", element], check=False)
    return asked.returncode == 0


PIPELINES = [
    (path, camera) for path in PROFILES for camera in cameras(path) if camera.url.startswith("gst:")
]


@pytest.mark.skipif(
    not has_gstreamer("jpegdec"), reason="GStreamer's good plugins are not here: scripts/setup"
)
@pytest.mark.parametrize(
    ("path", "camera"), PIPELINES, ids=[f"{p.stem}-{c.url[4:20]}" for p, c in PIPELINES]
)
def test_every_pipeline_runs_and_gives_the_frame_that_the_profile_names(
    path: Path, camera: CameraSection, tmp_path: Path
) -> None:
    blue = np.zeros((camera.height, camera.width, 3), np.uint8)
    blue[:, :, 0] = 255
    jpeg = write_png(tmp_path / "blue.jpg", blue)
    software = in_software(camera.url.removeprefix("gst:"), jpeg)
    source = open_source(msgspec.structs.replace(camera, url=f"gst:{software}"))
    try:
        frames = [source.read() for _ in range(3)]
    finally:
        source.close()
    for frame in frames:
        assert frame is not None
        assert frame.shape == (camera.height, camera.width, 3)
        # Everywhere: borders would say that the pipeline's shape is not the profile's.
        assert np.abs(frame.astype(int) - [255, 0, 0]).max() < 12
