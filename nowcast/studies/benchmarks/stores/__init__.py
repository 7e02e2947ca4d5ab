"""How fast windows come for training out of Zarr stores, near and far."""
