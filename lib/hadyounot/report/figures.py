"""Figures from tables. Each function returns a matplotlib figure; ``save`` writes it, the same bytes every time."""

import textwrap
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font, weight_dict
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.textpath import TextPath
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from ..retrain.ratings import Ratings
from ..rng import generator
from ..study import schemas, store
from ..study.registry import original
from . import style

PNG_WIDTH = 1200  # pixels at most: the report crops wider pictures


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write ``<path>.pdf`` and ``<path>.png``, without dates in them.

    Returns:
        the two paths.
    """
    written = Path(f"{path}.pdf"), Path(f"{path}.png")
    dpi = min(160, PNG_WIDTH / figure.get_figwidth())
    for file, options in zip(written, ({"metadata": {"CreationDate": None}}, {"dpi": dpi}), strict=True):
        with store.atomic(file) as temporary:
            figure.savefig(temporary, **options)
    return written


_USERS = (
    Line2D([], [], marker="o", linestyle="", color=style.FAINT, markersize=3, label="one user"),
    Line2D([], [], marker="o", color=style.INK, markerfacecolor="white", linewidth=2.2, label="median, quartiles"),
)


def _of_users(axes: Axes, place: int, name: str, values: np.ndarray, color: str) -> float:
    """A row of dots, one for each user, jittered by ``name``; over it their quartiles and median, which is returned."""
    spread = generator(0, "jitter", name).uniform(-0.26, 0.26, len(values))
    axes.scatter(values, place + spread, s=8, color=color, alpha=0.35, linewidths=0, rasterized=True)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=style.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot(median, place, "o", color="white", markeredgecolor=style.INK, markersize=6, markeredgewidth=1.4)
    return float(median)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    """One horizontal row for each label, from the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x", color=style.BAND)
    axes.tick_params(axis="y", length=0)


def generation_time(times: pd.DataFrame, title: str = "") -> Figure:
    """Figure 5: how long one explanation takes, by method, on a logarithmic axis.

    Args:
        times: schema ``schemas.GENERATION_TIME``. Reseed and oracle are left out: they generate nothing, they retrain.
        title: which dataset and model.
    """
    style.use()
    present = set(times["method"]) - {"reseed", "oracle"}
    methods = [method for method in schemas.METHODS if method in present]
    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.34 * len(methods)))
    for row, method in enumerate(methods):
        seconds = times.loc[times["method"] == method, "seconds"].to_numpy()
        median = _of_users(axes, row, method, seconds, style.METHOD_COLORS[method])
        axes.annotate(
            EngFormatter("s")(float(f"{median:.2g}")),
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
        )
    axes.annotate("median", (1.02, -0.75), xycoords=("axes fraction", "data"), color=style.FAINT, va="center")
    axes.set(xscale="log", xlabel="wall time of one explanation", title=title)
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    _rows(axes, [style.METHOD_LABELS[method] for method in methods])
    figure.legend(handles=_USERS, loc="outside lower center", ncols=2)
    return figure


def user_ratings(table: pd.DataFrame) -> Figure:
    """Figure 2: satisfaction with traditional and counterfactual explanations, mean ± standard deviation, as published.

    The text prints no numbers for the paper's Figure 2, so the four methods of Table 1 stand in two groups, with the
    mean of each group's means.

    Args:
        table: schema ``schemas.TABLE1``.
    """
    style.use()
    means, sds = table.set_index("method")["mean"], table.set_index("method")["sd"]
    groups = {
        "traditional: “because you watched …”": (["knn", "influence"], {"markerfacecolor": "white", "marker": "s"}),
        "counterfactual: “have you not watched …”": (["linear_reg", "mlp_reg"], {"marker": "o"}),
    }
    figure, axes = plt.subplots(figsize=(6.4, 2.6))
    methods, handles = [], []
    for name, (members, look) in groups.items():
        rows = range(len(methods), len(methods) + len(members))
        for row, method in zip(rows, members, strict=True):
            mean, sd, color = means[method], sds[method], style.METHOD_COLORS[method]
            axes.plot([mean - sd, mean + sd], [row, row], color=color, linewidth=1.3, solid_capstyle="butt")
            axes.plot(mean, row, linestyle="", color=color, markersize=6, **look)
            axes.annotate(f"{mean:.3f} ± {sd:.2f}", (1.02, row), xycoords=("axes fraction", "data"), va="center")
        axes.vlines(means[members].mean(), rows[0] - 0.35, rows[-1] + 0.35, color=style.INK, linestyle=":", zorder=0)
        handles.append(Line2D([], [], linestyle="", color=style.INK, label=name, **look))
        methods += members
    handles.append(Line2D([], [], color=style.INK, linestyle=":", label="mean of the two means"))
    axes.set(xlim=(1, 5), xticks=range(1, 6), xlabel="satisfaction with the explanation, mean ± standard deviation")
    axes.set_title(style.NOT_OURS[0].upper() + style.NOT_OURS[1:])
    _rows(axes, [style.METHOD_LABELS[method] for method in methods])
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


