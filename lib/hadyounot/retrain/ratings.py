"""Ratings and deletions: what a recommender is trained on, and what is taken away from it."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd

TOO_LARGE = f" of float32, which ends at {np.finfo(np.float32).max:.1e}: scale the ratings"


def _unboxed(column: Iterable) -> list:
    """The elements: in place of a 0-d tensor, which equals no other as a key, the Python scalar that it holds, and None
    where one is masked.
    """

    def unboxed(value: object) -> object:
        if value is np.ma.masked:
            return None
        return value.item() if getattr(value, "shape", None) == () and not isinstance(value, np.generic) else value

    return [unboxed(value) for value in column]


def is_index(value: object) -> bool:
    """Whether it is an integer; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def index_of(side: str, given: object, ids: np.ndarray) -> str:
    """For a message: how the id that was given in place of an index becomes one; empty where it is no id."""
    if not isinstance(given, Hashable) or given not in ids.tolist():
        return ""
    return f": np.flatnonzero(ratings.{side}_ids == {given!r})[0]"


@dataclass(frozen=True)
class Deletion:
    """D_u: the items (indices) whose ratings by ``user`` (index) are skipped in training, eq. (1)."""

    user: int
    items: tuple[int, ...]

    def __post_init__(self) -> None:
        """Any other collection of items becomes a tuple.

        Raises:
            ValueError: ``items`` is a single one.
        """
        if not isinstance(self.items, tuple):
            if not isinstance(self.items, Iterable) or getattr(self.items, "ndim", 1) == 0:
                raise ValueError(f"items is {self.items!r}: give a tuple, even of one, as in ({self.items!r},)")
            object.__setattr__(self, "items", tuple(_unboxed(self.items)))


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
        titles: Mapping[Hashable, str] | pd.Series | None = None,
    ) -> Self:
        """Ratings from three columns of equal length; indices are given by first appearance.

        Args:
            users: an id for each rating.
            items: likewise.
            values: the ratings.
            titles: title by item id, of any items; a missing one (None, NaN) is as good as none.

        Raises:
            ValueError: the columns are empty or differ in length, a rating is not a finite float32, an id cannot be
                one, or a user rated an item twice; the message names the row (from 0). Or the titles are no mapping,
                or of none of the items.
        """
        users, items, given = (pd.Series(_unboxed(column), dtype=object) for column in (users, items, values))
        if not len(users) == len(items) == len(given):
            raise ValueError(f"columns differ in length: {len(users)} users, {len(items)} items, {len(given)} values")
        if given.empty:
            raise ValueError("there are no ratings")
        numbers = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
        with np.errstate(over="ignore"):
            values = numbers.astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            row = wrong[0]
            raise ValueError(
                f"row {row}: rating {given[row]!r} is not a finite number" + TOO_LARGE * bool(np.isfinite(numbers[row]))
            )
        user_index, user_ids = _numbered("user", users)
        item_index, item_ids = _numbered("item", items)
        pairs = user_index.astype(np.int64) * len(item_ids) + item_index
        repeated = np.flatnonzero(pd.Series(pairs).duplicated())
        if repeated.size:
            row = repeated[0]
            first = int(np.flatnonzero(pairs == pairs[row])[0])
            raise ValueError(f"row {row}: user {users[row]!r} already rated item {items[row]!r} in row {first}")
        names = {} if titles is None else _known_titles(titles, item_ids)
        return cls(
            users=user_index.astype(np.int32),
            items=item_index.astype(np.int32),
            values=values,
            user_ids=np.asarray(user_ids, dtype=object),
            item_ids=np.asarray(item_ids, dtype=object),
            titles=np.array([str(names.get(item, item)) for item in item_ids], dtype=object),
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_users(self) -> int:
        """Users with an index, those without a rating too."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items with an index, those without a rating too."""
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
        """Row numbers of the user's ratings, in the order given.

        Raises:
            ValueError: the user is no index, or an unknown one.
        """
        if not is_index(user) or not 0 <= user < self.n_users:
            known = f"unknown user index {user!r} (there are {self.n_users} users); .user_ids holds the ids"
            raise ValueError(known + index_of("user", user, self.user_ids))
        order, starts = self.rows_by_user
        user = int(user)  # a small NumPy integer has no successor
        return order[starts[user] : starts[user + 1]].copy()

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
            ValueError: they are no list, or one is no deletion; a user or item is no index or an unknown one; or an
                item is named twice, or the user never rated it.
        """
        if isinstance(deletions, Deletion):
            raise ValueError(f"{deletions} is a single deletion: give a list, even of one")
        if not hasattr(deletions, "__len__"):
            raise ValueError(f"deletions is a {type(deletions).__name__}: give a list")
        found = []
        for deletion in deletions:
            if not isinstance(deletion, Deletion):
                raise ValueError(f"{deletion!r} is no deletion: write Deletion(user, (item, ...))")
            for name, index in [("user", deletion.user), *(("item", item) for item in deletion.items)]:
                if not is_index(index):
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
                missing = min(set(deletion.items) - set(self.items[rows].tolist()))
                hint = f" (id {self.item_ids[missing]}); give indices, as in .history(user), and no ids"
                raise ValueError(
                    f"{deletion}: user {deletion.user} never rated item {missing}"
                    + hint * (missing in self.item_ids.tolist())  # else nobody takes the one for the other
                )
            found.append(rows)
        return found


def _numbered(name: str, ids: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The index of each row's id, and the id behind each index.

    Raises:
        ValueError: an id is missing or cannot be one.
    """
    try:
        index, known = pd.factorize(ids)
    except TypeError as error:  # one has no hash
        row = next(row for row, value in enumerate(ids) if not isinstance(value, Hashable))
        kind = type(ids[row]).__name__
        raise ValueError(f"row {row}: the {name} is a {kind}, which is no id: give a string or a number") from error
    missing = np.flatnonzero(index < 0)
    if missing.size:
        raise ValueError(f"row {missing[0]}: the {name} is missing")
    return index, known


def _known_titles(titles: Mapping[Hashable, str] | pd.Series, item_ids: np.ndarray) -> dict[Hashable, str]:
    """Titles that are not missing, by item id.

    Raises:
        ValueError: the titles are no mapping, or of none of the items.
    """
    if isinstance(titles, pd.Series):
        titles = titles.to_dict()
    if not isinstance(titles, Mapping):
        raise ValueError(
            f"titles is a {type(titles).__name__}: give a dict of title by item id, {{{item_ids[0]!r}: ...}}"
        )
    if titles and not any(item in titles for item in item_ids):
        raise ValueError(f"none of the titles, as that of {next(iter(titles))!r}, is of an item, as {item_ids[0]!r} is")
    return {item: title for item, title in titles.items() if not pd.isna(title)}
