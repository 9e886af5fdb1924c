"""Explanations that were proved: what they claim is so, nothing is missed that the budget allows, and bad questions."""

import dataclasses
from itertools import combinations
from math import comb

import hadyounot as hyn
import numpy as np
import pandas as pd
import pytest
from conftest import numba_threads
from hadyounot.compare import proposals, verified
from hadyounot.compare.influence import factorization_block
from hadyounot.compare.naive import naive
from hadyounot.compare.oracle import margins
from hadyounot.compare.proposals import best_subsets, changes, corrected
from hadyounot.compare.verified import LARGEST
from hadyounot.method.outcomes import candidates
from hadyounot.retrain.simd import LANES
from test_blackbox import Masked, Sgd

MF = hyn.MatrixFactorization(factors=4, epochs=15, learning_rate=0.05, regularization=0.02, init_scale=0.3, seed=1)
NCF = hyn.NeuralCollaborativeFiltering(gmf_factors=2, mlp_layers=(4, 2), epochs=8, batch_size=16, learning_rate=0.05)


def world(n_users=20, n_items=14, length=6, seed=0) -> hyn.Ratings:
    """Tastes of rank 2, rounded to half stars; every user rated ``length`` items."""
    rng = np.random.default_rng(seed)
    stars = 3 + rng.normal(size=(n_users, 2)) @ rng.normal(size=(2, n_items))
    users = np.repeat(np.arange(n_users), length)
    items = np.concatenate([rng.permutation(n_items)[:length] for _ in range(n_users)])
    return hyn.Ratings.from_arrays(users, items, np.clip(np.round(2 * stars[users, items]) / 2, 0.5, 5))


RATINGS = world()
FEW = RATINGS.from_arrays("aab", "xyx", [3, 4, 5])
OTHER_ITEMS = RATINGS.from_arrays(range(RATINGS.n_users), ["x"] * RATINGS.n_users, [3] * RATINGS.n_users)


class Neighbours:
    """Not trained at all, so that retraining is free."""

    def fit(self, ratings):
        self.table = np.zeros((ratings.n_users, ratings.n_items))
        self.table[ratings.users, ratings.items] = ratings.values

    def scores(self, user):
        return self.table[user] @ self.table.T @ self.table


def plain_rank(recommender, scores: np.ndarray, user: int, target: int) -> int:
    """Among all items that the user did not rate, or among all where what was seen stays."""
    seen = set(RATINGS.history(user).tolist()) if recommender.remove_seen else set()
    return 1 + sum(scores[item] > scores[target] for item in set(RATINGS.items.tolist()) - seen)


def rank_without(recommender, user: int, target: int, items) -> int:
    """By training anew, on ratings from which the items are gone."""
    if isinstance(recommender, hyn.NeuralCollaborativeFiltering):  # whose minibatches a shorter table would shift
        (scores,) = recommender.retrain(RATINGS, [hyn.Deletion(user, tuple(items))])
    else:
        kept = RATINGS.select(~((RATINGS.users == user) & np.isin(RATINGS.items, items)))
        (scores,) = recommender.fit(kept).scores([user])
    return plain_rank(recommender, scores, user, target)


RECOMMENDERS = {
    "mf": MF,
    "mf of what was seen": MF.model_copy(update={"remove_seen": False}),
    "mf without biases": MF.model_copy(update={"biased": False}),
    "ncf": NCF,
    "ncf on choices": NCF.model_copy(update={"negatives": 2}),
    "svd": hyn.TruncatedSVD(factors=3),
    "blackbox": hyn.BlackBox(Neighbours, factors=3),
}


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_what_an_explanation_claims_is_so(name):
    recommender = RECOMMENDERS[name]
    trained, valid = recommender.fit(RATINGS), []
    for user, top_k, size in [(0, 1, 3), (1, 1, 2), (2, 2, 3), (3, 3, 1)]:
        found = hyn.explain(recommender, RATINGS, user, top_k=top_k, size=size, budget=18, trained=trained)
        assert (found.user, found.top_k, len(found.items)) == (user, top_k, size)
        (before,) = trained.scores([user])
        assert found.rank_before == plain_rank(recommender, before, user, found.target) == 1
        assert set(found.items) <= set(RATINGS.history(user).tolist())
        assert found.rank_after == rank_without(recommender, user, found.target, found.items)
        assert found.valid == (found.rank_after > top_k)
        assert found.retrained == len(found.tried) <= 18
        assert found.tried["items"].map(frozenset).is_unique
        assert found.rank_after == found.tried["rank_after"].max()
        for row in found.tried[:3].itertuples():
            assert row.rank_after == rank_without(recommender, user, found.target, row.items)
        valid.append(found.valid)
    assert any(valid)


