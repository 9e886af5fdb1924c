"""Notebook 60, and how the ablations are tested: eq. (2) on really retrained models, and the controls."""

from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ...compare.oracle import best_of, is_exhaustive, oracle_pools
from ...method.outcomes import Outcomes, compare, record
from ...retrain.ratings import Deletion
from ...rng import generator
from .. import paths
from ..cell import Cell

TOGETHER = 16  # users whose deletions the oracle retrains at once: bounds memory, changes no number

_VERDICT = ("rank_before", "rank_after", "rank_after_readmitted", "score_before", "score_after")


def verify(cell: Cell, explanations: pd.DataFrame, known: pd.DataFrame | None = None) -> tuple[pd.DataFrame, int]:
    """Delete each explanation, retrain, and look where its target is then.

    Explanations that name the same items of a user are one deletion: it is retrained once, and not at all where its
    fate is ``known``.

    Args:
        cell: whose users.
        explanations: schema ``schemas.EXPLANATIONS``, of the users' top recommendations.
        known: schema ``schemas.EVALUATION``: earlier verdicts of the same models.

    Returns:
        schema ``schemas.EVALUATION``, and how many models were retrained.
    """
    named = zip(explanations["user"], explanations["items"], strict=True)
    deletions = [Deletion(int(user), tuple(items)) for user, items in named]
    fates: dict[tuple[int, frozenset[int]], tuple] = {}
    if known is not None:
        tested = known[known["items"].map(len) > 0]
        places = zip(tested["user"], tested["items"], strict=True)
        verdicts = tested[["target", *_VERDICT]].itertuples(index=False, name=None)
        fates = {(user, frozenset(items)): verdict for (user, items), verdict in zip(places, verdicts, strict=True)}
    new = {(each.user, frozenset(each.items)): each for each in deletions}
    new = {place: deletion for place, deletion in new.items() if place not in fates}
    if new:
        outcomes = record(cell.recommender(), cell.train, list(new.values()), 1, cell.trained)
        columns = [outcomes.targets, *(getattr(outcomes, name) for name in _VERDICT)]
        fates |= dict(zip(new, zip(*(column[:, 0] for column in columns), strict=True), strict=True))
    rows = [fates[each.user, frozenset(each.items)] for each in deletions]
    verdicts = pd.DataFrame(rows, columns=["target", *_VERDICT])
    wrong = np.flatnonzero(verdicts["target"].to_numpy() != explanations["target"].to_numpy())
    if wrong.size:
        row = explanations.iloc[wrong[0]]
        raise ValueError(
            f"{row['method']} explains item {row['target']} to user {row['user']}, whose top recommendation is "
            f"{verdicts['target'][wrong[0]]}"
        )
    said = explanations[["user", "target", "method", "items"]].reset_index(drop=True)
    return pd.concat([said, verdicts[list(_VERDICT)]], axis=1), len(new)


def _of(method: str, outcomes: Outcomes) -> pd.DataFrame:
    """Schema ``schemas.EVALUATION``: outcomes of (n, 1) deletions as verdicts on a control."""
    return pd.DataFrame(
        {
            "user": [deletion.user for deletion in outcomes.deletions],
            "target": outcomes.targets[:, 0],
            "method": method,
            "items": [deletion.items for deletion in outcomes.deletions],
            **{name: getattr(outcomes, name)[:, 0] for name in _VERDICT},
        }
    )


def reseed(cell: Cell) -> pd.DataFrame:
    """Nothing deleted, other initial weights: schema ``schemas.EVALUATION``."""
    users = cell.test_users.tolist()
    recommender = cell.recommender("reseed")
    nothing, before, after = [Deletion(user, ()) for user in users], cell.trained, recommender.fit(cell.train)
    scores = before.scores(users), after.scores(users)
    return _of("reseed", compare(cell.train, nothing, *scores, 1, recommender.remove_seen))


def oracle(cell: Cell, tested: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """The best of many deletions really retrained for each test user, every method's explanation among them.

    Args:
        cell: whose test users.
        tested: what ``verify`` found.

    Returns:
        schema ``schemas.EVALUATION``; how many models were retrained; and for how many users every subset was.
    """
    settings, rows, retrained, exact = cell.study.explanation, [], 0, 0
    of_users, users = dict(list(tested.groupby("user"))), cell.test_users.tolist()
    groups = [users[start : start + TOGETHER] for start in range(0, len(users), TOGETHER)]
    for group in tqdm(groups, desc="oracle", unit="group", mininterval=10):
        rngs = [generator(cell.study.seed, "oracle", user) for user in group]
        size, search = settings.explanation_size, settings.oracle
        pools, count = oracle_pools(cell.recommender(), cell.train, cell.trained, group, size, search, rngs)
        for user, pool, rng in zip(group, pools, rngs, strict=True):
            tried = pd.concat([_of("oracle", pool), of_users[user].assign(method="oracle")], ignore_index=True)
            rows.append(tried.iloc[[best_of(tried["rank_after"].to_numpy(), rng)]])
            exact += is_exhaustive(cell.train.history(user), size, search)
        retrained += count
    return pd.concat(rows, ignore_index=True), retrained, exact


def evaluation(cell: Cell) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The verdict on every explanation and on the controls, schema ``schemas.EVALUATION``; and ``retrained``, how many
    models, and ``exact_oracles``, for how many users every subset of the history.
    """

    def make() -> tuple:
        tested, retrained = verify(cell, cell.read(paths.EXPLANATIONS))
        best, searched, exact = oracle(cell, tested)
        facts = {"retrained": retrained + searched + 2, "exact_oracles": exact}  # the original, and another seed's
        return pd.concat([tested, reseed(cell), best], ignore_index=True), facts

    return cell.kept(make, paths.EVALUATION, paths.RETRAININGS)
