"""Δŷ: what a deletion did to a target item, as pure functions of recorded outcomes (section 4.1).

Every effect is larger the further the deletion pushed the target down the list.
"""

import numpy as np

from .outcomes import Outcomes


def reg(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_reg, eq. (3): float32 (n, N), in stars.

    The counterfactual score of the item now at the target's old rank, minus that of the target.
    """
    return outcomes.benchmark_score_after - outcomes.score_after


def clf(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_clf, eq. (4): int8 (n, N); +1 ranked lower (a larger rank) than before, 0 the same, -1 higher."""
    return np.sign(outcomes.rank_after - outcomes.rank_before).astype(np.int8)


def rank(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_rank, eq. (11): float32 (n, N), how many ranks the target fell."""
    return (outcomes.rank_after - outcomes.rank_before).astype(np.float32)


def score(outcomes: Outcomes) -> np.ndarray:
    """How far the target's own score fell: float32 (n, N), in stars; section 5.3 names it before normalising it."""
    return outcomes.score_before - outcomes.score_after


def cross(outcomes: Outcomes) -> np.ndarray:
    """Δŷ_cross, eq. (12): float32 (n, N), the fall of the target's score in units of the top recommendation's.

    Raises:
        ValueError: the top recommendation's score is not above 0, as may be that of a model which predicts no rating:
            in such units a fall is none.
    """
    least = min(outcomes.top1_score_before.min(), outcomes.top1_score_after.min())
    if not least > 0:
        raise ValueError(
            f"eq. (12) divides by the top recommendation's score, which is {least:g} of one of these models and must "
            "be above 0: learn another effect (leave effect out of ablations.families)"
        )
    before = outcomes.score_before / outcomes.top1_score_before[:, None]
    return before - outcomes.score_after / outcomes.top1_score_after[:, None]
