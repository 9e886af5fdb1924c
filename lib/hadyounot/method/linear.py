"""Linear surrogates (section 4.2): LASSO of eq. (3), logistic regression of eq. (4); and an additive control."""

import warnings
from dataclasses import dataclass, fields, replace
from typing import Self

import numba
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import Ridge, lars_path_gram
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import MultiLabelBinarizer

from .features import SurrogateData
from .outcomes import Outcomes
from .settings import LassoConfig, LogisticConfig
from .surrogates import Fit, grouped_folds, occurring_classes, scales, standardisation


@dataclass(frozen=True, eq=False)
class LinearSurrogate:
    """Additive in the blocks of its features. On those of eq. (8) what is best to delete depends on neither the target
    nor φ_u.

    Attributes:
        user_weights: float64 (p,).
        item_weights: float64 (F,), of the sum over the deleted items.
        target_weights: float64 (q,).
        intercept: float64 ().
    """

    user_weights: np.ndarray
    item_weights: np.ndarray
    target_weights: np.ndarray
    intercept: np.ndarray

    def predict(self, user_embedding: np.ndarray, deleted: np.ndarray, target_embedding: np.ndarray) -> np.ndarray:
        """float64 (m,); see `Surrogate`."""
        constant = user_embedding @ self.user_weights + target_embedding @ self.target_weights + self.intercept
        return deleted.sum(axis=1) @ self.item_weights + constant

    def deletion_weights(self, item_features: np.ndarray) -> np.ndarray:
        """What deleting each item adds to the prediction: (m, F) -> float64 (m,)."""
        return item_features @ self.item_weights

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All there is to save."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """What ``to_arrays`` saved."""
        return cls(**arrays)


def _chosen(curve: pd.DataFrame, loss: str) -> tuple[float, pd.Series]:
    """The penalty of lowest mean held-out loss over the folds (the larger of equals), and the means there."""
    means = curve.groupby("penalty").mean().sort_index(ascending=False)
    return means[loss].idxmin(), means.loc[means[loss].idxmin()]


# --- LASSO, eq. (3) -------------------------------------------------------------------------------------------

RIDGE = 1e-10  # of features of variance 1: equal ones share their weight, and what is solved stays well-conditioned


def _moments(data: SurrogateData) -> np.ndarray:
    """Σ v v' over all rows, v = [1, features, effect]: float64 (F + 2, F + 2)."""
    features = data.features(np.arange(data.effects.size))
    rows = np.column_stack([np.ones(len(features)), features, data.effects.ravel()])
    return rows.T @ rows


