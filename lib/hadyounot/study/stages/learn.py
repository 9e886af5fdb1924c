"""Notebook 40, and what the ablations learn: step 2, eq. (7)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...method import effects
from ...method.choices import ENCODERS
from ...method.features import Representation, product_sets
from ...method.linear import LinearSurrogate, additive_r2, fit_lasso, fit_logistic
from ...method.mlp import MlpSurrogate, fit_mlp_clf, fit_mlp_reg
from ...method.outcomes import Outcomes, record, sample_deletions
from ...method.surrogates import Fit, Surrogate
from ...rng import generator
from ...settings import ConfigError
from .. import paths, schemas
from ..cell import Cell
from ..methods import SURROGATES, Learner, Method, Sample
from .simulate import simulated

_EFFECTS = {each.__name__: each for each in (effects.reg, effects.clf, effects.rank, effects.cross, effects.score)}


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted surrogate.

    Attributes:
        learner: what was asked for; where its products were to be chosen, those that were.
        surrogate: what predicts.
        representation: what it is to be told of the items that may be deleted.
        report: the chosen penalty or epoch, and the held-out figures there.
    """

    learner: Learner
    surrogate: Surrogate
    representation: Representation
    report: dict[str, float]


@dataclass
class Fits:
    """The surrogates of one cell: each is fitted once, and not at all where the run keeps it.

    Attributes:
        cell: whose outcomes are learnt from.
        fitted: by ``Learner.key``.
        curves: what choices were made from, by key, of what was fitted here.
        simulated: models retrained here, for samples of deletions that step 1 has not.
    """

    cell: Cell
    fitted: dict[str, Learned] = field(default_factory=dict)
    curves: dict[str, pd.DataFrame] = field(default_factory=dict)
    simulated: dict[Sample, int] = field(default_factory=dict)
    _sampled: dict[Sample, Outcomes] = field(default_factory=dict)

    @cached_property
    def outcomes(self) -> Outcomes:
        """All that step 1 recorded."""
        return simulated(self.cell)

    def learned(self, learner: Learner) -> Learned:
        """The surrogate that ``learner`` asks for."""
        if learner.products is None:
            tried = [self.learned(one) for one in choices(self.cell, learner)]
            return max(tried, key=lambda found: found.report["r2"])
        if learner.key not in self.fitted:
            fit, told = self._fit(learner)
            report = {name: float(value) for name, value in fit.report.items()}
            self.fitted[learner.key] = Learned(learner, fit.surrogate, told, report)
            self.curves[learner.key] = fit.curve
        return self.fitted[learner.key]

    def _fit(self, learner: Learner) -> tuple[Fit, Representation]:
        study, seed = self.cell.study, self.cell.study.seed
        settings, told = study.surrogates, representation(self.cell, learner)
        learnt = self.sampled(learner.sample)
        if learner.readmitted:
            learnt = learnt.readmitted()
        effect = _EFFECTS[learner.effect](learnt)
        if learner.surrogate in ENCODERS:
            from ...method.sets import fit_set_network  # torch takes a second to import

            rng = generator(seed, "ablation", "set_network")  # the same held-out users for all
            return fit_set_network(learner.surrogate, told, learnt, effect, study.ablations.set_networks, rng), told
        data = told.data(learnt, effect)
        # folds and held-out users are those of the paper's surrogate of that kind, so variants differ in nothing else
        match learner.surrogate, learner.effect:
            case "lasso", _:
                rng = generator(seed, "surrogate", "linear_reg")
                choice = learner.least_penalty, not learner.ungrouped
                return fit_lasso(data, settings.folds, settings.lasso, rng, *choice), told
            case "logistic", _:
                rng = generator(seed, "surrogate", "linear_clf")
                return fit_logistic(data, settings.folds, settings.logistic, rng), told
            case "mlp", "clf":
                return fit_mlp_clf(data, settings.folds, settings.mlp, generator(seed, "surrogate", "mlp_clf")), told
            case "mlp", _:
                return fit_mlp_reg(data, settings.folds, settings.mlp, generator(seed, "surrogate", "mlp_reg")), told
        raise ValueError(f"{learner.key}: there is no surrogate {learner.surrogate!r}")

    def sampled(self, sample: Sample) -> Outcomes:
        """What is learnt from: outcomes of step 1, or of deletions of another size, really retrained.

        Users whose history is smaller than the deletions are left out.
        """
        if sample not in self._sampled:
            self._sampled[sample] = self._sample(sample)
        return self._sampled[sample]

    def _sample(self, sample: Sample) -> Outcomes:
        cell, users = self.cell, self.cell.training_users[: sample.users].tolist()
        if sample.size is None:
            if sample.users is sample.deletions is None:
                return self.outcomes
            rows = [np.flatnonzero(self.outcomes.users == user)[: sample.deletions] for user in users]
            return self.outcomes.select(np.concatenate(rows))
        deletions = []
        for user in users:
            n = len(cell.train.history(user))
            size = int(sample.size) if sample.size >= 1 else max(1, round(sample.size * n))
            if size <= n:
                deletions += sample_deletions(cell.train, user, size, sample.deletions, cell.study.seed)
        long_enough, folds = len({deletion.user for deletion in deletions}), cell.study.surrogates.folds
        if long_enough < folds:
            raise ConfigError(
                f"ablations.deletion_sizes: {long_enough} training users of {cell.dataset} × {cell.model} have "
                f"{sample.size} items, too few for surrogates.folds = {folds}; remove {sample.size}"
            )
        self.simulated[sample] = len(deletions)
        counts = cell.study.counterfactual
        return record(cell.recommender(), cell.train, deletions, counts.n_targets, cell.trained)


