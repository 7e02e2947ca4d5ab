"""Zarr stores, in a folder or at an address, as archives like those of netCDF."""