def _correlations(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlations of the features (F, F), covariances of standardised features with the effect (F,), scales (F,)."""
    mean = moments[0, 1:] / moments[0, 0]
    covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
    scale = scales(mean[:-1], np.diag(covariance)[:-1])
    return covariance[:-1, :-1] / np.outer(scale, scale), covariance[:-1, -1] / scale, scale


def _lasso(moments: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """[intercept, weights] at each penalty (descending), of unscaled features: float64 (len(penalties), F + 1).

    With correlations C and covariances c, the LASSO is min ½w'Cw - c'w + penalty·|w|₁, linear in the penalty between
    the knots that least angle regression finds (Efron et al., Annals of Statistics 2004, 3.1). ``RIDGE`` on the
    diagonal lets C be singular.
    """
    correlation, covariance, scale = _correlations(moments)
    unit = penalties[-1]  # the path may end 1e-7 from where it should, whatever the unit
    knots, _, path = lars_path_gram(
        covariance / unit,
        correlation + RIDGE * np.eye(len(correlation)),
        n_samples=1,
        method="lasso",
        alpha_min=1,
        max_iter=100_000,
    )
    path[np.abs(path) < 1e-12 * np.abs(path).max()] = 0  # what left the path left a rounding error
    weights = np.column_stack([np.interp(penalties / unit, knots[::-1], each[::-1]) for each in path]) * unit / scale
    mean = moments[0, 1:] / moments[0, 0]
    return np.column_stack([mean[-1] - weights @ mean[:-1], weights])


def fit_lasso(
    data: SurrogateData,
    folds: int,
    config: LassoConfig,
    rng: np.random.Generator,
    least_penalty: bool = False,
    grouped: bool = True,
) -> Fit:
    """LASSO of Δŷ_reg on eq. (8): squared loss of eq. (7), features standardised, intercept not penalised.

    Exact, from sums over rows gathered user by user in float64. The penalty (stars, scikit-learn's ``alpha``) is
    the one of lowest mean held-out squared error over folds grouped by user; all users are then refitted with it.

    Args:
        data: rows.
        folds: of the cross-validation.
        config: the penalties.
        rng: draws the folds.
        least_penalty: leave only the smallest of the penalties to choose from.
        grouped: whether all deletions of a user are in one fold; else each is in any, and users leak.

    Returns:
        curve: penalty, fold, mse (stars²), r2, n_rows, all on the held-out users of the fold.
        report: penalty, and the folds' mean mse and r2 there; weights, how many are not zero.

    Raises:
        ValueError: fewer users than folds, or all effects are equal.
    """
    if not np.ptp(data.effects) > 0:  # a rounding error of what does not vary is no effect
        raise ValueError("all effects are equal; record more deletions or users before fitting a surrogate")
    fold_of = grouped_folds(data.users, folds, rng) if grouped else rng.permutation(len(data.users)) % folds
    moments = np.zeros((folds, *2 * (2 + sum(data.widths),)))
    for user, fold in np.unique([data.users, fold_of], axis=1).T:
        moments[fold] += _moments(data.select((data.users == user) & (fold_of == fold)))
    everything = moments.sum(axis=0)
    largest = np.abs(_correlations(everything)[1]).max()
    if not largest > 0:
        raise ValueError("no effect varies with any feature; record more deletions or users before fitting a surrogate")
    penalties = np.geomspace(largest, largest * config.path_ratio, config.penalties)
    curve = []
    for fold, held_out in enumerate(moments):
        weights = _lasso(everything - held_out, penalties)
        residual = np.column_stack([-weights, np.ones(len(penalties))])  # effect - prediction, in terms of a row
        mse = np.einsum("kf,fg,kg->k", residual, held_out, residual) / held_out[0, 0]
        variance = held_out[-1, -1] / held_out[0, 0] - (held_out[0, -1] / held_out[0, 0]) ** 2
        # equal effects have no variance to explain: 0, as scikit-learn has it
        r2 = 1 - mse / variance if variance > 0 else np.zeros_like(mse)
        columns = {"mse": mse, "r2": r2, "n_rows": int(held_out[0, 0])}
        curve.append(pd.DataFrame({"penalty": penalties, "fold": fold, **columns}))
    curve = pd.concat(curve, ignore_index=True)
    penalty, means = _chosen(curve[curve["penalty"] == penalties[-1]] if least_penalty else curve, "mse")
    weights = _lasso(everything, penalties[penalties >= penalty])[-1]
    report = {"penalty": penalty, "mse": means["mse"], "r2": means["r2"], "weights": np.count_nonzero(weights[1:])}
    return Fit(_linear(weights, data), curve, report)


def _linear(weights: np.ndarray, data: SurrogateData) -> LinearSurrogate:
    """The surrogate of [intercept, weights]."""
    # contiguous, as they will be when read from a file: products with a strided array differ in the last bit
    user, item, target = np.split(np.ascontiguousarray(weights[1:]), np.cumsum(data.widths)[:-1])
    return LinearSurrogate(user, item, target, weights[0])


@numba.njit(cache=True)
def _softmax_sums(
    users, targets, of_user, of_deletion, of_item, crossed, weights, phi, by_user, by_deletion, by_item, by_weights
):
    """Σ over rows of log Σ_c exp(logit), and its gradients in the parts of the logits, which are added to.

    The logits of a row are of_user + of_deletion + of_item, and what its target φ_i makes of ``crossed`` (n, C, q) by
    ``weights`` (C, q, classes). Where nothing is crossed their exponentials are products, and the exponential
    function is not needed within the loop. Sums are taken in row order, so they are the same every time.
    """
    n_targets, n_classes, n_crossed, q = targets.shape[1], of_user.shape[1], crossed.shape[1], crossed.shape[2]
    exp_item = np.exp(of_item)
    base, exp_deletion, exp_row = np.empty(n_classes), np.empty(n_classes), np.empty(n_classes)
    pull, push = np.empty((n_classes, q)), np.empty((n_classes, q))
    total = 0.0
    for d in range(len(users)):
        u = users[d]
        for c in range(n_classes):
            base[c] = of_user[u, c] + of_deletion[d, c]
        top = base.max()
        for c in range(n_classes):
            exp_deletion[c] = np.exp(base[c] - top)
            for f in range(q):
                pull[c, f] = 0.0
                push[c, f] = 0.0
                for j in range(n_crossed):
                    pull[c, f] += crossed[d, j, f] * weights[j, f, c]
        for k in range(n_targets):
            i = targets[d, k]
            row, highest = 0.0, top
            if n_crossed:
                for c in range(n_classes):
                    logit = base[c] + of_item[i, c]
                    for f in range(q):
                        logit += pull[c, f] * phi[i, f]
                    exp_row[c] = logit
                highest = exp_row.max()
                for c in range(n_classes):
                    exp_row[c] = np.exp(exp_row[c] - highest)
            else:
                for c in range(n_classes):
                    exp_row[c] = exp_deletion[c] * exp_item[i, c]
            for c in range(n_classes):
                row += exp_row[c]
            total += highest + np.log(row)
            for c in range(n_classes):
                share = exp_row[c] / row
                by_deletion[d, c] += share
                by_item[i, c] += share
                if n_crossed:
                    for f in range(q):
                        push[c, f] += share * phi[i, f]
        for c in range(n_classes):
            by_user[u, c] += by_deletion[d, c]
            for j in range(n_crossed):
                for f in range(q):
                    by_weights[j, f, c] += crossed[d, j, f] * push[c, f]
    return total


def _parts(weights: np.ndarray, data: SurrogateData) -> tuple[np.ndarray, ...]:
    """Parts of the logits by user (with the intercept), deletion and item, and the weights (C, q, classes) of what is
    crossed, for [intercept, weights] (F + 1, classes).
    """
    user, deletion, target = np.split(weights[1:], np.cumsum(data.widths)[:-1])
    fixed, crossed = np.split(deletion, [data.deletion_features.shape[1]])
    return (
        data.user_embeddings @ user + weights[0],
        data.deletion_features @ fixed,
        data.item_embeddings @ target,
        crossed.reshape(*data.crossed.shape[1:], weights.shape[1]),
    )


def _logits(weights: np.ndarray, data: SurrogateData) -> np.ndarray:
    """Of every row: (n, N, classes)."""
    of_user, of_deletion, of_item, crossed = _parts(weights, data)
    phi = data.item_embeddings[data.targets]
    product = np.einsum("njq,jqc,nkq->nkc", data.crossed, crossed, phi, optimize=True)
    return (of_user[data.users] + of_deletion)[:, None] + of_item[data.targets] + product


class _Softmax:
    """Mean cross-entropy of eq. (7), plus penalty/2 times the squared weights of standardised features."""

    def __init__(self, data: SurrogateData, labels: np.ndarray, n_classes: int):
        blocks = ("user_embeddings", "deletion_features", "item_embeddings", "crossed")
        self.data = replace(data, **{name: getattr(data, name).astype(np.float64) for name in blocks})
        self.mean, self.scale = standardisation(self.data)
        self.shape = (len(self.mean) + 1, n_classes)
        truth = np.eye(n_classes)[labels]  # (n, N, classes)
        by_deletion, phi = truth.sum(axis=1), self.data.item_embeddings[data.targets]
        by_user, by_item = (np.zeros((len(each), n_classes)) for each in (data.user_embeddings, data.item_embeddings))
        np.add.at(by_user, data.users, by_deletion)
        np.add.at(by_item, data.targets, truth)
        by_weights = np.einsum("njq,nkc,nkq->jqc", self.data.crossed, truth, phi, optimize=True)
        self.truth = by_user, by_deletion, by_item, by_weights  # sums over the rows of each class

    def unscaled(self, standardised: np.ndarray) -> np.ndarray:
        """[intercept, weights] (F + 1, C) of the features as they are, from those of standardised features."""
        standardised = standardised.reshape(self.shape)
        weights = standardised[1:] / self.scale[:, None]
        return np.vstack([standardised[0] - self.mean @ weights, weights])

    def loss(self, standardised: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        """The objective and its gradient, flat."""
        data = self.data
        parts = _parts(self.unscaled(standardised), data)
        sums = [np.zeros_like(part) for part in parts]
        loss = _softmax_sums(data.users, data.targets, *parts[:3], data.crossed, parts[3], data.item_embeddings, *sums)
        loss -= sum(np.vdot(count, part) for count, part in zip(self.truth, parts, strict=True))
        n_rows = data.effects.size
        by_user, by_deletion, by_item, by_weights = (
            (expected - count) / n_rows for expected, count in zip(sums, self.truth, strict=True)
        )
        intercept = by_user.sum(axis=0)
        gradient = np.vstack(
            [
                data.user_embeddings.T @ by_user,
                data.deletion_features.T @ by_deletion,
                by_weights.reshape(-1, len(intercept)),
                data.item_embeddings.T @ by_item,
            ]
        )
        gradient = (gradient - np.outer(self.mean, intercept)) / self.scale[:, None]
        weights = standardised.reshape(self.shape)[1:]
        gradient = np.vstack([intercept, gradient + penalty * weights])
        return loss / n_rows + penalty / 2 * (weights**2).sum(), gradient.ravel()

    def fit(self, penalty: float, start: np.ndarray) -> np.ndarray:
        """The minimiser, flat and standardised."""
        options = {"gtol": 1e-6, "ftol": 0, "maxiter": 1000}
        found = minimize(self.loss, start, args=(penalty,), jac=True, method="L-BFGS-B", options=options)
        if not found.success:
            warnings.warn(f"logistic regression at penalty {penalty:g}: {found.message}", stacklevel=2)
        return found.x


def fit_logistic(data: SurrogateData, folds: int, config: LogisticConfig, rng: np.random.Generator) -> Fit:
    """Multinomial logistic regression of Δŷ_clf on eq. (8): cross-entropy of eq. (7) over the classes that occur.

    Features are standardised; an L2 penalty (times half the squared weights, beside the mean cross-entropy) holds
    the weights, not the intercepts. It is the one of lowest mean held-out cross-entropy over folds grouped by user;
    all users are then refitted with it. The surrogate predicts the centred logit of "ranked lower": the logit of +1
    minus the mean of all logits, which softmax does not determine otherwise.

    Returns:
        curve: penalty, fold, log_loss (nats), accuracy, n_rows, all on the held-out users of the fold.
        report: penalty, and the folds' mean log_loss and accuracy there; majority, the most frequent class's share.

    Raises:
        ValueError: fewer users than folds, +1 never occurs, or no other class does.
    """
    classes, labels = occurring_classes(data.effects)
    fold_of = grouped_folds(data.users, folds, rng)
    curve = []
    for fold in range(folds):
        held_out, truth = data.select(fold_of == fold), labels[fold_of == fold]
        softmax = _Softmax(data.select(fold_of != fold), labels[fold_of != fold], len(classes))
        weights = np.zeros(softmax.shape).ravel()
        for penalty in sorted(config.penalties, reverse=True):
            weights = softmax.fit(penalty, weights)
            logits = _logits(softmax.unscaled(weights), held_out)
            loss = -np.take_along_axis(log_softmax(logits, axis=-1), truth[..., None], axis=-1).mean()
            accuracy = (logits.argmax(axis=-1) == truth).mean()
            curve.append((penalty, fold, loss, accuracy, truth.size))
    curve = pd.DataFrame(curve, columns=["penalty", "fold", "log_loss", "accuracy", "n_rows"])
    penalty, means = _chosen(curve, "log_loss")
    softmax = _Softmax(data, labels, len(classes))
    weights = softmax.unscaled(softmax.fit(penalty, np.zeros(softmax.shape).ravel()))
    report = {"penalty": penalty, "log_loss": means["log_loss"], "accuracy": means["accuracy"]}
    report["majority"] = np.bincount(labels.ravel()).max() / labels.size
    return Fit(_linear(weights[:, -1] - weights.mean(axis=1), data), curve, report)


# --- a control ------------------------------------------------------------------------------------------------


def additive_r2(outcomes: Outcomes, effects: np.ndarray, folds: int, rng: np.random.Generator) -> float:
    """How predictable the effects are where *which* items are deleted is known: what eq. (8) could have carried.

    For every user and target a model of its own, ridge regression (penalty 1) on which items of the history are
    deleted, as datamodels do (Ilyas et al., ICML 2022). A high value says that a poor surrogate lacks
    representation, not signal.

    Args:
        outcomes: of n deletions.
        effects: (n, N), Δŷ.
        folds: of each user's deletions; users with fewer than two deletions a fold are passed over.
        rng: assigns folds.

    Returns:
        R² on held-out deletions against the mean effect of the same user and target, pooled over both; NaN where no
        user has enough deletions, or none that differ.
    """
    users = outcomes.users
    unexplained = total = 0.0
    for user in np.unique(users):
        rows = np.flatnonzero(users == user)
        if len(rows) < 2 * folds:
            continue
        deleted = MultiLabelBinarizer().fit_transform([outcomes.deletions[row].items for row in rows])
        split = PredefinedSplit(rng.permutation(np.arange(len(rows)) % folds))
        effect = effects[rows].astype(np.float64)
        unexplained += ((effect - cross_val_predict(Ridge(alpha=1), deleted, effect, cv=split)) ** 2).sum()
        total += ((effect - effect.mean(axis=0)) ** 2).sum()
    return 1 - unexplained / total if total else float("nan")
