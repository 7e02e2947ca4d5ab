"""The report of the paper's experiments.

In: finished runs, and the paper's printed numbers. Out: its tables and figures beside ours, as Markdown and SVG.
"""
