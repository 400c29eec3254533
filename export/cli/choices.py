"""The options that several commands of `ostiary-export` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ostiary.edge.errors import ConfigError
from ostiary.export.faces.groups import GroupFile
from ostiary.export.records.results import USUAL, GateLimits

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Key = Annotated[
    Path | None, typer.Option(help="Secret key file to sign with; your own by default.")
]
SignWeak = Annotated[
    bool,
    typer.Option(
        "--sign-weak",
        help="Sign also an encoder that recognises too few people; the door then says so.",
    ),
]
Limit = float | None
MaxLoss = Annotated[
    Limit,
    typer.Option(
        min=0,
        max=1,
        help="Most TAR that int8 templates and probes may lose; by default the recipe's or"
        f" {USUAL.int8_int8}.",
    ),
]
MaxCrossLoss = Annotated[
    Limit,
    typer.Option(
        min=0,
        max=1,
        help="Most TAR that float templates with int8 probes may lose; by default the recipe's or"
        f" {USUAL.float_int8}.",
    ),
]
LeastTar = Annotated[
    Limit,
    typer.Option(
        min=0,
        max=1,
        help=f"Least TAR of the float encoder at FMR {USUAL.at_fmr}, 0 for none; by default the"
        f" recipe's or {USUAL.least_tar}.",
    ),
]
MostFnir = Annotated[
    Limit,
    typer.Option(
        min=0,
        max=1,
        help="Most FNIR of the float encoder at K=100 and FPIR 0.01, 1 for any; by default the"
        f" recipe's or {USUAL.most_fnir}.",
    ),
]
Exclude = Annotated[
    Path | None,
    typer.Option(
        help="List of photos with wrong labels, as check-labels writes it; they are left out."
    ),
]
GroupsOption = Annotated[
    Path | None,
    typer.Option("--groups", help="CSV file (photo,group or person,group) to tell groups apart."),
]
GroupLabels = Annotated[
    str, typer.Option(help="Who assigned the groups, kept with the results; the file by default.")
]
Estimated = Annotated[
    bool, typer.Option("--estimated", help="The groups were estimated by a model.")
]
FAILED = 1


def group_file_of(path: Path | None, labels: str, estimated: bool) -> GroupFile | None:
    """The file of groups that the options name; None without one."""
    if path is None and (labels or estimated):
        raise ConfigError(
            "there are no groups to describe", "give a file of groups", option="groups"
        )
    return None if path is None else GroupFile(path, labels, estimated)


def limits_over(
    base: GateLimits,
    max_loss: Limit,
    max_cross_loss: Limit,
    least_tar: Limit,
    most_fnir: Limit,
    fmrs: tuple[float, ...] | None = None,
) -> GateLimits:
    """The limits `base`, with those replaced that the command line gives."""
    given = {
        "int8_int8": max_loss,
        "float_int8": max_cross_loss,
        "least_tar": least_tar,
        "most_fnir": most_fnir,
        "fmrs": fmrs,
    }
    return msgspec.structs.replace(base, **{k: v for k, v in given.items() if v is not None})
