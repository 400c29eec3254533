"""`ostiary-fleet` as an operator types it: a fleet, its groups, its archive, two at once."""

from __future__ import annotations

import shutil
import sqlite3
import ssl
from functools import partial
from pathlib import Path

import pytest

from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site import fleet as home
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.desk import Desk, init, refused, typed
from tests.support.places import ostiary


def test_init_makes_a_folder_that_only_its_owner_reads(desk: Desk) -> None:
    assert desk.folder.stat().st_mode & 0o777 == 0o700
    with Fleet.open(desk.folder) as fleet:
        settings = fleet.settings
        assert (settings.site, settings.host, settings.port) == ("hq", "127.0.0.1", 1)
        assert settings.groups == ("staff", "cleaners")
        assert not settings.keep_photos
        assert fleet.sealer().public.hex() == (desk.folder / "operator.pub").read_text().strip()
        assert fleet.registry().roster.sequence == 0


def test_init_never_overwrites_a_fleet_and_keeps_keys_from_a_backup(
    desk: Desk, bundle_dir: Path, tmp_path: Path
) -> None:
    def state() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in desk.folder.iterdir() if p.is_file()}

    before = state()
    again = ("init", desk.folder, "--site", "x", "--bundle", bundle_dir, "--broker", "h")
    assert "already" in refused(*again)
    assert state() == before
    other = tmp_path / "restored"
    other.mkdir()
    for name in ("site.key", "operator.key", "operator.pub"):
        shutil.copy(desk.folder / name, other / name)
    init(other, bundle_dir)
    assert (other / "site.key").read_bytes() == before["site.key"]
    assert (other / "operator.key").read_bytes() == before["operator.key"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--site", "Head Quarters"), "$.site"),
        (("--broker", "broker:tls"), "'tls' is not a port"),
        (("--broker", "broker:70000"), "$.port"),
        (("--broker", "-x"), "$.host"),
        (("--group", "The Staff"), "$.groups"),
        (("--bundle", "nowhere"), "cannot read manifest.json"),
        (("--cert", "op.crt"), "cert and key go together"),
        (("--ca", "--ca-file", "ca.crt"), "not both"),
    ],
)
def test_a_wrong_init_makes_nothing(
    tmp_path: Path, bundle_dir: Path, options: tuple[str, ...], said: str
) -> None:
    right = {"--site": "hq", "--bundle": str(bundle_dir), "--broker": "broker.example"}
    given = [part for name, value in right.items() if name not in options for part in (name, value)]
    assert said in refused("init", tmp_path / "fleet", *given, *options)
    assert not (tmp_path / "fleet").exists()


def test_the_installed_command_shows_its_parts() -> None:
    said = ostiary("--help", program="fleet")
    assert said.returncode == 0
    assert "enroll" in said.stdout


def test_without_a_fleet_every_command_says_how_to_make_one(tmp_path: Path) -> None:
    said = refused("list", "--fleet", tmp_path)
    assert "no fleet in" in said
    assert "ostiary-fleet init" in said


def test_groups_are_added_to_the_settings_and_nothing_else_is_touched(desk: Desk) -> None:
    path = desk.folder / "fleet.toml"
    before = path.read_text()
    assert desk.run("group", "add", "visitors", "staff") == {"added": ["visitors"]}
    assert path.read_text() == before.replace(
        'groups = ["staff", "cleaners"]', 'groups = ["staff", "cleaners", "visitors"]'
    )
    assert desk.run("group", "list") == {"cleaners": 0, "staff": 0, "visitors": 0}
    text = path.read_text()
    said = refused("group", "add", "No Group", "--fleet", desk.folder)
    assert "groups" in said
    assert path.read_text() == text


def test_the_list_can_be_of_one_group(desk: Desk, photos: Path) -> None:
    desk.quiet("enroll", "alice", photos / "one.png", "--groups", "staff")
    desk.quiet("enroll", "bob", photos / "one.png", "--force-look-alike")
    listed = typed("list", "--group", "staff", "--fleet", desk.folder).out
    assert "alice" in listed
    assert "bob" not in listed
    assert "unknown group" in desk.refused("list", "--group", "stfaf")


def test_a_registry_is_exported_and_imported_into_a_new_fleet(
    desk: Desk, photos: Path, tmp_path: Path, bundle_dir: Path
) -> None:
    desk.quiet("enroll", "alice", photos / "one.png", "--groups", "staff")
    archive = tmp_path / "all.jsonl"
    assert desk.run("export", archive)["people"] == 1
    other = init(tmp_path / "other", bundle_dir)
    assert other.quiet("import", archive)["people"] == 1
    assert other.run("list") == desk.run("list")
    assert "is not empty" in other.refused("import", archive)
    lines = archive.read_text().splitlines(keepends=True)
    archive.write_text("".join(lines[:-1]))
    third = init(tmp_path / "third", bundle_dir)
    assert "cut short" in third.refused("import", archive)


def test_two_operators_at_once_are_told(
    desk: Desk, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "Registry", partial(Registry, busy_s=0.05))
    desk.quiet("enroll", "alice", photos / "one.png")
    other = sqlite3.connect(desk.folder / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = refused("revoke", "alice", "--fleet", desk.folder)
    assert "another ostiary-fleet is writing" in said
    other.execute("ROLLBACK")
    other.close()
    assert desk.run("show", "alice")["state"] == "active"


def test_init_can_make_an_authority_that_the_settings_name(
    tmp_path: Path, bundle_dir: Path
) -> None:
    desk = init(tmp_path / "fleet", bundle_dir, "--ca")
    with Fleet.open(desk.folder) as fleet:
        mqtt = fleet.mqtt()
    for path in (mqtt.ca, mqtt.cert, mqtt.key):
        assert path is not None
        assert path.parent == desk.folder / "certs"
        assert path.is_file()
    context = ssl.create_default_context(cafile=str(mqtt.ca))
    context.load_cert_chain(str(mqtt.cert), str(mqtt.key))


def test_an_init_whose_authority_fails_is_run_again(
    tmp_path: Path, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("init", tmp_path / "fleet", "--site", "hq", "--bundle", bundle_dir, "--ca",
             "--broker", "127.0.0.1")  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert "openssl" in refused(*given)
    key = (tmp_path / "fleet" / "site.key").read_bytes()
    assert typed(*given).code == 0
    assert (tmp_path / "fleet" / "site.key").read_bytes() == key
