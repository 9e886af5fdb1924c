"""Eq. (2) on really retrained models, the oracle that bounds it, and how good the recommender itself is."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm
from sklearn.metrics import ndcg_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from . import store
from .config import OracleConfig
from .counterfactual import Outcomes, candidates, compare, record, top_items
from .ratings import Deletion, Ratings
from .recommenders.base import Recommender


def validity(evaluation: pd.DataFrame, top_k: Sequence[int]) -> pd.DataFrame:
    """Share of users for whom the explanation, really deleted, takes the target off the top-K list, eq. (2).

    Args:
        evaluation: one row per method and user: method, user, target, rank_after (1 = best).
        top_k: each K.

    Returns:
        One row per method (in the order of ``evaluation``) and K: method, top_k, n_users, n_valid, validity,
        and ci_low, ci_high: 95 % Wilson interval, users as units.

    Raises:
        ValueError: a method explains a user twice, or not the users that the others explain.
    """
    ranks = _ranks(evaluation)
    n = len(ranks)
    rows = [(method, k, n, int((ranks[method] > k).sum())) for method in ranks for k in top_k]
    table = pd.DataFrame(rows, columns=["method", "top_k", "n_users", "n_valid"])
    table["validity"] = table["n_valid"] / n
    table["ci_low"], table["ci_high"] = proportion_confint(table["n_valid"], n, alpha=0.05, method="wilson")
    return table


def mcnemar(evaluation: pd.DataFrame, top_k: Sequence[int], apart: Sequence[str] = ()) -> pd.DataFrame:
    """Exact McNemar test (McNemar, Psychometrika 1947) between all pairs of methods on the same users.

    Args:
        evaluation: as in ``validity``, two methods at least.
        top_k: each K.
        apart: methods whose pairs are a family of tests of their own.

    Returns:
        One row per K and pair: top_k, method_a, method_b, n_users, only_a and only_b (users for whom only that
        method's explanation is valid), p_value (two-sided), p_holm (corrected for all pairs of the same K
        and family; Holm, Scand. J. Statist. 1979).

    Raises:
        ValueError: as ``validity``.
    """
    ranks = _ranks(evaluation)
    tables = []
    for k in top_k:
        valid = ranks > k
        rows = []
        for a, b in combinations(valid, 2):
            only_a, only_b = int((valid[a] & ~valid[b]).sum()), int((valid[b] & ~valid[a]).sum())
            # under the null a user who tells them apart is as likely to favour one as the other
            p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
            rows.append((k, a, b, len(valid), only_a, only_b, p))
        columns = ["top_k", "method_a", "method_b", "n_users", "only_a", "only_b", "p_value"]
        table = pd.DataFrame(rows, columns=columns)
        family = table[["method_a", "method_b"]].isin(apart).any(axis=1)
        corrected = table.groupby(family)["p_value"].transform(lambda p: multipletests(p, method="holm")[1])
        tables.append(table.assign(p_holm=corrected))
    return pd.concat(tables, ignore_index=True)


def paired_change(valid: np.ndarray, base: np.ndarray) -> tuple[float, float, float]:
    """Difference of two shares of the same users, with its 95 % interval.

    The interval is Wald's with Laplace's adjustment (Bonett and Price, British Journal of Mathematical and Statistical
    Psychology 2012).

    Args:
        valid, base: bool (n,).

    Returns:
        the share of ``valid`` minus that of ``base``, and the interval's ends.
    """
    n = len(valid)
    gained, lost = (int((a & ~b).sum()) for a, b in ((valid, base), (base, valid)))
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = norm.ppf(0.975) * np.sqrt((more + less - (more - less) ** 2) / (n + 2))
    return (gained - lost) / n, max(more - less - half, -1.0), min(more - less + half, 1.0)


def _ranks(evaluation: pd.DataFrame) -> pd.DataFrame:
    """rank_after: a row per (user, target), a column per method in the order given."""
    twice = evaluation[evaluation.duplicated(["method", "user"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{row['method']} explains user {row['user']} twice: give one row per method and user")
    ranks = evaluation.pivot(index=["user", "target"], columns="method", values="rank_after")
    ranks = ranks[list(evaluation["method"].unique())]
    if ranks.isna().any(axis=None):
        (user, target), method = ranks.isna().stack().idxmax()[:2], ranks.isna().any().idxmax()
        raise ValueError(
            f"{method} does not explain target {target} of user {user}: evaluate all methods on the same users"
        )
    return ranks


def margins(scores: np.ndarray, candidates: np.ndarray, target: int) -> np.ndarray:
    """How far the target lies behind the best other candidate, in the units of the scores; above 0 it is not first.

    Args:
        scores: (m, n_items), the user's scores under m models.
        candidates: bool (n_items,), what may be recommended to the user; the target is one of them.
        target: index of the item.

    Returns:
        (m,), like the scores.
    """
    others = candidates.copy()
    others[target] = False
    return scores[:, others].max(axis=1) - scores[:, target]


def is_exhaustive(history: np.ndarray, size: int, config: OracleConfig) -> bool:
    """Whether the oracle retrains every subset of the history (n,), and so is exact."""
    return comb(len(history), size) <= config.exhaustive


def oracle_search(user: int, history: np.ndarray, size: int, config: OracleConfig) -> list[Deletion]:
    """What the oracle retrains first for a user: every ``size``-item subset of the history (n,) where there are at
    most ``config.exhaustive`` of them, every single item elsewhere.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    if len(history) < size:
        raise ValueError(f"user {user} has a history of {len(history)} items, fewer than the explanation size {size}")
    each = size if is_exhaustive(history, size, config) else 1
    return [Deletion(user, items) for items in combinations(history.tolist(), each)]


