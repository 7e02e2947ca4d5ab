"""Cells that are to be left out of training and scores: suspects of statistics or a user's choice ↔ CF netCDF files."""
