"""Text laid out before it is known how high its figure is."""

import textwrap
import warnings
from bisect import bisect_left
from functools import cache
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font, weight_dict
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextPath

from .. import style


def written(text: str, weight: str | None = None) -> tuple[str, list[str], set[str]]:
    """The text, with a box for each character that no installed font has; fonts to write it in; those characters."""
    families = [style.FAMILY]
    missing = {each for each in text if not each.isspace()} - _characters(style.FAMILY, weight)
    while missing:
        family = _best_font(frozenset(missing), weight)
        if not missing & _characters(family, weight):
            break
        families.append(family)
        missing -= _characters(family, weight)
    return "".join("□" if each in missing else each for each in text), families, missing


class Card:
    """Text laid out from the top, in points, before the height of the figure is known."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.texts: list[tuple[float, float, str, dict]] = []
        self.unwritable: set[str] = set()
        self.boxes: list[tuple[float, float, float, float]] = []

    def text(self, x: float, y: float, text: str, width: float, size: float, bullet: str = "", **font: str) -> float:
        """Put ``text`` with its first baseline at y, in two lines at most, and ``bullet`` left of it.

        Returns:
            the baseline of the line that would follow.
        """
        text, families, missing = written(text, font.get("weight"))
        self.unwritable |= missing
        options = {"fontsize": size, "color": style.INK, "family": families} | font
        if bullet:
            self.texts.append((x - 6, y, bullet, options | {"ha": "right"}))
        for line in _wrapped(text, width, FontProperties(family=families, size=size, weight=font.get("weight"))):
            self.texts.append((x, y, line, options))
            y += 1.35 * size
        return y

    def ranked(self, x: float, y: float, width: float, rank: int, title: str, highlight: bool) -> float:
        """Put a rank and a title; the next baseline is returned."""
        font = {"weight": "bold"} if highlight else {}
        end = self.text(x + 32, y, title, width - 36, 8, bullet=str(rank), **font)
        if highlight:
            self.boxes.append((x + 1, y - 9, width - 2, end - y + 1))
        return end + 2

    def draw(self, header: float, rules: list[float], bottom: float) -> Figure:
        """The figure: a dark header of that height, lines across at ``rules``.

        Warns:
            UserWarning: no installed font has some of the characters.
        """
        if self.unwritable:
            warnings.warn(
                f"the card has boxes for {''.join(sorted(self.unwritable))}, which no installed font has: install one,"
                f" Noto Sans CJK say, and remove {Path(matplotlib.get_cachedir(), 'fontlist-*.json')}",
                stacklevel=3,
            )
        height = bottom + 4
        figure = plt.figure(figsize=(self.width / 72, height / 72))
        figure.set_layout_engine("none")
        axes: Axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(height, 0))
        axes.axis("off")
        axes.axhspan(0, header, color=style.HEADER)
        axes.hlines(rules, 18, self.width - 18, color="0.85", linewidth=0.8)
        for x, y, width, tall in self.boxes:
            axes.add_patch(
                FancyBboxPatch((x, y), width, tall, boxstyle="round,pad=0,rounding_size=3", color=style.HIGHLIGHT)
            )
        for x, y, text, options in self.texts:
            axes.text(x, y, text, va="baseline", parse_math=False, **options)  # titles may hold dollar signs
        return figure


@cache
def _characters(family: str, weight: str | None) -> frozenset[str]:
    """What the font can write in its upright face of about this weight."""
    heavy = weight_dict[weight or "normal"]
    faces = [font for font in fontManager.ttflist if font.name == family]
    face = min(faces, key=lambda font: (font.style != "normal", abs(weight_dict.get(font.weight, font.weight) - heavy)))
    return frozenset(map(chr, get_font(face.fname).get_charmap()))


@cache
def _best_font(wanted: frozenset[str], weight: str | None) -> str:
    """The installed font that can write most of the characters: of equals, the first by name."""
    # the last resort comes with matplotlib and has a box for everything
    names = sorted({font.name for font in fontManager.ttflist if not font.name.startswith("Last Resort")})
    return max(names, key=lambda name: len(wanted & _characters(name, weight)))


def _wrapped(text: str, width: float, font: FontProperties) -> list[str]:
    """``text`` in one or two lines of at most ``width`` points, cut with an ellipsis where that is not enough."""
    text = " ".join(text.split())

    def lines(characters: int) -> list[str]:
        return textwrap.wrap(text, characters, max_lines=2, placeholder=" …")

    def too_wide(characters: int) -> bool:
        paths = (TextPath((0, 0), line.replace("$", r"\$"), prop=font) for line in lines(characters))
        return any(path.vertices[:, 0].max() > width for path in paths)

    fitting = bisect_left(range(2, len(text) + 1), True, key=too_wide) + 1
    return lines(fitting) if fitting > 1 else [text]