def oracle_refine(
    searched: Sequence[Deletion], margins: np.ndarray, size: int, config: OracleConfig, rng: np.random.Generator
) -> list[Deletion]:
    """What the oracle retrains next: every ``size``-item subset of the ``config.shortlist`` items whose single
    deletions hurt the target most; nothing where ``searched`` was exhaustive.

    The hurt is the target's ``margin``, which also orders the items that leave the target first: on a rank most
    single deletions tie.

    Args:
        searched: what ``oracle_search`` returned.
        margins: (len(searched),), the target's margin after each.
        size: explanation_size.
        config: the oracle's settings.
        rng: breaks ties.
    """
    if len(searched[0].items) == size:
        return []
    shuffled = rng.permutation(len(searched))
    worst = shuffled[np.argsort(-margins[shuffled], kind="stable")[: max(size, config.shortlist)]]
    shortlist = sorted(searched[k].items[0] for k in worst)
    return [Deletion(searched[0].user, items) for items in combinations(shortlist, size)]


def verdicts(methods: Sequence[str], outcomes: Outcomes) -> pd.DataFrame:
    """Schema ``store.EVALUATION``: what became of each explanation's target, from outcomes of (n, 1) deletions.

    Args:
        methods: (n,), the method that made each deletion.
        outcomes: of the user's top recommendation.
    """
    columns = ("rank_before", "rank_after", "rank_after_readmitted", "score_before", "score_after")
    return pd.DataFrame(
        {
            "user": [deletion.user for deletion in outcomes.deletions],
            "target": outcomes.targets[:, 0],
            "method": methods,
            "items": [deletion.items for deletion in outcomes.deletions],
            **{name: getattr(outcomes, name)[:, 0] for name in columns},
        }
    )


def oracle_pool(
    recommender: Recommender, ratings: Ratings, user: int, size: int, config: OracleConfig, rng: np.random.Generator
) -> tuple[Outcomes, int]:
    """What became of a user's top recommendation after each deletion that the oracle chooses from.

    Returns:
        the outcomes of (n, 1) deletions of ``size`` items each, and how many models were retrained in all.
    """
    searched = oracle_search(user, ratings.history(user), size, config)
    before, *after = recommender.retrain(ratings, [Deletion(user, ()), *searched])
    eligible = candidates(ratings, user)
    behind = margins(np.stack(after), eligible, int(top_items(before, eligible, 1)[0]))
    refined = oracle_refine(searched, behind, size, config, rng)
    pool, after = (refined, recommender.retrain(ratings, refined)) if refined else (searched, np.stack(after))
    outcomes = compare(ratings, pool, np.broadcast_to(before, after.shape), after, n_targets=1)
    return outcomes, 1 + len(searched) + len(refined)


