"""A text in Markdown as one HTML page that needs no other file and no network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nowcast.report.html.template import render

TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def text_page(markdown: str, title: str, folder: Path) -> str:
    """The HTML of a page.

    Args:
        markdown: CommonMark with tables; HTML in it is shown as text.
        title: Of the browser's window.
        folder: Where the PNG and SVG pictures lie that it names; they go into the page.

    Raises:
        FileNotFoundError: A picture is not there.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", _scrolled_open)
    parser.add_render_rule("table_close", _scrolled_close)
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                _inline(child, folder)
    return render("text.html.j2", title=title, body=parser.renderer.render(tokens, parser.options, {}))


def _scrolled_open(renderer: Any, tokens: Sequence[Token], *_: Any) -> str:  # noqa: ANN401 (the parser's)
    return '<div class="scroll"><table>\n'


def _scrolled_close(renderer: Any, tokens: Sequence[Token], *_: Any) -> str:  # noqa: ANN401
    return "</table></div>\n"


def _inline(image: Token, folder: Path) -> None:
    path = folder / str(image.attrs["src"])
    content = base64.b64encode(path.read_bytes()).decode()
    image.attrs["src"] = f"data:{TYPES[path.suffix]};base64,{content}"
