"""One explanation and its proof."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...method.outcomes import top_items
from ...retrain.ratings import Deletion
from ...study import paths
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import METHOD, METHODS
from .. import style
from .layout import Card

# who is shown, the first of these that has an explanation that held: ours, whatever else learns, baselines
PREFERRED = sorted(
    (method for method in reversed(METHODS) if method.role != "control"),
    key=lambda method: 0 if method.role == "ours" else 1 if method.learner else 2,
)

BEST_RATED = 6  # titles of a history


def verified_example(cells: Iterable[Cell], shown: int = 5) -> dict[str, Any] | None:
    """What ``example_card`` shows: of the first of ``PREFERRED`` with an explanation that held at K = 1, one that left
    the list of the ``shown`` best, if there is one; of several, the first in the order of cells and test users. None
    where no explanation held.
    """
    places = {method.name: place for place, method in enumerate(PREFERRED)}
    held = []
    for number, cell in enumerate(cells):
        rows = cell.read(paths.EVALUATION)
        rows = rows[(rows["rank_after"] > 1) & rows["method"].isin(places)]
        turns = {user: turn for turn, user in enumerate(cell.test_users.tolist())}
        for row in rows.itertuples():
            order = places[row.method], row.rank_after <= shown, number, turns[row.user]
            held.append((order, cell, row))
    if not held:
        return None
    _, cell, explanation = min(held, key=lambda each: each[0])
    user, train, titles, deleted = explanation.user, cell.train, cell.ratings.titles, explanation.items
    before = cell.trained.scores([user])[0]
    (after,) = cell.recommender().retrain(train, [Deletion(user, tuple(deleted.tolist()))])
    eligible = cell.candidates(user)
    rows = train.rows_of(user)
    stars = dict(zip(train.items[rows].tolist(), train.values[rows].tolist(), strict=True))
    best = sorted(stars, key=lambda item: -stars[item])[:BEST_RATED]
    return {
        "rated": [(titles[item], stars[item]) for item in best],
        "n_rated": len(rows),
        "explanation": [(titles[item], stars[item]) for item in deleted.tolist()],
        "before": titles[top_items(before, eligible, shown)].tolist(),
        "after": titles[top_items(after, eligible, shown)].tolist(),
        "rank_after": int(explanation.rank_after),
        "footer": f"{cell.title}, user {cell.ratings.user_ids[user]}; "
        f"{METHOD[explanation.method].label}. Both lists are of really trained models.",
    }


def example_card(
    rated: Sequence[tuple[str, float]],
    n_rated: int,
    explanation: Sequence[tuple[str, float]],
    before: Sequence[str],
    after: Sequence[str],
    rank_after: int,
    footer: str,
) -> Figure:
    """One explanation and its proof, as a card.

    Args:
        rated: titles and ratings (stars) from the user's history, best first.
        n_rated: how long the whole history is.
        explanation: titles and ratings of the deleted items, E.
        before: titles of the best recommendations, best first; the first is the target.
        after: the same of the model retrained without the explanation.
        rank_after: the target's rank there, greater than 1.
        footer: where the example comes from.
    """
    style.use()
    target, width, margin, gap = before[0], 72 * style.PAGE, 18, 14
    inner = width - 2 * margin
    card = Card(width)

    header = card.text(margin, 26, f"We recommend: {target}", inner, 13, weight="bold", color="white") - 4
    claim = f"Had you not rated these {len(explanation)}, we would not recommend it:"
    y = card.text(margin, header + 22, claim, inner, 10)
    gone = {"weight": "bold", "color": style.ACCENT}
    for title, value in explanation:
        y = card.text(margin + 110, y + 4, title, inner - 110, 10.5, bullet=f"removed: {value:g} ★", **gone)
    top = y + 18

    column = (inner - 2 * gap) / 3
    lefts = [margin + k * (column + gap) for k in range(3)]
    headings = (
        f"{len(rated)} best of the {n_rated:,} rated",
        "Recommended",
        f"Retrained without the {len(explanation)}",
    )
    heads = [card.text(x, top, text, column, 9, weight="bold") for x, text in zip(lefts, headings, strict=True)]
    start = max(heads) + 4
    bottoms = [start]
    y, deleted = start, Counter(explanation)  # titles may be of several items
    for title, value in rated:
        font = gone if deleted[title, value] > 0 else {}
        deleted[title, value] -= 1
        y = card.text(lefts[0] + 32, y, title, column - 32, 8, bullet=f"{value:g} ★", **font) + 2
    bottoms.append(y)
    for x, titles, best in ((lefts[1], before, 1), (lefts[2], after, rank_after)):  # of equals others may come first
        places = [rank for rank, title in enumerate(titles, start=1) if title == target and rank >= best][:1]
        y = start
        for rank, title in enumerate(titles, start=1):
            y = card.ranked(x, y, column, rank, title, highlight=rank in places)
        if not places:
            if rank_after > len(titles) + 1:
                y = card.text(x + 19, y, "⋮", column, 8, color=style.FAINT) + 2
            y = card.ranked(x, y, column, rank_after, target, highlight=True)
        bottoms.append(y)
    rule = max(bottoms) + 2
    bottom = card.text(margin, rule + 14, footer, inner, 7)
    return card.draw(header, [top - 16, rule], bottom)


def notice(text: str) -> Figure:
    """A card that says that there is nothing to show."""
    style.use()
    width = 72 * style.PAGE
    card = Card(width)
    return card.draw(0, [], card.text(18, 26, text, width - 36, 10))


def _drawn(study: StudyConfig, cells: list[Cell], folder: Path) -> Figure:
    example = verified_example(cells)
    return example_card(**example) if example else notice("No explanation removed a recommendation.")


FIGURES = {"example_card": _drawn}
