"""What decides validity: methods in every world, and in every protocol of a world."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import HEADLINES, METHOD
from .. import style, tables
from . import marks

PAPER = "linear_reg"  # whose validity in the paper is the line

TRAINED = {"regularization": "L2", "epochs": "epochs"}
"""Settings of a world that its row names, and what they are called in the heading."""


def what_decides_validity(table: pd.DataFrame, study: StudyConfig) -> Figure:
    """A row per world, from the least to the closest fit of the training ratings, a column per K: means over splits and
    seeds, where there are several.

    Args:
        table: schema ``schemas.WORLDS``.
        study: whose worlds these are.
    """
    chosen = table[(table["protocol"] == "pinned") & (table["reading"] == "unseen")]
    by = ["dataset", "recommender", "world", "method", "top_k"]
    numbers = ["validity", "test_rmse", "train_gap", "paper"]
    chosen = chosen.groupby(by, sort=False)[numbers].mean().reset_index()
    order = chosen["test_rmse"] - chosen["train_gap"]
    settings = {
        name: {
            said: getattr(study.models[name], field)
            for field, said in TRAINED.items()
            if hasattr(study.models[name], field)
        }
        for name in chosen["world"].unique()
    }
    rows = {
        name: f"{name} ({', '.join(f'{each:g}' for each in own.values())})" if own else name
        for name, own in settings.items()
    }
    trained = {name: f" ({', '.join(own)})" if own else "" for name, own in settings.items()}
    world = chosen["world"]
    return _grid(chosen.assign(order=-order.fillna(0), row=world.map(rows), trained=world.map(trained)), study)


def protocols(table: pd.DataFrame, study: StudyConfig) -> Figure:
    """A row per protocol and reading, by name, of the worlds that have several; arguments as above."""
    chosen = table[(table["split_seed"] == 0) & (table["model_seed"] == 0)]
    read = chosen["protocol"].where(chosen["reading"] == "unseen", chosen["reading"] + ", " + chosen["protocol"])
    chosen = chosen.assign(row=read)
    several = chosen.groupby(["dataset", "recommender", "world"])["protocol"].transform("nunique") > 1
    chosen = chosen[several]
    return _grid(chosen.assign(order=chosen["row"], trained=" (" + chosen["world"] + ")"), study)


def _grid(table: pd.DataFrame, study: StudyConfig) -> Figure:
    """Rows by ``row`` in the order of ``order``, under headings of dataset, recommender and what ``trained`` says;
    columns by K.
    """
    style.use()
    top_k = sorted(table["top_k"].unique())
    places, headings, y = {}, {}, 0.0
    for group, rows in table.groupby(["dataset", "recommender", "trained"], sort=False):
        headings[group] = y
        y += 0.25  # marks of the first row reach up to its heading
        for name in rows.sort_values("order", kind="stable")["row"].unique():
            y += 1
            places[*group, name] = y
        y += 1.6
    figure, grid = plt.subplots(1, len(top_k), figsize=(style.PAGE, 1.1 + 0.17 * y), sharey=True, squeeze=False)
    for axes, k in zip(grid[0], top_k, strict=True):
        for (*group, name), place in places.items():
            there = table[(table["top_k"] == k) & (table["row"] == name)]
            _row(axes, place, there[(there[["dataset", "recommender", "trained"]] == group).all(axis=1)])
        axes.set(xlim=(-0.03, 1.03), ylim=(y - 1, -0.6), xlabel="validity (% of users)")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        axes.set_title(f"K = {k}")
        axes.set_yticks([*places.values()], [name for *_, name in places])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=style.BAND)
    for (dataset, recommender, trained), place in headings.items():
        heading = grid[0, -1].annotate(  # over all panels, as it is of the last one
            study.kind_title(dataset, recommender) + trained,
            (0.01, place),
            xycoords=("figure fraction", "data"),
            **{"va": "center", "weight": "bold", "annotation_clip": False},
            zorder=0,
        )
        heading.set_in_layout(False)
    figure.legend(handles=_legend(table), loc="outside lower center", ncols=3)
    return figure


def _row(axes: Axes, place: float, rows: pd.DataFrame) -> None:
    by_method = rows.drop_duplicates("method").set_index("method")
    shares = by_method["validity"]
    half = 0.36
    for low, high in ((0, shares.get("random", 0)), (shares.get("oracle", 1), 1)):
        axes.fill_betweenx([place - half, place + half], low, high, color="0.86", linewidth=0, zorder=0)
    if "reseed" in shares:
        axes.plot([shares["reseed"]] * 2, [place - half, place + half], color=style.FAINT, linewidth=2.2, zorder=1)
    printed = by_method["paper"].get(PAPER)
    if pd.notna(printed):
        axes.plot([printed] * 2, [place - 0.5, place + 0.5], color=style.INK, linewidth=1.1, linestyle=":", zorder=2)
    apart = HEADLINES[::2] + HEADLINES[1::2]  # neighbours in the list, which are often alike, do not hide each other
    for number, (name, beside) in enumerate(zip(apart, np.linspace(-0.34, 0.34, len(apart)), strict=True)):
        if name in shares:
            axes.plot(
                *(shares[name], place + beside),
                marks.MARKERS[name],
                **{"color": METHOD[name].color, "markeredgecolor": "white", "markeredgewidth": 0.5},
                markersize=7 - 0.2 * number,  # of equals the later ones are smaller, so that all are seen
                **{"clip_on": False, "zorder": 3},
            )


def _legend(table: pd.DataFrame) -> Sequence[Line2D | Patch]:
    present = set(table["method"])
    found = [
        Line2D([], [], linestyle="", marker=marks.MARKERS[name], color=METHOD[name].color, label=METHOD[name].label)
        for name in HEADLINES
        if name in present
    ]
    found.append(Line2D([], [], color=style.FAINT, linewidth=2.2, label=METHOD["reseed"].label))
    if table["paper"].notna().any():
        found.append(
            Line2D([], [], color=style.INK, linewidth=1.1, linestyle=":", label=f"{METHOD[PAPER].label}, the paper")
        )
    found.append(Patch(color="0.86", label="below random, above oracle"))
    return found


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path, figure: Callable[..., Figure]) -> Figure:
    return figure(tables.read("worlds", folder), study)


FIGURES = {each.__name__: partial(_drawn, figure=each) for each in (what_decides_validity, protocols)}
