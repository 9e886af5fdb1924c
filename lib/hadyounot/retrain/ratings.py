"""Ratings and deletions: what a recommender is trained on, and what is taken away from it."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Deletion:
    """D_u: the items (indices) whose ratings by ``user`` (index) are skipped in training, eq. (1)."""

    user: int
    items: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Ratings:
    """One entry per rating, in the order in which they were given.

    Attributes:
        users: int32 (n,), user index of each rating, 0..n_users-1.
        items: int32 (n,), item index of each rating, 0..n_items-1.
        values: float32 (n,), the rating itself, in the units of the data (stars).
        user_ids: (n_users,), the id behind each user index.
        item_ids: (n_items,), the id behind each item index.
        titles: (n_items,), what to call each item when talking to a person; the id where none is known.

    A selection of rows keeps all ids, so an index means the same user or item in every selection.
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    titles: np.ndarray

    @classmethod
    def from_arrays(
        cls,
        users: Iterable[Hashable],
        items: Iterable[Hashable],
        values: Iterable[float],
        titles: dict[Hashable, str] | None = None,
    ) -> Self:
        """Ratings from three columns of equal length; indices are given by first appearance.

        Raises:
            ValueError: the columns are empty or differ in length, a rating is not a finite number, or a
                user rated an item twice; the message names the row (from 0).
        """
        users, items = pd.Series(list(users), dtype=object), pd.Series(list(items), dtype=object)
        given = pd.Series(list(values), dtype=object)
        if not len(users) == len(items) == len(given):
            raise ValueError(f"columns differ in length: {len(users)} users, {len(items)} items, {len(given)} values")
        if given.empty:
            raise ValueError("there are no ratings")
        numbers = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if wrong.size:
            raise ValueError(f"row {wrong[0]}: rating {given[wrong[0]]!r} is not a finite number")
        user_index, user_ids = pd.factorize(users)
        item_index, item_ids = pd.factorize(items)
        for name, index in (("user", user_index), ("item", item_index)):
            missing = np.flatnonzero(index < 0)
            if missing.size:
                raise ValueError(f"row {missing[0]}: the {name} is missing")
        pairs = user_index.astype(np.int64) * len(item_ids) + item_index
        repeated = np.flatnonzero(pd.Series(pairs).duplicated())
        if repeated.size:
            row = repeated[0]
            first = int(np.flatnonzero(pairs == pairs[row])[0])
            raise ValueError(f"row {row}: user {users[row]!r} already rated item {items[row]!r} in row {first}")
        names = titles or {}
        return cls(
            users=user_index.astype(np.int32),
            items=item_index.astype(np.int32),
            values=numbers.astype(np.float32),
            user_ids=np.asarray(user_ids, dtype=object),
            item_ids=np.asarray(item_ids, dtype=object),
            titles=np.array([str(names.get(item, item)) for item in item_ids], dtype=object),
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    def select(self, rows: np.ndarray) -> Self:
        """The ratings at ``rows`` (indices or a mask); ids and titles stay as they are."""
        return type(self)(
            self.users[rows], self.items[rows], self.values[rows], self.user_ids, self.item_ids, self.titles
        )

    @cached_property
    def rows_by_user(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers grouped by user (stable), and where each user begins: int64 (n,), (n_users + 1,)."""
        order = np.argsort(self.users, kind="stable")
        return order, np.searchsorted(self.users[order], np.arange(self.n_users + 1))

    def rows_of(self, user: int) -> np.ndarray:
        """Row numbers of the user's ratings, in the order given."""
        order, starts = self.rows_by_user
        return order[starts[user] : starts[user + 1]]

    def history(self, user: int) -> np.ndarray:
        """I_u: the items (indices, int32) that the user rated, in the order given."""
        return self.items[self.rows_of(user)]

    @cached_property
    def rated(self) -> np.ndarray:
        """bool (n_items,): items with at least one rating here."""
        return np.bincount(self.items, minlength=self.n_items) > 0

    def deleted_rows(self, deletions: Sequence[Deletion]) -> list[np.ndarray]:
        """Row numbers that each deletion skips.

        Raises:
            ValueError: a user or item is no index or an unknown one, an item is named twice, or the user never
                rated it.
        """
        found = []
        for deletion in deletions:
            for name, index in [("user", deletion.user), *(("item", item) for item in deletion.items)]:
                if not isinstance(index, int | np.integer):
                    raise ValueError(f"{deletion}: {name} {index!r} is not an index; .{name}_ids holds the id of each")
            if not 0 <= deletion.user < self.n_users:
                raise ValueError(f"{deletion}: unknown user index (there are {self.n_users} users)")
            unknown = [item for item in deletion.items if not 0 <= item < self.n_items]
            if unknown:
                raise ValueError(f"{deletion}: unknown item index {unknown[0]} (there are {self.n_items} items)")
            if len(set(deletion.items)) < len(deletion.items):
                raise ValueError(f"{deletion}: an item is named twice")
            rows = self.rows_of(deletion.user)
            rows = rows[np.isin(self.items[rows], deletion.items)]
            if len(rows) < len(deletion.items):
                missing = sorted(set(deletion.items) - set(self.items[rows].tolist()))
                raise ValueError(f"{deletion}: user {deletion.user} never rated item {missing[0]}")
            found.append(rows)
        return found
