"""Explanations that are proved before they are shown: propose, delete, retrain, look."""

from dataclasses import dataclass
from math import comb
from time import perf_counter

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from ..method.outcomes import candidates, ranks, top_items
from ..retrain.base import Model, Recommender
from ..retrain.ratings import Deletion, Ratings, index_of, is_index
from ..retrain.simd import LANES
from .oracle import margins
from .proposals import POOL, best_subsets, changes, corrected

LARGEST = 5  # explanation that is looked for where no size is asked for
RUNNERS_UP = 200  # other candidates that proposals reckon with: those with the highest scores before
FITTED = "give what the recommender's fit(ratings) returns, or leave it out"
TRIED = ["items", "predicted_margin", "rank_after"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Items of a history without which the target is not recommended, or the best that was found instead of them.

    Attributes:
        user: index of the user.
        target: index of the item that is explained.
        items: indices of the deleted items, in the order of the history.
        top_k: K, how many items are recommended.
        valid: whether the target is outside of the top K of the model retrained without the items, eq. (2).
        rank_before: of the target among the candidates of the original model, 1 is the best.
        rank_after: likewise of the model retrained without the items; a deleted item is no candidate where the
            recommender removes what was seen.
        retrained: how many models were retrained; a ``BlackBox`` retrains one of each batch once more, to see that it
            repeats.
        seconds: of wall time, the original's training included where it was not given.
        tried: a row for each retrained model, in order: ``items``; ``predicted_margin``, by how much the K-th best
            other candidate was expected to lead before the target, in units of the scores; ``rank_after``.
    """

    user: int
    target: int
    items: tuple[int, ...]
    top_k: int
    valid: bool
    rank_before: int
    rank_after: int
    retrained: int
    seconds: float
    tried: pd.DataFrame


@threadpool_limits.wrap(limits=1)  # the bits of proposals, and so ties, depend on the number of BLAS threads
def explain(
    recommender: Recommender,
    ratings: Ratings,
    user: int,
    target: int | None = None,
    top_k: int = 1,
    size: int | None = 3,
    budget: int = 64,
    trained: Model | None = None,
) -> Explanation:
    """Which items of the user's history made the recommender recommend the target: without them it really does not.

    Deletions are proposed by predicted margin (``proposals``), as many at a time as there are lanes, and retrained. The
    first batch in which any removes the target ends the search, and of that one the deletion that pushes it furthest
    is shown. Where none does, what was seen corrects the predictions, and more are proposed. If none ever does, the
    explanation is the best of them, and not ``valid``. The same arguments give the same explanation.

    Args:
        recommender: what is explained, of any kind.
        ratings: what it is trained on.
        user: index.
        target: index of an item among the user's top K; None is the first of them.
        top_k: K.
        size: how many items to delete. None looks for the fewest, up to ``LARGEST``: sizes are tried from 1 on, each
            with an equal share of the budget that is left, while it is for a model at least.
        budget: models retrained at most. Where it suffices for all subsets of the history (where no size is given, of
            all sizes up to ``LARGEST``), a valid explanation is found if there is one, and the smallest; elsewhere one
            may be missed.
        trained: what ``recommender`` makes of the ratings; it is trained where this is not given.

    Raises:
        ValueError: the user is unknown; the history is smaller than ``size``; a number is no positive integer; the user
            has no more candidates than K; the target is none of them, or not among the top K; or the recommender, the
            ratings or ``trained`` are of another kind.
    """
    started = perf_counter()
    _check_kinds(recommender, ratings, trained)
    history, eligible = _checked(recommender, ratings, user, target, top_k, size, budget)
    user, top_k, budget = int(user), int(top_k), int(budget)  # small NumPy integers overflow
    size = None if size is None else int(size)
    model = recommender.fit(ratings) if trained is None else trained
    before = model.scores([user])[0]
    target = int(top_items(before, eligible, 1)[0] if target is None else target)
    rank_before = int(ranks(before, eligible, np.array([target]))[0])
    if rank_before > top_k:
        raise ValueError(
            f"item {target} has rank {rank_before} for user {user}, so it is not among the top {top_k}: raise top_k to "
            f"{rank_before}, or leave the target out to explain the first item"
        )
    others = eligible.copy()
    others[target] = False
    contenders = np.append(target, top_items(before, others, max(RUNNERS_UP, top_k)))
    scores, prior = before[contenders].astype(np.float64), changes(model, ratings, recommender, user)[:, contenders]
    deleted, seen = np.empty((0, len(history))), np.empty((0, len(contenders)))
    tried: dict[tuple[int, ...], tuple[float, int, float]] = {}
    most = min(LARGEST, len(history), len(ratings) - 1)  # without any rating nothing can be trained
    sizes = range(1, most + 1) if size is None else range(size, size + 1)
    found = False
    for each in sizes:
        left, later = budget - len(tried), sum(comb(len(history), larger) for larger in sizes if larger > each)
        share = max(left // (sizes.stop - each), left - later, min(1, left))  # what larger ones cannot use is for this
        while share > 0 and not found:
            expected = corrected(prior, deleted, seen)
            subsets, predicted = best_subsets(scores, expected, each, top_k, max(POOL, budget))
            new = [row for row, places in enumerate(subsets.tolist()) if tuple(history[places].tolist()) not in tried]
            if not (new := new[: min(LANES, share)]):
                break
            deletions = [Deletion(user, tuple(items)) for items in history[subsets[new]].tolist()]
            after = recommender.retrain(ratings, deletions)
            rank_after = [int(ranks(row, eligible, np.array([target]))[0]) for row in after]
            margin = margins(after, eligible, target, top_k).tolist()
            for deletion, *row in zip(deletions, predicted[new].tolist(), rank_after, margin, strict=True):
                tried[deletion.items] = tuple(row)
            found, share = max(rank_after) > top_k, share - len(new)
            deleted = np.vstack([deleted, (subsets[new][..., None] == np.arange(len(history))).any(axis=1)])
            seen = np.vstack([seen, after[:, contenders] - scores])
    items, (_, rank_after, _) = max(tried.items(), key=lambda each: each[1][1:])
    table = pd.DataFrame([(items, *row[:2]) for items, row in tried.items()], columns=TRIED)
    return Explanation(
        user=user,
        target=target,
        items=items,
        top_k=top_k,
        valid=bool(rank_after > top_k),
        rank_before=rank_before,
        rank_after=rank_after,
        retrained=len(tried),
        seconds=perf_counter() - started,
        tried=table,
    )


def _check_kinds(recommender: Recommender, ratings: Ratings, trained: Model | None) -> None:
    """Raises:
    ValueError: as ``explain``, of what is no recommender, no ratings or no model.
    """
    is_class = isinstance(recommender, type)
    kind = recommender.__name__ if is_class else type(recommender).__name__
    if not hasattr(recommender, "retrain"):
        said, wrapped = (kind, kind) if is_class else (f"a {kind}", f"{kind}(...)")
        raise ValueError(f"recommender is {said}, which cannot retrain: wrap it, hyn.BlackBox({wrapped})")
    if is_class:
        raise ValueError(f"recommender is the class {kind}: make one, {kind}()")
    if not isinstance(ratings, Ratings):
        fix = "give Ratings.from_arrays(users, items, values), of three columns"
        raise ValueError(f"ratings is a {type(ratings).__name__}: {fix}")
    if trained is not None and (hasattr(trained, "fit") or not hasattr(trained, "user_embeddings")):
        raise ValueError(f"trained is a {type(trained).__name__}: {FITTED}")
    if trained is not None and not isinstance(trained, getattr(recommender, "makes", object)):
        raise ValueError(f"trained is a {type(trained).__name__}, which no {kind} makes: {FITTED}")
    for what in ("user", "item") if trained is not None else ():
        known, due = len(getattr(trained, f"{what}_embeddings")), getattr(ratings, f"n_{what}s")
        if known != due:
            raise ValueError(f"trained has {known} {what}s, and the ratings {due}: {FITTED}")


def _checked(
    recommender: Recommender,
    ratings: Ratings,
    user: int,
    target: int | None,
    top_k: int,
    size: int | None,
    budget: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The user's history (n,), and bool (n_items,), what may be recommended to the user.

    Raises:
        ValueError: as ``explain``, before anything is trained.
    """
    least = 1 if size is None else size
    for name, number in {"top_k": top_k, "size": least, "budget": budget}.items():
        if not is_index(number) or number < 1:
            raise ValueError(f"{name} is {number!r}: give an integer from 1 on")
    history = ratings.history(user)
    if len(history) < least:
        raise ValueError(f"user {user} has a history of {len(history)} items, fewer than the explanation size {least}")
    eligible = candidates(ratings, user, recommender.remove_seen)
    count = int(np.count_nonzero(eligible))
    if count <= top_k:
        if count > 1:
            fix = f"lower top_k to {count - 1}"
        else:
            readmit = ", or set remove_seen=False in the recommender, by which rated items are candidates too"
            fix = "leave the user out" + readmit * recommender.remove_seen
        raise ValueError(f"user {user} has {count} candidate items, so none can leave the top {top_k}: {fix}")
    if target is not None and (not is_index(target) or not 0 <= target < ratings.n_items):
        known = f"unknown item index {target!r} (there are {ratings.n_items} items); .item_ids holds the ids"
        raise ValueError(known + index_of("item", target, ratings.item_ids))
    if target is not None and not eligible[target]:
        why = "rated it" if target in history else "cannot be offered it, as nobody rated it"
        raise ValueError(f"item {target} is no candidate for user {user}, who {why}: name an item of the top {top_k}")
    return history, eligible
