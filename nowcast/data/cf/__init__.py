"""One decoder of CF netCDF, for radar files and forecasts: fields, axes, times, values, grids, and places."""
