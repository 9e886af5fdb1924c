"""Matrix factorisation ("SVD"; Koren, Bell, Volinsky, Computer 2009) by stochastic gradient descent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np

from ..rng import generator
from . import mf_kernel, protocols, simd
from .base import known_users, require_finite
from .ratings import Deletion, Ratings
from .settings import MatrixFactorizationConfig

SLICE = 2**20  # ratings that a kernel visits at a time: 0.03 s, and ten times that where factors and tables are large


@dataclass(frozen=True, eq=False)
class MatrixFactorizationModel:
    """f(u, i) = mean + b_u + b_i + p_u · q_i; every array float32. One without biases has 0 for them and for the mean.

    Attributes:
        mean: (), the mean training rating.
        user_biases: (n_users,).
        item_biases: (n_items,).
        user_embeddings: (n_users, factors), p_u.
        item_embeddings: (n_items, factors), q_i.
    """

    mean: np.float32
    user_biases: np.ndarray
    item_biases: np.ndarray
    user_embeddings: np.ndarray
    item_embeddings: np.ndarray

    def scores(self, users: Sequence[int]) -> np.ndarray:
        """f(u, ·): float32 (len(users), n_items), in the units of the ratings.

        Raises:
            ValueError: a user index is unknown.
        """
        users = known_users(users, len(self.user_biases))
        # summed in the order of mf_kernel.lane_scores: a retrained lane and a fitted model agree to the last bit
        scores = (self.mean + self.user_biases[users])[:, None] + self.item_biases
        for p, q in zip(self.user_embeddings[users].T, self.item_embeddings.T, strict=True):
            scores += p[:, None] * q
        return scores


class MatrixFactorization(MatrixFactorizationConfig):
    """Minimises, over the training ratings r_ui, the sum of

        (r_ui - f(u, i))² + regularization · (b_u² + b_i² + |p_u|² + |q_i|²)

    by ``epochs`` passes in one fixed order: by user, and within a user as given. Biases start at 0, embeddings
    at N(0, init_scale²). Without ``biased``, f(u, i) = p_u · q_i, and the embeddings are all that the model knows. The
    same settings and seed give the same bits on one machine.

    ``protocol`` is what a retraining keeps of the original's; see ``protocols``.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    makes: ClassVar[type] = MatrixFactorizationModel

    def fit(self, ratings: Ratings) -> MatrixFactorizationModel:
        """The model trained on all ratings.

        Raises:
            FloatingPointError: training diverged.
        """
        *_, trained = self.trajectory(ratings)
        return trained

    def trajectory(self, ratings: Ratings) -> Iterator[MatrixFactorizationModel]:
        """The model after each epoch; the last is that of ``fit``."""
        trainer = _ORIGINALS.get(self.protocol, _Trainer)(self, ratings)
        work = trainer.workspace()
        trainer.prepare(work, [()])
        for _ in range(self.epochs):
            for _ in trainer.train_epochs(work, 1):
                pass
            users, items = work.users[..., 0].copy(), work.items[..., 0].copy()
            require_finite(items, self, ratings.values)
            yield MatrixFactorizationModel(work.means[0], users[:, -1], items[:, -1], users[:, :-1], items[:, :-1])

    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """See ``Recommender.retrain``: float32 (len(deletions), n_items).

        Row b is the same bits whatever else is in ``deletions``; where ``protocol`` is "pinned" or "rebuilt", those of
        ``fit`` of the ratings without deletion b. Runs on ``numba.get_num_threads()`` threads.

        Raises:
            ValueError: as ``Recommender.retrain``.
            FloatingPointError: training diverged.
        """
        scores = simd.retrain(_TRAINERS[self.protocol](self, ratings), ratings, deletions, watched)
        require_finite(scores, self, ratings.values)
        return scores

    def objective(self, model: MatrixFactorizationModel, ratings: Ratings) -> float:
        """What training minimises, as a mean over the ratings: stars²."""
        users, items = ratings.users, ratings.items
        p, q = model.user_embeddings[users].astype(np.float64), model.item_embeddings[items].astype(np.float64)
        b_u, b_i = model.user_biases[users].astype(np.float64), model.item_biases[items].astype(np.float64)
        error = ratings.values - (model.mean + b_u + b_i + (p * q).sum(axis=1))
        norm = b_u**2 + b_i**2 + (p**2).sum(axis=1) + (q**2).sum(axis=1)
        return float((error**2 + self.regularization * norm).mean())

    def initial_embeddings(self, ratings: Ratings, *names: str | int) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n_users, factors) and (n_items, factors) that training starts from; ``names`` draw others."""
        return tuple(
            generator(self.seed, "matrix factorization", side, *names)
            .normal(0, self.init_scale, (count, self.factors))
            .astype(np.float32)
            for side, count in (("users", ratings.n_users), ("items", ratings.n_items))
        )


class _Visits(NamedTuple):
    """Ratings in the order of training: runs of one user's, whose parameters a kernel keeps at hand."""

    users: np.ndarray  # int64 (v,), whose run each is
    starts: np.ndarray  # int64 (v + 1,), where each begins
    items: np.ndarray  # int32 (m + PREFETCH,)
    values: np.ndarray  # float32 (m,)

    @classmethod
    def of(cls, ratings: Ratings, rows: np.ndarray) -> "_Visits":
        """The ratings in these rows (m,), in their order."""
        users = ratings.users[rows].astype(np.int64)
        begins = np.flatnonzero(np.diff(users, prepend=-1))
        items = np.concatenate([ratings.items[rows], np.zeros(mf_kernel.PREFETCH, np.int32)])
        return cls(users[begins], np.append(begins, len(rows)), items, ratings.values[rows])


