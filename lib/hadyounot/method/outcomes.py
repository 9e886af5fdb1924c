"""Step 1: counterfactual outcomes, by really retraining (Algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import comb
from typing import Self

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..retrain.base import Model, Recommender, known_users
from ..retrain.ratings import Deletion, Ratings
from ..rng import generator

CHUNK = 2048  # deletions retrained before their scores are reduced to outcomes: bounds memory, changes no number


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of N targets in n counterfactual models, recorded raw: every Δŷ is a function of it.

    Candidates for recommendation are the items with a training rating, minus the user's original history: a
    deleted item is not offered again. Unless the recommender does not remove what was seen: then all of them are, and
    a target may lie in the history. Ranks start at 1, the best.

    Attributes:
        deletions: n deletions, one per retrained model.
        targets: int32 (n, N), the user's top N items before, best first.
        rank_before: int32 (n, N).
        rank_after: int32 (n, N).
        rank_after_readmitted: int32 (n, N), rank_after had the deleted items become candidates again.
        score_before: float32 (n, N), stars.
        score_after: float32 (n, N), stars.
        benchmark_score_after: float32 (n, N), of the item now at the target's old rank (j in eq. 3).
        benchmark_score_after_readmitted: float32 (n, N), likewise had the deleted items become candidates again.
        top1_score_before: float32 (n,).
        top1_score_after: float32 (n,).
        top1_score_after_readmitted: float32 (n,).
    """

    deletions: tuple[Deletion, ...]
    targets: np.ndarray
    rank_before: np.ndarray
    rank_after: np.ndarray
    rank_after_readmitted: np.ndarray
    score_before: np.ndarray
    score_after: np.ndarray
    benchmark_score_after: np.ndarray
    benchmark_score_after_readmitted: np.ndarray
    top1_score_before: np.ndarray
    top1_score_after: np.ndarray
    top1_score_after_readmitted: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """The outcomes of all parts, in order."""
        arrays = [name for name in cls.__dataclass_fields__ if name != "deletions"]
        return cls(
            deletions=tuple(deletion for part in parts for deletion in part.deletions),
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
        )

    def select(self, rows: Sequence[int]) -> Self:
        """The outcomes in some rows, by number."""
        arrays = [name for name in self.__dataclass_fields__ if name != "deletions"]
        return type(self)(
            deletions=tuple(self.deletions[row] for row in rows),
            **{name: getattr(self, name)[list(rows)] for name in arrays},
        )

    @cached_property
    def users(self) -> np.ndarray:
        """int32 (n,): of whom each deletion is."""
        return np.array([deletion.user for deletion in self.deletions], dtype=np.int32)

    def readmitted(self) -> Self:
        """The same on another reading: what was deleted may be recommended again."""
        after = ("rank_after", "benchmark_score_after", "top1_score_after")
        return replace(self, **{name: getattr(self, f"{name}_readmitted") for name in after})

    def columns(self) -> dict[str, np.ndarray | list]:
        """As the columns of a table, schema ``schemas.OUTCOMES``: a row per deletion."""
        renamed = {
            "user": [deletion.user for deletion in self.deletions],
            "deleted": [deletion.items for deletion in self.deletions],
        }
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "deletions"}
        arrays = dict(sorted(arrays.items(), key=lambda each: each[1].ndim))  # a number a deletion first, then lists
        return renamed | {"target" if name == "targets" else name: array for name, array in arrays.items()}

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        """What ``columns`` said, back from a table."""
        kept = {name: column for name, column in frame.items() if name not in ("user", "deleted")}
        columns = {  # lists as rows of an array; of the type that was recorded
            name: np.array(column.tolist()) if column.dtype == object else column.to_numpy()
            for name, column in kept.items()
        }
        deleted = zip(frame["user"], frame["deleted"], strict=True)
        deletions = tuple(Deletion(int(user), tuple(items.tolist())) for user, items in deleted)
        return cls(deletions, columns.pop("target"), **columns)


def candidates(ratings: Ratings, user: int, remove_seen: bool = True) -> np.ndarray:
    """bool (n_items,): items that may be recommended to the user; those of the history too unless ``remove_seen``."""
    mask = ratings.rated.copy()
    if remove_seen:
        mask[ratings.history(user)] = False
    return mask


