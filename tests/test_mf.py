"""The recommender and its lanes: a counterfactual model is the model trained without the deleted ratings, exactly."""

import hashlib
import math
import re
from pathlib import Path

import cornac
import numba
import numpy as np
import pandas as pd
import pytest
import surprise
from conftest import numba_threads
from hadyounot.retrain import mf_kernel
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.retrain.simd import LANES
from hypothesis import given, settings
from hypothesis import strategies as st

MF = MatrixFactorization(factors=3, epochs=3, learning_rate=0.05, regularization=0.1, init_scale=0.5, seed=4)
same = np.testing.assert_array_equal


def without(ratings: Ratings, deletion: Deletion) -> Ratings:
    """The ratings with the deleted rows really taken out."""
    return ratings.select(~((ratings.users == deletion.user) & np.isin(ratings.items, deletion.items)))


def trained_without(mf: MatrixFactorization, ratings: Ratings, deletion: Deletion) -> np.ndarray:
    return mf.fit(without(ratings, deletion)).scores([deletion.user])[0]


@st.composite
def worlds(draw):
    """Up to 5 users and 7 items in any order of rows; many users have a single rating."""
    pairs = st.tuples(st.integers(0, 4), st.integers(0, 6))
    rows = draw(st.lists(pairs, min_size=2, max_size=25, unique=True))
    # any float32 of the size of a rating: not only numbers whose mean is exact
    values = draw(st.lists(st.floats(0.5, 5, width=32), min_size=len(rows), max_size=len(rows)))
    return Ratings.from_arrays(*zip(*rows, strict=True), values)


@st.composite
def worlds_with_deletions(draw):
    """Any part of any history, nothing and all of it included, from a few to more than fill two batches."""
    ratings = draw(worlds())
    deletions = st.integers(0, ratings.n_users - 1).flatmap(
        lambda user: st.lists(st.sampled_from(ratings.history(user).tolist()), unique=True).map(
            lambda items: Deletion(user, tuple(items))
        )
    )
    kept_some = deletions.filter(lambda deletion: len(deletion.items) < len(ratings))
    few = draw(st.lists(kept_some, min_size=1, max_size=8))
    return ratings, draw(st.permutations(few * draw(st.integers(1, math.ceil((2 * LANES + 3) / len(few))))))


@settings(max_examples=60, deadline=None)
@given(worlds_with_deletions(), st.integers(1, numba.config.NUMBA_NUM_THREADS))
def test_every_lane_is_the_model_trained_without_the_deleted_rows(world, threads):
    """The other rows of the batch, their number, order and repetition, and the threads leave no trace."""
    ratings, deletions = world
    with numba_threads(threads):
        scores = MF.retrain(ratings, deletions)
    assert scores.dtype == np.float32
    for row, deletion in zip(scores, deletions, strict=True):
        same(row, trained_without(MF, ratings, deletion))


def world(n_users=30, n_items=20, density=0.4, seed=0) -> Ratings:
    """Tastes of rank 2, rounded to half stars; rows in random order."""
    rng = np.random.default_rng(seed)
    stars = 3 + rng.normal(size=(n_users, 2)) @ rng.normal(size=(2, n_items))
    users, items = np.nonzero(rng.random((n_users, n_items)) < density)
    order = rng.permutation(len(users))
    values = np.clip(np.round(2 * stars[users, items]) / 2, 0.5, 5)
    return Ratings.from_arrays(users[order], items[order], values[order])


def some_deletions(ratings: Ratings, count: int, seed=0) -> list[Deletion]:
    rng = np.random.default_rng(seed)
    users = rng.integers(ratings.n_users, size=count).tolist()
    return [Deletion(u, tuple(rng.permutation(ratings.history(u))[: rng.integers(4)].tolist())) for u in users]


@pytest.mark.parametrize("factors", [1, 3, 16, 33])
def test_any_number_of_factors(factors):
    ratings, mf = world(), MF.model_copy(update={"factors": factors})
    deletions = some_deletions(ratings, LANES + 1)
    for row, deletion in zip(mf.retrain(ratings, deletions), deletions, strict=True):
        same(row, trained_without(mf, ratings, deletion))


