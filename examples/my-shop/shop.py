"""The recommender of the shop: anything with ``fit`` and ``scores`` will do."""

import numpy as np


class SimilarItems:
    """Recommends what is most similar to what a customer rated, the better the rating the more.

    Args:
        neighbours: how many similar items each item has.
    """

    def __init__(self, neighbours):
        self.neighbours = neighbours

    def fit(self, ratings):
        """``users``, ``items`` and ``values`` have one entry a rating, the first two below ``n_users``, ``n_items``."""
        table = np.zeros((ratings.n_users, ratings.n_items))
        table[ratings.users, ratings.items] = ratings.values
        unit = table / np.maximum(np.linalg.norm(table, axis=0), 1e-9)
        cosine = unit.T @ unit
        np.fill_diagonal(cosine, 0)
        weakest = np.sort(cosine, axis=1)[:, [-self.neighbours]]
        self.table, self.similar = table, np.where(cosine < weakest, 0, cosine)

    def scores(self, user):
        """One per item, the best highest."""
        return self.similar @ self.table[user]
