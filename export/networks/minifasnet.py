"""MiniFASNet V2 and V1SE: small networks that tell live faces from pictures of faces.

Minivision publishes their weights (Silent-Face-Anti-Spoofing, 2020); the names of the tensors are
those of its files. The networks take BGR pixels 0..255 as they are, and class 1 is a live face.
"""

from __future__ import annotations

from collections.abc import Iterator

from ostiary.export.networks.parts import Block, ConvolutionRow, Network

SIDE_PX, CLASSES = 80, 3
LAST_SIDE = 5
"""The side of the last feature map: 80 pixels, halved four times."""
STEM, LAST, EMBEDDING = 32, 512, 128
REDUCTION = 4
"""How much narrower than its block the middle of a squeeze and excitation is."""

Stage = tuple[str, int, tuple[int, ...]]
"""Name, outputs of each block, and the inner width of each block. A stage of one block halves the
side; the blocks of the others add their input."""

V2: tuple[Stage, ...] = (
    ("conv_23", 64, (103,)),
    ("conv_3", 64, (13, 13, 13, 13)),
    ("conv_34", 128, (231,)),
    ("conv_4", 128, (231, 52, 26, 77, 26, 26)),
    ("conv_45", 128, (308,)),
    ("conv_5", 128, (26, 26)),
)
V1SE: tuple[Stage, ...] = (
    ("conv_23", 64, (103,)),
    ("conv_3", 64, (13, 26, 13, 52)),
    ("conv_34", 128, (231,)),
    ("conv_4", 128, (154, 52, 26, 52, 26, 26)),
    ("conv_45", 128, (308,)),
    ("conv_5", 128, (26, 26)),
)


def network(stages: tuple[Stage, ...], excited: bool) -> Network:
    """The network of a table; `excited`: the last block of a stage has squeeze and excitation."""
    return Network(side_px=SIDE_PX, classes=CLASSES, blocks=tuple(_blocks(stages, excited)))


def _blocks(stages: tuple[Stage, ...], excited: bool) -> Iterator[Block]:
    yield Block(convolutions=(_row("conv1", (STEM, 3, 3, 3), stride=2, padding=1),))
    yield Block(convolutions=(_depthwise("conv2_dw", STEM),))
    taken = STEM
    for name, given, widths in stages:
        if len(widths) == 1:
            yield Block(convolutions=_bottleneck(name, taken, widths[0], given, stride=2))
        else:
            for at, width in enumerate(widths):
                inner = f"{name}.model.{at}"
                last = excited and at == len(widths) - 1
                yield Block(
                    convolutions=_bottleneck(inner, taken, width, given),
                    gates=_gates(f"{inner}.se_module", given) if last else (),
                    residual=True,
                )
        taken = given
    yield Block(
        convolutions=(
            _row("conv_6_sep", (LAST, taken, 1, 1)),
            _row("conv_6_dw", (LAST, 1, LAST_SIDE, LAST_SIDE), groups=LAST, bent=False),
            ConvolutionRow(weight="linear.weight", shape=(EMBEDDING, LAST), norm="bn"),
            ConvolutionRow(weight="prob.weight", shape=(CLASSES, EMBEDDING)),
        )
    )


def _bottleneck(
    name: str, taken: int, width: int, given: int, stride: int = 1
) -> tuple[ConvolutionRow, ...]:
    """To the inner width, over the pixels, and to the outputs (Sandler et al. 2018)."""
    return (
        _row(f"{name}.conv", (width, taken, 1, 1)),
        _depthwise(f"{name}.conv_dw", width, stride),
        _row(f"{name}.project", (given, width, 1, 1), bent=False),
    )


def _gates(name: str, width: int) -> tuple[ConvolutionRow, ...]:
    narrow = width // REDUCTION
    return (
        ConvolutionRow(
            weight=f"{name}.fc1.weight",
            shape=(narrow, width, 1, 1),
            norm=f"{name}.bn1",
            activation="relu",
        ),
        ConvolutionRow(
            weight=f"{name}.fc2.weight",
            shape=(width, narrow, 1, 1),
            norm=f"{name}.bn2",
            activation="sigmoid",
        ),
    )


def _depthwise(name: str, width: int, stride: int = 1) -> ConvolutionRow:
    return _row(name, (width, 1, 3, 3), stride=stride, padding=1, groups=width)


def _row(
    name: str,
    shape: tuple[int, ...],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    bent: bool = True,
) -> ConvolutionRow:
    """A convolution with its normalisation, `bent` by a PReLU or straight."""
    return ConvolutionRow(
        weight=f"{name}.conv.weight",
        shape=shape,
        norm=f"{name}.bn",
        activation="prelu" if bent else "none",
        slope=f"{name}.prelu.weight" if bent else "",
        stride=stride,
        padding=padding,
        groups=groups,
    )


NETWORKS = {
    "minifasnet-v2": network(V2, excited=False),
    "minifasnet-v1se": network(V1SE, excited=True),
}
"""The networks that a recipe may name as the graph of a weights file."""
