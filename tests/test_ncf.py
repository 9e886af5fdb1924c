"""Neural collaborative filtering in lanes: exact, and the model that PyTorch's autograd and dense Adam train."""

import numba
import numpy as np
import pytest
import torch
from conftest import numba_threads
from hadyounot.retrain import simd
from hadyounot.retrain.ncf import NeuralCollaborativeFiltering, _Trainer
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.retrain.simd import LANES
from test_mf import some_deletions, world
from torch.nn.functional import binary_cross_entropy

NCF = NeuralCollaborativeFiltering(
    gmf_factors=3, mlp_layers=(6, 5, 4), epochs=3, batch_size=16, learning_rate=0.01, init_scale=0.3, seed=4
)
same = np.testing.assert_array_equal


class Reference(torch.nn.Module):
    """NeuMF as a user of PyTorch would write it."""

    def __init__(self, ncf: NeuralCollaborativeFiltering, ratings: Ratings, dtype: torch.dtype):
        super().__init__()
        users, items, weights = (torch.tensor(part, dtype=dtype) for part in ncf.initial_weights(ratings))
        gmf = ncf.gmf_factors
        self.tables = torch.nn.ParameterList([users[:, :gmf], users[:, gmf:], items[:, :gmf], items[:, gmf:]])
        dense, start = [], 0
        for fan_in, fan_out in zip(ncf.mlp_layers[:-1], ncf.mlp_layers[1:], strict=True):
            dense += [torch.nn.Linear(fan_in, fan_out, dtype=dtype), torch.nn.ReLU()]
            start = self._fill(dense[-2], weights, start)
        self.mlp = torch.nn.Sequential(*dense)
        self.output = torch.nn.Linear(gmf + ncf.mlp_layers[-1], 1, dtype=dtype)
        assert self._fill(self.output, weights, start) == len(weights)

    @staticmethod
    def _fill(layer, weights, start):
        n = layer.weight.numel()
        layer.weight.data = weights[start : start + n].reshape(layer.weight.shape).clone()
        layer.bias.data = weights[start + n : start + n + len(layer.bias)].clone()
        return start + n + len(layer.bias)

    def forward(self, users, items):
        gmf_u, mlp_u, gmf_i, mlp_i = self.tables
        hidden = self.mlp(torch.cat([mlp_u[users], mlp_i[items]], dim=1))
        return torch.sigmoid(self.output(torch.cat([gmf_u[users] * gmf_i[items], hidden], dim=1)))[:, 0]


def reference_scores(ncf, ratings, deletion, watched, dtype=torch.float64):
    """Scores of the reference after dense Adam on the same minibatches, deleted examples weighing 0: in stars, or with
    negatives on [0, 1].
    """
    model, n = Reference(ncf, ratings, dtype), len(ratings)
    adam = torch.optim.Adam(model.parameters(), lr=ncf.learning_rate, eps=1e-18)
    low, high = (0, 1) if ncf.negatives else (float(ratings.values.min()), float(ratings.values.max()))
    values = (torch.from_numpy(ratings.values).to(dtype) - low) / (high - low)
    kept = torch.from_numpy(~((ratings.users == deletion.user) & np.isin(ratings.items, deletion.items)))
    users, items = torch.from_numpy(ratings.users).long(), torch.from_numpy(ratings.items).long()
    for number, epoch in enumerate(_Trainer(ncf, ratings).epochs):
        if ncf.negatives:  # examples: all positives, then the first negative of each, ...
            example_items = torch.cat([items, *torch.from_numpy(ncf.sampled_negatives(ratings, number)).long().T])
        for batch in torch.from_numpy(epoch.order).long().split(ncf.batch_size):
            adam.zero_grad()
            if ncf.negatives:
                share, chosen = model(users[batch % n], example_items[batch]), (batch < n).to(dtype)
                losses = binary_cross_entropy(share, chosen, reduction="none")
            else:
                losses = (model(users[batch], items[batch]) - values[batch]) ** 2
            (losses * kept[batch % n]).sum().div(len(batch)).backward()
            adam.step()
    with torch.no_grad():
        everything = torch.arange(ratings.n_items)
        return (low + (high - low) * model(torch.full_like(everything, watched), everything)).numpy()


@pytest.mark.parametrize("layers", [(2, 1), (6, 5, 4), (8, 8), (16, 8)])
def test_agrees_with_autograd_and_dense_adam(layers):
    """Rows that minibatches of 16 seldom touch coast for many steps; both deleting and other users are compared."""
    ratings, ncf = world(60, 40), NCF.model_copy(update={"mlp_layers": layers})
    deletions = [Deletion(2, ()), Deletion(2, tuple(ratings.history(2)[:3].tolist())), *some_deletions(ratings, 4)]
    watched = [2, 2, *(deletion.user + 1 for deletion in deletions[2:])]
    scores = ncf.retrain(ratings, deletions, watched)
    for row, deletion, user in zip(scores, deletions, watched, strict=True):
        np.testing.assert_allclose(row, reference_scores(ncf, ratings, deletion, user), atol=1e-5)


