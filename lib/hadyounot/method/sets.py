"""Learned representations of the set of deleted items, in place of the sum of eq. (8) (section 5.3).

Each turns the embeddings φ_d into a vector, beside which φ_u and φ_i enter a linear layer as in eq. (8). All are
trained alike, on the same budget, with skorch. Every encoder takes φ_u (B, p), the deleted items' embeddings (B, e, q)
and φ_i (B, q), float32, and returns (B, hidden); ``Mean`` returns (B, q).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split
from torch import Tensor, nn

from .choices import ENCODERS
from .features import Representation
from .outcomes import Outcomes
from .settings import SetNetworkConfig
from .surrogates import Fit, held_out_users

CHUNK = 16_384  # deletions predicted at a time: bounds memory, changes no choice


class DeepSets(nn.Module):
    """ρ(Σ φ(x)) (Zaheer et al., NeurIPS 2017)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.whole = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, user: Tensor, deleted: Tensor, target: Tensor) -> Tensor:
        return self.whole(self.each(deleted).sum(dim=1))


class Attention(nn.Module):
    """A mean of the deleted items, weighted by how well they answer a question that user and target ask."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.key, self.value = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.question = nn.LazyLinear(hidden)

    def forward(self, user: Tensor, deleted: Tensor, target: Tensor) -> Tensor:
        question = self.question(torch.cat([user, target], dim=1))[:, None]
        return nn.functional.scaled_dot_product_attention(question, self.key(deleted), self.value(deleted))[:, 0]


class Transformer(nn.Module):
    """A layer of self-attention (Vaswani et al., NeurIPS 2017) among user, target and deleted items; their mean."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.items, self.user, self.target = nn.Linear(width, hidden), nn.LazyLinear(hidden), nn.LazyLinear(hidden)
        self.layer = nn.TransformerEncoderLayer(hidden, 4, 2 * hidden, dropout=0, batch_first=True)

    def forward(self, user: Tensor, deleted: Tensor, target: Tensor) -> Tensor:
        tokens = [self.user(user)[:, None], self.target(target)[:, None], self.items(deleted)]
        return self.layer(torch.cat(tokens, dim=1)).mean(dim=1)


class Mean(nn.Module):
    """The mean of the deleted items' embeddings: eq. (8) where all deletions are of one size, so what differs from the
    LASSO is how the weights are found.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()

    def forward(self, user: Tensor, deleted: Tensor, target: Tensor) -> Tensor:
        return deleted.mean(dim=1)


_ENCODERS = dict(zip(ENCODERS, (Mean, DeepSets, Attention, Transformer), strict=True))


class _Network(nn.Module):
    """[φ_u, encoder(φ_d), φ_i] in a linear layer; inputs are standardised, the output is a standardised effect."""

    def __init__(self, encoder: str, hidden: int, moments: dict[str, tuple[np.ndarray, np.ndarray]]):
        super().__init__()
        for name, (mean, scale) in moments.items():
            self.register_buffer(f"{name}_mean", torch.tensor(mean))
            self.register_buffer(f"{name}_scale", torch.tensor(scale))
        self.encoder = _ENCODERS[encoder](len(moments["deleted"][0]), hidden)
        self.output = nn.LazyLinear(1)

    def forward(self, user: Tensor, deleted: Tensor, target: Tensor) -> Tensor:
        user = (user - self.user_mean) / self.user_scale
        deleted = (deleted - self.deleted_mean) / self.deleted_scale
        target = (target - self.target_mean) / self.target_scale
        encoded = self.encoder(user, deleted, target)
        return self.output(torch.cat([user, encoded, target], dim=1))[:, 0]


class _Rows(torch.utils.data.Dataset):
    """Rows of eq. (7), the deleted items told apart, put together a minibatch at a time."""

    def __init__(self, representation: Representation, outcomes: Outcomes, effects: np.ndarray):
        self.users, self.items = representation.user_embeddings, representation.item_embeddings
        self.user_of = outcomes.users
        self.deleted = np.array([deletion.items for deletion in outcomes.deletions])
        self.targets, self.effects = outcomes.targets, effects

    def __len__(self) -> int:
        return self.targets.size

    def __getitem__(self, row: int) -> tuple[dict[str, Tensor], Tensor]:
        return self.__getitems__([row])

    def __getitems__(self, rows: list[int]) -> tuple[dict[str, Tensor], Tensor]:
        deletions, targets = np.divmod(np.asarray(rows), self.targets.shape[1])
        inputs = {
            "user": self.users[self.user_of[deletions]],
            "deleted": self.items[self.deleted[deletions]],
            "target": self.items[self.targets[deletions, targets]],
        }
        effects = torch.from_numpy(self.effects[deletions, targets])
        return {name: torch.from_numpy(values) for name, values in inputs.items()}, effects

    def moments(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of each input's coordinates, over all rows, by how often each embedding is in them."""
        inputs = {"user": (self.users, self.user_of)}
        inputs |= {"deleted": (self.items, self.deleted), "target": (self.items, self.targets)}
        times = {name: np.bincount(rows.ravel(), minlength=len(table)) for name, (table, rows) in inputs.items()}
        return {name: _location(table, times[name]) for name, (table, _) in inputs.items()}


