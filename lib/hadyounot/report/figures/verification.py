"""What validity costs: every method of a cell, and proven explanations by the models that they may retrain."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from statsmodels.stats.proportion import proportion_confint

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, in_order
from .. import style
from . import marks


def validity_against_seconds(
    tested: pd.DataFrame, times: pd.DataFrame, proven: pd.DataFrame, title: str = ""
) -> Figure:
    """Validity of every method against the time of one explanation, a panel for each K, on the users of ``proven``.

    Args:
        tested: schema ``schemas.EVALUATION``.
        times: schema ``schemas.GENERATION_TIME``.
        proven: one cell's rows of schema ``schemas.VERIFICATION``.
        title: which dataset and model.
    """
    style.use()
    sized = proven[proven["size"].notna()]
    levels = sorted(sized["top_k"].unique())
    users = sized["user"].unique()
    tested, times = (frame[frame["user"].isin(users)] for frame in (tested, times))
    medians = times.groupby("method")["seconds"].median()
    methods = [name for name in in_order(medians.index) if not METHOD[name].proves]
    figure, panels = plt.subplots(1, len(levels), figsize=(style.PAGE, 3.6), sharex=True, squeeze=False)
    spent = sized.groupby(["top_k", "budget"]).agg(seconds=("seconds", "median"), valid=("valid", "mean"))
    ours = METHOD["verified"]
    for axes, k in zip(panels[0], levels, strict=True):
        shares = tested[tested["user"].isin(sized.loc[sized["top_k"] == k, "user"])]
        shares = (shares["rank_after"] > k).groupby(shares["method"]).mean()
        axes.axhline(shares["oracle"], color=style.FAINT, linewidth=1.2, linestyle="--")
        for number, name in enumerate(methods):
            look = {"color": METHOD[name].color, "markeredgecolor": "white", "markeredgewidth": 0.5}
            look["markersize"] = 7 - 0.2 * number  # of equals the later ones are smaller, so that all are seen
            axes.plot(medians[name], shares[name], marks.MARKERS[name], **look, clip_on=False, zorder=3)
        curve = spent.loc[k]
        line = {"marker": marks.MARKERS[ours.name], "markersize": 6, "color": ours.color}
        axes.plot(curve["seconds"], curve["valid"], **line, clip_on=False, zorder=4)
        first, last = curve.iloc[0], curve.iloc[-1]
        if last["seconds"] < 1.2 * first["seconds"] and last["valid"] == first["valid"]:  # one mark on the other
            told = [(f"{curve.index[0]} to {curve.index[-1]}", last, 5)]
        else:
            told = [(curve.index[0], first, -11), (curve.index[-1], last, 5)]
        for models, (seconds, valid), up in told:
            said = {"xytext": (4, up), "textcoords": "offset points", "ha": "right", "fontsize": 7}
            axes.annotate(f"≤ {models} models", (seconds, valid), **said)
        axes.set_title(f"K = {k}")
        most = max(shares.max(), last["valid"]) or 1
        axes.set_ylim(-0.04 * most, 1.12 * most)
        axes.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        axes.grid(axis="y", color=style.BAND)
        marks.in_seconds(axes, [*medians[methods], *spent["seconds"]])
    panels[0, len(levels) // 2].set_xlabel("median wall time of one explanation")
    panels[0, 0].set_ylabel("validity (% of users)")
    low, high = proportion_confint(len(users) // 2, len(users), method="wilson")
    told = f"{len(users)} users, 95 % intervals up to ± {50 * (high - low):.0f} points; each K has its own scale"
    figure.suptitle(f"{title}\n{told}".strip(), x=0.01, ha="left", fontsize="medium")
    handles = [
        Line2D([], [], linestyle="", marker=marks.MARKERS[name], color=METHOD[name].color, label=METHOD[name].label)
        for name in methods
    ]
    handles.append(Line2D([], [], **line, label=ours.label))
    handles.append(Line2D([], [], color=style.FAINT, linestyle="--", label=METHOD["oracle"].label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    (cell,) = cells
    read = (cell.read(pattern) for pattern in (paths.EVALUATION, paths.GENERATION_TIME, paths.VERIFICATION))
    return validity_against_seconds(*read, cell.title)


FIGURES = {"validity_against_seconds": _drawn}
