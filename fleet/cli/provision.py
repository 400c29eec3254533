"""`ostiary-fleet provision` and `unprovision`: the devices that belong to the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json
from ostiary.fleet.cli.common import Folder, Json, open_fleet
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import check_subject

Device = Annotated[str, typer.Argument(help="The device's id: a-z, 0-9 and -.")]


def register(app: typer.Typer) -> None:
    for command in (provision, unprovision):
        app.command()(command)


def provision(
    device: Device,
    board: Annotated[
        str | None, typer.Option("--board", help="One of firmware_configs: x86-cpu, say.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="A profile of your own in place of a board's.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder to make; else ./DEVICE.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="The door opens for; may be repeated.")
    ] = None,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Make a folder for a device, ready to be copied: profile, keys, certificate and a README.

    With an authority of the fleet's own (`init --ca`) the certificate is in it; else a request
    that the broker's authority must sign.

    Example: `ostiary-fleet provision north-door --board x86-cpu --group staff`
    """
    from ostiary.fleet.site import profile as profiles
    from ostiary.fleet.site.provision import provision as make

    check_subject(device)
    if (board is None) == (profile is None):
        known = ", ".join(profiles.boards())
        raise FleetError("give a --board or a --profile", f"boards: {known}")
    if profile is not None:
        try:
            text = profile.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FleetError(f"can not read {profile}: {error}") from error
    else:
        text = profiles.board_profile(board or "")
    with open_fleet(fleet) as home:
        done = make(home, device, text, folder or Path(device), tuple(group or ()))
    if json:
        return print_json({"device": device, "folder": str(done.folder), "to_do": done.to_do})
    out.print(escape(f"made {done.folder} for {device}; its README.md has the commands"))
    for step in done.to_do:
        out.print(escape(f"still to do: {step}"))


def unprovision(
    device: Device,
    unlisted: Annotated[
        bool, typer.Option("--unlisted", help="Also one that was never provisioned here.")
    ] = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Take a device from the registry: nobody waits for its receipts any more.

    It still has its keys. Where it was stolen, revoke its certificate at the broker:
    firmware_configs/README.md has the commands, certs/devices every certificate it was ever given.

    Example: `ostiary-fleet unprovision north-door`
    """
    with open_fleet(fleet) as home:
        if check_subject(device) not in home.registry().devices.provisioned() and not unlisted:
            raise FleetError(
                f"{device} is no device of this fleet",
                "--unlisted, where it was installed by hand and an erasure still waits for it",
            )
        home.registry().remove_device(device)
    if json:
        return print_json({"device": device, "removed": True})
    out.print(f"{device} is no device of this fleet any more")
