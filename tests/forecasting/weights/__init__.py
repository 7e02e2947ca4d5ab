"""Weights that are handed on."""
