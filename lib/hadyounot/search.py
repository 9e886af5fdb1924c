"""Eq. (9): the subset of a history whose deletion the surrogate expects to push the target down most."""

import numpy as np

from .counterfactual import subsets
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
