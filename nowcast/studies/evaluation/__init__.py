"""Several forecasters scored on the same windows: the networks of checkpoints, baselines, and forecasts from files."""
