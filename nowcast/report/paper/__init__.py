"""The report of the paper's experiments: its tables and figures out of finished runs."""