def test_a_lane_does_not_know_its_position():
    ratings = world()
    deletion, others = Deletion(2, tuple(ratings.history(2)[:3].tolist())), some_deletions(world(), LANES + 1)
    alone = MF.retrain(ratings, [deletion])[0]
    for position in range(LANES + 2):
        same(MF.retrain(ratings, [*others[:position], deletion, *others[position:]])[position], alone)


def test_many_threads_write_each_row_once():
    ratings = world()
    deletions = some_deletions(ratings, 9 * LANES + 5)
    with numba_threads(1):
        expected = MF.retrain(ratings, deletions)
    with numba_threads(numba.config.NUMBA_NUM_THREADS):
        for _ in range(5):
            same(MF.retrain(ratings, deletions), expected)


def test_no_deletion_is_the_original_model():
    ratings = world()
    users = range(ratings.n_users)
    same(MF.retrain(ratings, [Deletion(user, ()) for user in users]), MF.fit(ratings).scores(users))


def test_deleting_a_whole_history_leaves_the_initial_embedding():
    ratings = world()
    everything = Deletion(5, tuple(ratings.history(5).tolist()))
    model = MF.fit(without(ratings, everything))
    same(model.user_embeddings[5], MF.initial_embeddings(ratings)[0][5])
    same(MF.retrain(ratings, [everything])[0], model.scores([5])[0])


def test_the_mean_is_each_models_own():
    """With nothing learned but the mean, a score is the mean of the ratings that are left."""
    ratings = world()
    still = MF.model_copy(update={"learning_rate": 1e-30, "init_scale": 0})
    deletions = some_deletions(ratings, 40)
    expected = [without(ratings, deletion).values.mean(dtype=np.float64) for deletion in deletions]
    np.testing.assert_allclose(still.retrain(ratings, deletions), np.repeat(expected, 20).reshape(40, 20), rtol=1e-7)


@pytest.mark.parametrize("biased", [True, False])
def test_the_objective_is_the_sum_over_ratings_that_each_step_goes_down(biased):
    ratings = world()
    mf = MF.model_copy(update={"biased": biased})
    model, total = mf.fit(ratings), 0.0
    for user, item, value in zip(ratings.users, ratings.items, ratings.values, strict=True):
        p, q = model.user_embeddings[user].astype(float), model.item_embeddings[item].astype(float)
        biases = [float(model.user_biases[user]), float(model.item_biases[item])]
        total += (value - model.mean - sum(biases) - p @ q) ** 2
        total += mf.regularization * (sum(each**2 for each in biases) + p @ p + q @ q)
    assert mf.objective(model, ratings) == pytest.approx(total / len(ratings), rel=1e-6)


def test_no_deletions_no_rows():
    assert MF.retrain(world(), []).shape == (0, 20)


def test_trajectory_ends_in_fit_and_passes_through_shorter_fits():
    ratings = world()
    for epochs, model in enumerate(MF.trajectory(ratings), start=1):
        fitted = MF.model_copy(update={"epochs": epochs}).fit(ratings)
        same(model.scores([0, 7]), fitted.scores([0, 7]))
    assert epochs == MF.epochs


def test_seed_and_settings_decide_the_bits():
    ratings = world()
    same(MF.fit(ratings).scores([0]), MF.fit(ratings).scores([0]))
    other = MF.model_copy(update={"seed": 5}).fit(ratings)
    assert not np.array_equal(other.scores([0]), MF.fit(ratings).scores([0]))


class Given(MatrixFactorization):
    """Starts from weights of our choice, as other libraries draw them."""

    start: list

    def initial_embeddings(self, ratings):
        return tuple(table.astype(np.float32) for table in self.start)


def start(ratings: Ratings, factors: int) -> list[np.ndarray]:
    rng = np.random.RandomState(11)
    return [rng.normal(0, 0.1, (count, factors)) for count in (ratings.n_users, ratings.n_items)]


COMMON = {"factors": 5, "epochs": 30, "learning_rate": 0.02, "regularization": 0.05}


