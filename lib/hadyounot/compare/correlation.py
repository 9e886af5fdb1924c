"""How well what is said of an item set without retraining follows what really deleting it does (Figure 7).

The paper shows one user and the baselines; the surrogates stand beside them here, on users whom none of them has seen.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr, ttest_1samp

from ..method import effects
from ..method.features import Representation
from ..method.outcomes import Outcomes
from ..method.surrogates import Surrogate
from ..retrain.ratings import Ratings
from . import influence, knn


def predictions(surrogate: Surrogate, representation: Representation, outcomes: Outcomes) -> np.ndarray:
    """g(u, D, i; α) for each deletion and target, see ``Surrogate.predict``: float64 (n, N).

    A user's targets are always the same, and deletions of one size.
    """
    predicted = np.empty(outcomes.targets.shape)
    for user in np.unique(outcomes.users).tolist():
        rows = np.flatnonzero(outcomes.users == user)
        deleted = np.array([outcomes.deletions[row].items for row in rows])
        items, places = np.unique(deleted, return_inverse=True)
        for k, target in enumerate(outcomes.targets[rows[0]].tolist()):
            predicted[rows, k] = surrogate.predict(
                representation.user_embeddings[user],
                representation.item_features(user, target, items)[places.reshape(deleted.shape)],
                representation.item_embeddings[target],
            )
    return predicted


def measured(
    ratings: Ratings,
    item_embeddings: np.ndarray,
    outcomes: Outcomes,
    distances: Mapping[str, str],
    changes: Mapping[str, influence.Changes],
    predicted: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """What each measure says of each deleted set, and the truth, for the user's top item.

    Distances are as the paper draws them: KNN takes the nearest, so it is right where they correlate negatively with
    the decrease. Influence has the sign of removal, as everything else: more is a larger decrease.

    Args:
        ratings: the original training ratings.
        item_embeddings: (n_items, q), the space of KNN.
        outcomes: of n deletions, really retrained.
        distances: metric by name, see ``knn.distances``.
        changes: of ``influence.removals``, by name.
        predicted: (n, N) by surrogate, see ``predictions``.
    """
    users = outcomes.users
    columns = {name: np.full(len(users), np.nan) for name in (*distances, *changes)}
    place = np.empty(ratings.n_items, dtype=np.int64)  # of an item in the user's history
    for user in np.unique(users).tolist():
        rows = np.flatnonzero(users == user)
        history, target = ratings.history(user), int(outcomes.targets[rows[0], 0])
        place[history] = np.arange(len(history))
        deleted = place[[outcomes.deletions[row].items for row in rows]]
        for name, metric in distances.items():
            of_items = knn.distances(item_embeddings, history, target, metric)
            columns[name][rows] = of_items[deleted].mean(axis=1)
        for name, change in changes.items():
            columns[name][rows] = -change(user, target)[deleted].sum(axis=1)
    columns |= {name: of_rows[:, 0] for name, of_rows in predicted.items()}
    decrease = outcomes.score_before[:, 0].astype(np.float64) - outcomes.score_after[:, 0]
    return pd.DataFrame({"user": users, "score_decrease": decrease, **columns})


def correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Each measure against the true score decrease, user by user.

    Args:
        frame: see ``measured``.

    Returns:
        One row per user and measure: user, measure, n_sets, pearson, spearman, pearson_low, pearson_high (95 %, by
        Fisher's z); NaN where the measure or the decrease is constant, or there is no such measure.
    """
    rows = []
    for user, sets in frame.groupby("user", sort=False):
        truth = sets["score_decrease"]
        for name in sets.columns.drop(["user", "score_decrease"]):
            found = [np.nan] * 4
            if min(truth.nunique(), sets[name].nunique()) > 1:
                pearson = pearsonr(sets[name], truth)
                spearman = spearmanr(sets[name], truth).statistic
                found = [pearson.statistic, spearman, *pearson.confidence_interval(0.95)]
            rows.append((user, name, len(sets), *found))
    return pd.DataFrame(
        rows, columns=["user", "measure", "n_sets", "pearson", "spearman", "pearson_low", "pearson_high"]
    )


def quality(users: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """How well effects are predicted: the columns of the table of surrogate quality from n_users on, NaN for empty.

    Args:
        users: (n,), user of each deletion.
        truth: (n, N), Δŷ of each target.
        predicted: (n, N), larger where the effect should be.
    """
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    centred = [pd.DataFrame(each) for each in (truth, predicted)]
    centred = [(each - each.groupby(users).transform("mean")).to_numpy() for each in centred]
    of_users = []
    for user in np.unique(users):
        theirs = zip(truth[users == user].T, predicted[users == user].T, strict=True)
        of_targets = [_order(true, guess) for true, guess in theirs if np.ptp(true) > 0]
        if of_targets:
            of_users.append(pd.DataFrame(of_targets, columns=["spearman", "lift", "lift_best"]).mean())
    of_users = pd.DataFrame(of_users, columns=["spearman", "lift", "lift_best"], dtype=np.float64)
    row = {"n_users": len(of_users), "n_rows": truth.size}
    row["r2"] = _explained(truth - truth.mean(), predicted - truth.mean())
    row["r2_within"] = _explained(*centred)
    for name in ("spearman", "lift"):
        values = of_users[name].dropna()
        low, high = ttest_1samp(values, 0).confidence_interval(0.95) if len(values) > 1 else (np.nan, np.nan)
        row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
    return row | {"lift_best": of_users["lift_best"].mean()}


def _explained(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the sum of squares of ``truth`` that ``predicted`` explains; NaN where there is none."""
    total = (truth**2).sum()
    return 1 - ((truth - predicted) ** 2).sum() / total if total else np.nan


def _order(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """Rank correlation, lift of the deletion predicted best (the mean of equals) and of the truly best one. A constant
    orders nothing: its rank correlation counts as 0, as does its lift.
    """
    spearman = spearmanr(truth, predicted).statistic if np.ptp(predicted) > 0 else 0.0
    lifts = (truth - truth.mean()) / truth.std()
    return spearman, lifts[predicted == predicted.max()].mean(), lifts.max()


def surrogate_quality(
    outcomes: Outcomes,
    predicted: Mapping[str, np.ndarray],
    frame: pd.DataFrame,
    regressions: Collection[str],
    beside: Collection[str],
) -> pd.DataFrame:
    """Each surrogate on all targets, and on the top item alone, where influence functions stand beside them.

    Args:
        outcomes: of n deletions, really retrained.
        predicted: (n, N) by surrogate.
        frame: ``measured`` of both.
        regressions: surrogates that predict Δŷ_reg itself; what orders without predicting it has no R².
        beside: columns of ``frame`` that order sets of the top item: influence functions.

    Returns:
        One row per predictor and number of targets: predictor, n_targets, and what ``quality`` returns.
    """
    users, truth = frame["user"].to_numpy(), effects.reg(outcomes)
    of_top = {name: frame[[name]].to_numpy() for name in beside}
    of_top |= {name: of_rows[:, :1] for name, of_rows in predicted.items()}
    rows = []
    of_every = predicted if truth.shape[1] > 1 else {}
    for n_targets, some in ((truth.shape[1], of_every), (1, of_top)):
        for name, of_rows in some.items():
            row = {"predictor": name, "n_targets": n_targets} | quality(users, truth[:, :n_targets], of_rows)
            if name not in regressions:
                row |= {"r2": np.nan, "r2_within": np.nan}
            rows.append(row)
    return pd.DataFrame(rows)
