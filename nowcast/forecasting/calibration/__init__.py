"""Calibrations: fitted on validation windows, stored in the checkpoint, applied to what a head says."""
