"""Ablations: deletions of other sizes, other searches, smaller samples."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import ScaledTranslation

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import BASE, Method, family
from .. import style, tables
from . import marks


def _of(table: pd.DataFrame, variants: Sequence[Method]) -> pd.DataFrame:
    """The rows of variants of one family, in their order."""
    names = [method.name for method in variants]
    rows = table[(table["family"] == variants[0].family) & table["variant"].isin(names)]
    return rows.sort_values("variant", key=lambda each: each.map(names.index), kind="stable")


def _ablated(axes: Axes, places: Sequence[float], rows: pd.DataFrame, base: pd.DataFrame, joined: str = "-") -> None:
    """Validity of variants with intervals at ``places``, ``joined`` by a line or "", and that of ``BASE`` as a line,
    by K. Those that name any items are hollow, and no line leads to them.
    """
    styles = style.top_k_styles(base["top_k"])
    for side, (k, (marker, grey)) in enumerate(styles.items()):
        each, own = rows[rows["top_k"] == k], base[base["top_k"] == k]["validity"].iloc[0]
        errors = each["validity"] - each["ci_low"], each["ci_high"] - each["validity"]
        axes.axhline(own, color=grey, linewidth=0.8, linestyle=":")
        beside = axes.transData + ScaledTranslation(
            4 / 72 * (side - (len(styles) - 1) / 2), 0, axes.figure.dpi_scale_trans
        )
        looks = {"color": grey, "markersize": 4.5, "linewidth": 1.1, "transform": beside}
        axes.errorbar(places, each["validity"], errors, fmt=marker, label=f"K = {k}", **looks)
        any_items, shares = each["spearman"].to_numpy() == 0, each["validity"].to_numpy()
        axes.plot(places, np.where(any_items, np.nan, shares), linestyle=joined or "none", **looks)
        hollow = {"markerfacecolor": "white", "zorder": 3}  # over the filled ones
        axes.plot(places, np.where(any_items, shares, np.nan), marker, **hollow, **looks)
        for end in ("ci_low", "ci_high"):  # what is drawn beside its place does not count for the limits
            axes.update_datalim(np.column_stack([places, each[end]]))
    axes.margins(x=0.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.set_ylabel("validity (% of users),\n95 % intervals")


def _explained(figure: Figure, axes: Axes, rows: pd.DataFrame, full: str) -> None:
    """A legend of what ``_ablated`` drew of ``rows``."""
    handles, _ = axes.get_legend_handles_labels()
    handles.append(Line2D([], [], color=style.FAINT, linewidth=0.8, linestyle=":", label=f"full study: {full}"))
    if (rows["spearman"] == 0).any():
        hollow = {"markerfacecolor": "white", "markersize": 4.5, "linestyle": "none"}
        handles.append(Line2D([], [], marker="o", color=style.INK, label="hollow: names any items", **hollow))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1)


def _from_zero(axes: Axes) -> None:
    """A vertical axis that begins at 0, with room for a whole marker there."""
    axes.set_ylim(bottom=-0.05 * axes.get_ylim()[1])


def deletion_size(table: pd.DataFrame, variants: Sequence[Method], full: str, title: str = "") -> Figure:
    """Validity against how many items are deleted at a time when outcomes are simulated.

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        variants: of the family.
        full: what ``BASE`` learnt from.
        title: which dataset and model.
    """
    style.use()
    figure, axes = plt.subplots(figsize=(style.PAGE, 3.0))
    rows = _of(table, variants)
    _ablated(axes, range(len(variants)), rows, table[table["family"] == "base"], joined="")
    paper = rows[rows["paper_change"].notna()].set_index("variant")["paper_change"]
    told = {name: f"\n(paper: {100 * change:+.1f} points)".replace("-", "−") for name, change in paper.items()}
    axes.set_xticks(range(len(variants)), [method.label + told.get(method.name, "") for method in variants])
    axes.set(xlabel="items deleted in each simulated deletion", title=title)
    _from_zero(axes)
    _explained(figure, axes, rows, full)
    return figure


def sample_size(table: pd.DataFrame, variants: Sequence[Method], full: str, title: str = "") -> Figure:
    """Validity, and R² on test users, against the number of training users and of deletions of each.

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        variants: of the family; either kind may be missing.
        full: what ``BASE`` learnt from.
        title: which dataset and model.
    """
    style.use()
    base, axis = table[table["family"] == "base"], {}
    for field, label in (("users", "training users"), ("deletions", "deletions of each training user")):
        some = {getattr(method.learner.sample, field): method for method in variants}
        some.pop(None, None)
        if some:
            axis[label] = dict(sorted(some.items()))
    figure, grid = plt.subplots(2, len(axis), figsize=(style.PAGE, 4.0), sharex="col", sharey="row", squeeze=False)
    for (above, below), (label, some) in zip(grid.T, axis.items(), strict=True):
        counts, rows = list(some), _of(table, list(some.values()))
        first = rows[rows["top_k"] == rows["top_k"].min()]
        _ablated(above, counts, rows, base)
        below.axhline(base["r2"].iloc[0], color=style.INK, linewidth=0.8, linestyle=":")
        below.plot(counts, first["r2"], "o-", color=style.INK, markersize=4.5, linewidth=1.1)
        below.set(xlabel=label, xscale="log", ylabel="R² on test users")
        below.set_xticks(counts, counts)
        below.set_xticks([], minor=True)
    for axes in grid.flat:
        axes.label_outer()
    grid[1, 0].set_ylim(min(-0.1, grid[1, 0].get_ylim()[0]), 1)  # a change of 0.001 is to look like one
    figure.suptitle(title, x=0.01, ha="left")
    _explained(figure, grid[0, 0], _of(table, variants), full)
    return figure


def _searched(method: Method) -> str:
    """How a method looks for the best deletion."""
    if method.search == "beam":
        return "greedy" if method.budget == 1 else f"beam of {method.budget:,}"
    return "exact" if method.search == "best" else f"{method.budget:,} sampled"


def search(table: pd.DataFrame, variants: Sequence[Method], seconds: Mapping[str, float], title: str = "") -> Figure:
    """Validity at the smallest K against the time an explanation takes, by search of eq. (9).

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        variants: of the family.
        seconds: median wall time of an explanation, by variant and of ``BASE``.
        title: which dataset and model.
    """
    style.use()
    k = table["top_k"].min()
    rows = table[table["family"].isin(("base", variants[0].family)) & (table["top_k"] == k)].set_index("variant")
    figure, axes = plt.subplots(figsize=(style.PAGE, 4.1))
    for method, marker in zip((BASE, *variants), cycle("o^sDPvp*hXd"), strict=False):
        row = rows.loc[method.name]
        axes.errorbar(
            seconds[method.name],
            row["validity"],
            [[row["validity"] - row["ci_low"]], [row["ci_high"] - row["validity"]]],
            fmt=marker,
            color=method.color,
            label=f"{method.label}, {_searched(method)}" + " (names any items)" * int(row["spearman"] == 0),
        )
    marks.in_seconds(axes, [seconds[method.name] for method in (BASE, *variants)])
    axes.set(xlabel="median wall time of one explanation", title=title)
    axes.set_ylabel(f"validity at K = {k} (% of users),\n95 % intervals")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.margins(x=0.1)
    _from_zero(axes)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _search_of(cell: Cell, table: pd.DataFrame, variants: Sequence[Method], full: str, title: str) -> Figure:
    times = pd.concat([cell.read(paths.GENERATION_TIME), cell.read(paths.ABLATION_TIME, family="search")])
    return search(table, variants, times.groupby("method")["seconds"].median(), title)


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path, name: str, draw: Callable[..., Figure]) -> Figure:
    (cell,) = cells
    table = tables.read("ablations", folder)
    table = table[(table["dataset"] == cell.dataset) & (table["model"] == cell.model)]
    variants, counts = family(name, study.ablations, study.explanation.explanation_size), cell.study.counterfactual
    full = f"{counts.training_users:,} users × {counts.deletions_per_user:,} deletions"
    return draw(cell, table, variants, full, cell.title)


FIGURES = {
    f"ablation_{name}": partial(_drawn, name=name, draw=draw)
    for name, draw in {
        "deletion_size": lambda cell, *shown: deletion_size(*shown),
        "search": _search_of,
        "sample_size": lambda cell, *shown: sample_size(*shown),
    }.items()
}
