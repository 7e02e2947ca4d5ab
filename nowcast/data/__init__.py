"""Radar data: archives, windows, readers of provider formats and synthetic echoes."""
