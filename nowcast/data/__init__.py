"""Radar data, and the only room that reads and writes scientific files.

In: files of weather services, or made rain. Out: archives, their windows as batches of rain rate, and files
of forecasts and scores.
"""
