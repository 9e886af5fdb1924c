"""Notebook 20: the model that is explained (section 5.1)."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...compare.accuracy import ndcg, rmse, top1_concentration
from ...method.outcomes import top_items, with_candidates
from ...retrain.base import Recommender, learnt
from ...retrain.blackbox import NotRepeatable
from ...settings import ConfigError
from .. import paths, selection
from ..cell import Cell

SIGNAL_USERS = 64  # at most


class Trained(NamedTuple):
    """What is known of a trained recommender.

    Attributes:
        validation: settings tried, schema ``schemas.VALIDATION``.
        curve: errors by epoch, schema ``schemas.CURVE``.
        quality: how good it is, by name.
        signal: how far deletions move the scores of their user, and of others.
    """

    validation: pd.DataFrame
    curve: pd.DataFrame
    quality: dict[str, Any]
    signal: dict[str, float]


def _signal(cell: Cell, explained: Recommender, users: np.ndarray) -> dict[str, float]:
    asked = cell.trained, cell.train, users, cell.study.explanation.explanation_size, cell.study.seed
    try:
        with warnings.catch_warnings(action="error", category=NotRepeatable):
            return selection.signal(explained, *asked)
    except NotRepeatable as error:  # else notebook 60, hours later, would find that two models differ
        fix = "the study gives a seed to a factory that takes an argument `seed`"
        raise ConfigError(f"models.{cell.model}: {error}: {fix}") from None


def recommender(cell: Cell) -> Trained:
    """Train it, see whether its settings are those that the rules of ``selection`` choose, and how good it is.

    Raises:
        ConfigError: there is nobody to explain anything to, or two trainings on the same ratings differ.
    """

    def make() -> tuple:
        explained, train, study = cell.recommender(), cell.train, cell.study
        users, size = cell.explainable_users[:SIGNAL_USERS], study.explanation.explanation_size
        if not len(users):
            raise ConfigError(
                f"{cell.dataset} has no user with at least {size} training items to whom any item may be recommended:"
                " lower explanation.explanation_size, or take data in which users have not rated everything"
            )
        scores = cell.trained.scores(np.arange(train.n_users))
        served = np.flatnonzero(with_candidates(train, explained.remove_seen))
        same, distinct = top1_concentration(
            np.array([top_items(scores[user], cell.candidates(user), 1)[0] for user in served])
        )
        errors = {"train_rmse": rmse(scores, train), "test_rmse": rmse(scores, cell.test)}
        quality = {
            "factors": cell.trained.item_embeddings.shape[1],
            "epochs": getattr(explained, "epochs", None),
            **(errors if selection.predicts_ratings(explained) else dict.fromkeys(errors)),
            "ndcg_10": ndcg(scores, train, cell.test, 10),
            "same_top1_share": same,
            "distinct_top1": distinct,
            "n_candidates": int(train.rated.sum()),
        }
        biases = {side: getattr(cell.trained, f"{side}_biases", None) for side in ("user", "item")}
        counts = {"user": train.n_users, "item": train.n_items}
        arrays = {
            "user_embeddings": cell.trained.user_embeddings,
            "item_embeddings": cell.trained.item_embeddings,
            # of no width where there are none
            **{
                f"{side}_biases": np.empty((counts[side], 0), np.float32) if each is None else each[:, None]
                for side, each in biases.items()
            },
            "residuals": learnt(explained, train) - scores[train.users, train.items],
        }
        return (
            selection.validate(explained, train, study.seed, cell.dataset),
            selection.learning_curve(explained, train, cell.test),
            quality,
            _signal(cell, explained, users),
            arrays,
        )

    *found, _ = cell.kept(make, paths.VALIDATION, paths.CURVE, paths.QUALITY, paths.SIGNAL, paths.EMBEDDINGS)
    return Trained(*found)
