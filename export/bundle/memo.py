"""What long stages found, kept so that an interrupted build goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

from ostiary.edge.files import write_atomically
from ostiary.export.plan.fetch import cache_dir

PACKAGES = ("ostiary.edge", "ostiary.export")
Found = TypeVar("Found", bound=msgspec.Struct)


class Memo:
    """Results by stage and by everything they depend on; never a picture or an embedding."""

    def __init__(self, say: Callable[[str], None], folder: Path | None = None) -> None:
        self._say, self._folder = say, folder or cache_dir() / "stages"

    def get(
        self, stage: str, inputs: list[str | bytes], kind: type[Found], make: Callable[[], Found]
    ) -> Found:
        """What `make` gave for these inputs before, or gives now; a damaged file is made anew."""
        digest = hashlib.sha256(f"{_code()} {stage}".encode())
        for item in inputs:
            raw = item.encode() if isinstance(item, str) else item
            digest.update(hashlib.sha256(raw).digest())
        path = self._folder / f"{stage}-{digest.hexdigest()[:32]}.json"
        try:
            found = msgspec.json.decode(path.read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            found = make()
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, msgspec.json.encode(found))
            return found
        self._say(f"{stage}: kept from an earlier run ({path})")
        return found


@cache
def _code() -> str:
    """What the results were made by: other code may measure otherwise."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        with resources.as_file(resources.files(package)) as folder:
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()
