"""Figure 8: the surrogates' training rows in the plane, and in numbers how well a line or a forest tells them apart."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..method.features import SurrogateData
from .settings import ProjectionConfig

RESAMPLES = 1000


class Points(NamedTuple):
    """Some rows of eq. (7).

    Attributes:
        users: int32 (m,).
        features: float32 (m, p + 2q), eq. (8).
        effects: (m,), Δŷ.
    """

    users: np.ndarray
    features: np.ndarray
    effects: np.ndarray


def draw(data: SurrogateData, config: ProjectionConfig, rng: np.random.Generator) -> Points:
    """``config.points`` rows of the first ``config.users`` users, in random order; all of them where fewer."""
    data = data.select(np.isin(data.users, pd.unique(data.users)[: config.users]))
    rows = rng.permutation(data.effects.size)[: config.points]
    return Points(data.users[rows // data.effects.shape[1]], data.features(rows), data.effects.ravel()[rows])


def project(features: np.ndarray, perplexity: float, rng: np.random.Generator) -> np.ndarray:
    """float32 (m, 2): t-SNE (van der Maaten and Hinton, JMLR 2008) of standardised features (m, F), from their first
    two principal components.

    Raises:
        ValueError: there are no more rows than ``perplexity``.
    """
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=int(rng.integers(2**31)), n_jobs=1)
    return tsne.fit_transform(StandardScaler().fit_transform(features))


def separability(points: Points, folds: int, rng: np.random.Generator) -> pd.DataFrame:
    """How well a linear probe (ridge and logistic regression on standardised features) and a non-linear one
    (gradient-boosted trees) tell effects apart: the very rows that they are fitted to, and each row by a fit without
    its user.

    The intervals hold 95 % of the values over resamples of the users (a percentile bootstrap; Efron and Tibshirani
    1993, chapter 13), all rows of a user at once, the probes as they are.

    Args:
        points: rows.
        folds: of the cross-validation, grouped by user.
        rng: seeds the trees, and draws the resamples.

    Returns:
        probe, r2 (of Δŷ) and auc (of "Δŷ is above its median"), and their ends _low and _high, without its user;
        r2_fitted and auc_fitted, of the rows fitted to. Without anything to learn, the former are a little below 0 and
        0.5: a fold that lies high is predicted from others that lie low.

    Raises:
        ValueError: fewer users than folds; or those of one fold alone have an effect above the median, or at most
            there.
    """
    seed = int(rng.integers(2**31))
    _, of_user = np.unique(points.users, return_inverse=True)
    n_users = of_user.max() + 1
    times = rng.multinomial(n_users, np.full(n_users, 1 / n_users), size=RESAMPLES)
    probes = {
        "linear": (make_pipeline(StandardScaler(), Ridge()), make_pipeline(StandardScaler(), LogisticRegression())),
        "non-linear": (
            HistGradientBoostingRegressor(random_state=seed),
            HistGradientBoostingClassifier(random_state=seed),
        ),
    }
    effects, above = points.effects, points.effects > np.median(points.effects)
    held_out = {"groups": points.users, "cv": GroupKFold(folds)}
    if any(len(np.unique(above[fitted])) < 2 for fitted, _ in GroupKFold(folds).split(above, groups=points.users)):
        raise ValueError(
            "the users of one fold alone have an effect above the median, or at most there: record more deletions or "
            "users before comparing probes"
        )
    rows = []
    for name, (regressor, classifier) in probes.items():
        predicted = cross_val_predict(regressor, points.features, effects, **held_out)
        chances = cross_val_predict(classifier, points.features, above, method="predict_proba", **held_out)
        known = classifier.fit(points.features, above).predict_proba(points.features)[:, 1]
        row = {
            "probe": name,
            "r2_fitted": regressor.fit(points.features, effects).score(points.features, effects),
            "auc_fitted": roc_auc_score(above, known),
        }
        for figure, score, resampled, truth, guess in (
            ("r2", r2_score, _r2, effects, predicted),
            ("auc", roc_auc_score, _auc, above, chances[:, 1]),
        ):
            again = resampled(times, of_user, truth, guess)
            row |= {figure: score(truth, guess)}
            row |= dict(zip((f"{figure}_low", f"{figure}_high"), np.nanquantile(again, [0.025, 0.975]), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _r2(times: np.ndarray, of_user: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """``r2_score`` of each resample: float64 (m,), NaN where all that was drawn is equal.

    Args:
        times: (m, n_users), how often each user is drawn.
        of_user: (n,), number of each row's user.
        truth, predicted: (n,).
    """
    truth = truth.astype(np.float64)
    centred = truth - truth.mean()  # little is lost where squares are subtracted below
    columns = np.ones(len(truth)), centred, centred**2, (truth - predicted) ** 2
    rows, total, squares, unexplained = (times @ np.bincount(of_user, each) for each in columns)
    varies = squares - total**2 / rows
    return 1 - unexplained / np.where(varies > 1e-12 * squares, varies, np.nan)


def _auc(times: np.ndarray, of_user: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """``roc_auc_score`` of each resample, the share of pairs in order (Hanley and McNeil, Radiology 1982), equals half:
    float64 (m,), NaN where a class was not drawn. Pairs are counted once for each two users.

    Args:
        times, of_user, predicted: see ``_r2``.
        truth: bool (n,).
    """
    user = np.eye(times.shape[1])[of_user]
    order = np.argsort(predicted[~truth])
    lower = np.vstack([np.zeros(times.shape[1]), np.cumsum(user[~truth][order], axis=0)])
    found = [np.searchsorted(predicted[~truth][order], predicted[truth], side) for side in ("left", "right")]
    in_order = user[truth].T @ (lower[found[0]] + lower[found[1]]) / 2
    pairs = (times @ user[truth].sum(axis=0)) * (times @ user[~truth].sum(axis=0))
    return ((times @ in_order) * times).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)