def brute(user: int, target: int, size: int) -> dict[tuple[int, ...], int]:
    """Rank after each deletion of so many items of the history."""
    subsets = combinations(RATINGS.history(user).tolist(), size)
    return {items: rank_without(MF, user, target, items) for items in subsets}


@pytest.mark.parametrize("top_k", [1, 3])
def test_nothing_is_missed_where_the_budget_allows_for_every_deletion(top_k):
    trained, both = MF.fit(RATINGS), set()
    for user in range(8):
        found = hyn.explain(MF, RATINGS, user, top_k=np.uint8(top_k), size=2, budget=comb(6, 2), trained=trained)
        ranks = brute(user, found.target, 2)
        assert found.valid == (max(ranks.values()) > top_k)
        both.add(found.valid)
        if not found.valid:
            assert {row.items: row.rank_after for row in found.tried.itertuples()} == ranks
            assert found.rank_after == max(ranks.values())
    assert both == {True, False}


@pytest.mark.parametrize("top_k", [1, 3])
def test_without_a_size_the_smallest_is_found(top_k):
    trained, sizes = MF.fit(RATINGS), set()
    everything = sum(comb(6, size) for size in range(1, LARGEST + 1))
    for user in range(8):
        found = hyn.explain(MF, RATINGS, user, top_k=top_k, size=None, budget=everything, trained=trained)
        removing = [size for size in range(1, LARGEST + 1) if max(brute(user, found.target, size).values()) > top_k]
        assert found.valid == bool(removing)
        sizes.add(len(found.items) if found.valid else None)
        if found.valid:
            assert len(found.items) == removing[0]
        else:
            assert found.retrained == everything
    assert len(sizes) > 2


def test_what_a_size_cannot_use_of_its_share_is_for_the_others():
    """Of 3 for two sizes the first has 1, and another one as there is a single pair."""
    ratings = hyn.Ratings.from_arrays([0, 0, 1, 1, 1], list("abacd"), [5, 1, 5, 5, 1])
    found = hyn.explain(hyn.BlackBox(Popular), ratings, 0, size=None, budget=3)
    assert not found.valid
    assert found.tried["items"].tolist() in ([(0,), (1,), (0, 1)], [(1,), (0,), (0, 1)])


def test_sizes_share_a_budget_that_does_not_suffice_for_all():
    found = hyn.explain(hyn.BlackBox(Popular), RATINGS, 0, size=None, budget=10)
    assert found.tried["items"].map(len).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_the_smallest_sizes_are_tried_first_where_not_all_can_be(budget):
    found = hyn.explain(hyn.BlackBox(Popular), RATINGS, 0, size=None, budget=budget)
    assert found.tried["items"].map(len).tolist() == [*range(1, budget + 1)]


def test_something_is_left_to_train_on():
    alone = hyn.Ratings.from_arrays([0] * 3, list("abc"), [5, 3, 1])
    recommender = MF.model_copy(update={"learning_rate": 1e-30, "init_scale": 0.0, "remove_seen": False})  # all equal
    found = hyn.explain(recommender, alone, 0, size=None)
    assert (found.valid, found.retrained) == (False, 3 + 3)
    assert set(naive(recommender, alone, [0], 3, [1])["size"]) == {1, 2}


class Popular(Neighbours):
    """The same list for everybody, whatever anyone deletes."""

    def scores(self, user):
        return np.arange(self.table.shape[1])[::-1]


@pytest.mark.parametrize("budget", [1, LANES, LANES + 3])
def test_what_cannot_be_removed_is_said_to_stay(budget):
    found = hyn.explain(hyn.BlackBox(Popular), RATINGS, 0, budget=budget)
    assert (found.valid, found.rank_before, found.rank_after, found.retrained) == (False, 1, 1, budget)
    assert (found.tried["rank_after"] == 1).all()


