"""One cell of a study: its settings, its users, and what earlier stages left for it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..method.outcomes import candidates, with_candidates
from ..retrain.base import Model, Recommender
from ..retrain.ratings import Ratings
from ..retrain.settings import RECOMMENDERS, BlackBoxConfig
from ..rng import generator
from ..settings import ConfigError
from . import paths, schemas, store
from .config import ModelConfig, StudyConfig
from .factory import resolved


def recommender(settings: ModelConfig, seed: int) -> Recommender:
    """What a study's model says, in a study of this seed.

    Raises:
        ConfigError: as ``factory.resolved``.
    """
    _, module, name = RECOMMENDERS[settings.kind]
    kind = getattr(importlib.import_module(module), name)
    if settings.seed:
        seed = int(generator(seed, "model", settings.seed).integers(2**31))
    if not isinstance(settings, BlackBoxConfig):
        return kind(**settings.model_dump() | {"seed": seed})
    return kind(resolved(settings, seed), settings.factors, settings.remove_seen)


@dataclass(frozen=True)
class Cell:
    """A (dataset, model) pair of a study whose artefacts lie below ``folder``.

    Attributes:
        study: what it is told of the study, narrowed to this cell.
        dataset, model: its names.
        folder: of the run.
        makes: whether the run is being made, so that artefacts are written; a finished one is only read.
        file: the study's, where it is known.
    """

    study: StudyConfig
    dataset: str
    model: str
    folder: Path
    makes: bool = False
    file: Path | None = None

    @classmethod
    def all_of(cls, study: StudyConfig, folder: Path, file: Path | None = None) -> list[Self]:
        """The cells of a study, of that file, whose run is finished."""
        pairs = [(cell.dataset, cell.model) for cell in study.cells]
        return [cls(study.of(*pair), *pair, folder, file=file) for pair in pairs]

    @property
    def name(self) -> str:
        """What figures and files call it."""
        return f"{self.dataset}_{self.model}"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.study.title(self.dataset, self.model)

    @property
    def kind(self) -> str:
        """Of its recommender."""
        return self.study.models[self.model].kind

    def path(self, pattern: str, **names: str) -> Path:
        """Where the artefact of ``paths`` lies."""
        return self.folder / pattern.format(dataset=self.dataset, model=self.model, **names)

    def read(self, pattern: str, **names: str) -> Any:
        """The artefact of ``paths``: a data frame, arrays by name, or what JSON holds.

        Raises:
            StoreError: it is damaged, or not there.
        """
        path = self.path(pattern, **names)
        try:
            return store.read(path, schemas.BY_PATH.get(pattern))
        except FileNotFoundError:
            command = paths.command(str(path.relative_to(self.folder)), self.folder, self.file)
            said = f"{path} is not there: this run has not come so far; make it: {command}"
            if not self.folder.is_dir():
                said = f"there is no folder {self.folder}: name that of a run, or make it: {command}"
            raise store.StoreError(said) from None

    def kept(self, make: Callable[[], tuple], *patterns: str, **names: str) -> tuple:
        """Artefacts of ``paths``, one for each pattern: what ``make`` returns is written where the run is being made.
        In any case they are read, so that a notebook opened on a finished run shows the same and writes nothing.
        """
        if self.makes:
            for pattern, value in zip(patterns, make(), strict=True):
                store.write(self.path(pattern, **names), value, schemas.BY_PATH.get(pattern))
        return tuple(self.read(pattern, **names) for pattern in patterns)

    def recommender(self, seed_name: str | None = None) -> Recommender:
        """The cell's recommender; a ``seed_name`` gives it initial weights of their own."""
        seed = self.study.seed
        if seed_name is not None:
            seed = int(generator(seed, seed_name).integers(2**31))
        return recommender(self.study.models[self.model], seed)

    @cached_property
    def trained(self) -> Model:
        """θ̂: the model that is explained."""
        return self.recommender().fit(self.train)

    @cached_property
    def ratings(self) -> Ratings:
        """All ratings of the dataset."""
        users, items = self.read(paths.USERS), self.read(paths.ITEMS)
        return Ratings(
            users=self._table["user"].to_numpy(),
            items=self._table["item"].to_numpy(),
            values=self._table["value"].to_numpy(),
            user_ids=users["id"].to_numpy(dtype=object),
            item_ids=items["id"].to_numpy(dtype=object),
            titles=items["title"].to_numpy(dtype=object),
        )

    @cached_property
    def _table(self) -> Any:
        return self.read(paths.RATINGS)

    @cached_property
    def train(self) -> Ratings:
        """S: the ratings that recommenders are trained on."""
        return self.ratings.select(np.flatnonzero(self._table["train"]))

    @cached_property
    def test(self) -> Ratings:
        """The ratings kept back."""
        return self.ratings.select(np.flatnonzero(~self._table["train"]))

    @cached_property
    def explainable_users(self) -> np.ndarray:
        """int64: users whose training history holds at least ``explanation_size`` items but not all there are, so that
        something is left to recommend, the same on every reading; in random order.
        """
        histories = np.bincount(self.train.users, minlength=self.train.n_users)
        long_enough = histories >= self.study.explanation.explanation_size
        users = np.flatnonzero(long_enough & with_candidates(self.train))
        return generator(self.study.seed, "users", self.dataset).permutation(users)

    def _users(self, start: int, count: int, asked: str) -> np.ndarray:
        if start + count > len(self.explainable_users):
            raise ConfigError(
                f"{self.dataset} has {len(self.explainable_users)} users with at least"
                f" {self.study.explanation.explanation_size} training items, but {asked} is {start + count}: lower it"
                " (whoever rated every item is not among them)"
            )
        return self.explainable_users[start : start + count]

    def candidates(self, user: int) -> np.ndarray:
        """bool (n_items,): what may be recommended to the user; see ``outcomes.candidates``."""
        return candidates(self.train, user, self.study.models[self.model].remove_seen)

    @property
    def training_users(self) -> np.ndarray:
        """U^tr: int64, the users whose simulated deletions train the surrogates."""
        return self._users(0, self.study.counterfactual.training_users, "counterfactual.training_users")

    @property
    def test_users(self) -> np.ndarray:
        """int64, the users who are explained; disjoint from ``training_users``."""
        asked = "counterfactual.training_users + explanation.test_users"
        return self._users(self.study.counterfactual.training_users, self.study.explanation.test_users, asked)
