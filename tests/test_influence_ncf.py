"""Influence on neural collaborative filtering, against dense linear algebra and real leave-one-out retraining."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hadyounot.compare import differentiated
from hadyounot.compare.differentiated import BLOCK_DAMPING, neural_block, neural_influence
from hadyounot.compare.influence import influences, removals
from hadyounot.compare.settings import InfluenceConfig
from hadyounot.retrain.ncf import NeuralCollaborativeFiltering
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.rng import generator
from hadyounot.study import datasets
from test_mf import world
from torch.autograd import functional
from torch.nn.functional import softplus

hessian = partial(functional.hessian, vectorize=True)  # all rows at once: a tenth of the time
jacobian = partial(functional.jacobian, vectorize=True)
EXACT = InfluenceConfig(damping=1e-5, tolerance=1e-10, max_iterations=5000)
SMALL = {"gmf_factors": 2, "mlp_layers": (4, 2), "batch_size": 128, "init_scale": 0.1}
EARLY = NeuralCollaborativeFiltering(**SMALL, epochs=20)
LONG = NeuralCollaborativeFiltering(**SMALL, epochs=400)


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return datasets.planted()


@pytest.fixture(scope="module")
def early(ratings):
    return EARLY.fit(ratings)


@pytest.fixture(scope="module", params=[differentiated.BLOCK, 1000], ids=["whole", "in blocks"])
def influence(request, ratings, early):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(differentiated, "BLOCK", request.param)
        return neural_influence(early, ratings, EXACT, torch.float64)


def logits_of(model):
    """θ (n_parameters,) in float64, and the (n_users, n_items) logits as a function of it; written again."""
    layers = [part for layer in zip(model.matrices, model.biases, strict=True) for part in layer]
    tables = [model.gmf_users, model.gmf_items, model.mlp_users, model.mlp_items]
    arrays = [torch.tensor(array, dtype=torch.float64) for array in (*tables, *layers, model.output_weights)]
    arrays.append(torch.tensor([model.output_bias], dtype=torch.float64))
    shapes, sizes = [array.shape for array in arrays], [array.numel() for array in arrays]

    def logits(theta):
        pieces = zip(theta.split(sizes), shapes, strict=True)
        p, q, s, t, matrix, bias, h, b = (piece.reshape(shape) for piece, shape in pieces)
        pairs = torch.cat([s[:, None].expand(-1, len(t), -1), t[None].expand(len(s), -1, -1)], dim=-1)
        hidden = torch.einsum("ol,uil->uio", matrix, pairs).add(bias).clamp(min=0)
        return torch.einsum("uf,if,f->ui", p, q, h[: p.shape[1]]) + hidden @ h[p.shape[1] :] + b

    return torch.cat([array.reshape(-1) for array in arrays]), logits


@pytest.fixture(scope="module")
def dense(ratings, early):
    """θ (n_parameters,) in float64, the (n_users, n_items) scores and the losses as functions of it, H of their mean;
    over all pairs.
    """
    theta, logits = logits_of(early)
    low, high = float(early.low), float(early.high)

    def scores(theta):
        return low + (high - low) / (1 + torch.exp(-logits(theta)))

    def losses(theta):
        return (
            (scores(theta)[ratings.users, ratings.items] - torch.from_numpy(ratings.values).double()) / (high - low)
        ) ** 2

    return theta, scores, losses, hessian(lambda theta: losses(theta).mean(), theta)


def test_the_forward_pass_is_the_models(ratings, early, influence, dense):
    users, items = (torch.from_numpy(index.ravel()) for index in np.indices((ratings.n_users, ratings.n_items)))
    scores = early.scores(range(ratings.n_users))
    predicted = influence.predict(*influence.parameters, users, items).detach().numpy()
    assert predicted == pytest.approx(scores.ravel(), abs=1e-5)
    assert dense[1](dense[0]).numpy() == pytest.approx(scores, abs=1e-5)


def test_products_with_the_hessian_are_exact_and_damping_makes_it_definite(influence, dense):
    *_, matrix = dense
    for vector in generator(0, "vectors").normal(size=(3, len(matrix))):
        expected = (matrix @ torch.from_numpy(vector)).numpy()
        assert influence._product(vector) == pytest.approx(expected, rel=1e-8, abs=1e-12)
    smallest = float(torch.linalg.eigvalsh(matrix)[0])
    assert smallest < -EXACT.damping, "stopped too late to show anything"
    assert influence.damping == pytest.approx(-2 * smallest, rel=0.1)


def test_damping_is_the_same_each_time(ratings):
    """ARPACK restarts on these ratings, from vectors that must not be drawn from entropy."""
    few = replace(ratings, **{name: getattr(ratings, name)[:600] for name in ("users", "items", "values")})
    wide = NeuralCollaborativeFiltering(gmf_factors=8, mlp_layers=(16, 8), batch_size=128, init_scale=0.1, epochs=20)
    model = wide.fit(few)
    assert len({neural_influence(model, few, InfluenceConfig()).damping for _ in range(4)}) == 1


def test_changes_equal_the_dense_computation(ratings, influence, dense):
    theta, scores, losses, matrix = dense
    damped = matrix + influence.damping * torch.eye(len(theta), dtype=theta.dtype)
    slopes = jacobian(losses, theta)
    for user, target in ((0, 3), (41, 11)):
        right = jacobian(lambda theta, pair=(user, target): scores(theta)[pair], theta)
        expected = (slopes @ torch.linalg.solve(damped, right) / len(ratings))[ratings.rows_of(user)]
        assert influence.changes(user, target) == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-9)


@pytest.mark.slow
def test_block_equals_the_dense_computation(ratings, early, dense):
    """The rows and columns of the user's and the target's embeddings, in the Hessian over their ratings alone."""
    theta, scores, losses, _ = dense
    widths = (2, 2, 2, 2)
    starts = np.cumsum([0, ratings.n_users * 2, ratings.n_items * 2, ratings.n_users * 2])
    slopes = jacobian(losses, theta)
    rated = {user: ratings.history(user).tolist() for user in range(ratings.n_users)}
    pairs = [(0, next(item for item in range(ratings.n_items) if item not in rated[0])), (41, rated[41][0])]
    for user, target in pairs:
        rows = np.flatnonzero((ratings.users == user) | (ratings.items == target))
        own = np.concatenate(
            [
                start + row * width + np.arange(width)
                for start, row, width in zip(starts, (user, target, user, target), widths, strict=True)
            ]
        )
        matrix = hessian(lambda theta, rows=rows: losses(theta)[rows].mean(), theta)[own][:, own]
        damping = max(BLOCK_DAMPING, -2 * float(torch.linalg.eigvalsh(matrix)[0]))
        right = jacobian(lambda theta, pair=(user, target): scores(theta)[pair], theta)[own]
        solution = torch.linalg.solve(matrix + damping * torch.eye(len(own), dtype=theta.dtype), right)
        expected = slopes[ratings.rows_of(user)][:, own] @ solution / len(rows)
        assert neural_block(early, ratings, user, target) == pytest.approx(expected.numpy(), rel=1e-6, abs=1e-9)


def test_both_predict_real_leave_one_out_retraining(ratings):
    """Sign and order: predicted changes of scores against those of models really trained without the rating."""
    model, truth, predicted = LONG.fit(ratings), [], {"influence": [], "influence_block": []}
    influence = neural_influence(model, ratings, EXACT.model_copy(update={"tolerance": 1e-4}), torch.float64)
    for user in range(0, ratings.n_users, 8):
        history = ratings.history(user)
        target = int(np.setdiff1d(np.arange(ratings.n_items), history)[0])
        after = LONG.retrain(ratings, [Deletion(user, (int(item),)) for item in history])
        truth.extend(after[:, target] - model.scores([user])[0, target])
        predicted["influence"].extend(influence.changes(user, target))
        predicted["influence_block"].extend(neural_block(model, ratings, user, target))
    correlations = {name: np.corrcoef(changes, truth)[0, 1] for name, changes in predicted.items()}
    print(f"Pearson correlation with the truth: {correlations}")
    assert correlations["influence"] > 0.7
    assert correlations["influence_block"] > 0.7


def test_explanations_are_the_most_negative_changes(ratings, early):
    methods = influences(early, ratings, EARLY, EXACT.model_copy(update={"tolerance": 1e-4}))
    assert {"influence", "influence_block"} == {name.removesuffix("_as_printed") for name in methods}
    exact = neural_influence(early, ratings, EXACT, torch.float64)
    for user in (1, 6):
        history = ratings.history(user)
        target = int(np.setdiff1d(np.arange(ratings.n_items), history)[0])
        for name, changes in (
            ("influence", exact.changes(user, target)),  # in float32 the same
            ("influence_block", neural_block(early, ratings, user, target)),
        ):
            assert methods[name](user, target, 3, generator(0, "e")) == tuple(history[np.argsort(changes)[:3]])


IMPLICIT = NeuralCollaborativeFiltering(**SMALL, epochs=20, negatives=2, learning_rate=0.01)


def test_with_negatives_a_deletion_takes_away_its_own():
    """Of the last epoch; against dense linear algebra on cross-entropies of logits."""
    ratings, user, target = world(), 2, 7
    model, rows = IMPLICIT.fit(ratings), ratings.rows_of(user)
    theta, logits = logits_of(model)
    users = torch.from_numpy(ratings.users).long()
    negatives = torch.from_numpy(IMPLICIT.sampled_negatives(ratings, 19)).long()

    def losses(theta):
        z = logits(theta)
        return torch.column_stack([softplus(-z[users, ratings.items]), softplus(z[users[:, None], negatives])])

    def score(theta):
        return torch.sigmoid(logits(theta)[user, target])

    slopes, right = jacobian(lambda theta: losses(theta).sum(dim=1)[rows], theta), jacobian(score, theta)
    influence = neural_influence(model, ratings, EXACT, torch.float64, negatives.numpy())
    matrix = hessian(lambda theta: losses(theta).mean(), theta) + influence.damping * torch.eye(len(theta))
    expected = slopes @ torch.linalg.solve(matrix, right) / losses(theta).numel()
    assert influence.changes(user, target) == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-9)

    touching = torch.column_stack([torch.from_numpy(ratings.items).long(), negatives]) == target
    touching |= users[:, None] == user
    starts = np.cumsum([0, ratings.n_users * 2, ratings.n_items * 2, ratings.n_users * 2])
    own = np.concatenate(
        [start + 2 * row + np.arange(2) for start, row in zip(starts, [user, target] * 2, strict=True)]
    )
    matrix = hessian(lambda theta: losses(theta)[touching].mean(), theta)[own][:, own]
    damping = max(BLOCK_DAMPING, -2 * float(torch.linalg.eigvalsh(matrix)[0]))
    solution = torch.linalg.solve(matrix + damping * torch.eye(len(own)), right[own])
    expected = slopes[:, own] @ solution / int(touching.sum())
    changes = neural_block(model, ratings, user, target, negatives.numpy())
    assert changes == pytest.approx(expected.numpy(), rel=1e-6, abs=1e-9)

    methods = removals(model, ratings, IMPLICIT, EXACT)
    assert methods["influence_block"](user, target) == pytest.approx(changes)
    assert np.corrcoef(methods["influence"](user, target), influence.changes(user, target))[0, 1] > 0.99


def test_with_negatives_it_predicts_real_leave_one_out_retraining(ratings):
    """Though these are sampled anew in each epoch."""
    ncf = IMPLICIT.model_copy(update={"epochs": 60})
    model, truth, predicted = ncf.fit(ratings), [], {"influence": [], "influence_block": []}
    methods = removals(model, ratings, ncf, EXACT.model_copy(update={"tolerance": 1e-2}))
    for user in range(0, ratings.n_users, 16):
        history = ratings.history(user)
        target = int(np.setdiff1d(np.arange(ratings.n_items), history)[0])
        after = ncf.retrain(ratings, [Deletion(user, (int(item),)) for item in history])
        truth.extend(after[:, target] - model.scores([user])[0, target])
        for name, changes in methods.items():
            predicted[name].extend(changes(user, target))
    correlations = {name: np.corrcoef(changes, truth)[0, 1] for name, changes in predicted.items()}
    print(f"Pearson correlation with the truth: {correlations}")
    assert min(correlations.values()) > 0.3
