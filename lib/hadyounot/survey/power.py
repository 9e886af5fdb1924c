"""How many people it takes to find what the paper reports, by simulation."""

from math import sqrt

import numpy as np
from scipy import stats

from ..rng import generator

LEVEL, WANTED, SIMULATIONS = 0.05, 0.8, 20_000


def power(difference: float, sd_a: float, sd_b: float, correlation: float, n: int, seed: int) -> float:
    """Share of simulated studies in which the one-sided paired t-test finds a rated higher than b, at 5 %.

    A person's two mean ratings are normal; that ratings end at 1 and 5 is left out. So of each study the mean and the
    variance of the differences are drawn, which are independent (Cochran), and not every person.

    Args:
        difference: mean of a minus mean of b, in rating points.
        sd_a, sd_b: standard deviations over people.
        correlation: of a person's two ratings.
        n: people, at least 2.
        seed: root of the draws.
    """
    sd = sqrt(sd_a**2 + sd_b**2 - 2 * correlation * sd_a * sd_b)
    rng = generator(seed, "power", n)
    means = rng.normal(difference, sd / sqrt(n), SIMULATIONS)
    t = means / (sd * np.sqrt(rng.chisquare(n - 1, SIMULATIONS) / (n - 1)) / sqrt(n))
    return float((t > stats.t.isf(LEVEL, n - 1)).mean())


def people_needed(difference: float, sd_a: float, sd_b: float, correlation: float, seed: int) -> int:
    """Fewest people with a power of 80 %, but for noise; arguments as ``power``'s, the difference above 0."""
    high = 4
    while power(difference, sd_a, sd_b, correlation, high, seed) < WANTED:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, sd_a, sd_b, correlation, middle, seed) >= WANTED
        low, high = (low, middle) if enough else (middle, high)
    return high
