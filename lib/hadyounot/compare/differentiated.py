"""Influence functions (eq. 10) by PyTorch's derivatives, over all parameters or those of a user and a target."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg, eigsh
from torch import Tensor
from torch.autograd import grad
from torch.autograd.functional import jvp
from torch.nn.functional import binary_cross_entropy

from ..retrain.mf import MatrixFactorization, MatrixFactorizationModel
from ..retrain.ncf import NeuralCollaborativeFilteringModel
from ..retrain.ratings import Ratings
from ..rng import generator
from .settings import InfluenceConfig

# what FIA (Cheng et al., KDD 2019) and ACCENT (Tran et al., SIGIR 2021) add to the diagonal of a block's Hessian
BLOCK_DAMPING = 1e-6
BLOCK = 2**19  # ratings that are differentiated at once: with more of them memory does not grow


class Influence:
    """Influence functions on a score (eq. 10; Koh and Liang, ICML 2017), over all parameters of a model.

    Removing training rating j of n from θ̂ = arg min 1/n Σ L changes the score f(u, i) by about

        1/n ∇f(u, i)ᵀ H⁻¹ ∇L_j

    (the change itself: negative where the removal lowers the score). H is the Hessian of the mean loss, damped on its
    diagonal; its products with a vector are exact, and its inverse is applied by conjugate gradients, once per (user,
    target) for the whole history. These need a positive definite matrix, which the Hessian proper is not where
    stochastic gradient descent stops. Two ways out:

    - Gauss-Newton (Martens, JMLR 2020, 8) leaves out the curvature of f, and ``config.damping`` is enough. At an
      optimum, where eq. (10) holds, it predicts real retraining as the Hessian proper does.
    - ``exact`` keeps the Hessian proper and damps it by twice its most negative eigenvalue, found by Lanczos, if that
      is more than ``config.damping``: the direction of that eigenvalue then counts with its size. The rule looks
      at the Hessian alone.

    Args:
        ratings: what θ̂ was trained on.
        predict: (*parameters, users (m,), items (m,)) -> f (m,), differentiable.
        loss: (f (m,), values (m,)) -> (m,), convex in f.
        penalty: (*parameters, users (m,), items (m,)) -> (m,), what each rating adds to L for regularisation: a
            weighted sum of squares of parameters.
        parameters: θ̂; their dtype is that of the computation.
        config: damping and when conjugate gradients stop.
        exact: the Hessian proper, not Gauss-Newton.
        preconditioner: v -> about H⁻¹ v, shaped like v: conjugate gradients then need fewer products with H.
        together: so many consecutive ratings are removed as one.

    Attributes:
        damping: what is added to the diagonal.
    """

    def __init__(
        self,
        ratings: Ratings,
        predict: Callable[..., Tensor],
        loss: Callable[[Tensor, Tensor], Tensor],
        penalty: Callable[..., Tensor],
        parameters: Sequence[Tensor],
        config: InfluenceConfig,
        exact: bool = False,
        preconditioner: Callable[[np.ndarray], np.ndarray] | None = None,
        together: int = 1,
    ):
        self.ratings, self.predict, self.loss, self.penalty, self.config = ratings, predict, loss, penalty, config
        self._preconditioner, self._together = preconditioner, together
        self.parameters = [parameter.detach().requires_grad_() for parameter in parameters]
        self._users, self._items = (
            torch.from_numpy(index.astype(np.int64)) for index in (ratings.users, ratings.items)
        )
        self._values = torch.from_numpy(ratings.values).to(self.parameters[0].dtype)

        self._blocks = [slice(first, first + BLOCK) for first in range(0, len(ratings), BLOCK)]
        # the graph is kept where there is one; of several, each is built anew for each product
        self._summed = lru_cache(maxsize=int(len(self._blocks) == 1))(self._exact if exact else self._gauss_newton)
        # damped already: what converges is the ratio to the smallest eigenvalue, and that may be 0
        self.damping = config.damping
        if exact:
            start = generator(0, "smallest eigenvalue").normal(size=self._hessian.shape[0])
            restarts = generator(0, "smallest eigenvalue restart")  # else ARPACK draws from the machine's entropy
            (smallest,) = eigsh(
                self._hessian, 1, which="SA", v0=start, tol=0.1, return_eigenvectors=False, rng=restarts
            )
            self.damping = _enough(config.damping, float(smallest) - config.damping)

    def changes(self, user: int, target: int) -> np.ndarray:
        """Change of f(user, target) on removing each rating of the user's history, in its order.

        Returns:
            (n / together,), in the units of the score, of the parameters' dtype.

        Raises:
            RuntimeError: conjugate gradients did not converge.
        """
        score = self.predict(*self.parameters, *torch.tensor([[user], [target]]))
        right = _flat(grad(score.sum(), self.parameters))
        near = self._preconditioner and LinearOperator(self._hessian.shape, self._preconditioner, dtype=right.dtype)
        solution, failed = cg(
            self._hessian, right, rtol=self.config.tolerance, maxiter=self.config.max_iterations, M=near
        )
        if failed:
            raise RuntimeError(
                f"influence on item {target} for user {user}: conjugate gradients did not reach tolerance"
                f" {self.config.tolerance} in {self.config.max_iterations} iterations; raise damping or"
                " max_iterations, of a study in explanation.influence"
            )
        rows = torch.from_numpy(self.ratings.rows_of(user))
        users, items, values = self._users[rows], self._items[rows], self._values[rows]

        def losses(*parameters: Tensor) -> Tensor:
            return self.loss(self.predict(*parameters, users, items), values) + self.penalty(*parameters, users, items)

        _, along = jvp(losses, tuple(self.parameters), tuple(self._unflat(solution)))
        return along.numpy().reshape(-1, self._together).sum(axis=1) / len(self.ratings)

    @property
    def _hessian(self) -> LinearOperator:
        size = sum(parameter.numel() for parameter in self.parameters)
        dtype = self._values.numpy().dtype
        return LinearOperator((size, size), lambda v: self._product(v) + self.damping * v, dtype=dtype)

    def _product(self, vector: np.ndarray) -> np.ndarray:
        """H v without its damping, shaped like v."""
        pieces = self._unflat(vector)
        return sum(_flat(self._summed(block)(pieces)) for block in range(len(self._blocks))) / len(self.ratings)

    def _gauss_newton(self, block: int) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
        """v -> (Jᵀ L'' J + ridge) v, summed over the ratings of a block."""
        at = self._blocks[block]
        users, items = self._users[at], self._items[at]
        predicted = self.predict(*self.parameters, users, items)
        # Jᵀw is linear in w, and the derivative of v · Jᵀw by w is Jv
        weights = torch.zeros_like(predicted, requires_grad=True)
        pulled = grad(predicted, self.parameters, weights, create_graph=True)
        seen = predicted.detach().requires_grad_()
        (slopes,) = grad(self.loss(seen, self._values[at]).sum(), seen, create_graph=True)
        (curvature,) = grad(slopes.sum(), seen)
        # the gradient of a weighted sum of squares, taken at ones, is the diagonal of its Hessian
        ones = [torch.ones_like(parameter, requires_grad=True) for parameter in self.parameters]
        ridge = grad(self.penalty(*ones, users, items).sum(), ones, materialize_grads=True)

        def product(pieces: Sequence[Tensor]) -> Sequence[Tensor]:
            (along,) = grad(pulled, weights, pieces, retain_graph=True)
            back = grad(predicted, self.parameters, curvature * along, retain_graph=True)
            return [each + diagonal * piece for each, diagonal, piece in zip(back, ridge, pieces, strict=True)]

        return product

    def _exact(self, block: int) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
        """v -> the second derivative of the loss, summed over the ratings of a block, times v."""
        at = self._blocks[block]
        users, items = self._users[at], self._items[at]
        losses = self.loss(self.predict(*self.parameters, users, items), self._values[at])
        losses = losses + self.penalty(*self.parameters, users, items)
        slopes = grad(losses.sum(), self.parameters, create_graph=True)
        return lambda pieces: grad(slopes, self.parameters, pieces, retain_graph=True)

    def _unflat(self, vector: np.ndarray) -> list[Tensor]:
        pieces = torch.from_numpy(vector).split([parameter.numel() for parameter in self.parameters])
        return [piece.reshape(like.shape) for piece, like in zip(pieces, self.parameters, strict=True)]


def _enough(damping: float, smallest: float) -> float:
    """What damps a Hessian with this smallest eigenvalue, see ``Influence``."""
    return max(damping, -2 * smallest)


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).numpy()


def factorization_influence(
    model: MatrixFactorizationModel, ratings: Ratings, recommender: MatrixFactorization, config: InfluenceConfig
) -> Influence:
    """Influence on matrix factorisation, whose loss on a rating r_ui is
    (r_ui - f(u, i))² + regularization · (b_u² + b_i² + |p_u|² + |q_i|²): a visit shrinks the rows it visits, so an
    item with many ratings is shrunk often. The mean is held fixed: without one rating of n it moves by less than
    the scale's length / n, for all scores alike.

    Conjugate gradients are preconditioned by the Hessian's blocks of single users and items, which are all of it that
    does not tie a user to an item: so they need fewer products.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        recommender: what trained it.
        config: see ``Influence``.
    """
    mean, biased, regularization = float(model.mean), float(recommender.biased), recommender.regularization

    def predict(b_u: Tensor, b_i: Tensor, p: Tensor, q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        # without biases theirs are 0, tied to nothing
        return mean + biased * (b_u[users] + b_i[items]) + (p[users] * q[items]).sum(dim=1)

    def penalty(b_u: Tensor, b_i: Tensor, p: Tensor, q: Tensor, users: Tensor, items: Tensor) -> Tensor:
        of_users, of_items = b_u.square() + p.square().sum(dim=1), b_i.square() + q.square().sum(dim=1)
        return regularization * (of_users[users] + of_items[items])

    arrays = (model.user_biases, model.item_biases, model.user_embeddings, model.item_embeddings)
    parameters = [torch.from_numpy(array.astype(np.float64)) for array in arrays]
    ridge = biased, regularization, config.damping
    of_users = _inverse_blocks(ratings.users, model.item_embeddings[ratings.items], ratings.n_users, *ridge)
    of_items = _inverse_blocks(ratings.items, model.user_embeddings[ratings.users], ratings.n_items, *ridge)

    def precondition(vector: np.ndarray) -> np.ndarray:
        b_u, b_i, p, q = np.split(vector, np.cumsum([array.size for array in arrays])[:-1])
        users, items = (
            (inverses @ np.column_stack([biases, rows.reshape(len(biases), -1)])[..., None])[..., 0]
            for inverses, biases, rows in ((of_users, b_u, p), (of_items, b_i, q))
        )
        return np.concatenate([users[:, 0], items[:, 0], users[:, 1:].ravel(), items[:, 1:].ravel()])

    def loss(f: Tensor, values: Tensor) -> Tensor:
        return (values - f).square()

    return Influence(ratings, predict, loss, penalty, parameters, config, preconditioner=precondition)


def _inverse_blocks(
    rows: np.ndarray, others: np.ndarray, count: int, biased: float, regularization: float, damping: float
) -> np.ndarray:
    """Inverses of the blocks of the damped Gauss-Newton Hessian that belong to each user, or each item.

    Args:
        rows: (n,), user (or item) of each rating.
        others: (n, f), embedding of its item (or user).
        count: number of users (or items).
        biased: 1, or 0 where there are no biases.

    Returns:
        float64 (count, f + 1, f + 1), bias first.
    """
    design = np.insert(others.astype(np.float64), 0, biased, axis=1)
    identity = np.eye(design.shape[1])
    groups = np.split(design[np.argsort(rows, kind="stable")], np.cumsum(np.bincount(rows, minlength=count))[:-1])
    blocks = [2 * (group.T @ group + len(group) * regularization * identity) / len(rows) for group in groups]
    return np.linalg.inv(np.stack(blocks) + damping * identity)


def neural_influence(
    model: NeuralCollaborativeFilteringModel,
    ratings: Ratings,
    config: InfluenceConfig,
    dtype: torch.dtype = torch.float32,
    negatives: np.ndarray | None = None,
) -> Influence:
    """Exact influence on neural collaborative filtering, whose loss on a rating is the squared error on [0, 1]; or with
    negatives, the cross-entropy on it and on them, which a deletion takes away with it.

    Every epoch samples other negatives, but θ̂ is taken for the arg min of the loss on one epoch's.

    Stopped where its error on new ratings is lowest, the model is far from an optimum and its Hessian is indefinite:
    hence the damping of ``Influence``, which shrinks predictions but keeps their order near retraining's (tested).

    Args:
        model: θ̂.
        ratings: what it was trained on.
        config: see ``Influence``.
        dtype: that of the computation.
        negatives: int32 (n, k), of the last epoch, see ``NeuralCollaborativeFiltering.sampled_negatives``; None if
            ratings were learnt.
    """
    examples, together = _examples(ratings, negatives)
    predict, loss, parameters = _neural(model, dtype, negatives is not None)
    return Influence(
        examples, predict, loss, lambda *_: torch.zeros(()), parameters, config, exact=True, together=together
    )


def neural_block(
    model: NeuralCollaborativeFilteringModel,
    ratings: Ratings,
    user: int,
    target: int,
    negatives: np.ndarray | None = None,
) -> np.ndarray:
    """Eq. (10) over the user's and the target's embeddings alone (p_u, q_i, s_u, t_i): ``influence.Changes``, float64.
    Negatives as in ``neural_influence``.

    As FIA (Cheng et al., KDD 2019) and ACCENT (Tran et al., SIGIR 2021): loss and Hessian are averaged over the ratings
    of the user and of the target, and 1/n counts these. They damp by ``BLOCK_DAMPING``; where that leaves the Hessian
    indefinite, they leave it so, but here it is damped as ``Influence`` damps an exact one. Solved directly.

    Args:
        model: θ̂.
        ratings: what it was trained on.
        user, target: indices.
    """
    ratings, together = _examples(ratings, negatives)
    predict, loss, parameters = _neural(model, torch.float64, negatives is not None)
    tables, layers = parameters[:4], parameters[4:]
    rows = np.flatnonzero((ratings.users == user) | (ratings.items == target))
    own = np.flatnonzero(ratings.users[rows] == user)
    values = torch.from_numpy(ratings.values[rows].astype(np.float64))
    # of tables only the rows that the losses read, those of the user and the target last in the indices
    (of_users, users), (of_items, items) = (
        map(torch.from_numpy, np.unique(np.append(index[rows], asked).astype(np.int64), return_inverse=True))
        for index, asked in ((ratings.users, user), (ratings.items, target))
    )
    tables = [table[each] for table, each in zip(tables, (of_users, of_items, of_users, of_items), strict=True)]
    places = [each[-1:] for each in (users, items, users, items)]

    def score(block: Tensor, users: Tensor, items: Tensor) -> Tensor:
        pieces = block.split([table.shape[1] for table in tables])
        put = [table.index_put((place,), piece) for table, place, piece in zip(tables, places, pieces, strict=True)]
        return predict(*put, *layers, users, items)

    def losses(block: Tensor) -> Tensor:
        return loss(score(block, users[:-1], items[:-1]), values)

    block = torch.cat([table[place[0]] for table, place in zip(tables, places, strict=True)])
    hessian = torch.func.hessian(lambda block: losses(block).mean())(block)
    damping = _enough(BLOCK_DAMPING, float(torch.linalg.eigvalsh(hessian)[0]))
    gradient = torch.func.grad(lambda block: score(block, users[-1:], items[-1:]).sum())(block)
    solution = torch.linalg.solve(hessian + damping * torch.eye(len(block), dtype=block.dtype), gradient)
    _, along = torch.func.jvp(losses, (block,), (solution,))
    changes = along[own].numpy() / len(rows)
    return changes.reshape(-1, together).sum(axis=1)


def _examples(ratings: Ratings, negatives: np.ndarray | None) -> tuple[Ratings, int]:
    """What the loss is taken on, and how many of them belong to a rating: with negatives, a 1 and then their 0s."""
    if negatives is None:
        return ratings, 1
    items = np.column_stack([ratings.items, negatives])
    values = np.zeros(items.shape, dtype=np.float32)
    values[:, 0] = 1
    users = np.repeat(ratings.users, items.shape[1])
    return replace(ratings, users=users, items=items.ravel(), values=values.ravel()), items.shape[1]


def _neural(
    model: NeuralCollaborativeFilteringModel, dtype: torch.dtype, has_negatives: bool
) -> tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor], list[Tensor]]:
    """f and the loss, see ``Influence``, and the parameters: p, q, s, t; each layer's matrix and bias; h and b."""
    low, span = float(model.low), float(model.high - model.low)

    def predict(p: Tensor, q: Tensor, s: Tensor, t: Tensor, *layers: Tensor) -> Tensor:
        *layers, output_weights, output_bias, users, items = layers
        units = torch.cat([s[users], t[items]], dim=1)
        for matrix, bias in zip(layers[::2], layers[1::2], strict=True):
            units = torch.relu(units @ matrix.T + bias)
        logits = torch.cat([p[users] * q[items], units], dim=1) @ output_weights + output_bias
        return low + span * torch.sigmoid(logits)

    tables = model.gmf_users, model.gmf_items, model.mlp_users, model.mlp_items
    layers = (part for layer in zip(model.matrices, model.biases, strict=True) for part in layer)
    arrays = (*tables, *layers, model.output_weights, model.output_bias)
    return (
        predict,
        partial(binary_cross_entropy, reduction="none")
        if has_negatives
        else lambda f, values: ((values - f) / span).square(),
        [torch.tensor(array, dtype=dtype) for array in arrays],
    )
