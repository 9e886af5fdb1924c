"""Whether what was measured bears a claim out: a rule for one world, and one over all worlds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

REPRODUCED, IN_DIRECTION, IN_SOME_WORLDS = "reproduced", "in direction", "in some worlds"
NOT, CONTRADICTED, NOT_TESTABLE = "not", "contradicted", "not testable by code"
VERDICTS = REPRODUCED, IN_DIRECTION, IN_SOME_WORLDS, NOT, CONTRADICTED, NOT_TESTABLE

_ROUNDING = 1e-9  # 62 - 100 * 0.57 is a little more than 5


class Measurement(NamedTuple):
    """What one world shows of one claim, in the claim's units.

    Attributes:
        estimate: the number.
        low, high: its 95 % interval; NaN where so little data have none, which bears no side out.
        units: between which numbers 95 % of single units (users) lie, where the paper's number is of one; else None.
    """

    estimate: float
    low: float
    high: float
    units: tuple[float, float] | None = None


@dataclass(frozen=True)
class Expected:
    """What a claim says of one number.

    Attributes:
        side: of ``bound``, on which the number is claimed to lie; None for a claim of the number itself.
        bound: in the number's units.
        paper: the number in the paper; None where it prints none, which a claim without a side cannot do without.
        tolerance: how far ours may lie from it and still agree, in the number's units.
    """

    side: Literal["above", "below"] | None = None
    bound: float = 0.0
    paper: float | None = None
    tolerance: float = 0.0

    def in_world(self, found: Measurement) -> str:
        """The verdict of one world.

        A claim of a number is reproduced if ours agrees with the paper's: it lies in our interval (if it is of a single
        unit, among our units), or our estimate within the tolerance of it; else it is not. A claim of a side holds if
        our whole interval lies there: reproduced if the number agrees too or the paper prints none, else in direction.
        If it lies wholly on the other side the claim is contradicted; else it is not borne out.

        Raises:
            ValueError: neither a side nor a number is claimed.
        """
        if self.side is None and self.paper is None:
            raise ValueError("a claim is of a side or of a number: give one")
        low, high = found.units or (found.low, found.high)
        agrees = self.paper is not None and (
            low <= self.paper <= high or abs(found.estimate - self.paper) <= self.tolerance + _ROUNDING
        )
        if self.side is None:
            return REPRODUCED if agrees else NOT
        above, below = found.low > self.bound, found.high < self.bound
        holds, opposed = (above, below) if self.side == "above" else (below, above)
        if holds:
            return REPRODUCED if agrees or self.paper is None else IN_DIRECTION
        return CONTRADICTED if opposed else NOT


def over_worlds(verdicts: Iterable[str]) -> str | None:
    """The verdict over the verdicts of all worlds; None where there is no world.

    Reproduced in all: reproduced. At least in direction in all: in direction; in some: in some worlds. Contradicted in
    all: contradicted. Otherwise not.
    """
    found = set(verdicts)
    if not found:
        return None
    if found <= {REPRODUCED, IN_DIRECTION}:
        return REPRODUCED if found == {REPRODUCED} else IN_DIRECTION
    if found & {REPRODUCED, IN_DIRECTION}:
        return IN_SOME_WORLDS
    return CONTRADICTED if found == {CONTRADICTED} else NOT


def weakest(
    comparisons: Sequence[Callable[[float], tuple[float, float, float]]], side: Literal["above", "below"]
) -> Measurement:
    """Of several comparisons that are all claimed to lie on one side, the number of the one that does so least.

    All lie above a bound if the least does, so no correction for their number is due for the end that shows it (an
    intersection-union test; Berger, Technometrics 1982). The other end is that of intervals which hold together, by
    Bonferroni, since the least is picked from all.

    Args:
        comparisons: confidence -> estimate, low, high.
        side: the one that is claimed.
    """
    alone, together = (
        np.array([compared(confidence) for compared in comparisons])
        for confidence in (0.95, 1 - 0.05 / len(comparisons))
    )
    lows, highs = (alone, together) if side == "above" else (together, alone)
    least = np.min if side == "above" else np.max  # of numbers among which one is unknown it is unknown
    return Measurement(*(float(least(each)) for each in (alone[:, 0], lows[:, 1], highs[:, 2])))
