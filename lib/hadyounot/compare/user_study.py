"""What the printed numbers of the user study (section 6, Table 1) imply. The ratings themselves were not published."""

from math import floor, sqrt

from scipy import stats


def implied_correlation(difference: float, sd_a: float, sd_b: float, p_value: float, n: int) -> float:
    """Correlation that n paired ratings must have, given what was printed of them.

    A one-sided paired t-test with p-value p has t = difference / (sd_difference / √n), and the variance of the
    differences is sd_a² + sd_b² - 2 r sd_a sd_b; solved for r.

    Args:
        difference: mean of a minus mean of b, in rating points, with the sign that makes p small.
        sd_a: sample standard deviation of a's n ratings, in rating points.
        sd_b: of b's.
        p_value: that a is rated higher; not 0.5, where t is 0.
        n: pairs.

    Returns:
        the correlation; outside [-1, 1] no ratings have these numbers.
    """
    sd_difference = difference * sqrt(n) / stats.t.isf(p_value, n - 1)
    return (sd_a**2 + sd_b**2 - sd_difference**2) / (2 * sd_a * sd_b)


def is_mean_of_whole_ratings(mean: float, n: int, decimals: int) -> bool:
    """Whether n whole numbers can have this mean, printed with so many decimals: the GRIM test (Brown and Heathers,
    Social Psychological and Personality Science 2017).
    """
    half = 0.5 * 10.0**-decimals * (1 + 1e-9)  # a half may have been rounded up or down
    return any(abs(total / n - mean) <= half for total in (floor(mean * n), floor(mean * n) + 1))
