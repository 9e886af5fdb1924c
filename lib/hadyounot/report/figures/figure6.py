"""Figure 6: how many explanations hold."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD
from .. import style, tables
from ..tables.common import span, stand_ins
from ..tables.validity import indifferent
from . import marks


def validity(
    table: pd.DataFrame,
    titles: Mapping[tuple[str, str], str] | None = None,
    papers: Mapping[str, str] | None = None,
    ties: Mapping[tuple[str, str], Sequence[str]] | None = None,
) -> Figure:
    """Validity with its Wilson interval by method and K, beside the paper's; one panel per dataset and model.

    Args:
        table: schema ``schemas.TABLE_VALIDITY``.
        titles: of each (dataset, model); their names by default.
        papers: what the paper's dataset is called, by the dataset that stands in for it.
        ties: see ``tables.validity.indifferent``.
    """
    style.use()
    places, styles = marks.places(table["method"]), style.top_k_styles(table["top_k"])
    first = next(iter(styles))
    offsets = dict(zip(styles, np.linspace(-0.27, 0.27, len(styles)) if len(styles) > 1 else [0], strict=True))
    cells = list(table.groupby(["dataset", "model"], sort=False))
    row = 0.29 if len(cells) <= 3 else 0.18  # inches: two rows of panels fit on a page, too
    figure, panels = marks.panels(len(cells), 0.8 + row * len(places), "validity (% of users)")
    for axes, ((dataset, model), panel) in zip(panels, cells, strict=True):
        for row in panel.itertuples():
            marker, grey = styles[row.top_k]
            y, size = places[row.method] + offsets[row.top_k], 4.5 if row.top_k == first else 3
            bar = {"color": grey, "linewidth": 1.3, "solid_capstyle": "butt"}
            axes.plot([row.ci_low, row.ci_high], [y, y], **bar)
            axes.plot(row.validity, y, marker, color=grey, markersize=size, clip_on=False)
            if pd.notna(row.paper):
                axes.plot(row.paper, y, marker, **marks.HOLLOW | {"markersize": size + 1.5}, clip_on=False)
        for name in (ties or {}).get((dataset, model), ()):
            axes.annotate("‡", (1.02, places[name]), xycoords=("axes fraction", "data"), va="center")
        paper = (papers or {}).get(dataset) if panel["paper"].notna().any() else None
        note = f"\npaper: {paper}" if paper else ""
        called = (titles or {}).get((dataset, model), f"{dataset}\n{model}")
        marks.title(axes, f"{called}\n{span(panel['n_users'])} users{note}")
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
        marks.of_methods(axes, places)
    handles: list[Artist] = []
    for k, (marker, grey) in styles.items():
        printed = table.loc[table["top_k"] == k, "paper"].notna().any()
        whose = f"K = {k}, this run" if printed else f"K = {k}"
        handles.append(Line2D([], [], marker=marker, color=grey, markersize=4.5, label=whose))
        if printed:
            handles.append(Line2D([], [], marker=marker, linestyle="", **marks.HOLLOW, label=f"K = {k}, paper"))
    if any(METHOD[name].role == "control" for name in places):
        handles.append(marks.CONTROLS)
    if ties and any(ties.values()):
        handles.append(Line2D([], [], marker="$‡$", linestyle="", color=style.INK, label="names any items"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(styles) + 1, 4))
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path, table: str) -> Figure:
    frame = tables.read(table, folder)
    cells = [cell for cell in cells if cell.model in set(frame["model"])]
    titles = {(cell.dataset, cell.model): marks.above(cell.title) for cell in cells}
    papers = {name: study.titles.get(paper, paper) for name, paper in stand_ins(study).items()}
    return validity(frame, titles, papers, indifferent(cells))


FIGURES = {f"figure6_validity_{kind}": partial(_drawn, table=table) for kind, table in paths.VALIDITY.items()}