def best_of(rank_after: np.ndarray, rng: np.random.Generator) -> int:
    """The oracle's choice among really retrained deletions: the index of the largest ``rank_after`` (n,), ties
    broken by ``rng``. It is valid at every K at which any of them is; with every method's explanation among
    them, the oracle is never below a method.
    """
    return int(rng.choice(np.flatnonzero(rank_after == rank_after.max())))


def naive(
    recommender: Recommender, ratings: Ratings, users: Sequence[int], max_size: int, top_k: Sequence[int]
) -> pd.DataFrame:
    """Algorithm 2, without returning at the first D_u that removes the user's top recommendation: every subset of
    1 to ``max_size`` items of the history is retrained. The smallest explanation has the first size with any.

    Returns:
        Schema ``store.NAIVE``: a row per user, size and K; no row where there are no users.
    """
    histories = {user: ratings.history(user).tolist() for user in users}
    deletions = [
        Deletion(user, items)
        for user, history in histories.items()
        for size in range(1, max_size + 1)
        for items in combinations(history, size)
    ]
    if not deletions:
        return pd.DataFrame(columns=list(store.NAIVE.columns))
    outcomes = record(recommender, ratings, deletions, n_targets=1)
    retrained = pd.DataFrame(
        {
            "user": [deletion.user for deletion in deletions],
            "target": outcomes.targets[:, 0],
            "history": [len(histories[deletion.user]) for deletion in deletions],
            "size": [len(deletion.items) for deletion in deletions],
        }
    )
    ranks = outcomes.rank_after[:, 0]
    each = pd.concat([retrained.assign(top_k=k, removes=ranks > k) for k in top_k])
    counts = each.groupby(["user", "target", "history", "size", "top_k"], sort=False)["removes"]
    return counts.agg(n_subsets="size", n_removing="sum").reset_index()


def rmse(scores: np.ndarray, ratings: Ratings) -> float:
    """Root mean squared error of predicted ratings (n_users, n_items), in stars."""
    predicted = scores[ratings.users, ratings.items]
    return float(np.sqrt(np.mean((ratings.values - predicted.astype(np.float64)) ** 2)))


def ndcg(scores: np.ndarray, train: Ratings, test: Ratings, k: int = 10) -> float:
    """nDCG@k (Järvelin and Kekäläinen, ACM TOIS 2002), a mean over users.

    What is ranked are the items with a training rating, minus the user's training history. A held-out item is
    relevant (gain 1) whatever its rating, as in the published comparisons on MovieLens-100K (Microsoft
    Recommenders); users with no such item do not count. Tied scores share their discounts.

    Args:
        scores: (n_users, n_items).
        train: what the recommender was trained on.
        test: the ratings held out.
        k: length of the recommendation list.
    """
    candidates = np.tile(train.rated, (train.n_users, 1))
    candidates[train.users, train.items] = False
    relevant = np.zeros_like(candidates)
    relevant[test.users, test.items] = True
    relevant &= candidates
    counted = relevant.any(axis=1)
    # below every candidate, and with gain 0, an item might as well not be ranked
    ranked = np.where(candidates, scores, scores.min() - 1)
    return float(ndcg_score(relevant[counted], ranked[counted], k=k))


def top1_concentration(top1: np.ndarray) -> tuple[float, int]:
    """Share of users whose top recommendation is the most common one, and how many different ones there are.

    Args:
        top1: (n_users,), item indices.
    """
    _, counts = np.unique(top1, return_counts=True)
    return float(counts.max() / len(top1)), len(counts)
