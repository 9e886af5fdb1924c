"""How good a recommender is."""

import numpy as np
from sklearn.metrics import ndcg_score

from ..retrain.ratings import Ratings


def rmse(scores: np.ndarray, ratings: Ratings) -> float:
    """Root mean squared error of predicted ratings (n_users, n_items), in stars."""
    predicted = scores[ratings.users, ratings.items]
    return float(np.sqrt(np.mean((ratings.values - predicted.astype(np.float64)) ** 2)))


def ndcg(scores: np.ndarray, train: Ratings, test: Ratings, k: int = 10) -> float:
    """nDCG@k (Järvelin and Kekäläinen, ACM TOIS 2002), a mean over users.

    What is ranked are the items with a training rating, minus the user's training history. A held-out item is
    relevant (gain 1) whatever its rating, as in the published comparisons on MovieLens-100K (Microsoft
    Recommenders); users with no such item do not count. Tied scores share their discounts.

    Args:
        scores: (n_users, n_items).
        train: what the recommender was trained on.
        test: the ratings held out.
        k: length of the recommendation list.

    Raises:
        ValueError: no held-out item can be ranked.
    """
    candidates = np.tile(train.rated, (train.n_users, 1))
    candidates[train.users, train.items] = False
    relevant = np.zeros_like(candidates)
    relevant[test.users, test.items] = True
    relevant &= candidates
    counted = relevant.any(axis=1)
    if not counted.any():
        raise ValueError(
            "no held-out item has a training rating of another user, so there is nothing to rank: take more ratings"
        )
    # below every candidate, and with gain 0, an item might as well not be ranked
    ranked = np.where(candidates, scores, np.nextafter(scores.min(), -np.inf))
    return float(ndcg_score(relevant[counted], ranked[counted], k=k))


def top1_concentration(top1: np.ndarray) -> tuple[float, int]:
    """Share of users whose top recommendation is the most common one, and how many different ones there are.

    Args:
        top1: (n_users,), item indices.
    """
    _, counts = np.unique(top1, return_counts=True)
    return float(counts.max() / len(top1)), len(counts)
