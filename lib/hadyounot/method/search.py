"""Eq. (9): the subset of a history whose deletion the surrogate expects to push the target down most."""

import numpy as np

from .outcomes import subsets
from .surrogates import Surrogate


def exact(weights: np.ndarray, history: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The arg max of eq. (9) for an additive surrogate: the items of largest weight, largest first.

    Args:
        weights: (n,), what deleting each item of the history adds to the surrogate's prediction.
        history: (n,), the items.
        size: explanation_size.
        rng: breaks ties.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if len(history) < size:
        raise ValueError(f"a history of {len(history)} items is smaller than the explanation size {size}")
    shuffled = rng.permutation(len(history))
    best = shuffled[np.argsort(-weights[shuffled], kind="stable")[:size]]
    return tuple(history[best].tolist())


def sampled(
    surrogate: Surrogate,
    user_embedding: np.ndarray,
    item_features: np.ndarray,
    target_embedding: np.ndarray,
    history: np.ndarray,
    size: int,
    max_candidates: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """The arg max of eq. (9) over at most ``max_candidates`` distinct subsets (section 5.1), ties broken by ``rng``.

    All C(n, size) subsets are candidates where there are no more. Items come in the order of the history.

    Args:
        surrogate: g.
        user_embedding: φ_u(u), float32 (p,).
        item_features: of each item of the history what is added up, float32 (n, f).
        target_embedding: φ_i(i), float32 (q,).
        history: I_u, items' indices, (n,).
        size: e, items of an explanation.
        max_candidates: subsets that are scored.
        rng: draws them.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    candidates = subsets(len(history), size, max_candidates, rng)
    scores = surrogate.predict(user_embedding, item_features[candidates], target_embedding)
    return tuple(history[candidates[rng.choice(np.flatnonzero(scores == scores.max()))]].tolist())


def beam(
    surrogate: Surrogate,
    user_embedding: np.ndarray,
    item_features: np.ndarray,
    target_embedding: np.ndarray,
    history: np.ndarray,
    size: int,
    width: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Eq. (9) item by item: the ``width`` best subsets of each size grow by every other item; greedy at width 1.
    Arguments as ``sampled``'s, but for ``width``.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if len(history) < size:
        raise ValueError(f"a history of {len(history)} items is smaller than the explanation size {size}")
    kept = np.empty((1, 0), dtype=np.int64)
    for _ in range(size):
        subsets = rng.permutation(grown(kept, len(history)))  # which of equals come first
        scores = surrogate.predict(user_embedding, item_features[subsets], target_embedding)
        kept = subsets[np.argsort(-scores, kind="stable")[:width]]
    return tuple(history[kept[0]].tolist())


def grown(subsets: np.ndarray, n: int) -> np.ndarray:
    """int64 (m', k + 1): every subset of n places, (m, k), with one more place; each once, ascending."""
    longer = np.hstack([np.repeat(subsets, n, axis=0), np.tile(np.arange(n), len(subsets))[:, None]])
    return np.unique(np.sort(longer[(longer[:, -1:] != longer[:, :-1]).all(axis=1)], axis=1), axis=0)


def explain(
    surrogate: Surrogate,
    user_embedding: np.ndarray,
    item_features: np.ndarray,
    target_embedding: np.ndarray,
    history: np.ndarray,
    size: int,
    max_candidates: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """E*_{u,i} of eq. (9): exact for additive surrogates, which have ``deletion_weights``, and sampled for the others.
    Arguments as ``sampled``'s.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if hasattr(surrogate, "deletion_weights"):
        return exact(surrogate.deletion_weights(item_features), history, size, rng)
    return sampled(surrogate, user_embedding, item_features, target_embedding, history, size, max_candidates, rng)
