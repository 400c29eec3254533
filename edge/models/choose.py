"""Chooses the models of a profile: from a signed bundle, on a backend that was proven."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.config import Config
from ostiary.edge.errors import BackendError, BundleError, OstiaryError
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.bundle import MANIFEST, Bundle
from ostiary.edge.runtime.signature import read_keys
from ostiary.edge.vision.liveness import pad_rules
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

CACHE = "cache"
"""Folder in the state directory for models that a backend has compiled."""
NEXT = "-next"
"""Suffix of the next bundle's folders of cache and engines: in a shared folder, one bundle would
remove the other's files."""
TRYING = "next.trying"
MOST_TRIES = 2
"""How often a start with the next bundle may crash before the door no longer tries it."""

Encoders = Callable[[], Iterable[Collection[str]]]
"""Gives, for every subject that counts, the encoders of the subject's templates."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the door runs, which bundle it waits for, and each refused bundle with the reason."""

    pipeline: Pipeline
    changeover: Changeover
    refused: tuple[str, ...] = ()


def open_models(config: Config) -> Pipeline:
    """The pipeline of a profile's `path`. Raises BundleError or BackendError, with every reason."""
    choice = config.bundle
    return _open(config, bundles.load(choice.path, read_keys(choice.keys)))


def choose_models(config: Config, encoders: Encoders) -> Chosen:
    """The pipeline of `next` if it works and everybody has a template for it, else that of `path`.

    A broken `next` is refused and the door runs `path`; a broken `path` is refused if `next` can
    replace it. A bundle without the curve or logistic head that the profile needs counts as broken,
    and so does one that the profile's PAD file was not fitted with.
    Raises BundleError or BackendError if neither works.
    """
    after, refused = _to_come(config)
    if after is None:
        return Chosen(open_models(config), Changeover(), refused)
    try:
        now = bundles.load(config.bundle.path, read_keys(config.bundle.keys))
    except BundleError as error:
        return _instead(config, after, error)
    changeover = Changeover(now.encoder_id, after.encoder_id)
    if now.encoder_id == after.encoder_id:
        changeover = Changeover()
    elif changeover.complete(encoders()):
        try:
            return Chosen(_try(config, after), Changeover())
        except (BundleError, BackendError) as error:
            # Wait for this bundle no longer: otherwise the door would restart for it again and
            # again.
            refused, changeover = (_said(after.path, error),), Changeover()
    try:
        return Chosen(_ready(config, _open(config, now)), changeover, refused)
    except BackendError as error:
        if refused or now.encoder_id == after.encoder_id:
            raise
        return _instead(config, after, error)
    except BundleError as error:
        # `next` may hold the same encoder, and the curve or head that is missing in `path`.
        if refused:
            raise
        return _instead(config, after, error)


def _to_come(config: Config) -> tuple[Bundle | None, tuple[str, ...]]:
    """The bundle at `next` if it is signed and undamaged; else None, and why it is refused.

    The reasons are empty if nothing is at `next`.
    """
    path = config.bundle.next
    if path is None or not path.exists():
        return None, ()
    try:
        found = bundles.load(path, read_keys(config.bundle.keys))
        if config.recognition.verifier:
            # Check now that the bundle has the head, and that the profile's PAD file is of its
            # models; at the change-over the door would restart in vain.
            found.head()
        if config.pad.required:
            pad_rules(found, config)
    except BundleError as error:
        return None, (_said(path, error),)
    return found, ()


def _instead(config: Config, after: Bundle, broken: OstiaryError) -> Chosen:
    """Run the next bundle early: some people pass with it, and nobody with the broken one."""
    try:
        pipeline = _try(config, after)
    except (BundleError, BackendError):
        raise broken from None
    return Chosen(pipeline, Changeover(), (_said(config.bundle.path, broken),))


def _try(config: Config, after: Bundle) -> Pipeline:
    """The pipeline of the next bundle. Raises BundleError if it lacks what the profile needs."""
    with _trial(config.state.path, after.path):
        return _ready(config, _open(config, after, NEXT))


def _ready(config: Config, pipeline: Pipeline) -> Pipeline:
    """The pipeline unchanged. Raises BundleError if its bundle lacks what the profile needs."""
    try:
        pipeline.curve()
        if config.recognition.verifier:
            pipeline.head()
        if config.pad.required:
            pad_rules(pipeline.bundle, config)
    except BundleError:
        pipeline.close()
        raise
    return pipeline


@contextlib.contextmanager
def _trial(state: Path, path: Path) -> Iterator[None]:
    """Count the starts that crash with the next bundle, for example for lack of memory.

    Otherwise such a bundle would crash every start. Raises BackendError after MOST_TRIES. A bundle
    that is installed again starts with a count of 0.
    """
    mark, which = state / TRYING, _which(path / MANIFEST)
    tries = _tries(mark, which)
    if tries >= MOST_TRIES:
        raise BackendError(
            f"{tries} starts with this bundle crashed", "install the bundle again to try it again"
        )
    # A full disk must not keep the door from its models.
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
        raise BundleError(f"cannot read {manifest}: {error.strerror}") from error
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
