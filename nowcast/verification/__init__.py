"""How good forecasts are.

In: forecasters, and windows of observations. Out: sums by group of windows, and from sums scores with their intervals.
"""
