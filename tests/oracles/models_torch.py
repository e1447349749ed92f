"""The same networks as a loop over n PyTorch modules: slow, and nobody's copy of ours."""

from itertools import pairwise
from typing import Any

import numpy as np


def gradients(
    x: np.ndarray, widths: tuple[int, ...], images: np.ndarray, labels: np.ndarray, l2: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) losses and (n, P) gradients of n modules; x (n, P), images (n, batch, features), labels (n, batch)."""
    import torch

    losses, rows = [], []
    for model, pictures, truth in zip(x, images, labels, strict=True):
        layers: list[Any] = []
        for inputs, outputs in pairwise(widths):
            layers += [torch.nn.Linear(inputs, outputs, dtype=torch.float64), torch.nn.ReLU()]
        module = torch.nn.Sequential(*layers[:-1])
        start = 0
        with torch.no_grad():
            for layer in layers[::2]:
                for parameter, transposed in ((layer.weight, True), (layer.bias, False)):
                    values = torch.from_numpy(model[start : start + parameter.numel()].copy())
                    parameter.copy_(values.reshape(parameter.shape[::-1]).T if transposed else values)
                    start += parameter.numel()
        parameters = [p for layer in layers[::2] for p in (layer.weight, layer.bias)]
        loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(pictures)), torch.from_numpy(truth))
        loss = loss + l2 / 2 * sum((p**2).sum() for p in parameters)
        loss.backward()
        losses.append(loss.item())
        rows.append(np.concatenate([p.grad.T.numpy().ravel() for p in parameters]))
    return np.array(losses), np.array(rows)
