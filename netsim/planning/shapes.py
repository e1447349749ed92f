"""Shapes of models, on which the sizes of messages depend."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path

from netsim.errors import NetsimError, hint

Tensors = Mapping[str, tuple[int, ...]]


def resnet20() -> dict[str, tuple[int, ...]]:
    """Return the tensors of ResNet-20 for CIFAR-10 with option-B shortcuts, 272,474 parameters, in the order of the model.

    He, Zhang, Ren, Sun 2016, section 4.2; a convolution is (out, in, height, width), so that a matrix is (out, the rest). Where the width changes, a
    1×1 convolution with a batch norm of its own is the shortcut. Batch norm's statistics are no parameters.
    """
    tensors: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, out: int, into: int, side: int) -> None:
        tensors[f"{name}.weight"] = (out, into, side, side)
        tensors[f"{norm}.weight"] = tensors[f"{norm}.bias"] = (out,)

    convolution("conv1", "bn1", 16, 3, 3)
    into = 16
    for stage, out in enumerate((16, 32, 64), 1):
        for block in range(3):
            at = f"layer{stage}.{block}"
            convolution(f"{at}.conv1", f"{at}.bn1", out, into, 3)
            convolution(f"{at}.conv2", f"{at}.bn2", out, out, 3)
            if into != out:
                convolution(f"{at}.shortcut.conv", f"{at}.shortcut.bn", out, into, 1)
            into = out
    return {**tensors, "fc.weight": (10, 64), "fc.bias": (10,)}


def lstm650() -> dict[str, tuple[int, ...]]:
    """Return the tensors of the WikiText-2 language model, 28,949,319 parameters: 3 LSTM layers of width 650 and 28,869 words.

    The embedding is tied to the decoder: they are one matrix; the decoder has a bias, each layer two bias vectors, as in PyTorch.
    """
    words, width, layers = 28_869, 650, 3
    tensors: dict[str, tuple[int, ...]] = {"embedding.weight": (words, width)}
    for layer in range(layers):
        for source in ("ih", "hh"):
            tensors[f"lstm.weight_{source}_l{layer}"] = (4 * width, width)
        for source in ("ih", "hh"):
            tensors[f"lstm.bias_{source}_l{layer}"] = (4 * width,)
    return {**tensors, "decoder.bias": (words,)}


MODELS = {"resnet20": resnet20, "lstm650": lstm650}


def parameters(tensors: Tensors) -> int:
    """Return how many numbers a model has."""
    return sum(map(prod, tensors.values()))


def load_shapes(source: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model by its name, ``"resnet20"`` or ``"lstm650"``, or from a JSON file, ``{"name": [sizes], …}`` in order.

    Raises
    ------
    NetsimError
        There is no such model or file, or it is not such an object; the message names the file and the tensor.
    """
    if source in MODELS:
        return MODELS[source]()
    if not source.endswith(".json"):
        raise NetsimError(f"--shapes {source}: no model of this name; {hint(source, [*MODELS, 'FILE.json'])}")
    try:
        pairs = json.loads(Path(source).read_text("utf-8"), object_pairs_hook=list)
    except FileNotFoundError:
        raise NetsimError(f"{source}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise NetsimError(f"{source}: no JSON ({error}); {_EXAMPLE}") from None
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, tuple) for pair in pairs):
        raise NetsimError(f"{source}: must be an object of one tensor or more; {_EXAMPLE}")
    tensors: dict[str, tuple[int, ...]] = {}
    for name, shape in pairs:
        if name in tensors:
            raise NetsimError(f"{source}: {name}: is there twice; give each tensor a name of its own")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 1 for size in shape):
            shown = json.dumps(
                dict(shape) if shape and isinstance(shape, list) and isinstance(shape[0], tuple) else shape
            )
            raise NetsimError(
                f"{source}: {name} = {shown}: a shape is a list of whole numbers, each at least 1; {_EXAMPLE}"
            )
        tensors[name] = tuple(shape)
    return tensors


_EXAMPLE = 'write for example {"fc.weight": [10, 64], "fc.bias": [10]}'
