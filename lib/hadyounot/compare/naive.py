"""Algorithm 2 on short histories (section 2, appendix A)."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from ..method.outcomes import record
from ..retrain.base import Recommender
from ..retrain.ratings import Deletion, Ratings


def naive(
    recommender: Recommender, ratings: Ratings, users: Sequence[int], max_size: int, top_k: Sequence[int]
) -> pd.DataFrame:
    """Algorithm 2, without returning at the first D_u that removes the user's top recommendation: every subset of
    1 to ``max_size`` items of the history is retrained. The smallest explanation has the first size with any.

    Args:
        recommender: what is retrained.
        ratings: what the original was trained on.
        users: indices.
        max_size: items in the largest subsets.
        top_k: each K.

    Returns:
        A row per user, size and K; no row where there are no users.

    Raises:
        ValueError: a user is unknown, or has no candidate.
    """
    histories = {user: ratings.history(user).tolist() for user in users}
    deletions = [
        Deletion(user, items)
        for user, history in histories.items()
        for size in range(1, min(max_size, len(ratings) - 1) + 1)  # without any rating nothing can be trained
        for items in combinations(history, size)
    ]
    if not deletions:
        return pd.DataFrame(columns=["user", "target", "history", "size", "top_k", "n_subsets", "n_removing"])
    outcomes = record(recommender, ratings, deletions, n_targets=1)
    retrained = pd.DataFrame(
        {
            "user": [deletion.user for deletion in deletions],
            "target": outcomes.targets[:, 0],
            "history": [len(histories[deletion.user]) for deletion in deletions],
            "size": [len(deletion.items) for deletion in deletions],
        }
    )
    ranks = outcomes.rank_after[:, 0]
    each = pd.concat([retrained.assign(top_k=k, removes=ranks > k) for k in top_k])
    counts = each.groupby(["user", "target", "history", "size", "top_k"], sort=False)["removes"]
    return counts.agg(n_subsets="size", n_removing="sum").reset_index()