def test_a_large_budget_leaves_nothing_to_a_beam(monkeypatch):
    monkeypatch.setattr(verified, "POOL", 0)
    monkeypatch.setattr(proposals, "WIDTH", 1)
    recommender = hyn.BlackBox(Popular)
    assert hyn.explain(recommender, RATINGS, 0, size=2, budget=15).retrained == 15
    assert hyn.explain(recommender, RATINGS, 0, size=2, budget=14).retrained < 14


def test_predictions_learn_from_what_was_retrained():
    """Popular items' scores are 13, 12, ... and nothing moves them, whatever embeddings say of it."""
    found = hyn.explain(hyn.BlackBox(Popular), world(length=10), 0, budget=3 * LANES)
    error = (found.tried["predicted_margin"] - found.tried["predicted_margin"].round().mode()[0]).abs()
    assert error[:LANES].mean() > 3 * error[-LANES:].mean()


def test_the_search_ends_with_the_first_batch_that_has_an_explanation():
    found = hyn.explain(MF, RATINGS, 0, size=3, budget=comb(6, 3))
    assert found.valid
    assert found.retrained == LANES


def test_a_target_of_ones_own():
    (scores,) = MF.fit(RATINGS).scores([0])
    offered = set(range(RATINGS.n_items)) - set(RATINGS.history(0).tolist())
    (target,) = (item for item in offered if plain_rank(MF, scores, 0, item) == 2)
    found = hyn.explain(MF, RATINGS, 0, target=np.int32(target), top_k=2)
    assert (found.target, found.rank_before) == (target, 2)
    assert found.rank_after == rank_without(MF, 0, target, found.items)
    with pytest.raises(ValueError, match=f"item {target} has rank 2 for user 0.* raise top_k to 2"):
        hyn.explain(MF, RATINGS, 0, target=target)


@pytest.mark.parametrize("name", ["mf", "ncf", "svd", "blackbox"])
def test_the_same_question_has_the_same_answer(name):
    recommender, answers = RECOMMENDERS[name], []
    for threads in (1, 2):
        with numba_threads(threads):
            answers.append(dataclasses.asdict(hyn.explain(recommender, RATINGS, 5, top_k=3, budget=20)))
    one, other = answers
    assert one.pop("seconds") > 0 < other.pop("seconds")
    assert one.pop("tried").equals(other.pop("tried"))
    assert one == other


class Untrained(hyn.BlackBox):
    def __init__(self):
        super().__init__(Neighbours)

    def fit(self, ratings):
        raise AssertionError("trained, for a question that has no answer")


NAMED = hyn.Ratings.from_arrays("aaabb", ["Up", "Why", "Her", "Heat", "Jaws"], [3, 4, 5, 3, 2])
SEEN = int(RATINGS.history(0)[0])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"user": 20}, r"unknown user index 20 \(there are 20 users\)"),
        ({"user": "ann"}, "unknown user index 'ann'"),
        ({"target": 14}, r"unknown item index 14 \(there are 14 items\)"),
        ({"target": "Alien"}, "unknown item index 'Alien'"),
        ({"ratings": NAMED, "target": "Up"}, r"holds the ids: np.flatnonzero\(ratings.item_ids == 'Up'\)\[0\]$"),
        ({"target": SEEN}, f"item {SEEN} is no candidate for user 0, who rated it"),
        ({"size": 7}, "user 0 has a history of 6 items, fewer than the explanation size 7"),
        ({"size": 0}, "size is 0: give an integer from 1 on"),
        ({"size": 2.0}, "size is 2.0"),
        ({"budget": 0}, "budget is 0"),
        ({"top_k": True}, "top_k is True"),
        ({"top_k": 8}, "user 0 has 8 candidate items, so none can leave the top 8: lower top_k to 7$"),
        (
            {"ratings": pd.DataFrame({"user": [1]})},
            r"ratings is a DataFrame: give Ratings.from_arrays\(users, items, val",
        ),
        (
            {"recommender": Neighbours},
            r"recommender is Neighbours, which cannot retrain: wrap it, hyn.BlackBox\(Neighbours\)$",
        ),
        (
            {"recommender": Neighbours()},
            r"a Neighbours, which cannot retrain: wrap it, hyn.BlackBox\(Neighbours\(...\)\)$",
        ),
        ({"recommender": hyn.TruncatedSVD}, r"recommender is the class TruncatedSVD: make one, TruncatedSVD\(\)$"),
        ({"trained": Neighbours()}, r"trained is a Neighbours: give what the recommender's fit\(ratings\) returns"),
        (
            {"recommender": hyn.TruncatedSVD(factors=2), "trained": hyn.BlackBox(Neighbours).fit(RATINGS)},
            "trained is a BlackBoxModel, which no TruncatedSVD makes: give what",
        ),
        (
            {"recommender": hyn.TruncatedSVD(factors=1), "trained": hyn.TruncatedSVD(factors=1).fit(FEW)},
            r"trained has 2 users, and the ratings \d+: give what",
        ),
        (
            {"recommender": hyn.TruncatedSVD(factors=1), "trained": hyn.TruncatedSVD(factors=1).fit(OTHER_ITEMS)},
            r"trained has 1 items, and the ratings \d+: give what",
        ),
    ],
)
def test_a_question_without_an_answer_is_refused_before_any_training(asked, said):
    with pytest.raises(ValueError, match=said):
        hyn.explain(**{"recommender": Untrained(), "ratings": RATINGS, "user": 0} | asked)


