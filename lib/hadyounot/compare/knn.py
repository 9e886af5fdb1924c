"""Baselines that look at embeddings alone (section 5.1): random items and nearest neighbours.

Every explanation is a tuple of item indices of the history, the strongest first; ties are broken by ``rng``.
"""

from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from ..method import search


def random_items(history: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, ...]:
    """``size`` different items of the history (n,), every set of them equally likely.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    return search.exact(np.zeros(len(history)), history, size, rng)


def distances(
    item_embeddings: np.ndarray,
    items: np.ndarray,
    target: int,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> np.ndarray:
    """float64 (n,): how far items (n,) lie from the target in ``item_embeddings`` (n_items, q)."""
    return cdist(item_embeddings[items], item_embeddings[[target]], metric)[:, 0]


def nearest(
    item_embeddings: np.ndarray,
    history: np.ndarray,
    target: int,
    size: int,
    rng: np.random.Generator,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> tuple[int, ...]:
    """KNN: the items of the history (n,) nearest to the target in ``item_embeddings`` (n_items, q), nearest first.
    Of ``size`` items; ``rng`` breaks ties.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    return search.exact(-distances(item_embeddings, history, target, metric), history, size, rng)
