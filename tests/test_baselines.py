"""Baselines, against brute force, dense linear algebra and real leave-one-out retraining."""

import numpy as np
import pytest
import torch
from hadyounot.compare import differentiated
from hadyounot.compare.differentiated import Influence, factorization_influence
from hadyounot.compare.influence import factorization_block, influences
from hadyounot.compare.knn import nearest, random_items
from hadyounot.compare.settings import InfluenceConfig
from hadyounot.retrain.mf import MatrixFactorization, MatrixFactorizationModel
from hadyounot.retrain.ratings import Ratings
from hadyounot.rng import generator
from scipy.optimize import minimize
from sklearn.neighbors import NearestNeighbors

REGULARIZATION = 0.3
MF = MatrixFactorization(regularization=REGULARIZATION)
EXACT = InfluenceConfig(damping=1e-6, tolerance=1e-12, max_iterations=5000)
N_USERS, N_ITEMS, FACTORS = 20, 15, 3


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    """A bilinear world with noise: about two thirds of all pairs are rated, in shuffled order."""
    rng = generator(0, "test baselines")
    p, q = rng.normal(0, 0.8, (N_USERS, FACTORS)), rng.normal(0, 0.8, (N_ITEMS, FACTORS))
    biases = rng.normal(0, 0.3, N_ITEMS)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < 0.65)
    order = rng.permutation(len(users))
    users, items = users[order], items[order]
    values = 3 + biases[items] + (p[users] * q[items]).sum(axis=1) + rng.normal(0, 0.3, len(users))
    return Ratings.from_arrays(users, items, values)


def optimum(ratings: Ratings, keep: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """θ at a minimum of the objective near ``start``, by L-BFGS, and the mean; plain NumPy, float64."""
    u, i, r = ratings.users[keep], ratings.items[keep], ratings.values[keep].astype(np.float64)
    mean = r.mean()

    def objective(theta):
        b_u, b_i, p, q = unpack(theta)
        e = r - mean - b_u[u] - b_i[i] - (p[u] * q[i]).sum(axis=1)
        norm = b_u[u] ** 2 + b_i[i] ** 2 + (p[u] ** 2).sum(axis=1) + (q[i] ** 2).sum(axis=1)
        slopes = [np.zeros_like(part) for part in (b_u, b_i, p, q)]
        np.add.at(slopes[0], u, -2 * e + 2 * REGULARIZATION * b_u[u])
        np.add.at(slopes[1], i, -2 * e + 2 * REGULARIZATION * b_i[i])
        np.add.at(slopes[2], u, -2 * e[:, None] * q[i] + 2 * REGULARIZATION * p[u])
        np.add.at(slopes[3], i, -2 * e[:, None] * p[u] + 2 * REGULARIZATION * q[i])
        return (e**2).sum() + REGULARIZATION * norm.sum(), np.concatenate([part.ravel() for part in slopes])

    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-8}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    assert np.abs(found.jac).max() < 1e-3
    return found.x, mean


def unpack(theta: np.ndarray) -> tuple[np.ndarray, ...]:
    ends = np.cumsum([N_USERS, N_ITEMS, N_USERS * FACTORS])
    b_u, b_i, p, q = np.split(theta, ends)
    return b_u, b_i, p.reshape(N_USERS, FACTORS), q.reshape(N_ITEMS, FACTORS)


@pytest.fixture(scope="module")
def trained(ratings):
    start = generator(1, "start").normal(0, 0.3, (N_USERS + N_ITEMS) * (FACTORS + 1))
    theta, mean = optimum(ratings, np.arange(len(ratings)), start)
    return theta, MatrixFactorizationModel(mean, *unpack(theta))