def test_a_user_who_rated_everything_has_nothing_to_explain_but_what_was_rated():
    ratings = hyn.Ratings.from_arrays(["a"] * 6 + ["b"], [*range(6), 0], [5, 4, 3, 2, 1, 2, 3])
    rated = "user 0 has 0 candidate items, so none can leave the top 1: leave the user out, or set remove_seen=False"
    with pytest.raises(ValueError, match=f"{rated} in the recommender, by which rated items are candidates too$"):
        hyn.explain(Untrained(), ratings, 0)
    assert hyn.explain(hyn.BlackBox(Neighbours, remove_seen=False), ratings, 0).target in ratings.history(0)
    with pytest.raises(ValueError, match=r"1 candidate items, .*: leave the user out$"):
        hyn.explain(hyn.BlackBox(Neighbours, remove_seen=False), ratings.select([0]), 0, size=1)


def test_an_item_that_nobody_rated_is_no_target():
    ratings = RATINGS.select(RATINGS.items != 0)
    user = next(user for user in range(ratings.n_users) if len(ratings.history(user)) == 6)
    with pytest.raises(ValueError, match=f"item 0 is no candidate for user {user}, who cannot be offered it"):
        hyn.explain(Untrained(), ratings, user, target=0)
    with pytest.raises(ValueError, match="history of 0 items"):
        hyn.explain(Untrained(), ratings.select(ratings.users != 3), 3, size=None)


# -- proposals --------------------------------------------------------------------------------------------------------


def test_changes_of_many_items_are_influence_on_each():
    model = MF.fit(RATINGS)
    found = changes(model, RATINGS, MF, 2)
    assert found.shape == (6, RATINGS.n_items)
    for item in range(RATINGS.n_items):
        np.testing.assert_allclose(found[:, item], factorization_block(model, RATINGS, MF, 2, item), atol=1e-12)


@pytest.mark.parametrize("name", ["ncf", "ncf on choices"])
def test_changes_on_a_neural_model_are_those_of_its_users_gradients(name):
    """Slopes by finite differences; the change by the normal equations of the history without an item."""
    ncf = RECOMMENDERS[name]
    model = ncf.fit(RATINGS)
    (before,), step = model.scores([4]).astype(float), 1e-2
    slopes = []
    for name in ("gmf_users", "mlp_users"):
        table = getattr(model, name)
        for column in range(table.shape[1]):
            moved = [table.copy(), table.copy()]
            moved[0][4, column] += step
            moved[1][4, column] -= step
            up, down = (dataclasses.replace(model, **{name: each}).scores([4])[0].astype(float) for each in moved)
            slopes.append((up - down) / (2 * step))
    slopes, history = np.stack(slopes, axis=1), RATINGS.history(4)
    errors = (1 if ncf.negatives else RATINGS.values[RATINGS.rows_of(4)]) - before[history]
    hessian = slopes[history].T @ slopes[history]
    hessian += 0.1 * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
    wanted = -(errors[:, None] * slopes[history]) @ np.linalg.inv(hessian) @ slopes.T
    found = changes(model, RATINGS, ncf, 4)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["svd", "blackbox"])
