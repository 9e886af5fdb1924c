"""What decides validity: every world at once, methods in each, and in every protocol of a world."""

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
from ..tables.worlds import alike, named
from . import marks

PAPER = "linear_reg"  # whose validity in the paper is the line

TRAINED = {"regularization": "L2", "epochs": "epochs"}
"""Settings of a world that its row names, and what they are called in the heading."""

KEPT = {
    "pinned": "pinned",
    "warm": "warm: goes on from it",
    "reshuffled": "reshuffled: other order",
    "reseeded": "reseeded: other weights",
    "rebuilt": "rebuilt: other ids too",
}
"""Protocols, from what keeps most of the original to what keeps least, and what they are called beside their row."""

READ = {"unseen": "", "readmitted": "deleted may return", "seen": "all may return"}
"""Readings, likewise."""

ANY_ITEMS = "names any items"

DOT = {"linestyle": "", "marker": "o", "color": style.FAINT, "markersize": 3.6, "markeredgecolor": style.FAINT}
MEDIAN = {"color": "white", "markeredgecolor": style.INK, "markersize": 6.5, "markeredgewidth": 1.6}
PRINTED = marks.HOLLOW | {"markersize": 5}


def methods_across_worlds(table: pd.DataFrame, indifferent: pd.DataFrame, study: StudyConfig) -> Figure:
    """A row per main method, at the smallest K: a dot for each world, their median, and what the paper prints.

    Args:
        table: schema ``schemas.WORLDS``.
        indifferent: schema ``schemas.INDIFFERENT``.
        study: whose worlds these are.
    """
    style.use()
    chosen = alike(table, indifferent)
    k, count = chosen["top_k"].min(), len(chosen[["dataset", "world"]].drop_duplicates())
    chosen = chosen[chosen["top_k"] == k]
    methods = [name for name in ("random", *HEADLINES, "oracle") if name in set(chosen["method"])]
    figure, axes = plt.subplots(figsize=(style.PAGE, 0.9 + 0.21 * len(methods)))
    labels = []
    for place, name in enumerate(methods):
        own = chosen[chosen["method"] == name].sort_values("validity", kind="stable")
        beside = place + np.resize([0, -0.22, 0.22], len(own))  # so that neighbours are told apart
        for names_any, some in own.assign(beside=beside).groupby("names_any"):
            face = {"markerfacecolor": "white" if names_any else style.FAINT}
            axes.plot(some["validity"], some["beside"], **DOT | face, clip_on=False)
        axes.plot(own["validity"].median(), place, "o", **MEDIAN, clip_on=False, zorder=3)
        for printed in own["paper"].dropna().unique():
            axes.plot(printed, place, "D", **PRINTED, clip_on=False, zorder=3)
        labels.append(METHOD[name].label + f" ({len(own)} worlds)" * (len(own) < count))
    marks.rows(axes, labels)
    axes.set(xlim=(-0.02, 1.02), xlabel=f"validity at K = {k} (% of users)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    handles = [
        Line2D([], [], **DOT, label=f"one of {count} worlds"),
        Line2D([], [], linestyle="", marker="o", **MEDIAN, label="their median"),
    ]
    if chosen["names_any"].any():
        handles.insert(1, Line2D([], [], **DOT | {"markerfacecolor": "white"}, label=f"a world where it {ANY_ITEMS}"))
    if chosen["paper"].notna().any():
        handles.append(Line2D([], [], linestyle="", marker="D", **PRINTED, label="the paper"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def what_decides_validity(table: pd.DataFrame, indifferent: pd.DataFrame, study: StudyConfig) -> Figure:
    """A row per world, from the least to the closest fit of the training ratings, a column per K: means over splits and
    seeds, where there are several; arguments as above.
    """
    chosen = alike(table, indifferent)
    fit = chosen["test_rmse"] - chosen["train_gap"]
    settings = {
        name: {said: f"{getattr(model, field):g}" for field, said in TRAINED.items() if hasattr(model, field)}
        for name, model in study.models.items()
    }
    rows = [
        f"{name} ({', '.join([*settings[name].values(), 'none' if pd.isna(error) else f'{error:.2f}'])})"
        for name, error in zip(chosen["world"], fit, strict=True)
    ]
    trained = {name: f" ({', '.join([*own, 'training RMSE'])})" for name, own in settings.items()}
    return _grid(chosen.assign(order=-fit.fillna(0), row=rows, trained=chosen["world"].map(trained)), study)


def protocols(table: pd.DataFrame, indifferent: pd.DataFrame, study: StudyConfig) -> Figure:
    """A row per protocol and reading, from what keeps most of the original, of the worlds that have several; arguments
    as above.
    """
    chosen = named(table, indifferent)
    chosen = chosen[(chosen["split_seed"] == 0) & (chosen["model_seed"] == 0)]
    chosen = chosen[chosen.groupby(["dataset", "recommender", "world"])["protocol"].transform("nunique") > 1]
    called = [
        ", ".join(filter(None, [READ[reading], KEPT[protocol] if not READ[reading] or protocol != "pinned" else ""]))
        for reading, protocol in zip(chosen["reading"], chosen["protocol"], strict=True)
    ]
    order = chosen["protocol"].map([*KEPT].index) + len(KEPT) * chosen["reading"].map([*READ].index)
    return _grid(chosen.assign(row=called, order=order, trained=" (" + chosen["world"] + ")"), study)


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
            color = METHOD[name].color
            hollow = {"markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": 1.2}
            filled = {"markerfacecolor": color, "markeredgecolor": "white", "markeredgewidth": 0.5}
            axes.plot(
                *(shares[name], place + beside),
                marks.MARKERS[name],
                **(hollow if by_method.loc[name, "names_any"] else filled),
                markersize=6 - 0.15 * number,  # of equals the later ones are smaller, so that all are seen
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
    if table["names_any"].any():
        hollow = {"color": style.INK, "markerfacecolor": "white", "label": f"hollow: {ANY_ITEMS}"}
        found.append(Line2D([], [], linestyle="", marker="o", **hollow))
    return found


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path, figure: Callable[..., Figure]) -> Figure:
    return figure(tables.read("worlds", folder), tables.read("indifferent", folder), study)


FIGURES = {
    each.__name__: partial(_drawn, figure=each) for each in (methods_across_worlds, what_decides_validity, protocols)
}
