"""What to delete and retrain next: pure functions from what is known of a user to promising deletions.

All of them speak of *changes*, float64 (n, m): by how much removing each of the n ratings of a history alone moves
the user's score of each of m items. Changes add up over the items of a deletion.
"""

from functools import singledispatch
from itertools import combinations
from math import comb

import numpy as np

from ..method.outcomes import candidates
from ..method.search import grown
from ..retrain.base import Model, Recommender, learnt
from ..retrain.mf import MatrixFactorization, MatrixFactorizationModel
from ..retrain.ncf import NeuralCollaborativeFiltering, NeuralCollaborativeFilteringModel
from ..retrain.ratings import Ratings
from .influence import user_block
from .oracle import margins

RIDGE = 0.1  # of the mean diagonal of what is inverted: without it items that are alike share a score by chance
DOUBT = 1.0  # one deletion of one item, once retrained, corrects its change by 1 / (1 + DOUBT) of the error
WIDTH = 32  # subsets that grow by another item
POOL = 2000  # subsets that are all looked at, where there are no more of them


@singledispatch
def changes(model: Model, ratings: Ratings, recommender: Recommender, user: int) -> np.ndarray:
    """Changes of the scores of all items, (n, n_items), before anything was retrained: from embeddings alone.

    The user is taken for the sum of the history: f(u, i) ≈ c + Σ_j w_j φ_j · φ_i, with the w that ridge regression on
    the scores of all candidates finds. Without item j, w_j φ_j · φ_i is missing. For a truncated SVD that is what it
    loses while the singular vectors of the items stay; of any other model it is a guess.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        recommender: what trained it.
        user: index.
    """
    phi = model.item_embeddings.astype(np.float64)
    parts = phi[ratings.history(user)] @ phi.T
    eligible = candidates(ratings, user, recommender.remove_seen)  # a black box may mask the others
    centred = parts[:, eligible] - parts[:, eligible].mean(axis=1, keepdims=True)
    scores = model.scores([user])[0, eligible].astype(np.float64)
    return -_solved(centred @ centred.T, centred @ (scores - scores.mean()))[:, None] * parts


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The matrix, with ``RIDGE``, inverted and times ``right``; 0 where it is 0, as blank embeddings make it."""
    return np.linalg.lstsq(matrix + RIDGE * matrix.diagonal().mean() * np.eye(len(matrix)), right)[0]


@changes.register
def _(model: MatrixFactorizationModel, ratings: Ratings, recommender: MatrixFactorization, user: int) -> np.ndarray:
    """Influence over the user's own parameters, whose Hessian is the same for all items."""
    return user_block(model, ratings, recommender, user, np.arange(ratings.n_items))


@changes.register
def _(
    model: NeuralCollaborativeFilteringModel, ratings: Ratings, recommender: NeuralCollaborativeFiltering, user: int
) -> np.ndarray:
    """Influence over the user's own embeddings (p_u, s_u), with Gauss and Newton's Hessian of the squared error: a few
    matrix products for all items, where ``differentiated.neural_block`` differentiates twice for each. Of choices it
    knows the chosen items alone, not those that were sampled beside them.
    """
    span = float(model.high - model.low)
    shares = (model.scores([user])[0].astype(np.float64) - model.low) / span
    slopes = (shares * (1 - shares))[:, None] * _logit_slopes(model, user)
    rows, history = ratings.rows_of(user), ratings.history(user)
    wanted = (learnt(recommender, ratings)[rows] - model.low) / span
    own = slopes[history]
    gradients = (shares[history] - wanted)[:, None] * own
    return span * gradients @ _solved(own.T @ own, slopes.T)


def _logit_slopes(model: NeuralCollaborativeFilteringModel, user: int) -> np.ndarray:
    """float64 (n_items, gmf_factors + mlp_layers[0] / 2): derivatives of the logits by the user's embeddings."""
    n_items, half = model.mlp_items.shape
    units = np.hstack([np.broadcast_to(model.mlp_users[user], (n_items, half)), model.mlp_items]).astype(np.float64)
    slopes = np.broadcast_to(np.eye(half, 2 * half), (n_items, half, 2 * half))  # of the units
    for matrix, biases in zip(model.matrices, model.biases, strict=True):
        units = units @ matrix.T + biases
        on = units > 0
        units, slopes = units * on, (slopes @ matrix.T) * on[:, None]
    gmf, mlp = np.split(model.output_weights.astype(np.float64), [model.gmf_items.shape[1]])
    return np.hstack([model.gmf_items * gmf, slopes @ mlp])


def corrected(changes: np.ndarray, deleted: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Changes after retraining has shown what t deletions really do: ridge regression of what was mispredicted on which
    items were deleted.

    Args:
        changes: (n, m).
        deleted: float64 (t, n), 1 where a deletion has the item of the history, else 0.
        seen: (t, m), of the scores.

    Returns:
        like ``changes``.
    """
    gram = deleted.T @ deleted + DOUBT * np.eye(len(changes))
    return changes + np.linalg.solve(gram, deleted.T @ (seen - deleted @ changes))


def best_subsets(
    scores: np.ndarray, changes: np.ndarray, size: int, top_k: int, pool: int = POOL
) -> tuple[np.ndarray, np.ndarray]:
    """Subsets of the history by the margin (``oracle.margins``) that the target is predicted to have without them.

    All of them where there are at most ``pool``; elsewhere those that a beam finds, ``WIDTH`` of which grow at a time.

    Args:
        scores: float64 (m,), the user's, of the target and then of other candidates.
        changes: (n, m), on these.
        size: items of a subset.
        top_k: K.
        pool: see above.

    Returns:
        int64 (s, size), places in the history, ascending; and float64 (s,), the margin; the largest margin first.
    """
    n, everything = len(changes), np.ones(len(scores), dtype=bool)

    def margin(subsets: np.ndarray) -> np.ndarray:
        after = scores + sum(changes[places] for places in subsets.T)
        return margins(after, everything, 0, top_k)

    if comb(n, size) <= pool:
        subsets = np.array(list(combinations(range(n), size)))
    else:
        subsets = np.arange(n)[:, None]
        for _ in range(size - 1):
            subsets = grown(subsets[np.argsort(-margin(subsets), kind="stable")[:WIDTH]], n)
    predicted = margin(subsets)
    order = np.argsort(-predicted, kind="stable")
    return subsets[order], predicted[order]
