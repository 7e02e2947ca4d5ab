"""The report of an evaluation: one HTML file that opens from disk, without any network."""
