"""The floor: how many people the float encoder must recognise, whatever int8 keeps of that."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.runtime.det import DetFile
from ostiary.export.records.results import Gate, GateLimits, OpenSetRow

K, FPIR = 100, 0.01
"""The number of enrolled people and the FPIR for which the floor limits the FNIR."""


def judged(gate: Gate, det: DetFile | None, limits: GateLimits) -> Gate:
    """The gate with the floor's part of its verdict, by the floor of `limits`.

    It is judged from the float encoder's own figures, so a verdict that was recorded before there
    was a floor gets one too.
    """
    opened = [item.open_set for item in gate.compared if item.comparison == "float_float"]
    weak = [*of_curve(det, limits), *_of_open_set(opened[0] if opened else [], limits)]
    floor = {name: getattr(limits, name) for name in ("least_tar", "at_fmr", "most_fnir")}
    return msgspec.structs.replace(
        gate,
        passed=gate.faithful and not weak,
        weak=weak,
        limits=msgspec.structs.replace(gate.limits, **floor),
    )


def of_curve(det: DetFile | None, limits: GateLimits) -> list[str]:
    """What the float encoder's curve misses of the floor's TAR, as a list of at most one sentence
    without its subject.

    A TAR that was not measured, or that fewer than thirty errors support, does not meet the floor.
    """
    if not limits.least_tar:
        return []
    where = f"at FMR {_power(limits.at_fmr)}"
    curve = None if det is None else det.curve()
    tau = None if curve is None else threshold(curve, limits.at_fmr, 1)
    if curve is None or tau is None or not tau.supported:
        return [f"recognises an unknown share of people {where}: not measured, too few pairs"]
    return _below("people", where, 1 - curve.fnmr(tau.tau), limits.least_tar)


def _of_open_set(rows: Sequence[OpenSetRow], limits: GateLimits) -> list[str]:
    if limits.most_fnir >= 1:
        return []
    where = f"at K={K} and FPIR {FPIR}"
    for row in rows:
        if row.k == K:
            return _below("enrolled people", where, 1 - row.fnir.value, 1 - limits.most_fnir)
    return [f"recognises an unknown share of enrolled people {where}: not measured, too few people"]


def _below(who: str, where: str, share: float, least: float) -> list[str]:
    if share >= least:
        return []
    # Round down: a share below its limit must not read as if it met the limit.
    percent = math.floor(round(100 * share, 6))
    return [f"recognises {percent} % of {who} {where}, {100 * least:g} % are needed"]


def _power(rate: float) -> str:
    """0.001 as 1e-3."""
    digits, _, exponent = f"{rate:.0e}".partition("e")
    return f"{digits}e{int(exponent)}"
