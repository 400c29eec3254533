"""The models that a profile names: the bundle vouched for, the backend proven."""

from __future__ import annotations

from edge.config import Config
from edge.pipeline import Pipeline, open_pipeline
from edge.runtime import bundle as bundles
from edge.runtime import engines
from edge.runtime.signature import read_keys

CACHE = "cache"
"""Under the state directory: what a backend compiled."""


def open_models(config: Config) -> Pipeline:
    """The pipeline of a profile. Raises BundleError or BackendError, with every reason."""
    choice, state = config.bundle, config.state.path
    loaded = bundles.load(choice.path, read_keys(choice.keys))
    with engines.trial(state / engines.FOLDER) as folder:
        return open_pipeline(
            loaded, choice.backend, choice.threads, state / CACHE, choice.precision, folder
        )
