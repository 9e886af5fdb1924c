"""Notebook 65: Algorithm 2 on short histories."""

import numpy as np
import pandas as pd

from ...compare import naive as algorithm
from .. import paths
from ..cell import Cell


def short_histories(cell: Cell) -> np.ndarray:
    """int64: explainable users with at most ``naive.max_history`` training items; in random order."""
    histories = np.bincount(cell.train.users, minlength=cell.train.n_users)
    users = cell.explainable_users
    return users[histories[users] <= cell.study.naive.max_history]


def naive(cell: Cell) -> pd.DataFrame:
    """What every deletion up to a size does, for the first of these users: schema ``schemas.NAIVE``."""

    def make() -> tuple:
        settings, top_k = cell.study.naive, cell.study.explanation.top_k
        users = short_histories(cell)[: settings.users].tolist()
        return (algorithm.naive(cell.recommender(), cell.train, users, settings.max_size, top_k),)

    return cell.kept(make, paths.NAIVE)[0]