_HOLLOW = {"markersize": 6.5, "markerfacecolor": "none", "markeredgecolor": style.ACCENT, "markeredgewidth": 1}


def validity(table: pd.DataFrame) -> Figure:
    """Figure 6: validity with its Wilson interval by method and K, beside the paper's; one panel per dataset and model.

    Args:
        table: schema ``schemas.TABLE_VALIDITY``.
    """
    style.use()
    present = [method for method in schemas.METHODS if method in set(table["method"])]
    methods = [method for method in present if method not in style.CONTROLS]
    controls = [method for method in present if method in style.CONTROLS]
    places = dict(zip(methods, np.arange(len(methods)), strict=True))
    places |= dict(zip(controls, len(methods) + 0.35 + np.arange(len(controls)), strict=True))
    bottom = max(places.values()) + 0.55
    styles = style.top_k_styles(table["top_k"])
    offsets = dict(zip(styles, np.linspace(-0.27, 0.27, len(styles)) if len(styles) > 1 else [0], strict=True))

    panels = list(table.groupby(["dataset", "model"], sort=False))
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    size = (6.4 if columns == 1 else 2.3 + 2.3 * columns, rows * (0.9 + 0.42 * bottom) + 0.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, ((dataset, model), panel) in zip(grid.flat, panels, strict=False):
        if controls:
            axes.axhspan(len(methods) - 0.33, bottom, color=style.BAND, zorder=0)
        for row in panel.itertuples():
            marker, grey = styles[row.top_k]
            y = places[row.method] + offsets[row.top_k]
            axes.plot([row.ci_low, row.ci_high], [y, y], color=grey, linewidth=1.3, solid_capstyle="butt")
            axes.plot(row.validity, y, marker, color=grey, markersize=4.5)
            if pd.notna(row.paper):
                axes.plot(row.paper, y, marker, **_HOLLOW)
        note = "" if (paper := original(dataset)) == dataset else f"\npaper: {paper}, other data"
        axes.set_title(f"{dataset} · {model}\n{style.span(panel['n_users'])} users{note}")
        axes.set(xlim=(-0.02, 1.02), ylim=(bottom, -0.6), xlabel="validity (% of users)")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        axes.set_yticks(list(places.values()), [style.METHOD_LABELS[method] for method in places])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.85", linewidth=0.6)
        axes.label_outer()
    handles = []
    for k, (marker, grey) in styles.items():
        handles.append(Line2D([], [], marker=marker, color=grey, markersize=4.5, label=f"K = {k}, ours"))
        if table.loc[table["top_k"] == k, "paper"].notna().any():
            handles.append(Line2D([], [], marker=marker, linestyle="", **_HOLLOW, label=f"K = {k}, paper"))
    if controls:
        handles.append(Patch(color=style.BAND, label="controls"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(styles) + 1, 4))
    return figure


def _ablated(axes: Axes, places: Sequence[float], rows: pd.DataFrame, base: pd.DataFrame, joined: str = "-") -> None:
    """Validity of variants with intervals at ``places``, ``joined`` by a line or "", and that of linear_reg as a line,
    by K.
    """
    styles = style.top_k_styles(base["top_k"])
    for side, (k, (marker, grey)) in enumerate(styles.items()):
        each, own = rows[rows["top_k"] == k], base[base["top_k"] == k]["validity"].iloc[0]
        errors = each["validity"] - each["ci_low"], each["ci_high"] - each["validity"]
        axes.axhline(own, color=grey, linewidth=0.8, linestyle=":")
        beside = axes.transData + ScaledTranslation(4 / 72 * side, 0, axes.figure.dpi_scale_trans)
        looks = {"fmt": marker + joined, "color": grey, "markersize": 4.5, "linewidth": 1.1, "label": f"K = {k}"}
        axes.errorbar(places, each["validity"], errors, transform=beside, **looks)
        for end in ("ci_low", "ci_high"):  # what is drawn beside its place does not count for the limits
            axes.update_datalim(np.column_stack([places, each[end]]))
    axes.autoscale_view()
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.set_ylabel("validity (% of users)")


_DOTTED = Line2D([], [], color=style.FAINT, linewidth=0.8, linestyle=":", label="linear surrogate (reg) of the study")


def ablation_deletion_size(table: pd.DataFrame, title: str = "") -> Figure:
    """Validity against how many items are deleted at a time when outcomes are simulated.

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        title: which dataset and model.
    """
    style.use()
    rows = table[table["family"] == "deletion_size"]
    names = list(rows["variant"].unique())
    figure, axes = plt.subplots(figsize=(5.4, 2.8))
    _ablated(axes, range(len(names)), rows, table[table["family"] == "base"], joined="")
    axes.set_xticks(range(len(names)), [name.replace("-percent", " %\nof history") for name in names])
    axes.set(xlabel="items deleted in each simulated deletion", title=title)
    axes.set_ylim(bottom=0)
    handles, _ = axes.get_legend_handles_labels()
    figure.legend(handles=[*handles, _DOTTED], loc="outside lower center", ncols=2)
    return figure


def ablation_sample_size(table: pd.DataFrame, title: str = "") -> Figure:
    """Validity, and R² on held-out users, against the number of training users and of deletions of each.

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        title: which dataset and model.
    """
    style.use()
    rows, base = table[table["family"] == "sample_size"], table[table["family"] == "base"]
    figure, grid = plt.subplots(2, 2, figsize=(6.8, 4.2), sharex="col", sharey="row")
    for column, what, label in ((0, "users", "training users"), (1, "deletions", "deletions of each training user")):
        each = rows[rows["variant"].str.startswith(f"{what}-")]
        first = each[each["top_k"] == each["top_k"].min()]
        counts = first["variant"].str.removeprefix(f"{what}-").astype(int)
        _ablated(grid[0, column], counts, each, base)
        grid[1, column].axhline(base["r2"].iloc[0], color=style.INK, linewidth=0.8, linestyle=":")
        grid[1, column].plot(counts, first["r2"], "o-", color=style.INK, markersize=4.5, linewidth=1.1)
        grid[1, column].set(xlabel=label, xscale="log", ylabel="R² on test users")
        grid[1, column].set_xticks(counts, counts)
        grid[1, column].set_xticks([], minor=True)
    for axes in grid.flat:
        axes.label_outer()
    grid[1, 0].set_ylim(min(-0.1, grid[1, 0].get_ylim()[0]), 1)  # a change of 0.001 is to look like one
    figure.suptitle(title)
    handles, _ = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles=[*handles, _DOTTED], loc="outside lower center", ncols=4)
    return figure


