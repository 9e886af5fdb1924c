"""The ceiling of every method: the best of many deletions that were really retrained."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from ..method.outcomes import Outcomes, candidates, compare, top_items
from ..retrain.base import Model, Recommender
from ..retrain.ratings import Deletion, Ratings
from .settings import OracleConfig


def margins(scores: np.ndarray, candidates: np.ndarray, target: int, top_k: int = 1) -> np.ndarray:
    """How far the target lies behind the K-th best other candidate, in the units of the scores; above 0 it is not among
    the top K.

    Args:
        scores: (m, n_items), the user's scores under m models.
        candidates: bool (n_items,), what may be recommended to the user; the target is one of them.
        target: index of the item.
        top_k: K.

    Returns:
        (m,), like the scores; minus infinity where K others are not to be had, and it stays in the list.
    """
    others = candidates.copy()
    others[target] = False
    if np.count_nonzero(others) < top_k:
        return np.full(len(scores), -np.inf, scores.dtype)
    return np.partition(scores[:, others], -top_k, axis=1)[:, -top_k] - scores[:, target]


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


def oracle_pools(
    recommender: Recommender,
    ratings: Ratings,
    trained: Model,
    users: Sequence[int],
    size: int,
    config: OracleConfig,
    rngs: Sequence[np.random.Generator],
) -> tuple[list[Outcomes], int]:
    """What became of each user's top recommendation after each deletion that the oracle chooses from. The users'
    deletions are retrained together, which fills the lanes.

    Args:
        recommender: what is retrained.
        ratings: the original training ratings.
        trained: what ``recommender`` makes of them.
        users: n users.
        size: explanation_size.
        config: the oracle's settings.
        rngs: n, each user's breaks ties.

    Returns:
        for each user the outcomes of (m, 1) deletions of ``size`` items each; and how many models were retrained.
    """
    before = trained.scores(users)
    searched = [oracle_search(user, ratings.history(user), size, config) for user in users]
    after = _retrained(recommender, ratings, searched)
    refined = []
    for user, old, deletions, new, rng in zip(users, before, searched, after, rngs, strict=True):
        eligible = candidates(ratings, user, recommender.remove_seen)
        behind = margins(new, eligible, int(top_items(old, eligible, 1)[0]))
        refined.append(oracle_refine(deletions, behind, size, config, rng))
    again = _retrained(recommender, ratings, refined)
    pools = []
    for old, deletions, new, better, newer in zip(before, searched, after, refined, again, strict=True):
        pool, scores = (better, newer) if better else (deletions, new)
        old = np.broadcast_to(old, scores.shape)
        pools.append(compare(ratings, pool, old, scores, 1, recommender.remove_seen))
    return pools, sum(map(len, searched)) + sum(map(len, refined))


def _retrained(recommender: Recommender, ratings: Ratings, parts: Sequence[list[Deletion]]) -> list[np.ndarray]:
    """Scores after each deletion, float32 (len(part), n_items) for each part; all are retrained at once."""
    everything = [deletion for part in parts for deletion in part]
    scores = recommender.retrain(ratings, everything) if everything else np.empty((0, ratings.n_items), np.float32)
    return np.split(scores, np.cumsum([len(part) for part in parts])[:-1])


def best_of(rank_after: np.ndarray, rng: np.random.Generator) -> int:
    """The oracle's choice among really retrained deletions: the index of the largest ``rank_after`` (n,), ties
    broken by ``rng``. It is valid at every K at which any of them is; with every method's explanation among
    them, the oracle is never below a method.
    """
    return int(rng.choice(np.flatnonzero(rank_after == rank_after.max())))
