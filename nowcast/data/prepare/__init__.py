"""Provider files → an archive: one netCDF file, or a Zarr store made shard by shard."""