def test_random_items_are_distinct_history_items_all_equally_likely():
    history = np.array([3, 8, 13, 21, 34], dtype=np.int32)
    rng = generator(0, "random")
    drawn = [random_items(history, 3, rng) for _ in range(2000)]
    assert all(len(set(items)) == 3 and set(items) <= set(history.tolist()) for items in drawn)
    sets, counts = np.unique(np.sort(drawn, axis=1), axis=0, return_counts=True)
    assert len(sets) == 10
    assert ((counts > 140) & (counts < 260)).all()  # 200 expected, standard deviation 13
    with pytest.raises(ValueError, match="smaller than the explanation size"):
        random_items(history[:2], 3, rng)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_nearest_agrees_with_sklearn(metric):
    rng = generator(0, "knn")
    embeddings = rng.normal(0, 1, (50, 6)).astype(np.float32)
    for target in range(20):
        history = rng.permutation(np.arange(20, 50))[:12]
        search = NearestNeighbors(n_neighbors=4, metric=metric).fit(embeddings[history])
        expected = history[search.kneighbors(embeddings[[target]])[1][0]]
        assert nearest(embeddings, history, target, 4, rng, metric) == tuple(expected)


def test_ties_are_broken_by_the_seed():
    embeddings = np.zeros((6, 2), dtype=np.float32)
    first = {nearest(embeddings, np.arange(5), 5, 1, generator(seed, "tie")) for seed in range(60)}
    assert first == {(item,) for item in range(5)}


def dense_changes(predict, loss, penalty, parameters, ratings, user, target, damping):
    """Eq. (10) with a dense Gauss-Newton Hessian from autograd's Jacobians, for the user's whole history."""
    shapes = [parameter.shape for parameter in parameters]
    sizes = [parameter.numel() for parameter in parameters]
    theta = torch.cat([parameter.reshape(-1) for parameter in parameters])
    u, i = (torch.from_numpy(index.astype(np.int64)) for index in (ratings.users, ratings.items))
    r = torch.from_numpy(ratings.values.astype(np.float64))

    def parts(theta):
        return [piece.reshape(shape) for piece, shape in zip(theta.split(sizes), shapes, strict=True)]

    f = predict(*parts(theta), u, i)
    jacobian = torch.func.jacrev(lambda theta: predict(*parts(theta), u, i))(theta)
    bend = torch.func.hessian(lambda f: loss(f, r).sum())(f)
    shrink = torch.func.hessian(lambda theta: penalty(*parts(theta), u, i).sum())(theta)
    hessian = (jacobian.T @ bend @ jacobian + shrink) / len(r) + damping * torch.eye(len(theta), dtype=theta.dtype)
    slopes = torch.func.jacrev(lambda theta: loss(predict(*parts(theta), u, i), r) + penalty(*parts(theta), u, i))(
        theta
    )
    of_score = torch.func.grad(lambda theta: predict(*parts(theta), torch.tensor(user), torch.tensor(target)))(theta)
    changes = slopes @ torch.linalg.solve(hessian, of_score) / len(r)
    return changes[torch.from_numpy(ratings.rows_of(user))].numpy()


