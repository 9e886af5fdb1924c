"""What a reader of the live notebook may ask of a recommender, apart from the widgets that ask it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..compare.verified import Explanation, explain
from ..method.outcomes import ranks, top_items
from ..retrain.ratings import Deletion
from ..study.cell import Cell

TOP = 10  # how long a list of recommendations is
FOUND = 8  # how many users, and how many titles, a search shows


class Exploration:
    """One user of one trained recommender, and what was tried so far.

    Attributes:
        cell: whose recommender.
        user: index.
        target: index of the item that is followed and explained; at first the user's best.
        moved: what the last deletion did; a row for each item that is among the first ``TOP`` before or after it, and
            for the target: ``item``, ``title``, ``rank_before``, ``rank_after``. Empty deletion: both ranks are equal.
        deleted: the items of that deletion.
        tried: a row for each question, oldest first.
    """

    def __init__(self, cell: Cell):
        self.tried = pd.DataFrame()
        self.cell = cell
        self._show(int(cell.explainable_users[0]))

    def open(self, cell: Cell) -> None:
        """Another recommender; it is trained now. The user stays where it is of the same dataset."""
        same = cell.dataset == self.cell.dataset
        self.cell = cell
        self._show(self.user if same else int(cell.explainable_users[0]))

    def choose(self, user_id: str) -> None:
        """Another user, by id.

        Raises:
            ValueError: there is none, or nothing can be recommended to this one.
        """
        ids = self.cell.train.user_ids
        found = np.flatnonzero(ids.astype(str) == user_id.strip())
        if not found.size:
            some = ", ".join(map(str, ids[self.cell.explainable_users[:3]]))
            raise ValueError(f"{self.cell.dataset} has no user {user_id.strip()!r}: give an id such as {some}")
        self._show(int(found[0]))

    def follow(self, item: int) -> None:
        """Let another candidate be the target."""
        self.target = int(item)
        self.moved = self._moves(self.deleted)

    @property
    def user_id(self) -> str:
        """What the dataset calls the user."""
        return str(self.cell.train.user_ids[self.user])

    @property
    def history(self) -> pd.DataFrame:
        """The user's training ratings, deleted ones first, then the best: ``item``, ``title``, ``stars``."""
        train = self.cell.train
        rows = train.rows_of(self.user)
        rows = rows[np.lexsort((-train.values[rows], ~np.isin(train.items[rows], self.deleted)))]
        items = train.items[rows]
        return pd.DataFrame({"item": items, "title": train.titles[items], "stars": train.values[rows]})

    def retrain(self, items: Iterable[int]) -> str:
        """Delete items of the history, retrain, and say where the target went.

        Raises:
            ValueError: there are none, or some are not of the history.
        """
        items, rated = tuple(map(int, items)), len(self.cell.train.history(self.user))
        if not items:
            raise ValueError(f"Nothing is ticked: tick some of the {rated} titles that user {self.user_id} rated.")
        if len(items) > rated or set(items) - set(self.cell.train.history(self.user).tolist()):
            raise ValueError(
                f"{len(items)} titles are ticked, not all of the {rated} that user {self.user_id} rated: tick anew."
            )
        self._delete("Retrain", items)
        before, after = self._target_ranks()
        went = "stays at rank" if before == after else f"goes from rank {before} to rank"
        return f"Retrained without {self._named(items)}: {self._title(self.target)} {went} {after}."

    def explain(self, top_k: int, size: int | None) -> str:
        """Look for an explanation of the target, as ``hadyounot.explain`` does, show it, and say what it claims.

        Raises:
            ValueError: the target is not among the top K, the history is smaller than ``size``, or there are too few
                candidates.
        """
        rank, _ = self._target_ranks()
        if rank > top_k:
            raise ValueError(
                f"{self._title(self.target)} is rank {rank} for user {self.user_id}, not among the top {top_k}: choose "
                "a better one, or a larger K."
            )
        rated = len(self.cell.train.history(self.user))
        if size is not None and size > rated:
            raise ValueError(f"User {self.user_id} rated {rated} titles, fewer than {size}: choose a smaller size.")
        recommender, train = self.cell.recommender(), self.cell.train
        found = explain(recommender, train, self.user, self.target, top_k, size, trained=self.cell.trained)
        self._delete("Explain", found.items)
        return claim(found, train.titles)

    def find(self, text: str) -> list[tuple[str, str, int]]:
        """Users whose id begins with the text and titles that hold it, as (what to show, kind, index).

        The kind is ``"user"``; ``"history"``, an item that the user rated; or ``"candidate"``, one that may be
        recommended to the user, best first.
        """
        text, train = text.strip().casefold(), self.cell.train
        if not text:
            return []
        users = [user for user, name in enumerate(train.user_ids) if str(name).casefold().startswith(text)]
        users.sort(key=lambda user: len(str(train.user_ids[user])))
        found = [(f"user {train.user_ids[user]}", "user", user) for user in users[:FOUND]]
        holds = np.array([text in title.casefold() for title in train.titles])
        rated = self.history[holds[self.history["item"]]]
        titles = [(f"{row.title}: rated {row.stars:g} ★", "history", row.item) for row in rated.itertuples()]
        (scores,), eligible = self.cell.trained.scores([self.user]), self.cell.candidates(self.user)
        offered = top_items(scores, eligible & holds, FOUND)
        rank = ranks(scores, eligible, offered)
        titles += [
            (f"{train.titles[item]}: rank {at}", "candidate", int(item)) for item, at in zip(offered, rank, strict=True)
        ]
        return found + titles[:FOUND]

    def _show(self, user: int) -> None:
        (scores,) = self.cell.trained.scores([user])
        best = top_items(scores, self.cell.candidates(user), 1)
        if not best.size:
            name = self.cell.train.user_ids[user]
            raise ValueError(f"Nothing is left to recommend to user {name}, who rated everything: choose another.")
        self.user, self.target, self.deleted = user, int(best[0]), ()
        self.moved = self._moves(())

    def _delete(self, asked: str, items: tuple[int, ...]) -> None:
        self.moved, self.deleted = self._moves(items), items
        before, after = self._target_ranks()
        row = {"asked": asked, "recommender": self.cell.title, "user": self.user_id, "without": self._named(items)}
        row |= {"recommendation": self._title(self.target), "rank before": before, "rank after": after}
        self.tried = pd.concat([self.tried, pd.DataFrame([row])], ignore_index=True)

    def _moves(self, items: tuple[int, ...]) -> pd.DataFrame:
        train, eligible = self.cell.train, self.cell.candidates(self.user)
        (before,) = after = self.cell.trained.scores([self.user])
        if items:
            after = self.cell.recommender().retrain(train, [Deletion(self.user, items)])
        (after,) = after
        best = [top_items(scores, eligible, TOP) for scores in (before, after)]
        shown = pd.unique(np.concatenate([*best, [self.target]]))
        columns = {"item": shown, "title": train.titles[shown]}
        columns |= {"rank_before": ranks(before, eligible, shown), "rank_after": ranks(after, eligible, shown)}
        return pd.DataFrame(columns)

    def _target_ranks(self) -> tuple[int, int]:
        (row,) = self.moved[self.moved["item"] == self.target].itertuples()
        return row.rank_before, row.rank_after

    def _title(self, item: int) -> str:
        return self.cell.train.titles[item]

    def _named(self, items: Iterable[int]) -> str:
        return listed(self._title(item) for item in items)


def listed(words: Iterable[str]) -> str:
    """The words in a sentence: "A, B and C"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def claim(found: Explanation, titles: np.ndarray) -> str:
    """An explanation in a sentence, or that none was found."""
    without, target = listed(titles[list(found.items)]), titles[found.target]
    models = f"{found.retrained} model{'s' * (found.retrained != 1)} retrained"
    among = f" among the top {found.top_k}" * (found.top_k > 1)
    if found.valid:
        return (
            f"Had you not rated {without}, we would not recommend {target}{among}: without them it is rank "
            f"{found.rank_after} ({models})."
        )
    return (
        f"Nothing that was tried stops us from recommending {target}{among}: even without {without} it is rank "
        f"{found.rank_after} ({models})."
    )
