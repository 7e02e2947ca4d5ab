"""Files that come out: forecasts, scores and statistics, written and read."""
