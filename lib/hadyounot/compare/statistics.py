"""Validity, eq. (2), of really retrained models: shares, differences and medians with their intervals, and tests."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm, quantile_test, ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from ..rng import generator

RESAMPLES = 5000  # of a bootstrap


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
    placed = ranks(evaluation)
    n = len(placed)
    rows = [(method, k, n, int((placed[method] > k).sum())) for method in placed for k in top_k]
    table = pd.DataFrame(rows, columns=["method", "top_k", "n_users", "n_valid"])
    table["validity"] = table["n_valid"] / n
    table["ci_low"], table["ci_high"] = proportion_confint(table["n_valid"], n, alpha=0.05, method="wilson")
    return table


def mcnemar(evaluation: pd.DataFrame, top_k: Sequence[int]) -> pd.DataFrame:
    """Exact McNemar test (McNemar, Psychometrika 1947) between all pairs of methods on the same users.

    Args:
        evaluation: as in ``validity``, two methods at least.
        top_k: each K.

    Returns:
        One row per K and pair: top_k, method_a, method_b, n_users, only_a and only_b (users for whom only that
        method's explanation is valid), p_value (two-sided), p_holm (corrected for all pairs of the same K; Holm,
        Scand. J. Statist. 1979).

    Raises:
        ValueError: as ``validity``.
    """
    placed = ranks(evaluation)
    tables = []
    for k in top_k:
        valid = placed > k
        rows = []
        for a, b in combinations(valid, 2):
            rows.append((k, a, b, len(valid), *discordant(valid[a], valid[b])))
        columns = ["top_k", "method_a", "method_b", "n_users", "only_a", "only_b", "p_value"]
        table = pd.DataFrame(rows, columns=columns)
        tables.append(table.assign(p_holm=multipletests(table["p_value"], method="holm")[1]))
    return pd.concat(tables, ignore_index=True)


def discordant(a: np.ndarray, b: np.ndarray) -> tuple[int, int, float]:
    """For how many users only one of two explanations is valid, and the two-sided p of McNemar's exact test.

    Args:
        a, b: bool (n,), of the same users.

    Returns:
        how many only ``a``, how many only ``b``; and p, 1 where there are none.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    # under the null a user who tells them apart is as likely to favour one as the other
    return only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_change(valid: np.ndarray, base: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Difference of two shares of the same users, with its interval.

    The interval is Wald's with Laplace's adjustment (Bonett and Price, British Journal of Mathematical and Statistical
    Psychology 2012).

    Args:
        valid, base: bool (n,).
        confidence: of the interval.

    Returns:
        the share of ``valid`` minus that of ``base``, and the interval's ends.
    """
    n = len(valid)
    gained, lost = (int((a & ~b).sum()) for a, b in ((valid, base), (base, valid)))
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = norm.ppf((1 + confidence) / 2) * np.sqrt((more + less - (more - less) ** 2) / (n + 2))
    return (gained - lost) / n, max(more - less - half, -1.0), min(more - less + half, 1.0)


def hierarchical_interval(values: np.ndarray, seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a mean that was measured again and again, by the hierarchical bootstrap.

    Splits are drawn with replacement, and for each of them its seeds and its users, which are crossed (Davison and
    Hinkley, Bootstrap Methods and their Application, 1997, 3.8). ``scipy.stats.bootstrap`` draws one level alone.

    Args:
        values: (splits, seeds, users): whether an explanation is valid, or the difference of two.
        seed: of the draws.
        confidence: of the interval.
    """
    sums = _times_drawn(*values.shape, seed) @ values.ravel().astype(np.float32)
    low, high = np.quantile(sums.astype(np.float64) / values.size, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@cache
def _times_drawn(splits: int, seeds: int, users: int, seed: int) -> np.ndarray:
    """float32 (RESAMPLES, splits · seeds · users): how often each value is in each resample, the same for all methods.
    Sums of so many whole numbers are exact, in whatever order a matrix product takes them.
    """
    rng = generator(seed, "hierarchical bootstrap")
    times = np.zeros((RESAMPLES, splits, seeds, users), np.float32)
    for chosen in rng.integers(splits, size=(splits, RESAMPLES)):
        of_seeds, of_users = (rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) for n in (seeds, users))
        times[np.arange(RESAMPLES), chosen] += of_seeds[:, :, None] * of_users[:, None, :]
    return times.reshape(RESAMPLES, -1)


def independent_difference(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    """Difference of two independent estimates, each with its interval, with an interval of the same confidence.

    Variances are recovered from the ends (Zou and Donner, Statistics in Medicine 2008).

    Args:
        a, b: estimate, low, high.

    Returns:
        ``a`` minus ``b``, and the interval's ends.
    """
    (x, x_low, x_high), (y, y_low, y_high) = a, b
    return x - y, x - y - np.hypot(x - x_low, y_high - y), x - y + np.hypot(x_high - x, y - y_low)


def paired(a: pd.Series, b: pd.Series) -> pd.Series:
    """Difference of two numbers of the same users.

    Args:
        a, b: by user.

    Raises:
        ValueError: they are of other users.
    """
    if not a.index.equals(b.index):
        raise ValueError("the two are of other users: compare recommenders on the same test users")
    return a - b


def mean(values: pd.Series) -> tuple[float, float, float]:
    """The mean, with its 95 % interval (Student's)."""
    found = ttest_1samp(values, 0).confidence_interval()
    return float(values.mean()), float(found.low), float(found.high)


def median(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Median, with its interval between two order statistics, which supposes no distribution (Conover, Practical
    Nonparametric Statistics 1999, section 3.2).

    Args:
        values: (n,), n at least 1.
        confidence: the least that the interval may have.

    Returns:
        the median, and the interval's ends; an end is NaN where so few values have none.
    """
    middle = float(np.median(values))
    low, high = quantile_test(values, q=middle, p=0.5).confidence_interval(confidence)
    return middle, float(low), float(high)


def median_user(correlations: pd.DataFrame) -> tuple[int, str]:
    """Whom Figure 7 shows: the median user by the correlation of influence, or of the first measure where that is not
    known, as of black boxes; of an even number the lower.

    Args:
        correlations: schema ``schemas.CORRELATION``, of one dataset and model.

    Returns:
        the user, and the measure.
    """
    known = correlations.loc[correlations["pearson"].notna(), "measure"].tolist() or correlations["measure"].tolist()
    by = "influence" if "influence" in known else known[0]
    ranked = correlations[correlations["measure"] == by].sort_values("pearson", kind="stable")
    return int(ranked["user"].iloc[(ranked["pearson"].count() - 1) // 2]), by


def ranks(evaluation: pd.DataFrame) -> pd.DataFrame:
    """rank_after: a row per (user, target), a column per method in the order given.

    Raises:
        ValueError: as ``validity``.
    """
    twice = evaluation[evaluation.duplicated(["method", "user"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{row['method']} explains user {row['user']} twice: give one row per method and user")
    placed = evaluation.pivot(index=["user", "target"], columns="method", values="rank_after")
    placed = placed[list(evaluation["method"].unique())]
    if placed.isna().any(axis=None):
        user, target, method = placed.isna().stack().idxmax()
        raise ValueError(
            f"{method} does not explain target {target} of user {user}: evaluate all methods on the same users"
        )
    return placed
