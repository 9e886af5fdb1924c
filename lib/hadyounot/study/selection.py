"""Rules that fix a recommender's settings before any explanation is made. Test ratings choose nothing."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..compare.accuracy import ndcg, rmse
from ..method.outcomes import candidates, sample_deletions, top_items, with_candidates
from ..retrain.base import Model, Recommender
from ..retrain.blackbox import BlackBox
from ..retrain.mf import MatrixFactorization
from ..retrain.ratings import Ratings
from ..retrain.svd import TruncatedSVD
from ..rng import generator

REGULARIZATIONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
LEARNING_RATES = (0.001, 0.003, 0.01)
CLOSE_TO_BEST = 1.01  # times the lowest validation error, or the lowest objective; or the best nDCG, 1 / this
POINTS = 20  # of a learning curve, up to the recommender's epochs
SIGNAL_GATE = 5  # a deletion must move its user at least this many times as much as others

VALIDATION_SHARE = 0.1

WITHOUT_EPOCHS = BlackBox, TruncatedSVD  # as one is trained by its author's own rules, and the other is solved

SETTINGS = ["regularization", "learning_rate", "epochs"]
TRIED = [*SETTINGS, "validation_rmse", "validation_ndcg_10"]  # how they do: by one of the two


def predicts_ratings(recommender: Recommender) -> bool:
    """Whether a score is a rating, so that it has an error in stars; choices are none, and what those of a black box
    are nobody knows.
    """
    return not (isinstance(recommender, BlackBox) or recommender.learns_choices)


def validate(recommender: Recommender, ratings: Ratings, seed: int, dataset: str) -> pd.DataFrame:
    """How settings do on a tenth of the training ratings, held out.

    Matrix factorisation: at its number of epochs, the regularisation has the lowest error of ``REGULARIZATIONS``.
    Neural collaborative filtering, which overfits: learning rate and epochs come within 1 % of the lowest error, or
    with negatives of the highest nDCG@10, of ``LEARNING_RATES`` and up to twice the epochs. A black box has its
    author's settings, and a truncated SVD, which takes a missing rating for a zero, is no model of how many stars there
    would be.

    Args:
        recommender: the one that will be explained.
        ratings: what it will be trained on.
        seed: of the study.
        dataset: its name; with the seed it decides what is held out.

    Returns:
        schema ``schemas.VALIDATION``, the best first; no row for a black box or a truncated SVD.
    """
    if isinstance(recommender, WITHOUT_EPOCHS):
        return pd.DataFrame(columns=TRIED, dtype=np.float64)
    held_out = generator(seed, "validation", dataset).random(len(ratings)) < VALIDATION_SHARE
    kept, held_out, everybody = ratings.select(~held_out), ratings.select(held_out), range(ratings.n_users)
    if isinstance(recommender, MatrixFactorization):
        tried = {value: recommender.model_copy(update={"regularization": value}) for value in REGULARIZATIONS}
        tried.setdefault(recommender.regularization, recommender)
        rows = [
            {"regularization": value, "validation_rmse": rmse(each.fit(kept).scores(everybody), held_out)}
            for value, each in tried.items()
        ]
    else:

        def quality(scores: np.ndarray) -> dict[str, float]:
            if predicts_ratings(recommender):
                return {"validation_rmse": rmse(scores, held_out)}
            return {"validation_ndcg_10": ndcg(scores, kept, held_out)}

        twice = {"epochs": 2 * recommender.epochs}
        rows = [
            {"learning_rate": rate, "epochs": epoch} | quality(state.scores(everybody))
            for rate in sorted({*LEARNING_RATES, recommender.learning_rate})
            for epoch, state in enumerate(
                recommender.model_copy(update=twice | {"learning_rate": rate}).trajectory(kept), start=1
            )
        ]
    table = pd.DataFrame(rows, columns=TRIED)
    table = table.sort_values("validation_ndcg_10", ascending=False, kind="stable")
    return table.sort_values("validation_rmse", kind="stable", ignore_index=True)


def verdict(recommender: Recommender, tried: pd.DataFrame) -> str:
    """Whether the recommender's settings are those that ``validate`` asks for, in words."""
    if tried.empty:
        whose = "the study's" if isinstance(recommender, TruncatedSVD) else "its author's"
        return f"the settings are {whose}: none is chosen here"
    names = [name for name in SETTINGS if tried[name].notna().any()]
    measure, said = ("rmse", "lowest error") if predicts_ratings(recommender) else ("ndcg_10", "highest nDCG@10")
    chosen = tried[(tried[names] == [getattr(recommender, name) for name in names]).all(axis=1)].iloc[0]
    best = tried.iloc[0]
    own, top = chosen[f"validation_{measure}"], best[f"validation_{measure}"]
    if isinstance(recommender, MatrixFactorization):
        right = own == top
    else:
        right = max(own, top) <= CLOSE_TO_BEST * min(own, top)
    settings = ", ".join(f"{name} {best[name]:g}" for name in names)
    follows = "as the rule asks" if right else "NOT what the rule asks: another world than the rule's"
    return f"{said} {top:.4f} at {settings}; the cell's settings have {own:.4f}: {follows}"


