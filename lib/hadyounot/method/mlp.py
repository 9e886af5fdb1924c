"""Multi-layer perceptrons as surrogates of eq. (3) and (4) (section 4.2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .features import SurrogateData
from .settings import MlpConfig
from .surrogates import Fit, grouped_folds, occurring_classes, standardisation


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
        """All there is to save."""
        layers = range(len(self.weights))
        return {f"weights_{i}": self.weights[i] for i in layers} | {f"biases_{i}": self.biases[i] for i in layers}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """What ``to_arrays`` saved."""
        layers = range(len(arrays) // 2)
        return cls(tuple(arrays[f"weights_{i}"] for i in layers), tuple(arrays[f"biases_{i}"] for i in layers))


Network = MLPRegressor | MLPClassifier
Score = Callable[[Network, np.ndarray, np.ndarray], dict[str, float]]
"""(network, features, effects as the network learnt them) -> how well it predicts them, the loss first."""


def _epochs(
    kind: type[Network], data: SurrogateData, config: MlpConfig, rng: np.random.Generator, **classes: Any
) -> Iterator[tuple[Network, np.ndarray, np.ndarray]]:
    """The network after each epoch of Adam on minibatches, and what its inputs are standardised by: mean and scale."""
    mean, scale = standardisation(data)
    effects = data.effects.ravel()
    batch_size = min(config.batch_size, effects.size)
    network = kind(
        hidden_layer_sizes=config.hidden,
        batch_size=batch_size,
        learning_rate_init=config.learning_rate,
        alpha=0.0,
        shuffle=False,
        random_state=int(rng.integers(2**31)),
    )
    while True:
        shuffled = rng.permutation(effects.size)
        # full batches only: Adam would give a few left-over rows the step of a whole batch
        for rows in shuffled[: len(shuffled) // batch_size * batch_size].reshape(-1, batch_size):
            network.partial_fit(_standardised(data, rows, mean, scale), effects[rows], **classes)
        yield network, mean, scale


def _standardised(data: SurrogateData, rows: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return ((data.features(rows) - mean) / scale).astype(np.float32)


def _fit(
    kind: type[Network],
    data: SurrogateData,
    folds: int,
    config: MlpConfig,
    rng: np.random.Generator,
    score: Score,
    **classes: Any,
) -> tuple[list[np.ndarray], list[np.ndarray], pd.DataFrame, dict[str, float]]:
    """Weights and biases, for inputs as they are, of a network that learnt from all users for as many epochs as predict
    held-out users best; what that was chosen from, and its means there.
    """
    fold_of, streams = grouped_folds(data.users, folds, rng), rng.spawn(folds + 1)
    held_out = [data.select(fold_of == fold) for fold in range(folds)]
    training = [_epochs(kind, data.select(fold_of != fold), config, streams[fold], **classes) for fold in range(folds)]
    curve = []
    for epoch in range(1, config.max_epochs + 1):  # all folds side by side, so that none goes on for nothing
        for fold, (unseen, states) in enumerate(zip(held_out, training, strict=True)):
            network, *by = next(states)
            rows = np.arange(unseen.effects.size)
            scores = score(network, _standardised(unseen, rows, *by), unseen.effects.ravel())
            curve.append({"epoch": epoch, "fold": fold} | scores | {"n_rows": len(rows)})
        means = pd.DataFrame(curve).drop(columns=["fold", "n_rows"]).groupby("epoch").mean()
        epochs = int(means.iloc[:, 0].idxmin())
        if epoch - epochs >= config.patience:
            break
    network, mean, scale = next(islice(_epochs(kind, data, config, streams[-1], **classes), epochs - 1, None))
    weights, biases = list(network.coefs_), list(network.intercepts_)
    weights[0] = weights[0] / scale[:, None]
    biases[0] = biases[0] - mean @ weights[0]
    return weights, biases, pd.DataFrame(curve), {"epoch": epochs, **means.loc[epochs]}


def _mlp(weights: list[np.ndarray], biases: list[np.ndarray]) -> MlpSurrogate:
    return MlpSurrogate(tuple(w.astype(np.float32) for w in weights), tuple(b.astype(np.float32) for b in biases))


def fit_mlp_reg(data: SurrogateData, folds: int, config: MlpConfig, rng: np.random.Generator) -> Fit:
    """Perceptron for Δŷ_reg: squared loss of eq. (7), minibatches of Adam. It is given what the LASSO is given: as many
    epochs as have the lowest mean held-out loss over folds grouped by user, of those up to ``config.patience`` after;
    all users are then learnt from.

    Inputs and effects are standardised for training; predictions are in stars.

    Returns:
        curve: epoch, fold, mse (stars²), r2, n_rows, all on the held-out users of the fold.
        report: epoch, and the folds' mean mse and r2 there.

    Raises:
        ValueError: fewer users than folds, or all effects are equal.
    """
    mean, scale = data.effects.mean(dtype=np.float64), data.effects.std(dtype=np.float64)
    if not np.ptp(data.effects) > 0:
        raise ValueError("all effects are equal; record more deletions or users before fitting a surrogate")

    def score(network: MLPRegressor, features: np.ndarray, effects: np.ndarray) -> dict[str, float]:
        predicted = network.predict(features)
        return {"mse": mean_squared_error(effects, predicted) * scale**2, "r2": r2_score(effects, predicted)}

    standardised = replace(data, effects=((data.effects - mean) / scale).astype(np.float32))
    weights, biases, curve, report = _fit(MLPRegressor, standardised, folds, config, rng, score)
    weights[-1], biases[-1] = weights[-1] * scale, biases[-1] * scale + mean
    return Fit(_mlp(weights, biases), curve, report)


def fit_mlp_clf(data: SurrogateData, folds: int, config: MlpConfig, rng: np.random.Generator) -> Fit:
    """Perceptron for Δŷ_clf: cross-entropy of eq. (7) over the classes that occur, else as `fit_mlp_reg`.

    The surrogate predicts the centred logit of "ranked lower", as `fit_logistic`'s does.

    Returns:
        curve: epoch, fold, log_loss (nats), accuracy, n_rows, all on the held-out users of the fold.
        report: epoch, and the folds' mean log_loss and accuracy there; majority, the most frequent class's share.

    Raises:
        ValueError: fewer users than folds, +1 never occurs, or no other class does.
    """
    classes, labels = occurring_classes(data.effects)

    def score(network: MLPClassifier, features: np.ndarray, effects: np.ndarray) -> dict[str, float]:
        probabilities = network.predict_proba(features)
        accuracy = (classes[probabilities.argmax(axis=1)] == effects).mean()
        return {"log_loss": log_loss(effects, probabilities, labels=classes), "accuracy": accuracy}

    weights, biases, curve, report = _fit(MLPClassifier, data, folds, config, rng, score, classes=classes)
    if len(classes) == 2:  # scikit-learn's one output is then the logit of +1 minus the other's
        weights[-1], biases[-1] = weights[-1] / 2, biases[-1] / 2
    else:
        weights[-1] = (weights[-1][:, -1] - weights[-1].mean(axis=1))[:, None]
        biases[-1] = (biases[-1][-1] - biases[-1].mean())[None]
    return Fit(_mlp(weights, biases), curve, report | {"majority": np.bincount(labels.ravel()).max() / labels.size})
