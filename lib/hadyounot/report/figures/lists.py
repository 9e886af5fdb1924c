"""Two lists of recommendations beside each other, and what moved."""

import pandas as pd
from matplotlib.figure import Figure

from .. import style
from .layout import written


def slope(moved: pd.DataFrame, target: int, shown: int) -> Figure:
    """A line from each item's rank before to its rank after; what is not among the first lies below them.

    Args:
        moved: ``item``, ``title``, ``rank_before``, ``rank_after``; a row for each item.
        target: the item that is drawn in bold.
        shown: how long the lists are.
    """
    style.use()
    figure = Figure(figsize=(7.2, 3.9))
    axes = figure.add_subplot()
    for row in moved.itertuples():
        ends = [min(rank, shown + 1) for rank in (row.rank_before, row.rank_after)]
        bold = row.item == target
        stays = max(ends) <= shown
        axes.plot(
            *([0, 1], ends),
            color=style.INK if bold else style.FAINT,
            linewidth=2.6 if bold else 1,
            linestyle="-" if stays or bold else ":",
            marker="o",
            markersize=6 if bold else 4,
            zorder=3 if bold else 2,
        )
        weight = "bold" if bold else "normal"
        for x, end, rank, side in ((-0.05, ends[0], row.rank_before, "right"), (1.05, ends[1], row.rank_after, "left")):
            if rank <= shown or bold:
                title = row.title if len(row.title) <= 34 else f"{row.title[:33].rstrip()}…"
                label = f"{title}  {rank}" if side == "right" else f"{rank}  {title}"
                label, families, _ = written(label, weight)
                font = {"fontsize": 8, "weight": weight, "family": families}
                axes.text(x, end, label, ha=side, va="center", parse_math=False, **font)
    axes.set(xlim=(-1.15, 2.15), ylim=(shown + 1.6, -0.1))
    for x, text in ((0, "before"), (1, "retrained")):
        axes.text(x, 0.1, text, ha="center", va="center", fontsize=9, color=style.INK)
    axes.axhline(shown + 0.5, color=style.FAINT, linewidth=0.6, linestyle=(0, (2, 3)))
    axes.axis("off")
    return figure
