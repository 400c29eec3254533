"""The operator's folder: settings that are checked, keys that nobody else may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostiary.edge.roster.sealing import Opener
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.create import add_group, found
from ostiary.fleet.site.fleet import (
    CERTS,
    SETTINGS,
    Fleet,
    SiteSettings,
    chosen_folder,
    read_settings,
)
from ostiary.fleet.site.keys import (
    OPERATOR_KEY,
    OPERATOR_PUB,
    SITE_KEY,
    make_operator_key,
    make_site_key,
)


def test_a_device_opens_what_the_operator_seals(fleet: Fleet) -> None:
    public = bytes.fromhex((fleet.folder / OPERATOR_PUB).read_text().strip())
    sealed = fleet.sealer().seal("a/topic", b"said")
    assert Opener(fleet.site(), [public]).open("a/topic", sealed) == b"said"


def test_paths_start_at_the_folder_and_the_rest_reaches_the_broker(fleet: Fleet) -> None:
    text = (fleet.folder / SETTINGS).read_text()
    (fleet.folder / SETTINGS).write_text(
        text + 'port = 1884\nusername = "op"\npassword_file = "secret"\nca = "/etc/ca.crt"\n'
        'cert = "certs/op.crt"\nkey = "certs/op.key"\n'
    )
    opened = Fleet.open(fleet.folder)
    assert opened.settings.bundle == fleet.folder / "bundle"
    mqtt = opened.mqtt()
    assert (mqtt.host, mqtt.port, mqtt.username) == ("127.0.0.1", 1884, "op")
    assert (mqtt.ca, mqtt.password_file) == (Path("/etc/ca.crt"), fleet.folder / "secret")
    assert (mqtt.cert, mqtt.key) == (fleet.folder / "certs/op.crt", fleet.folder / "certs/op.key")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bundel = 1", "bundel"),
        ("port = 0", "port"),
        ('groups = ["Staff"]', "groups"),
        ("fpir = 0.9", "fpir"),
        ('cert = "a"', "cert and key"),
        ("site = ", "fleet.toml"),
    ],
)
def test_wrong_settings_are_named(fleet: Fleet, line: str, said: str) -> None:
    kept = 'site = "hq"\nbundle = "b"\nhost = "h"\n'
    (fleet.folder / SETTINGS).write_text(f"{kept}{line}\n")
    with pytest.raises(FleetError, match=said):
        Fleet.open(fleet.folder)


def test_a_folder_without_a_fleet_says_so(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="no fleet in"):
        Fleet.open(tmp_path)


def test_the_folder_is_the_one_named_else_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_FLEET", str(tmp_path / "env"))
    assert chosen_folder(tmp_path / "named") == tmp_path / "named"
    assert chosen_folder(None) == tmp_path / "env"
    monkeypatch.delenv("OSTIARY_FLEET")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert chosen_folder(None) == tmp_path / "data/ostiary/fleet"


def test_keys_are_their_owners_and_never_overwritten(tmp_path: Path) -> None:
    make_site_key(tmp_path / SITE_KEY)
    make_operator_key(tmp_path / OPERATOR_KEY)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name: path.stat().st_mode & 0o777 for path in kept} == {
        SITE_KEY: 0o600,
        OPERATOR_KEY: 0o600,
        OPERATOR_PUB: 0o644,
    }
    with pytest.raises(FleetError, match="not overwritten"):
        make_site_key(tmp_path / SITE_KEY)
    (tmp_path / OPERATOR_KEY).unlink()
    with pytest.raises(FleetError, match="not overwritten"):
        make_operator_key(tmp_path / OPERATOR_KEY)
    assert not (tmp_path / OPERATOR_KEY).exists()
    assert (tmp_path / OPERATOR_PUB).read_bytes() == kept[tmp_path / OPERATOR_PUB]


def test_only_an_empty_folder_or_a_half_made_fleet_becomes_a_fleet(tmp_path: Path) -> None:
    settings = SiteSettings(site="hq", bundle=Path("/b"), host="h")
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "thesis.txt").touch()
    with pytest.raises(FleetError, match="is not empty and holds no fleet"):
        found(folder, settings)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    make_site_key(folder / SITE_KEY)
    assert found(folder, settings).kept == (SITE_KEY,)
    (tmp_path / "file").touch()
    with pytest.raises(FleetError, match="is not a folder"):
        found(tmp_path / "file", settings)


def test_a_fleet_is_none_until_its_authority_is_made(tmp_path: Path) -> None:
    settings = SiteSettings(site="hq", bundle=Path("/b"), host="door.example")
    folder = tmp_path / "fleet"

    def cut_off(stage: Path) -> None:
        (stage / CERTS / "ca.key").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(folder, settings, cut_off)
    assert not (folder / SETTINGS).exists()

    def whole(stage: Path) -> None:
        assert read_settings(stage).host == "door.example"
        assert not (folder / SETTINGS).exists()
        assert (stage / CERTS / "ca.key").read_text() == "half"

    assert found(folder, settings, whole).kept == (SITE_KEY, OPERATOR_KEY)
    assert Fleet.open(folder).settings.host == "door.example"


def test_a_group_or_a_file_whose_name_is_no_text_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    before = (fleet.folder / SETTINGS).read_bytes()
    with pytest.raises(FleetError, match="not UTF-8"):
        add_group(fleet, "\udcff")
    assert (fleet.folder / SETTINGS).read_bytes() == before
    with pytest.raises(FleetError, match="not UTF-8"):
        found(tmp_path / "new", SiteSettings(site="hq", bundle=Path("/\udcff"), host="h"))
    assert not (tmp_path / "new").exists()


def test_a_key_that_others_may_read_or_that_is_none_is_refused(fleet: Fleet) -> None:
    path = fleet.folder / SITE_KEY
    path.chmod(0o640)
    with pytest.raises(FleetError, match="users other than its owner"):
        fleet.site()
    path.chmod(0o600)
    path.write_text("beef\n")
    with pytest.raises(FleetError, match="no secret key"):
        fleet.site()
    path.unlink()
    with pytest.raises(FleetError, match="cannot read the key"):
        fleet.site()
