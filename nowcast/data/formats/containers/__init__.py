"""What several formats are packed in: GIF, HDF5, rasters, compression."""
