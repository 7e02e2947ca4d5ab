"""Everything that people read.

In: scores, sums and estimates of verification; forecasts; finished runs. Out: tables on the terminal, CSV files,
pictures, and pages of HTML that open from disk without any network. Nothing here counts.
"""
