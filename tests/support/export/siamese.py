"""A small Siamese net as the literature trains it, its pair, and a seeded training on faces."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

SIDE_PX = 28
PEOPLE = 30
"""People to train on, of the 40 in the data; the others are held out."""
STEPS = 400
"""At 150 hard triplets still hold all faces at one point, and the build refuses such an encoder."""


class Branch(nn.Module):
    """Grey 28x28 to 128 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 7 * 7, 128)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.norm(self.conv1(image))), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        rows: torch.Tensor = self.fc(x.view(x.size(0), -1))
        return rows


class Parts(nn.Module):
    """What every pair consists of."""

    def __init__(self, branch: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch or Branch()
        self.head = nn.Linear(128, 1)


class Pair(Parts):
    """Same person or not: a logistic head over |f(a) - f(b)|."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        difference = torch.abs(self.branch(first) - self.branch(second))
        return torch.sigmoid(self.head(difference))


class TwoOutputs(Parts):
    """The pair as a contrastive loss trains it: both embeddings, no head."""

    def forward(
        self, first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.branch(first), self.branch(second)


class Cosine(Pair):
    """The cosine of the two embeddings, written out: they meet at three places."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        a, b = self.branch(first), self.branch(second)
        cosine: torch.Tensor = (a * b).sum(1) / ((a * a).sum(1) * (b * b).sum(1)).sqrt()
        return cosine


class Unshared(Pair):
    """Two branches that only look alike."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Branch()

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.head(torch.abs(self.branch(first) - self.other(second))))


def seeded(kind: type[nn.Module]) -> nn.Module:
    """An untrained net, the same each time, with statistics that BatchNorm had to learn."""
    torch.manual_seed(0)
    net = kind()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
    return net.eval()


def branch() -> nn.Module:
    """A factory, as `siamese:branch`."""
    return Branch()


def pair() -> nn.Module:
    """A factory, as `siamese:pair`."""
    return Pair()


def small(file: Path) -> np.ndarray:
    """A photo, grey, in the size that the net takes."""
    photo = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert photo is not None
    return cv2.resize(photo, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)


def faces(folder: Path) -> torch.Tensor:
    """Every person's photos (people, photos, 1, 28, 28), in -1..1."""
    people = sorted(folder.iterdir(), key=lambda p: int(p.name[1:]))
    read = [[small(file) for file in sorted(person.glob("*.pgm"))] for person in people]
    return torch.from_numpy((np.array(read, np.float32)[:, :, None] - 127.5) / 127.5)


def disturb(images: torch.Tensor) -> torch.Tensor:
    """Photos moved, tilted, scaled and relit at random, like crops from a camera."""
    turn = torch.zeros(len(images), 2, 3)
    turn[:, [0, 1], [0, 1]] = 0.9 + 0.2 * torch.rand(len(images), 2)
    turn[:, 0, 1] = 0.3 * (torch.rand(len(images)) - 0.5)
    turn[:, 1, 0] = -turn[:, 0, 1]
    turn[:, :, 2] = 0.3 * (torch.rand(len(images), 2) - 0.5)
    grid = nn.functional.affine_grid(turn, list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    light = torch.rand(2, len(images), 1, 1, 1)
    return moved * (0.7 + 0.6 * light[0]) + 0.5 * (light[1] - 0.5)


def auc(net: nn.Module, photos: torch.Tensor) -> float:
    """How often two photos of one person are more alike (cosine) than two of different ones."""
    people, shots = photos.shape[:2]
    with torch.no_grad():
        rows = nn.functional.normalize(net.eval()(photos.flatten(0, 1)))
    cosines = rows @ rows.T
    person = torch.arange(people).repeat_interleave(shots)
    upper = torch.triu(torch.ones_like(cosines, dtype=torch.bool), 1)
    alike = person[:, None] == person[None]
    genuine, impostor = cosines[upper & alike], cosines[upper & ~alike]
    return float((genuine[:, None] > impostor[None]).float().mean())


def train(folder: Path) -> Pair:
    """The pair after STEPS steps of hard triplets on the first PEOPLE people of the data."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    photos, net = faces(folder)[:PEOPLE], Pair()
    optimiser = torch.optim.Adam(net.branch.parameters(), lr=1e-3)
    person = torch.arange(16).repeat_interleave(4)
    alike = person[:, None] == person[None]
    for _ in range(STEPS):
        who, shots = rng.permutation(PEOPLE)[:16], rng.permutation(photos.shape[1])[:4]
        images = disturb(photos[who][:, shots].flatten(0, 1))
        rows = nn.functional.normalize(net.branch(images))
        distances = torch.cdist(rows, rows)
        farthest = distances.masked_fill(~alike, 0).amax(1)
        nearest = distances.masked_fill(alike, 9).amin(1)
        loss = torch.relu(farthest - nearest + 0.3).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return net.eval()


@contextmanager
def old_torch() -> Iterator[None]:
    """Silence deprecation warnings: the tests write old forms on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)
        warnings.filterwarnings("ignore", "You are using the legacy", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", r"`isinstance\(treespec", FutureWarning)
        yield


def write_all(net: nn.Module, name: str, images: int, folder: Path) -> None:
    """Write a net in every form of FORMS; files named `_one` have a batch fixed to 1."""
    single = tuple(torch.rand(1, 1, 28, 28) for _ in range(images))
    double = tuple(torch.rand(2, 1, 28, 28) for _ in range(images))
    free = ({0: torch.export.Dim("n")},) * images
    with old_torch(), torch.no_grad():
        program = torch.export.export(net, double, dynamic_shapes=free)
        torch.export.save(program, folder / f"{name}.pt2")
        torch.export.save(torch.export.export(net, single), folder / f"{name}_one.pt2")
        torch.onnx.export(program, f=folder / f"{name}.onnx", dynamo=True, verbose=False)
        torch.onnx.export(net, single, folder / f"{name}_one.onnx", dynamo=False, opset_version=11)
        torch.jit.trace(net, double).save(folder / f"{name}.pt")  # type: ignore[no-untyped-call]
        torch.jit.script(net).save(folder / f"{name}.ts")  # type: ignore[no-untyped-call]
    torch.save(net.state_dict(), folder / f"{name}_state.pt")
