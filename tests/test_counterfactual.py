"""Algorithm 1 against its definitions, written out one item and one model at a time."""

from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hadyounot.method import outcomes as outcomes_module
from hadyounot.method.outcomes import (
    Outcomes,
    candidates,
    compare,
    ranks,
    record,
    sample_deletions,
    simulate,
    subsets,
    top_items,
)
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.rng import generator
from hadyounot.study import datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare
from test_mf import some_deletions

same = np.testing.assert_array_equal
ARRAYS = [name for name in Outcomes.__dataclass_fields__ if name != "deletions"]


# Subsets of a history


@given(st.integers(1, 9), st.data(), st.integers(1, 200), st.integers(0, 3))
def test_subsets_are_distinct_and_all_of_them_when_there_are_no_more(n, data, count, seed):
    size = data.draw(st.integers(1, n))
    drawn = subsets(n, size, count, generator(seed, "test"))
    every = set(combinations(range(n), size))
    found = [tuple(row) for row in drawn.tolist()]
    assert drawn.dtype == np.int32
    assert len(found) == len(set(found)) == min(count, len(every))
    assert set(found) <= every


def test_every_subset_is_equally_likely():
    drawn = Counter(tuple(row) for seed in range(2000) for row in subsets(6, 3, 5, generator(seed, "test")).tolist())
    assert len(drawn) == comb(6, 3)
    assert chisquare(list(drawn.values())).pvalue > 0.001  # the seeds are fixed, so this cannot fail by chance


@pytest.mark.parametrize(
    ("n", "size", "count"),
    [(40_000, 3, 1000), (300, 3, 100_000), (100, 98, 10_000)],  # of 10¹³; as many as are ever searched; all 4950
)
def test_subsets_of_long_histories(n, size, count):
    drawn = subsets(n, size, count, generator(0, "test"))
    assert len(np.unique(drawn, axis=0)) == len(drawn) == min(count, comb(n, size))
    assert (np.diff(drawn, axis=1) > 0).all()
    assert 0 <= drawn.min() <= n // 400
    assert n - n // 400 <= drawn.max() + 1 <= n
    assert abs(drawn.mean() / n - 0.5) < 0.02


def test_the_order_of_all_subsets_is_drawn():
    first, second = (subsets(6, 3, 20, generator(seed, "test")).tolist() for seed in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == [list(subset) for subset in combinations(range(6), 3)]


def test_subsets_too_many_to_number():
    drawn = subsets(300, 120, 500, generator(0, "test"))  # C(n, 120) is 10⁸⁶
    assert drawn.shape == (500, 120)
    assert len(np.unique(drawn, axis=0)) == 500
    assert (np.diff(drawn, axis=1) > 0).all()
    assert chisquare(np.bincount(drawn.ravel(), minlength=300)).pvalue > 0.001


@pytest.mark.parametrize(("n", "size", "message"), [(2, 3, "at least 3"), (0, 1, "at least 1")])
def test_impossible_subsets(n, size, message):
    with pytest.raises(ValueError, match=message):
        subsets(n, size, 5, generator(0, "test"))


# A small world: 12 users, 14 items, one of which has no rating left


def world() -> Ratings:
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((12, 14)) < 0.45)
    order = rng.permutation(len(users))
    ratings = Ratings.from_arrays(users[order], items[order], rng.integers(1, 6, len(users)))
    return ratings.select(ratings.items != 9)


MF = MatrixFactorization(factors=2, epochs=4, learning_rate=0.05, init_scale=0.5, seed=1)


def test_sampled_deletions_are_distinct_parts_of_the_history():
    ratings = world()
    n = len(ratings.history(4))
    assert comb(n, 3) > 12
    drawn = sample_deletions(ratings, 4, 3, 12, seed=0)
    assert len({frozenset(deletion.items) for deletion in drawn}) == 12
    for deletion in drawn:
        assert deletion.user == 4
        assert len(set(deletion.items)) == 3
        assert set(deletion.items) <= set(ratings.history(4).tolist())
    every = {frozenset(items) for items in combinations(ratings.history(4).tolist(), 3)}
    assert {frozenset(deletion.items) for deletion in sample_deletions(ratings, 4, 3, 10**6, seed=0)} == every


