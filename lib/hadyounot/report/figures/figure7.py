"""Figure 7: measures of item sets beside really deleting them."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from ...compare.statistics import median_user
from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import MEASURES
from .. import style
from . import marks

IDENTITY = {"color": style.FAINT, "linestyle": ":", "linewidth": 1, "zorder": 0}


def baseline_correlation(
    measured: pd.DataFrame, correlations: pd.DataFrame, paper: Mapping[str, float], title: str = ""
) -> Figure:
    """Measures of item sets against the real decrease for one user, and below the Pearson correlation of every user.
    The one is ``statistics.median_user``. What is not known is left out. Measures in stars share one range.

    Args:
        measured: schema ``schemas.MEASURED``, of that user at least.
        correlations: schema ``schemas.CORRELATION`` of the same sets, of one dataset and model.
        paper: the paper's Pearson correlation by measure, of one user; empty where it has none.
        title: which dataset and model.
    """
    style.use()
    known = [method for method in MEASURES if measured[method.measure].notna().any()]
    user, measure = median_user(correlations)
    by = next(method for method in MEASURES if method.measure == measure)
    sets = measured[measured["user"] == user]
    of_user = correlations[correlations["user"] == user].set_index("measure")
    shown = [method for method in known if method.panel]
    panels = [method.measure for method in shown]
    figure, grid = plt.subplot_mosaic(
        [panels, ["users"] * len(panels)],
        figsize=(style.PAGE, 2.6 + 0.3 * len(known)),
        height_ratios=[2, 0.34 * len(known)],
    )
    in_stars = [method.measure for method in shown if method.in_stars]
    low, high = sets[in_stars].min(axis=None), sets[in_stars].max(axis=None)
    margin = 0.05 * (high - low) or 0.1
    for method in shown:
        axes = grid[method.measure]
        axes.scatter(
            sets[method.measure],
            sets["score_decrease"],
            s=7,
            color=method.color,
            alpha=0.45,
            linewidths=0,
            rasterized=True,
        )
        row = of_user.loc[method.measure]
        r = f"r = {row['pearson']:.2f}\n[{row['pearson_low']:.2f}, {row['pearson_high']:.2f}]"
        median = correlations.loc[correlations["measure"] == method.measure, "pearson"].median()
        told = ("constant\n" if pd.isna(row["pearson"]) else r) + f"\nall: median {median:.2f}"
        axes.set_title(told.replace("-", "−"), fontsize=7.5)
        axes.set_xlabel(f"{method.panel}\nsd {sets[method.measure].std():.2g}" + " stars" * method.in_stars)
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.4g}"))
        if method.baseline == "influence":  # that of the others is of Δŷ_reg, which is no decrease of the score
            axes.axline((0, 0), slope=1, **IDENTITY)
            axes.annotate("decrease\n= influence", (0.04, 0.97), xycoords="axes fraction", va="top", fontsize=7)
        if method.measure in in_stars:
            axes.set_xlim(low - margin, high + margin)
        elif sets[method.measure].nunique() == 1:  # around one value ticks lie too close for their labels
            axes.set_xticks(sets[method.measure].iloc[:1])
        else:  # long labels fit at the outermost two
            left, right = axes.get_xlim()
            ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
            axes.set_xticks(ticks[:: max(len(ticks) - 1, 1)])
        axes.locator_params(axis="y", nbins=4)
        if method is not shown[0]:
            axes.sharey(grid[panels[0]])
            axes.tick_params(labelleft=False)
    grid[panels[0]].set_ylabel("real score decrease\n(stars)")
    label = by.measure_label[0].lower() + by.measure_label[1:]
    told = (
        f"{len(sets)} item sets of one test user, who has the median r of the {label}. Panels in stars share one range."
    )
    figure.suptitle(f"{title}\n{told}".strip(), x=0.01, ha="left", fontsize="medium")

    axes = grid["users"]
    for place, method in enumerate(known):
        values = correlations.loc[correlations["measure"] == method.measure, "pearson"].dropna().to_numpy()
        if method.measure in paper:
            axes.plot(paper[method.measure], place, "D", **marks.HOLLOW)
        if len(values):
            marks.of_users(axes, place, method.measure, values, method.color)
        else:
            axes.annotate("constant for every user", (0.01, place), color=style.FAINT, va="center")
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xlim=(-1.03, 1.03), xlabel="Pearson correlation with the real score decrease")
    axes.set_title(f"all {correlations['user'].nunique()} users")
    marks.rows(axes, [method.measure_label for method in known])
    handles = [
        *marks.USERS,
        *([Line2D([], [], marker="D", linestyle="", **marks.HOLLOW, label="paper, one user")] if paper else []),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    (cell,) = cells
    paper = study.published.correlations(cell.kind, study.original(cell.dataset))
    return baseline_correlation(cell.read(paths.MEASURED), cell.read(paths.CORRELATION), paper, cell.title)


FIGURES = {"figure7_baseline_correlation": _drawn}
