"""HTML pages, each in one file.

In: statistics with their estimates (`page`), or Markdown with pictures (`text`). Out: a page of a template that extends
frame.html.j2, which `template` alone renders.
"""
