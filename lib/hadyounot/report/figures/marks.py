"""What several figures have in common: their tables, rows of methods, and what users and the paper look like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from ...rng import generator
from ...study import paths, store
from .. import style, tables

USERS = (
    Line2D([], [], marker="o", linestyle="", color=style.FAINT, markersize=3, label="one user"),
    Line2D([], [], marker="o", color=style.INK, markerfacecolor="white", linewidth=2.2, label="median, quartiles"),
)

HOLLOW = {"markersize": 6.5, "markerfacecolor": "none", "markeredgecolor": style.ACCENT, "markeredgewidth": 1}
"""How a number of the paper is marked."""


def table(name: str, folder: Path) -> pd.DataFrame:
    """A table of the run.

    Raises:
        StoreError: it is damaged, or not there.
    """
    path = Path(paths.TABLE.format(table=name))
    try:
        return store.read_csv(folder / path, tables.table(name).schema)
    except FileNotFoundError:
        raise store.StoreError(f"{folder / path} is not there; make it: snakemake {path}") from None


def of_users(axes: Axes, place: int, name: str, values: np.ndarray, color: str) -> float:
    """A row of dots, one for each user, jittered by ``name``; over it their quartiles and median, which is returned."""
    spread = generator(0, "jitter", name).uniform(-0.26, 0.26, len(values))
    axes.scatter(values, place + spread, s=8, color=color, alpha=0.5, linewidths=0, rasterized=True)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=style.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot(median, place, "o", color="white", markeredgecolor=style.INK, markersize=6, markeredgewidth=1.4)
    return float(median)


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """One horizontal row for each label, from the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color=style.BAND)
    axes.tick_params(axis="y", length=0)


def in_seconds(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic horizontal axis of these times, labelled as densely as there is room."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 30 * min(values) else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
