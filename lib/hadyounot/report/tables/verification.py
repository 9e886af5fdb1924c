"""What it costs to prove explanations before they are shown, and how small they can be."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from ...study import paths, schemas
from ...study.cell import Cell
from .common import Table, analysed, gathered, pipes


def ceilings(cells: Iterable[Cell]) -> dict[tuple[str, str], pd.Series]:
    """By (dataset, model) the rank of each user's target, by user, after the best deletion that notebook 60 knows."""
    found = {}
    for cell in cells:
        tested = cell.read(paths.EVALUATION)
        found[cell.dataset, cell.model] = tested[tested["method"] == "oracle"].set_index("user")["rank_after"]
    return found


def markdown(frame: pd.DataFrame, best: Mapping[tuple[str, str], pd.Series], title: Callable[[str, str], str]) -> str:
    """Schema ``schemas.VERIFICATION``: for each cell a row by K and budget; and how many items the smallest have.

    Args:
        frame: the table.
        best: see ``ceilings``.
        title: of a dataset and a model.
    """
    parts = [
        "Explanations of test users that were to be proven before they are shown: propose, delete, retrain, and say "
        "only what holds. With 95 % Wilson intervals; the oracle's share is of the same users. Times are of one core.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        ranks, rows, smallest = best[dataset, model], [], []
        for (k, size, budget), some in cell.groupby(["top_k", "size", "budget"], dropna=False):
            users = len(some)
            if pd.isna(size):
                counts = some.loc[some["valid"], "n_items"].value_counts()
                counts = counts.reindex(range(1, counts.index.max() + 1 if len(counts) else 1), fill_value=0).cumsum()
                upto = [
                    f"{count} item{'s' * (count > 1)}: {100 * share / users:.1f} %" for count, share in counts.items()
                ]
                smallest.append(f"K = {k}: {'; '.join(upto) or 'none was found'}")
                continue
            low, high = proportion_confint(some["valid"].sum(), users, method="wilson")
            rows.append(
                {
                    **{"K": str(k), "models at most": str(budget), "users": str(users)},
                    "proven": f"{100 * some['valid'].mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
                    "oracle": f"{100 * (ranks[some['user']] > k).mean():.1f} %",
                    "models retrained, median": f"{some['retrained'].median():g}",
                    "seconds, median": f"{some['seconds'].median():.2g}",
                    "seconds, longest": f"{some['seconds'].max():.2g}",
                }
            )
        parts.append(f"\n## {title(dataset, model)}\n\n{pipes(pd.DataFrame(rows))}\n")
        parts.append(
            "Share of users with a proven explanation of at most so many items, the fewest being looked for:\n\n"
        )
        parts += [f"- {line}\n" for line in smallest]
    return "".join(parts)


TABLES = {
    "verification": Table(
        schemas.VERIFICATION,
        lambda cells, study: gathered(analysed(cells), paths.VERIFICATION),
        lambda frame, cells, study: markdown(frame, ceilings(analysed(cells)), study.title),
    )
}
