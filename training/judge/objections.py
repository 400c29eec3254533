"""The reasons against using a logistic head, from its evaluation on people it never saw."""

from __future__ import annotations

from ostiary.edge.runtime.det import Comparison
from ostiary.edge.runtime.heads.verifier_file import VerifierFile

MOST_ERROR = 0.05
MOST_LOST = 0.05
"""The most TAR at FMR 1e-3 that a head may lose: it only refuses claims, and must not refuse many
genuine ones."""
PROBES: dict[str, Comparison] = {"float probes": "float_float", "int8 probes": "float_int8"}


def objections(file: VerifierFile) -> list[str]:
    """Why a head should not be used; empty if it may be.

    A head may rank pairs worse than the plain distance, refuse many more genuine claims than tau
    does, or give wrong probabilities.
    """
    found = []
    for name, comparison in PROBES.items():
        judged = getattr(file, comparison)
        if judged is None:
            continue
        lost = file.fnmr(comparison) - judged.distance_fnmr
        if lost > MOST_LOST:
            found.append(
                f"against {name} the head loses {lost:.3f} of TAR at FMR 1e-3 to the plain"
                f" distance, more than {MOST_LOST}"
            )
        if judged.gain.high < 0:
            found.append(
                f"against {name} the head's AUC {judged.auc.value:.5f} is below the plain"
                f" distance's {judged.distance_auc.value:.5f}"
            )
        if judged.calibration_error > MOST_ERROR:
            found.append(
                f"against {name} the head's calibration error is {judged.calibration_error:.3f},"
                f" more than {MOST_ERROR}"
            )
    return found