def ablation_search(table: pd.DataFrame, seconds: Mapping[str, float], title: str = "") -> Figure:
    """Validity at the smallest K against the time an explanation takes, by search of eq. (9).

    Args:
        table: one cell's rows of schema ``schemas.ABLATIONS``.
        seconds: median wall time of an explanation by variant; linear_reg's among them.
        title: which dataset and model.
    """
    style.use()
    rows = table[table["family"].isin(("base", "search")) & (table["top_k"] == table["top_k"].min())]
    named = rows["variant"].replace("linear_reg", "lasso-exact").str.split("-", n=1, expand=True)
    figure, axes = plt.subplots(figsize=(5.4, 3.2))
    for surrogate, method, face in (("lasso", "linear_reg", None), ("mlp", "mlp_reg", "white")):
        color = style.METHOD_COLORS[method]
        for search, marker in zip(named[1].unique(), cycle("o^sDPv"), strict=False):
            own = rows[(named[0] == surrogate) & (named[1] == search)]
            errors = own["validity"] - own["ci_low"], own["ci_high"] - own["validity"]
            looks = {"fmt": marker, "color": color, "markerfacecolor": face or color}
            label = f"{surrogate.upper()}, {search.replace('-', ' ')}"
            if len(own):
                axes.errorbar(own["variant"].map(seconds), own["validity"], errors, **looks, label=label)
    axes.set(xscale="log", xlabel="median wall time of one explanation", title=title)
    axes.set_ylabel(f"validity at K = {rows['top_k'].min()} (% of users)")
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right center")
    return figure


