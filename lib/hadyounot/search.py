"""Eq. (9): the subset of a history whose deletion the surrogate expects to push the target down most."""

import math

import numpy as np

from .surrogates import Surrogate


def subsets(n: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` distinct subsets of 0..n-1, every set of them equally likely; all C(n, size) if there are no more.

    Subsets are numbered by the combinatorial number system (Knuth, TAOCP 4A, 7.2.1.3, theorem L), so that
    drawing distinct subsets is drawing distinct numbers.

    Returns:
        int32 (min(count, C(n, size)), size), in an order drawn by ``rng``; members ascend within a subset.

    Raises:
        ValueError: n is smaller than size, or C(n, size) does not fit in 63 bits.
    """
    if n < size:
        raise ValueError(f"a history of {n} items has no subset of size {size}; explain users with at least {size}")
    total = math.comb(n, size)
    if total >= 2**63:
        raise ValueError(f"C({n}, {size}) subsets are too many to number in 63 bits; lower the explanation size")
    left = rng.permutation(total) if total <= count else rng.choice(total, count, replace=False)
    drawn = np.empty((len(left), size), dtype=np.int32)
    for k in range(size, 0, -1):  # the k-th smallest member is the largest c with C(c, k) <= what is left
        below = np.array([min(math.comb(c, k), total) for c in range(n)])
        drawn[:, k - 1] = np.searchsorted(below, left, side="right") - 1
        left = left - below[drawn[:, k - 1]]
    return drawn


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
    item_embeddings: np.ndarray,
    history: np.ndarray,
    target: int,
    size: int,
    max_candidates: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """The arg max of eq. (9) over at most ``max_candidates`` distinct subsets (section 5.1), ties broken by ``rng``.

    All C(n, size) subsets are candidates where there are no more. Items come in the order of the history.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    candidates = history[subsets(len(history), size, max_candidates, rng)]
    scores = surrogate.predict(user_embedding, item_embeddings[candidates].sum(axis=1), item_embeddings[target])
    return tuple(candidates[rng.choice(np.flatnonzero(scores == scores.max()))].tolist())


def explain(
    surrogate: Surrogate,
    user_embedding: np.ndarray,
    item_embeddings: np.ndarray,
    history: np.ndarray,
    target: int,
    size: int,
    max_candidates: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """E*_{u,i} of eq. (9): ``size`` items of ``history``; exact for additive surrogates, sampled for the others.

    Args:
        surrogate: additive ones have ``deletion_weights``.
        user_embedding: φ_u, (p,).
        item_embeddings: φ_i of all items, (n_items, q).
        history: I_u, item indices (n,).
        target: index of the item to explain.
        size: explanation_size.
        max_candidates: most candidates scored when sampling.
        rng: draws candidates and breaks ties.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if hasattr(surrogate, "deletion_weights"):
        return exact(surrogate.deletion_weights(item_embeddings[history]), history, size, rng)
    return sampled(surrogate, user_embedding, item_embeddings, history, target, size, max_candidates, rng)
