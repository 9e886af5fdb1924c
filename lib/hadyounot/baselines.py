"""What the surrogates are compared with (section 5.1): random items, nearest neighbours, influence functions.

Every explanation is a tuple of item indices of the history, the strongest first; ties are broken by ``rng``.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.autograd import grad
from torch.autograd.functional import jvp

from . import search
from .config import InfluenceConfig
from .ratings import Ratings
from .recommenders.mf import MatrixFactorizationModel


def random_items(history: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, ...]:
    """``size`` different items of the history (n,), every set of them equally likely.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    return search.exact(np.zeros(len(history)), history, size, rng)


def nearest(
    item_embeddings: np.ndarray,
    history: np.ndarray,
    target: int,
    size: int,
    rng: np.random.Generator,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> tuple[int, ...]:
    """KNN: the items of the history (n,) nearest to the target in ``item_embeddings`` (n_items, q), nearest first.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    distances = cdist(item_embeddings[history], item_embeddings[[target]], metric)[:, 0]
    return search.exact(-distances, history, size, rng)


class Influence:
    """Influence functions on a score (eq. 10; Koh and Liang, ICML 2017), over all parameters of a model.

    Removing training rating j of n from θ̂ = arg min 1/n Σ L changes the score f(u, i) by about

        1/n ∇f(u, i)ᵀ H⁻¹ ∇L_j

    (the change itself: negative where the removal lowers the score). H is the Gauss-Newton Hessian of the mean
    loss plus ``config.damping`` on its diagonal; its products with a vector are exact, and its inverse is applied by
    conjugate gradients, once per (user, target) for the whole history. These need a positive definite matrix, which
    the Hessian proper is not where stochastic gradient descent stops, to a depth that no fixed damping foresees. At
    an optimum, where eq. (10) holds, the two predict real retraining alike (Gauss-Newton: Martens, JMLR 2020, 8).

    Args:
        ratings: what θ̂ was trained on.
        predict: (*parameters, users (m,), items (m,)) -> f (m,), differentiable.
        loss: (f (m,), values (m,)) -> (m,), convex in f.
        penalty: (*parameters, users (m,), items (m,)) -> (m,), what each rating adds to L for regularisation: a
            weighted sum of squares of parameters.
        parameters: θ̂; their dtype is that of the computation.
        config: damping and when conjugate gradients stop.
    """

    def __init__(
        self,
        ratings: Ratings,
        predict: Callable[..., Tensor],
        loss: Callable[[Tensor, Tensor], Tensor],
        penalty: Callable[..., Tensor],
        parameters: Sequence[Tensor],
        config: InfluenceConfig,
    ):
        self.ratings, self.predict, self.loss, self.penalty, self.config = ratings, predict, loss, penalty, config
        self.parameters = [parameter.detach().requires_grad_() for parameter in parameters]
        self._users, self._items = (
            torch.from_numpy(index.astype(np.int64)) for index in (ratings.users, ratings.items)
        )
        self._values = torch.from_numpy(ratings.values).to(self.parameters[0].dtype)

        self._predicted = predict(*self.parameters, self._users, self._items)
        # Jᵀw is linear in w, and the derivative of v · Jᵀw by w is Jv
        self._weights = torch.zeros_like(self._predicted, requires_grad=True)
        self._pulled = grad(self._predicted, self.parameters, self._weights, create_graph=True)
        seen = self._predicted.detach().requires_grad_()
        (slopes,) = grad(loss(seen, self._values).sum(), seen, create_graph=True)
        (self._curvature,) = grad(slopes.sum(), seen)
        # the gradient of a weighted sum of squares, taken at ones, is the diagonal of its Hessian
        ones = [torch.ones_like(parameter, requires_grad=True) for parameter in self.parameters]
        ridge = grad(penalty(*ones, self._users, self._items).mean(), ones, materialize_grads=True)
        self._diagonal = _flat(ridge) + config.damping

    def changes(self, user: int, target: int) -> np.ndarray:
        """Change of f(user, target) on removing each rating of the user's history, in its order.

        Returns:
            (n,), in the units of the score, of the parameters' dtype.

        Raises:
            RuntimeError: conjugate gradients did not converge.
        """
        score = self.predict(*self.parameters, *torch.tensor([[user], [target]]))
        right = _flat(grad(score.sum(), self.parameters))
        hessian = LinearOperator((len(right), len(right)), self._hessian_product, dtype=right.dtype)
        solution, failed = cg(hessian, right, rtol=self.config.tolerance, maxiter=self.config.max_iterations)
        if failed:
            raise RuntimeError(
                f"influence on item {target} for user {user}: conjugate gradients did not reach tolerance"
                f" {self.config.tolerance} in {self.config.max_iterations} iterations; raise influence.damping or"
                " influence.max_iterations"
            )
        rows = torch.from_numpy(self.ratings.rows_of(user))
        users, items, values = self._users[rows], self._items[rows], self._values[rows]

        def losses(*parameters: Tensor) -> Tensor:
            return self.loss(self.predict(*parameters, users, items), values) + self.penalty(*parameters, users, items)

        _, along = jvp(losses, tuple(self.parameters), tuple(self._unflat(solution)))
        return along.numpy() / len(self.ratings)

    def explain(self, user: int, target: int, size: int, rng: np.random.Generator) -> tuple[int, ...]:
        """The items of the user's history whose removal is predicted to lower the target's score most.

        Raises:
            ValueError: the history has fewer than ``size`` items.
            RuntimeError: conjugate gradients did not converge.
        """
        return search.exact(-self.changes(user, target), self.ratings.history(user), size, rng)

    def _hessian_product(self, vector: np.ndarray) -> np.ndarray:
        """(1/n Jᵀ L'' J + diagonal) v, shaped like v."""
        (along,) = grad(self._pulled, self._weights, self._unflat(vector), retain_graph=True)
        back = grad(self._predicted, self.parameters, self._curvature * along, retain_graph=True)
        return _flat(back) / len(self.ratings) + self._diagonal * vector

    def _unflat(self, vector: np.ndarray) -> list[Tensor]:
        pieces = torch.from_numpy(vector).split([parameter.numel() for parameter in self.parameters])
        return [piece.reshape(like.shape) for piece, like in zip(pieces, self.parameters, strict=True)]


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).numpy()


def factorization_influence(
    model: MatrixFactorizationModel, ratings: Ratings, regularization: float, config: InfluenceConfig
) -> Influence:
    """Influence on matrix factorisation, whose loss on a rating r_ui is
    (r_ui - f(u, i))² + regularization · (b_u² + b_i² + |p_u|² + |q_i|²): a visit shrinks the rows it visits, so an
    item with many ratings is shrunk often. The mean is held fixed: without one rating of n it moves by less than
    the scale's length / n, for all scores alike.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        regularization: that of its training.
        config: see ``Influence``.
    """
    mean = float(model.mean)

    def predict(b_u: Tensor, b_i: Tensor, p: Tensor, q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        return mean + b_u[users] + b_i[items] + (p[users] * q[items]).sum(dim=1)

    def penalty(b_u: Tensor, b_i: Tensor, p: Tensor, q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        of_users, of_items = b_u.square() + p.square().sum(dim=1), b_i.square() + q.square().sum(dim=1)
        return regularization * (of_users[users] + of_items[items])

    arrays = (model.user_biases, model.item_biases, model.user_embeddings, model.item_embeddings)
    parameters = [torch.from_numpy(array.astype(np.float64)) for array in arrays]
    return Influence(ratings, predict, lambda f, values: (values - f).square(), penalty, parameters, config)


def block_changes(
    model: MatrixFactorizationModel, ratings: Ratings, regularization: float, user: int, target: int
) -> np.ndarray:
    """Eq. (10) over the user's own parameters (b_u, p_u) alone, the item side held fixed: float64 (n,), the change of
    f(user, target) on removing each rating of the history, in its order.

    With x_j = (1, q_j) the loss is quadratic in them, so its Hessian Σ_j (x_j x_jᵀ + regularization · 1) is exact and
    is solved directly. Cheng et al., KDD 2019, add the target's own parameters to the block.
    """
    rows = ratings.rows_of(user)
    design, at_target = (
        np.insert(model.item_embeddings[items].astype(np.float64), 0, 1, axis=-1)
        for items in (ratings.items[rows], target)
    )
    own = np.insert(model.user_embeddings[user].astype(np.float64), 0, model.user_biases[user])
    errors = ratings.values[rows] - model.mean - model.item_biases[ratings.items[rows]] - design @ own
    hessian = design.T @ design + len(rows) * regularization * np.eye(len(own))
    gradients = -errors[:, None] * design + regularization * own
    # least squares, as without regularisation a short history leaves directions undetermined
    return gradients @ np.linalg.lstsq(hessian, at_target)[0]


def influence_block(
    model: MatrixFactorizationModel,
    ratings: Ratings,
    regularization: float,
    user: int,
    target: int,
    size: int,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """As ``Influence.explain``, from ``block_changes``.

    Raises:
        ValueError: the history has fewer than ``size`` items.
    """
    changes = block_changes(model, ratings, regularization, user, target)
    return search.exact(-changes, ratings.history(user), size, rng)
