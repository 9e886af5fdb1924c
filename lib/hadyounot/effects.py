"""Δŷ: what a deletion did to a target item, as pure functions of recorded outcomes (section 4.1).

Every effect is larger the further the deletion pushed the target down the list.
"""

import numpy as np

from .counterfactual import Outcomes


def reg(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_reg, eq. (3): float32 (n, N), in stars.

    The counterfactual score of the item now at the target's old rank, minus that of the target.
    """
    return outcomes.benchmark_score_after - outcomes.score_after


def clf(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_clf, eq. (4): int8 (n, N); +1 ranked lower (a larger rank) than before, 0 the same, -1 higher."""
    return np.sign(outcomes.rank_after - outcomes.rank_before).astype(np.int8)
