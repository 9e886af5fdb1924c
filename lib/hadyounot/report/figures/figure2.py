"""Figure 2: what people say, as published, and as they told us."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD
from .. import style, tables
from . import marks

PUBLISHED = "The paper's user study: satisfaction, 1 to 5 (published numbers)"


def user_ratings(table: pd.DataFrame, title: str) -> Figure:
    """Satisfaction with traditional and counterfactual explanations, mean ± standard deviation.

    The text prints no numbers for the paper's Figure 2, so the methods of Table 1 stand in two groups by their
    wording, with the mean of each group's means.

    Args:
        table: schema ``schemas.TABLE1``; or ``schemas.TABLE1_ANSWERS``, then with the paper's means beside.
        title: of the figure.
    """
    style.use()
    counterfactual = table["method"].map(lambda name: METHOD[name].counterfactual)
    groups = (
        ("traditional: “because you watched …”", table[~counterfactual], {"markerfacecolor": "white", "marker": "s"}),
        ("counterfactual: “have you not watched …”", table[counterfactual], {"marker": "o"}),
    )
    figure, axes = plt.subplots(figsize=(style.PAGE, 2.4))
    labels, handles = [], []
    for name, members, look in groups:
        first = len(labels)
        for place, row in enumerate(members.itertuples(), start=first):
            method = METHOD[row.method]
            ends = [row.mean - row.sd, row.mean + row.sd]
            axes.plot(ends, [place, place], color=method.color, linewidth=1.3, solid_capstyle="butt")
            axes.plot(row.mean, place, linestyle="", color=method.color, markersize=6, **look)
            axes.annotate(
                f"{row.mean:.3f} ± {row.sd:.2f}", (1.02, place), xycoords=("axes fraction", "data"), va="center"
            )
            labels.append(method.label)
        if "paper_mean" in table:
            axes.plot(members["paper_mean"], range(first, len(labels)), linestyle="", marker="D", **marks.HOLLOW)
        top, mean = first - 0.4, members["mean"].mean()
        axes.vlines(mean, top, len(labels) - 0.65, color=style.INK, linestyle=":", zorder=0)
        axes.annotate(f"{mean:.2f}", (mean, top), (3, 0), textcoords="offset points", va="center", weight="bold")
        handles.append(Line2D([], [], linestyle="", color=style.INK, label=name, **look))
    handles.append(Line2D([], [], color=style.INK, linestyle=":", label="mean of each group"))
    if "paper_mean" in table:
        handles.append(Line2D([], [], linestyle="", marker="D", label="the paper's mean", **marks.HOLLOW))
    axes.set(xlim=(1, 5), xticks=range(1, 6), xlabel="satisfaction with the explanation, mean ± standard deviation")
    axes.set_title(title)
    marks.rows(axes, labels)
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    return user_ratings(tables.read("table1_user_study", folder), PUBLISHED)


def _drawn_of_answers(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    table = tables.read("table1_answers", folder)
    return user_ratings(table, f"{table['n_people'].iloc[0]} people asked with hadyounot's survey")


FIGURES = {"figure2_user_ratings": _drawn, "figure2_answers": _drawn_of_answers}
