"""Multi-layer perceptrons as surrogates of eq. (3) and (4) (section 4.2)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .features import SurrogateData
from .settings import MlpConfig
from .surrogates import Fit, held_out_users, occurring_classes, standardisation


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
    mean, scale = standardisation(data.select(~held_out))

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
    classes, labels = occurring_classes(data.effects)
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
