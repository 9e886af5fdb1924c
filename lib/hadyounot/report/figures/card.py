"""One explanation and its proof."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...method.outcomes import top_items
from ...retrain.ratings import Deletion
from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, METHODS, in_order
from .. import style
from .layout import Card


def verified_example(cell: Cell, best_rated: int = 6, shown: int = 5) -> dict[str, Any] | None:
    """What ``example_card`` shows: the first explanation that held at K = 1, in the order of the test users
    and, for one user, of ``METHODS``; controls are passed over. None where none of them held.
    """
    rows = cell.read(paths.EVALUATION)
    explaining = [method.name for method in METHODS if method.role != "control"]
    held = rows[(rows["rank_after"] > 1) & rows["method"].isin(explaining)].set_index("user")
    users = [user for user in cell.test_users.tolist() if user in held.index]
    if not users:
        return None
    user = users[0]
    found = held.loc[[user]].set_index("method")
    name = in_order(found.index)[0]
    explanation = found.loc[name]
    train, titles, deleted = cell.train, cell.ratings.titles, explanation["items"]
    before, after = cell.recommender().retrain(train, [Deletion(user, ()), Deletion(user, tuple(deleted.tolist()))])
    eligible = cell.candidates(user)
    watched = train.rows_of(user)
    best = watched[np.argsort(-train.values[watched], kind="stable")][:best_rated]
    return {
        "watched": [(titles[train.items[row]], float(train.values[row])) for row in best],
        "n_watched": len(watched),
        "explanation": titles[deleted].tolist(),
        "before": titles[top_items(before, eligible, shown)].tolist(),
        "after": titles[top_items(after, eligible, shown)].tolist(),
        "rank_after": int(explanation["rank_after"]),
        "footer": f"{cell.dataset}, {cell.model}, user {cell.ratings.user_ids[user]}; {METHOD[name].label}. "
        "Both lists are of models trained from scratch.",
    }


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
    card = Card(width)

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
    card = Card(540)
    return card.draw(0, [], card.text(18, 26, text, 504, 10))


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    example = next(filter(None, map(verified_example, cells)), None)
    return example_card(**example) if example else notice("No explanation removed a recommendation.")


FIGURES = {"example_card": _drawn}
