"""Losses between logits and what a head compares them with; cells outside the mask have neither weight nor gradient.

All are called as loss(logits, target, mask): logits (B, T, channels, H, W) before the sigmoid, target in [0, 1] of the
same shape – grey values, or whether a threshold was reached – (NaN allowed where the mask is False), and mask
(B, T, 1, H, W) bool. A batch without a valid cell has loss 0 and gradient 0. A loss that changes during the training
has an attribute `progress`, which the task sets to the part that is done, 0 to 1.
"""
