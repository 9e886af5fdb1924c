"""Figure 6: how many explanations hold."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, in_order
from .. import style
from ..tables.common import span, stand_ins
from . import marks


def validity(table: pd.DataFrame, standing: Mapping[str, str] | None = None) -> Figure:
    """Validity with its Wilson interval by method and K, beside the paper's; one panel per dataset and model.

    Args:
        table: schema ``schemas.TABLE_VALIDITY``.
        standing: the paper's dataset, by the dataset that stands in for it.
    """
    style.use()
    present = [METHOD[name] for name in in_order(table["method"])]
    controls = [method for method in present if method.role == "control"]
    methods = [method for method in present if method not in controls]
    places = {method.name: float(place) for place, method in enumerate(methods)}
    places |= {method.name: place + 0.35 for place, method in enumerate(controls, start=len(methods))}
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
                axes.plot(row.paper, y, marker, **marks.HOLLOW)
        paper = (standing or {}).get(dataset) if panel["paper"].notna().any() else None
        note = f"\npaper: {paper}, other data" if paper else ""
        axes.set_title(f"{dataset} · {model}\n{span(panel['n_users'])} users{note}")
        axes.set(xlim=(-0.02, 1.02), ylim=(bottom, -0.6), xlabel="validity (% of users)")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        axes.set_yticks(list(places.values()), [METHOD[name].label for name in places])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.85", linewidth=0.6)
        axes.label_outer()
    handles = []
    for k, (marker, grey) in styles.items():
        printed = table.loc[table["top_k"] == k, "paper"].notna().any()
        whose = f"K = {k}, this run" if printed else f"K = {k}"
        handles.append(Line2D([], [], marker=marker, color=grey, markersize=4.5, label=whose))
        if printed:
            handles.append(Line2D([], [], marker=marker, linestyle="", **marks.HOLLOW, label=f"K = {k}, paper"))
    if controls:
        handles.append(Patch(color=style.BAND, label="controls"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(styles) + 1, 4))
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path, table: str) -> Figure:
    return validity(marks.table(table, folder), stand_ins(study))


FIGURES = {f"figure6_validity_{kind}": partial(_drawn, table=table) for kind, table in paths.VALIDITY.items()}
