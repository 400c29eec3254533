"""`ostiary-fleet init` and `group`: a new fleet, and the groups its people can be in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.runtime import bundle as bundles
from ostiary.fleet.cli.common import Folder, Json, open_fleet
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site import create as founding
from ostiary.fleet.site.fleet import CERTS, SiteSettings, chosen_folder

TLS_PORT = 8883
MADE = (Path(CERTS, "ca.crt"), Path(CERTS, "operator.crt"), Path(CERTS, "operator.key"))
"""What --ca makes, and fleet.toml then names."""


def register(app: typer.Typer) -> None:
    app.command()(init)
    group = typer.Typer(
        help="The groups that people can be in; a door's profile names those it opens for.",
        no_args_is_help=True,
    )
    group.command("add")(group_add)
    group.command("list")(group_list)
    app.add_typer(group, name="group")


def init(
    site: Annotated[str, typer.Option("--site", help="The site's name on the wire.")],
    bundle: Annotated[Path, typer.Option("--bundle", help="The bundle that the devices run.")],
    broker: Annotated[str, typer.Option("--broker", help="HOST or HOST:PORT; 8883 by default.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where; else as --fleet says.")
    ] = None,
    fleet: Folder = None,
    keep_photos: Annotated[
        bool, typer.Option("--keep-photos", help="Keep photos, encrypted, for `reembed`.")
    ] = False,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="A group for people; may be repeated.")
    ] = None,
    authority: Annotated[
        bool, typer.Option("--ca", help="Make a certificate authority for broker and devices.")
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="The broker's authority, where it has one.")
    ] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="The operator's own.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The key of --cert.")] = None,
    username: Annotated[str | None, typer.Option("--username", help="At the broker.")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file with the password.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a fleet: a folder with its settings, the site's key, your operator key and an empty
    registry.

    Keep a backup of the folder: without its keys no device listens to this fleet any more. Keys
    that are in it are kept.

    Example: `ostiary-fleet init --site hq --bundle bundle --broker broker.example --group staff`
    """
    if authority and (ca_file, cert, key) != (None, None, None):
        raise FleetError(
            "--ca makes certificates, --ca-file, --cert and --key name them", "not both"
        )
    host, port = _host_and_port(broker)
    if authority:
        ca_file, cert, key = MADE
    settings = SiteSettings(
        site=site,
        bundle=bundle.absolute(),
        host=host,
        port=port,
        username=username,
        keep_photos=keep_photos,
        groups=tuple(dict.fromkeys(group or ())),
        password_file=_absolute(password_file),
        ca=_absolute(ca_file, authority),
        cert=_absolute(cert, authority),
        key=_absolute(key, authority),
    )
    bundles.load(settings.bundle).curve("float_float")
    where = folder or chosen_folder(fleet)
    made = founding.found(where, settings, _make_authority if authority else None)
    if json:
        return print_json({"folder": str(where), "operator": made.operator, "kept": made.kept})
    out.print(escape(f"made the fleet of {site} in {where}"))
    for name in made.kept:
        out.print(f"kept the {name} that was there")
    out.print(f"operator key {made.operator[:16]}...")
    out.print("next: `ostiary-fleet enroll SUBJECT PHOTO`, `ostiary-fleet provision DEVICE`")


def group_add(
    names: Annotated[list[str], typer.Argument(help="a-z, 0-9 and -.")],
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Make groups known, so that people can be in them.

    Example: `ostiary-fleet group add staff cleaners`
    """
    with open_fleet(fleet) as home:
        added = [name for name in names if founding.add_group(home, name)]
    if json:
        return print_json({"added": added})
    for name in names:
        out.print(escape(f"added {name}" if name in added else f"{name} is known already"))


def group_list(fleet: Folder = None, json: Json = False) -> None:
    """List the groups, and how many people are in each.

    Example: `ostiary-fleet group list`
    """
    with open_fleet(fleet) as home:
        people = [person for person in home.registry().people.all() if not person.gone]
        known = home.settings.groups
    counts = {name: sum(name in person.groups for person in people) for name in sorted(known)}
    if json:
        return print_json(counts)
    for name, count in counts.items():
        out.print(f"{name:<24} {count}")
    if not counts:
        out.print("no groups: every door is open to everybody enrolled")


def _host_and_port(broker: str) -> tuple[str, int]:
    host, colon, port = broker.rpartition(":")
    if not colon or ":" in host:
        # Nothing but a host, or an IPv6 address, which has colons of its own.
        return broker, TLS_PORT
    if not port.isdecimal():
        raise FleetError(f"{port!r} is no port - in --broker {broker}", "HOST or HOST:PORT")
    return host, int(port)


def _absolute(path: Path | None, made: bool = False) -> Path | None:
    """As fleet.toml names it: what was given here starts here, what is made starts there."""
    return path if path is None or made else path.absolute()


def _make_authority(folder: Path) -> None:
    from ostiary.fleet.site.authority import create

    create(folder)
