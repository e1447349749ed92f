"""The same networks as a loop over n PyTorch modules, independent of our code."""

from itertools import pairwise

import numpy as np


def gradients(
    x: np.ndarray, widths: tuple[int, ...], images: np.ndarray, labels: np.ndarray, l2: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) losses and (n, P) gradients of n modules; x (n, P), images (n, batch, features), labels (n, batch)."""
    import torch

    losses, rows = [], []
    for model, pictures, truth in zip(x, images, labels, strict=True):
        linear, start = [], 0
        for inputs, outputs in pairwise(widths):
            layer = torch.nn.Linear(inputs, outputs, dtype=torch.float64)
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(model[start:middle].reshape(inputs, outputs).T.copy()))
                layer.bias.copy_(torch.from_numpy(model[middle:end].copy()))
            linear.append(layer)
            start = end
        with_relu = [part for layer in linear for part in (layer, torch.nn.ReLU())][:-1]
        out = torch.nn.Sequential(*with_relu)(torch.from_numpy(pictures))
        norm = sum((parameter**2).sum() for layer in linear for parameter in layer.parameters())
        loss = torch.nn.functional.cross_entropy(out, torch.from_numpy(truth)) + l2 / 2 * norm
        loss.backward()
        losses.append(loss.item())
        parts = [part for layer in linear for part in (layer.weight.grad.numpy().T.ravel(), layer.bias.grad.numpy())]
        rows.append(np.concatenate(parts))
    return np.array(losses), np.array(rows)
