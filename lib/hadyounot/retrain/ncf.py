"""Neural collaborative filtering (NeuMF; He et al., WWW 2017) on ratings or on choices, by Adam on minibatches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import ClassVar, NamedTuple
from zlib import crc32

import numpy as np

from ..rng import generator
from . import ncf_kernel, simd
from .base import known_users, require_finite
from .ratings import Deletion, Ratings
from .settings import NeuralCollaborativeFilteringConfig

SLICE = 2**15  # examples that a kernel learns from at a time, a tenth of a second where tables are large
NAME = ("neural collaborative filtering",)  # of its random numbers


@dataclass(frozen=True, eq=False)
class NeuralCollaborativeFilteringModel:
    """f(u, i) = low + (high - low) · σ(h · [p_u ∘ q_i ; MLP([s_u ; t_i])] + b); every array float32.

    The MLP's layers are dense with biases and ReLU. Matrices are (out, in).

    Attributes:
        gmf_users: (n_users, gmf_factors), p_u.
        gmf_items: (n_items, gmf_factors), q_i.
        mlp_users: (n_users, mlp_layers[0] / 2), s_u.
        mlp_items: (n_items, mlp_layers[0] / 2), t_i.
        matrices: one for each dense layer of the MLP.
        biases: likewise.
        output_weights: (gmf_factors + mlp_layers[-1],), h.
        output_bias: (), b.
        low, high: (), the lowest and highest training rating; 0 and 1 where training sampled negatives.
    """

    gmf_users: np.ndarray
    gmf_items: np.ndarray
    mlp_users: np.ndarray
    mlp_items: np.ndarray
    matrices: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    output_weights: np.ndarray
    output_bias: np.float32
    low: np.float32
    high: np.float32

    @property
    def user_embeddings(self) -> np.ndarray:
        """φ_u: float32 (n_users, gmf_factors + mlp_layers[0] / 2), of GMF and of the MLP."""
        return np.hstack([self.gmf_users, self.mlp_users])

    @property
    def item_embeddings(self) -> np.ndarray:
        """φ_i: float32 (n_items, gmf_factors + mlp_layers[0] / 2), of GMF and of the MLP."""
        return np.hstack([self.gmf_items, self.mlp_items])

    @cached_property
    def _network(self) -> ncf_kernel.Network:
        layers = (2 * self.mlp_users.shape[1], *(len(biases) for biases in self.biases))
        return ncf_kernel.Network.of(self.gmf_users.shape[1], layers)

    @cached_property
    def _weights(self) -> np.ndarray:
        """(n_weights,), in the network's order."""
        layers = [part.ravel() for layer in zip(self.matrices, self.biases, strict=True) for part in layer]
        return np.concatenate([*layers, self.output_weights, [self.output_bias]])

    @classmethod
    def from_arrays(
        cls, users: np.ndarray, items: np.ndarray, weights: np.ndarray, layers: Sequence[int], low: float, high: float
    ) -> "NeuralCollaborativeFilteringModel":
        """The model with these ``user_embeddings``, ``item_embeddings`` and weights in the network's order."""
        gmf = users.shape[1] - layers[0] // 2
        matrices, biases, start = [], [], 0
        for fan_in, fan_out in pairwise(layers):
            end = start + fan_in * fan_out
            matrices.append(weights[start:end].reshape(fan_out, fan_in))
            biases.append(weights[end : end + fan_out])
            start = end + fan_out
        tables = users[:, :gmf], items[:, :gmf], users[:, gmf:], items[:, gmf:]
        return cls(
            *tables, tuple(matrices), tuple(biases), weights[start:-1], weights[-1], np.float32(low), np.float32(high)
        )

    def scores(self, users: Sequence[int]) -> np.ndarray:
        """f(u, ·): float32 (len(users), n_items), in the units of the ratings; or how probably u chooses the item, as
        training with sampled negatives has it.

        Raises:
            ValueError: a user index is unknown.
        """
        users = known_users(users, len(self.gmf_users))
        # by the kernel that scores a lane, so that a retrained and a fitted model agree to the last bit
        items, weights = simd.lane_zeros(*self.item_embeddings.shape), simd.lane_zeros(len(self._weights))
        items[:], weights[:] = self.item_embeddings[..., None], self._weights[:, None]
        scores = np.empty((len(users), len(self.gmf_items)), dtype=np.float32)
        for start in range(0, len(users), simd.LANES):
            batch = slice(start, start + simd.LANES)
            _score(self._network, self.user_embeddings[users[batch]].T, items, weights, scores[batch])
        return _in_units(scores, self.low, self.high)


