"""Notebook 50, and what the ablations explain: step 3, eq. (9), and the baselines."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np
import pandas as pd
from tqdm import tqdm

from ...compare import knn, verified
from ...compare.influence import influences
from ...method import search
from ...method.outcomes import top_items
from ...retrain.ratings import Deletion
from ...rng import generator
from .. import paths
from ..cell import Cell
from ..methods import METHODS, Learner, Method
from .learn import Learned, embeddings, kept_fits, learn, representation

Explainer = Callable[[int, int, np.random.Generator], tuple[int, ...]]
"""(user, target, rng) -> the items of the user's history whose deletion should remove the target."""


Baseline = Callable[[str], Explainer | None]
"""option of a method -> what explains; None where the model does not show what that needs."""


def _random(cell: Cell) -> Baseline:
    size = cell.study.explanation.explanation_size
    return lambda option: lambda user, target, rng: knn.random_items(cell.train.history(user), size, rng)


def _nearest(cell: Cell) -> Baseline:
    items, size = embeddings(cell)[1], cell.study.explanation.explanation_size
    return lambda metric: (
        lambda user, target, rng: knn.nearest(items, cell.train.history(user), target, size, rng, metric)
    )


def _influence(cell: Cell) -> Baseline:
    settings = cell.study.explanation
    found = influences(cell.trained, cell.train, cell.recommender(), settings.influence)

    def baseline(option: str) -> Explainer | None:
        explain = found.get(option)
        return explain and (lambda user, target, rng: explain(user, target, settings.explanation_size, rng))

    return baseline


def _unlearned(cell: Cell) -> Baseline:
    """What our surrogate is told and the paper's is not, with every weight 1: those d of largest residual · ⟨φ_d, φ_i⟩.

    On matrix factorisation that is the inner product of two gradients by p_u, the squared error's of d and the target's
    score's, as TracIn has them (Pruthi et al., NeurIPS 2020): eq. (10) over p_u with the identity for a Hessian. So
    what ours has above it is what learning adds.
    """
    size, told = cell.study.explanation.explanation_size, representation(cell, Learner(products=("residual",)))
    width = told.item_embeddings.shape[1]

    def explainer(user: int, target: int, rng: np.random.Generator) -> tuple[int, ...]:
        history = cell.train.history(user)
        products = told.item_features(user, target, history)[:, width:]  # after φ_d
        return search.exact(products.sum(axis=1, dtype=np.float64), history, size, rng)

    return lambda option: explainer


def prover(cell: Cell) -> Callable[..., verified.Explanation]:
    """``compare.verified.explain`` of the cell's recommender: (user, target, top_k, size, budget) -> what it found."""
    recommender, train, trained = cell.recommender(), cell.train, cell.trained
    recommender.retrain(train, [Deletion(int(cell.test_users[0]), ())])  # compiles: not in the first user's time
    return lambda *asked: verified.explain(recommender, train, *asked, trained)


def provable(cell: Cell, user: int) -> list[int]:
    """Each K of the study, ascending, for which there are other candidates to take the target's place."""
    others = np.count_nonzero(cell.candidates(user)) - 1
    return [top_k for top_k in sorted(cell.study.explanation.top_k) if top_k <= others]


def _verified(cell: Cell) -> Baseline:
    """An explanation proven for one K after the other, until none is found: what pushes the target furthest is said."""
    settings, prove = cell.study.explanation, prover(cell)

    def explainer(user: int, target: int, rng: np.random.Generator) -> tuple[int, ...]:
        found: list[verified.Explanation] = []
        for top_k in provable(cell, user):
            found.append(prove(user, target, top_k, settings.explanation_size, settings.budget))
            if not found[-1].valid:
                break
        if not found:  # nothing can take the target's place, whatever is deleted
            return knn.random_items(cell.train.history(user), settings.explanation_size, rng)
        return max(found, key=lambda each: each.rank_after).items

    return lambda option: explainer


BASELINES = {
    "random": _random,
    "nearest": _nearest,
    "influence": _influence,
    "unlearned": _unlearned,
    "verified": _verified,
}
"""By name, cell -> what its options are; prepared once for all, as the Hessian of a neural model takes seconds."""

_SEARCHES = {"best": search.explain, "sampled": search.sampled, "beam": search.beam}


def _surrogate(cell: Cell, method: Method, learned: Learned) -> Explainer:
    settings, told = cell.study.explanation, learned.representation
    budget = method.budget or settings.max_candidates

    def explainer(user: int, target: int, rng: np.random.Generator) -> tuple[int, ...]:
        history = cell.train.history(user)
        return _SEARCHES[method.search](
            learned.surrogate,
            told.user_embeddings[user],
            told.item_features(user, target, history),
            told.item_embeddings[target],
            history,
            settings.explanation_size,
            budget,
            rng,
        )

    return explainer


def _explainers(cell: Cell, methods: Iterable[Method], learned: Mapping[str, Learned]) -> dict[Method, Explainer]:
    """What carries out each method; without those that need what the model does not show."""
    baseline = cache(lambda name: BASELINES[name](cell))
    found = {}
    for method in methods:
        if method.learner:
            found[method] = _surrogate(cell, method, learned[method.name])
        elif method.baseline and (explainer := baseline(method.baseline)(method.option)):
            found[method] = explainer
    return found


def targets(cell: Cell) -> dict[int, int]:
    """The top recommendation of every test user, by user: what is explained."""
    users = cell.test_users.tolist()
    scores = zip(users, cell.trained.scores(users), strict=True)
    return {user: int(top_items(each, cell.candidates(user), 1)[0]) for user, each in scores}


def explain(cell: Cell, methods: Iterable[Method], learned: Mapping[str, Learned]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """An explanation of every test user's top recommendation by each method that explains, one at a time, on one core.

    Args:
        cell: whose test users.
        methods: a method without what it needs (influence functions of a black box) is passed over.
        learned: what those that learn predict with, see ``learn``.

    Returns:
        schemas ``schemas.EXPLANATIONS`` and ``schemas.GENERATION_TIME``. What a method prepares once for all users is
        not in its time; what the paper's Figure 5 counts, it does not say.
    """
    explainers = _explainers(cell, methods, learned)
    explained, times = [], []
    for user, target in tqdm(targets(cell).items(), desc="explain", unit="user", mininterval=10):
        for method, explainer in explainers.items():
            rng = generator(cell.study.seed, "explain", *filter(None, (method.family, method.name)), user)
            started = time.perf_counter()
            items = explainer(user, target, rng)
            times.append((user, method.name, time.perf_counter() - started))
            explained.append((user, target, method.name, items))
    return (
        pd.DataFrame(explained, columns=["user", "target", "method", "items"]),
        pd.DataFrame(times, columns=["user", "method", "seconds"]),
    )


def explanations(cell: Cell) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every method says to every test user, and how long it took; see ``explain``."""

    def make() -> tuple:
        return explain(cell, METHODS, learn(kept_fits(cell), METHODS))

    return cell.kept(make, paths.EXPLANATIONS, paths.GENERATION_TIME)