def with_candidates(ratings: Ratings, remove_seen: bool = True) -> np.ndarray:
    """bool (n_users,): users who have any ``candidates``: who rated all there is has none."""
    seen = np.bincount(ratings.users, minlength=ratings.n_users) if remove_seen else np.zeros(ratings.n_users)
    return seen < np.count_nonzero(ratings.rated)


def enough_candidates(ratings: Ratings, user: int, n_targets: int, remove_seen: bool) -> np.ndarray:
    """``candidates``.

    Raises:
        ValueError: there are fewer than ``n_targets``.
    """
    mask = candidates(ratings, user, remove_seen)
    count = int(np.count_nonzero(mask))
    if count < n_targets:
        fix = f"lower n_targets={n_targets} to {count}, or leave the user out" if count else "leave the user out"
        raise ValueError(f"user {user} (id {ratings.user_ids[user]}) has {count} candidate items: {fix}")
    return mask


@cache
def _order_of_equals(n_items: int) -> np.ndarray:
    """A random order of the items: what has the same score is not ranked by its index."""
    return generator(0, "equal scores").permutation(n_items)


def top_items(scores: np.ndarray, candidates: np.ndarray, n: int) -> np.ndarray:
    """int32 (n,): the n candidates with the highest scores (n_items,), best first; equals in a random, fixed order."""
    items = _order_of_equals(len(scores))
    items = items[candidates[items]]
    return items[np.argsort(-scores[items], kind="stable")[:n]].astype(np.int32)


