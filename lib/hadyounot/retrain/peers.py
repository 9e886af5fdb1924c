"""Recommenders of other libraries, for ``BlackBox``: ``pip install "hadyounot[peers]"``.

Both number users and items by our indices. Numbering them anew from the ratings that a deletion leaves, as their
own loaders do, hands other users and items other random initial weights: noise that looks like an effect.
"""

import importlib
from types import ModuleType

import numpy as np
from scipy.sparse import csr_matrix

from .ratings import Ratings


def _peer(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'{error.name} is missing: pip install "hadyounot[peers]"') from error


class ImplicitALS:
    """Alternating least squares (Hu, Koren, Volinsky, ICDM 2008) of ``implicit``; a rating is a confidence.

    Args:
        seed: of the initial weights.
        settings: those of ``implicit.cpu.als.AlternatingLeastSquares``.
    """

    def __init__(self, seed: int = 0, **settings):
        # sums of many threads come in any order
        model = _peer("implicit.cpu.als").AlternatingLeastSquares
        self._model = model(random_state=seed, num_threads=1, **settings)

    def fit(self, ratings: Ratings) -> None:
        """Users and items without a rating keep their rows, of a table that never shrinks."""
        shape = ratings.n_users, ratings.n_items
        table = csr_matrix((ratings.values, (ratings.users, ratings.items)), shape=shape)
        self._model.fit(table, show_progress=False)

    @property
    def user_embeddings(self) -> np.ndarray:
        """float32 (n_users, factors)."""
        return self._model.user_factors

    @property
    def item_embeddings(self) -> np.ndarray:
        """float32 (n_items, factors)."""
        return self._model.item_factors

    def scores(self, user: int) -> np.ndarray:
        """float32 (n_items,): preferences, 0 for none to 1, about."""
        return self.item_embeddings @ self.user_embeddings[user]


class SurpriseSVD:
    """Biased matrix factorisation of ``scikit-surprise``.

    Args:
        seed: of the initial weights.
        settings: those of ``surprise.SVD``.
    """

    def __init__(self, seed: int = 0, **settings):
        self._surprise = _peer("surprise")
        self._model = self._surprise.SVD(random_state=seed, **settings)

    def fit(self, ratings: Ratings) -> None:
        """Ratings are passed over by user (index), and within a user in the order given, whatever is deleted."""
        by_user: dict[int, list[tuple[int, float]]] = {}
        by_item: dict[int, list[tuple[int, float]]] = {}
        order, _ = ratings.rows_by_user
        columns = (column[order].tolist() for column in (ratings.users, ratings.items, ratings.values))
        for user, item, value in zip(*columns, strict=True):
            by_user.setdefault(user, []).append((item, value))
            by_item.setdefault(item, []).append((user, value))
        self._items = range(ratings.n_items)
        self._model.fit(
            self._surprise.Trainset(
                ur=by_user,
                ir=by_item,
                n_users=ratings.n_users,
                n_items=ratings.n_items,
                n_ratings=len(ratings),
                rating_scale=(float(ratings.values.min()), float(ratings.values.max())),
                raw2inner_id_users={user: user for user in range(ratings.n_users)},
                raw2inner_id_items={item: item for item in range(ratings.n_items)},
            )
        )

    @property
    def user_embeddings(self) -> np.ndarray:
        """float64 (n_users, n_factors)."""
        return self._model.pu

    @property
    def item_embeddings(self) -> np.ndarray:
        """float64 (n_items, n_factors)."""
        return self._model.qi

    def scores(self, user: int) -> np.ndarray:
        """float64 (n_items,), in the units of the ratings and not clipped to their range, where many would tie."""
        return np.array([self._model.predict(user, item, clip=False).est for item in self._items])
