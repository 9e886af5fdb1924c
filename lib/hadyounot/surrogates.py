"""Step 2: surrogates that predict, without retraining, what a deletion does to a target (section 4.2).

A row is one (deletion, target); its features are eq. (8), [φ_u, Σ φ_i of the deleted items, φ_i of the target], or
those of another ``Representation``.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Protocol, Self

import numba
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import Ridge, lasso_path
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import MultiLabelBinarizer

from .config import LassoConfig, LogisticConfig, MlpConfig
from .counterfactual import Outcomes
from .representation import SurrogateData


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
        """All there is to save; ``from_arrays`` takes it back."""


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
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        return cls(**arrays)


@dataclass(frozen=True, eq=False)
class MlpSurrogate:
    """A perceptron with rectified hidden layers and one output; the scaling of its inputs is folded into its weights.

    Attributes:
        weights: float32 (inputs, outputs) of each layer, first to last; the last has one output.
        biases: float32 (outputs,) of each layer.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def predict(self, user_embedding: np.ndarray, deleted: np.ndarray, target_embedding: np.ndarray) -> np.ndarray:
        """float32 (m,); see `Surrogate`. The user's and target's part of the first layer is computed once."""
        user, deletion, target = np.split(self.weights[0], np.cumsum([len(user_embedding), deleted.shape[-1]]))
        values = deleted.sum(axis=1) @ deletion + (user_embedding @ user + target_embedding @ target + self.biases[0])
        for weights, biases in zip(self.weights[1:], self.biases[1:], strict=True):
            values = np.maximum(values, 0, out=values) @ weights + biases
        return values[:, 0]

    def to_arrays(self) -> dict[str, np.ndarray]:
        layers = range(len(self.weights))
        return {f"weights_{i}": self.weights[i] for i in layers} | {f"biases_{i}": self.biases[i] for i in layers}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        layers = range(len(arrays) // 2)
        return cls(tuple(arrays[f"weights_{i}"] for i in layers), tuple(arrays[f"biases_{i}"] for i in layers))


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


def _folds(users: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each deletion, (n,): rows of one user share a fold, and folds differ by one user at most."""
    groups, group = np.unique(users, return_inverse=True)
    if len(groups) < folds:
        raise ValueError(
            f"{folds} folds grouped by user need {folds} training users, there are {len(groups)}; "
            "lower surrogates.folds or raise counterfactual.training_users"
        )
    return rng.permutation(np.arange(len(groups)) % folds)[group]


def _scale(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Standard deviations to divide by; infinite for a constant feature, whose standardised value is then 0."""
    return np.sqrt(np.where(variance > 1e-12 * (mean**2 + variance), variance, np.inf))


def _chosen(curve: pd.DataFrame, loss: str) -> tuple[float, pd.Series]:
    """The penalty of lowest mean held-out loss over the folds (the larger of equals), and the means there."""
    means = curve.groupby("penalty").mean().sort_index(ascending=False)
    return means[loss].idxmin(), means.loc[means[loss].idxmin()]


# --- LASSO, eq. (3) -------------------------------------------------------------------------------------------


def _moments(data: SurrogateData) -> np.ndarray:
    """Σ v v' over all rows, v = [1, features, effect]: float64 (F + 2, F + 2)."""
    features = data.features(np.arange(data.effects.size))
    rows = np.column_stack([np.ones(len(features)), features, data.effects.ravel()])
    return rows.T @ rows


def _correlations(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlations of the features (F, F), covariances of standardised features with the effect (F,), scales (F,)."""
    mean = moments[0, 1:] / moments[0, 0]
    covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
    scale = _scale(mean[:-1], np.diag(covariance)[:-1])
    return covariance[:-1, :-1] / np.outer(scale, scale), covariance[:-1, -1] / scale, scale


def _lasso(moments: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """[intercept, weights] at each penalty (descending), of unscaled features: float64 (len(penalties), F + 1).

    With correlations C and covariances c, the LASSO is min ½w'Cw - c'w + penalty·|w|₁, which is the LASSO of the
    F-row problem (R, z) where R'R = C and R'z = c. R is taken from eigenvectors, so C may be singular.
    """
    correlation, covariance, scale = _correlations(moments)
    values, vectors = np.linalg.eigh(correlation)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    root = np.sqrt(values[kept])
    rows = root[:, None] * vectors[:, kept].T
    response = vectors[:, kept].T @ covariance / root
    _, weights, _ = lasso_path(rows, response, alphas=penalties / len(rows), tol=1e-8, max_iter=100_000)
    weights = weights.T / scale
    mean = moments[0, 1:] / moments[0, 0]
    return np.column_stack([mean[-1] - weights @ mean[:-1], weights])


def fit_lasso(
    data: SurrogateData, folds: int, config: LassoConfig, rng: np.random.Generator, least_penalty: bool = False
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

    Returns:
        curve: penalty, fold, mse (stars²), r2, n_rows, all on the held-out users of the fold.
        report: penalty, and the folds' mean mse and r2 there; weights, how many are not zero.

    Raises:
        ValueError: fewer users than folds, or all effects are equal.
    """
    fold_of = _folds(data.users, folds, rng)
    moments = np.zeros((folds, *2 * (2 + sum(data.widths),)))
    for user in np.unique(data.users):
        deletions = np.flatnonzero(data.users == user)
        moments[fold_of[deletions[0]]] += _moments(data.select(deletions))
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
        columns = {"mse": mse, "r2": 1 - mse / variance, "n_rows": int(held_out[0, 0])}
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


# --- logistic regression, eq. (4) -----------------------------------------------------------------------------


def _classes(effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes that occur, ascending (+1 is the last), and each effect's index among them."""
    classes, labels = np.unique(effects, return_inverse=True)
    if classes[-1] != 1 or len(classes) < 2:
        raise ValueError(
            f"the effects' classes are {classes.tolist()}: a classifier of 'ranked lower' needs +1 and another; "
            "record more deletions or users"
        )
    return classes, labels.reshape(effects.shape).astype(np.int8)


def _standardisation(data: SurrogateData) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each feature over all rows: float64 (F,)."""
    sums = np.zeros((2, sum(data.widths)))
    for deletions in np.array_split(np.arange(len(data.users)), -(-len(data.users) // 1000)):
        part = data.select(deletions)
        features = part.features(np.arange(part.effects.size)).astype(np.float64)
        sums += features.sum(axis=0), (features**2).sum(axis=0)
    mean, square = sums / data.effects.size
    return mean, _scale(mean, square - mean**2)


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
        self.mean, self.scale = _standardisation(self.data)
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
    classes, labels = _classes(data.effects)
    fold_of = _folds(data.users, folds, rng)
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


# --- multi-layer perceptrons, eq. (3) and (4) -----------------------------------------------------------------


def held_out_users(users: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of the deletions of held-out users, (n,): a share of the users, at least one and not all."""
    groups = np.unique(users)
    if len(groups) < 2:
        raise ValueError("early stopping needs 2 training users, there is 1; raise counterfactual.training_users")
    n_held_out = min(max(1, round(share * len(groups))), len(groups) - 1)
    return np.isin(users, rng.choice(groups, n_held_out, replace=False))


def _train(
    kind: type[MLPRegressor | MLPClassifier],
    score: Callable[[MLPRegressor | MLPClassifier, np.ndarray], dict[str, float]],
    data: SurrogateData,
    held_out: np.ndarray,
    config: MlpConfig,
    rng: np.random.Generator,
    **classes: np.ndarray,
) -> tuple[list[np.ndarray], list[np.ndarray], pd.DataFrame, dict[str, float]]:
    """Weights and biases, for inputs as they are, of the epoch of lowest held-out loss; the curve and its row there.

    The first entry of ``score(network, held-out features)`` is the loss. Early stopping alone regularises.
    """
    n_targets = data.effects.shape[1]
    mean, scale = _standardisation(data.select(~held_out))

    def standardised(rows: np.ndarray) -> np.ndarray:
        return ((data.features(rows) - mean) / scale).astype(np.float32)

    training = np.flatnonzero(np.repeat(~held_out, n_targets))
    unseen = standardised(np.flatnonzero(np.repeat(held_out, n_targets)))
    effects = data.effects.ravel()
    batch_size = min(config.batch_size, len(training))
    network = kind(
        hidden_layer_sizes=config.hidden,
        batch_size=batch_size,
        learning_rate_init=config.learning_rate,
        alpha=0.0,
        shuffle=False,
        random_state=int(rng.integers(2**31)),
    )
    curve = []
    best = np.inf
    for epoch in range(1, config.max_epochs + 1):
        shuffled = rng.permutation(training)
        # full batches only: Adam would give a few left-over rows the step of a whole batch
        for rows in shuffled[: len(shuffled) // batch_size * batch_size].reshape(-1, batch_size):
            network.partial_fit(standardised(rows), effects[rows], **classes)
        curve.append({"epoch": epoch} | score(network, unseen))
        loss = list(curve[-1].values())[1]
        if loss < best:
            best, chosen = loss, curve[-1]
            weights, biases = [w.copy() for w in network.coefs_], [b.copy() for b in network.intercepts_]
        elif epoch - chosen["epoch"] >= config.patience:
            break
    weights[0] = weights[0] / scale[:, None]
    biases[0] = biases[0] - mean @ weights[0]
    return weights, biases, pd.DataFrame(curve), chosen


def _mlp(weights: list[np.ndarray], biases: list[np.ndarray]) -> MlpSurrogate:
    return MlpSurrogate(tuple(w.astype(np.float32) for w in weights), tuple(b.astype(np.float32) for b in biases))


def fit_mlp_reg(data: SurrogateData, config: MlpConfig, rng: np.random.Generator) -> Fit:
    """Perceptron for Δŷ_reg: squared loss of eq. (7), minibatches of Adam, early-stopped on held-out users.

    Inputs and effects are standardised for training; predictions are in stars. A share of the training users is
    held out, and the epoch that predicts them best is kept.

    Returns:
        curve: epoch, mse (stars²), r2, on the held-out users.
        report: the curve's row at the epoch kept.

    Raises:
        ValueError: there are fewer than two users, or all effects are equal.
    """
    held_out = held_out_users(data.users, config.held_out_share, rng)
    seen, unseen = data.effects[~held_out], data.effects[held_out].ravel()
    mean, scale = seen.mean(dtype=np.float64), seen.std(dtype=np.float64)
    if not scale > 0:
        raise ValueError("all effects are equal; record more deletions or users before fitting a surrogate")

    def score(network: MLPRegressor, features: np.ndarray) -> dict[str, float]:
        predicted = network.predict(features) * scale + mean
        return {"mse": mean_squared_error(unseen, predicted), "r2": r2_score(unseen, predicted)}

    standardised = replace(data, effects=((data.effects - mean) / scale).astype(np.float32))
    weights, biases, curve, chosen = _train(MLPRegressor, score, standardised, held_out, config, rng)
    weights[-1], biases[-1] = weights[-1] * scale, biases[-1] * scale + mean
    return Fit(_mlp(weights, biases), curve, chosen)


def fit_mlp_clf(data: SurrogateData, config: MlpConfig, rng: np.random.Generator) -> Fit:
    """Perceptron for Δŷ_clf: cross-entropy of eq. (7) over the classes that occur, else as `fit_mlp_reg`.

    The surrogate predicts the centred logit of "ranked lower", as `fit_logistic`'s does.

    Returns:
        curve: epoch, log_loss (nats), accuracy, on the held-out users.
        report: the curve's row at the epoch kept; majority, the most frequent class's share of all rows.

    Raises:
        ValueError: there are fewer than two users, +1 never occurs, or no other class does.
    """
    classes, labels = _classes(data.effects)
    held_out = held_out_users(data.users, config.held_out_share, rng)
    unseen = data.effects[held_out].ravel()

    def score(network: MLPClassifier, features: np.ndarray) -> dict[str, float]:
        probabilities = network.predict_proba(features)
        accuracy = (classes[probabilities.argmax(axis=1)] == unseen).mean()
        return {"log_loss": log_loss(unseen, probabilities, labels=classes), "accuracy": accuracy}

    weights, biases, curve, chosen = _train(MLPClassifier, score, data, held_out, config, rng, classes=classes)
    if len(classes) == 2:  # scikit-learn's one output is then the logit of +1 minus the other's
        weights[-1], biases[-1] = weights[-1] / 2, biases[-1] / 2
    else:
        weights[-1] = (weights[-1][:, -1] - weights[-1].mean(axis=1))[:, None]
        biases[-1] = (biases[-1][-1] - biases[-1].mean())[None]
    return Fit(_mlp(weights, biases), curve, chosen | {"majority": np.bincount(labels.ravel()).max() / labels.size})


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
        R² on held-out deletions against the mean effect of the same user and target, pooled over both.

    Raises:
        ValueError: no user has enough deletions.
    """
    users = np.array([deletion.user for deletion in outcomes.deletions])
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
    if not total:
        raise ValueError(f"no user has {2 * folds} deletions that differ; raise counterfactual.deletions_per_user")
    return 1 - unexplained / total
