"""One cell of a study: its settings, its users and what earlier stages left for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..method import outcomes
from ..method.features import Representation
from ..method.linear import LinearSurrogate
from ..method.mlp import MlpSurrogate
from ..method.surrogates import Surrogate
from ..retrain.base import Recommender
from ..retrain.blackbox import BlackBox
from ..retrain.mf import MatrixFactorization
from ..retrain.ncf import NeuralCollaborativeFiltering
from ..retrain.ratings import Ratings
from ..rng import generator
from . import config, paths, reading, schemas, store

RECOMMENDERS = {"mf": MatrixFactorization, "ncf": NeuralCollaborativeFiltering, "blackbox": BlackBox.from_config}


@dataclass(frozen=True)
class Cell:
    """A (dataset, model) pair of a study whose artefacts lie below ``folder``."""

    study: config.StudyConfig
    dataset: str
    model: str
    folder: Path

    def path(self, pattern: str, **names: str) -> Path:
        """Where the artefact of ``paths`` lies."""
        return self.folder / pattern.format(dataset=self.dataset, model=self.model, **names)

    def recommender(self, seed_name: str | None = None) -> Recommender:
        """The cell's recommender; a ``seed_name`` gives it initial weights of their own."""
        seed = self.study.seed
        if seed_name is not None:
            seed = int(generator(seed, seed_name).integers(2**31))
        settings = self.study.models[self.model]
        return RECOMMENDERS[settings.kind](**settings.model_dump(), seed=seed)

    @cached_property
    def ratings(self) -> Ratings:
        """All ratings of the dataset."""
        table = store.read_parquet(self.path(paths.RATINGS), schemas.RATINGS)
        users = store.read_parquet(self.path(paths.USERS), schemas.USERS)
        items = store.read_parquet(self.path(paths.ITEMS), schemas.ITEMS)
        return Ratings(
            users=table["user"].to_numpy(),
            items=table["item"].to_numpy(),
            values=table["value"].to_numpy(),
            user_ids=users["id"].to_numpy(dtype=object),
            item_ids=items["id"].to_numpy(dtype=object),
            titles=items["title"].to_numpy(dtype=object),
        )

    @cached_property
    def _is_train(self) -> np.ndarray:
        return store.read_parquet(self.path(paths.RATINGS), schemas.RATINGS)["train"].to_numpy()

    @cached_property
    def train(self) -> Ratings:
        """S: the ratings that recommenders are trained on."""
        return self.ratings.select(np.flatnonzero(self._is_train))

    @cached_property
    def test(self) -> Ratings:
        """The ratings kept back."""
        return self.ratings.select(np.flatnonzero(~self._is_train))

    @cached_property
    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """φ_u: float32 (n_users, p), and φ_i: float32 (n_items, q)."""
        return self._trained["user_embeddings"], self._trained["item_embeddings"]

    @cached_property
    def _trained(self) -> dict[str, np.ndarray]:
        return store.read_arrays(self.path(paths.EMBEDDINGS))

    def representation(self, products: Sequence[str] = ()) -> Representation:
        """What surrogates of this cell are told about a deletion; eq. (8) without ``products``."""
        return Representation(
            *self.embeddings, tuple(products), ratings=self.train, residuals=self._trained["residuals"]
        )

    def surrogates(self) -> dict[str, tuple[Surrogate, Representation]]:
        """The fitted surrogates by name, each with what it is told of deleted items."""
        fits = json.loads(self.path(paths.SURROGATE_FITS).read_text())
        found = {}
        for name in schemas.SURROGATES:
            kind = LinearSurrogate if name.startswith("linear") else MlpSurrogate
            arrays = store.read_arrays(self.path(paths.SURROGATE, surrogate=name))
            found[name] = kind.from_arrays(arrays), self.representation(fits[name].get("products", ()))
        return found

    @cached_property
    def explainable_users(self) -> np.ndarray:
        """int64: users whose training history holds at least ``explanation_size`` items; in random order."""
        histories = np.bincount(self.train.users, minlength=self.train.n_users)
        users = np.flatnonzero(histories >= self.study.explanation.explanation_size)
        return generator(self.study.seed, "users", self.dataset).permutation(users)

    @property
    def short_histories(self) -> np.ndarray:
        """int64: explainable users with at most ``naive.max_history`` training items; in random order."""
        histories = np.bincount(self.train.users, minlength=self.train.n_users)
        users = self.explainable_users
        return users[histories[users] <= self.study.naive.max_history]

    @property
    def analysed(self) -> bool:
        """Whether ablations and analyses run on this cell."""
        return any(
            each.analysed for each in self.study.cells if (each.dataset, each.model) == (self.dataset, self.model)
        )

    @property
    def simulation(self) -> config.CounterfactualConfig:
        """Step 1 of this cell."""
        return self.study.simulation(self.dataset, self.model)

    def _users(self, start: int, count: int) -> np.ndarray:
        wanted = self.simulation.training_users + self.study.explanation.test_users
        if wanted > len(self.explainable_users):
            raise reading.ConfigError(
                f"{self.dataset} has {len(self.explainable_users)} users with at least"
                f" {self.study.explanation.explanation_size} training items, but training_users +"
                f" explanation.test_users is {wanted}: lower one of them"
            )
        return self.explainable_users[start : start + count]

    @property
    def training_users(self) -> np.ndarray:
        """U^tr: int64, the users whose simulated deletions train the surrogates."""
        return self._users(0, self.simulation.training_users)

    @property
    def test_users(self) -> np.ndarray:
        """int64, the users who are explained; disjoint from ``training_users``."""
        return self._users(self.simulation.training_users, self.study.explanation.test_users)

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks of training users."""
        return [paths.block_name(block) for block in range(self.simulation.n_blocks)]

    def block_users(self, block: str) -> np.ndarray:
        """int64, the training users of one block."""
        size = self.simulation.users_per_block
        return self.training_users[int(block) * size : (int(block) + 1) * size]

    def outcomes(self) -> outcomes.Outcomes:
        """The outcomes of all blocks."""
        return outcomes.Outcomes.concatenate(
            [outcomes.Outcomes.read(self.path(paths.OUTCOMES, block=block)) for block in self.blocks]
        )
