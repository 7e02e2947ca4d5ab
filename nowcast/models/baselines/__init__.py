"""Baselines, which are not trained: rain rate → rain rate, or probabilities."""