_PANELS = {
    "embedding_distance": "mean embedding\ndistance",
    "influence": "summed influence\n(stars)",
    "linear_reg": "linear surrogate:\nΔŷ_reg (stars)",
    "mlp_reg": "MLP surrogate:\nΔŷ_reg (stars)",
    "linear_reg_aware": "target-aware, ours:\nΔŷ_reg (stars)",
}


def baseline_correlation(
    measured: pd.DataFrame, correlations: pd.DataFrame, paper: Mapping[str, float], title: str = ""
) -> Figure:
    """Figure 7: measures of item sets against the real decrease for the first user, and below the Pearson correlation
    of every user. What a black box has no measure of is left out.

    Args:
        measured: schema ``schemas.MEASURED``.
        correlations: schema ``schemas.CORRELATION`` of the same sets, of one dataset and model.
        paper: the paper's Pearson correlation by measure, of one user.
        title: which dataset and model.
    """
    style.use()
    user = measured["user"].iloc[0]
    sets = measured[measured["user"] == user]
    of_user = correlations[correlations["user"] == user].set_index("measure")
    panels = [name for name in _PANELS if measured[name].notna().any()]
    names = [name for name in schemas.MEASURES if measured[name].notna().any()]
    figure, grid = plt.subplot_mosaic(
        [panels, ["users"] * len(panels)], figsize=(8.4, 2.7 + 0.34 * len(names)), height_ratios=[2, 0.34 * len(names)]
    )
    for name in panels:
        axes = grid[name]
        axes.scatter(
            sets[name],
            sets["score_decrease"],
            s=7,
            color=style.MEASURE_COLORS[name],
            alpha=0.45,
            linewidths=0,
            rasterized=True,
        )
        row = of_user.loc[name]
        known = f"r = {row['pearson']:.2f}\n[{row['pearson_low']:.2f}, {row['pearson_high']:.2f}]".replace("-", "−")
        axes.set_title("constant\n" if pd.isna(row["pearson"]) else known)
        axes.set_xlabel(_PANELS[name])
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.locator_params(axis="y", nbins=4)
        if name != panels[0]:
            axes.sharey(grid[panels[0]])
            axes.tick_params(labelleft=False)
    grid[panels[0]].set_ylabel("real score decrease\n(stars)")
    figure.suptitle(f"{title}: {len(sets)} item sets of one test user".removeprefix(": "), x=0.01, ha="left")

    axes = grid["users"]
    for place, name in enumerate(names):
        values = correlations.loc[correlations["measure"] == name, "pearson"].dropna().to_numpy()
        if name in paper:
            axes.plot(paper[name], place, "D", **_HOLLOW)
        if len(values):
            _of_users(axes, place, name, values, style.MEASURE_COLORS[name])
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xlim=(-1, 1), xlabel="Pearson correlation with the real score decrease")
    axes.set_title(f"all {correlations['user'].nunique()} users")
    _rows(axes, [style.MEASURE_LABELS[name] for name in names])
    handles = [
        *_USERS,
        *([Line2D([], [], marker="D", linestyle="", **_HOLLOW, label="paper, one user")] if paper else []),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def projection(points: pd.DataFrame, separability: pd.DataFrame, perplexity: float, title: str = "") -> Figure:
    """Figure 8: training rows of the surrogates in the plane, coloured by Δŷ_reg, and how well probes tell them apart.

    Args:
        points: schema ``schemas.PROJECTION``. Colours end at the 5th and 95th percentile of the effects.
        separability: schema ``schemas.SEPARABILITY`` of the same rows, of one dataset and model.
        perplexity: of the t-SNE.
        title: which dataset and model.
    """
    style.use()
    figure, (plane, r2, auc) = plt.subplots(1, 3, figsize=(8.4, 4.3), width_ratios=[3.4, 1, 1])
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
        label="Δŷ_reg (stars)",
        ticks=MaxNLocator(5),
    )
    plane.set(xticks=[], yticks=[], aspect="equal", xlabel="t-SNE 1", ylabel="t-SNE 2")
    users = points["user"].nunique()
    plane.set_title(f"{len(points):,} training rows of {users} users, perplexity {perplexity:g}")
    for axes, name, label, floor in ((r2, "r2", "held-out R²", 0), (auc, "auc", "held-out AUC", 0.5)):
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
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
        axes.set_xticks(range(len(values)), values.index)
        axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(min(floor, low.min()) - 0.08, 1.08), title=label)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def learning_curve(curve: pd.DataFrame, epochs: int) -> Figure:
    """Error and objective by epoch, the chosen number of epochs marked.

    Args:
        curve: schema ``schemas.CURVE``.
        epochs: of the recommender that is explained.
    """
    style.use()
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.3))
    left.plot(
        curve["epoch"],
        curve["train_rmse"],
        color=style.METHOD_COLORS["mlp_reg"],
        linestyle="--",
        label="training ratings",
    )
    left.plot(curve["epoch"], curve["test_rmse"], color=style.INK, label="test ratings")
    right.plot(curve["epoch"], curve["objective"], color=style.INK, label="objective")
    left.set_ylabel("RMSE (stars)")
    right.set_ylabel("objective (stars²)")
    for axes in (left, right):
        axes.axvline(epochs, color=style.ACCENT, linestyle=":", linewidth=1.5, label=f"chosen: {epochs} epochs")
        axes.set_xlabel("epoch")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def effects_histogram(effects: np.ndarray) -> Figure:
    """Δŷ of all recorded targets: (n, N), in stars."""
    style.use()
    figure, axes = plt.subplots(figsize=(5, 2.2))
    values = np.ravel(effects)
    axes.hist(values, bins=81, color=style.METHOD_COLORS["mlp_reg"], log=True)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set(xlabel="Δŷ (stars)", ylabel="targets")
    axes.locator_params(axis="x", nbins=6)
    up, down = np.mean(values < 0), np.mean(values > 0)
    axes.set_title(f"pushed up {up:.1%}, unmoved {1 - up - down:.1%}, pushed down {down:.1%}")
    return figure


