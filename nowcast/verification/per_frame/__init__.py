"""Scores of single frames, averaged as papers average them."""
