"""Scores of single frames, averaged as papers average them.

In: frames of grey values or rain. Out: means by lead time and over all, as `VariantScores`.
"""
