"""Two bundles side by side: the door changes over once nobody is shut out by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.config import load_config
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.daemon.assemble import first_state
from ostiary.edge.errors import BundleError
from ostiary.edge.models import choose
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.det import DET_CURVE
from ostiary.edge.runtime.manifest import Manifest
from tests.support.fakes import curve
from tests.support.two_bundles import Two, rewrite, warn, wrong_golden

OLD, NEW, THIRD = "a" * 64, "b" * 64, "c" * 64
AWAITED = Changeover(OLD, NEW)


@given(st.lists(st.sets(st.sampled_from([OLD, NEW, THIRD])), max_size=6))
def test_a_change_over_is_due_when_nobody_who_passes_would_be_shut_out(
    people: list[set[str]],
) -> None:
    passing = {n for n, own in enumerate(people) if OLD in own}
    will_pass = {n for n, own in enumerate(people) if NEW in own}
    wanted = bool(will_pass) and passing <= will_pass
    assert AWAITED.complete(people) == wanted
    coverage = {encoder: sum(encoder in own for own in people) for encoder in (OLD, NEW, THIRD)}
    assert AWAITED.due(coverage, AWAITED.needed(people)) == wanted


def test_a_change_over_is_never_due_without_a_next_bundle_or_anybody_enrolled() -> None:
    assert not Changeover().due({NEW: 3, "": 3}, 3)
    assert not Changeover(OLD).complete([{OLD, NEW}])
    assert not AWAITED.due({}, 0)
    assert not AWAITED.due({OLD: 2}, 2)


@pytest.fixture
def site(tmp_path: Path) -> Two:
    return Two(tmp_path)


def test_the_next_bundle_is_used_once_everybody_has_its_templates(site: Two) -> None:
    site.people.append({site.old})
    chosen = site.start()
    site.stays(chosen)
    assert chosen.refused == ()
    assert chosen.changeover == Changeover(site.old, site.new)
    site.people[-1].add(site.new)
    assert chosen.changeover.complete(site.people)
    site.has_changed(site.start())


def test_the_warnings_are_those_of_the_bundle_in_use(site: Two) -> None:
    warn(site.now, "the old one is weak")
    warn(site.after, "the new one is weak", "its training is UNPROVEN")
    site.people.append({site.old})
    waiting = site.start()
    enrolled = Enrolled(8, Curves({1: curve()}, {}, "women"), site.config)
    told = first_state(site.config, waiting.pipeline, enrolled)
    assert (told.warnings, told.tau_group) == (("the old one is weak",), "women")
    site.people.pop()
    changed_over = first_state(site.config, site.start().pipeline, enrolled)
    assert changed_over.warnings == ("the new one is weak", "its training is UNPROVEN")


def test_a_door_that_knows_nobody_yet_stays(site: Two) -> None:
    site.people = []
    site.stays(site.start())


def test_the_door_goes_back_when_next_is_removed(site: Two) -> None:
    site.has_changed(site.start())
    site.stays(site.start_without_next())
    shutil.rmtree(site.after)
    chosen = site.start()
    site.stays(chosen)
    assert (chosen.changeover, chosen.refused) == (Changeover(), ())


def test_old_templates_that_are_retired_do_not_bring_the_old_bundle_back(site: Two) -> None:
    site.people = [{site.new}, {site.new}]
    site.has_changed(site.start())


def test_a_next_bundle_with_the_same_encoder_is_not_awaited(site: Two) -> None:
    chosen = site.start(shutil.copytree(site.now, site.now.with_name("copy")))
    assert chosen.pipeline.bundle.path == site.now
    assert (chosen.changeover, chosen.refused) == (Changeover(), ())


def unsigned(folder: Path) -> None:
    (folder / "SIGNATURE").unlink()


def changed(folder: Path) -> None:
    (folder / "pad.onnx").write_bytes(b"another")


def without_curve(folder: Path) -> None:
    files = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest).files
    rewrite(folder, [name for name in files if name != DET_CURVE])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


BROKEN: dict[Callable[[Path], None], str] = {
    unsigned: "not signed",
    changed: "not the file",
    wrong_golden: "golden vectors",
    without_curve: "no threshold",
    empty: "cannot read manifest",
}


@pytest.mark.parametrize("harm", BROKEN)
def test_a_broken_next_is_refused_by_name_and_not_awaited(
    site: Two, harm: Callable[[Path], None]
) -> None:
    harm(site.after)
    chosen = site.start()
    site.stays(chosen)
    (refused,) = chosen.refused
    assert BROKEN[harm] in refused
    assert str(site.after) in refused
    # Otherwise the daemon would restart for it again and again.
    assert not chosen.changeover.complete(site.people)


def test_a_next_that_is_not_due_is_not_run(site: Two) -> None:
    site.people.append({site.old})
    wrong_golden(site.after)
    chosen = site.start()
    site.stays(chosen)
    assert chosen.refused == ()


@pytest.mark.parametrize("harm", [unsigned, changed, wrong_golden, without_curve])
def test_if_the_old_bundle_is_broken_the_next_stands_in(
    site: Two, harm: Callable[[Path], None]
) -> None:
    site.people.append({site.old})
    harm(site.now)
    chosen = site.start()
    site.has_changed(chosen)
    assert str(site.now) in chosen.refused[0] or "golden" in chosen.refused[0]


def test_if_both_are_broken_the_error_is_that_of_the_first(site: Two) -> None:
    unsigned(site.now)
    wrong_golden(site.after)
    with pytest.raises(BundleError, match="not signed"):
        site.start()


def test_a_next_that_ended_the_process_twice_is_left_alone_until_installed_again(
    site: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit  # nothing after it runs, as after a kill

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(choose, "open_pipeline", killed)
        for _ in range(choose.MOST_TRIES):
            with pytest.raises(SystemExit):
                site.start()
    chosen = site.start()
    site.stays(chosen)
    assert "starts with this bundle crashed" in chosen.refused[0]
    (site.after / MANIFEST).rename(site.after / "old")
    shutil.copy(site.after / "old", site.after / MANIFEST)
    site.has_changed(site.start())
    assert not (site.config.state.path / choose.TRYING).exists()


def test_one_start_that_crashed_is_no_reason_to_refuse_next(site: Two) -> None:
    mark = site.config.state.path / choose.TRYING
    mark.write_text("damaged")
    site.has_changed(site.start())
    assert not mark.exists()


def test_next_starts_at_the_profiles_folder(tmp_path: Path) -> None:
    path = tmp_path / "door.toml"
    path.write_text(
        '[device]\nsite = "hq"\nid = "door"\n[bundle]\npath = "a"\nnext = "b"\n'
        '[camera]\nurl = "v4l2:"\n[state]\npath = "state"\n'
    )
    assert load_config(path).bundle.next == tmp_path / "b"