def learning_curve(recommender: Recommender, train: Ratings, test: Ratings) -> pd.DataFrame:
    """Error and objective over twice the recommender's epochs: schema ``schemas.CURVE``; one row where it has
    none, and no row for a black box.

    With negatives, the objective is that on the training ratings and those of the epoch before.
    """

    def states() -> Iterator:
        if isinstance(recommender, BlackBox):
            return
        if isinstance(recommender, TruncatedSVD):
            yield recommender.fit(train)
        else:
            yield from recommender.model_copy(update={"epochs": 2 * recommender.epochs}).trajectory(train)

    rows, epochs = [], getattr(recommender, "epochs", 1)
    shown = {*range(0, 2 * epochs, max(1, epochs // POINTS)), epochs, 2 * epochs}
    for epoch, state in enumerate(states(), start=1):
        if epoch in shown:
            scores = state.scores(range(train.n_users))
            errors = [rmse(scores, each) if predicts_ratings(recommender) else np.nan for each in (train, test)]
            if hasattr(recommender, "objective"):
                objective = recommender.objective(state, train)
            elif predicts_ratings(recommender):
                objective = errors[0] ** 2
            else:
                objective = _cross_entropy(scores, train, recommender.sampled_negatives(train, epoch - 1))
            rows.append((epoch, *errors, objective))
    return pd.DataFrame(rows, columns=["epoch", "train_rmse", "test_rmse", "objective"])


def _cross_entropy(scores: np.ndarray, chosen: Ratings, negatives: np.ndarray) -> float:
    """In nats, a mean over the choices and their negatives (n, k); ``scores`` (n_users, n_items) are on [0, 1]."""
    yes, no = scores[chosen.users, chosen.items], 1 - scores[chosen.users[:, None], negatives]
    right = np.concatenate([yes, no.ravel()]).astype(np.float64)
    return float(-np.log(np.maximum(right, np.finfo(np.float32).eps)).mean())  # float32 rounds a score to 1


def convergence(recommender: Recommender, curve: pd.DataFrame) -> str:
    """Whether the objective of ``learning_curve`` has converged at the recommender's epochs, in words."""
    if isinstance(recommender, BlackBox):
        return "its author decides when its training ends"
    if isinstance(recommender, TruncatedSVD):
        return "solved, not trained by epochs: the arg min to rounding"
    epochs = recommender.epochs
    now, later = curve.set_index("epoch")["objective"].loc[[epochs, 2 * epochs]]
    gain = f"{epochs} epochs more lower the objective by {1 - later / now:.2%}"
    if not isinstance(recommender, MatrixFactorization):
        return f"{gain}: stopped early, before the arg min of eq. (1)"
    converged = later * CLOSE_TO_BEST > now
    return f"{gain}: " + ("converged" if converged else "NOT converged: stopped before the arg min of eq. (1)")


def signal(
    recommender: Recommender,
    trained: Model,
    ratings: Ratings,
    users: Sequence[int],
    size: int,
    seed: int,
    watchers: int = 4,
) -> dict[str, float]:
    """How far a deletion moves the scores of its user, and those of others: noise, where recorded effects drown.

    Args:
        recommender: retrained without one random ``size``-item deletion of each of the ``users``.
        trained: what it makes of all ``ratings``.
        ratings: what it is trained on.
        users: who delete.
        size: items deleted.
        seed: of the study.
        watchers: how many others are looked at for each deletion.

    Returns:
        ``own_change``, ``others_change``: mean |score after - score before| over the items with a rating, of the
        deleting users and of the others, in the units of the scores; and ``own_top1_changed`` of ``own`` deleting
        users, ``others_top1_changed`` of ``others``: who is recommended another item then.
    """
    deletions, watched = [], []
    watchable = np.flatnonzero(with_candidates(ratings, recommender.remove_seen))
    for user in users:
        (deletion,) = sample_deletions(ratings, int(user), size, 1, seed)
        others = watchable[watchable != user]
        chosen = generator(seed, "watchers", int(user)).choice(others, min(watchers, len(others)), replace=False)
        watched += [int(user), *chosen.tolist()]
        deletions += [deletion] * (1 + len(chosen))
    everybody = sorted(set(watched))
    before = trained.scores(everybody)[np.searchsorted(everybody, watched)]
    after = recommender.retrain(ratings, deletions, watched)
    changes = np.abs(after - before)[:, ratings.rated].mean(axis=1)
    eligible = [candidates(ratings, user, recommender.remove_seen) for user in watched]
    tops = [[top_items(*each, 1)[0] for each in zip(scores, eligible, strict=True)] for scores in (before, after)]
    moved = np.not_equal(*tops)
    own = np.array([user == deletion.user for user, deletion in zip(watched, deletions, strict=True)])
    found = {}
    for name, who in (("own", own), ("others", ~own)):
        found |= {name: int(who.sum()), f"{name}_change": float(changes[who].mean())}
        found[f"{name}_top1_changed"] = int(moved[who].sum())
    return found