@dataclass(eq=False)
class _Workspace:
    """What one thread trains in: as many models as there are lanes."""

    users: np.ndarray  # float32 (n_users, factors + 1, LANES)
    items: np.ndarray  # float32 (n_items, factors + 1, LANES)
    means: np.ndarray  # float32 (LANES,)
    visits: _Visits
    steps: np.ndarray  # float32 (m, LANES), learning rates: row 0 where no lane skips, then a row a skipped rating
    row_steps: np.ndarray  # int32 (n,)


class _Trainer:
    """See ``simd.Trainer``. The protocol "pinned": a deletion is a lane that skips, and all else is the original's."""

    def __init__(self, settings: MatrixFactorization, ratings: Ratings):
        self.settings, self.ratings = settings, ratings
        order, _ = ratings.rows_by_user
        self.position = np.empty_like(order)
        self.position[order] = np.arange(len(order))
        self.visits = _Visits.of(ratings, order)
        # float64 sums of float32 ratings of like size are exact, so a lane's mean does not depend on the way here
        self.total = ratings.values.sum(dtype=np.float64) if settings.biased else 0.0
        self.initial = settings.initial_embeddings(ratings)
        self.kernel = mf_kernel.factor_kernel(settings.factors, settings.biased)

    def workspace(self) -> _Workspace:
        shapes = [(len(start), self.settings.factors + 1) for start in self.initial]
        tables = [simd.lane_zeros(*shape) for shape in shapes]
        n = len(self.ratings)
        return _Workspace(*tables, simd.lane_zeros(1)[0], self.visits, simd.lane_zeros(1), np.zeros(n, dtype=np.int32))

    def prepare(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        deleted = [np.asarray(rows, dtype=np.int64) for rows in deleted]
        self.start(work, deleted)
        self.order(work, deleted)
        n, values = len(self.ratings), self.ratings.values
        work.means[:] = self.total / n
        for lane, rows in enumerate(deleted if self.settings.biased else ()):
            work.means[lane] = (self.total - values[rows].sum(dtype=np.float64)) / (n - len(rows))

    def start(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        """Initial weights in every lane."""
        for table, start in zip((work.users, work.items), self.initial, strict=True):
            table[:, :-1] = start[..., None]
            table[:, -1] = 0

    def order(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        """Which ratings are visited when, and which lanes learn from each."""
        skipped = [self.position[rows] for rows in deleted]
        work.steps = simd.skip(work.row_steps, skipped, self.settings.learning_rate)

    def follow(self, work: _Workspace, rows: np.ndarray, lanes: np.ndarray) -> None:
        """``order``, where lanes part ways: rows of the ratings, and a bit for each lane that learns from them."""
        work.visits = _Visits.of(self.ratings, rows)
        work.steps, work.row_steps = simd.only(lanes, self.settings.learning_rate)

    def train(self, work: _Workspace) -> Iterator[None]:
        return self.train_epochs(work, self.settings.epochs)

    def train_epochs(self, work: _Workspace, epochs: int) -> Iterator[None]:
        """In slices: whole epochs where they are short, else some users' visits at a time."""
        users, starts, items, values = work.visits
        together = max(1, SLICE // len(values))
        cuts = np.append(np.unique(np.searchsorted(starts, np.arange(0, len(values), SLICE))), len(users))
        for done in range(0, epochs, together):
            for begin, end in pairwise(cuts.tolist()):
                self.kernel(
                    work.users, work.items, work.means, work.steps, users[begin:end], starts[begin : end + 1], items,
                    values, work.row_steps, np.float32(self.settings.regularization), min(together, epochs - done),
                )  # fmt: skip
                yield

    def score(self, work: _Workspace, users: np.ndarray, scores: np.ndarray) -> None:
        mf_kernel.lane_scores(work.users, work.items, work.means, users, scores)


class _Reseeded(_Trainer):
    def start(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        super().start(work, deleted)
        for lane, rows in enumerate(deleted):
            drawn = self.settings.initial_embeddings(self.ratings, "reseeded", *np.sort(rows).tolist())
            for table, start in zip((work.users, work.items), drawn, strict=True):
                table[:, :-1, lane] = start


class _Warm(_Trainer):
    def __init__(self, settings: MatrixFactorization, ratings: Ratings):
        super().__init__(settings, ratings)
        self.original = settings.fit(ratings)

    def start(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        embeddings = self.original.user_embeddings, self.original.item_embeddings
        biases = self.original.user_biases, self.original.item_biases
        for table, rows, each in zip((work.users, work.items), embeddings, biases, strict=True):
            table[:, :-1], table[:, -1] = rows[..., None], each[:, None]

    def train(self, work: _Workspace) -> Iterator[None]:
        return self.train_epochs(work, self.settings.warm_epochs)


class _Rebuilt(_Trainer):
    def __init__(self, settings: MatrixFactorization, ratings: Ratings):
        super().__init__(settings, ratings)
        self.numbering = protocols.Numbering(ratings)

    def start(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        super().start(work, deleted)
        for lane, rows in enumerate(deleted):
            numbers = self.numbering.without(rows)
            for table, start, number in zip((work.users, work.items), self.initial, numbers, strict=True):
                table[:, :-1, lane] = start[number]

    def order(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        self.follow(work, *self.numbering.visits(deleted))


class _Reshuffled(_Trainer):
    def order(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        order, _ = self.ratings.rows_by_user
        self.follow(work, *protocols.reshuffled(order, [self.position[rows] for rows in deleted], self.settings.seed))


_TRAINERS = {
    "pinned": _Trainer,
    "rebuilt": _Rebuilt,
    "reseeded": _Reseeded,
    "reshuffled": _Reshuffled,
    "warm": _Warm,
}
_ORIGINALS = {"rebuilt": _Rebuilt, "reshuffled": _Reshuffled}  # the others keep what the original has, which is pinned
