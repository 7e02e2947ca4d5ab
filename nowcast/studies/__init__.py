"""Several runs or several forecasters: searches, summaries, benchmarks, evaluations, comparisons.

In: a config, and run folders or checkpoints. Out: tables, files and reports of them side by side.
"""
