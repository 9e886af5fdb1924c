"""Rules that fix a recommender's settings before any explanation is made. Test ratings choose nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..compare.accuracy import rmse
from ..method.outcomes import sample_deletions
from ..retrain.base import Recommender
from ..retrain.blackbox import BlackBox
from ..retrain.mf import MatrixFactorization
from ..retrain.ratings import Deletion, Ratings
from ..rng import generator

REGULARIZATIONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
LEARNING_RATES = (0.001, 0.003, 0.01)
CLOSE_TO_BEST = 1.01  # times the lowest validation error, or the lowest objective
POINTS = 20  # of a learning curve, up to the recommender's epochs
SIGNAL_GATE = 5  # a deletion must move its user at least this many times as much as others

VALIDATION_SHARE = 0.1


def validate(recommender: Recommender, ratings: Ratings, seed: int, dataset: str) -> tuple[pd.DataFrame, str]:
    """Are the settings those that a tenth of the training ratings, held out, asks for?

    Matrix factorisation: at its number of epochs, the regularisation has the lowest error of ``REGULARIZATIONS``.
    Neural collaborative filtering, which overfits: learning rate and epochs come within 1 % of the lowest error of
    ``LEARNING_RATES`` and up to twice the epochs. A black box has its author's settings.

    Args:
        recommender: the one that will be explained.
        ratings: what it will be trained on.
        seed: of the study.
        dataset: its name; with the seed it decides what is held out.

    Returns:
        what was tried, one row per setting, with columns of settings and ``validation_rmse`` (stars; lowest first);
        and the verdict.
    """
    if isinstance(recommender, BlackBox):
        return pd.DataFrame({"validation_rmse": []}), "the settings are its author's: none is chosen here"
    held_out = generator(seed, "validation", dataset).random(len(ratings)) < VALIDATION_SHARE
    kept, held_out, everybody = ratings.select(~held_out), ratings.select(held_out), range(ratings.n_users)
    if isinstance(recommender, MatrixFactorization):
        names = ["regularization"]
        tried = {value: recommender.model_copy(update={names[0]: value}) for value in REGULARIZATIONS}
        tried.setdefault(recommender.regularization, recommender)
        errors = {(value,): rmse(each.fit(kept).scores(everybody), held_out) for value, each in tried.items()}
    else:
        names = ["learning_rate", "epochs"]
        errors = {
            (rate, epoch): rmse(state.scores(everybody), held_out)
            for rate in sorted({*LEARNING_RATES, recommender.learning_rate})
            for epoch, state in enumerate(
                recommender.model_copy(update={"learning_rate": rate, "epochs": 2 * recommender.epochs}).trajectory(
                    kept
                ),
                start=1,
            )
        }
    table = pd.DataFrame(
        [(*setting, error) for setting, error in errors.items()], columns=[*names, "validation_rmse"]
    ).sort_values("validation_rmse", kind="stable", ignore_index=True)
    own = errors[tuple(getattr(recommender, name) for name in names)]
    lowest = table["validation_rmse"].iloc[0]
    right = own == lowest if isinstance(recommender, MatrixFactorization) else own <= CLOSE_TO_BEST * lowest
    best = ", ".join(f"{name} {table[name].iloc[0]:g}" for name in names)
    follows = "as the rule asks" if right else "NOT what the rule asks: change the study's models"
    return table, f"lowest error {lowest:.4f} at {best}; the cell's settings have {own:.4f}: {follows}"


def learning_curve(recommender: Recommender, train: Ratings, test: Ratings) -> tuple[pd.DataFrame, str]:
    """Error and objective over twice the recommender's epochs, and whether its objective has converged.

    Returns:
        schema ``schemas.CURVE``, a single row for a black box; and the verdict.
    """

    def states() -> Iterator:
        if isinstance(recommender, BlackBox):
            yield recommender.fit(train)
        else:
            yield from recommender.model_copy(update={"epochs": 2 * recommender.epochs}).trajectory(train)

    rows, epochs = [], getattr(recommender, "epochs", 1)
    shown = {*range(0, 2 * epochs, max(1, epochs // POINTS)), epochs, 2 * epochs}
    for epoch, state in enumerate(states(), start=1):
        if epoch in shown:
            scores = state.scores(range(train.n_users))
            fit = rmse(scores, train)
            objective = recommender.objective(state, train) if isinstance(recommender, MatrixFactorization) else fit**2
            rows.append((epoch, fit, rmse(scores, test), objective))
    curve = pd.DataFrame(rows, columns=["epoch", "train_rmse", "test_rmse", "objective"])
    if isinstance(recommender, BlackBox):
        return curve, "its author decides when its training ends"
    now, later = curve.set_index("epoch")["objective"].loc[[epochs, 2 * epochs]]
    gain = f"{epochs} epochs more lower the objective by {1 - later / now:.2%}"
    if not isinstance(recommender, MatrixFactorization):
        return curve, f"{gain}: stopped before the arg min of eq. (1), where its error on new ratings is lowest"
    converged = later * CLOSE_TO_BEST > now
    return curve, f"{gain}: " + ("converged" if converged else "NOT converged: raise epochs in the study's models")


def signal(
    recommender: Recommender, ratings: Ratings, users: Sequence[int], size: int, seed: int, watchers: int = 4
) -> tuple[float, float]:
    """How far a deletion moves the scores of its user, and those of others: noise, where recorded effects drown.

    Args:
        recommender: retrained without one random ``size``-item deletion of each of the ``users``.
        ratings: what it is trained on.
        users: who delete.
        size: items deleted.
        seed: of the study.
        watchers: how many others are looked at for each deletion.

    Returns:
        mean |score after - score before| over the items with a rating: of the deleting users, and of the others; in
        the units of the scores.
    """
    deletions, watched = [], []
    for user in users:
        (deletion,) = sample_deletions(ratings, int(user), size, 1, seed)
        others = np.delete(np.arange(ratings.n_users), user)
        chosen = generator(seed, "watchers", int(user)).choice(others, min(watchers, len(others)), replace=False)
        watched += [int(user), *chosen.tolist()]
        deletions += [deletion] * (1 + len(chosen))
    everybody = sorted(set(watched))
    before = recommender.retrain(ratings, [Deletion(user, ()) for user in everybody])
    after = recommender.retrain(ratings, deletions, watched)
    changes = np.abs(after - before[np.searchsorted(everybody, watched)])[:, ratings.rated].mean(axis=1)
    own = np.array([user == deletion.user for user, deletion in zip(watched, deletions, strict=True)])
    return float(changes[own].mean()), float(changes[~own].mean())