@pytest.mark.parametrize(("block", "biased"), [(differentiated.BLOCK, True), (100, True), (100, False)])
def test_influence_on_factorization_equals_the_dense_computation(ratings, block, biased, monkeypatch):
    """Without biases of the embeddings alone: there is nothing else to move."""
    monkeypatch.setattr(differentiated, "BLOCK", block)
    rng = generator(2, "any model")  # nowhere near an optimum
    arrays = [rng.normal(0, 0.5, shape) for shape in (N_USERS, N_ITEMS, (N_USERS, FACTORS), (N_ITEMS, FACTORS))]
    mean = 3.2 * biased
    model = MatrixFactorizationModel(mean, *(biased * each for each in arrays[:2]), *arrays[2:])

    def predict(*given):
        *biases, p, q, u, i = given
        own = biases[0][u] + biases[1][i] if biases else 0
        return mean + own + torch.einsum("...f,...f->...", p[u], q[i])

    def penalty(*given):
        *biases, p, q, u, i = given
        own = biases[0][u] ** 2 + biases[1][i] ** 2 if biases else 0
        return REGULARIZATION * (own + (p[u] ** 2).sum(-1) + (q[i] ** 2).sum(-1))

    influence = factorization_influence(model, ratings, MF.model_copy(update={"biased": biased}), EXACT)
    parameters = [torch.from_numpy(array) for array in arrays[0 if biased else 2 :]]
    for user, target in ((0, 3), (7, 11)):
        expected = dense_changes(
            predict, lambda f, r: (r - f) ** 2, penalty, parameters, ratings, user, target, EXACT.damping
        )
        assert influence.changes(user, target) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_conjugate_gradients_are_preconditioned_by_the_blocks_of_single_users_and_items(ratings, trained):
    influence = factorization_influence(trained[1], ratings, MF, EXACT)
    size = len(trained[0])
    hessian = np.column_stack([influence._hessian.matvec(unit) for unit in np.eye(size)])
    owners = np.concatenate([np.arange(N_USERS + N_ITEMS), np.repeat(np.arange(N_USERS + N_ITEMS), FACTORS)])
    blocks = np.where(owners[:, None] == owners, hessian, 0)
    inverse = np.column_stack([influence._preconditioner(unit) for unit in np.eye(size)])
    np.testing.assert_allclose(inverse, np.linalg.inv(blocks), rtol=1e-6, atol=1e-6)


def test_influence_serves_any_differentiable_model(ratings):
    """A small neural recommender with a logistic loss, whose curvature varies with the prediction."""
    generator_ = torch.Generator().manual_seed(0)
    shapes = [(N_USERS, 2), (N_ITEMS, 2), (4, 5), (5,)]
    parameters = [torch.randn(shape, generator=generator_, dtype=torch.float64) for shape in shapes]

    def predict(p, q, hidden, out, u, i):
        return torch.tanh(torch.cat([p[u], q[i]], dim=-1) @ hidden) @ out

    def loss(f, r):
        return torch.nn.functional.softplus(f) - (r - 1) / 4 * f

    def penalty(p, q, hidden, out, u, i):
        return 0.05 * ((p[u] ** 2).sum(-1) + 2 * (q[i] ** 2).sum(-1)) + 0.01 * (hidden**2).sum()

    influence = Influence(ratings, predict, loss, penalty, parameters, EXACT.model_copy(update={"damping": 1e-3}))
    expected = dense_changes(predict, loss, penalty, parameters, ratings, 4, 6, 1e-3)
    assert influence.changes(4, 6) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_influence_predicts_real_leave_one_out_retraining(ratings, trained):
    """Sign and size: predicted change of the score against that of a model really trained without the rating."""
    theta, model = trained
    influence = factorization_influence(model, ratings, MF, EXACT)
    truth, full, block = [], [], []
    for user in range(0, N_USERS, 3):
        target = int(np.setdiff1d(np.arange(N_ITEMS), ratings.history(user))[0])
        before = model.scores([user])[0, target]
        for row in ratings.rows_of(user):
            after, mean = optimum(ratings, np.delete(np.arange(len(ratings)), row), theta)
            truth.append(MatrixFactorizationModel(mean, *unpack(after)).scores([user])[0, target] - before)
        full.extend(influence.changes(user, target))
        block.extend(factorization_block(model, ratings, MF, user, target))
    truth, full, block = np.array(truth), np.array(full), np.array(block)
    for name, predicted in (("full", full), ("block", block)):
        print(f"{name}: Pearson correlation with the truth {np.corrcoef(predicted, truth)[0, 1]:.3f}")
    assert np.corrcoef(full, truth)[0, 1] > 0.95
    assert np.corrcoef(block, truth)[0, 1] > 0.95
    # eq. (10) is of first order, and falls short because a rating holds back the very fit that its removal changes
    assert 1 < (full @ truth) / (full @ full) < 2.5
    large = np.abs(truth) > np.quantile(np.abs(truth), 0.75)
    assert (np.sign(full) == np.sign(truth))[large].mean() > 0.95


