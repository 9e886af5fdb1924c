"""Influence functions as a baseline (eq. 10): which ratings' removal is predicted to lower a score most.

Every explanation is a tuple of item indices of the history, the strongest first; ties are broken by ``rng``.
"""

from collections.abc import Callable
from functools import partial, singledispatch

import numpy as np

from ..method import search
from ..retrain.base import Model, Recommender
from ..retrain.mf import MatrixFactorization, MatrixFactorizationModel
from ..retrain.ncf import NeuralCollaborativeFiltering, NeuralCollaborativeFilteringModel
from ..retrain.ratings import Ratings
from .settings import InfluenceConfig

Changes = Callable[[int, int], np.ndarray]
"""(user, target) -> (n,): change of f(user, target), in the units of the score, on removing each rating of the user's
history alone, in its order; negative where the removal lowers the score."""


def influences(
    model: Model, ratings: Ratings, recommender: Recommender, config: InfluenceConfig
) -> dict[str, Callable[[int, int, int, np.random.Generator], tuple[int, ...]]]:
    """Eq. (10) as methods (user, target, size, rng) -> the items whose removal is predicted to lower the target's score
    most: ``influence`` over all parameters and ``influence_block`` over a few. None where ``removals`` has none. With
    ``_as_printed`` the sign is that of the paper's eq. (10), which takes those whose removal raises it most.

    A method raises ValueError where the history has fewer than ``size`` items, and what its ``Changes`` raise.
    """

    def explain(
        changes: Changes, sign: int, user: int, target: int, size: int, rng: np.random.Generator
    ) -> tuple[int, ...]:
        return search.exact(sign * changes(user, target), ratings.history(user), size, rng)

    return {
        name + printed: partial(explain, changes, sign)
        for name, changes in removals(model, ratings, recommender, config).items()
        for printed, sign in (("", -1), ("_as_printed", 1))
    }


@singledispatch
def removals(model: Model, ratings: Ratings, recommender: Recommender, config: InfluenceConfig) -> dict[str, Changes]:
    """Eq. (10) on a kind of model: ``influence`` and ``influence_block``, or none of them if nobody told how its loss
    depends on its parameters.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        recommender: what trained it.
        config: see ``differentiated.Influence``.
    """
    return {}


@removals.register
def _(
    model: MatrixFactorizationModel, ratings: Ratings, recommender: MatrixFactorization, config: InfluenceConfig
) -> dict[str, Changes]:
    from . import differentiated  # PyTorch takes longer to import than all the rest

    return {
        "influence": differentiated.factorization_influence(model, ratings, recommender, config).changes,
        "influence_block": partial(factorization_block, model, ratings, recommender),
    }


@removals.register
def _(
    model: NeuralCollaborativeFilteringModel,
    ratings: Ratings,
    recommender: NeuralCollaborativeFiltering,
    config: InfluenceConfig,
) -> dict[str, Changes]:
    from . import differentiated

    negatives = recommender.sampled_negatives(ratings, recommender.epochs - 1) if recommender.negatives else None
    return {
        "influence": differentiated.neural_influence(model, ratings, config, negatives=negatives).changes,
        "influence_block": partial(differentiated.neural_block, model, ratings, negatives=negatives),
    }


def factorization_block(
    model: MatrixFactorizationModel, ratings: Ratings, recommender: MatrixFactorization, user: int, target: int
) -> np.ndarray:
    """``user_block`` of one item: ``Changes``, float64."""
    return user_block(model, ratings, recommender, user, np.array([target]))[:, 0]


def user_block(
    model: MatrixFactorizationModel, ratings: Ratings, recommender: MatrixFactorization, user: int, items: np.ndarray
) -> np.ndarray:
    """Eq. (10) over the user's own parameters (b_u, p_u) alone, the item side held fixed, for many items at once.

    With x_j = (1, q_j), or (0, q_j) where there are no biases, the loss is quadratic in them, so its Hessian
    Σ_j (x_j x_jᵀ + regularization · 1) is exact and is solved directly. Cheng et al., KDD 2019, add the target's own
    parameters to the block.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        recommender: what trained it.
        user: index.
        items: (m,), indices.

    Returns:
        float64 (n, m): change of f(user, i) on removing each rating of the user's history alone, in its order.
    """
    rows = ratings.rows_of(user)
    design, others = (
        np.insert(model.item_embeddings[each].astype(np.float64), 0, recommender.biased, axis=1)
        for each in (ratings.items[rows], items)
    )
    own = np.insert(model.user_embeddings[user].astype(np.float64), 0, model.user_biases[user])
    errors = ratings.values[rows] - model.mean - model.item_biases[ratings.items[rows]] - design @ own
    hessian = design.T @ design + len(rows) * recommender.regularization * np.eye(len(own))
    gradients = -errors[:, None] * design + recommender.regularization * own
    # least squares, as without regularisation a short history leaves directions undetermined
    return gradients @ np.linalg.lstsq(hessian, others.T)[0]
