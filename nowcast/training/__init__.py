"""One run.

In: a config. Out: a run folder with best.ckpt, what was logged, where it came from, and its scores.
"""
