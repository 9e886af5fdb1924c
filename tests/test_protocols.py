"""What a retraining keeps of the original's, against the same done without lanes: by plain loops and by Surprise."""

import numpy as np
import pandas as pd
import pytest
import surprise
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ncf import NeuralCollaborativeFiltering
from hadyounot.retrain.protocols import Numbering
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.retrain.simd import LANES
from hadyounot.rng import generator
from hypothesis import given, settings
from hypothesis import strategies as st

SETTINGS = {"factors": 3, "epochs": 6, "learning_rate": 0.05, "regularization": 0.1, "init_scale": 0.5, "seed": 4}
PROTOCOLS = MatrixFactorization.model_fields["protocol"].annotation.__args__
same = np.testing.assert_array_equal


def world(n_users=14, n_items=12, density=0.4, seed=0) -> Ratings:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < density)
    order = rng.permutation(len(users))
    return Ratings.from_arrays(users[order].tolist(), items[order].tolist(), rng.integers(1, 6, len(order)))


def some_deletions(ratings: Ratings, count: int) -> list[Deletion]:
    """Of up to three items; every third one deletes the user's first rating, whose place decides who is walked when."""
    rng = np.random.default_rng(1)
    found = []
    for number, user in enumerate(rng.integers(ratings.n_users, size=count).tolist()):
        history = ratings.history(user).tolist()
        items = history[:1] if number % 3 == 0 else rng.permutation(history)[: rng.integers(4)].tolist()
        found.append(Deletion(user, tuple(items)))
    return found


def left(ratings: Ratings, deletion: Deletion) -> np.ndarray:
    """Rows that are left."""
    return np.flatnonzero(~((ratings.users == deletion.user) & np.isin(ratings.items, deletion.items)))


def plain(mf: MatrixFactorization, ratings: Ratings, rows, start, biases, epochs) -> tuple:
    """Gradient steps on the ratings in ``rows``, one at a time in that order; float64."""
    (p, q), (b_u, b_i) = ([part.astype(np.float64) for part in both] for both in (start, biases))
    mean = ratings.values[rows].mean(dtype=np.float64) if mf.biased else 0.0
    for row in np.tile(rows, epochs):
        u, i = ratings.users[row], ratings.items[row]
        error = ratings.values[row] - mean - b_u[u] - b_i[i] - p[u] @ q[i]
        p[u], q[i] = (
            p[u] + mf.learning_rate * (error * q[i] - mf.regularization * p[u]),
            q[i] + mf.learning_rate * (error * p[u] - mf.regularization * q[i]),
        )
        if mf.biased:
            b_u[u] += mf.learning_rate * (error - mf.regularization * b_u[u])
            b_i[i] += mf.learning_rate * (error - mf.regularization * b_i[i])
    return mean + b_u[:, None] + b_i + p @ q.T


