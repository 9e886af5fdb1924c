"""What several figures have in common: their tables, rows of methods, and what users and the paper look like."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter

from ...rng import generator
from ...study.methods import METHOD, in_order
from .. import style

USERS = (
    Line2D([], [], marker="o", linestyle="", color=style.FAINT, markersize=3, label="one user"),
    Line2D([], [], marker="o", color=style.INK, markerfacecolor="white", linewidth=2.2, label="median, quartiles"),
)

MARKERS = dict(zip((name for name in METHOD if METHOD[name].explains), cycle("Xvhsdo^D*8Pp")))
"""One for each method that names items, the same in every figure; none points to a side, where values are read."""

HOLLOW = {"markersize": 6.5, "markerfacecolor": "none", "markeredgecolor": style.ACCENT, "markeredgewidth": 1}
"""How a number of the paper is marked."""


def of_users(axes: Axes, place: int, name: str, values: np.ndarray, color: str) -> float:
    """A row of dots, one for each user, jittered by ``name``; over it their quartiles and median, which is returned."""
    spread = generator(0, "jitter", name).uniform(-0.26, 0.26, len(values))
    axes.scatter(values, place + spread, s=8, color=color, alpha=0.5, linewidths=0, rasterized=True)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=style.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot(median, place, "o", color="white", markeredgecolor=style.INK, markersize=4, markeredgewidth=1.2)
    return float(median)


def panels(count: int, height: float, xlabel: str) -> tuple[Figure, list[Axes]]:
    """Panels with shared axes, each ``height`` inches high; below each column ``xlabel``. Three are beside each other;
    four, where two rows of three, which are seen at once, are too few.
    """
    columns = min(count, 3 if count <= 6 else 4)
    size = style.PAGE, -(-count // columns) * height + 0.5
    figure, grid = plt.subplots(-(-count // columns), columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    for axes in grid.flat[:count]:
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[max(count - columns, 0) : count]:
        axes.set_xlabel(xlabel)
    return figure, list(grid.flat[:count])


def places(methods: Iterable[str]) -> dict[str, float]:
    """Where each method has its row in a panel, from the top: controls a little below all others."""
    named = [METHOD[name] for name in in_order(methods)]
    others = [method.name for method in named if method.role != "control"]
    controls = [method.name for method in named if method.role == "control"]
    found = {name: float(place) for place, name in enumerate(others)}
    return found | {name: place + 0.35 for place, name in enumerate(controls, start=len(others))}


def above(title: str) -> str:
    """What stands above the panel of a cell of this title: its dataset and its recommender are lines."""
    return title.replace(" × ", "\n")


def title(axes: Axes, text: str) -> None:
    """Write the title of a panel in lines that fit above it; what is in parentheses stays together."""
    width = 80 // axes.get_subplotspec().get_gridspec().ncols
    lines = [line if len(line) <= width else line.replace(" (", "\n(") for line in text.split("\n")]
    lines = [textwrap.fill(line, width, break_on_hyphens=False) for line in "\n".join(lines).split("\n")]
    axes.set_title("\n".join(lines))


def of_methods(axes: Axes, places: Mapping[str, float]) -> None:
    """The rows of ``places``, those of controls on a band."""
    bottom = max(places.values()) + 0.55
    controls = [place for name, place in places.items() if METHOD[name].role == "control"]
    if controls:
        axes.axhspan(min(controls) - 0.68, bottom, color=style.BAND, zorder=0)
    axes.set_yticks([*places.values()], [METHOD[name].label for name in places])
    axes.set_ylim(bottom, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.85", linewidth=0.6)


CONTROLS = Patch(color=style.BAND, label="controls")


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """One horizontal row for each label, from the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color=style.BAND)
    axes.tick_params(axis="y", length=0)


def in_seconds(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic horizontal axis of these times, labelled as densely as there is room: in narrow panels as numbers
    of seconds.
    """
    axes.set_xscale("log")
    span = max(values) / min(values)
    base = 10 if span < 1e4 else 100  # 100 µs, 10 ms, 1 s
    axes.xaxis.set_major_locator(LogLocator(base, (1, 2, 5) if span < 30 else (1,), numticks=99))
    narrow = axes.get_subplotspec().get_gridspec().ncols > 3
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}") if narrow else EngFormatter("s"))
    axes.xaxis.set_minor_locator(LogLocator(numticks=99))  # each power of ten, though few have room for a label
    axes.xaxis.set_minor_formatter(NullFormatter())
