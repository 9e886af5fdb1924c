"""Validity, tests, the oracle and the recommender's quality, against brute force and other libraries."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hadyounot.compare.accuracy import ndcg, rmse, top1_concentration
from hadyounot.compare.naive import naive
from hadyounot.compare.oracle import best_of, margins, oracle_pools, oracle_refine, oracle_search
from hadyounot.compare.settings import OracleConfig
from hadyounot.compare.statistics import mcnemar, paired_change, validity
from hadyounot.method.outcomes import candidates, ranks, top_items
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.rng import generator
from hadyounot.study import schemas, store
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar


def evaluated(**rank_after: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": method, "user": user, "target": 7 + user, "rank_after": rank}
            for method, column in rank_after.items()
            for user, rank in enumerate(column)
        ]
    )


def many(n: int, seed: int) -> pd.DataFrame:
    rng = generator(seed, "ranks")
    shares = {"d": 0.8, "a": 0.5, "c": 0.3, "b": 0.2}
    return evaluated(**{name: rng.geometric(share, n).tolist() for name, share in shares.items()})


def test_validity_counts_targets_that_left_the_list_and_keeps_the_order_of_methods():
    table = validity(evaluated(random=[1, 1, 2, 1], knn=[1, 2, 4, 9]), [1, 3])
    assert table[["method", "top_k", "n_users", "n_valid"]].to_numpy().tolist() == [
        ["random", 1, 4, 1], ["random", 3, 4, 0], ["knn", 1, 4, 3], ["knn", 3, 4, 2],
    ]  # fmt: skip
    assert table["validity"].tolist() == [0.25, 0, 0.75, 0.5]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(1, 30))
def test_validity_falls_with_k_and_lies_in_its_wilson_interval(rank_after, k):
    table = validity(evaluated(a=rank_after), [k, k + 1]).set_index("top_k")
    assert table.loc[k + 1, "validity"] <= table.loc[k, "validity"]
    n, p, z = len(rank_after), table.loc[k, "validity"], norm.ppf(0.975)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)  # Wilson, JASA 1927
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert table.loc[k, ["ci_low", "ci_high"]].tolist() == pytest.approx([centre - half, centre + half], abs=1e-9)


def test_mcnemar_agrees_with_statsmodels_for_every_pair():
    frame = many(60, 0)
    table = mcnemar(frame, [1, 3])
    assert len(table) == 2 * comb(4, 2)
    assert table["method_a"].iloc[0] == "d"
    assert table["method_b"].iloc[0] == "a"
    by = frame.pivot(index="user", columns="method", values="rank_after")
    for row in table.itertuples():
        a, b = by[row.method_a] > row.top_k, by[row.method_b] > row.top_k
        counts = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        assert (row.only_a, row.only_b, row.n_users) == (counts[0][1], counts[1][0], 60)
        assert row.p_value == pytest.approx(statsmodels_mcnemar(counts, exact=True).pvalue)


def test_holm_is_applied_within_each_k():
    table = mcnemar(many(60, 1), [1, 3])
    for _, group in table.groupby("top_k"):
        ordered = group.sort_values("p_value")
        steps = ordered["p_value"].to_numpy() * np.arange(len(ordered), 0, -1)
        assert ordered["p_holm"].to_numpy() == pytest.approx(np.minimum(np.maximum.accumulate(steps), 1))


def test_methods_that_never_differ_have_p_one():
    assert mcnemar(evaluated(a=[1, 2], b=[1, 2]), [1])[["p_value", "p_holm"]].to_numpy().tolist() == [[1, 1]]


def test_paired_change_counts_users_who_gained_and_lost():
    valid, base = np.array([1, 1, 1, 0, 0, 0, 1, 0], bool), np.array([0, 0, 1, 0, 1, 0, 0, 0], bool)
    change, low, high = paired_change(valid, base)
    assert change == (3 - 1) / 8
    more, less = 4 / 10, 2 / 10  # one more of each, and two users
    half = 1.959964 * np.sqrt((more + less - (more - less) ** 2) / 10)
    assert (low, high) == (pytest.approx(more - less - half), pytest.approx(more - less + half))
    assert paired_change(base, valid) == (-change, pytest.approx(-high), pytest.approx(-low))


def test_the_interval_of_a_paired_change_covers_the_truth_nineteen_times_in_twenty():
    rng, truth, covered = generator(0, "paired"), 0.12 - 0.05, 0
    for _ in range(2000):
        kind = rng.choice(3, 150, p=[0.12, 0.05, 0.83])
        both = rng.random(150) < 0.3
        _, low, high = paired_change((kind == 0) | ((kind == 2) & both), (kind == 1) | ((kind == 2) & both))
        covered += low <= truth <= high
    assert 0.935 < covered / 2000 < 0.975


@pytest.mark.parametrize("report", [validity, mcnemar])
def test_methods_must_share_their_users(report):
    frame = evaluated(a=[1, 2, 3], b=[1, 2, 3])
    with pytest.raises(ValueError, match="b does not explain target 9 of user 2: evaluate all methods"):
        report(frame.iloc[:-1], [1])
    with pytest.raises(ValueError, match="a does not explain target 7 of user 0"):  # nor does b another
        report(frame.iloc[1:-1], [1])
    with pytest.raises(ValueError, match="a explains user 1 twice"):
        report(pd.concat([frame, frame.iloc[[1]]]), [1])


def test_margin_is_above_zero_exactly_where_the_rank_is_above_one():
    rng = generator(0, "margins")
    scores = rng.normal(0, 1, (50, 8)).astype(np.float32)
    eligible = np.array([True, True, False, True, True, False, True, True])
    found = margins(scores, eligible, 3)
    for row, margin in zip(scores, found, strict=True):
        assert margin == max(row[item] - row[3] for item in (0, 1, 4, 6, 7))
        assert (margin > 0) == (ranks(row, eligible, np.array([3]))[0] > 1)
    assert eligible[3]


def test_oracle_retrains_every_subset_where_there_are_few():
    history = np.array([4, 9, 2, 7], dtype=np.int32)
    searched = oracle_search(5, history, 2, OracleConfig(exhaustive=6))
    assert {(d.user, frozenset(d.items)) for d in searched} == {
        (5, frozenset(c)) for c in combinations((4, 9, 2, 7), 2)
    }
    assert len(searched) == 6
    assert oracle_refine(searched, np.zeros(6), 2, OracleConfig(exhaustive=6), generator(0, "o")) == []


def test_oracle_refines_the_items_whose_single_deletions_hurt_most():
    history, config = np.arange(30, 50, dtype=np.int32), OracleConfig(exhaustive=100, shortlist=5)
    searched = oracle_search(5, history, 3, config)
    assert searched == [Deletion(5, (item,)) for item in range(30, 50)]
    hurt = generator(0, "hurt").normal(0, 1, 20)
    refined = oracle_refine(searched, hurt, 3, config, generator(0, "o"))
    best = sorted(range(20), key=lambda k: hurt[k])[-5:]
    assert {d.items for d in refined} == set(combinations(sorted(30 + k for k in best), 3))
    assert {d.user for d in refined} == {5}
    assert len(refined) == comb(5, 3)
    tied = {oracle_refine(searched, np.zeros(20), 3, config, generator(seed, "o"))[0].items for seed in range(20)}
    assert len(tied) > 1


def test_an_explanation_of_one_item_needs_no_refinement():
    searched = oracle_search(5, np.arange(8), 1, OracleConfig(exhaustive=0, shortlist=3))
    assert len(searched) == 8
    assert oracle_refine(searched, np.zeros(8), 1, OracleConfig(exhaustive=0, shortlist=3), generator(0, "o")) == []


def test_oracle_refuses_a_history_smaller_than_the_explanation():
    with pytest.raises(ValueError, match="user 5 has a history of 2 items, fewer than the explanation size 3"):
        oracle_search(5, np.arange(2), 3, OracleConfig())


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(0, 1000))
def test_the_best_of_a_pool_is_valid_wherever_one_is(rank_after, seed):
    best = best_of(np.array(rank_after), generator(seed, "best"))
    assert all(rank_after[best] > k for k in range(6) if any(rank > k for rank in rank_after))


def test_ties_of_the_pool_are_broken_by_the_seed():
    assert {best_of(np.array([2, 5, 1, 5]), generator(seed, "best")) for seed in range(40)} == {1, 3}


def split(rng: np.random.Generator, n_users: int, n_items: int) -> tuple[Ratings, Ratings]:
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.5)
    all_ratings = Ratings(
        users.astype(np.int32),
        items.astype(np.int32),
        rng.integers(1, 6, len(users)).astype(np.float32),
        *(np.arange(n) for n in (n_users, n_items, n_items)),
    )
    # item 0 keeps no training rating, so that it cannot be recommended
    chosen = (rng.random(len(users)) < 0.6) & (items > 0)
    return all_ratings.select(chosen), all_ratings.select(~chosen)


@pytest.mark.parametrize("seed", range(5))
def test_ndcg_agrees_with_its_definition(seed):
    rng = generator(seed, "ndcg")
    train, test = split(rng, 12, 25)
    scores = rng.normal(3, 1, (12, 25)).astype(np.float32)
    each = []
    for user in range(12):
        seen, held_out = set(train.history(user)), set(test.history(user))
        ranked = [item for item in range(25) if train.rated[item] and item not in seen]
        relevant = held_out & set(ranked)
        if relevant:
            ranked.sort(key=lambda item: -scores[user, item])
            gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranked[:4]) if item in relevant)
            each.append(gain / sum(1 / np.log2(place + 2) for place in range(min(4, len(relevant)))))
    assert ndcg(scores, train, test, 4) == pytest.approx(np.mean(each))


def test_ndcg_leaves_out_what_is_no_candidate_however_large_scores_are():
    train, test = split(generator(0, "ndcg"), 12, 25)
    assert ndcg(np.full((12, 25), 3e7, np.float32), train, test) == ndcg(np.zeros((12, 25), np.float32), train, test)


def test_ndcg_without_anything_to_rank_is_said_to_have_none():
    train = Ratings.from_arrays([0, 0, 1], list("aba"), [3] * 3)
    test = Ratings(np.array([1]), np.array([2]), np.array([5.0]), train.user_ids, np.array(list("abc")), None)
    train = Ratings(train.users, train.items, train.values, train.user_ids, test.item_ids, None)
    with pytest.raises(ValueError, match="no held-out item has a training rating of another user"):
        ndcg(np.zeros((2, 3), np.float32), train, test)


def test_ndcg_of_a_clairvoyant_is_one_and_skips_users_with_nothing_held_out():
    train = Ratings.from_arrays([0, 0, 1, 1, 1], list("abcde"), [3] * 5)
    test = Ratings(np.array([0]), np.array([3]), np.array([5.0]), train.user_ids, train.item_ids, train.titles)
    scores = np.array([[9, 9, 1, 2, 1], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert ndcg(scores, train, test, 10) == 1


def test_rmse_is_the_root_of_the_mean_squared_error():
    train = Ratings.from_arrays([0, 1, 1], ["a", "a", "b"], [4.0, 2.0, 5.0])
    scores = np.array([[3.5, 9], [3.5, 4]])
    assert rmse(scores, train) == pytest.approx(np.sqrt((0.5**2 + 1.5**2 + 1) / 3))


def test_top1_concentration():
    assert top1_concentration(np.array([4, 2, 4, 4, 9])) == (0.6, 3)


@pytest.fixture(scope="module")
def small() -> tuple[MatrixFactorization, Ratings]:
    rng = generator(0, "oracle world")
    users, items = np.nonzero(rng.random((8, 14)) < 0.6)
    ratings = Ratings.from_arrays(users.tolist(), items.tolist(), rng.integers(1, 6, len(users)).tolist())
    return MatrixFactorization(factors=3, epochs=30, learning_rate=0.05), ratings


def test_exhaustive_oracle_finds_what_brute_force_finds(small):
    recommender, ratings = small
    settings, users = OracleConfig(exhaustive=1000, shortlist=3), range(3)
    rngs = [generator(0, "oracle", user) for user in users]
    pools, retrained = oracle_pools(recommender, ratings, recommender.fit(ratings), users, 2, settings, rngs)
    assert retrained == sum(comb(len(ratings.history(user)), 2) for user in users)
    for user, pool in zip(users, pools, strict=True):
        history = ratings.history(user).tolist()
        before = recommender.fit(ratings).scores([user])[0]
        target = int(top_items(before, candidates(ratings, user), 1)[0])
        expected = {}
        for pair in combinations(history, 2):
            without = ~((ratings.users == user) & np.isin(ratings.items, pair))
            scores = recommender.fit(ratings.select(without)).scores([user])[0]
            eligible = candidates(ratings, user)
            expected[pair] = 1 + int((scores[eligible] > scores[target]).sum())
        found = {
            deletion.items: int(rank) for deletion, rank in zip(pool.deletions, pool.rank_after[:, 0], strict=True)
        }
        assert found == expected
        assert (pool.targets == target).all()
        assert found[pool.deletions[best_of(pool.rank_after[:, 0], generator(1, "ties"))].items] == max(
            expected.values()
        )


def test_naive_counts_what_algorithm_2_finds_one_model_at_a_time(small, tmp_path):
    recommender, ratings = small
    users = [5, 0, 3]
    found = naive(recommender, ratings, users, 2, [1, 3])
    store.write_parquet(tmp_path / "naive.parquet", found, schemas.NAIVE)
    expected = []
    for user in users:
        history, eligible = ratings.history(user).tolist(), candidates(ratings, user)
        before = recommender.fit(ratings).scores([user])[0]
        target = int(top_items(before, eligible, 1)[0])
        for size in (1, 2):
            after = []
            for items in combinations(history, size):  # D_u
                without = ~((ratings.users == user) & np.isin(ratings.items, items))
                scores = recommender.fit(ratings.select(without)).scores([user])[0]
                after.append(1 + int((scores[eligible] > scores[target]).sum()))
            assert len(after) == comb(len(history), size)
            for k in (1, 3):
                removing = sum(rank > k for rank in after)
                expected.append((user, target, len(history), size, k, len(after), removing))
    rows = set(found.itertuples(index=False, name=None))
    assert rows == set(expected)
    assert len(found) == len(expected)
    removing = found.set_index(["top_k", "user", "size"])["n_removing"]
    assert 0 < removing[1].sum() < found.loc[found["top_k"] == 1, "n_subsets"].sum()
    assert (removing[3] <= removing[1]).all()


def test_naive_goes_no_further_than_the_history_and_may_delete_all_of_it(small):
    recommender, ratings = small
    histories = np.bincount(ratings.users)
    user = int(histories.argmin())
    found = naive(recommender, ratings, [user], 20, [1])
    assert found["size"].tolist() == list(range(1, histories[user] + 1))
    assert found["n_subsets"].sum() == 2 ** histories[user] - 1


def test_naive_of_nobody_is_an_empty_table(small, tmp_path):
    store.write_parquet(tmp_path / "naive.parquet", naive(*small, [], 4, [1, 3]), schemas.NAIVE)
    assert store.read_parquet(tmp_path / "naive.parquet", schemas.NAIVE).empty


def test_shortlisting_oracle_retrains_single_items_then_subsets_of_the_worst(small):
    recommender, ratings = small
    users, rngs = [0, 4], [generator(0, "oracle"), generator(1, "oracle")]
    settings = OracleConfig(exhaustive=0, shortlist=4)
    pools, retrained = oracle_pools(recommender, ratings, recommender.fit(ratings), users, 2, settings, rngs)
    assert retrained == sum(len(ratings.history(user)) + comb(4, 2) for user in users)
    for user, pool in zip(users, pools, strict=True):
        history = ratings.history(user)
        assert {deletion.user for deletion in pool.deletions} == {user}
        assert len(pool.deletions) == comb(4, 2)
        shortlist = {item for deletion in pool.deletions for item in deletion.items}
        scores = recommender.retrain(ratings, [Deletion(user, (int(item),)) for item in history])
        behind = margins(scores, candidates(ratings, user), int(pool.targets[0, 0]))
        assert shortlist == set(history[np.argsort(-behind)[:4]].tolist())


@pytest.mark.parametrize("remove_seen", [True, False])
def test_the_oracle_shortlists_what_pushes_the_target_of_its_reading(small, remove_seen):
    recommender, ratings = small[0].model_copy(update={"remove_seen": remove_seen}), small[1]
    trained, users = recommender.fit(ratings), range(8)
    settings, rngs = OracleConfig(exhaustive=0, shortlist=4), [generator(user, "oracle") for user in users]
    pools, _ = oracle_pools(recommender, ratings, trained, users, 2, settings, rngs)
    for user, pool in zip(users, pools, strict=True):
        history, eligible = ratings.history(user), candidates(ratings, user, remove_seen)
        target = int(top_items(trained.scores([user])[0], eligible, 1)[0])
        scores = recommender.retrain(ratings, [Deletion(user, (int(item),)) for item in history])
        behind = margins(scores, eligible, target)
        shortlist = {item for deletion in pool.deletions for item in deletion.items}
        assert shortlist == set(history[np.argsort(-behind, kind="stable")[:4]].tolist())


def test_a_shortlist_shorter_than_the_explanation_is_as_long():
    config = OracleConfig(exhaustive=0, shortlist=3)
    searched = oracle_search(5, np.arange(9), 4, config)
    refined = oracle_refine(searched, np.arange(9.0), 4, config, generator(0, "oracle"))
    assert [deletion.items for deletion in refined] == [(5, 6, 7, 8)]


def test_a_change_of_one_user_ends_where_shares_do():
    for valid, base in ((True, False), (False, True)):
        _, low, high = paired_change(np.array([valid]), np.array([base]))
        assert -1 <= low < high <= 1