def test_a_users_deletions_depend_on_the_seed_and_the_user_alone():
    ratings = world()
    one, other = (sample_deletions(ratings, 4, 3, 12, seed) for seed in (0, 1))
    assert one == sample_deletions(ratings, 4, 3, 12, seed=0) != other
    both = simulate(MF, ratings, [2, 4], 3, 12, n_targets=2, seed=0).deletions
    assert [deletion for deletion in both if deletion.user == 4] == one
    assert simulate(MF, ratings, np.array([2, 4], np.int32), 3, 12, n_targets=2, seed=0).deletions == both


def test_every_user_has_draws_of_its_own():
    same_items = Ratings.from_arrays(np.repeat([0, 1], 9), np.tile(np.arange(9), 2), np.ones(18))
    one, other = (sample_deletions(same_items, user, 3, 12, seed=0) for user in (0, 1))
    assert [deletion.items for deletion in one] != [deletion.items for deletion in other]


# Ranks and outcomes


def naive_rank(scores, eligible, target) -> int:
    return 1 + sum(bool(scores[item] > scores[target]) for item in eligible)


few_scores = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0])  # so that many are equal


@given(arrays(np.float32, 8, elements=few_scores), arrays(bool, 8), st.lists(st.integers(0, 7)))
def test_rank_is_one_more_than_the_number_of_better_candidates(scores, mask, targets):
    eligible = np.flatnonzero(mask)
    found = ranks(scores, mask, np.array(targets, dtype=np.int32))
    assert found.dtype == np.int32
    assert found.tolist() == [naive_rank(scores, eligible, target) for target in targets]


def test_candidates_are_rated_by_someone_and_not_by_the_user():
    ratings = world()
    for user in range(ratings.n_users):
        for item in range(ratings.n_items):
            rated_by = set(ratings.users[ratings.items == item].tolist())
            assert candidates(ratings, user)[item] == (bool(rated_by) and user not in rated_by)


def naive_outcome(ratings: Ratings, deletion: Deletion, before, after, targets: list[int]) -> dict[str, list]:
    """The docstring of ``Outcomes``, item by item, where ``targets`` may be any of those with equal scores."""
    rated, history = set(ratings.items.tolist()), set(ratings.history(deletion.user).tolist())
    eligible = sorted(rated - history)
    assert set(targets) <= set(eligible)
    assert len(set(targets)) == len(targets)
    assert [before[item] for item in targets] == sorted((before[item] for item in eligible), reverse=True)[
        : len(targets)
    ]
    ordered_after = sorted((after[item] for item in eligible), reverse=True)
    old = [naive_rank(before, eligible, target) for target in targets]
    return {
        "rank_before": old,
        "rank_after": [naive_rank(after, eligible, target) for target in targets],
        "rank_after_readmitted": [naive_rank(after, eligible + list(deletion.items), target) for target in targets],
        "score_before": [before[target] for target in targets],
        "score_after": [after[target] for target in targets],
        "benchmark_score_after": [ordered_after[rank - 1] for rank in old],
        "top1_score_before": max(before[item] for item in eligible),
        "top1_score_after": ordered_after[0],
    }


@settings(deadline=None)
@given(st.data(), st.integers(1, 4))
def test_compare_follows_the_definitions(data, n_targets):
    """Under any scores, with many of them equal."""
    ratings = world()
    deletions = some_deletions(ratings, 5, seed=5)
    shape = (len(deletions), ratings.n_items)
    before, after = (data.draw(arrays(np.float32, shape, elements=few_scores)) for _ in range(2))
    outcomes = compare(ratings, deletions, before, after, n_targets)
    assert outcomes.deletions == tuple(deletions)
    for row, deletion in enumerate(deletions):
        for name, expected in naive_outcome(
            ratings, deletion, before[row], after[row], outcomes.targets[row].tolist()
        ).items():
            same(getattr(outcomes, name)[row], expected, err_msg=name)


