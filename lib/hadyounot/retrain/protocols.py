"""What a retraining keeps of the original's, where that is not all of it.

Toolkits differ from the counterfactual of eq. (1), in which nothing changes but the deleted ratings ("pinned"):

    rebuilt     users and items are numbered by first appearance in the ratings left, users are walked in that order,
                and initial weights are drawn by number (scikit-surprise 1.1 builds a ``Trainset`` in this way): where
                a first appearance is deleted, initial weights rotate among the numbers behind it.
    reseeded    initial weights are drawn anew for every deletion.
    reshuffled  ratings come in a permutation of the n - e left: of another length, so a wholly different one.
    warm        a few epochs from the original's weights (Cornac's ``fit`` on an object that was fitted before).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..rng import generator
from .ratings import Ratings


def _first_rows(ids: np.ndarray, count: int) -> np.ndarray:
    """int64 (count,): where each of the ids 0..count-1 appears first; len(ids) where it does not."""
    first = np.full(count, len(ids))
    np.minimum.at(first, ids, np.arange(len(ids)))
    return first


def _numbers(first: np.ndarray) -> np.ndarray:
    """int64, shaped like ``first``: the place of each in their order; those that do not appear come last."""
    numbers = np.empty_like(first)
    numbers[np.argsort(first, kind="stable")] = np.arange(len(first))
    return numbers


class Numbering:
    """Users and items numbered by first appearance, of ratings of which some are deleted ("rebuilt").

    Args:
        ratings: n, the original's.
    """

    def __init__(self, ratings: Ratings):
        self.ratings = ratings
        self._first = _first_rows(ratings.users, ratings.n_users), _first_rows(ratings.items, ratings.n_items)

    def first(self, deleted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 (n_users,), (n_items,): where each appears first once the rows ``deleted`` are gone; n if nowhere."""
        found = []
        for first, ids in zip(self._first, (self.ratings.users, self.ratings.items), strict=True):
            moved = first.copy()
            for each in np.unique(ids[deleted]):
                rows = np.setdiff1d(np.flatnonzero(ids == each), deleted)
                moved[each] = rows[0] if len(rows) else len(ids)
            found.append(moved)
        return tuple(found)

    def without(self, deleted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of users, int64 (n_users,), and of items, (n_items,), once the rows ``deleted`` are gone."""
        return tuple(_numbers(first) for first in self.first(deleted))

    def renumbers(self, deleted: np.ndarray) -> bool:
        """Whether any user or item whose ratings are not all deleted has another number then."""
        pairs = zip(self.first(deleted), self.without(deleted), self.original, strict=True)
        return any(((first < len(self.ratings)) & (new != old)).any() for first, new, old in pairs)

    @cached_property
    def original(self) -> tuple[np.ndarray, np.ndarray]:
        """``without`` nothing."""
        return self.without(np.empty(0, dtype=np.int64))

    def visits(self, deleted: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the order in which lanes visit them: by number of the user, and within a user as given.

        A user whose first rating is deleted in a lane is walked later there than elsewhere: twice in all, and each
        time in the lanes whose turn it is.

        Args:
            deleted: for each lane, the rows that it leaves out.

        Returns:
            int64 (m,), rows; and uint32 (m,), a bit for each lane that visits them.
        """
        everybody = np.uint32((1 << len(deleted)) - 1)
        order, starts = self.ratings.rows_by_user
        runs = {(int(row), user): everybody for user, row in enumerate(self._first[0]) if row < len(order)}
        for lane, rows in enumerate(deleted):
            bit = np.uint32(1 << lane)
            for user in np.unique(self.ratings.users[rows]).tolist():
                turns = int(self._first[0][user]), int(self.first(rows)[0][user])
                if turns[0] != turns[1]:
                    runs[turns[0], user] &= ~bit
                    runs[turns[1], user] = runs.get((turns[1], user), np.uint32(0)) | bit
        parts, lanes = [], []
        for (_, user), who in sorted(runs.items()):
            parts.append(order[starts[user] : starts[user + 1]])
            lanes.append(np.full(len(parts[-1]), who, dtype=np.uint32))
        visited, lanes = np.concatenate(parts), np.concatenate(lanes)
        for lane, rows in enumerate(deleted):
            lanes[np.isin(visited, rows)] &= ~np.uint32(1 << lane)
        return visited, lanes


def reshuffled(order: np.ndarray, deleted: Sequence[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order in which lanes visit them: for each lane a permutation of those that are left, the same for
    all lanes that delete as many ("reshuffled").

    Args:
        order: int64 (n,), the rows that are permuted, in the order in which they are numbered.
        deleted: for each lane, the places in ``order`` that it leaves out.
        seed: root of the permutations.

    Returns:
        as ``Numbering.visits``.
    """
    visited, lanes = [], []
    for count in sorted({len(places) for places in deleted}):
        left = generator(seed, "reshuffled").permutation(len(order) - count)
        who = np.zeros((len(left), count + 1), dtype=np.uint32)  # by turn, and how many deleted places come before
        for lane, places in enumerate(deleted):
            if len(places) == count:
                before = np.searchsorted(np.sort(places) - np.arange(count), left, side="right")
                who[np.arange(len(left)), before] |= np.uint32(1 << lane)
        turn, before = np.nonzero(who)
        visited.append(order[left[turn] + before])
        lanes.append(who[turn, before])
    return np.concatenate(visited), np.concatenate(lanes)
