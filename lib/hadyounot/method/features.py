"""What a surrogate is told about a deletion: eq. (8), and target-aware additions that are ours.

Every representation here is a sum over the deleted items, so eq. (9) stays a choice of items where the surrogate is
linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy.sparse import csr_array

from ..retrain.ratings import Ratings
from .choices import PRODUCT_SETS, PRODUCTS
from .outcomes import Outcomes


@dataclass(frozen=True, eq=False)
class SurrogateData:
    """The rows of eq. (7); row ``d * N + k`` is target k of deletion d.

    Rows are kept factored, since the paper's 4 million would fill 1.5 GB in float64 before any library copied them.

    Attributes:
        users: int32 (n,), user of each deletion: the group of the cross-validation.
        user_embeddings: float32 (n_users, p), φ_u.
        item_embeddings: float32 (n_items, q), φ_i.
        deletion_features: float32 (n, F), int8 of a mask: sums over the deleted items, the same for every target.
        crossed: float32 (n, C, q), sums over the deleted items that a row multiplies with φ_i of its target.
        targets: int32 (n, N), item index of each target.
        effects: (n, N), Δŷ: float32 (a regression's) or int8 in {-1, 0, +1} (a classification's).
    """

    users: np.ndarray
    user_embeddings: np.ndarray
    item_embeddings: np.ndarray
    deletion_features: np.ndarray
    crossed: np.ndarray
    targets: np.ndarray
    effects: np.ndarray

    @property
    def widths(self) -> tuple[int, int, int]:
        """Features of the user, of the deletion and of the target."""
        _, n_crossed, q = self.crossed.shape
        return self.user_embeddings.shape[1], self.deletion_features.shape[1] + n_crossed * q, q

    def select(self, deletions: np.ndarray) -> Self:
        """The rows of some deletions (indices or a mask)."""
        names = ("users", "deletion_features", "crossed", "targets", "effects")
        return replace(self, **{name: getattr(self, name)[deletions] for name in names})

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Some rows, by number: float32 (len(rows), sum(widths)), [φ_u, what is said of the deletion, φ_i]."""
        deletions, targets = np.divmod(rows, self.effects.shape[1])
        target = self.item_embeddings[self.targets[deletions, targets]]
        return np.hstack(
            [
                self.user_embeddings[self.users[deletions]],
                self.deletion_features[deletions],
                (self.crossed[deletions] * target[:, None]).reshape(len(rows), -1),
                target,
            ]
        )


def product_sets(user_embeddings: np.ndarray, item_embeddings: np.ndarray) -> list[tuple[str, ...]]:
    """Every choice of products that embeddings (n_users, p) and (n_items, q) allow: "user" needs p to be q."""
    one_length = user_embeddings.shape[1] == item_embeddings.shape[1]
    return [products for products in PRODUCT_SETS if one_length or "user" not in products]


@dataclass(frozen=True, eq=False)
class Representation:
    """Features of deleted items, to be added up: φ_d of eq. (8) and, where asked for, products with it.

    With φ_d alone a linear surrogate adds up its three blocks, so what it names depends on neither the target nor
    the user's embedding. The products let it.

    Attributes:
        user_embeddings: float32 (n_users, p), φ_u of the original model.
        item_embeddings: float32 (n_items, q), φ_i.
        products: which of ``PRODUCTS`` follow φ_d, in this order: "user", φ_d ∘ φ_u (p must be q); "target",
            φ_d ∘ φ_i; "residual", (what training wanted of d - its score) · φ_d ∘ φ_i.
        deleted_embeddings: (n_items, r), what stands for φ_d where it is not ``item_embeddings``: one-hot rows make a
            sum the multi-hot mask of the deleted items, int8 like them. Without products.
        ratings: the n training ratings; for "residual".
        residuals: float32 (n,), what training wanted of each rating's score (``retrain.base.learnt``) minus its score
            by the original model; for "residual".

    Raises:
        ValueError: a product is unknown, or cannot be formed.
    """

    user_embeddings: np.ndarray
    item_embeddings: np.ndarray
    products: Sequence[str] = ()
    deleted_embeddings: np.ndarray | None = None
    ratings: Ratings | None = None
    residuals: np.ndarray | None = None

    def __post_init__(self):
        if unknown := set(self.products) - set(PRODUCTS):
            raise ValueError(f"unknown products {sorted(unknown)}: choose from {list(PRODUCTS)}")
        if self.products and self.deleted_embeddings is not None:
            raise ValueError("products are formed with item_embeddings: leave out deleted_embeddings")
        p, q = self.user_embeddings.shape[1], self.item_embeddings.shape[1]
        if "user" in self.products and p != q:
            raise ValueError(
                f"φ_d ∘ φ_u needs embeddings of one length; users have {p} numbers and items {q}; leave it out"
            )
        if "residual" in self.products and (self.ratings is None or self.residuals is None):
            raise ValueError("the product 'residual' needs the training ratings and their residuals")

    @cached_property
    def _residuals(self) -> csr_array:
        shape = len(self.user_embeddings), len(self.item_embeddings)
        return csr_array((self.residuals, (self.ratings.users, self.ratings.items)), shape=shape)

    def _parts(self, user: int, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of the user's items (...) that are the same for every target, (..., F), and those to be
        multiplied with φ_i, (..., C, q).
        """
        phi = (self.item_embeddings if self.deleted_embeddings is None else self.deleted_embeddings)[items]
        fixed = [phi, phi * self.user_embeddings[user]] if "user" in self.products else [phi]
        crossed = [phi] if "target" in self.products else []
        if "residual" in self.products:
            crossed.append(phi * self._residuals[[user]].toarray()[0, items][..., None])
        return np.concatenate(fixed, axis=-1), (
            np.stack(crossed, axis=-2)
            if crossed
            else np.empty((*items.shape, 0, self.item_embeddings.shape[1]), phi.dtype)
        )

    def item_features(self, user: int, target: int, items: np.ndarray) -> np.ndarray:
        """What each of the user's items (m,) adds to the features of a deletion: float32 (m, F)."""
        fixed, crossed = self._parts(user, items)
        return np.hstack([fixed, (crossed * self.item_embeddings[target]).reshape(len(items), -1)])

    def data(self, outcomes: Outcomes, effects: np.ndarray) -> SurrogateData:
        """The rows of eq. (7) for recorded outcomes and their Δŷ (n, N); a user's deletions are of one size."""
        users = outcomes.users
        order = np.argsort(users, kind="stable")
        sums = []
        for rows in np.split(order, np.flatnonzero(np.diff(users[order])) + 1):
            items = np.array([outcomes.deletions[row].items for row in rows])
            sums.append([part.sum(axis=1, dtype=part.dtype) for part in self._parts(users[rows[0]], items)])
        fixed, crossed = (np.concatenate(part)[np.argsort(order)] for part in zip(*sums, strict=True))
        return SurrogateData(
            users=users,
            user_embeddings=self.user_embeddings,
            item_embeddings=self.item_embeddings,
            deletion_features=fixed,
            crossed=crossed,
            targets=outcomes.targets,
            effects=effects,
        )
