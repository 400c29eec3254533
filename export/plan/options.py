"""The options of a build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ostiary.export.records.calibration_table import Method
from ostiary.export.records.results import GateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a build. Without faces, the recipe's recorded table and verdict are used."""

    weights: Path | None = None
    faces: Path | None = None
    calibrate: Path | None = None
    data_set: str = ""
    method: Method = "mse"
    insist: bool = False
    int8: bool = True
    dim: int | None = None
    limits: GateLimits = field(default_factory=GateLimits)
    key: Path | None = None

    @property
    def judged_on(self) -> Path | None:
        """The folder of faces on which the gate and each layer's cost are measured."""
        return self.faces or self.calibrate
