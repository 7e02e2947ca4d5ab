"""Radar files → one archive; archives → frames of rain rate."""
