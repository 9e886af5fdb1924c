"""What the notebooks do, stage by stage."""

from collections.abc import Sequence

import pandas as pd

from ..method.outcomes import Outcomes


def verdicts(methods: Sequence[str], outcomes: Outcomes) -> pd.DataFrame:
    """Schema ``schemas.EVALUATION``: what became of each explanation's target, from outcomes of (n, 1) deletions.

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
