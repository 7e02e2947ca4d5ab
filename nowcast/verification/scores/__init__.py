"""Verification scores: each family turns fields into sums, and sums of any windows into scores.

Sums are taken first, over cells, windows, batches and ranks, and ratios last; so that any split of the data gives the
same score, a bootstrap over blocks needs no forecast, and finished runs are compared without running a model again.
docs/verification.md lists formula, source and convention of every score.
"""
