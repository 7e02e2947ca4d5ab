"""Networks, and the baselines that they must beat; they know only torch.

In: input frames and a number of steps. Out: a network's logits, or a baseline's rain rate.
"""
