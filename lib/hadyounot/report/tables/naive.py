"""Algorithm 2: what any deletion up to a size can do."""

from collections.abc import Callable, Iterable

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from ...study import paths, schemas
from ...study.cell import Cell
from .common import Table, analysed, pipes, texts


def naive(cells: Iterable[Cell]) -> pd.DataFrame:
    """Schema ``schemas.TABLE_NAIVE``: one row per cell, K and size."""
    rows = []
    for cell in cells:
        tried = cell.read(paths.NAIVE)
        n_users = tried["user"].nunique()
        for k in cell.study.explanation.top_k:
            removable: set[int] = set()
            for size in range(1, cell.study.naive.max_size + 1):
                some = tried[(tried["top_k"] == k) & (tried["size"] == size)]
                exactly = set(some.loc[some["n_removing"] > 0, "user"])
                removable |= exactly
                low, high = proportion_confint(len(removable), n_users, method="wilson") if n_users else (None, None)
                rows.append(
                    {
                        **{"dataset": cell.dataset, "model": cell.model, "top_k": k, "size": size, "n_users": n_users},
                        **{"n_removable": len(exactly), "n_removable_upto": len(removable)},
                        "share_upto": len(removable) / n_users if n_users else None,
                        **{"ci_low": low, "ci_high": high},
                        "mean_subset_share": (some["n_removing"] / some["n_subsets"]).mean(),
                    }
                )
    shares = ("share_upto", "ci_low", "ci_high", "mean_subset_share")
    return pd.DataFrame(rows, columns=list(schemas.TABLE_NAIVE.columns)).astype(dict.fromkeys(shares, float))


def markdown(frame: pd.DataFrame, title: Callable[[str, str], str]) -> str:
    """Schema ``schemas.TABLE_NAIVE``: a table for each dataset and model, of this ``title``."""
    parts = [
        "Every deletion up to a size, really retrained (Algorithm 2, by size), for users with short histories: no "
        "method that names so many items can remove the recommendation of more of them. In brackets 95 % Wilson "
        "intervals.\n"
    ]
    for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False):
        n_users = rows["n_users"].iloc[0]
        parts.append(f"\n## {title(dataset, model)} ({n_users} users)\n\n")
        if not n_users:
            parts.append("No user's history is as short as `naive.max_history` asks: nothing was retrained.\n")
            continue
        shown = pd.DataFrame(
            {
                "K": rows["top_k"].astype(str),
                "items deleted": rows["size"].astype(str),
                "users with one of just this size": rows["n_removable"].astype(str),
                "with one of at most this size": [
                    f"{row.n_removable_upto}: {100 * row.share_upto:.1f} %"
                    f" [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
                    for row in rows.itertuples()
                ],
                "share of a user's deletions that remove": texts(100 * rows["mean_subset_share"], "{:.2f} %"),
            }
        )
        parts.append(pipes(shown))
    return "".join(parts)


TABLES = {
    "naive": Table(
        schemas.TABLE_NAIVE,
        lambda cells, study: naive(analysed(cells)),
        lambda frame, cells, study: markdown(frame, study.title),
    )
}
