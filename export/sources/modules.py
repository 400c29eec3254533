"""Builds a module by the user's own factory function, and loads its state dict."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.export.sources import archive
from ostiary.export.sources.spec import EncoderSource

SHOWN = 3
"""The most keys of a state dict that a message names."""
Faults = tuple[type[Exception], ...]


def build(spec: EncoderSource, folder: Path, torch: Any, faults: Faults) -> Any:
    """Build the module and load its trained weights. Raises BundleError and ConfigError."""
    if spec.factory is None:
        raise ConfigError(f"source {spec.source!r} is not of the form package.module:factory")
    with _on_path(folder):
        factory = _factory(*spec.factory, faults)
        try:
            module = factory()
        except faults as error:
            raise BundleError(f"{spec.source}() fails: {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise BundleError(
            f"{spec.source}() gives {type(module).__name__}, expected a torch.nn.Module"
        )
    if spec.state is not None:
        _load_state(module, _state(folder / spec.state, spec, torch), spec.state)
    return module


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    # Python caches listings of folders, which would hide a module that was just written.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)


def _factory(name: str, attribute: str, faults: Faults) -> Any:
    try:
        module = importlib.import_module(name)
    except faults as error:
        raise BundleError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}",
            "Python looks for it in the folder of the TOML file first",
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise BundleError(
            f"module {name!r} ({getattr(module, '__file__', None)}) has no function {attribute!r}",
            "give package.module:factory; factory() must return the torch.nn.Module",
        )
    return factory


def _state(path: Path, spec: EncoderSource, torch: Any) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"no file {path}", "state is relative to the TOML file")
    return read_state(path, torch, trust=spec.trust_pickle)


def read_state(path: Path, torch: Any, *, trust: bool = False) -> dict[str, Any]:
    """The tensors of a state dict's file, by name. Raises BundleError if it holds anything else."""
    found = archive.load_tensors(str(path), str(path), torch, trust=trust)
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in found.items()
    ):
        of = f" of {', '.join(map(str, found))}" if isinstance(found, dict) else ""
        kind = f"a {type(found).__name__}{of}"
        raise BundleError(f"{path} is not a state dict but {kind}", archive.STATE)
    return found


def _load_state(module: Any, state: dict[str, Any], name: str) -> None:
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    check_fit(state, wanted, f"{name} does not fit the module", "give the weights of this module")
    module.load_state_dict(state)


def check_fit(
    state: dict[str, Any], wanted: dict[str, tuple[int, ...]], what: str, hint: str
) -> None:
    """Raise BundleError unless a state dict has exactly the `wanted` tensors, by name and shape;
    the error says `what`, and names those at fault."""
    wrong = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)}, expected {shape}"
            for key, shape in wanted.items()
            if key in state and tuple(state[key].shape) != shape
        ],
    }
    told = [f"{fault}: {_some(keys)}" for fault, keys in wrong.items() if keys]
    if told:
        raise BundleError(f"{what}: {'; '.join(told)}", hint)


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