def test_too_few_candidates():
    ratings = world()
    few = int(candidates(ratings, 0).sum())
    scores = np.zeros((1, ratings.n_items), np.float32)
    assert compare(ratings, [Deletion(0, ())], scores, scores, few).targets.shape == (1, few)
    said = (
        rf"user 0 \(id {ratings.user_ids[0]}\) has {few} candidate items: lower n_targets={few + 1} to {few}, or leave"
    )
    with pytest.raises(ValueError, match=said):
        compare(ratings, [Deletion(0, ())], scores, scores, few + 1)
    with pytest.raises(ValueError, match=said):
        record(MF, ratings, [Deletion(0, ())], few + 1)  # before anything is trained


def test_a_user_who_rated_everything_cannot_be_explained():
    ratings = Ratings.from_arrays("aaab", "xyzx", [1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"^user 0 \(id a\) has 0 candidate items: leave the user out$"):
        simulate(MF, ratings, [1, 0], 1, 5, n_targets=1, seed=0)
    assert len(simulate(MF, ratings, [1], 1, 5, n_targets=2, seed=0).deletions) == 1


@pytest.mark.parametrize(
    ("users", "said"), [(0, "give a list"), (["a"], "not an index"), ([12], "unknown user index 12")]
)
def test_users_of_a_simulation_that_are_no_indices(users, said):
    with pytest.raises(ValueError, match=said):
        simulate(MF, world(), users, 3, 5, n_targets=2, seed=0)


def test_record_is_one_model_trained_per_deletion():
    ratings = world()
    deletions = some_deletions(ratings, 25, seed=5)
    outcomes = record(MF, ratings, deletions, n_targets=3)
    for row, deletion in enumerate(deletions):
        left = ratings.select(~((ratings.users == deletion.user) & np.isin(ratings.items, deletion.items)))
        before, after = (MF.fit(kept).scores([deletion.user])[0] for kept in (ratings, left))
        for name, expected in naive_outcome(ratings, deletion, before, after, outcomes.targets[row].tolist()).items():
            same(getattr(outcomes, name)[row], np.float32(expected), err_msg=name)
    assert {name: getattr(outcomes, name).dtype.name for name in ARRAYS} == {
        name: "int32" if name.startswith(("targets", "rank")) else "float32" for name in ARRAYS
    }


@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_change_no_number(chunk, monkeypatch):
    ratings = world()
    deletions = some_deletions(ratings, 25, seed=5)
    expected = record(MF, ratings, deletions, n_targets=3)
    monkeypatch.setattr(outcomes_module, "CHUNK", chunk)
    chunked = record(MF, ratings, deletions, n_targets=3)
    assert chunked.deletions == expected.deletions
    for name in ARRAYS:
        same(getattr(chunked, name), getattr(expected, name))


def test_deleting_nothing_changes_nothing():
    ratings = world()
    outcomes = record(MF, ratings, [Deletion(user, ()) for user in range(ratings.n_users)], n_targets=3)
    same(outcomes.rank_after, outcomes.rank_before)
    same(outcomes.rank_after, np.tile([1, 2, 3], (ratings.n_users, 1)))
    same(outcomes.score_after, outcomes.score_before)
    same(outcomes.benchmark_score_after, outcomes.score_after)
    same(outcomes.top1_score_after, outcomes.top1_score_before)


# A planted world whose best deletion is known


HORROR, COMEDY = range(10), range(10, 20)


def planted() -> Ratings:
    """Half of the people love horror and cannot bear comedy, half the other way round.

    User 0 loved three horror films and found five comedies just all right: were those three gone, no reason to
    recommend horror would be left.
    """
    rows = [(0, item, 5) for item in HORROR[:3]] + [(0, item, 3.5) for item in COMEDY[:5]]
    rng = np.random.default_rng(0)
    for user in range(1, 41):
        loved, borne = (HORROR, COMEDY) if user % 2 else (COMEDY, HORROR)
        rows += [(user, int(item), 5) for item in rng.permutation(loved)[:8]]
        rows += [(user, int(item), 1) for item in rng.permutation(borne)[:8]]
    return Ratings.from_arrays(*zip(*rows, strict=True))


def naive_explanation(mf, ratings: Ratings, user: int, target: int, top_k: int, size: int) -> set[tuple[int, ...]]:
    """Algorithm 2 over deletions of one size: every one that pushes the target out of the top K, by training anew."""
    history = ratings.history(user).tolist()
    eligible = sorted(set(ratings.items.tolist()) - set(history))
    found = set()
    for items in combinations(history, size):
        scores = mf.fit(ratings.select(~((ratings.users == user) & np.isin(ratings.items, items)))).scores([user])[0]
        if naive_rank(scores, eligible, target) > top_k:
            found.add(items)
    return found


def test_algorithm_1_finds_what_algorithm_2_finds_in_a_planted_world():
    ratings = planted()
    mf = MatrixFactorization(factors=2, epochs=60, learning_rate=0.05, regularization=0.05, seed=0)
    outcomes = simulate(mf, ratings, [0], size=3, count=1000, n_targets=2, seed=0)
    assert len(outcomes.deletions) == comb(8, 3)
    target = int(outcomes.targets[0, 0])
    assert ratings.item_ids[target] in HORROR
    best = outcomes.deletions[int(np.argmin(outcomes.score_after[:, 0] - outcomes.benchmark_score_after[:, 0]))]
    assert {ratings.item_ids[item] for item in best.items} == set(HORROR[:3])
    for top_k in (1, 3, 5):
        found = {
            tuple(sorted(deletion.items))
            for deletion, rank in zip(outcomes.deletions, outcomes.rank_after[:, 0], strict=True)
            if rank > top_k
        }
        expected = {tuple(sorted(items)) for items in naive_explanation(mf, ratings, 0, target, top_k, 3)}
        assert found == expected
        assert tuple(sorted(best.items)) in found


def test_equal_scores_are_not_ordered_by_index():
    everything = np.ones(40, bool)
    first = top_items(np.zeros(40, np.float32), everything, 40)
    assert sorted(first) == list(range(40))
    assert (np.diff(first) < 0).any()
    assert (top_items(np.zeros(40, np.float32), everything, 40) == first).all()


@pytest.mark.parametrize("remove_seen", [True, False])
def test_targets_are_of_the_recommenders_reading(remove_seen):
    ratings = datasets.planted()
    mf = MatrixFactorization(factors=2, epochs=4, remove_seen=remove_seen)
    found = record(mf, ratings, [Deletion(user, ()) for user in range(8)], n_targets=5)
    inside = [np.isin(targets, ratings.history(user)).any() for user, targets in enumerate(found.targets)]
    assert any(inside) != remove_seen


class Untrained(MatrixFactorization):
    def fit(self, ratings):
        raise AssertionError("trained")


def test_too_few_candidates_are_refused_before_the_original_is_trained():
    few = int(candidates(world(), 0).sum())
    with pytest.raises(ValueError, match="lower n_targets"):
        record(Untrained(), world(), [Deletion(0, ())], few + 1)


def test_streams_of_random_numbers_are_told_apart_by_every_name():
    names = [(), ("a", "bc"), ("ab", "c"), ("abc",), (1, 23), (12, 3), ("1", 23)]
    drawn = [generator(0, *each).integers(2**62) for each in names]
    assert len({*drawn, generator(1).integers(2**62)}) == len(names) + 1
    assert drawn == [generator(0, *each).integers(2**62) for each in names]
    # an integer of an array is the same name
    assert generator(0, np.int64(1), np.int32(23)).integers(2**62) == drawn[names.index((1, 23))]
