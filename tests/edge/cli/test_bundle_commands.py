"""`ostiary bundle`: what it prints, its exit codes, and that a refused bundle changes nothing."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from ostiary.edge.cli import bundles as commands
from ostiary.edge.cli import console
from ostiary.edge.runtime.bundle import MANIFEST, sha256
from ostiary.edge.runtime.heads.verifier_file import VERIFIER, to_text
from ostiary.edge.runtime.signature import SIGNATURE
from tests.support import made_verifier
from tests.support.tiny_bundle import KEYS, Place, make, state, write_manifest
from tests.support.two_bundles import warn

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def ostiary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pub").write_text(*KEYS.trusted)
    monkeypatch.setenv("OSTIARY_KEYS", str(tmp_path / "keys"))
    app = typer.Typer()
    commands.register(app)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ostiary", "bundle", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            console.run(app)
        code = left.value.code or 0
        assert isinstance(code, int)
        return (code, *capsys.readouterr())

    return call


def test_bundle_check(place: Place, ostiary: Command) -> None:
    (signer,) = KEYS.trusted
    code, text, _ = ostiary("check", place.target, "--backend", "onnxruntime")
    assert code == 0
    for part in (signer, "tiny", "encoder.onnx", "pad.onnx", "onnxruntime"):
        assert part in text
    code, text, _ = ostiary("check", place.target, "--json", "--backend", "onnxruntime")
    said = json.loads(text)
    assert (said["signer"], said["backend"], said["recipe"]) == (signer, "onnxruntime", "tiny")
    assert said["models"]["pad"] == "pad.onnx"
    assert said["warnings"] == []
    code, text, error = ostiary("check", place.target, "--keys", place.folder)
    assert (code, text) == (2, "")
    assert error.startswith("error: ")
    assert "none of the 0 keys" in error
    (place.target / "pad.onnx").write_bytes(b"")
    code, _, error = ostiary("check", place.target)
    assert code == 2
    assert "pad.onnx" in error


def test_bundle_install(place: Place, ostiary: Command) -> None:
    code, _, error = ostiary("install", place.archive, place.target, "--keys", place.folder)
    assert code == 2
    assert state(place.folder / "device") == place.before
    code, text, error = ostiary(
        "install", place.archive, place.target, "--json", "--backend", "onnxruntime"
    )
    assert (code, json.loads(text)["path"]) == (0, str(place.target))
    assert "enroll everybody again" in error
    assert state(place.target) == state(place.new)
    code, text, error = ostiary("install", place.archive, place.target, "--backend", "onnxruntime")
    assert (code, error) == (0, "")
    assert "onnxruntime" in text


def test_install_warns_where_a_head_goes(place: Place, ostiary: Command) -> None:
    def installed(archive: Path) -> str:
        return ostiary("install", archive, place.target, "--backend", "onnxruntime")[2]

    held = make(place.folder / "held")
    names = [path.name for path in held.iterdir() if path.name not in (MANIFEST, SIGNATURE)]
    files = {name: (held / name).read_bytes() for name in names}
    head = made_verifier.made(sha256(files["encoder.onnx"]), 3)
    write_manifest(held, files | {VERIFIER: to_text(head)})
    (held / VERIFIER).write_bytes(to_text(head))
    assert installed(held) == "", "nobody misses what was not there"
    assert installed(held) == ""
    assert "had a logistic head and the new one has none" in installed(place.archive)
    assert "logistic" not in installed(place.archive)


@pytest.mark.parametrize("command", ["check", "install"])
def test_help_has_an_example(ostiary: Command, command: str) -> None:
    code, text, _ = ostiary(command, "--help")
    assert code == 0
    assert f"ostiary bundle {command} " in text


def test_what_a_bundle_warns_of_is_said_before_and_at_its_install(
    place: Place, ostiary: Command
) -> None:
    warn(place.new, "the encoder is weak")
    for asked in (("check", place.new), ("install", place.new, place.target)):
        code, _, error = ostiary(*asked, "--backend", "onnxruntime")
        assert (code, "warning: the encoder is weak" in error) == (0, True)
        _, text, _ = ostiary(*asked, "--backend", "onnxruntime", "--json")
        assert json.loads(text)["warnings"] == ["the encoder is weak"]
