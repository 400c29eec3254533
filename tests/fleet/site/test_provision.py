"""A new device's folder: a profile that loads, keys for their owner only, a certificate."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.edge.config import load_config
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime.signature import read_keys
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.session import Broker, Retained
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.publish import publish
from ostiary.fleet.site import authority, provision
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from ostiary.fleet.site.profile import board_profile, boards, filled
from tests.support.fleet.memory_broker import Door, enroll
from tests.support.places import ROOT
from tests.support.site_broker import HOST, SiteBroker, changed

BOARDS = sorted(path.stem for path in (ROOT / "firmware_configs").glob("*.toml"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_settings(fleet: Fleet, **settings: Any) -> Fleet:
    return Fleet(fleet.folder, msgspec.structs.replace(fleet.settings, **settings))


@pytest.fixture
def certified(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet with an authority of its own, as `init --ca` makes it."""
    authority.create(fleet.folder)
    certs = fleet.folder / "certs"
    files = {"ca": "ca.crt", "cert": "operator.crt", "key": "operator.key"}
    with with_settings(fleet, **{k: certs / v for k, v in files.items()}) as opened:
        yield opened


def test_the_profiles_are_those_of_firmware_configs() -> None:
    assert boards() == BOARDS
    assert BOARDS


@pytest.mark.parametrize("board", BOARDS)
def test_every_boards_profile_is_filled_in_and_loads(
    certified: Fleet, tmp_path: Path, board: str
) -> None:
    text = board_profile(board)
    done = provision.provision(certified, "south-door", text, tmp_path / "south", ["staff"])
    config = load_config(done.folder / "door.toml")
    shipped = load_config(ROOT / "firmware_configs" / f"{board}.toml")
    assert (config.device.site, config.device.id) == ("hq", "south-door")
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.port) == ("127.0.0.1", 8883)
    assert str(config.mqtt.cert) == "/etc/ostiary/certs/device.crt"
    assert config.roster is not None
    assert str(config.roster.operators) == "/etc/ostiary/operators"
    assert str(config.roster.site_key) == "/run/credentials/ostiary.service/site-key"
    assert config.access.groups == ("staff",)
    # Nothing else was touched.
    for table in ("bundle", "camera", "recognition", "pad", "quality", "state", "door"):
        assert getattr(config, table) == getattr(shipped, table)
    assert "CHANGE:" not in (done.folder / "door.toml").read_text()


def test_the_folder_is_closed_and_holds_what_the_device_needs(
    certified: Fleet, tmp_path: Path
) -> None:
    done = provision.provision(certified, "north", board_profile("x86-cpu"), tmp_path / "north")
    folder = done.folder
    assert mode(folder) == mode(folder / "credentials") == 0o700
    for secret in ("site-key", "mqtt-key"):
        assert mode(folder / "credentials" / secret) == 0o600
    site_key = (certified.folder / "site.key").read_text().strip()
    assert (folder / "credentials" / "site-key").read_text().strip() == site_key
    assert read_keys(folder / "operators").trusted == {certified.sealer().public.hex()}
    assert (folder / "certs" / "ca.crt").read_bytes() == (
        certified.folder / "certs" / "ca.crt"
    ).read_bytes()
    assert done.certificate
    assert certified.registry().devices.provisioned() == ["north"]
    assert not [p for p in folder.rglob("*") if "operator.key" in p.name or p.name == "ca.key"]
    readme = (folder / "README.md").read_text()
    assert "scripts/install-device --bundle" in readme
    assert "broker/acl" not in readme
    assert not list(tmp_path.glob(".north*"))


def test_a_folder_that_is_there_is_not_overwritten(certified: Fleet, tmp_path: Path) -> None:
    there = tmp_path / "north"
    there.mkdir()
    with pytest.raises(FleetError, match="exists and is not overwritten"):
        provision.provision(certified, "north", board_profile("x86-cpu"), there)
    assert certified.registry().devices.provisioned() == []


