"""Biased matrix factorisation ("SVD"; Koren, Bell, Volinsky, Computer 2009) by stochastic gradient descent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ..rng import generator
from . import mf_kernel, simd
from .base import known_users, require_finite
from .ratings import Deletion, Ratings
from .settings import MatrixFactorizationConfig


@dataclass(frozen=True, eq=False)
class MatrixFactorizationModel:
    """f(u, i) = mean + b_u + b_i + p_u · q_i; every array float32.

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
    at N(0, init_scale²). The same settings and seed give the same bits on one machine.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    seed: int = Field(0, ge=0, description="Root of the initial weights.")

    def fit(self, ratings: Ratings) -> MatrixFactorizationModel:
        """The model trained on all ratings.

        Raises:
            FloatingPointError: training diverged.
        """
        *_, trained = self.trajectory(ratings)
        return trained

    def trajectory(self, ratings: Ratings) -> Iterator[MatrixFactorizationModel]:
        """The model after each epoch; the last is that of ``fit``."""
        trainer = _Trainer(self, ratings)
        work = trainer.workspace()
        trainer.prepare(work, [()])
        for _ in range(self.epochs):
            trainer.train(work, epochs=1)
            users, items = work.users[..., 0].copy(), work.items[..., 0].copy()
            require_finite(items, self, ratings.values)
            yield MatrixFactorizationModel(work.means[0], users[:, -1], items[:, -1], users[:, :-1], items[:, :-1])

    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """See ``Recommender.retrain``: float32 (len(deletions), n_items).

        Row b equals ``fit`` of the ratings without deletion b to the last bit, whatever else is in
        ``deletions``. Runs on ``numba.get_num_threads()`` threads.

        Raises:
            ValueError: as ``Recommender.retrain``.
            FloatingPointError: training diverged.
        """
        scores = simd.retrain(_Trainer(self, ratings), ratings, deletions, watched)
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

    def initial_embeddings(self, ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n_users, factors) and (n_items, factors) that training starts from."""
        return tuple(
            generator(self.seed, "matrix factorization", side)
            .normal(0, self.init_scale, (count, self.factors))
            .astype(np.float32)
            for side, count in (("users", ratings.n_users), ("items", ratings.n_items))
        )


@dataclass(eq=False)
class _Workspace:
    """What one thread trains in: as many models as there are lanes."""

    users: np.ndarray  # float32 (n_users, factors + 1, LANES)
    items: np.ndarray  # float32 (n_items, factors + 1, LANES)
    means: np.ndarray  # float32 (LANES,)
    steps: np.ndarray  # float32 (m, LANES), learning rates: row 0 where no lane skips, then a row a skipped rating
    row_steps: np.ndarray  # int32 (n,)


class _Trainer:
    """See ``simd.Trainer``."""

    def __init__(self, settings: MatrixFactorization, ratings: Ratings):
        self.settings = settings
        order, self.starts = ratings.rows_by_user
        self.position = np.empty_like(order)
        self.position[order] = np.arange(len(order))
        self.values = ratings.values[order]
        self.items = np.concatenate([ratings.items[order], np.zeros(mf_kernel.PREFETCH, np.int32)])
        # float64 sums of float32 ratings of like size are exact, so a lane's mean does not depend on the way here
        self.total = self.values.sum(dtype=np.float64)
        self.initial = settings.initial_embeddings(ratings)
        self.kernel = mf_kernel.factor_kernel(settings.factors)

    def workspace(self) -> _Workspace:
        shapes = [(len(start), self.settings.factors + 1) for start in self.initial]
        tables = [simd.lane_zeros(*shape) for shape in shapes]
        return _Workspace(
            *tables, simd.lane_zeros(1)[0], simd.lane_zeros(1), np.zeros(len(self.values), dtype=np.int32)
        )

    def prepare(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        for table, start in zip((work.users, work.items), self.initial, strict=True):
            table[:, :-1] = start[..., None]
            table[:, -1] = 0
        skipped = [self.position[np.asarray(rows, dtype=np.int64)] for rows in deleted]
        work.steps = simd.skip(work.row_steps, skipped, self.settings.learning_rate)
        work.means[:] = self.total / len(self.values)
        for lane, positions in enumerate(skipped):
            work.means[lane] = (self.total - self.values[positions].sum(dtype=np.float64)) / (
                len(self.values) - len(positions)
            )

    def train(self, work: _Workspace, epochs: int | None = None) -> None:
        settings = self.settings
        self.kernel(
            work.users, work.items, work.means, work.steps, self.starts, self.items, self.values, work.row_steps,
            np.float32(settings.regularization), settings.epochs if epochs is None else epochs,
        )  # fmt: skip

    def score(self, work: _Workspace, users: np.ndarray, scores: np.ndarray) -> None:
        mf_kernel.lane_scores(work.users, work.items, work.means, users, scores)
