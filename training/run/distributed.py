"""Several processes or machines on one batch, started by torchrun: one loss, summed gradients.

Each process embeds its share of a batch; the embeddings are gathered, and every process computes
the loss of the whole batch, so that hard triplets are found across all of it. The loss's gradient
at a process's own embeddings goes back through its own encoder, and the sum over the processes is
the whole batch's gradient: what one process alone would have had. Only batch norm differs: its
statistics are of each process's share, and those of the first process are kept.
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
    """The processes of a run: `size` of them, this one is number `rank`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, rows: Rows) -> Rows:
        """This process's part of a batch. Raises ConfigError where that is less than two images,
        of which batch norm has no variance."""
        if self.size > 1 and len(rows) < 2 * self.size:
            raise ConfigError(
                f"{self.size} processes, but a batch of {len(rows)} images: each needs two",
                "larger batches, or fewer processes",
            )
        return np.array_split(rows, self.size)[self.rank]

    def gather(self, own: Tensor, count: int) -> Tensor:
        """The embeddings (count, dim) of a whole batch, of which this process made its share.

        Only its own carry a gradient here: `add` sums what all of them make of theirs.
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
        """Sum the gradients of an encoder over the processes."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)

    def told(self, make: Callable[[], T]) -> T:
        """What the first process makes, in every process; so is an error that it raises."""
        if self.size == 1:
            return make()
        box: list[Any] = [_tried(make) if self.first else None]
        distributed.broadcast_object_list(box)
        made, error = box[0]
        if error is not None:
            raise error
        return cast(T, made)

    def together(self, make: Callable[[], T]) -> T:
        """What each process makes for itself; where one can not, all raise its error."""
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
    """What is made, or what somebody must mend."""
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
    """The team that torchrun started this process in, or this process alone.

    What ends them all is told by `told` or `together`, and so the first process says it alone.

    Example: `torchrun --nproc-per-node 2 -m ostiary.training fit settings.toml ...`
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
