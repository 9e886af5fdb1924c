"""What a retrained neural collaborative filtering costs: ours beside PyTorch, on one core and the same minibatches.

    python benchmarks/ncf.py            some minutes; writes benchmarks/results/ncf_*.csv
    python benchmarks/ncf.py --quick    fewer ratings and repeats, no alternatives; only prints
    python benchmarks/ncf.py --shipped  one number, of whichever hadyounot is on the path; used by this script

Everything is timed by the wall clock, in interleaved repeats, on the training part of MovieLens-100K: run it on a
machine that does nothing else. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
import torch
from hadyounot import Deletion, NeuralCollaborativeFiltering, Ratings
from hadyounot.retrain import simd
from hadyounot.retrain.ncf import NeuralCollaborativeFilteringModel, _Trainer
from timing import QUICK, compared, deletions, edited, machine, movielens, publish, race
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.utils.data import DataLoader, TensorDataset

NCF = NeuralCollaborativeFiltering()
STACKED = 32
NEVER = 1e-18  # ε of Adam where steps are compared: ours goes to 0


# Competitors


class NeuMF(nn.Module):
    """As a user of PyTorch would write it."""

    def __init__(self, start: NeuralCollaborativeFilteringModel):
        super().__init__()
        self.gmf_users, self.gmf_items, self.mlp_users, self.mlp_items = (
            nn.Embedding.from_pretrained(torch.tensor(table), freeze=False)
            for table in (start.gmf_users, start.gmf_items, start.mlp_users, start.mlp_items)
        )
        layers = [self.linear(*layer) for layer in zip(start.matrices, start.biases, strict=True)]
        self.mlp = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.output = self.linear(start.output_weights[None], start.output_bias[None])

    @staticmethod
    def linear(matrix: np.ndarray, biases: np.ndarray) -> nn.Linear:
        layer = nn.Linear(*matrix.T.shape)
        layer.load_state_dict({"weight": torch.tensor(matrix), "bias": torch.tensor(biases)})
        return layer

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        hidden = self.mlp(torch.cat([self.mlp_users(users), self.mlp_items(items)], dim=1))
        both = torch.cat([self.gmf_users(users) * self.gmf_items(items), hidden], dim=1)
        return torch.sigmoid(self.output(both))[:, 0]


class Contender(NamedTuple):
    """Models that one optimiser trains: what it trains, and (models, batch) shares for users and items."""

    parameters: list[Tensor]
    predict: Callable[[Tensor, Tensor], Tensor]


def one(start: NeuralCollaborativeFilteringModel) -> Contender:
    """A model alone."""
    model = NeuMF(start)
    return Contender(list(model.parameters()), lambda users, items: model(users, items)[None])


def stacked(start: NeuralCollaborativeFilteringModel) -> Contender:
    """Models side by side in (models, ...) parameters, by ``index_select`` and ``baddbmm``."""

    def copies(array: np.ndarray) -> Tensor:
        return torch.tensor(np.tile(array, (STACKED, 1, 1)), requires_grad=True)

    tables = [copies(table) for table in (start.gmf_users, start.gmf_items, start.mlp_users, start.mlp_items)]
    weights = [*start.matrices, start.output_weights[None]], [*start.biases, start.output_bias[None]]
    layers = [(copies(matrix.T), copies(biases)) for matrix, biases in zip(*weights, strict=True)]

    def predict(users: Tensor, items: Tensor) -> Tensor:
        p, q, s, t = (table.index_select(1, rows) for table, rows in zip(tables, [users, items] * 2, strict=True))
        hidden = torch.cat([s, t], dim=2)
        for matrix, biases in layers[:-1]:
            hidden = torch.relu(torch.baddbmm(biases, hidden, matrix))
        matrix, biases = layers[-1]
        return torch.sigmoid(torch.baddbmm(biases, torch.cat([p * q, hidden], dim=2), matrix))[..., 0]

    return Contender([*tables, *(part for layer in layers for part in layer)], predict)


def mapped(start: NeuralCollaborativeFilteringModel) -> Contender:
    """The same by ``torch.func.vmap`` of the model alone."""
    model = NeuMF(start)
    parameters, _ = stack_module_state([model] * STACKED)
    predict = vmap(lambda own, users, items: functional_call(model, own, (users, items)), in_dims=(0, None, None))
    return Contender(list(parameters.values()), lambda users, items: predict(parameters, users, items))


class Task:
    """An epoch of training on ratings, for any contender: the minibatches of ``hadyounot``, which skip deletions."""

    def __init__(self, ratings: Ratings, chosen: list[Deletion]):
        trainer = _Trainer(NCF.model_copy(update={"epochs": 1}), ratings)
        self.low, self.high = float(trainer.low), float(trainer.high)
        self.n_items, self.watched = ratings.n_items, [deletion.user for deletion in chosen]
        self.start = NeuralCollaborativeFilteringModel.from_arrays(
            *trainer.initial, NCF.mlp_layers, trainer.low, trainer.high
        )
        self.users, self.items = torch.tensor(ratings.users).long(), torch.tensor(ratings.items).long()
        self.targets = torch.tensor(trainer.targets)
        self.order = torch.tensor(trainer.epochs[0].order).long()
        self.kept = torch.ones(len(ratings), len(chosen))
        for model, rows in enumerate(ratings.deleted_rows(chosen)):
            self.kept[rows, model] = 0

    def train(
        self,
        contender: Callable[[NeuralCollaborativeFilteringModel], Contender],
        loader: bool = False,
        **adam: object,
    ) -> Contender:
        models = contender(self.start)
        optimiser = torch.optim.Adam(models.parameters, lr=NCF.learning_rate, **adam)
        columns = self.users, self.items, self.targets, self.kept[:, :1] if contender is one else self.kept
        if loader:
            minibatches = DataLoader(TensorDataset(*columns), NCF.batch_size, sampler=self.order.tolist())
        else:
            minibatches = (tuple(column[rows] for column in columns) for rows in self.order.split(NCF.batch_size))
        for users, items, targets, kept in minibatches:
            optimiser.zero_grad()
            error = models.predict(users, items) - targets
            (kept.T * error**2).mean(dim=1).sum().backward()
            optimiser.step()
        return models

    @torch.no_grad()
    def scores(self, models: Contender) -> np.ndarray:
        """In stars, of all items for the deleting user of each model."""
        items = torch.arange(self.n_items)
        shares = [models.predict(torch.full_like(items, user), items) for user in self.watched]
        rows = [share[k] for k, share in enumerate(shares[: len(shares[0])])]
        return (self.low + (self.high - self.low) * torch.stack(rows)).numpy()


CONTENDERS = {  # on a CPU, Adam's default is a loop over parameters
    "PyTorch loop, one model, DataLoader, Adam as it comes": (one, {"loader": True}),
    "PyTorch loop, one model, Adam as it comes": (one, {}),
    "PyTorch loop, one model, Adam foreach": (one, {"foreach": True}),
    "PyTorch loop, one model, Adam fused": (one, {"fused": True}),
    f"PyTorch, {STACKED} models, baddbmm, Adam fused": (stacked, {"fused": True}),
    f"PyTorch, {STACKED} models, vmap, Adam fused": (mapped, {"fused": True}),
}

# Edits of the kernels in retrain/, each timed in a copy of the library
ALTERNATIVES = {
    "as shipped": [],
    "8 lanes": [("LANES = 16", "LANES = 8")],
    "32 lanes": [("LANES = 16", "LANES = 32")],
    "no skip of dead units": [("if any_positive(unit):", "if True:")],
    "units one at a time": [("while j + 4 <= fan_out:", "while j + 4 <= 0:")],
}


# The tables


def require_same_steps(ratings: Ratings) -> None:
    """All contenders end an epoch with our scores.

    Raises:
        AssertionError: a score differs by more than 1e-4 stars.
    """
    chosen = deletions(ratings, STACKED)
    task, ours = Task(ratings, chosen), NCF.model_copy(update={"epochs": 1}).retrain(ratings, chosen)
    for name, (contender, options) in CONTENDERS.items():
        theirs = task.scores(task.train(contender, **options, eps=NEVER))
        np.testing.assert_allclose(theirs, ours[: len(theirs)], atol=1e-4, rtol=0, err_msg=name)


def peers(ratings: Ratings) -> pd.DataFrame:
    """Cost per model and epoch: ours in full batches, the others in one epoch without scoring."""
    chosen = deletions(ratings, 8 * simd.LANES)
    task = Task(ratings, chosen[:STACKED])
    models = {"hadyounot retrain": len(chosen) * NCF.epochs}
    runs = {"hadyounot retrain": lambda: NCF.retrain(ratings, chosen)}
    for name, (contender, options) in CONTENDERS.items():
        models[name] = 1 if contender is one else STACKED
        runs[name] = lambda contender=contender, options=options: task.train(contender, **options)
    milliseconds = {
        name: [1e3 * each / models[name] for each in seconds] for name, seconds in race(runs, 1 if QUICK else 7).items()
    }
    ours = np.median(milliseconds["hadyounot retrain"])
    return pd.DataFrame([
        {
            "variant": name,
            "ms_per_model_and_epoch": np.median(each),
            "ms_min": min(each),
            "ms_max": max(each),
            "times_ours": np.median(each) / ours,
            "repeats": len(each),
        }
        for name, each in milliseconds.items()
    ])  # fmt: skip


def main():
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    ratings = movielens()
    if "--shipped" in sys.argv:
        chosen = deletions(ratings, 32)  # full batches of 8, 16 and 32 lanes
        seconds = np.median(race({"": lambda: NCF.retrain(ratings, chosen)}, 3)[""])
        print(1e3 * seconds / len(chosen) / NCF.epochs)
        return
    load = os.getloadavg()[0]
    few = ratings.select(np.random.default_rng(0).permutation(len(ratings))[:4000])
    require_same_steps(few)
    tables = {
        "ncf_machine": machine(load, ("torch",), lanes=simd.LANES, ratings=len(ratings), batch=NCF.batch_size),
        "ncf_peers": peers(few if QUICK else ratings),
    }
    if not QUICK:
        tables["ncf_alternatives"] = compared("kernel", edited(__file__, ALTERNATIVES, 3), "ms_per_model_and_epoch")
    publish(tables)


if __name__ == "__main__":
    main()
