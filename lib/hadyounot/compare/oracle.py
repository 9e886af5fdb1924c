"""The ceiling of every method: the best of many deletions that were really retrained."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from ..method.outcomes import Outcomes, candidates, compare, top_items
from ..retrain.base import Recommender
from ..retrain.ratings import Deletion, Ratings
from .settings import OracleConfig


def margins(scores: np.ndarray, candidates: np.ndarray, target: int) -> np.ndarray:
    """How far the target lies behind the best other candidate, in the units of the scores; above 0 it is not first.

    Args:
        scores: (m, n_items), the user's scores under m models.
        candidates: bool (n_items,), what may be recommended to the user; the target is one of them.
        target: index of the item.

    Returns:
        (m,), like the scores.
    """
    others = candidates.copy()
    others[target] = False
    return scores[:, others].max(axis=1) - scores[:, target]


def is_exhaustive(history: np.ndarray, size: int, config: OracleConfig) -> bool:
    """Whether the oracle retrains every subset of the history (n,), and so is exact."""
    return comb(len(history), size) <= config.exhaustive


def oracle_search(user: int, history: np.ndarray, size: int, config: OracleConfig) -> list[Deletion]:
    """What the oracle retrains first for a user: every ``size``-item subset of the history (n,) where there are at
    most ``config.exhaustive`` of them, every single item elsewhere.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if len(history) < size:
        raise ValueError(f"user {user} has a history of {len(history)} items, fewer than the explanation size {size}")
    each = size if is_exhaustive(history, size, config) else 1
    return [Deletion(user, items) for items in combinations(history.tolist(), each)]


def oracle_refine(
    searched: Sequence[Deletion], margins: np.ndarray, size: int, config: OracleConfig, rng: np.random.Generator
) -> list[Deletion]:
    """What the oracle retrains next: every ``size``-item subset of the ``config.shortlist`` items whose single
    deletions hurt the target most; nothing where ``searched`` was exhaustive.

    The hurt is the target's ``margin``, which also orders the items that leave the target first: on a rank most
    single deletions tie.

    Args:
        searched: what ``oracle_search`` returned.
        margins: (len(searched),), the target's margin after each.
        size: explanation_size.
        config: the oracle's settings.
        rng: breaks ties.
    """
    if len(searched[0].items) == size:
        return []
    shuffled = rng.permutation(len(searched))
    worst = shuffled[np.argsort(-margins[shuffled], kind="stable")[: max(size, config.shortlist)]]
    shortlist = sorted(searched[k].items[0] for k in worst)
    return [Deletion(searched[0].user, items) for items in combinations(shortlist, size)]


def oracle_pool(
    recommender: Recommender, ratings: Ratings, user: int, size: int, config: OracleConfig, rng: np.random.Generator
) -> tuple[Outcomes, int]:
    """What became of a user's top recommendation after each deletion that the oracle chooses from.

    Returns:
        the outcomes of (n, 1) deletions of ``size`` items each, and how many models were retrained in all.
    """
    searched = oracle_search(user, ratings.history(user), size, config)
    before, *after = recommender.retrain(ratings, [Deletion(user, ()), *searched])
    eligible = candidates(ratings, user)
    behind = margins(np.stack(after), eligible, int(top_items(before, eligible, 1)[0]))
    refined = oracle_refine(searched, behind, size, config, rng)
    pool, after = (refined, recommender.retrain(ratings, refined)) if refined else (searched, np.stack(after))
    outcomes = compare(ratings, pool, np.broadcast_to(before, after.shape), after, n_targets=1)
    return outcomes, 1 + len(searched) + len(refined)


def best_of(rank_after: np.ndarray, rng: np.random.Generator) -> int:
    """The oracle's choice among really retrained deletions: the index of the largest ``rank_after`` (n,), ties
    broken by ``rng``. It is valid at every K at which any of them is; with every method's explanation among
    them, the oracle is never below a method.
    """
    return int(rng.choice(np.flatnonzero(rank_after == rank_after.max())))
