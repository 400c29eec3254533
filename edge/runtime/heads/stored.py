"""The files of a bundle's heads, read from JSON."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ostiary.edge.errors import BundleError

Head = TypeVar("Head")


def decoded(raw: bytes, kind: type[Head], where: str, again: str) -> Head:
    """A head's file from its JSON. Raises BundleError, naming the file and the field at fault;
    `again` says what makes such a file."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{where}: {error}", again) from error
