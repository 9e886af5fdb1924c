"""Figure 8: the surrogates' training rows in the plane."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import EFFECT
from .. import style


def projection(points: pd.DataFrame, separability: pd.DataFrame, perplexity: float, title: str = "") -> Figure:
    """Training rows of the surrogates, coloured by Δŷ_reg, and how well probes tell them apart.

    Args:
        points: schema ``schemas.PROJECTION``. Colours end at the 5th and 95th percentile of the effects.
        separability: schema ``schemas.SEPARABILITY`` of the same rows, of one dataset and model.
        perplexity: of the t-SNE.
        title: which dataset and model.
    """
    style.use()
    figure, (plane, r2, auc) = plt.subplots(1, 3, figsize=(style.PAGE, 3.9), width_ratios=[3.4, 1, 1])
    low, high = np.quantile(points["effect"], [0.05, 0.95])
    colors = {"c": points["effect"], "cmap": "cividis", "vmin": low, "vmax": high}
    drawn = plane.scatter(points["x"], points["y"], s=6, **colors, linewidths=0, rasterized=True)
    figure.colorbar(
        drawn,
        ax=plane,
        extend="both",
        location="bottom",
        shrink=0.7,
        pad=0.02,
        label=EFFECT,
        ticks=MaxNLocator(5),
    )
    plane.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim", xlabel="t-SNE 1", ylabel="t-SNE 2")
    users = points["user"].nunique()
    plane.set_title(f"{len(points):,} training rows of {users} users, perplexity {perplexity:g}")
    for axes, name, label, floor in ((r2, "r2", "R² of probes", 0), (auc, "auc", "AUC of probes", 0.5)):
        values, low, high = (separability.set_index("probe")[f"{name}{end}"] for end in ("", "_low", "_high"))
        axes.axhline(floor, color=style.FAINT, linewidth=0.8, linestyle=":")
        axes.errorbar(range(len(values)), values, (values - low, high - values), fmt="o", color=style.INK, markersize=5)
        for place, (value, top) in enumerate(zip(values, high, strict=True)):
            axes.annotate(
                f"{value:.2f}".replace("-", "−"),
                (place, top),
                (0, 5),
                textcoords="offset points",
                ha="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
            )
        axes.set_xticks(range(len(values)), values.index)
        axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(min(floor, low.min()) - 0.08, 1.08))
        axes.set_title(f"{label},\nheld out, 95 %")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    (cell,) = cells
    perplexity = study.projection.perplexity
    return projection(cell.read(paths.PROJECTION), cell.read(paths.SEPARABILITY), perplexity, cell.title)


FIGURES = {"figure8_tsne": _drawn}
