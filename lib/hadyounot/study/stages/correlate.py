"""Notebook 75: what is said of item sets without retraining, beside really deleting them (Figure 7)."""

from typing import NamedTuple

import pandas as pd

from ...compare import correlation, statistics
from ...compare.influence import removals
from ...method.outcomes import Outcomes, simulate
from .. import paths
from ..cell import Cell
from ..methods import MEASURES, SURROGATES
from .learn import embeddings, kept_fits, learn


class Correlated(NamedTuple):
    """What really deleting item sets showed.

    Attributes:
        outcomes: of the sets.
        measured: what each measure says of those of ``statistics.median_user``, schema ``schemas.MEASURED``.
        correlations: schema ``schemas.CORRELATION``.
        quality: schema ``schemas.SURROGATE_QUALITY``.
    """

    outcomes: Outcomes
    measured: pd.DataFrame
    correlations: pd.DataFrame
    quality: pd.DataFrame


def correlate(cell: Cell) -> Correlated:
    """Delete random item sets of test users, whom no surrogate has seen; and ask every measure about them."""

    def make() -> tuple:
        study = cell.study
        outcomes = simulate(
            cell.recommender(),
            cell.train,
            cell.test_users[: study.correlation.users].tolist(),
            study.explanation.explanation_size,
            study.correlation.sets,
            study.counterfactual.n_targets,
            study.seed,
            cell.trained,
        )
        learned = learn(kept_fits(cell), SURROGATES)
        predicted = {
            name: correlation.predictions(found.surrogate, found.representation, outcomes)
            for name, found in learned.items()
        }
        changes = removals(cell.trained, cell.train, cell.recommender(), study.explanation.influence)
        told = {m.measure: changes[m.option] for m in MEASURES if m.baseline == "influence" and m.option in changes}
        distances = {m.measure: m.option for m in MEASURES if m.baseline == "nearest"}
        measured = correlation.measured(cell.train, embeddings(cell)[1], outcomes, distances, told, predicted)
        measured = measured.reindex(columns=["user", "score_decrease", *(method.measure for method in MEASURES)])
        regressions = [method.name for method in SURROGATES if method.learner.effect == "reg"]
        named = {"dataset": cell.dataset, "model": cell.model}
        found = correlation.correlations(measured)
        quality = correlation.surrogate_quality(outcomes, predicted, measured, regressions, told)
        shown = measured[measured["user"] == statistics.median_user(found)[0]].reset_index(drop=True)
        for table in (found, quality):
            for place, (column, value) in enumerate(named.items()):
                table.insert(place, column, value)
        return outcomes.columns(), shown, found, quality

    outcomes, *found = cell.kept(
        make, paths.CORRELATION_OUTCOMES, paths.MEASURED, paths.CORRELATION, paths.SURROGATE_QUALITY
    )
    return Correlated(Outcomes.of(outcomes), *found)