def none(ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(ratings.n_users), np.zeros(ratings.n_items)


def by_user(ratings: Ratings, rows: np.ndarray) -> np.ndarray:
    return rows[np.argsort(ratings.users[rows], kind="stable")]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("protocol", [each for each in PROTOCOLS if each != "rebuilt"])
def test_a_retraining_is_what_a_plain_loop_makes_of_it(protocol, biased):
    """ "rebuilt" has oracles of its own below."""
    ratings, mf = world(), MatrixFactorization(**SETTINGS, protocol=protocol, biased=biased)
    deletions = some_deletions(ratings, LANES + 5)
    trained = mf.fit(ratings)
    for deletion, scores in zip(deletions, mf.retrain(ratings, deletions), strict=True):
        rows = left(ratings, deletion)
        ordered, start, biases, epochs = by_user(ratings, rows), mf.initial_embeddings(ratings), none(ratings), 6
        match protocol:
            case "reseeded":
                deleted = np.setdiff1d(np.arange(len(ratings)), rows).tolist()
                start = mf.initial_embeddings(ratings, "reseeded", *deleted)
            case "reshuffled":
                ordered = ordered[generator(mf.seed, "reshuffled").permutation(len(ordered))]
            case "warm":
                start = trained.user_embeddings, trained.item_embeddings
                biases, epochs = (trained.user_biases, trained.item_biases), mf.warm_epochs
        expected = plain(mf, ratings, ordered, start, biases, epochs)[deletion.user]
        known = np.isin(np.arange(ratings.n_items), ratings.items[rows])
        np.testing.assert_allclose(scores[known], expected[known], atol=2e-5)


def fresh_ids(ratings: Ratings, rows: np.ndarray) -> Ratings:
    """A fresh training set of the rows: ids by first appearance in them. Its ``user_ids`` are our indices."""
    return Ratings.from_arrays(*(column[rows].tolist() for column in (ratings.users, ratings.items, ratings.values)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 9), st.integers(4, 9))
def test_rebuilt_is_pinned_on_a_fresh_training_set(seed, n_users, n_items):
    """To the last bit, whether first appearances are deleted, users move, or users and items vanish."""
    ratings = world(n_users, n_items, 0.5, seed) if seed % 2 else world(n_users, n_items, 0.9, seed)
    pinned = MatrixFactorization(**SETTINGS)
    rebuilt = pinned.model_copy(update={"protocol": "rebuilt"})
    deletions = [each for each in some_deletions(ratings, LANES + 3) if len(left(ratings, each))]
    for deletion, scores in zip(deletions, rebuilt.retrain(ratings, deletions), strict=True):
        fresh = fresh_ids(ratings, left(ratings, deletion))
        if deletion.user in fresh.user_ids:
            user = fresh.user_ids.tolist().index(deletion.user)
            same(scores[fresh.item_ids.astype(int)], pinned.fit(fresh).scores([user])[0])


def test_the_original_of_rebuilt_is_pinned_where_ids_are_by_first_appearance():
    ratings = world()
    pinned, rebuilt = (MatrixFactorization(**SETTINGS, protocol=each) for each in ("pinned", "rebuilt"))
    same(rebuilt.fit(ratings).scores([2, 3]), pinned.fit(ratings).scores([2, 3]))
    part = ratings.select(np.arange(len(ratings)) % 3 > 0)  # whose ids are not by its own first appearances
    assert not np.array_equal(rebuilt.fit(part).scores([2]), pinned.fit(part).scores([2]))


class AsSurprise(MatrixFactorization):
    """Initial weights as Surprise draws them: users', then items', from one generator."""

    def initial_embeddings(self, ratings, *names):
        rng = np.random.RandomState(self.seed)
        return tuple(
            rng.normal(0, self.init_scale, (count, self.factors)).astype(np.float32)
            for count in (ratings.n_users, ratings.n_items)
        )


def through_surprise(mf: MatrixFactorization, ratings: Ratings, rows: np.ndarray, user: int) -> np.ndarray:
    """float64 (n_items,): what Surprise's public interface makes of the rows; NaN for items it has not seen."""
    columns = {"user": ratings.users[rows], "item": ratings.items[rows], "rating": ratings.values[rows]}
    reader = surprise.Reader(rating_scale=(1, 5))
    trainset = surprise.Dataset.load_from_df(pd.DataFrame(columns), reader).build_full_trainset()
    svd = surprise.SVD(
        n_factors=mf.factors, n_epochs=mf.epochs, lr_all=mf.learning_rate, reg_all=mf.regularization,
        init_std_dev=mf.init_scale, biased=mf.biased, random_state=mf.seed,
    ).fit(trainset)  # fmt: skip
    known = np.isin(np.arange(ratings.n_items), columns["item"])
    return np.array([svd.predict(user, i, clip=False).est if known[i] else np.nan for i in range(ratings.n_items)])


def assert_as_surprise(mf: AsSurprise, ratings: Ratings, deletions: list[Deletion], atol: float) -> None:
    for deletion, scores in zip(deletions, mf.retrain(ratings, deletions), strict=True):
        theirs = through_surprise(mf, ratings, left(ratings, deletion), deletion.user)
        np.testing.assert_allclose(scores[np.isfinite(theirs)], theirs[np.isfinite(theirs)], atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("biased", [True, False])
def test_rebuilt_is_what_surprise_does(biased):
    mf = AsSurprise(**SETTINGS | {"init_scale": 0.1}, protocol="rebuilt", biased=biased)
    ratings = world()
    deletions = [each for each in some_deletions(ratings, 20) if len(each.items) < len(ratings.history(each.user))]
    assert sum(Numbering(ratings).renumbers(rows) for rows in ratings.deleted_rows(deletions)) >= 5
    assert_as_surprise(mf, ratings, deletions, 1e-5)


@pytest.mark.slow
def test_rebuilt_is_what_surprise_does_on_movielens(ml100k):
    """In its own world, the defaults of its SVD, on 20 deletions of which half renumber: float32 against float64."""
    train = ml100k.select(np.random.default_rng(0).random(len(ml100k)) < 0.7)
    mf = AsSurprise(factors=100, epochs=20, learning_rate=0.005, protocol="rebuilt", seed=3)
    numbering, rng = Numbering(train), np.random.default_rng(0)
    kinds = {True: [], False: []}
    while min(map(len, kinds.values())) < 10:
        user = int(rng.integers(train.n_users))
        deletion = Deletion(user, tuple(rng.choice(train.history(user), 3, replace=False).tolist()))
        kinds[numbering.renumbers(train.deleted_rows([deletion])[0])].append(deletion)
    assert_as_surprise(mf, train, [each for kind in kinds.values() for each in kind[:10]], 2e-4)


def test_a_deletion_renumbers_where_it_holds_a_first_appearance():
    """Users a, b and items x, y, z are numbered 0, 1 and 0, 1, 2."""
    ratings = Ratings.from_arrays(["a", "a", "b", "b", "a", "b"], ["x", "y", "x", "z", "z", "y"], [1, 2, 3, 4, 5, 1])
    renumbers = Numbering(ratings).renumbers
    assert not renumbers(np.array([2]))  # b, x: x has come before, and b's next row comes before any other user's
    assert not renumbers(np.array([5]))
    assert renumbers(np.array([1]))  # a, y: z is seen before y then
    assert renumbers(np.array([0, 1, 4]))  # all of a: b becomes the first
    assert not renumbers(np.array([2, 3, 5]))  # all of b, the last: z keeps its place, as a rates it
    assert not renumbers(np.array([], dtype=int))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_lane_does_not_know_its_batch(protocol):
    ratings, mf = world(), MatrixFactorization(**SETTINGS, protocol=protocol)
    deletions = some_deletions(ratings, 2 * LANES + 3)
    together = mf.retrain(ratings, deletions)
    same(mf.retrain(ratings, deletions[::-1])[::-1], together)
    for number in range(0, len(deletions), 5):
        same(mf.retrain(ratings, [deletions[number]])[0], together[number])


def test_protocols_differ():
    ratings = world()
    deletion = Deletion(int(ratings.users[0]), (int(ratings.items[0]),))
    scores = [MatrixFactorization(**SETTINGS, protocol=each).retrain(ratings, [deletion])[0] for each in PROTOCOLS]
    assert len({each.tobytes() for each in scores}) == len(PROTOCOLS)


def test_without_biases_embeddings_are_all_there_is():
    ratings = world()
    model = MatrixFactorization(**SETTINGS, biased=False).fit(ratings)
    assert not any(part.any() for part in (model.mean, model.user_biases, model.item_biases))
    expected = model.user_embeddings.astype(np.float64) @ model.item_embeddings.T.astype(np.float64)
    np.testing.assert_allclose(model.scores(range(ratings.n_users)), expected, atol=1e-5)


def test_a_reseeded_network_starts_from_weights_of_its_own():
    """In a lane as in a model that starts from them, on the same ratings in the same order."""
    ratings = world()
    settings = {"gmf_factors": 2, "mlp_layers": (4, 2), "epochs": 2, "batch_size": 8, "init_scale": 0.3, "seed": 4}
    reseeded = NeuralCollaborativeFiltering(**settings, protocol="reseeded")
    deletions = [Deletion(user, ()) for user in range(3)] + some_deletions(ratings, LANES)
    scores = reseeded.retrain(ratings, deletions)
    pinned = reseeded.model_copy(update={"protocol": "pinned"})
    same(reseeded.fit(ratings).scores([2]), pinned.fit(ratings).scores([2]))

    class Drawn(NeuralCollaborativeFiltering):
        """Starts as the retraining does that deletes nothing."""

        def initial_weights(self, ratings, *names):
            return super().initial_weights(ratings, "reseeded")

    same(scores[:3], Drawn(**settings).fit(ratings).scores([0, 1, 2]))
    for number in (4, LANES - 1, LANES + 2):
        same(reseeded.retrain(ratings, [deletions[number]])[0], scores[number])
    assert not np.isclose(scores, pinned.retrain(ratings, deletions)).all(axis=1).any()
