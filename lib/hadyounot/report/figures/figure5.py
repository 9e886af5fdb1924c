"""Figure 5: how long one explanation takes."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD
from .. import style
from . import marks


def generation_time(times: Mapping[str, pd.DataFrame]) -> Figure:
    """Wall time of one explanation by method, on a logarithmic axis; a panel for each cell.

    Args:
        times: schema ``schemas.GENERATION_TIME``, by what the panel is called.
    """
    style.use()
    every = pd.concat(list(times.values()))
    places = marks.places(every["method"])
    figure, panels = marks.panels(len(times), 0.7 + 0.18 * len(places), "wall time (s)")
    for axes, (called, cell) in zip(panels, times.items(), strict=True):
        beside = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False, "fontsize": 7}
        for name, place in places.items():
            seconds = cell.loc[cell["method"] == name, "seconds"].to_numpy()
            if len(seconds):
                median = marks.of_users(axes, place, name, seconds, METHOD[name].color)
                axes.annotate(EngFormatter("s")(float(f"{median:.2g}")), (1.02, place), **beside)
        axes.annotate("median", (1.02, -0.78), color=style.FAINT, **beside)
        marks.in_seconds(axes, every["seconds"])
        marks.title(axes, called)
        marks.of_methods(axes, places)
    figure.legend(handles=[*marks.USERS, marks.CONTROLS], loc="outside lower center", ncols=3)
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    return generation_time({marks.above(cell.title): cell.read(paths.GENERATION_TIME) for cell in cells})


FIGURES = {"figure5_generation_time": _drawn}
