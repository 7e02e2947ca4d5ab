"""The colours of pictures."""

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from nowcast.report.plots.colours import RAIN_LEVELS, ProbabilityColours, rain_colormap


def rgb(colour):
    return tuple(round(255 * part) for part in to_rgb(colour))


def rain_table(colour_blind_safe):
    """The colours of rain, without those of dry cells and of no data."""
    colours, classes = rain_colormap(colour_blind_safe)
    return {rgb(colours(classes(level))) for level in RAIN_LEVELS}


def colours_of(path):
    """Every colour of a picture, as red, green and blue from 0 to 255."""
    with Image.open(path) as picture:
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def assert_has_colours_of_rain(path, colour_blind_safe):
    """All of the table, in the picture or its legend, and none of the other table."""
    found = colours_of(path)
    assert rain_table(colour_blind_safe) <= found
    assert not (rain_table(not colour_blind_safe) - rain_table(colour_blind_safe)) & found


def share(picture, colour):
    """Share of a picture's pixels that have exactly this colour."""
    return float((np.asarray(picture.convert("RGB")) == rgb(colour)).all(axis=-1).mean())


def probability_colour(value):
    """Of maps of probability, as it is in a picture."""
    colormap, norm = ProbabilityColours().table
    return [part / 255 for part in colormap(norm(value), bytes=True)[:3]]
