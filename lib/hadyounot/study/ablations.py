"""What a variant of the method learns from, learns and explains."""

import time
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from ..compare import correlation
from ..method import effects, search
from ..method.features import Representation
from ..method.linear import fit_lasso, fit_logistic
from ..method.mlp import fit_mlp_reg
from ..method.outcomes import Outcomes, candidates, record, sample_deletions, top_items
from ..method.sets import fit_set_network
from ..method.surrogates import Fit, Surrogate
from ..retrain.ratings import Deletion
from ..rng import generator
from . import paths
from .cell import Cell
from .variants import ENCODERS, Variant

SEARCHES = {None: search.explain, "sampled": search.sampled, "beam": search.beam}
EFFECTS = {each.__name__: each for each in (effects.reg, effects.clf, effects.rank, effects.cross, effects.score)}


def recorded(cell: Cell, variant: Variant) -> bool:
    """Whether step 1 recorded deletions of the variant's size: it then learns from them."""
    return variant.size in (None, cell.study.explanation.explanation_size)


def outcomes(cell: Cell, variant: Variant) -> Outcomes:
    """What the variant's surrogate learns from: outcomes of step 1, or of deletions of its own size, really retrained.

    Users whose history is smaller than the deletions are left out.
    """
    users, seed = cell.training_users[: variant.users].tolist(), cell.study.seed
    if recorded(cell, variant):
        everything = cell.outcomes()
        owners = np.array([deletion.user for deletion in everything.deletions])
        return everything.select(
            np.concatenate([np.flatnonzero(owners == user)[: variant.deletions] for user in users])
        )
    deletions = []
    for user in users:
        n = len(cell.train.history(user))
        size = int(variant.size) if variant.size >= 1 else max(1, round(variant.size * n))
        if size <= n:
            deletions += sample_deletions(cell.train, user, size, variant.deletions, seed)
    return record(cell.recommender(), cell.train, deletions, cell.simulation.n_targets)


def fit(cell: Cell, variant: Variant, learnt: Outcomes) -> tuple[Fit, Representation]:
    """The variant's surrogate, and what it is to be told of the items that it may delete."""
    settings, seed = cell.study, cell.study.seed
    folds, effect = settings.surrogates.folds, EFFECTS[variant.effect](learnt)
    representation = cell.representation(variant.products)
    if variant.mask:
        representation = replace(representation, deleted_embeddings=np.eye(cell.train.n_items, dtype=np.float32))
    if variant.surrogate in ENCODERS:
        rng = generator(seed, "ablation", "set_network")  # the same held-out users for all
        return fit_set_network(
            variant.surrogate, representation, learnt, effect, settings.ablations.set_networks, rng
        ), representation
    data = representation.data(learnt, effect)
    # folds and held-out users are those of the surrogate that the variant is compared with
    if variant.surrogate == "mlp":
        return fit_mlp_reg(data, settings.surrogates.mlp, generator(seed, "surrogate", "mlp_reg")), representation
    if variant.surrogate == "logistic":
        rng = generator(seed, "surrogate", "linear_clf")
        return fit_logistic(data, folds, settings.surrogates.logistic, rng), representation
    rng = generator(seed, "surrogate", "linear_reg")
    return fit_lasso(data, folds, settings.surrogates.lasso, rng, variant.least_penalty), representation


def explain(
    cell: Cell, variant: Variant, surrogate: Surrogate, representation: Representation
) -> tuple[list[Deletion], np.ndarray]:
    """An explanation of every test user's top recommendation, and the seconds each took: (test_users,)."""
    settings, train, users = cell.study.explanation, cell.train, cell.test_users.tolist()
    trained = cell.recommender().fit(train)
    budget = variant.budget or (
        cell.study.ablations.set_networks.max_candidates if variant.surrogate in ENCODERS else settings.max_candidates
    )
    method = SEARCHES[variant.searched]
    explained, seconds = [], []
    for user, scores in tqdm(list(zip(users, trained.scores(users), strict=True)), desc="explain", mininterval=10):
        target = int(top_items(scores, candidates(train, user), 1)[0])
        rng, started, history = generator(cell.study.seed, "ablation", user), time.perf_counter(), train.history(user)
        items = method(
            surrogate,
            representation.user_embeddings[user],
            representation.item_features(user, target, history),
            representation.item_embeddings[target],
            history,
            settings.explanation_size,
            budget,
            rng,
        )
        seconds.append(time.perf_counter() - started)
        explained.append(Deletion(user, items))
    return explained, np.array(seconds)


def quality(
    cell: Cell, variant: Variant, surrogate: Surrogate, representation: Representation
) -> dict[str, float | None]:
    """How well the variant predicts Δŷ_reg of test users, whom no variant has seen: on the deletions of Figure 7.

    Returns:
        ``r2``, None where it learnt another effect, and ``spearman``, the mean rank correlation within a user and
        target; see ``correlation.quality``. None where they are not defined.
    """
    unseen = Outcomes.read(cell.path(paths.CORRELATION_OUTCOMES))
    users = np.array([deletion.user for deletion in unseen.deletions])
    predicted = correlation.predictions(surrogate, representation, unseen)
    found = correlation.quality(users, effects.reg(unseen), predicted)
    known = {"r2": found["r2"] if variant.effect == "reg" else np.nan, "spearman": found["spearman"]}
    return {name: float(value) if np.isfinite(value) else None for name, value in known.items()}