def choices(cell: Cell, learner: Learner) -> list[Learner]:
    """The learner itself; or, where its products are to be chosen, one for each choice."""
    if learner.products is not None:
        return [learner]
    return [replace(learner, products=some) for some in product_sets(*embeddings(cell))]


def embeddings(cell: Cell, biases: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """φ_u: float32 (n_users, p), and φ_i: float32 (n_items, q), of the model that is explained; with its ``biases``,
    if it has any, appended.
    """
    arrays, parts = cell.read(paths.EMBEDDINGS), ["embeddings", "biases"][: 1 + biases]
    return tuple(np.hstack([arrays[f"{side}_{part}"] for part in parts]) for side in ("user", "item"))


def representation(cell: Cell, learner: Learner) -> Representation:
    """What a surrogate is told about a deletion; eq. (8) where the learner asks for nothing else."""
    mask = np.eye(cell.train.n_items, dtype=np.int8) if learner.mask else None
    residuals = cell.read(paths.EMBEDDINGS)["residuals"]
    return Representation(*embeddings(cell, learner.biases), learner.products, mask, cell.train, residuals)


def learn(fits: Fits, methods: Iterable[Method]) -> dict[str, Learned]:
    """What each method that learns is to predict with, by its name: equal learners are fitted once."""
    return {method.name: fits.learned(method.learner) for method in methods if method.learner}


def surrogates(cell: Cell) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fit and keep the surrogates of all methods, and those that were tried on the way.

    Returns:
        by name, ``fits``: the report of each by ``Learner.key``; ``methods``: the key of each method's;
        ``indifferent``: see there; ``retrained``: models, for samples of deletions that step 1 has not, the original
        included; and ``additive_r2``: how well held-out deletions of the same user are predicted where each user and
        target has a model of its own, None where nobody has deletions enough; and schema ``schemas.SURROGATE_CURVES``.
    """

    def make() -> tuple:
        fits = Fits(cell)
        learned = learn(fits, SURROGATES)
        arrays = {
            f"{key}/{name}": array
            for key, found in fits.fitted.items()
            for name, array in found.surrogate.to_arrays().items()
        }
        folds, rng = cell.study.surrogates.folds, generator(cell.study.seed, "surrogate", "control")
        ceiling = additive_r2(fits.outcomes, effects.reg(fits.outcomes), folds, rng)
        facts = {
            "fits": {key: found.report for key, found in fits.fitted.items()},
            "methods": {name: found.learner.key for name, found in learned.items()},
            "indifferent": indifferent(learned),
            "retrained": sum(fits.simulated.values()) + bool(fits.simulated),
            "additive_r2": None if np.isnan(ceiling) else ceiling,
        }
        curves = pd.concat([curve.assign(surrogate=key) for key, curve in fits.curves.items()], ignore_index=True)
        return arrays, facts, curves.reindex(columns=list(schemas.SURROGATE_CURVES.columns))

    _, facts, curves = cell.kept(make, paths.SURROGATES, paths.SURROGATE_FITS, paths.SURROGATE_CURVES)
    return facts, curves


def indifferent(learned: Mapping[str, Learned]) -> list[str]:
    """Linear surrogates, by name of their method, without any weight on deleted items, so that all explanations tie."""
    linear = {name: each.surrogate for name, each in learned.items() if isinstance(each.surrogate, LinearSurrogate)}
    return [name for name, surrogate in linear.items() if not surrogate.item_weights.any()]


def kept_fits(cell: Cell) -> Fits:
    """The surrogates that ``surrogates`` kept; any other is fitted when it is asked for."""
    arrays, facts = cell.read(paths.SURROGATES), cell.read(paths.SURROGATE_FITS)
    fits = Fits(cell)
    for learner in [each for method in SURROGATES for each in choices(cell, method.learner)]:
        parts = {
            name.removeprefix(f"{learner.key}/"): arrays[name] for name in arrays if name.startswith(f"{learner.key}/")
        }
        surrogate = _kind(learner).from_arrays(parts)
        told = representation(cell, learner)
        fits.fitted[learner.key] = Learned(learner, surrogate, told, facts["fits"][learner.key])
    return fits


def _kind(learner: Learner) -> type[Surrogate]:
    if learner.surrogate in ENCODERS:
        from ...method.sets import SetSurrogate  # torch takes a second to import

        return SetSurrogate
    return MlpSurrogate if learner.surrogate == "mlp" else LinearSurrogate
