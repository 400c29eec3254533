"""`ostiary-fleet init` and `group`: make a fleet, and the groups that its people can be in."""

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
"""The files that --ca makes and fleet.toml then names."""


def register(app: typer.Typer) -> None:
    app.command()(init)
    group = typer.Typer(
        help="The groups that people can be in; a door's profile names those it admits.\n\n"
        "Example: `ostiary-fleet group add staff`",
        no_args_is_help=True,
    )
    group.command("add")(group_add)
    group.command("list")(group_list)
    app.add_typer(group, name="group")


def init(
    site: Annotated[
        str, typer.Option("--site", help="The site's name in MQTT topics: a-z, 0-9 and -.")
    ],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle folder that the devices run.")
    ],
    broker: Annotated[
        str,
        typer.Option("--broker", help="The MQTT broker: HOST or HOST:PORT. Default port: 8883."),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="The folder to make. Default: the one that --fleet names."
        ),
    ] = None,
    fleet: Folder = None,
    keep_photos: Annotated[
        bool,
        typer.Option(
            "--keep-photos", help="Keep the photos of people, encrypted; `reembed` needs them."
        ),
    ] = False,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group that people can be in; may be repeated."),
    ] = None,
    authority: Annotated[
        bool,
        typer.Option("--ca", help="Make a certificate authority for the broker and the devices."),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", help="The certificate of the broker's own authority."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", help="The operator's certificate for the broker.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The private key of --cert.")] = None,
    username: Annotated[
        str | None, typer.Option("--username", help="The operator's user name at the broker.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file with the password of --username.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a fleet: a folder with settings, the site's key, your operator key and a new registry.

    Keep a backup of the folder: devices accept no roster without its keys. Keys that are already in
    the folder are kept.

    Example: `ostiary-fleet init --site hq --bundle bundle --broker broker.example --group staff`
    """
    if authority and (ca_file, cert, key) != (None, None, None):
        raise FleetError(
            "--ca makes new certificates, and --ca-file, --cert and --key name existing ones",
            "give one or the other, not both",
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
        out.print(f"kept the existing {name}")
    out.print(f"operator key {made.operator[:16]}...")
    out.print("next: `ostiary-fleet enroll SUBJECT PHOTO`, `ostiary-fleet provision DEVICE`")


def group_add(
    names: Annotated[list[str], typer.Argument(help="The names of the groups: a-z, 0-9 and -.")],
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Add groups to fleet.toml, so that people can be in them.

    Example: `ostiary-fleet group add staff cleaners`
    """
    with open_fleet(fleet) as home:
        added = [name for name in names if founding.add_group(home, name)]
    if json:
        return print_json({"added": added})
    for name in names:
        out.print(escape(f"added {name}" if name in added else f"{name} exists already"))


def group_list(fleet: Folder = None, json: Json = False) -> None:
    """List the groups and the number of people in each.

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
        out.print("there are no groups: every door opens for everybody who is enrolled")


def _host_and_port(broker: str) -> tuple[str, int]:
    host, colon, port = broker.rpartition(":")
    if not colon or ":" in host:
        # The text is a host without a port, or an IPv6 address, which itself has colons.
        return broker, TLS_PORT
    if not port.isdecimal():
        raise FleetError(f"{port!r} is not a port, in --broker {broker}", "give HOST or HOST:PORT")
    return host, int(port)


def _absolute(path: Path | None, made: bool = False) -> Path | None:
    """A path for fleet.toml: absolute if the user gave it, relative if `made` in the folder."""
    return path if path is None or made else path.absolute()


def _make_authority(folder: Path) -> None:
    from ostiary.fleet.site.authority import create

    create(folder)
