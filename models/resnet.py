"""Residual networks for small images (He, Zhang, Ren, Sun 2016): ResNet-20, and ResNet-18 in its form for CIFAR.

The tensors have the names and shapes of PyTorch's.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Interval, Len
from array_api_compat import array_namespace

from netsim.models.data.datasets import Dataset
from netsim.models.draws import generator
from netsim.models.fields import Width
from netsim.models.image_bytes import Convolution
from netsim.models.images import ImageTask, named
from netsim.models.layers.conv import conv1x1, conv1x1_back, conv3x3, conv3x3_back
from netsim.models.layers.linear import linear, linear_back
from netsim.models.layers.norm import batch_norm, batch_norm_back, batch_norm_fixed
from netsim.models.layers.pool import average_pool, average_pool_back

Array = Any
Named = Mapping[str, Array]
MOMENTUM = 0.1  # share of the newest batch in the running statistics


class Block(NamedTuple):
    """A residual block.

    Attributes
    ----------
    name
        Of its tensors, before the dot.
    inputs, outputs
        Channels of its first convolution.
    side, stride
        Pixels a side of the image that this reads, and its stride.
    """

    name: str
    inputs: int
    outputs: int
    side: int
    stride: int


@dataclass(frozen=True, eq=False)
class ResNet(ImageTask):
    """A convolution, stages of residual blocks with two 3x3 convolutions each, global average pooling, a linear layer.

    Batch norm follows every convolution. Convolutions start normal with variance 2 / (9 outputs) (He et al. 2015, by
    fan-out; 1x1: 2 / outputs), batch norm at weight 1 and bias 0, the linear layer uniform within 1 / sqrt(inputs), as
    PyTorch's does.

    Parameters
    ----------
    widths
        Channels of each stage; every stage but the first halves the image.
    blocks
        Residual blocks in a stage.
    shortcut
        Where a block changes its shape, the shortcut is ``"B"``: a 1x1 convolution with batch norm; or ``"A"``: every
        other pixel, with channels of zeros on both sides, without parameters.
    data, batch, partition, alpha, reshuffle, partial, augment, chunk, samples
        As in :class:`netsim.models.images.ImageTask`; ``samples`` is refused, for batch norm needs the whole minibatch.

    Raises
    ------
    ValueError
        A field is out of range, or two contradict each other.
    """

    widths: Annotated[tuple[Width, ...], Len(1, 10)] = (16, 32, 64)
    blocks: Annotated[int, Interval(ge=1, le=1000)] = 3
    shortcut: Literal["A", "B"] = "B"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or self.blocks < 1 or any(not isinstance(width, int) or width < 1 for width in self.widths):
            raise ValueError(
                f"widths = {self.widths}, blocks = {self.blocks}: write the channels of each stage, such as "
                "(16, 32, 64), and at least one block"
            )
        if self.shortcut not in ("A", "B"):
            raise ValueError(f'shortcut = {self.shortcut!r}: write "A" (zeros) or "B" (1x1 convolutions)')
        if self.shortcut == "A" and any(
            (b - a) % 2 or b < a for a, b in zip(self.widths, self.widths[1:], strict=False)
        ):
            raise ValueError(f'widths = {self.widths}: shortcut = "A" adds as many channels before as behind')
        if self.samples is not None:
            raise ValueError(
                f"samples = {self.samples}: batch norm needs the whole minibatch; leave it out, and choose a smaller "
                "batch or, on a GPU, chunk = 1"
            )

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}, convolutions (out, in, height, width)."""
        shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (self.widths[0], self.image_shape[0], 3, 3)}
        shapes |= _norm_shapes("bn1", self.widths[0])
        for block in self._blocks():
            inputs = block.inputs
            for k in (1, 2):
                shapes[f"{block.name}.conv{k}.weight"] = (block.outputs, inputs, 3, 3)
                shapes |= _norm_shapes(f"{block.name}.bn{k}", block.outputs)
                inputs = block.outputs
            if self._projects(block):
                shapes[f"{block.name}.shortcut.0.weight"] = (block.outputs, block.inputs, 1, 1)
                shapes |= _norm_shapes(f"{block.name}.shortcut.1", block.outputs)
        classes = self.data.classes
        return shapes | {"linear.weight": (classes, self.widths[-1]), "linear.bias": (classes,)}

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}: the running mean and variance of every batch norm."""
        names = ("mean", "var")
        return {f"{norm}.running_{what}": (width,) for norm, width, _ in self._norms() for what in names}

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model of a seed."""
        random, parts = generator(seed, "initial"), []
        for name, shape in self.tensors.items():
            if len(shape) == 4:
                parts.append(random.standard_normal(shape) * math.sqrt(2 / (shape[0] * shape[2] * shape[3])))
            elif name.startswith("linear"):
                parts.append(random.uniform(-1, 1, shape) / math.sqrt(self.widths[-1]))
            else:
                parts.append(np.full(shape, float(name.endswith("weight"))))
        return np.concatenate([part.ravel() for part in parts])

    def forward(self, p: Named, x: Array, running: Array, training: bool) -> tuple[Array, list]:
        """As :meth:`netsim.models.images.ImageTask.forward`."""
        xp, samples = array_namespace(x), x.shape[1]
        kept: list = [p]
        moments = xp.empty_like(running) if training else running  # of the batch, or those to normalise by
        by_name = named(self.statistics, moments)
        x = _conv_norm("conv1", "bn1", p, x, 1, by_name, training, kept, rectify=True)
        kept.append(x)
        for block in self._blocks():
            x = self._block(block, p, x, by_name, training, kept)
        if training:
            sizes = tuple((channels, samples * pixels) for _, channels, pixels in self._norms())
            moments *= _unbiased(sizes, xp, moments.dtype)
            moments *= MOMENTUM
            running *= 1 - MOMENTUM
            running += moments
        side = x.shape[2]
        pooled = average_pool(x, side)[:, :, 0, 0]
        logits, kept_linear = linear(pooled, p["linear.weight"], p["linear.bias"])
        kept.append((kept_linear, side))
        return logits, kept

    def backward(self, dlogits: Array, kept: list, gradient: Named) -> None:
        """As :meth:`netsim.models.images.ImageTask.backward`."""
        kept_linear, side = kept.pop()
        dpooled, gradient["linear.weight"][...], gradient["linear.bias"][...] = linear_back(dlogits, kept_linear)
        dx = average_pool_back(dpooled[:, :, None, None], side)
        for block in reversed(list(self._blocks())):
            dx = self._block_back(block, dx, kept, gradient)
        _conv_norm_back("conv1", "bn1", dx, kept, gradient, kept.pop(), want_dx=False)

    def _block(self, block: Block, p: Named, x: Array, moments: Named, training: bool, kept: list) -> Array:
        name, stride = block.name, block.stride
        y = _conv_norm(f"{name}.conv1", f"{name}.bn1", p, x, stride, moments, training, kept, rectify=True)
        kept.append(y)
        if self._projects(block):
            x = _conv_norm(f"{name}.shortcut.0", f"{name}.shortcut.1", p, x, stride, moments, training, kept)
        elif stride > 1 or block.inputs != block.outputs:
            x = _widened(x[:, :, ::stride, ::stride], block.outputs)
        z = _conv_norm(f"{name}.conv2", f"{name}.bn2", p, y, 1, moments, training, kept, x, rectify=True)
        kept.append(z)
        return z

    def _block_back(self, block: Block, dz: Array, kept: list, gradient: Named) -> Array:
        name, stride = block.name, block.stride
        dy = _conv_norm_back(f"{name}.conv2", f"{name}.bn2", dz, kept, gradient, kept.pop())
        if self._projects(block):
            dz = _conv_norm_back(f"{name}.shortcut.0", f"{name}.shortcut.1", dz, kept, gradient)
        dx = _conv_norm_back(f"{name}.conv1", f"{name}.bn1", dy, kept, gradient, kept.pop())
        if not self._projects(block) and (stride > 1 or block.inputs != block.outputs):
            aside = (block.outputs - block.inputs) // 2
            dx[:, :, ::stride, ::stride] += dz[..., aside : aside + block.inputs]
        else:
            dx += dz
        return dx

    @property
    def kept_numbers(self) -> int:
        """Per convolution its normalised and its final output, and the taken pixels of a 1x1 convolution."""
        first = self.widths[0] * self.image_shape[1] ** 2
        total = 2 * first
        for block in self._blocks():
            pixels = (-(-block.side // block.stride)) ** 2
            total += 4 * block.outputs * pixels
            if self._projects(block):
                total += (block.outputs + (block.inputs if block.stride > 1 else 0)) * pixels
        return total

    @property
    def convolutions(self) -> list[Convolution]:
        """Two of each block, after the first; as :attr:`netsim.models.images.ImageTask.convolutions`."""
        found = [Convolution(self.image_shape[0], self.widths[0], self.image_shape[1])]
        for block in self._blocks():
            first = Convolution(block.inputs, block.outputs, block.side, block.stride)
            found += [first, Convolution(block.outputs, block.outputs, -(-block.side // block.stride))]
        return found

    def arrays(self, training: bool) -> tuple[dict[int, int], int]:
        """As :meth:`netsim.models.images.ImageTask.arrays`.

        Of every 3x3 convolution there is the final output, in training the normalised one too, and a derivative or two;
        what 1x1 convolutions take, what they return, and derivatives of pooling and of shortcuts are NumPy's.
        """
        found = Counter[int]()
        for one in self.convolutions:
            found[one.size] += 1 + training
        last = self.convolutions[-1].size
        if training:
            found.update({size: 1 if size == last else 2 for size in found})
        others, most = 0, training * last
        for block in self._blocks():
            pixels = (-(-block.side // block.stride)) ** 2
            if self._projects(block):
                made = (block.outputs + (block.inputs if block.stride > 1 else 0)) * pixels
                others += training * made
                most = max(most, block.inputs * (block.side**2 + pixels) if training else made)
            elif block.stride > 1 or block.inputs != block.outputs:
                most = max(most, block.outputs * pixels)
        return dict(found), others + most

    def _norms(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, channels and pixels of every batch norm."""
        yield "bn1", self.widths[0], self.image_shape[1] ** 2
        for block in self._blocks():
            for name in ("bn1", "bn2", "shortcut.1")[: 2 + self._projects(block)]:
                yield f"{block.name}.{name}", block.outputs, (-(-block.side // block.stride)) ** 2

    def _blocks(self) -> Iterator[Block]:
        inputs, side = self.widths[0], self.image_shape[1]
        for stage, outputs in enumerate(self.widths):
            for k in range(self.blocks):
                stride = 2 if stage and not k else 1
                yield Block(f"layer{stage + 1}.{k}", inputs, outputs, side, stride)
                inputs, side = outputs, -(-side // stride)

    def _projects(self, block: Block) -> bool:
        return self.shortcut == "B" and (block.stride > 1 or block.inputs != block.outputs)


def resnet20(data: Dataset, shortcut: Literal["A", "B"] = "B", **fields: Any) -> ResNet:
    """Return ResNet-20: three stages of three blocks, 16, 32 and 64 channels.

    On CIFAR-10 it has 272,474 parameters with shortcuts of kind B, and 269,722 with those of kind A. ``fields`` are
    those of :class:`ResNet`.
    """
    return ResNet(data, shortcut=shortcut, **fields)


def resnet18(data: Dataset, width: int = 64, **fields: Any) -> ResNet:
    """Return ResNet-18 for CIFAR (first convolution 3x3, no pooling after it): four stages of two blocks.

    ``width`` is the channels of the first stage, doubled from stage to stage: 11,173,962 parameters with 64 on CIFAR-10.
    ``fields`` are those of :class:`ResNet`.
    """
    return ResNet(data, widths=tuple(width << stage for stage in range(4)), blocks=2, **fields)


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


@lru_cache(maxsize=8)
def _unbiased(sizes: tuple[tuple[int, int], ...], xp: ModuleType, dtype: Any) -> Array:
    """Return (Q,) factors that leave means and make variances unbiased, of so many channels and numbers in each of these."""
    factors = [np.repeat((1.0, count / max(1, count - 1)), channels) for channels, count in sizes]
    return xp.asarray(np.concatenate(factors), dtype=dtype)


def _widened(x: Array, channels: int) -> Array:
    """Return x with channels of zeros on both sides."""
    xp = array_namespace(x)
    aside = (channels - x.shape[-1]) // 2
    wide = xp.zeros((*x.shape[:-1], channels), dtype=x.dtype)
    wide[..., aside : aside + x.shape[-1]] = x
    return wide


def _conv_norm(
    conv: str,
    norm: str,
    p: Named,
    x: Array,
    stride: int,
    moments: Named,
    training: bool,
    kept: list,
    more: Array | None = None,
    rectify: bool = False,
) -> Array:
    """Convolve and normalise: by the batch in training, whose moments are written, else by the moments given."""
    weight = p[f"{conv}.weight"]
    y, kept_conv = (conv3x3 if weight.shape[-1] == 3 else conv1x1)(x, weight, stride)
    weight, bias = p[f"{norm}.weight"], p[f"{norm}.bias"]
    statistics = moments[f"{norm}.running_mean"], moments[f"{norm}.running_var"]
    if not training:
        return batch_norm_fixed(y, weight, bias, *statistics, more, rectify)
    y, _, _, kept_norm = batch_norm(y, weight, bias, more, rectify, statistics)
    kept.append((kept_conv, kept_norm))
    return y


def _conv_norm_back(
    conv: str, norm: str, dy: Array, kept: list, gradient: Named, y: Array | None = None, want_dx: bool = True
) -> Array:
    """Return dx, given dy and, where it was rectified, y; dy is masked then."""
    kept_conv, kept_norm = kept.pop()
    dy, gradient[f"{norm}.weight"][...], gradient[f"{norm}.bias"][...] = batch_norm_back(dy, kept_norm, y)
    weight = gradient[f"{conv}.weight"]
    if weight.shape[-1] == 1:
        dx, weight[...] = conv1x1_back(dy, kept_conv)
    else:
        dx, _ = conv3x3_back(dy, kept_conv, want_dx, weight)
    return dx
