"""Train neural networks that predict the next hours of rain from radar echoes."""

__version__ = "0.1.0"
