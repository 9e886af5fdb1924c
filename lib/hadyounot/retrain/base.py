"""What a recommender must offer to be explained."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .ratings import Deletion, Ratings, is_index
from .settings import MatrixFactorizationConfig, NeuralCollaborativeFilteringConfig

STARS = 5.0  # a range of ratings at which the usual learning rates are safe
WIDE = 2 * STARS  # a range from which on they may not be: what is safe falls as the range grows


class Model(Protocol):
    """A trained recommender."""

    @property
    def user_embeddings(self) -> np.ndarray:
        """φ_u: float32 (n_users, p)."""

    @property
    def item_embeddings(self) -> np.ndarray:
        """φ_i: float32 (n_items, q)."""

    def scores(self, users: Sequence[int]) -> np.ndarray:
        """f(u, ·; θ̂): float32 (len(users), n_items), predicted ratings in the units of the data."""


class Recommender(Protocol):
    """A way to train models, and many counterfactual models at once."""

    @property
    def remove_seen(self) -> bool:
        """Whether items of the user's history, deleted ones too, are left out of recommendations."""

    def fit(self, ratings: Ratings) -> Model:
        """θ̂: the model trained on all ratings."""

    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """f(u, ·; θ̂(−D_u)) for each deletion, eq. (1): float32 (len(deletions), n_items).

        Row b holds the scores, for ``deletions[b].user`` (or for user ``watched[b]``), of the model trained from
        scratch without ``deletions[b].items``, with the ids, initial weights and order of examples of ``fit``.

        Raises:
            ValueError: a deletion names an unknown user or item or an item the user never rated, or leaves no rating;
                or ``watched`` names an unknown user, or not one for each deletion.
        """


def learnt(recommender: Recommender, ratings: Ratings) -> np.ndarray:
    """What training wants the score of each rating to be, float32 (n,): the rating, or 1 where choices are learnt. Of a
    black box, whose author alone knows, the rating.
    """
    choices = getattr(recommender, "learns_choices", False)
    return np.ones_like(ratings.values) if choices else ratings.values


def checked(
    ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None
) -> tuple[list[np.ndarray], np.ndarray]:
    """What ``Recommender.retrain`` is asked for.

    Returns:
        for each deletion, the rows of the ratings that it skips; and int64 (len(deletions),), whose scores are wanted.

    Raises:
        ValueError: as ``Recommender.retrain``.
    """
    rows = ratings.deleted_rows(deletions)
    for deletion, skipped in zip(deletions, rows, strict=True):
        if len(skipped) == len(ratings):
            raise ValueError(f"{deletion}: no rating would be left to train on")
    users = known_users([deletion.user for deletion in deletions] if watched is None else watched, ratings.n_users)
    if len(users) != len(deletions):
        raise ValueError(f"watched names {len(users)} users for {len(deletions)} deletions; name one for each")
    return rows, users


def known_users(users: Sequence[int], n_users: int) -> np.ndarray:
    """int64 (len(users),).

    Raises:
        ValueError: it is no list of indices, or one is unknown.
    """
    given = np.asarray(users)
    if given.ndim != 1:
        raise ValueError(f"users is {users!r}: give a list of user indices, even of one")
    if given.dtype == bool:
        raise ValueError("users is a mask: give indices, np.flatnonzero(mask)")
    wrong = next((user for user in given.tolist() if not is_index(user)), None)
    if wrong is not None:
        raise ValueError(f"user {wrong!r} is not an index; .user_ids of the ratings holds the id of each")
    unknown = next((user for user in given.tolist() if not 0 <= user < n_users), None)
    if unknown is not None:
        raise ValueError(f"unknown user index {unknown} (there are {n_users} users)")
    return given.astype(np.int64)


def require_finite(
    array: np.ndarray,
    settings: MatrixFactorizationConfig | NeuralCollaborativeFilteringConfig,
    values: np.ndarray,
) -> None:
    """See that training has not diverged.

    Args:
        array: of any shape, of a model trained with these ``settings``.
        values: what it was trained to predict.

    Raises:
        FloatingPointError: the array is not finite; the message names what to change.
    """
    if np.isfinite(array).all():
        return
    low, high = float(values.min()), float(values.max())
    usual, fixes = type(settings).model_fields["learning_rate"].default, []
    if high - low > WIDE:
        scaled = f"{STARS:g} / {high - low:g} * values"
        fixes.append(
            f"ratings from {low:g} to {high:g} are too far apart for it: train on {scaled}, or log1p of counts"
        )
    if settings.learning_rate > usual or not fixes:
        such_as = f", {usual} say" if settings.learning_rate > usual else ""
        fixes.append(f"choose a smaller one{such_as}")
    raise FloatingPointError(f"training diverged at learning_rate={settings.learning_rate}: {'; and '.join(fixes)}")
