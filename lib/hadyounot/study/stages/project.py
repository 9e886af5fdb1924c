"""Notebook 80: the surrogates' training rows in the plane, and how well probes tell them apart (Figure 8)."""

import numpy as np
import pandas as pd

from ...compare import separability
from ...method import effects
from ...rng import generator
from .. import paths, schemas
from ..cell import Cell
from ..methods import BASE
from .learn import representation
from .simulate import simulated


def project(cell: Cell) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The points, schema ``schemas.PROJECTION``; and the probes, schema ``schemas.SEPARABILITY``."""

    def make() -> tuple:
        settings, seed, folds = cell.study.projection, cell.study.seed, cell.study.surrogates.folds
        outcomes = simulated(cell)
        data = representation(cell, BASE.learner).data(outcomes, effects.reg(outcomes))
        points = separability.draw(data, settings, generator(seed, "projection", "draw"))
        probes = separability.separability(points, folds, generator(seed, "projection", "probes"))
        counts = {"n_users": len(np.unique(points.users)), "n_rows": len(points.effects), "folds": folds}
        named = probes.assign(dataset=cell.dataset, model=cell.model, **counts)[list(schemas.SEPARABILITY.columns)]
        x, y = separability.project(points.features, settings.perplexity, generator(seed, "projection", "t-SNE")).T
        return pd.DataFrame({"user": points.users, "x": x, "y": y, "effect": points.effects}), named

    return cell.kept(make, paths.PROJECTION, paths.SEPARABILITY)
