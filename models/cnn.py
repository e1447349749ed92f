"""A small convolutional network for laptops."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Len

from netsim.models.draws import generator
from netsim.models.fields import Width
from netsim.models.image_bytes import Convolution
from netsim.models.images import ImageTask
from netsim.models.layers.conv import conv3x3, conv3x3_back
from netsim.models.layers.linear import linear, linear_back
from netsim.models.layers.pool import average_pool, average_pool_back
from netsim.models.layers.relu import relu, relu_back

Array = Any
Named = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class CNN(ImageTask):
    """3x3 convolutions with bias, each followed by ReLU and 2x2 average pooling; then one linear layer.

    It has no batch norm, so nothing but the model has to be kept or averaged. Weights start normal with variance
    2 / fan-in (He et al. 2015; the last layer's 1 / fan-in), biases at 0.

    Parameters
    ----------
    channels
        Of each convolution; every one halves the image.
    data, batch, partition, alpha, reshuffle, partial, augment, chunk, samples
        As in :class:`netsim.models.images.ImageTask`.

    Raises
    ------
    ValueError
        A field is out of range, or the images cannot be halved so often.
    """

    channels: Annotated[tuple[Width, ...], Len(1, 10)] = (16, 32)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or any(not isinstance(width, int) or width < 1 for width in self.channels):
            raise ValueError(f"channels = {self.channels}: write those of each convolution, such as (16, 32)")
        side = self.image_shape[1]
        if side % 2 ** len(self.channels):
            raise ValueError(
                f"channels = {self.channels}: images of {side}x{side} cannot be halved {len(self.channels)} times"
            )

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}: conv1.weight (out, in, 3, 3), conv1.bias (out,), …, linear.weight, linear.bias."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = self.image_shape[0]
        for k, outputs in enumerate(self.channels, 1):
            shapes |= {f"conv{k}.weight": (outputs, inputs, 3, 3), f"conv{k}.bias": (outputs,)}
            inputs = outputs
        features, classes = inputs * (self.image_shape[1] >> len(self.channels)) ** 2, self.data.classes
        return shapes | {"linear.weight": (classes, features), "linear.bias": (classes,)}

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """None: an empty dictionary."""
        return {}

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model of a seed."""
        random, parts = generator(seed, "initial"), []
        for name, shape in self.tensors.items():
            gain = 1.0 if name.startswith("linear") else 2.0
            spread = 0.0 if name.endswith("bias") else math.sqrt(gain / math.prod(shape[1:]))
            parts.append(spread * random.standard_normal(math.prod(shape)))
        return np.concatenate(parts)

    def forward(self, p: Named, x: Array, running: Array, training: bool) -> tuple[Array, list]:
        """As :meth:`netsim.models.images.ImageTask.forward`."""
        kept: list = []
        for k in range(1, len(self.channels) + 1):
            y, kept_conv = conv3x3(x, p[f"conv{k}.weight"])
            y += p[f"conv{k}.bias"][:, None, None, None]
            kept.append((kept_conv, relu(y)))
            x = average_pool(y, 2)
        logits, kept_linear = linear(x.reshape(*x.shape[:2], -1), p["linear.weight"], p["linear.bias"])
        kept.append((kept_linear, x.shape))
        return logits, kept

    def backward(self, dlogits: Array, kept: list, gradient: Named) -> None:
        """As :meth:`netsim.models.images.ImageTask.backward`."""
        kept_linear, shape = kept.pop()
        dx, gradient["linear.weight"][...], gradient["linear.bias"][...] = linear_back(dlogits, kept_linear)
        dx = dx.reshape(shape)
        for k in range(len(self.channels), 0, -1):
            kept_conv, y = kept.pop()
            dy = relu_back(average_pool_back(dx, 2), y)
            gradient[f"conv{k}.bias"][...] = dy.sum(axis=(1, 2, 3))
            dx, _ = conv3x3_back(dy, kept_conv, k > 1, gradient[f"conv{k}.weight"])

    @property
    def kept_numbers(self) -> int:
        """Per convolution its output, and a quarter of it pooled."""
        pixels = self.image_shape[1] ** 2
        return sum(5 * width * pixels // 4 ** (k + 1) for k, width in enumerate(self.channels))

    @property
    def convolutions(self) -> list[Convolution]:
        """As :attr:`netsim.models.images.ImageTask.convolutions`."""
        inputs = (self.image_shape[0], *self.channels)
        side = self.image_shape[1]
        return [Convolution(inputs[k], outputs, side >> k) for k, outputs in enumerate(self.channels)]

    def arrays(self, training: bool) -> tuple[dict[int, int], int]:
        """As :meth:`netsim.models.images.ImageTask.arrays`.

        Every convolution's output is kept, and there is a derivative of its input. What is pooled is NumPy's, and so
        are derivatives of two outputs, or of one and of the linear layer's input.
        """
        sizes = [one.size for one in self.convolutions]
        found, pooled = Counter(sizes), sum(sizes) // 4
        if not training:
            return dict(found), pooled
        found.update(size // 4 for size in sizes[:-1])
        return dict(found), pooled + max(
            5 * a // 4 + b for a, b in zip(sizes, [*sizes[1:], sizes[-1] // 4], strict=True)
        )
