"""Markdown as one HTML page that needs no other file and no network."""

import base64
import html
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 0 auto;
  padding: 1rem; }
h1, h2 { line-height: 1.2; }
img { max-width: 100%; height: auto; }
table { display: block; overflow-x: auto; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #d5d5d5; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #888; }
code { background: #f2f2f2; padding: 0 0.2em; overflow-wrap: anywhere; }
blockquote { margin: 1rem 0; padding: 0.1rem 1rem; border-left: 4px solid #d9502a; background: #fdf3ee; }
""".strip()


def page(markdown: str, title: str, folder: Path) -> str:
    """The HTML of a page.

    Args:
        markdown: CommonMark with tables; HTML in it is shown as text.
        title: Of the browser's window.
        folder: Where the PNG pictures lie that it names; they go into the page.

    Raises:
        FileNotFoundError: A picture is not there.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                _inline(child, folder)
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _inline(image: Token, folder: Path) -> None:
    content = base64.b64encode((folder / str(image.attrs["src"])).read_bytes()).decode()
    image.attrs["src"] = f"data:image/png;base64,{content}"