def assert_agrees(model, mean, user_biases, item_biases, user_embeddings, item_embeddings):
    """Float32 against float64 after 30 epochs: 24-bit rounding, not a different algorithm."""
    np.testing.assert_allclose(model.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(model.user_biases, user_biases, atol=1e-5)
    np.testing.assert_allclose(model.item_biases, item_biases, atol=1e-5)
    np.testing.assert_allclose(model.user_embeddings, user_embeddings, atol=1e-5)
    np.testing.assert_allclose(model.item_embeddings, item_embeddings, atol=1e-5)


def test_agrees_with_a_plain_loop():
    """Gradient steps on half of (r - f)² + regularization (b_u² + b_i² + |p|² + |q|²), one rating at a time."""
    ratings = world()
    p, q = start(ratings, COMMON["factors"])
    bu, bi, mean = np.zeros(len(p)), np.zeros(len(q)), ratings.values.astype(float).mean()
    lr, reg = COMMON["learning_rate"], COMMON["regularization"]
    for _ in range(COMMON["epochs"]):
        for u in range(ratings.n_users):
            for i, r in zip(ratings.items[ratings.users == u], ratings.values[ratings.users == u], strict=True):
                error = r - (mean + bu[u] + bi[i] + p[u] @ q[i])
                bu[u], bi[i] = bu[u] + lr * (error - reg * bu[u]), bi[i] + lr * (error - reg * bi[i])
                p[u], q[i] = p[u] + lr * (error * q[i] - reg * p[u]), q[i] + lr * (error * p[u] - reg * q[i])
    model = Given(start=start(ratings, COMMON["factors"]), **COMMON).fit(ratings)
    assert_agrees(model, mean, bu, bi, p, q)
    np.testing.assert_allclose(model.scores([3, 1]), mean + bu[[3, 1], None] + bi + p[[3, 1]] @ q.T, atol=1e-5)


def test_agrees_with_surprise():
    ratings = world()
    table = pd.DataFrame({"user": ratings.users, "item": ratings.items, "rating": ratings.values})
    trainset = surprise.Dataset.load_from_df(table, surprise.Reader(rating_scale=(0.5, 5))).build_full_trainset()
    assert [trainset.to_inner_uid(u) for u in range(ratings.n_users)] == list(range(ratings.n_users))
    assert [trainset.to_inner_iid(i) for i in range(ratings.n_items)] == list(range(ratings.n_items))
    theirs = surprise.SVD(
        n_factors=COMMON["factors"], n_epochs=COMMON["epochs"], lr_all=COMMON["learning_rate"],
        reg_all=COMMON["regularization"], random_state=np.random.RandomState(11),
    ).fit(trainset)  # fmt: skip
    ours = Given(start=start(ratings, COMMON["factors"]), **COMMON).fit(ratings)
    assert_agrees(ours, trainset.global_mean, theirs.bu, theirs.bi, theirs.pu, theirs.qi)


def test_agrees_with_cornac():
    ratings = world()
    order, _ = ratings.rows_by_user  # Cornac goes through the ratings as given, we user by user
    rows = list(zip(ratings.users[order], ratings.items[order], ratings.values[order], strict=True))
    ids = [{k: k for k in range(count)} for count in (ratings.n_users, ratings.n_items)]
    dataset = cornac.data.Dataset.build(rows, global_uid_map=ids[0], global_iid_map=ids[1], fmt="UIR")
    same(dataset.uir_tuple[1], ratings.items[order])
    weights = [table.astype(np.float32) for table in start(ratings, COMMON["factors"])]
    theirs = cornac.models.MF(
        k=COMMON["factors"], max_iter=COMMON["epochs"], learning_rate=COMMON["learning_rate"],
        lambda_reg=COMMON["regularization"], seed=0, init_params=dict(zip("UV", weights, strict=True)),
    ).fit(dataset)  # fmt: skip
    ours = Given(start=start(ratings, COMMON["factors"]), **COMMON).fit(ratings)
    assert_agrees(ours, theirs.global_mean, theirs.u_biases, theirs.i_biases, theirs.u_factors, theirs.i_factors)


@pytest.mark.parametrize("learning_rate", [10.0, math.inf])
def test_divergence_is_an_error(learning_rate):
    wild = MF.model_copy(update={"learning_rate": learning_rate, "epochs": 20})
    for train in (wild.fit, lambda ratings: wild.retrain(ratings, [Deletion(0, ())])):
        with pytest.raises(FloatingPointError, match=f"learning_rate={learning_rate}: choose a smaller one, 0.01 say"):
            train(world())


@pytest.mark.parametrize("learning_rate", [0.01, 10.0])
def test_what_to_do_about_play_counts_is_right(learning_rate):
    """What stars need is too much for counts, and what is said makes training finite."""
    stars = world(100, 60)
    counts = np.round(np.exp(3 * stars.values))
    ratings = Ratings.from_arrays(stars.users, stars.items, counts)
    mf = MatrixFactorization(learning_rate=learning_rate)
    with pytest.raises(FloatingPointError) as error:
        mf.retrain(ratings, [Deletion(0, ())])
    said = re.search(
        rf"={learning_rate}: ratings from (\S+) to (\S+) are .*: train on (.*), or log1p of", str(error.value)
    )
    assert [float(said[1]), float(said[2])] == pytest.approx([counts.min(), counts.max()], rel=1e-5)
    assert ("and choose a smaller one, 0.01 say" in str(error.value)) == (learning_rate > 0.01)
    for scaled in (eval(said[3], {"values": counts}), np.log1p(counts)):
        assert np.isfinite(
            MatrixFactorization().fit(Ratings.from_arrays(stars.users, stars.items, scaled)).scores([0])
        ).all()


def test_bad_deletions_are_named():
    ratings = world()
    rated, unrated = int(ratings.history(1)[0]), int(np.setdiff1d(np.arange(20), ratings.history(1))[0])
    for deletion, message in [
        (Deletion(30, (0,)), "unknown user index"),
        (Deletion(-1, (0,)), "unknown user index"),
        (Deletion(1, (20,)), "unknown item index 20"),
        (Deletion(1, (-1,)), "unknown item index -1"),
        (Deletion(1, (rated, rated)), "named twice"),
        (Deletion(1, (rated, unrated)), f"never rated item {unrated}"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            MF.retrain(ratings, [Deletion(0, ()), deletion])
        assert repr(deletion) in str(error.value)


@pytest.mark.parametrize("user", [-1, 30])
def test_scores_of_an_unknown_user(user):
    with pytest.raises(ValueError, match=f"unknown user index {user} "):
        MF.fit(world()).scores([0, user])


def test_a_deletion_of_every_rating_is_refused():
    ratings = Ratings.from_arrays(["a", "a"], ["x", "y"], [3, 4])
    with pytest.raises(ValueError, match=r"Deletion\(user=0, items=\(0, 1\)\): no rating would be left"):
        MF.retrain(ratings, [Deletion(0, (0,)), Deletion(0, (0, 1))])


@pytest.mark.parametrize(
    "setting",
    [{"factors": 0}, {"epochs": 0}, {"learning_rate": 0}, {"regularization": -1}, {"init_scale": -1}, {"seed": -1},
     {"factors": 1.5}, {"learning_rate": math.nan}, {"learning_rate": math.inf}, {"factor": 3}],
)  # fmt: skip
def test_bad_settings_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        MatrixFactorization(**setting)


def test_quality_on_movielens(ml100k):
    """A user + item bias model has RMSE .94 here and the mean 1.13: embeddings must not spoil what biases know."""
    chosen = np.random.default_rng(0).random(len(ml100k)) < 0.7
    train, test = ml100k.select(chosen), ml100k.select(~chosen)
    model = MatrixFactorization(epochs=20, learning_rate=0.01, regularization=0.1).fit(train)
    scores = model.scores(np.arange(train.n_users))
    assert 0.90 < np.sqrt(np.mean((scores[test.users, test.items] - test.values) ** 2)) < 0.98
    assert np.sqrt(np.mean((scores[train.users, train.items] - train.values) ** 2)) < 0.92


def test_kernels_name_the_code_that_they_inline():
    """Else numba would go on with machine code that it kept: it asks for the time and size of a kernel's own file."""
    folder = Path(mf_kernel.__file__).parent
    line = f"# compiled with simd.py {hashlib.sha256((folder / 'simd.py').read_bytes()).hexdigest()[:16]}:"
    for kernel in ("mf_kernel.py", "ncf_kernel.py"):
        assert line in (folder / kernel).read_text(), f"write into {kernel}: {line}"


def test_initial_embeddings_of_users_and_items_are_drawn_apart_as_wide_as_is_said():
    many = Ratings.from_arrays(np.arange(300), np.arange(300), np.arange(300) % 5)
    users, items = MatrixFactorization(factors=8, init_scale=0.5).initial_embeddings(many)
    for table in (users, items):
        assert abs(table.mean()) < 0.05
        assert table.std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(users.ravel(), items.ravel())[0, 1]) < 0.1
