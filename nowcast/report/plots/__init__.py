"""Pictures in files of their own.

In: fields of rain rate, and scores by lead time. Out: PNG and GIF of maps and digits, and SVG of curves, which
pages show, too.
"""
