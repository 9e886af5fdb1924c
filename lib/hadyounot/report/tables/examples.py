"""Explanations in words, and whether they hold."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ...rng import generator
from ...study import paths
from ...study.cell import Cell
from ...study.methods import METHOD, in_order
from .common import pipes

BEST_RATED = 5  # titles of a history; equal ratings are ordered by the study's seed
LONGEST = 70  # title, in characters


def examples(cells: Iterable[Cell]) -> str:
    """Of each cell the first ``explanation.examples`` test users."""
    return "\n".join(map(examples_of, cells))


def examples_of(cell: Cell) -> str:
    """The first ``explanation.examples`` test users in Markdown: history, recommendation, explanations, their fate.

    Args:
        cell: evaluated.
    """
    titles, tests = cell.ratings.titles, dict(list(cell.read(paths.EVALUATION).groupby("user")))
    users = cell.test_users[: cell.study.explanation.examples]
    parts = [
        f"# {cell.title}: {len(users)} users, every explanation tested\n\nEach was deleted from the "
        "user's history and the recommender retrained; the rank is where the recommendation was then.\n"
    ]
    for user in users:
        rows = cell.train.rows_of(user)
        chance = generator(cell.study.seed, "examples", int(user)).random(len(rows))
        best = rows[np.lexsort((chance, -cell.train.values[rows]))][:BEST_RATED]
        rated = [f"{_escaped(titles[cell.train.items[row]])} ({cell.train.values[row]:g})" for row in best]
        tested = tests[user].set_index("method")
        tested = tested.loc[in_order(tested.index)]
        shown = pd.DataFrame(
            {
                "method": [METHOD[name].label for name in tested.index],
                "had you not rated": [
                    "; ".join(_escaped(titles[item]) for item in items) or "*(nothing deleted)*"
                    for items in tested["items"]
                ],
                "rank after": tested["rank_after"].astype(str),
                "really removed?": [
                    _fate(name, rank, cell.study.explanation.top_k) for name, rank in tested["rank_after"].items()
                ],
            }
        )
        parts.append(
            f"\n## User {_escaped(str(cell.ratings.user_ids[user]))}\n\n"
            f"**Rated** {len(rows)}, best: {'; '.join(rated)}\n\n"
            f"**Recommended:** {_escaped(titles[tested['target'].iloc[0]])}\n\n{pipes(shown)}"
        )
    return "".join(parts)


def _fate(method: str, rank: int, top_k: Sequence[int]) -> str:
    left = [k for k in top_k if rank > k]
    if left:
        return f"yes, out of the top {max(left)}"
    return "**no**" + ": none was proven, these came nearest" * METHOD[method].proves


def _escaped(title: str) -> str:
    """A title in one line of a Markdown table cell."""
    title = " ".join(title.split())
    title = title if len(title) <= LONGEST else title[: LONGEST - 1].rstrip() + "…"
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", title)
