"""What notebooks draw of their own stage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, StrMethodFormatter

from ...retrain.ratings import Ratings
from .. import style


def learning_curve(curve: pd.DataFrame, epochs: int) -> Figure:
    """Error and objective by epoch, the chosen number of epochs marked; no error where no rating is predicted.

    Args:
        curve: schema ``schemas.CURVE``.
        epochs: of the recommender that is explained.
    """
    style.use()
    predicts = curve["train_rmse"].notna().any()
    figure, panels = plt.subplots(1, 1 + predicts, figsize=(3.4 + 3.4 * predicts, 2.3), squeeze=False)
    *errors, objective = panels[0]
    for axes in errors:
        axes.plot(curve["epoch"], curve["train_rmse"], color=style.FILL, linestyle="--", label="training ratings")
        axes.plot(curve["epoch"], curve["test_rmse"], color=style.INK, label="test ratings")
        axes.set_ylabel("RMSE (stars)")
    objective.plot(curve["epoch"], curve["objective"], color=style.INK, label="objective")
    objective.set_ylabel("objective (stars²)" if predicts else "objective (nats)")
    for axes in panels[0]:
        axes.axvline(epochs, color=style.ACCENT, linestyle=":", linewidth=1.5, label=f"chosen: {epochs} epochs")
        axes.set_xlabel("epoch")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def effects_histogram(effects: np.ndarray) -> Figure:
    """Δŷ of all recorded targets: (n, N), in stars."""
    style.use()
    figure, axes = plt.subplots(figsize=(5, 2.2))
    values = np.ravel(effects)
    axes.hist(values, bins=81, color=style.FILL, log=True)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set(xlabel="Δŷ (stars)", ylabel="targets")
    axes.locator_params(axis="x", nbins=6)
    up, down = np.mean(values < 0), np.mean(values > 0)
    axes.set_title(f"pushed up {up:.1%}, unmoved {1 - up - down:.1%}, pushed down {down:.1%}")
    return figure


def cross_validation(curve: pd.DataFrame, x: str, y: str, taken: float) -> Figure:
    """A surrogate's held-out score along ``x``: each fold faint, their mean dark, and marked where it is ``taken``.

    Args:
        curve: of ``surrogates.Fit``: columns ``x`` ("penalty", logarithmic, or "epoch"), ``y`` and perhaps "fold".
        y: the score.
        taken: what was chosen along ``x``, by this score or by another.
    """
    style.use()
    figure, axes = plt.subplots(figsize=(5, 2.2))
    if "fold" in curve:
        for number, fold in curve.groupby("fold"):
            axes.plot(fold[x], fold[y], color="0.75", linewidth=0.8, label="" if number else "one fold")
    mean = curve.groupby(x)[y].mean()
    axes.plot(mean.index, mean, color=style.INK, linewidth=1.6, label="mean")
    axes.plot(taken, mean[taken], "o", color=style.ACCENT, markersize=6, label="taken")
    figure.legend(loc="outside right upper")
    axes.set(xlabel=x, ylabel=f"held-out {y.replace('_', ' ')}", xscale="log" if x == "penalty" else "linear")
    axes.set_title(f"taken: {x} {taken:.3g}, {mean[taken]:.3g} there")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def rating_histograms(ratings: Ratings) -> Figure:
    """How many ratings there are of each value, by each user and of each item."""
    style.use()
    figure, (values, users, items) = plt.subplots(1, 3, figsize=(7.2, 2.1))
    stars, counts = np.unique(ratings.values, return_counts=True)
    width = 0.8 * np.diff(stars).min() if len(stars) > 1 else 0.8
    values.bar(stars, counts, width=width, color=style.FILL)
    values.set(xlabel="rating (stars)", ylabel="ratings")
    if len(stars) <= 5:
        values.set_xticks(stars)
    values.yaxis.set_major_formatter(EngFormatter(sep=""))
    for axes, index, name in ((users, ratings.users, "user"), (items, ratings.items, "item")):
        rated = np.unique(index, return_counts=True)[1]
        edges = np.unique(np.geomspace(1, rated.max() + 1, 30).round())
        axes.hist(rated, bins=edges, color=style.FILL)
        axes.axvline(np.median(rated), color=style.ACCENT, linestyle=":", linewidth=1.5)
        axes.set(xscale="log", xlabel=f"ratings per {name}", ylabel=f"{name}s")
        axes.set_title(f"median {np.median(rated):g}")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return figure
