"""What printed numbers imply, against ratings from which such numbers come."""

import numpy as np
import pytest
from hadyounot.compare.user_study import implied_correlation, is_mean_of_whole_ratings
from scipy import stats


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "correlation"), [(92, 0.8), (92, -0.5), (460, 0.0)])
def test_the_correlation_of_real_ratings_is_recovered_from_their_summary(n, correlation, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.multivariate_normal([3.8, 3.5], [[0.8, correlation * 0.6], [correlation * 0.6, 0.5]], n).T
    p = stats.ttest_rel(a, b, alternative="greater").pvalue
    assert p < 0.5
    implied = implied_correlation(a.mean() - b.mean(), a.std(ddof=1), b.std(ddof=1), p, n)
    assert implied == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-6)


def test_numbers_that_no_ratings_have_imply_an_impossible_correlation():
    # so small a difference cannot be this significant, nor so large a one this insignificant
    assert implied_correlation(0.01, 1, 0.5, 1e-6, 50) > 1
    assert implied_correlation(3, 0.1, 0.1, 0.3, 50) < -1


@pytest.mark.parametrize("n", [1, 7, 92, 460])
def test_means_of_whole_ratings_are_those_that_some_total_has(n):
    printed = {round(mean, 2) for mean in np.arange(100, 501) / 100}
    possible = {float(f"{total / n:.2f}") for total in range(n, 5 * n + 1)}
    halves = {round(total / n + shift, 2) for total in range(n, 5 * n + 1) for shift in (-1e-9, 1e-9)}
    for mean in printed:
        found = is_mean_of_whole_ratings(mean, n, 2)
        assert found == (mean in possible | halves), mean


def test_the_half_may_be_rounded_either_way():
    assert is_mean_of_whole_ratings(2.1, 8, 1)  # 17 / 8 = 2.125
    assert is_mean_of_whole_ratings(3.1, 20, 1)  # 61 / 20 = 3.05, 63 / 20 = 3.15
    assert is_mean_of_whole_ratings(0.2, 4, 1)
    assert is_mean_of_whole_ratings(0.3, 4, 1)
    assert not is_mean_of_whole_ratings(0.4, 4, 1)