def test_block_is_the_derivative_of_the_users_own_ridge_regression(ratings, trained):
    """Removal, to first order: the slope of the score as the rating's weight falls from 1."""
    _, model = trained
    user, target = 5, int(np.setdiff1d(np.arange(N_ITEMS), ratings.history(5))[0])
    rows = ratings.rows_of(user)
    items = ratings.items[rows]
    design = np.column_stack([np.ones(len(rows)), model.item_embeddings[items]])
    rest = ratings.values[rows] - model.mean - model.item_biases[items]

    def score(weights):
        gram = (design.T * weights) @ design + weights.sum() * REGULARIZATION * np.eye(FACTORS + 1)
        return np.linalg.solve(gram, (design.T * weights) @ rest) @ np.insert(model.item_embeddings[target], 0, 1)

    step = 1e-5
    expected = [
        (score(1 - step * (np.arange(len(rows)) == j)) - score(np.ones(len(rows)))) / step for j in range(len(rows))
    ]
    # at the optimum of everything the user's own parameters are at that of their block
    assert factorization_block(model, ratings, MF, user, target) == pytest.approx(expected, rel=1e-2, abs=1e-4)

    # without biases p_u alone, at its own optimum with all items held as they are
    gram = design[:, 1:].T @ design[:, 1:] + len(rows) * REGULARIZATION * np.eye(FACTORS)
    own = np.linalg.solve(gram, design[:, 1:].T @ ratings.values[rows])
    users = np.where(np.arange(N_USERS)[:, None] == user, own, model.user_embeddings)
    unbiased = MatrixFactorizationModel(0.0, np.zeros(N_USERS), np.zeros(N_ITEMS), users, model.item_embeddings)
    target_embedding = model.item_embeddings[target]
    errors = ratings.values[rows] - design[:, 1:] @ own
    expected = (REGULARIZATION * own - errors[:, None] * design[:, 1:]) @ np.linalg.solve(gram, target_embedding)
    found = factorization_block(unbiased, ratings, MF.model_copy(update={"biased": False}), user, target)
    assert found == pytest.approx(expected)


def test_block_without_regularization_bears_a_history_shorter_than_its_parameters(ratings, trained):
    _, model = trained
    user = int(ratings.users[0])
    short = ratings.select(ratings.rows_of(user)[: FACTORS - 1])
    unregularised = MatrixFactorization(regularization=0)
    assert np.isfinite(factorization_block(model, short, unregularised, user, 0)).all()


def test_explanations_are_the_most_negative_changes(ratings, trained):
    _, model = trained
    methods = influences(model, ratings, MatrixFactorization(factors=FACTORS, regularization=REGULARIZATION), EXACT)
    influence = factorization_influence(model, ratings, MF, EXACT)
    for user in (1, 6):
        target = int(np.setdiff1d(np.arange(N_ITEMS), ratings.history(user))[0])
        history = ratings.history(user)
        changes = {
            "influence": influence.changes(user, target),
            "influence_block": factorization_block(model, ratings, MF, user, target),
        }
        for name, change in changes.items():
            assert methods[name](user, target, 3, generator(0, "e")) == tuple(history[np.argsort(change)[:3]])
            printed = methods[f"{name}_as_printed"](user, target, 3, generator(0, "e"))
            assert printed == tuple(history[np.argsort(-change)[:3]])
        assert len(methods) == 2 * len(changes)


def test_a_black_box_has_no_influence(ratings):
    class BlackBox:
        """Only scores, of anyone's making."""

    assert influences(BlackBox(), ratings, None, EXACT) == {}


def test_too_few_iterations_are_an_error(ratings, trained):
    _, model = trained
    hurried = factorization_influence(model, ratings, MF, EXACT.model_copy(update={"max_iterations": 2}))
    with pytest.raises(
        RuntimeError,
        match=r"item 1 for user 0.*in 2 iterations; raise damping or max_iterations",
    ):
        hurried.changes(0, 1)
