"""Step 2: surrogates that predict, without retraining, what a deletion does to a target (section 4.2).

A row is one (deletion, target); its features are eq. (8), [φ_u, Σ φ_i of the deleted items, φ_i of the target], or
those of another ``Representation``.
"""

from typing import NamedTuple, Protocol, Self

import numpy as np
import pandas as pd

from .features import SurrogateData


class Surrogate(Protocol):
    """g(u, D, i; α) of eq. (7), fitted."""

    def predict(self, user_embedding: np.ndarray, deleted: np.ndarray, target_embedding: np.ndarray) -> np.ndarray:
        """Predicted Δŷ_reg (stars), or centred logit of "ranked lower", of m deletions for one user and target: (m,).

        Args:
            user_embedding: (p,).
            deleted: (m, e, F), ``Representation.item_features`` of the e items of each deletion.
            target_embedding: (q,).
        """

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All there is to save."""

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """What ``to_arrays`` saved."""


class Fit(NamedTuple):
    """A fitted surrogate and how well it predicts users it has not seen.

    Attributes:
        surrogate: fitted, ready for eq. (9).
        curve: what the choice was made from, one row per (penalty, fold) or per epoch; see each fit.
        report: the chosen penalty or epoch, and the held-out figures there.
    """

    surrogate: Surrogate
    curve: pd.DataFrame
    report: dict[str, float]


def grouped_folds(users: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each deletion, (n,): rows of one user share a fold, and folds differ by one user at most.

    Raises:
        ValueError: there are fewer users than folds.
    """
    groups, group = np.unique(users, return_inverse=True)
    if len(groups) < folds:
        raise ValueError(
            f"{folds} folds grouped by user need {folds} training users, there are {len(groups)}; "
            "lower surrogates.folds or raise counterfactual.training_users"
        )
    return rng.permutation(np.arange(len(groups)) % folds)[group]


def scales(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Standard deviations to divide by; infinite for a constant feature, whose standardised value is then 0."""
    return np.sqrt(np.where(variance > 1e-12 * (mean**2 + variance), variance, np.inf))


def occurring_classes(effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes that occur, ascending (+1 is the last), and each effect's index among them.

    Raises:
        ValueError: +1 does not occur, or nothing else does.
    """
    classes, labels = np.unique(effects, return_inverse=True)
    if classes[-1] != 1 or len(classes) < 2:
        raise ValueError(
            f"the effects' classes are {classes.tolist()}: a classifier of 'ranked lower' needs +1 and another; "
            "record more deletions or users"
        )
    return classes, labels.reshape(effects.shape).astype(np.int8)


def standardisation(data: SurrogateData) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each feature over all rows: float64 (F,)."""
    sums = np.zeros((2, sum(data.widths)))
    for deletions in np.array_split(np.arange(len(data.users)), -(-len(data.users) // 1000)):
        part = data.select(deletions)
        features = part.features(np.arange(part.effects.size)).astype(np.float64)
        sums += features.sum(axis=0), (features**2).sum(axis=0)
    mean, square = sums / data.effects.size
    return mean, scales(mean, square - mean**2)


def held_out_users(users: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the deletions of held-out users, (n,): a share of the users, at least one and not all.

    Raises:
        ValueError: there is one user.
    """
    groups = np.unique(users)
    if len(groups) < 2:
        raise ValueError("early stopping needs 2 training users, there is 1; raise counterfactual.training_users")
    n_held_out = min(max(1, round(share * len(groups))), len(groups) - 1)
    return np.isin(users, rng.choice(groups, n_held_out, replace=False))
