"""`limits.json`: a bundle's own limits for the gate, as its build set them."""

from __future__ import annotations

import msgspec

from ostiary.edge.errors import BundleError
from ostiary.edge.files import to_json
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.records.results import USUAL, GateLimits

FILE = "limits.json"


def to_text(limits: GateLimits) -> bytes:
    """The limits as a file's text."""
    return to_json(limits)


def in_bundle(bundle: Bundle) -> GateLimits:
    """A bundle's own limits; the usual ones without a file. Raises BundleError if it is damaged."""
    if FILE not in bundle.manifest.files:
        return USUAL
    path = bundle.path / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateLimits)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path}: {error}", "build the bundle again") from error
