"""The options of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostiary.export.faces.groups import GroupFile
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.records.calibration_table import Method
from ostiary.export.records.results import GateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a build. Without faces, the recipe's recorded table and verdict are used.

    `limits` are the plan's if None. `sign_weak` signs a bundle whose encoder misses the floor of
    the limits; the manifest then warns of it.
    """

    weights: Path | None = None
    faces: Path | None = None
    calibrate: Path | None = None
    exclude: Path | None = None
    """The list of photos with wrong labels; the gate and the layers' costs leave them out."""
    data_set: str = ""
    method: Method = "mse"
    insist: bool = False
    int8: bool = True
    dim: int | None = None
    limits: GateLimits | None = None
    key: Path | None = None
    groups: GroupFile | None = None
    sign_weak: bool = False

    def limits_of(self, plan: BuildPlan) -> GateLimits:
        """The limits of the gate in a build of `plan`."""
        return self.limits or plan.limits

    @property
    def judged_on(self) -> Path | None:
        """The folder of faces on which the gate and each layer's cost are measured."""
        return self.faces or self.calibrate
