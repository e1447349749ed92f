"""Residual networks as PyTorch modules, one worker each, independent of our code."""

import torch
from torch import nn


class ChannelsOfZeros(nn.Module):
    """Shortcut A: every other pixel, the new channels zero on both sides."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.aside, self.stride = (outputs - inputs) // 2, stride

    def forward(self, x):
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.aside, self.aside))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            if shortcut == "B":
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )
            else:
                self.shortcut = ChannelsOfZeros(inputs, outputs, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, channels, classes, widths, blocks, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inputs = widths[0]
        for stage, outputs in enumerate(widths, 1):
            parts = []
            for k in range(blocks):
                parts.append(Block(inputs, outputs, 2 if stage > 1 and k == 0 else 1, shortcut))
                inputs = outputs
            setattr(self, f"layer{stage}", nn.Sequential(*parts))
        self.stages = len(widths)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.linear(x.mean(dim=(2, 3)))


def load(module, tensors, row):
    """Copy one model (P,) into a module whose tensors have the same names."""
    own, start = dict(module.named_parameters()), 0
    assert list(own) == list(tensors)
    with torch.no_grad():
        for name, parameter in own.items():
            assert tuple(parameter.shape) == tensors[name]
            parameter.copy_(torch.from_numpy(row[start : start + parameter.numel()].reshape(parameter.shape).copy()))
            start += parameter.numel()
    return module
