"""Every HTML page is made here, of a template that extends frame.html.j2."""

from typing import Any

import jinja2

from nowcast.report.plots import svg

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("nowcast.report", "html"), autoescape=True, undefined=jinja2.StrictUndefined
)


def render(template: str, **values: Any) -> str:  # noqa: ANN401 (what the template asks for)
    """A page in one file.

    Args:
        template: Its name.
        values: What stands in it; text is escaped.

    Raises:
        jinja2.UndefinedError: The template asks for something else.
    """
    return ENVIRONMENT.get_template(template).render(chart_style=svg.STYLE, **values)
