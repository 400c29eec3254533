"""A logistic head goes into a signed bundle and stays there, or the bundle is as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import INT8, Bundle
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import VERIFIER, VerifierFile
from ostiary.export.bundle import release, signing
from ostiary.export.cli import files as commands
from tests.support import made_verifier
from tests.support.tiny_bundle import state

pytestmark = pytest.mark.long

QUIET = lambda stage: None  # noqa: E731


@pytest.fixture
def loaded(bundle_dir: Path, tmp_path: Path) -> Bundle:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    return bundles.load(tmp_path / "bundle")


def head_of(loaded: Bundle) -> VerifierFile:
    int8 = loaded.manifest.files[loaded.model(INT8).file]
    return made_verifier.made(loaded.encoder_id, loaded.dim, int8=int8)


def attach(loaded: Bundle, head: VerifierFile, folder: Path) -> Bundle:
    file = folder / "head.json"
    file.write_bytes(verifier_file.to_text(head))
    release.attach(loaded, file, None, QUIET)
    return bundles.load(loaded.path)


def test_it_is_signed_with_all_the_rest_and_what_is_measured_later_keeps_it(
    loaded: Bundle, tmp_path: Path
) -> None:
    before = state(loaded.path)
    with_head = attach(loaded, head_of(loaded), tmp_path)
    assert with_head.head() == head_of(loaded)
    assert with_head.signer == loaded.signer
    after = state(loaded.path)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {VERIFIER, "report.html", "manifest.json", "SIGNATURE"}
    # As `verify`, `sensitivity` and `evaluate` end.
    release.release(with_head, release.read_measured(with_head), None, QUIET)
    kept = bundles.load(loaded.path)
    assert kept.head() == head_of(loaded)
    assert "Logistic head" in (kept.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("encoder", "dim", "int8", "message"),
    [
        ("f" * 64, 192, None, "another encoder"),
        (None, 191, None, "191 weights, expected 192"),
        (None, 192, "c" * 64, "another int8 encoder"),
        (None, 192, None, "no float_int8 comparison"),
    ],
)
def test_one_of_another_encoder_is_refused_and_nothing_changes(
    loaded: Bundle, tmp_path: Path, encoder: str | None, dim: int, int8: str | None, message: str
) -> None:
    before = state(tmp_path)
    head = made_verifier.made(encoder or loaded.encoder_id, dim, int8=int8)
    with pytest.raises(BundleError, match=message):
        attach(loaded, head, tmp_path)
    assert state(tmp_path) == before | {"head.json": verifier_file.to_text(head)}


def test_it_says_that_another_key_signs_now_and_a_missing_one_changes_nothing(
    loaded: Bundle, tmp_path: Path
) -> None:
    said: list[str] = []
    file, before = tmp_path / "head.json", state(loaded.path)
    file.write_bytes(verifier_file.to_text(head_of(loaded)))
    with pytest.raises(BundleError, match="there is no key"):
        release.attach(loaded, file, tmp_path / "none.key", said.append)
    assert (said, state(loaded.path)) == ([], before), "not even begun"
    release.attach(loaded, file, None, said.append)
    assert not any("devices must trust" in line for line in said)
    other = signing.keygen(tmp_path / "other.key")
    release.attach(loaded, file, tmp_path / "other.key", said.append)
    assert loaded.signer is not None
    told = f"signed by {loaded.signer[:16]}: devices must trust {other[:16]} now"
    assert told in said[-1]


def test_it_says_that_a_head_was_insisted_on(
    loaded: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "head.json"
    for insisted in ("it is not true", ""):
        head = msgspec.structs.replace(head_of(loaded), insisted=insisted)
        file.write_bytes(verifier_file.to_text(head))
        commands.attach(loaded.path, file)
        said = capsys.readouterr().out.replace("\n", " ")
        assert ("despite a failed check: it is not true" in said) == bool(insisted)
        told = "despite a failed check" in (loaded.path / "report.html").read_text()
        assert told == bool(insisted)
        commands.attach(loaded.path, file, json=True)
        assert json.loads(capsys.readouterr().out)["insisted"] == insisted


def test_a_file_that_is_missing_or_none_is_named(loaded: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*head\.json"):
        release.attach(loaded, tmp_path / "head.json", None, QUIET)
    (tmp_path / "head.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"head\.json: .*schema"):
        release.attach(loaded, tmp_path / "head.json", None, QUIET)
