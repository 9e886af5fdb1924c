"""Figure 5: how long one explanation takes."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, in_order
from .. import style
from . import marks


def generation_time(times: pd.DataFrame, title: str = "") -> Figure:
    """Wall time of one explanation by method, on a logarithmic axis.

    Args:
        times: schema ``schemas.GENERATION_TIME``.
        title: which dataset and model.
    """
    style.use()
    methods = [METHOD[name] for name in in_order(times["method"])]
    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.34 * len(methods)))
    for row, method in enumerate(methods):
        seconds = times.loc[times["method"] == method.name, "seconds"].to_numpy()
        median = marks.of_users(axes, row, method.name, seconds, method.color)
        axes.annotate(
            EngFormatter("s")(float(f"{median:.2g}")),
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
        )
    axes.annotate("median", (1.02, -0.75), xycoords=("axes fraction", "data"), color=style.FAINT, va="center")
    marks.in_seconds(axes, times["seconds"])
    axes.set(xlabel="wall time of one explanation", title=title)
    marks.rows(axes, [method.label for method in methods])
    figure.legend(handles=marks.USERS, loc="outside lower center", ncols=2)
    return figure


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    (cell,) = cells
    return generation_time(cell.read(paths.GENERATION_TIME), cell.title)


FIGURES = {"figure5_generation_time": _drawn}
