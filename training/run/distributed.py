"""Training in several processes or machines, started by torchrun, with one batch and one loss.

Each process embeds its share of a batch; the embeddings are gathered, and every process computes
the loss of the whole batch, so that hard triplets are found across all of it. Each process carries
the loss's gradient at its own embeddings back through its own encoder; the sum over the processes
is the whole batch's gradient, which one process alone would compute too. Only batch norm differs:
its statistics are those of each process's share, and those of the first process are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from ostiary.edge.cli.console import BAD_INPUT
from ostiary.edge.errors import ConfigError, OstiaryError, StoreError
from ostiary.training.run.sampling import Rows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a run: `size` is their number, `rank` the number of this one, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """True for the process that writes the files."""
        return self.rank == 0

    def share(self, rows: Rows) -> Rows:
        """This process's part of a batch.

        Raises ConfigError if a process would get a single image, which has no variance for batch
        norm.
        """
        if self.size > 1 and len(rows) < 2 * self.size:
            raise ConfigError(
                f"{self.size} processes, but a batch of {len(rows)} images: each needs two",
                "use larger batches or fewer processes",
            )
        return np.array_split(rows, self.size)[self.rank]

    def gather(self, own: Tensor, count: int) -> Tensor:
        """The embeddings (count, dim) of the whole batch, gathered from all processes.

        Only this process's own rows carry a gradient; `add` sums the gradients of all processes.
        """
        if self.size == 1:
            return own
        largest = -(-count // self.size)
        sent = own.new_zeros(largest, own.shape[1])
        sent[: len(own)] = own.detach()
        found = [torch.empty_like(sent) for _ in range(self.size)]
        distributed.all_gather(found, sent)
        sizes = [len(part) for part in np.array_split(np.arange(count), self.size)]
        parts = [part[:size] for part, size in zip(found, sizes, strict=True)]
        parts[self.rank] = own
        return torch.cat(parts)

    def add(self, parameters: Iterable[Parameter]) -> None:
        """Sum an encoder's gradients over all processes."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)

    def told(self, make: Callable[[], T]) -> T:
        """Run `make` in the first process; every process returns its result or raises its error."""
        if self.size == 1:
            return make()
        box: list[Any] = [_tried(make) if self.first else None]
        distributed.broadcast_object_list(box)
        made, error = box[0]
        if error is not None:
            raise error
        return cast(T, made)

    def together(self, make: Callable[[], T]) -> T:
        """Run `make` in every process; if it fails in one, all raise that error."""
        if self.size == 1:
            return make()
        made, own = _tried(make)
        errors: list[OstiaryError | None] = [None] * self.size
        distributed.all_gather_object(errors, own)
        for error in errors:
            if error is not None:
                raise error
        return cast(T, made)


def _tried(make: Callable[[], T]) -> tuple[T | None, OstiaryError | None]:
    """(result, None), or (None, the OstiaryError that `make` raised)."""
    try:
        return make(), None
    except OstiaryError as error:
        return None, error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return None, StoreError(f"{where}{error.strerror or error}")


ALONE = Team()


@contextmanager
def joined() -> Iterator[Team]:
    """The team of processes that torchrun started, or this process alone.

    `told` and `together` raise an error in every process, so only the first one reports it.
    """
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    distributed.init_process_group("gloo")
    team = Team(distributed.get_rank(), distributed.get_world_size())
    try:
        yield team
    except OstiaryError:
        if team.first:
            raise
        sys.exit(BAD_INPUT)
    finally:
        distributed.destroy_process_group()
