"""Truncated singular value decomposition of the ratings ("SVD", PureSVD; Cremonesi, Koren, Turrin, RecSys 2010)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from ..rng import generator
from .base import checked, known_users, learnt
from .ratings import Deletion, Ratings
from .settings import TruncatedSVDConfig
from .threads import on_threads

SPARE = 32  # singular vectors of the original kept beyond ``factors``: without them the last ones converge slowly
STEPS, STEPS_PER_CHECK = 200, 3  # of the iteration at most, and between tests whether it has converged
NEGLIGIBLE = 1e-14  # relative size of a direction that may be rounding alone


@dataclass(frozen=True, eq=False)
class TruncatedSVDModel:
    """f(u, i) = p_u · q_i with p = A V and q = V; every array float32.

    Attributes:
        user_embeddings: (n_users, factors), p_u: left singular vectors times singular values, in units of the matrix.
        item_embeddings: (n_items, factors), q_i: right singular vectors, of length 1, largest singular value first,
            each with its entry of largest magnitude positive.
    """

    user_embeddings: np.ndarray
    item_embeddings: np.ndarray

    def scores(self, users: Sequence[int]) -> np.ndarray:
        """f(u, ·): float32 (len(users), n_items), in the units of the matrix.

        Raises:
            ValueError: a user index is unknown.
        """
        users = known_users(users, len(self.user_embeddings))
        scores = np.zeros((len(users), len(self.item_embeddings)), dtype=np.float32)
        for p, q in zip(self.user_embeddings[users].T, self.item_embeddings.T, strict=True):
            scores += p[:, None] * q  # in one order, whoever else is asked for
        return scores


class TruncatedSVD(TruncatedSVDConfig):
    """The matrix of rank ``factors`` that is nearest to A, (n_users, n_items): the ratings, or ones where ``binary``,
    and zeros elsewhere.

    It is unique unless singular values number ``factors`` and ``factors`` + 1 are equal; then any of them is returned.
    The nearer they are to each other, the further a small error moves it, and a deletion too: see ``retrain``. The
    seed gives the vector that the decomposition starts from, and changes no model.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    makes: ClassVar[type] = TruncatedSVDModel

    @threadpool_limits.wrap(limits=1)  # the bits depend on the number of BLAS threads
    def fit(self, ratings: Ratings) -> TruncatedSVDModel:
        """The model of all ratings, exact to rounding in float64 and rounded to float32 then.

        Raises:
            ValueError: there are fewer users or items than ``factors``.
        """
        matrix = self._matrix(ratings)
        _, vectors = self._singular(matrix, self.factors)
        largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
        vectors = vectors * np.where(largest < 0, -1, 1)
        return TruncatedSVDModel((matrix @ vectors).astype(np.float32), vectors.astype(np.float32))

    @threadpool_limits.wrap(limits=1)
    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """See ``Recommender.retrain``: float32 (len(deletions), n_items).

        Row b does not depend on what else is in ``deletions``, to the last bit, and differs from ``fit`` of the ratings
        without deletion b by rounding to float32 and by no more than about ``tolerance`` · σ₁² / (σ_k² - σ_k+1²) times
        the length of the user's row of the matrix, k being ``factors``: the two need not agree where these singular
        values are equal but for rounding. Runs on ``numba.get_num_threads()`` threads.

        Raises:
            ValueError: as ``Recommender.retrain`` and ``fit``.
            FloatingPointError: the iteration did not converge to ``tolerance``.
        """
        rows, users = checked(ratings, deletions, watched)
        original = _Original(self, ratings)
        scores = np.empty((len(deletions), ratings.n_items), dtype=np.float32)

        def perform(work: _Workspace, b: int) -> Iterator[None]:
            scores[b] = original.without(work, deletions[b].user, rows[b], users[b])
            yield

        on_threads(range(len(deletions)), original.workspace, perform)
        return scores

    def objective(self, model: TruncatedSVDModel, ratings: Ratings) -> float:
        """The squared distance of the model from the matrix, over the number of ratings: its units squared."""
        near = np.square(model.user_embeddings, dtype=np.float64).sum()  # |A V Vᵀ|² = |A V|²
        return float((np.square(self._matrix(ratings).data).sum() - near) / len(ratings))

    def _matrix(self, ratings: Ratings) -> csr_array:
        """A: float64 (n_users, n_items).

        Raises:
            ValueError: as ``fit``.
        """
        shape = ratings.n_users, ratings.n_items
        if self.factors > min(shape):
            raise ValueError(
                f"factors={self.factors}: {shape[0]} users and {shape[1]} items have {min(shape)} singular vectors; "
                f"write at most {min(shape)}"
            )
        return csr_array((learnt(self, ratings).astype(np.float64), (ratings.users, ratings.items)), shape=shape)

    def _singular(self, matrix: csr_array, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The largest singular values (count,), in falling order, and their right vectors (n_items, count): float64."""
        side = min(matrix.shape)
        if 2 * count < side and matrix.count_nonzero():
            # Lanczos: as exact, and 48 vectors of MovieLens-100K take a tenth of a dense solver's time; that finds all
            # vectors, and takes a matrix of zeros
            start = generator(self.seed, "truncated svd").normal(size=side)
            _, values, vectors = svds(matrix, count, tol=0, v0=start, rng=generator(self.seed, "truncated svd restart"))
            order = np.argsort(-values, kind="stable")
        else:
            _, values, vectors = np.linalg.svd(matrix.toarray(), full_matrices=False)
            order = np.arange(count)
        return values[order], vectors[order].T


@dataclass(eq=False)
class _Workspace:
    """What one thread iterates in: a basis of a growing space, from the original's singular vectors on."""

    basis: np.ndarray  # float64 (n_items, p + 2 STEPS), orthonormal columns
    gram: np.ndarray  # float64 (p + 2 STEPS, p + 2 STEPS): AᵀA in this basis


class _Original:
    """The decomposition with nothing deleted, and from it those without some ratings of a user.

    Without the ratings the user's row a of A becomes a', and AᵀA becomes AᵀA + a'a'ᵀ - aaᵀ. What this adds to a space
    spanned by eigenvectors of AᵀA lies in the directions of a and a - a', so the space grows by these two and by what
    AᵀA makes of them, again and again (block Lanczos). Its best vectors (Rayleigh, Ritz) are taken once their
    residual is small. None is missed: by interlacing, an eigenvector that these directions do not reach is one of AᵀA,
    and its eigenvalue is too small already for SPARE = 1.
    """

    def __init__(self, settings: TruncatedSVD, ratings: Ratings):
        self.settings, self.ratings = settings, ratings
        self.matrix = settings._matrix(ratings)
        self.by_item = self.matrix.tocsc()  # of two columns SciPy multiplies this way round in half the time
        count = min(settings.factors + SPARE, *self.matrix.shape)
        self.values, self.vectors = settings._singular(self.matrix, count)

    def workspace(self) -> _Workspace:
        n_items, count = self.vectors.shape
        size = count + 2 * STEPS
        work = _Workspace(np.empty((n_items, size), order="F"), np.empty((size, size), order="F"))
        work.basis[:, :count] = self.vectors
        work.gram[:count, :count] = np.diag(self.values**2)
        return work

    def without(self, work: _Workspace, user: int, skipped: np.ndarray, watched: int) -> np.ndarray:
        """float64 (n_items,): scores for ``watched`` without rows ``skipped`` of the ratings, of ``user``.

        Raises:
            FloatingPointError: as ``TruncatedSVD.retrain``.
        """
        settings, size = self.settings, len(self.values)
        before = self.matrix[[user]].toarray()[0]
        after = before.copy()
        after[self.ratings.items[skipped]] = 0
        row = after if watched == user else self.matrix[[watched]].toarray()[0]
        outside, scale = np.stack([before, before - after], axis=1), self.values[0]
        outside -= self.vectors @ (self.vectors.T @ outside)
        for step in range(1, STEPS + 1):
            block = _orthonormal(outside, scale, work.basis[:, :size])
            new = slice(size, size + block.shape[1])
            size = new.stop
            work.basis[:, new] = block
            basis, gram = work.basis[:, :size], work.gram[:size, :size]
            image = self.matrix.T @ (self.by_item @ block)
            gram[:, new] = basis.T @ image
            gram[new] = gram[:, new].T
            outside, scale = image - basis @ gram[:, new], self.values[0] ** 2
            if step % STEPS_PER_CHECK and block.size:
                continue
            old, now = basis.T @ before, basis.T @ after
            values, vectors = np.linalg.eigh(gram + np.outer(now, now) - np.outer(old, old))
            vectors = vectors[:, -settings.factors :]
            residual = np.linalg.norm(outside @ vectors[new], axis=0).max()
            if residual <= settings.tolerance * values[-1]:
                return basis @ (vectors @ (vectors.T @ (basis.T @ row)))
        raise FloatingPointError(
            f"without {len(skipped)} ratings of user {user}: residual {residual / values[-1]:.1e} after {STEPS} steps, "
            f"more than tolerance={settings.tolerance}: choose a larger one, or other factors"
        )


def _orthonormal(block: np.ndarray, scale: float, basis: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those of ``block``, which is orthogonal to ``basis`` but for rounding; what is
    NEGLIGIBLE beside ``scale`` adds none.
    """
    directions, sizes, _ = np.linalg.svd(block, full_matrices=False)
    directions = directions[:, sizes > NEGLIGIBLE * scale]
    # once more, as of a small direction rounding is a large part
    return np.linalg.qr(directions - basis @ (basis.T @ directions))[0]
