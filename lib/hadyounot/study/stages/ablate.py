"""Notebook 70: one family of variants of the linear surrogate, learnt, explained and verified like the original."""

from typing import Any

import numpy as np
import pandas as pd

from ...compare import correlation
from ...method import effects
from ...method.features import product_sets
from ...method.outcomes import Outcomes
from .. import paths
from ..cell import Cell
from ..methods import Method, family
from .explain import explain
from .learn import Learned, embeddings, kept_fits, learn
from .verify import verify


def variants(cell: Cell, name: str) -> tuple[Method, ...]:
    """The methods of a family of the study, but for products that the cell's embeddings do not allow."""
    allowed = None, (), *product_sets(*embeddings(cell))
    found = family(name, cell.study.ablations, cell.study.explanation.explanation_size)
    return tuple(method for method in found if method.learner is None or method.learner.products in allowed)


def ablate(cell: Cell, name: str) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """All variants of a family.

    Returns:
        the verdicts, schema ``schemas.EVALUATION``, ``method`` being the variant; by name ``retrained``, how many
        models, and ``variants``, of each what ``quality`` and its fit say of it; and schema
        ``schemas.GENERATION_TIME``.
    """

    def make() -> tuple:
        methods, fits = variants(cell, name), kept_fits(cell)
        learned = learn(fits, methods)
        explanations, times = explain(cell, methods, learned)
        tested, retrained = verify(cell, explanations, cell.read(paths.EVALUATION))
        unseen = Outcomes.of(cell.read(paths.CORRELATION_OUTCOMES))
        facts = {
            "retrained": retrained + sum(fits.simulated.values()) + 1,  # the original
            "variants": {
                name: {"key": found.learner.key, "report": found.report} | quality(cell, found, unseen)
                for name, found in learned.items()
            },
        }
        return tested, facts, times

    return cell.kept(make, paths.ABLATION, paths.ABLATION_FITS, paths.ABLATION_TIME, family=name)


def quality(cell: Cell, learned: Learned, unseen: Outcomes) -> dict[str, float | None]:
    """How well a variant predicts Δŷ_reg of test users, whom no variant has seen: on the deletions of Figure 7.

    Returns:
        ``r2``, None where it learnt another effect or from deletions of another size, whose offset and scale differ;
        and ``spearman``, the mean rank correlation within a user and target; see ``correlation.quality``.
    """
    if learned.learner.readmitted:
        unseen = unseen.readmitted()
    predicted = correlation.predictions(learned.surrogate, learned.representation, unseen)
    found = correlation.quality(unseen.users, effects.reg(unseen), predicted)
    comparable = learned.learner.effect == "reg" and learned.learner.sample.size is None
    known = {"r2": found["r2"] if comparable else np.nan, "spearman": found["spearman"]}
    return {name: float(value) if np.isfinite(value) else None for name, value in known.items()}
