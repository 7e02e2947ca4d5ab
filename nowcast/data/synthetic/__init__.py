"""Made rain, where there is no radar."""