def cross_validation(curve: pd.DataFrame, x: str, y: str) -> Figure:
    """A surrogate's held-out score along ``x``: each fold faint, their mean dark, the best mean marked.

    Args:
        curve: of ``surrogates.Fit``: columns ``x`` ("penalty", logarithmic, or "epoch"), ``y`` and perhaps "fold".
        y: "r2" and "accuracy" are best high, everything else low.
    """
    style.use()
    figure, axes = plt.subplots(figsize=(5, 2.2))
    if "fold" in curve:
        for _, fold in curve.groupby("fold"):
            axes.plot(fold[x], fold[y], color="0.75", linewidth=0.8)
    mean = curve.groupby(x)[y].mean()
    best = mean.idxmax() if y in ("r2", "accuracy") else mean.idxmin()
    axes.plot(mean.index, mean, color=style.INK, linewidth=1.6)
    axes.plot(best, mean[best], "o", color=style.ACCENT, markersize=6)
    axes.set(xlabel=x, ylabel=f"held-out {y.replace('_', ' ')}", xscale="log" if x == "penalty" else "linear")
    axes.set_title(f"best: {mean[best]:.3g} at {x} {best:.3g}")
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
    values.bar(stars, counts, width=width, color=style.METHOD_COLORS["mlp_reg"])
    values.set(xlabel="rating (stars)", ylabel="ratings")
    if len(stars) <= 5:
        values.set_xticks(stars)
    values.yaxis.set_major_formatter(EngFormatter(sep=""))
    for axes, index, name in ((users, ratings.users, "user"), (items, ratings.items, "item")):
        rated = np.unique(index, return_counts=True)[1]
        edges = np.unique(np.geomspace(1, rated.max() + 1, 30).round())
        axes.hist(rated, bins=edges, color=style.METHOD_COLORS["mlp_reg"])
        axes.axvline(np.median(rated), color=style.ACCENT, linestyle=":", linewidth=1.5)
        axes.set(xscale="log", xlabel=f"ratings per {name}", ylabel=f"{name}s")
        axes.set_title(f"median {np.median(rated):g}")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return figure


