"""Figure 8: the surrogates' training rows in the plane."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import EFFECT
from .. import style

DIVERGING = LinearSegmentedColormap.from_list("effect", [style.HEADER, "0.85", style.ACCENT])
"""Its ends differ in grey, too."""


def projection(points: pd.DataFrame, separability: pd.DataFrame, perplexity: float, title: str = "") -> Figure:
    """Training rows of the surrogates, coloured by Δŷ_reg, and how well probes tell them apart.

    Args:
        points: schema ``schemas.PROJECTION``. Colours end at the 95th percentile of what the effects are without sign.
        separability: schema ``schemas.SEPARABILITY`` of the same rows, of one dataset and model.
        perplexity: of the t-SNE.
        title: which dataset and model.
    """
    style.use()
    figure, (plane, r2, auc) = plt.subplots(1, 3, figsize=(style.PAGE, 4.2), width_ratios=[2.6, 1, 1])
    points = points.sort_values("effect", key=abs)  # the many without an effect do not hide the others
    end = np.quantile(points["effect"].abs(), 0.95)
    colors = {"c": points["effect"], "cmap": DIVERGING, "vmin": -end, "vmax": end}
    drawn = plane.scatter(points["x"], points["y"], s=10, **colors, linewidths=0, rasterized=True)
    bar = figure.colorbar(
        drawn,
        ax=plane,
        extend="both",
        location="bottom",
        shrink=0.7,
        pad=0.02,
        label=EFFECT,
        ticks=MaxNLocator(5),
    )
    bar.ax.axvline(0, color=style.INK, linewidth=1)
    plane.set(xticks=[], yticks=[], aspect="equal", xlabel="t-SNE 1", ylabel="t-SNE 2")
    users = points["user"].nunique()
    plane.set_title(f"{len(points):,} training rows of {users} users, perplexity {perplexity:g}")
    for axes, name, label, floor in (
        (r2, "r2", "R², held-out users\n(95 % interval)", 0),
        (auc, "auc", "AUC: effect above\nits median", 0.5),
    ):
        values, low, high = (separability.set_index("probe")[f"{name}{end}"] for end in ("", "_low", "_high"))
        axes.axhline(floor, color=style.FAINT, linewidth=0.8, linestyle=":")
        axes.errorbar(range(len(values)), values, (values - low, high - values), fmt="o", color=style.INK, markersize=5)
        for place, value in enumerate(values):
            said = f"{value:.2f}".replace("-", "−")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.annotate(said, (place, value), (6, 0), textcoords="offset points", va="center", bbox=box)
        axes.set_xticks(range(len(values)), values.index)
        axes.set(xlim=(-0.6, len(values) - 0.1), ylim=(min(floor, low.min()) - 0.1, max(floor, high.max()) + 0.1))
        axes.set_title(label)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    (cell,) = cells
    perplexity = study.projection.perplexity
    return projection(cell.read(paths.PROJECTION), cell.read(paths.SEPARABILITY), perplexity, cell.title)


FIGURES = {"figure8_tsne": _drawn}