@dataclass(frozen=True, eq=False)
class SetSurrogate:
    """A fitted network; predictions in the units of the effects it was fitted to.

    Attributes:
        encoder: of ``ENCODERS``.
        hidden: units of its layers.
        network: what predicts standardised effects.
        mean, scale: of the effects, in their units.
    """

    encoder: str
    hidden: int
    network: nn.Module
    mean: float
    scale: float

    @torch.no_grad()
    def predict(self, user_embedding: np.ndarray, deleted: np.ndarray, target_embedding: np.ndarray) -> np.ndarray:
        """float32 (m,), of m deletions: φ_u (p,), embeddings (m, e, q) of their items and φ_i (q,)."""
        user, target = (torch.from_numpy(each)[None] for each in (user_embedding, target_embedding))
        parts = [
            self.network(user.expand(len(part), -1), part, target.expand(len(part), -1))
            for part in torch.from_numpy(deleted).split(CHUNK)
        ]
        return torch.cat(parts).numpy() * np.float32(self.scale) + np.float32(self.mean)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All there is to save."""
        shape = {"encoder": self.encoder, "hidden": self.hidden, "mean": self.mean, "scale": self.scale}
        weights = {f"network.{name}": tensor.numpy() for name, tensor in self.network.state_dict().items()}
        return {name: np.array(value) for name, value in shape.items()} | weights

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """What ``to_arrays`` saved."""
        encoder, hidden, mean, scale = (arrays[name].item() for name in ("encoder", "hidden", "mean", "scale"))
        weights = {name.removeprefix("network."): value for name, value in arrays.items() if "network." in name}
        moments = {name: (weights[f"{name}_mean"], weights[f"{name}_scale"]) for name in ("user", "deleted", "target")}
        network = _Network(encoder, hidden, moments)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return cls(encoder, hidden, network.eval(), mean, scale)


def fit_set_network(
    encoder: str,
    representation: Representation,
    outcomes: Outcomes,
    effects: np.ndarray,
    config: SetNetworkConfig,
    rng: np.random.Generator,
) -> Fit:
    """A linear surrogate of effects (n, N) on a learned representation of the deleted items, which are equally many.

    Squared loss of eq. (7), minibatches of Adam, early-stopped on held-out users, the same for every learning rate of
    ``config``; the best of them is kept. Every encoder has this budget.

    Args:
        encoder: one of ``ENCODERS``.
        representation: eq. (8), without products.
        outcomes: the n deletions, of N targets each.
        effects: float (n, N).
        config: the budget.
        rng: draws who is held out, initial weights and minibatches.

    Returns:
        curve: learning_rate, epoch, mse (of standardised effects), on the held-out users.
        report: learning_rate, epoch and r2 of the network kept.

    Raises:
        ValueError: there are fewer than two users, or all effects are equal.
    """
    users = outcomes.users
    held_out = held_out_users(users, config.held_out_share, rng)
    mean, scale = float(effects[~held_out].mean(dtype=np.float64)), float(effects[~held_out].std(dtype=np.float64))
    if not scale > 0:
        raise ValueError("all effects are equal; record more deletions or users before fitting a surrogate")
    standardised = ((effects - mean) / scale).astype(np.float32)
    training, validation = (
        _Rows(representation, outcomes.select(np.flatnonzero(mask)), standardised[mask])
        for mask in (~held_out, held_out)
    )
    moments, seed, curves, best = training.moments(), int(rng.integers(2**31)), [], None
    for learning_rate in config.learning_rates:
        torch.manual_seed(seed)
        network = _Network(encoder, config.hidden, moments)
        with torch.no_grad():
            network(**training[0][0])  # sizes of the lazy layers
        net = NeuralNet(
            network,
            criterion=nn.MSELoss,
            optimizer=torch.optim.Adam,
            lr=learning_rate,
            batch_size=config.batch_size,
            max_epochs=config.max_epochs,
            train_split=predefined_split(validation),
            callbacks=[EarlyStopping(patience=config.patience, threshold=0, load_best=True)],
            iterator_train__shuffle=True,
            iterator_train__collate_fn=_as_it_is,
            iterator_valid__collate_fn=_as_it_is,
            verbose=0,
        ).fit(training)
        losses = net.history[:, "valid_loss"]
        curves.append(
            pd.DataFrame({"learning_rate": learning_rate, "epoch": np.arange(1, len(losses) + 1), "mse": losses})
        )
        if best is None or min(losses) < best[0]:
            best = min(losses), learning_rate, 1 + int(np.argmin(losses)), net.module_
    loss, learning_rate, epoch, module = best
    variance = float(standardised[held_out].var(dtype=np.float64))
    report = {"learning_rate": learning_rate, "epoch": epoch, "r2": 1 - loss / variance if variance else 0.0}
    return Fit(
        SetSurrogate(encoder, config.hidden, module.eval(), mean, scale), pd.concat(curves, ignore_index=True), report
    )


def _location(table: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, float32, where row i is there ``times[i]`` times; the deviation is
    infinite for a constant: its standardised value is 0.
    """
    mean = np.average(table, axis=0, weights=times)
    deviation = np.sqrt(np.average((table - mean) ** 2, axis=0, weights=times))
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, np.inf).astype(np.float32)


def _as_it_is(batch: object) -> object:
    return batch