def test_a_profile_that_is_no_good_leaves_nothing(certified: Fleet, tmp_path: Path) -> None:
    bad = board_profile("x86-cpu").replace("[camera]", "[camera]\nzoom = 3")
    with pytest.raises(ConfigError, match="zoom"):
        provision.provision(certified, "north", bad, tmp_path / "north")
    assert [p.name for p in tmp_path.iterdir()] == ["fleet"]
    assert certified.registry().devices.provisioned() == []

    assert not (certified.folder / "certs" / "devices").exists()


def test_each_certificate_that_a_device_was_given_is_kept_to_be_revoked(
    certified: Fleet, tmp_path: Path
) -> None:
    text = board_profile("x86-cpu")
    for folder in ("one", "two"):
        provision.provision(certified, "north", text, tmp_path / folder)
    given = {(tmp_path / f / "certs" / "device.crt").read_bytes() for f in ("one", "two")}
    kept = list((certified.folder / "certs" / "devices").glob("north-*.crt"))
    assert {path.read_bytes() for path in kept} == given
    assert len(given) == 2
    command = ["openssl", "x509", "-in", str(kept[0]), "-noout", "-serial"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip().partition("=")[2].lower() == kept[0].stem.removeprefix("north-")


def test_a_device_is_noted_before_there_is_a_folder_with_its_keys(
    certified: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", cut_off)
    with pytest.raises(KeyboardInterrupt):
        provision.provision(certified, "north", board_profile("x86-cpu"), tmp_path / "north")
    assert certified.registry().devices.provisioned() == ["north"]
    assert not list(tmp_path.glob("*north*"))


def test_an_unknown_group_and_an_unknown_board_are_said(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="unknown group 'nobody'; known: cleaners, staff"):
        provision.provision(fleet, "n", board_profile("x86-cpu"), tmp_path / "n", ["nobody"])
    with pytest.raises(FleetError, match="no profile for 'toaster'"):
        board_profile("toaster")


def test_another_site_gets_the_brokers_access_list_with_its_name(
    fleet: Fleet, tmp_path: Path
) -> None:
    lab = with_settings(fleet, site="lab")
    done = provision.provision(lab, "north", board_profile("x86-cpu"), tmp_path / "north")
    rights = (done.folder / "broker" / "acl").read_text()
    assert "pattern write ostiary/1/lab/device/%u/state" in rights
    assert "/hq/" not in rights
    lab.close()


def test_without_an_authority_a_request_waits_for_the_one_there_is(
    fleet: Fleet, tmp_path: Path
) -> None:
    (tmp_path / "their-ca.crt").write_text("theirs")
    theirs = with_settings(fleet, ca=tmp_path / "their-ca.crt")
    done = provision.provision(theirs, "north", board_profile("x86-cpu"), tmp_path / "north")
    theirs.close()
    assert not done.certificate
    assert any("device.csr" in step for step in done.to_do)
    command = ["openssl", "req", "-in", str(done.folder / "certs" / "device.csr"), "-noout",
               "-subject", "-verify"]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "CN = north" in said.stdout or "CN=north" in said.stdout


def test_a_broker_with_passwords_gets_a_profile_with_one(fleet: Fleet, tmp_path: Path) -> None:
    open_to = with_settings(fleet, username="operator")
    done = provision.provision(open_to, "north", board_profile("x86-cpu"), tmp_path / "north")
    open_to.close()
    mqtt = load_config(done.folder / "door.toml").mqtt
    assert mqtt is not None
    assert (mqtt.username, mqtt.cert, mqtt.ca) == ("north", None, None)
    assert str(mqtt.password_file) == "/run/credentials/ostiary.service/mqtt-password"
    assert any("mqtt-password" in step for step in done.to_do)


def test_a_fleet_without_tls_gets_a_profile_without(fleet: Fleet, tmp_path: Path) -> None:
    done = provision.provision(fleet, "north", board_profile("x86-cpu"), tmp_path / "north")
    mqtt = load_config(done.folder / "door.toml").mqtt
    assert mqtt is not None
    assert (mqtt.ca, mqtt.cert, mqtt.key, mqtt.username) == (None, None, None, None)


def test_the_key_that_signed_the_fleets_bundle_comes_along(
    fleet: Fleet, bundle_dir: Path, tmp_path: Path
) -> None:
    real = with_settings(fleet, bundle=bundle_dir)
    done = provision.provision(real, "north", board_profile("x86-cpu"), tmp_path / "north")
    real.close()
    signer = (bundle_dir / "SIGNATURE").read_text().split()[1]
    assert read_keys(done.folder / "keys").trusted == {signer}


def test_what_a_profile_of_ones_own_lacks_is_added() -> None:
    text = '[device]\nsite = "x"  # ours\nid = "y"\n\n[mqtt]\nhost = "h"\ncert = "c"\nkey = "k"\n'
    wanted: dict[str, dict[str, str | int | tuple[str, ...] | None]] = {
        "device": {"id": 'a"b'},
        "mqtt": {"port": 8883, "cert": None, "key": None},
        "roster": {"site_key": "s"},
    }
    made = filled(text, wanted)
    assert msgspec.toml.decode(made) == {
        "device": {"site": "x", "id": 'a"b'},
        "mqtt": {"host": "h", "port": 8883},
        "roster": {"site_key": "s"},
    }
    assert 'site = "x"  # ours\n' in made


class OwnAuthority:
    """The part of an authority that `SiteBroker` needs: its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def test_the_shipped_broker_takes_the_certificates_that_the_fleet_makes(
    certified: Fleet, tmp_path: Path
) -> None:
    done = provision.provision(certified, "north", board_profile("x86-cpu"), tmp_path / "north")
    (tmp_path / "broker").mkdir()
    certs = OwnAuthority(certified.folder / "certs")
    with SiteBroker(tmp_path / "broker", certs) as site:  # type: ignore[arg-type]
        here = with_settings(certified, host=HOST, port=site.port)
        enroll(here, "alice")
        assert publish(here).missing == 1
        device = msgspec.structs.replace(
            here.mqtt(),
            cert=done.folder / "certs" / "device.crt",
            key=done.folder / "credentials" / "mqtt-key",
        )
        door = Door(here)
        with Broker(device) as link:
            door.pull(link.read([f"ostiary/1/hq/{part}" for part in (
                "roster/head", "roster/index/+", "roster/subject/+/+")]))  # fmt: skip
            link.publish([Retained("ostiary/1/hq/device/north/state", b"{}")])
            with pytest.raises(BrokerError, match="Not authorized"):
                link.publish([Retained("ostiary/1/hq/device/south/state", b"{}")])
        here.close()
    assert door.holds().keys() == {"alice"}


def test_init_again_makes_only_what_is_missing(fleet: Fleet) -> None:
    made = authority.create(fleet.folder)
    assert len(made) == 6
    for path in made:
        assert mode(path) == (0o600 if path.suffix == ".key" else 0o644)
    before = {path: path.read_bytes() for path in made}
    (fleet.folder / "certs" / "operator.crt").unlink()
    again = authority.create(fleet.folder)
    assert {path.name for path in again} == {"operator.crt", "operator.key"}
    assert (fleet.folder / "certs" / "ca.crt").read_bytes() == before[made[0]]


def test_openssl_that_is_missing_or_fails_is_said(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.create(fleet.folder)
    (fleet.folder / "certs" / "ca.crt").write_text("no certificate")
    (fleet.folder / "certs" / "broker.crt").unlink()
    with pytest.raises(FleetError, match="openssl x509 failed"):
        authority.create(fleet.folder)
    shutil.rmtree(fleet.folder / "certs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FleetError, match="openssl is not installed"):
        authority.create(fleet.folder)


def test_the_brokers_certificate_bears_its_host_name(fleet: Fleet, tmp_path: Path) -> None:
    path = fleet.folder / SETTINGS
    path.write_text(changed(path.read_text(), ("127.0.0.1", "broker.example")))
    authority.create(fleet.folder)
    command = ["openssl", "x509", "-in", str(fleet.folder / "certs" / "broker.crt"), "-noout",
               "-text"]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "DNS:broker.example" in said
    assert "TLS Web Server Authentication" in said
