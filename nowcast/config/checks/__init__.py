"""Settings against the signatures and definitions of what they build, read from source without importing it."""
