"""Layers as plain sums in NumPy, of single samples (C, H, W), to compare networks with."""

import numpy as np


def numbers(layer):
    """Weight and bias (0 where there is none) of a layer."""
    weight = layer.weight.detach().numpy()
    return weight, np.zeros(1) if layer.bias is None else layer.bias.detach().numpy()


def convolved(values, layer):
    """A convolution with stride and zeros around, by a loop over the cells of its kernel."""
    weight, bias = numbers(layer)
    (height, width), step, around = weight.shape[2:], layer.stride[0], layer.padding[0]
    padded = np.pad(values, ((0, 0), (around, around), (around, around)))
    rows, columns = ((padded.shape[axis] - side) // step + 1 for axis, side in ((1, height), (2, width)))
    result = bias[:, None, None] + np.zeros((len(weight), rows, columns))
    for i in range(height):
        for j in range(width):
            seen = padded[:, i : i + step * rows : step, j : j + step * columns : step][:, :rows, :columns]
            result += np.einsum("oi,ihw->ohw", weight[:, :, i, j], seen)
    return result


def spread(values, layer):
    """A transposed convolution: each cell adds its kernel to the larger grid."""
    weight, bias = numbers(layer)
    (height, width), step, around = weight.shape[2:], layer.stride[0], layer.padding[0]
    _, rows, columns = values.shape
    full = np.zeros((weight.shape[1], step * (rows - 1) + height, step * (columns - 1) + width))
    for row in range(rows):
        for column in range(columns):
            kernel = np.einsum("i,iohw->ohw", values[:, row, column], weight)
            full[:, step * row : step * row + height, step * column : step * column + width] += kernel
    inside = full[:, around : full.shape[1] - around, around : full.shape[2] - around]
    return inside + bias[:, None, None]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def leaky(values, slope=0.2):
    return np.where(values > 0, values, slope * values)