def example_card(
    watched: Sequence[tuple[str, float]],
    n_watched: int,
    explanation: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    rank_after: int,
    footer: str,
) -> Figure:
    """One explanation and its proof, as a card.

    Args:
        watched: titles and ratings (stars) from the user's history, best first.
        n_watched: how long the whole history is.
        explanation: titles of the deleted items, E.
        before: titles of the best recommendations, best first; the first is the target.
        after: the same of the model retrained without the explanation.
        rank_after: the target's rank there, greater than 1.
        footer: where the example comes from.
    """
    style.use()
    target, width, margin, gap = before[0], 540, 18, 16
    inner = width - 2 * margin
    card = _Card(width)

    header = card.text(margin, 26, f"We recommend: {target}", inner, 13, weight="bold", color="white") - 4
    claim = f"Had you not watched these {len(explanation)}, we would not recommend it:"
    y = card.text(margin, header + 22, claim, inner, 10)
    for title in explanation:
        y = card.text(margin + 14, y + 4, title, inner - 14, 10.5, weight="bold", color=style.ACCENT, bullet="×")
    top = y + 18

    column = (inner - 2 * gap) / 3
    lefts = [margin + k * (column + gap) for k in range(3)]
    headings = (f"Best rated of {n_watched:,} watched", "Recommended", f"Retrained without the {len(explanation)}")
    heads = [card.text(x, top, text, column, 9, weight="bold") for x, text in zip(lefts, headings, strict=True)]
    start = max(heads) + 4
    bottoms = [start]
    y = start
    for title, value in watched:
        gone = {"color": style.ACCENT, "weight": "bold"} if title in explanation else {}
        y = card.text(lefts[0] + 32, y, title, column - 32, 8, bullet=f"{value:g} ★", **gone) + 2
    bottoms.append(y)
    for x, titles in ((lefts[1], before), (lefts[2], after)):
        y = start
        for rank, title in enumerate(titles, start=1):
            y = card.ranked(x, y, column, rank, title, highlight=title == target)
        if x == lefts[2] and target not in titles:
            y = card.text(x + 19, y, "⋮", column, 8, color=style.FAINT) + 2
            y = card.ranked(x, y, column, rank_after, target, highlight=True)
        bottoms.append(y)
    rule = max(bottoms) + 2
    bottom = card.text(margin, rule + 14, footer, inner, 7, color=style.FAINT)
    return card.draw(header, [top - 16, rule], bottom)


def notice(text: str) -> Figure:
    """A card that says that there is nothing to show."""
    style.use()
    card = _Card(540)
    return card.draw(0, [], card.text(18, 26, text, 504, 10))


