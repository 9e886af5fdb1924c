"""How many people it takes to find what the paper reports."""

from math import ceil, sqrt

from statsmodels.stats.power import TTestPower

LEVEL, WANTED = 0.05, 0.8


def _effect(difference: float, sd_a: float, sd_b: float, correlation: float) -> float:
    """Mean of the differences in their standard deviations: Cohen's d_z."""
    return difference / sqrt(sd_a**2 + sd_b**2 - 2 * correlation * sd_a * sd_b)


def power(difference: float, sd_a: float, sd_b: float, correlation: float, n: int) -> float:
    """Probability that the one-sided paired t-test finds a rated higher than b, at 5 %: of the noncentral t.

    A person's two mean ratings are normal; that ratings end at 1 and 5 is left out.

    Args:
        difference: mean of a minus mean of b, in rating points.
        sd_a, sd_b: standard deviations over people.
        correlation: of a person's two ratings.
        n: people, at least 2.
    """
    return float(TTestPower().power(_effect(difference, sd_a, sd_b, correlation), n, LEVEL, alternative="larger"))


def people_needed(difference: float, sd_a: float, sd_b: float, correlation: float) -> int:
    """Fewest people with a power of 80 %; arguments as ``power``'s, the difference above 0."""
    effect = _effect(difference, sd_a, sd_b, correlation)
    return ceil(TTestPower().solve_power(effect, None, LEVEL, WANTED, alternative="larger"))