def _score(
    net: ncf_kernel.Network, of_users: np.ndarray, items: np.ndarray, weights: np.ndarray, scores: np.ndarray
) -> None:
    """On [0, 1], into ``scores`` (m, n_items), for one user of each lane: ``of_users`` (width, m)."""
    row = simd.lane_zeros(net.width)
    row[:, : of_users.shape[1]] = of_users
    ncf_kernel.score_neural(net, row, items, weights, simd.lane_zeros(net.n_units), simd.lane_zeros(1), scores)


def _in_units(share: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    return low + (high - low) * share


class NeuralCollaborativeFiltering(NeuralCollaborativeFilteringConfig):
    """Learns ratings where ``negatives`` is 0, else choices, as He et al. do (WWW 2017, 3.1 and 4.1).

    - Ratings: minimises the squared error of f(u, i) on training ratings scaled to [0, 1] from their lowest and
      highest.
    - Choices: minimises the cross-entropy of f(u, i) = σ(...), on [0, 1], from 1 on every training rating, whatever its
      value, and from 0 on ``negatives`` items beside it: see ``sampled_negatives``.

    Adam (Kingma and Ba, ICLR 2015; β = 0.9, 0.999; ε → 0) on the mean loss of minibatches, dense: momentum moves every
    parameter at every step. Examples come in an order drawn anew for each epoch. Embeddings start at
    N(0, init_scale²), matrices at Glorot's uniform, biases at 0. A deletion is a skipped example, and its own negatives
    are skipped with it: its minibatch is still divided by the number of examples that it has for everybody else, and
    ``low``, ``high`` and all other negatives stay. So a deleted item never becomes a negative of its user. The same
    settings and seed give the same bits on one machine.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    makes: ClassVar[type] = NeuralCollaborativeFilteringModel

    def fit(self, ratings: Ratings) -> NeuralCollaborativeFilteringModel:
        """The model trained on all ratings.

        Raises:
            ValueError: all ratings are the same, and there are no negatives; or a user who rated everything has none.
            FloatingPointError: training diverged.
        """
        *_, trained = self.trajectory(ratings)
        return trained

    def trajectory(self, ratings: Ratings) -> Iterator[NeuralCollaborativeFilteringModel]:
        """The model after each epoch; the last is that of ``fit``."""
        trainer = _trainer(self.model_copy(update={"protocol": "pinned"}), ratings)
        work = trainer.workspace()
        trainer.prepare(work, [()])
        for epoch in trainer.epochs:
            for _ in trainer.train_epoch(work, epoch):
                pass
            embeddings, weights = work.lanes.embeddings[..., 0].copy(), work.lanes.weights[..., 0].copy()
            require_finite(embeddings, self, trainer.targets)
            yield NeuralCollaborativeFilteringModel.from_arrays(
                embeddings[: ratings.n_users],
                embeddings[ratings.n_users :],
                weights,
                self.mlp_layers,
                trainer.low,
                trainer.high,
            )

    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """See ``Recommender.retrain``: float32 (len(deletions), n_items).

        Row b is the same bits whatever else is in ``deletions``. Runs on ``numba.get_num_threads()`` threads.

        Raises:
            ValueError: as ``Recommender.retrain`` or ``fit``.
            FloatingPointError: training diverged.
        """
        trainer = _trainer(self, ratings)
        scores = simd.retrain(trainer, ratings, deletions, watched)
        require_finite(scores, self, trainer.targets)
        return _in_units(scores, trainer.low, trainer.high)

    def initial_weights(self, ratings: Ratings, *names: str | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What training starts from: float32 ``user_embeddings``, ``item_embeddings`` and weights in the network's
        order (see ``NeuralCollaborativeFilteringModel.from_arrays``); ``names`` draw others.
        """
        width = self.gmf_factors + self.mlp_layers[0] // 2
        embeddings = [
            generator(self.seed, *NAME, side, *names).normal(0, self.init_scale, (count, width))
            for side, count in (("users", ratings.n_users), ("items", ratings.n_items))
        ]
        rng, parts = generator(self.seed, *NAME, "layers", *names), []
        for fan_in, fan_out in (*pairwise(self.mlp_layers), (self.gmf_factors + self.mlp_layers[-1], 1)):
            bound = np.sqrt(6 / (fan_in + fan_out))
            parts += [rng.uniform(-bound, bound, fan_in * fan_out), np.zeros(fan_out)]
        return tuple(each.astype(np.float32) for each in (*embeddings, np.concatenate(parts)))

    def sampled_negatives(self, ratings: Ratings, epoch: int) -> np.ndarray:
        """Items beside each rating in an epoch (from 0): int32 (n, negatives).

        Uniform, and independent, among the items with a rating that the rating's user did not rate; drawn from the seed
        and the epoch for the rating's place, so that a deletion, which is a skip, leaves those of all others. Ratings
        that lack a row are another dataset, with other negatives.

        Raises:
            ValueError: a user rated every item.
        """
        rated = np.flatnonzero(ratings.rated)
        histories = np.bincount(ratings.users, minlength=ratings.n_users)
        if histories.max() == len(rated):
            raise ValueError(
                f"user {histories.argmax()} rated all {len(rated)} items, so none is left to sample as a negative: "
                "leave the user out, or set negatives=0"
            )
        # the k-th item (from 0) that a user did not rate is k + j, in ``rated``, if j items of the history h, sorted,
        # come before it: those with h_j - j <= k
        order = np.lexsort((ratings.items, ratings.users))
        owners, starts = ratings.users[order].astype(np.int64), np.append(0, np.cumsum(histories))
        before = np.searchsorted(rated, ratings.items[order]) - (np.arange(len(order)) - starts[owners])
        users = ratings.users[:, None].astype(np.int64)
        rng = generator(self.seed, *NAME, "negatives", epoch)
        k = rng.integers(0, len(rated) - histories[users], size=(len(ratings), self.negatives))
        passed = np.searchsorted(owners * len(rated) + before, users * len(rated) + k, side="right") - starts[users]
        return rated[k + passed].astype(np.int32)


class _Lanes(NamedTuple):
    """What the kernel trains in; float32, from ``lane_zeros``, unless said otherwise."""

    embeddings: np.ndarray  # (n_users + n_items, width, LANES)
    first: np.ndarray  # likewise: Adam's first moment
    second: np.ndarray  # likewise
    weights: np.ndarray  # (n_weights, LANES)
    weight_first: np.ndarray
    weight_second: np.ndarray
    gradients: np.ndarray  # (most rows that a minibatch touches, width, LANES)
    weight_gradients: np.ndarray
    values: np.ndarray  # (n_units, LANES)
    slopes: np.ndarray  # (n_units, LANES)
    row_steps: np.ndarray  # int32 (n,): row of steps of each rating


@dataclass(eq=False)
class _Workspace:
    """What one thread trains in: as many models as there are lanes."""

    lanes: _Lanes
    steps: np.ndarray  # float32 (m, LANES), see ``simd.skip``


class _Epoch(NamedTuple):
    """One pass over the examples, of which there are m = n (1 + negatives).

    It has minibatches, and tells how far each row of embeddings moves and decays when.

    A row moves once for every minibatch that touches it: that step, and all steps up to the next one that does, or to
    the end of the epoch. At the beginning of an epoch all rows move up to their first minibatch.
    """

    items: np.ndarray  # int32 (m,), row of embeddings; example e belongs to rating e mod n and is positive if e < n
    order: np.ndarray  # int32 (m,), examples
    starts: np.ndarray  # int64 (batches + 1,), where each minibatch begins in ``order``
    user_slots: np.ndarray  # int32 (m,), place in ``gradients``, in the order of ``order``
    item_slots: np.ndarray  # likewise
    touched: np.ndarray  # int32 (t,), rows of embeddings, grouped by minibatch; a slot is the place in its group
    touch_starts: np.ndarray  # int64 (batches + 1,)
    distances: np.ndarray  # float32 (t,), times m / √v
    first_decays: np.ndarray  # float32 (t,)
    second_decays: np.ndarray  # float32 (t,)
    coast_distances: np.ndarray  # float32 (rows,)
    coast_first_decays: np.ndarray  # float32 (rows,)
    coast_second_decays: np.ndarray  # float32 (rows,)
    weight_distances: np.ndarray  # float32 (batches,)

    def slices(self, batches: int) -> Iterator["_Epoch"]:
        """So many minibatches at a time; the first of them moves all rows up to theirs."""
        none = self.coast_distances[:0]
        coasted = {f"coast_{what}": none for what in ("distances", "first_decays", "second_decays")}
        for begin in range(0, len(self.weight_distances), batches):
            end = begin + batches
            yield self._replace(
                starts=self.starts[begin : end + 1],
                touch_starts=self.touch_starts[begin : end + 1],
                weight_distances=self.weight_distances[begin:end],
                **(coasted if begin else {}),
            )


class _Trainer:
    """See ``simd.Trainer``."""

    def __init__(self, settings: NeuralCollaborativeFiltering, ratings: Ratings):
        self.settings, self.n_users = settings, ratings.n_users
        self.net = ncf_kernel.Network.of(settings.gmf_factors, settings.mlp_layers)
        self.ratings, self.users = ratings, ratings.users
        if settings.negatives:
            self.low, self.high = np.float32(0), np.float32(1)
            self.targets = np.zeros(len(ratings) * (1 + settings.negatives), dtype=np.float32)
            self.targets[: len(ratings)] = 1
        else:
            self.low, self.high = ratings.values.min(), ratings.values.max()
            if self.low == self.high:
                raise ValueError(
                    f"all {len(ratings)} ratings are {self.low:g}, so every item would be as good as any other: add "
                    'lower ratings of items not chosen, or take them as "yes", with negatives=4, say, or ALS: '
                    "ImplicitALS of hadyounot.retrain.peers, as BlackBox(ImplicitALS), or in a study as the factory "
                    "hadyounot.retrain.peers:ImplicitALS of a blackbox"
                )
            self.targets = (ratings.values - self.low) / (self.high - self.low)
        self.initial = settings.initial_weights(ratings)
        self.epochs = [self._epoch(number) for number in range(settings.epochs)]

    def _epoch(self, number: int) -> _Epoch:
        settings, n, n_rows = self.settings, len(self.targets), sum(len(table) for table in self.initial[:2])
        users, items = np.tile(self.users, 1 + settings.negatives), self.ratings.items
        if settings.negatives:
            items = np.concatenate([items, settings.sampled_negatives(self.ratings, number).T.ravel()])
        items = items + np.int32(self.n_users)
        starts = np.append(np.arange(0, n, settings.batch_size), n)
        n_steps = len(starts) - 1
        step_of = np.repeat(np.arange(n_steps), np.diff(starts))
        order = generator(settings.seed, *NAME, "order", number).permutation(n)
        order = order[np.lexsort((items[order], users[order], step_of))]  # a sum has no order: kind to caches
        rows = np.concatenate([users[order], items[order]])
        touches, slots = np.unique(np.tile(step_of, 2) * n_rows + rows, return_inverse=True)
        touch_steps, touched = np.divmod(touches, n_rows)
        touch_starts = np.searchsorted(touch_steps, np.arange(n_steps + 1))
        slots -= touch_starts[np.tile(step_of, 2)]

        by_row = np.lexsort((touch_steps, touched))
        is_last = np.append(np.diff(touched[by_row]) != 0, True)
        following = np.empty(len(touches), dtype=np.int64)
        following[by_row] = np.where(is_last, n_steps, np.append(touch_steps[by_row][1:], n_steps))
        first_touch = np.full(n_rows, n_steps)
        np.minimum.at(first_touch, touched, touch_steps)

        # Step t moves by learning_rate · bias_t · m_t / √v_t, and without a gradient m / √v decays by a constant: the
        # moves of steps t, t+1, ... without a gradient after t sum up to m_t / √v_t · (ahead_t - decayᵏ ahead_t+k)
        done = number * n_steps
        t = np.arange(1, done + n_steps + 1)
        first, second = ncf_kernel.FIRST_DECAY, ncf_kernel.SECOND_DECAY
        bias = settings.learning_rate * np.sqrt(1 - second**t) / (1 - first**t)
        decay, ahead = first / np.sqrt(second), np.zeros(n_steps + 1)
        for step in reversed(range(n_steps)):
            ahead[step] = bias[done + step] + decay * ahead[step + 1]

        def distance(start, end):
            return ahead[start] - decay ** (end - start) * ahead[end]

        gap = following - touch_steps - 1
        return _Epoch(
            items=items,
            order=order.astype(np.int32),
            starts=starts,
            user_slots=slots[:n].astype(np.int32),
            item_slots=slots[n:].astype(np.int32),
            touched=touched.astype(np.int32),
            touch_starts=touch_starts,
            distances=distance(touch_steps, following).astype(np.float32),
            first_decays=(first**gap).astype(np.float32),
            second_decays=(second**gap).astype(np.float32),
            coast_distances=(decay * distance(np.zeros(n_rows, int), first_touch)).astype(np.float32),
            coast_first_decays=(first**first_touch).astype(np.float32),
            coast_second_decays=(second**first_touch).astype(np.float32),
            weight_distances=bias[done:].astype(np.float32),
        )

    def workspace(self) -> _Workspace:
        net, n_rows = self.net, sum(len(table) for table in self.initial[:2])
        most = max(np.diff(epoch.touch_starts).max() for epoch in self.epochs)
        shapes = [(n_rows, net.width)] * 3 + [(net.n_weights,)] * 3
        shapes += [(most, net.width), (net.n_weights,), (net.n_units,), (net.n_units,)]
        tables = [simd.lane_zeros(*shape) for shape in shapes]
        return _Workspace(_Lanes(*tables, np.zeros(len(self.users), dtype=np.int32)), simd.lane_zeros(1))

    def prepare(self, work: _Workspace, deleted: Sequence[np.ndarray]) -> None:
        users, items, weights = self.initial
        work.lanes.embeddings[: self.n_users] = users[..., None]
        work.lanes.embeddings[self.n_users :] = items[..., None]
        work.lanes.weights[:] = weights[:, None]
        for moments in (work.lanes.first, work.lanes.second, work.lanes.weight_first, work.lanes.weight_second):
            moments[:] = 0
        for lane, rows in enumerate(deleted if self.settings.protocol == "reseeded" else ()):
            drawn = self.settings.initial_weights(self.ratings, "reseeded", *np.sort(rows).tolist())
            work.lanes.embeddings[..., lane], work.lanes.weights[:, lane] = np.vstack(drawn[:2]), drawn[2]
        work.steps = simd.skip(work.lanes.row_steps, deleted, 1)

    def train_epoch(self, work: _Workspace, epoch: _Epoch) -> Iterator[None]:
        has_negatives = self.settings.negatives > 0
        for part in epoch.slices(max(1, SLICE // self.settings.batch_size)):
            ncf_kernel.train_neural(self.net, work.lanes, self.users, self.targets, work.steps, part, has_negatives)
            yield

    def train(self, work: _Workspace) -> Iterator[None]:
        for epoch in self.epochs:
            yield from self.train_epoch(work, epoch)

    def score(self, work: _Workspace, users: np.ndarray, scores: np.ndarray) -> None:
        table, each = work.lanes.embeddings, np.arange(len(users))
        _score(self.net, table[users, :, each].T, table[self.n_users :], work.lanes.weights, scores)


def _trainer(settings: NeuralCollaborativeFiltering, ratings: Ratings) -> _Trainer:
    """Kept for the next call, as explainers retrain a few models at a time on the same ratings: epochs take a while."""
    arrays = ratings.users, ratings.items, ratings.values
    return _kept(settings, ratings, *(crc32(np.ascontiguousarray(each)) for each in arrays))


@lru_cache(maxsize=1)
def _kept(settings: NeuralCollaborativeFiltering, ratings: Ratings, *said: int) -> _Trainer:
    """By what the ratings ``said`` too, as arrays can be edited in place."""
    return _Trainer(settings, ratings)
