"""Readers of the formats in which weather services publish radar composites."""