class _Card:
    """Text laid out from the top, in points, before the height of the figure is known."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.texts: list[tuple[float, float, str, dict]] = []
        self.unwritable: set[str] = set()
        self.boxes: list[tuple[float, float, float, float]] = []

    def text(self, x: float, y: float, text: str, width: float, size: float, bullet: str = "", **font: str) -> float:
        """Put ``text`` with its first baseline at y, in two lines at most, and ``bullet`` left of it.

        Returns:
            the baseline of the line that would follow.
        """
        text, families = self._written(text, font.get("weight"))
        options = {"fontsize": size, "color": style.INK, "family": families} | font
        if bullet:
            self.texts.append((x - 6, y, bullet, options | {"ha": "right"}))
        for line in _wrapped(text, width, FontProperties(family=families, size=size, weight=font.get("weight"))):
            self.texts.append((x, y, line, options))
            y += 1.35 * size
        return y

    def _written(self, text: str, weight: str | None) -> tuple[str, list[str]]:
        """The text, with a box for each character that no installed font has, and the fonts to write it in."""
        families = [style.FAMILY]
        missing = {each for each in text if not each.isspace()} - _characters(style.FAMILY, weight)
        while missing:
            family = _best_font(frozenset(missing), weight)
            if not missing & _characters(family, weight):
                break
            families.append(family)
            missing -= _characters(family, weight)
        self.unwritable |= missing
        return "".join("□" if each in missing else each for each in text), families

    def ranked(self, x: float, y: float, width: float, rank: int, title: str, highlight: bool) -> float:
        """Put a rank and a title; the next baseline is returned."""
        font = {"weight": "bold"} if highlight else {}
        end = self.text(x + 32, y, title, width - 36, 8, bullet=str(rank), **font)
        if highlight:
            self.boxes.append((x + 1, y - 9, width - 2, end - y + 1))
        return end + 2

    def draw(self, header: float, rules: list[float], bottom: float) -> Figure:
        """The figure: a dark header of that height, lines across at ``rules``.

        Warns:
            UserWarning: no installed font has some of the characters.
        """
        if self.unwritable:
            warnings.warn(
                f"the card has boxes for {''.join(sorted(self.unwritable))}, which no installed font has: install one,"
                f" Noto Sans CJK say, and remove {Path(matplotlib.get_cachedir(), 'fontlist-*.json')}",
                stacklevel=3,
            )
        height = bottom + 4
        figure = plt.figure(figsize=(self.width / 72, height / 72))
        figure.set_layout_engine("none")
        axes: Axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(height, 0))
        axes.axis("off")
        axes.axhspan(0, header, color=style.METHOD_COLORS["linear_reg"])
        axes.hlines(rules, 18, self.width - 18, color="0.85", linewidth=0.8)
        for x, y, width, tall in self.boxes:
            axes.add_patch(
                FancyBboxPatch((x, y), width, tall, boxstyle="round,pad=0,rounding_size=3", color=style.HIGHLIGHT)
            )
        for x, y, text, options in self.texts:
            axes.text(x, y, text, va="baseline", parse_math=False, **options)  # titles may hold dollar signs
        return figure


@cache
def _characters(family: str, weight: str | None) -> frozenset[str]:
    """What the font can write in its upright face of about this weight."""
    heavy = weight_dict[weight or "normal"]
    faces = [font for font in fontManager.ttflist if font.name == family]
    face = min(faces, key=lambda font: (font.style != "normal", abs(weight_dict.get(font.weight, font.weight) - heavy)))
    return frozenset(map(chr, get_font(face.fname).get_charmap()))


@cache
def _best_font(wanted: frozenset[str], weight: str | None) -> str:
    """The installed font that can write most of the characters: of equals, the first by name."""
    # the last resort comes with matplotlib and has a box for everything
    names = sorted({font.name for font in fontManager.ttflist if not font.name.startswith("Last Resort")})
    return max(names, key=lambda name: len(wanted & _characters(name, weight)))


def _wrapped(text: str, width: float, font: FontProperties) -> list[str]:
    """``text`` in one or two lines of at most ``width`` points, cut with an ellipsis where that is not enough."""
    text = " ".join(text.split())

    def lines(characters: int) -> list[str]:
        return textwrap.wrap(text, characters, max_lines=2, placeholder=" …")

    def too_wide(characters: int) -> bool:
        paths = (TextPath((0, 0), line.replace("$", r"\$"), prop=font) for line in lines(characters))
        return any(path.vertices[:, 0].max() > width for path in paths)

    fitting = bisect_left(range(2, len(text) + 1), True, key=too_wide) + 1
    return lines(fitting) if fitting > 1 else [text]