def test_agrees_with_autograd_on_movielens(ml100k):
    """One epoch of 157 minibatches: within 1e-5 stars of PyTorch in the same precision or of its double precision."""
    ncf = NeuralCollaborativeFiltering(epochs=1)
    deletion = Deletion(7, tuple(ml100k.history(7)[:3].tolist()))
    (row,) = ncf.retrain(ml100k, [deletion])
    np.testing.assert_allclose(row, reference_scores(ncf, ml100k, deletion, 7), atol=1e-5)


@pytest.mark.parametrize("negatives", [0, 2])
def test_deletion_is_a_skip_whatever_else_is_retrained(negatives):
    """Position in the batch, its other rows, their number, and the threads leave no trace, to the last bit."""
    ratings, ncf = world(), NCF.model_copy(update={"negatives": negatives})
    deletions = some_deletions(ratings, 2 * LANES + 5)
    with numba_threads(1):
        alone = [ncf.retrain(ratings, [deletion])[0] for deletion in deletions]
        same(ncf.retrain(ratings, deletions), alone)
    with numba_threads(numba.config.NUMBA_NUM_THREADS):
        same(ncf.retrain(ratings, deletions), alone)
        same(ncf.retrain(ratings, deletions[::-1]), alone[::-1])


def test_no_deletion_is_the_original_model():
    ratings = world()
    users = range(ratings.n_users)
    same(NCF.retrain(ratings, [Deletion(user, ()) for user in users]), NCF.fit(ratings).scores(users))


def test_watched_users_are_scored_by_the_same_model():
    """Under a deletion by user 2: what user 2 and a stranger are shown come from one model."""
    ratings = world()
    deletion = Deletion(2, tuple(ratings.history(2)[:3].tolist()))
    own, stranger = NCF.retrain(ratings, [deletion, deletion], watched=[2, 9])
    same(own, NCF.retrain(ratings, [deletion])[0])
    np.testing.assert_allclose(stranger, reference_scores(NCF, ratings, deletion, 9), atol=1e-5)


def test_a_row_without_examples_keeps_its_initial_embedding():
    ratings = world()
    silent = ratings.select(ratings.users != 5)
    same(NCF.fit(silent).user_embeddings[5], NCF.initial_weights(ratings)[0][5])
    everything = Deletion(5, tuple(ratings.history(5).tolist()))
    (row,) = NCF.retrain(ratings, [everything])
    np.testing.assert_allclose(row, reference_scores(NCF, ratings, everything, 5), atol=1e-5)


def test_trajectory_passes_through_shorter_fits():
    ratings = world()
    for epochs, model in enumerate(NCF.trajectory(ratings), start=1):
        same(model.scores([0, 7]), NCF.model_copy(update={"epochs": epochs}).fit(ratings).scores([0, 7]))
    assert epochs == NCF.epochs


def test_seed_decides_weights_and_order():
    ratings, other = world(), NCF.model_copy(update={"seed": 5})
    same(NCF.fit(ratings).scores([0]), NCF.fit(ratings).scores([0]))
    assert not np.array_equal(NCF.fit(ratings).scores([0]), other.fit(ratings).scores([0]))
    orders = [epoch.order.tolist() for ncf in (NCF, other) for epoch in _Trainer(ncf, ratings).epochs]
    assert len(set(map(tuple, orders))) == len(orders)  # every epoch has its own
    assert all(sorted(order) == list(range(len(ratings))) for order in orders)


def test_sigmoid_is_within_two_ulps_of_double_precision():
    logits = np.linspace(-80, 80, 20 * LANES, dtype=np.float32)
    logits[7] = np.nan

    @numba.njit
    def apply(table):
        for k in range(len(table)):
            simd.store(table, k, simd.sigmoid(simd.load(table, k)))

    table = simd.lane_zeros(20)
    table[:] = logits.reshape(table.shape)
    apply(table)
    exact = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(table.ravel(), exact, rtol=2.5e-7)


def test_embeddings_and_weights_are_those_that_score():
    ratings = world()
    model = NCF.fit(ratings)
    same(model.user_embeddings, np.hstack([model.gmf_users, model.mlp_users]))
    hidden = np.hstack([np.tile(model.mlp_users[3], (ratings.n_items, 1)), model.mlp_items])
    for matrix, biases in zip(model.matrices, model.biases, strict=True):
        hidden = np.maximum(hidden @ matrix.T + biases, 0)
    both = np.hstack([model.gmf_users[3] * model.gmf_items, hidden])
    share = 1 / (1 + np.exp(-(both @ model.output_weights + model.output_bias)))
    np.testing.assert_allclose(model.scores([3])[0], model.low + (model.high - model.low) * share, atol=1e-6)
    assert (model.low, model.high) == (ratings.values.min(), ratings.values.max())


