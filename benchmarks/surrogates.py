"""What the linear surrogates are solved by, beside what could solve them: exactness and processor time in one run.

    python benchmarks/surrogates.py            some minutes; writes benchmarks/results/surrogates_*.csv
    python benchmarks/surrogates.py --quick    fewer deletions and repeats; only prints

On outcomes recorded on MovieLens-100K, as many as the study records. Timed by the clock of the process, on one thread,
in interleaved repeats. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
import torch
from hadyounot import MatrixFactorization
from hadyounot.method import effects, linear
from hadyounot.method.choices import PRODUCTS
from hadyounot.method.features import Representation, SurrogateData
from hadyounot.method.outcomes import Outcomes, simulate
from hadyounot.method.settings import LassoConfig
from hadyounot.method.surrogates import occurring_classes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram, lasso_path
from timing import QUICK, machine, movielens, publish, race

USERS, DELETIONS, TARGETS = (10, 20, 20) if QUICK else (100, 200, 20)
REPEATS = 1 if QUICK else 3
MF = MatrixFactorization(factors=16, epochs=20, learning_rate=0.01, regularization=0.1, init_scale=0.1)
OURS = "hadyounot"


def recorded() -> tuple[Outcomes, Callable[[tuple[str, ...]], Representation]]:
    """Outcomes, and representations with products."""
    ratings = movielens()
    users = np.flatnonzero(np.bincount(ratings.users) >= 3)
    users = np.random.default_rng(0).permutation(users)[:USERS].tolist()
    model = MF.fit(ratings)
    residuals = ratings.values - model.scores(range(ratings.n_users))[ratings.users, ratings.items]
    embeddings = model.user_embeddings, model.item_embeddings
    return simulate(MF, ratings, users, 3, DELETIONS, TARGETS, 0), lambda products: Representation(
        *embeddings, products, ratings=ratings, residuals=residuals
    )


def table(rows: list[dict[str, object]], seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """The rows with the milliseconds of their variants."""
    ours = np.median(seconds[OURS])
    return [
        row | {"ms": 1e3 * np.median(each), "ms_min": 1e3 * min(each), "times_ours": np.median(each) / ours}
        for row, each in zip(rows, seconds.values(), strict=True)
    ]


# LASSO


class Lasso(NamedTuple):
    """min ½w'Cw - c'w + penalty·|w|₁, at each penalty."""

    moments: np.ndarray
    penalties: np.ndarray

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return linear._correlations(self.moments)

    def shipped(self) -> np.ndarray:
        scale = self.parts[2]
        return linear._lasso(self.moments, self.penalties)[:, 1:] * np.where(np.isfinite(scale), scale, 0)

    def root(self) -> tuple[np.ndarray, np.ndarray]:
        """R and z such that R'R = C and R'z = c, for solvers that want rows; by eigenvectors, as C may be singular."""
        correlation, covariance, _ = self.parts
        values, vectors = np.linalg.eigh(correlation)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        root = np.sqrt(values[kept])
        return root[:, None] * vectors[:, kept].T, vectors[:, kept].T @ covariance / root

    def by_root(self, tolerance: float) -> np.ndarray:
        rows, response = self.root()
        alphas = self.penalties / len(rows)
        return lasso_path(rows, response, alphas=alphas, tol=tolerance, max_iter=100_000)[1].T

    def by_gram(self, tolerance: float) -> np.ndarray:
        """It asks for rows even so, and ends by their duality gap."""
        correlation, covariance, _ = self.parts
        rows, response = self.root()
        how = {"precompute": correlation, "Xy": covariance, "tol": tolerance, "max_iter": 100_000}
        return lasso_path(rows, response, alphas=self.penalties / len(rows), **how)[1].T

    def by_angles(self) -> np.ndarray:
        """As shipped, but without a ridge."""
        correlation, covariance, _ = self.parts
        unit = self.penalties[-1]
        how = {"n_samples": 1, "method": "lasso", "alpha_min": 1, "max_iter": 100_000}
        knots, _, path = lars_path_gram(covariance / unit, correlation, **how)
        return unit * np.column_stack([np.interp(self.penalties / unit, knots[::-1], each[::-1]) for each in path])

    def objective(self, weights: np.ndarray) -> np.ndarray:
        correlation, covariance, _ = self.parts
        squares = np.einsum("kf,fg,kg->k", weights, correlation, weights) / 2
        return squares - weights @ covariance + self.penalties * np.abs(weights).sum(axis=1)

    def violation(self, weights: np.ndarray) -> float:
        """Of the conditions of Karush, Kuhn and Tucker, over the penalty; the largest of any weight and penalty."""
        correlation, covariance, _ = self.parts
        pull = (covariance - weights @ correlation) / self.penalties[:, None]
        weights = np.where(np.abs(weights) > 1e-12 * np.abs(weights).max(), weights, 0)
        return np.where(weights != 0, np.abs(pull - np.sign(weights)), np.maximum(np.abs(pull) - 1, 0)).max()


def lasso(outcomes: Outcomes, represent: Callable[[tuple[str, ...]], Representation]) -> pd.DataFrame:
    """All penalties of a fold: of all users, and of one, whose features depend on each other."""
    rows = []
    for products in ((), PRODUCTS):
        data = represent(products).data(outcomes, effects.reg(outcomes))
        for n_users in (USERS, 1):
            users = np.unique(data.users)[:n_users]
            moments = sum(linear._moments(data.select(data.users == user)) for user in users)
            correlation, covariance, _ = linear._correlations(moments)
            config, largest = LassoConfig(), np.abs(covariance).max()
            problem = Lasso(moments, np.geomspace(largest, largest * config.path_ratio, config.penalties))
            runs = {
                OURS: problem.shipped,
                "lars_path_gram, no ridge": problem.by_angles,
                "lasso_path of an eigen-root, tol 1e-8": lambda problem=problem: problem.by_root(1e-8),
                "lasso_path with the Gram matrix, tol 1e-8": lambda problem=problem: problem.by_gram(1e-8),
            }
            if n_users > 1:  # of one user it takes a quarter of a minute
                runs["lasso_path of an eigen-root, tol 1e-14"] = lambda problem=problem: problem.by_root(1e-14)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = {name: run() for name, run in runs.items()}
                seconds = race(runs, REPEATS, time.process_time)
            objectives = {name: problem.objective(weights) for name, weights in found.items()}
            best, explained = np.min(list(objectives.values()), axis=0), (problem.root()[1] ** 2).sum() / 2
            rows += table(
                [
                    {
                        "products": "+".join(products) or "none",
                        "users": n_users,
                        "features": len(correlation),
                        "rank": np.linalg.matrix_rank(correlation),
                        "variant": name,
                        "violation": problem.violation(weights),
                        "excess": ((objectives[name] - best) / explained).max(),
                    }
                    for name, weights in found.items()
                ],
                seconds,
            )
    return pd.DataFrame(rows)


# Logistic regression


class InTorch:
    """The objective of ``linear._Softmax`` on the same factored rows, differentiated by PyTorch."""

    def __init__(self, softmax: linear._Softmax, labels: np.ndarray, how: str):
        data = softmax.data
        self.shape, self.how, self.n_fixed = softmax.shape, how, data.deletion_features.shape[1]
        self.widths = data.widths
        self.mean, self.scale, self.user, self.deletion, self.item, self.crossed = (
            torch.from_numpy(array)
            for array in (
                softmax.mean, softmax.scale, data.user_embeddings, data.deletion_features, data.item_embeddings,
                data.crossed,
            )
        )  # fmt: skip
        self.users, self.targets = (torch.from_numpy(index.astype(np.int64)) for index in (data.users, data.targets))
        self.phi = self.item[self.targets] if data.crossed.shape[1] else None
        self.labels = torch.from_numpy(labels.astype(np.int64)).reshape(-1)
        self.truth = [torch.from_numpy(sums) for sums in softmax.truth]

    def of_targets(self, of_items: torch.Tensor) -> torch.Tensor:
        return of_items.index_select(0, self.targets.reshape(-1)).reshape(*self.targets.shape, -1)

    def loss(self, standardised: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        """As ``linear._Softmax.loss``."""
        standardised = torch.from_numpy(standardised).reshape(self.shape).requires_grad_()
        weights = standardised[1:] / self.scale[:, None]
        user, deletion, target = weights.split(self.widths)
        fixed, crossed = deletion.split([self.n_fixed, len(deletion) - self.n_fixed])
        crossed = crossed.reshape(*self.crossed.shape[1:], self.shape[1])
        parts = [
            self.user @ user + standardised[0] - self.mean @ weights, self.deletion @ fixed, self.item @ target, crossed
        ]  # fmt: skip
        base = parts[0].index_select(0, self.users) + parts[1]
        if self.how == "products":
            top = base.detach().amax(dim=1, keepdim=True)
            rows = self.of_targets(parts[2].exp()) @ (base - top).exp()[..., None]
            loss = rows.log().sum() + top.sum() * self.targets.shape[1]
        else:
            logits = base[:, None] + self.of_targets(parts[2])
            if self.phi is not None:
                pull = torch.einsum("njq,jqc->nqc", self.crossed, crossed)
                logits = torch.baddbmm(logits, self.phi, pull)
            if self.how == "cross_entropy":
                loss = torch.nn.functional.cross_entropy(logits.flatten(end_dim=1), self.labels, reduction="sum")
            else:
                loss = logits.logsumexp(dim=-1).sum()
        if self.how != "cross_entropy":
            loss = loss - sum((count * part).sum() for count, part in zip(self.truth, parts, strict=True))
        loss = loss / len(self.labels) + penalty / 2 * standardised[1:].square().sum()
        loss.backward()
        return loss.item(), standardised.grad.numpy().ravel()


def softmax(outcomes: Outcomes, represent: Callable[[tuple[str, ...]], Representation]) -> pd.DataFrame:
    """One evaluation of the objective and its gradient, of which a fit needs about a hundred for each penalty."""
    rows = []
    for products in ((), ("target",), PRODUCTS):
        once = represent(products).data(outcomes, effects.clf(outcomes))
        for times in (1,) if QUICK else (1, 10):
            rows += gradients(products, once.select(np.tile(np.arange(len(once.users)), times)))
    return pd.DataFrame(rows)


def gradients(products: tuple[str, ...], data: SurrogateData) -> list[dict[str, object]]:
    classes, labels = occurring_classes(data.effects)
    ours = linear._Softmax(data, labels, len(classes))
    at = 0.1 * np.random.default_rng(0).normal(size=ours.shape).ravel()
    contenders = {
        OURS: ours,
        "PyTorch, cross_entropy of all logits": InTorch(ours, labels, "cross_entropy"),
        "PyTorch, logsumexp and sums of each class": InTorch(ours, labels, "logsumexp"),
    }
    if not products:
        contenders["PyTorch, exponentials as products"] = InTorch(ours, labels, "products")
    loss, gradient = ours.loss(at, 0.01)
    runs = {name: lambda each=each: each.loss(at, 0.01) for name, each in contenders.items()}
    found = {name: run() for name, run in runs.items()}
    return table(
        [
            {
                "products": "+".join(products) or "none",
                "deletions": len(data.users),
                "rows": data.effects.size,
                "variant": name,
                "loss_error": abs(theirs - loss) / loss,
                "gradient_error": np.abs(slope - gradient).max() / np.abs(gradient).max(),
            }
            for name, (theirs, slope) in found.items()
        ],
        race(runs, REPEATS, time.process_time),
    )


def main():
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    outcomes, represent = recorded()
    publish({
        "surrogates_machine": machine(
            load, ("scikit-learn", "torch"), users=USERS, deletions=len(outcomes.deletions), targets=TARGETS
        ),
        "surrogates_lasso": lasso(outcomes, represent),
        "surrogates_softmax": softmax(outcomes, represent),
    })  # fmt: skip


if __name__ == "__main__":
    main()
