"""Results of long stages, kept so that an interrupted build continues where it was."""

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
    """Keeps results by stage, inputs and code; it stores no picture and no embedding."""

    def __init__(self, say: Callable[[str], None], folder: Path | None = None) -> None:
        self._say, self._folder = say, folder or cache_dir() / "stages"

    def get(
        self, stage: str, inputs: list[str | bytes], kind: type[Found], make: Callable[[], Found]
    ) -> Found:
        """The stage's kept result for these inputs, else that of `make`, which is then kept.

        A damaged file is ignored.
        """
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
    """A hash of all code that may affect a result: changed code may measure differently."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        with resources.as_file(resources.files(package)) as folder:
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()