def test_embeddings_tell_what_a_deletion_does(name):
    recommender = RECOMMENDERS[name]
    model, agreement = recommender.fit(RATINGS), []
    for user in range(10):
        unseen = np.setdiff1d(np.arange(RATINGS.n_items), RATINGS.history(user))
        guessed = changes(model, RATINGS, recommender, user)[:, unseen]
        deletions = [hyn.Deletion(user, (item,)) for item in RATINGS.history(user).tolist()]
        really = (recommender.retrain(RATINGS, deletions) - model.scores([user]))[:, unseen]
        agreement.append(np.corrcoef(guessed.ravel(), really.ravel())[0, 1])
    assert np.median(agreement) > 0.5


def test_no_embeddings_no_changes():
    class Blank(Popular):
        def fit(self, ratings):
            super().fit(ratings)
            self.user_embeddings, self.item_embeddings = np.zeros((ratings.n_users, 2)), np.zeros((ratings.n_items, 2))

    recommender = hyn.BlackBox(Blank)
    assert not changes(recommender.fit(RATINGS), RATINGS, recommender, 0).any()


def test_retraining_corrects_changes():
    rng = np.random.default_rng(0)
    really, guessed = rng.normal(size=(2, 7, 5))
    np.testing.assert_allclose(corrected(guessed, np.empty((0, 7)), np.empty((0, 5))), guessed)
    deleted = (rng.random((20, 7)) < 0.4).astype(float)
    errors = [
        np.abs(corrected(guessed, deleted[:count], deleted[:count] @ really) - really).mean() for count in (0, 5, 20)
    ]
    assert errors[0] > 1.2 * errors[1] > 2 * errors[2]


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize("pool", [0, 100])
def test_proposals_are_subsets_by_predicted_margin(pool, top_k):
    rng = np.random.default_rng(1)
    scores, effect = np.array([3.0, 2.5, 2.0]), rng.normal(size=(8, 3))
    subsets, predicted = best_subsets(scores, effect, 3, top_k, pool)
    assert {tuple(places) for places in subsets.tolist()} <= set(combinations(range(8), 3))
    assert len(np.unique(subsets, axis=0)) == len(subsets)
    after = scores + effect[subsets].sum(axis=1)
    np.testing.assert_allclose(predicted, np.sort(after[:, 1:])[:, -top_k] - after[:, 0])
    assert (np.diff(predicted) <= 0).all()
    everything = [np.sort((scores + effect[list(each)].sum(axis=0))[1:])[-top_k] for each in combinations(range(8), 3)]
    targets = [scores[0] + effect[list(each), 0].sum() for each in combinations(range(8), 3)]
    assert predicted[0] == pytest.approx(max(np.subtract(everything, targets)))
    if pool:
        assert len(subsets) == comb(8, 3)


def test_against_a_single_other_item_the_narrowest_beam_is_exact(monkeypatch):
    monkeypatch.setattr(proposals, "WIDTH", 1)
    effect = np.random.default_rng(2).normal(size=(8, 2))
    _, predicted = best_subsets(np.array([1.0, 0.0]), effect, 3, 1, 0)
    assert predicted[0] == pytest.approx(np.sort(effect[:, 1] - effect[:, 0])[-3:].sum() - 1)


def test_of_deletions_with_equal_ranks_the_one_that_pushes_furthest_is_shown():
    several = 0
    for user in range(8):
        found = hyn.explain(MF, RATINGS, user, size=2, budget=15)
        ties = [row.items for row in found.tried.itertuples() if row.rank_after == found.rank_after]
        scores = MF.retrain(RATINGS, [hyn.Deletion(user, items) for items in ties])
        behind = margins(scores, candidates(RATINGS, user), found.target)
        assert found.items == ties[behind.argmax()]
        several += len(ties) > 1
    assert several


def test_what_is_never_recommended_is_no_part_of_what_a_black_box_learnt():
    masked, plain = (changes(box.fit(RATINGS), RATINGS, box, 3) for box in map(hyn.BlackBox, (Masked, Sgd)))
    np.testing.assert_array_equal(masked, plain)