def ranks(scores: np.ndarray, candidates: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """int32, shaped like ``targets``: 1 + the number of candidates that score higher (n_items scores and mask).

    Of equals each has the best of their ranks: a deletion after which another item does as well has not removed it.
    """
    ordered = np.sort(scores[candidates])
    return (1 + len(ordered) - np.searchsorted(ordered, scores[targets], side="right")).astype(np.int32)


def compare(
    ratings: Ratings,
    deletions: Sequence[Deletion],
    before: np.ndarray,
    after: np.ndarray,
    n_targets: int,
    remove_seen: bool = True,
) -> Outcomes:
    """Outcomes of the top ``n_targets`` items of each deletion's user.

    Args:
        ratings: the original training ratings.
        deletions: n deletions.
        before: float32 (n, n_items), scores for each deletion's user under the original model.
        after: float32 (n, n_items), likewise under the counterfactual model.
        n_targets: N.
        remove_seen: see ``candidates``.

    Raises:
        ValueError: a user has fewer candidates.
    """
    n = len(deletions)
    integers = {
        name: np.empty((n, n_targets), np.int32)
        for name in ("targets", "rank_before", "rank_after", "rank_after_readmitted")
    }
    names = "score_before", "score_after", "benchmark_score_after", "benchmark_score_after_readmitted"
    scores = {name: np.empty((n, n_targets), np.float32) for name in names}
    names = "top1_score_before", "top1_score_after", "top1_score_after_readmitted"
    top1 = {name: np.empty(n, np.float32) for name in names}
    for row, deletion in enumerate(deletions):
        eligible = enough_candidates(ratings, deletion.user, n_targets, remove_seen)
        targets = top_items(before[row], eligible, n_targets)
        old, ordered = ranks(before[row], eligible, targets), np.sort(after[row, eligible])[::-1]
        new = ranks(after[row], eligible, targets)
        absent = [item for item in deletion.items if not eligible[item]]
        deleted = after[row, absent]
        with_deleted = np.sort(np.concatenate([ordered, deleted]))[::-1]
        integers["targets"][row] = targets
        integers["rank_before"][row] = old
        integers["rank_after"][row] = new
        integers["rank_after_readmitted"][row] = new + (deleted[:, None] > after[row, targets]).sum(axis=0)
        scores["score_before"][row] = before[row, targets]
        scores["score_after"][row] = after[row, targets]
        scores["benchmark_score_after"][row] = ordered[old - 1]
        scores["benchmark_score_after_readmitted"][row] = with_deleted[old - 1]
        top1["top1_score_before"][row] = before[row, targets[0]]
        top1["top1_score_after"][row] = ordered[0]
        top1["top1_score_after_readmitted"][row] = with_deleted[0]
    return Outcomes(tuple(deletions), **integers, **scores, **top1)


def record(
    recommender: Recommender,
    ratings: Ratings,
    deletions: Sequence[Deletion],
    n_targets: int,
    trained: Model | None = None,
) -> Outcomes:
    """Retrain without each deletion and record what became of its user's top ``n_targets`` items.

    Args:
        recommender: what is retrained.
        ratings: the original training ratings.
        deletions: n deletions.
        n_targets: N.
        trained: what ``recommender`` makes of all ratings; it is trained where this is not given.

    Raises:
        ValueError: there are no deletions, or a user has fewer candidates, which is told before any training.
    """
    if not len(deletions):
        raise ValueError("there are no deletions to record")
    users = sorted({deletion.user for deletion in deletions})
    for user in users:
        enough_candidates(ratings, user, n_targets, recommender.remove_seen)
    original = recommender.fit(ratings) if trained is None else trained
    originals = dict(zip(users, original.scores(users), strict=True))
    parts = []
    for start in tqdm(range(0, len(deletions), CHUNK), desc="retrain", unit="chunk", mininterval=10):
        chunk = deletions[start : start + CHUNK]
        before = np.stack([originals[deletion.user] for deletion in chunk])
        after = recommender.retrain(ratings, chunk)
        parts.append(compare(ratings, chunk, before, after, n_targets, recommender.remove_seen))
    return Outcomes.concatenate(parts)


def subsets(n: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` distinct subsets of 0..n-1, every set of them equally likely; all C(n, size) if there are no more.

    Subsets are numbered by the combinatorial number system (Knuth, TAOCP 4A, 7.2.1.3, theorem L), so that
    drawing distinct subsets is drawing distinct numbers.

    Returns:
        int32 (min(count, C(n, size)), size), in an order drawn by ``rng``; members ascend within a subset.

    Raises:
        ValueError: n is smaller than size.
    """
    if n < size:
        raise ValueError(f"a history of {n} items has no subset of size {size}; explain users with at least {size}")
    total = comb(n, size)
    if total >= 2**63:  # too many to number, and to draw one twice
        return np.sort([rng.choice(n, size, replace=False) for _ in range(count)], axis=1).astype(np.int32)
    left = rng.permutation(total) if total <= count else rng.choice(total, count, replace=False)
    drawn = np.empty((len(left), size), dtype=np.int32)
    for k in range(size, 0, -1):  # the k-th smallest member is the largest c with C(c, k) <= what is left
        below = np.array([min(comb(c, k), total) for c in range(n)])
        drawn[:, k - 1] = np.searchsorted(below, left, side="right") - 1
        left = left - below[drawn[:, k - 1]]
    return drawn


def sample_deletions(ratings: Ratings, user: int, size: int, count: int, seed: int) -> list[Deletion]:
    """D_u^tr: distinct ``size``-item subsets of the user's history; all C(n, size) of them where at most ``count``."""
    history = ratings.history(user)
    chosen = subsets(len(history), size, count, generator(seed, "deletions", int(user)))
    return [Deletion(user, tuple(items)) for items in history[chosen].tolist()]


def simulate(
    recommender: Recommender,
    ratings: Ratings,
    users: Sequence[int],
    size: int,
    count: int,
    n_targets: int,
    seed: int,
    trained: Model | None = None,
) -> Outcomes:
    """Algorithm 1 for these users: at most ``count`` distinct deletions of ``size`` items each, retrained.

    Args:
        recommender: what is retrained.
        ratings: what the original was trained on.
        users: indices.
        size: items in a deletion.
        count: deletions of a user; all C(n, size) of a history of n items where there are no more.
        n_targets: how many top items of each user are recorded.
        seed: draws the deletions.
        trained: the original model; trained here where it is not given.

    Raises:
        ValueError: a user is unknown, or has fewer than ``size`` ratings or ``n_targets`` candidates.
    """
    users = known_users(users, ratings.n_users).tolist()
    deletions = [deletion for user in users for deletion in sample_deletions(ratings, user, size, count, seed)]
    return record(recommender, ratings, deletions, n_targets, trained)
