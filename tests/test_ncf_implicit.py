"""Neural collaborative filtering on choices: the negatives, and what PyTorch's autograd and dense Adam make of them."""

from dataclasses import replace

import numpy as np
import pytest
from hadyounot.compare.accuracy import ndcg
from hadyounot.retrain.ncf import NeuralCollaborativeFiltering, _Trainer
from hadyounot.retrain.ratings import Deletion, Ratings
from test_mf import some_deletions, world
from test_ncf import reference_scores

NCF = NeuralCollaborativeFiltering(
    gmf_factors=3, mlp_layers=(6, 4), epochs=3, batch_size=32, learning_rate=0.01, init_scale=0.3, negatives=4, seed=4
)
same = np.testing.assert_array_equal


def few_items() -> Ratings:
    """Items x, y, z and, without a rating here, w; user a did not rate z, b rated x alone."""
    rows = [("a", "y", 5), ("w", "w", 1), ("b", "x", 3), ("c", "z", 2), ("a", "x", 1)]
    ratings = Ratings.from_arrays(*zip(*rows, strict=True))
    return ratings.select(ratings.users != 1)


def test_negatives_are_rated_items_that_the_user_did_not_rate():
    ratings, ncf = few_items(), NCF.model_copy(update={"negatives": 50})
    x, y, z = (ratings.item_ids.tolist().index(item) for item in "xyz")
    found = [set(negatives.tolist()) for negatives in ncf.sampled_negatives(ratings, 0)]
    assert found == [{z}, {y, z}, {x, y}, {z}]


@pytest.mark.parametrize("epoch", [0, 7])
def test_no_negative_is_in_its_users_history(epoch):
    ratings = world(60, 40)
    ratings = ratings.select(ratings.items % 5 != 0)  # items without a rating lie between others
    negatives = NCF.sampled_negatives(ratings, epoch)
    assert negatives.shape == (len(ratings), 4)
    assert negatives.dtype == np.int32
    assert ratings.rated[negatives].all()
    for user, own in zip(ratings.users, negatives, strict=True):
        assert not np.isin(own, ratings.history(user)).any()


def test_negatives_are_uniform_and_new_in_every_epoch_and_for_every_seed():
    ratings, many = world(), NCF.model_copy(update={"negatives": 2000})
    negatives = many.sampled_negatives(ratings, 1)
    free = np.setdiff1d(np.flatnonzero(ratings.rated), ratings.history(3))
    drawn = negatives[ratings.rows_of(3)].ravel()
    items, counts = np.unique(drawn, return_counts=True)
    same(items, free)
    expected = len(drawn) / len(free)
    assert np.sum((counts - expected) ** 2 / expected) < 3 * len(free)  # χ²
    others = [NCF.sampled_negatives(ratings, 1), NCF.model_copy(update={"seed": 5}).sampled_negatives(ratings, 1)]
    others.append(NCF.sampled_negatives(ratings, 0))
    same(others[0], NCF.sampled_negatives(ratings, 1))
    assert all(np.mean(others[0] != other) > 0.5 for other in others[1:])


def test_an_epoch_has_every_positive_and_its_negatives_once():
    ratings = world()
    trainer = _Trainer(NCF, ratings)
    for number, epoch in enumerate(trainer.epochs):
        assert sorted(epoch.order) == list(range(5 * len(ratings)))
        same(epoch.items[: len(ratings)], ratings.n_users + ratings.items)
        negatives = NCF.sampled_negatives(ratings, number)
        same(epoch.items[len(ratings) :].reshape(4, -1).T, ratings.n_users + negatives)
    assert trainer.targets.sum() == len(ratings)


@pytest.mark.parametrize(("negatives", "layers"), [(1, (2, 1)), (4, (6, 5, 4)), (3, (16, 8))])
def test_agrees_with_autograd_and_dense_adam(negatives, layers):
    """A deletion takes away the positive and its own negatives, and no other's: both deleting and other users."""
    ratings, ncf = world(60, 40), NCF.model_copy(update={"mlp_layers": layers, "negatives": negatives})
    deletions = [Deletion(2, ()), Deletion(2, tuple(ratings.history(2)[:3].tolist())), *some_deletions(ratings, 4)]
    watched = [2, 2, *(deletion.user + 1 for deletion in deletions[2:])]
    scores = ncf.retrain(ratings, deletions, watched)
    assert (scores > 0).all()
    assert (scores < 1).all()
    for row, deletion, user in zip(scores, deletions, watched, strict=True):
        np.testing.assert_allclose(row, reference_scores(ncf, ratings, deletion, user), atol=1e-5)


def test_agrees_with_autograd_on_movielens(ml100k):
    """One epoch of 245 minibatches, within 1e-5."""
    ncf = NeuralCollaborativeFiltering(epochs=1, negatives=4, batch_size=2048)
    deletion = Deletion(7, tuple(ml100k.history(7)[:3].tolist()))
    (row,) = ncf.retrain(ml100k, [deletion])
    np.testing.assert_allclose(row, reference_scores(ncf, ml100k, deletion, 7), atol=1e-5)


def test_no_deletion_is_the_original_model_which_shorter_fits_lead_to():
    ratings = world()
    users = range(ratings.n_users)
    fitted = NCF.fit(ratings)
    same(NCF.retrain(ratings, [Deletion(user, ()) for user in users]), fitted.scores(users))
    *_, before, last = NCF.trajectory(ratings)
    same(last.scores(users), fitted.scores(users))
    same(before.scores(users), NCF.model_copy(update={"epochs": 2}).fit(ratings).scores(users))


def test_values_of_ratings_do_not_count():
    ratings = world()
    yes = replace(ratings, values=np.full(len(ratings), 1, dtype=np.float32))
    deletion = Deletion(2, tuple(ratings.history(2)[:3].tolist()))
    same(NCF.retrain(yes, [deletion]), NCF.retrain(ratings, [deletion]))
    model = NCF.fit(yes)
    assert (model.low, model.high) == (0, 1)


def test_a_user_who_rated_everything_has_no_negative():
    rows = [(user, item, 1) for user in ("a", "b") for item in "xyz" if (user, item) != ("a", "y")]
    ratings = Ratings.from_arrays(*zip(*rows, strict=True))
    for train in (NCF.fit, lambda ratings: NCF.retrain(ratings, [Deletion(0, ())])):
        with pytest.raises(ValueError, match=r"^user 1 rated all 3 items, so none is left to .*: leave the user"):
            train(ratings)


def test_it_ranks_choices_of_movielens_better_than_their_number_does(ml100k):
    chosen = np.random.default_rng(0).random(len(ml100k)) < 0.7
    train, test = ml100k.select(chosen), ml100k.select(~chosen)
    ncf = NeuralCollaborativeFiltering(negatives=4, epochs=5)
    popularity = np.tile(np.bincount(train.items, minlength=train.n_items), (train.n_users, 1))
    assert ndcg(ncf.fit(train).scores(range(train.n_users)), train, test) > ndcg(popularity, train, test) + 0.1
