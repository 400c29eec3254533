"""The models that a profile names: the bundle vouched for, the backend proven."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.config import Config
from ostiary.edge.errors import BackendError, BundleError, OstiaryError
from ostiary.edge.models.changeover import Succession
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.bundle import MANIFEST, Bundle
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

CACHE = "cache"
"""Under the state directory: what a backend compiled."""
NEXT = "-next"
"""Ends the names of cache and engines of the bundle to come: what is done for one bundle removes
what was done for another."""
TRYING = "next.trying"
MOST_TRIES = 2
"""Starts with the bundle to come that may end the process, before the door leaves it alone."""

Encoders = Callable[[], Iterable[Collection[str]]]
"""Gives the encoders of each subject's templates, for every subject that counts."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the door runs, what it waits for, and each bundle that it refused, with the reason."""

    pipeline: Pipeline
    succession: Succession
    refused: tuple[str, ...] = ()


def open_models(config: Config) -> Pipeline:
    """The pipeline of a profile's `path`. Raises BundleError or BackendError, with every reason."""
    choice = config.bundle
    return _open(config, bundles.load(choice.path, read_keys(choice.keys)))


def choose_models(config: Config, encoders: Encoders) -> Chosen:
    """The pipeline of `next` where that is sound and everybody has its templates, else of `path`.

    A broken `next` is refused and the door runs on; a broken `path` is refused where `next` can
    stand in. So is one that lacks what the profile asks for: a curve, or a logistic head. Raises
    BundleError or BackendError where neither runs.
    """
    after, refused = _to_come(config)
    if after is None:
        return Chosen(open_models(config), Succession(), refused)
    try:
        now = bundles.load(config.bundle.path, read_keys(config.bundle.keys))
    except BundleError as error:
        return _instead(config, after, error)
    succession = Succession(now.encoder_id, after.encoder_id)
    if now.encoder_id == after.encoder_id:
        succession = Succession()
    elif succession.complete(encoders()):
        try:
            return Chosen(_try(config, after), Succession())
        except (BundleError, BackendError) as error:
            # Not awaited from now on: the door would begin anew again and again.
            refused, succession = (_said(after.path, error),), Succession()
    try:
        return Chosen(_ready(config, _open(config, now)), succession, refused)
    except BackendError as error:
        if refused or now.encoder_id == after.encoder_id:
            raise
        return _instead(config, after, error)
    except BundleError as error:
        # The same encoder may stand there with the curve, or the head, that is wanting here.
        if refused:
            raise
        return _instead(config, after, error)


def _to_come(config: Config) -> tuple[Bundle | None, tuple[str, ...]]:
    """The bundle of `next`, signed and whole; or why it is not used, where anything is there."""
    path = config.bundle.next
    if path is None or not path.exists():
        return None, ()
    try:
        found = bundles.load(path, read_keys(config.bundle.keys))
        if config.recognition.verifier:
            # Now and not at the change: the door would begin anew only to refuse it.
            found.head()
    except BundleError as error:
        return None, (_said(path, error),)
    return found, ()


def _instead(config: Config, after: Bundle, broken: OstiaryError) -> Chosen:
    """The bundle to come before its time: some pass with it, and nobody with a broken one."""
    try:
        pipeline = _try(config, after)
    except (BundleError, BackendError):
        raise broken from None
    return Chosen(pipeline, Succession(), (_said(config.bundle.path, broken),))


def _try(config: Config, after: Bundle) -> Pipeline:
    """The pipeline of the bundle to come, with all that the door will ask of it."""
    with _trial(config.state.path, after.path):
        return _ready(config, _open(config, after, NEXT))


def _ready(config: Config, pipeline: Pipeline) -> Pipeline:
    """The same, where its bundle holds all that the profile asks of it. Raises BundleError."""
    try:
        pipeline.curve()
        if config.recognition.verifier:
            pipeline.head()
    except BundleError:
        pipeline.close()
        raise
    return pipeline


@contextlib.contextmanager
def _trial(state: Path, path: Path) -> Iterator[None]:
    """Count the starts that the bundle to come has ended, as for want of memory.

    Such a one would otherwise end each start, and the door with it. Installed again it is another
    file, and is tried anew.
    """
    mark, which = state / TRYING, _which(path / MANIFEST)
    tries = _tries(mark, which)
    if tries >= MOST_TRIES:
        raise BackendError(
            f"{tries} starts with it did not come to their end", "install it again to try it again"
        )
    # A full disk does not keep the door from its models.
    with contextlib.suppress(OSError):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.write_text(f"{which} {tries + 1}")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)


def _which(manifest: Path) -> str:
    try:
        found = manifest.stat()
    except OSError as error:
        raise BundleError(f"can not read {manifest}: {error.strerror}") from error
    return f"{found.st_ino}-{found.st_mtime_ns}"


def _tries(mark: Path, which: str) -> int:
    try:
        found, number = mark.read_text().split()
        return int(number) if found == which else 0
    except (OSError, ValueError):
        return 0


def _open(config: Config, bundle: Bundle, ending: str = "") -> Pipeline:
    choice, state = config.bundle, config.state.path
    cache = state / f"{CACHE}{ending}"
    with engines.trial(state / f"{engines.FOLDER}{ending}") as built:
        return open_pipeline(bundle, choice.backend, choice.threads, cache, choice.precision, built)


def _said(path: Path, error: OstiaryError) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