def test_equal_ratings_rank_nothing():
    ratings = Ratings.from_arrays(["a", "a", "b"], ["x", "y", "x"], [4, 4, 4])
    said = (
        r"^all 3 ratings are 4, so .*: add lower ratings .* negatives=4, .* ALS: ImplicitALS of hadyounot.retrain.peers"
        r", as BlackBox\(ImplicitALS\), or in a study as the factory hadyounot.retrain.peers:ImplicitALS of a blackbox$"
    )
    for train in (NCF.fit, lambda ratings: NCF.retrain(ratings, [Deletion(0, ())])):
        with pytest.raises(ValueError, match=said):
            train(ratings)


def test_ratings_that_were_edited_in_place_are_learnt_as_they_are():
    ratings = world()
    before = NCF.fit(ratings).scores([0])
    ratings.values[:] = 6 - ratings.values
    deletion = some_deletions(ratings, 1)
    fresh = ratings.select(np.arange(len(ratings)))
    np.testing.assert_array_equal(NCF.fit(ratings).scores([0]), NCF.fit(fresh).scores([0]))
    np.testing.assert_array_equal(NCF.retrain(ratings, deletion), NCF.retrain(fresh, deletion))
    assert (NCF.fit(ratings).scores([0]) != before).any()


def test_divergence_is_an_error():
    wild = NCF.model_copy(update={"learning_rate": 1e30})
    for train in (wild.fit, lambda ratings: wild.retrain(ratings, [Deletion(0, ())])):
        with pytest.raises(FloatingPointError, match=r"learning_rate=1e\+30: choose a smaller one, 0.003 say"):
            train(world())


def test_bad_requests_are_named():
    ratings = world()
    with pytest.raises(ValueError, match=r"Deletion\(user=30, items=\(\)\): unknown user index"):
        NCF.retrain(ratings, [Deletion(30, ())])
    with pytest.raises(ValueError, match="unknown user index 30"):
        NCF.retrain(ratings, [Deletion(0, ())], watched=[30])
    with pytest.raises(ValueError, match="watched names 2 users for 1 deletions"):
        NCF.retrain(ratings, [Deletion(0, ())], watched=[0, 1])
    with pytest.raises(ValueError, match="unknown user index -1"):
        NCF.fit(ratings).scores([-1])
    assert NCF.retrain(ratings, []).shape == (0, 20)


@pytest.mark.parametrize(
    "setting",
    [{"gmf_factors": 0}, {"mlp_layers": (4,)}, {"mlp_layers": (3, 2)}, {"mlp_layers": (4, 0)}, {"batch_size": 0},
     {"epochs": 0}, {"learning_rate": 0}, {"init_scale": -1}, {"negatives": -1}, {"seed": -1}],
)  # fmt: skip
def test_bad_settings_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        NeuralCollaborativeFiltering(**setting)


def test_quality_on_movielens(ml100k):
    """A user + item bias model has RMSE .94 here."""
    chosen = np.random.default_rng(0).random(len(ml100k)) < 0.7
    train, test = ml100k.select(chosen), ml100k.select(~chosen)
    scores = NeuralCollaborativeFiltering().fit(train).scores(np.arange(train.n_users))
    assert 0.90 < np.sqrt(np.mean((scores[test.users, test.items] - test.values) ** 2)) < 0.94


def test_initial_weights_are_drawn_apart_as_wide_as_is_said():
    """Dense layers between the bounds of Glorot and Bengio (AISTATS 2010), biases 0."""
    many = Ratings.from_arrays(np.arange(300), np.arange(300), np.arange(300) % 5)
    ncf = NeuralCollaborativeFiltering(gmf_factors=6, mlp_layers=(32, 16), init_scale=0.3)
    users, items, weights = ncf.initial_weights(many)
    for table in (users, items):
        assert table.std() == pytest.approx(0.3, rel=0.05)
    assert abs(np.corrcoef(users.ravel(), items.ravel())[0, 1]) < 0.1
    matrix, biases = weights[: 32 * 16], weights[32 * 16 : 33 * 16]
    assert np.abs(matrix).max() == pytest.approx(np.sqrt(6 / 48), rel=0.02)
    assert matrix.std() == pytest.approx(np.sqrt(6 / 48 / 3), rel=0.1)
    assert not biases.any()
    assert weights[-1] == 0
