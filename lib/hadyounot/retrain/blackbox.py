"""A recommender that others wrote: anything with ``fit`` and ``scores``, retrained once per set of deleted ratings."""

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pickle import PicklingError
from typing import Any, Protocol

import numba
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from sklearn.utils.extmath import svd_flip
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ..rng import generator
from .base import checked, known_users
from .ratings import Deletion, Ratings
from .settings import lacking

PROCESSES_PAY = 2.0  # seconds of retraining from which on starting processes is worth the wait
LONG = 10.0  # seconds of retraining from which on the cost is told beforehand and progress is shown


class NotRepeatable(RuntimeWarning):
    """Two trainings on the same ratings gave different scores, or one model did, asked twice."""


class Scorer(Protocol):
    """What ``BlackBox`` needs of an object.

    Once fitted it may have ``user_embeddings`` (n_users, p) and ``item_embeddings`` (n_items, q) as well. Wherever an
    array is due, a tensor on any device will do, and for embeddings a torch module with a ``weight``.
    """

    def fit(self, ratings: Ratings) -> Any:
        """Train, from scratch, on ratings in which any user or item may be without one; what is returned is ignored."""

    def scores(self, user: int) -> np.ndarray:
        """(n_items,): what the items are ranked by for the user (index), the best highest.

        All finite, but for -inf in place of items that the user rated, as ranking libraries mask them: no candidates,
        they count as the lowest of the others.
        """


@dataclass(frozen=True, eq=False)
class BlackBoxModel:
    """A fitted object of somebody else's.

    Attributes:
        fitted: the object.
        ratings: what it was fitted on.
        user_embeddings: float32 (n_users, p), the object's own or a truncated SVD's.
        item_embeddings: float32 (n_items, q), likewise.
    """

    fitted: Scorer
    ratings: Ratings
    user_embeddings: np.ndarray
    item_embeddings: np.ndarray

    @threadpool_limits.wrap(limits=1)
    def scores(self, users: Sequence[int]) -> np.ndarray:
        """f(u, ·): float32 (len(users), n_items), in the object's own units.

        Raises:
            ValueError: a user index is unknown, or the object returns something else than n_items finite numbers.
        """
        return _scores(self.fitted, known_users(users, self.ratings.n_users), self.ratings)


class BlackBox:
    """Explains any recommender: ``factory()`` returns a fresh, unfitted ``Scorer``.

    Where a ``Scorer`` is given instead of a factory, every training starts from a deep copy of it.

    What makes a retrained model comparable is the factory's duty: a fixed seed, and nothing kept from an earlier
    training. A deletion renumbers nothing: users and items keep their indices, ``n_users`` and ``n_items``. An
    object that makes ids of its own, from the ratings it sees, would shuffle its initial weights at each deletion.

    Args:
        factory: see above; a lambda or a class of a notebook will do.
        factors: length of the embeddings, where the object has not both of its own: see ``svd_embeddings``.
        remove_seen: see ``Recommender``.

    Raises:
        ValueError: the factory is neither.
    """

    makes = BlackBoxModel

    def __init__(self, factory: Callable[[], Scorer] | Scorer, factors: int = 16, remove_seen: bool = True):
        is_object = hasattr(factory, "fit") and not isinstance(factory, type)
        if not (is_object or callable(factory)):
            raise ValueError(
                f"factory is {factory!r}: give a class, a function that returns a fresh recommender, or an object with "
                "fit(ratings) and scores(user)"
            )
        self.factory = partial(_copied, factory) if is_object else factory
        self.factors = factors
        self.remove_seen = remove_seen

    def fit(self, ratings: Ratings) -> BlackBoxModel:
        """The model trained on all ratings.

        Raises:
            ValueError: the object's embeddings are not one row of finite numbers per user, or item.
        """
        fitted = _trained(self.factory, ratings, ())
        sides = {"user_embeddings": ratings.n_users, "item_embeddings": ratings.n_items}
        tables = {side: getattr(fitted, side, None) for side in sides}
        if any(table is None for table in tables.values()):
            tables = dict(zip(sides, svd_embeddings(ratings, self.factors), strict=True))
        for side, count in sides.items():
            tables[side] = _array(fitted, side, tables[side])
            _require(tables[side].ndim == 2 and len(tables[side]) == count, fitted, side, tables[side], f"({count}, p)")
        return BlackBoxModel(fitted, ratings, **tables)

    def retrain(
        self, ratings: Ratings, deletions: Sequence[Deletion], watched: Sequence[int] | None = None
    ) -> np.ndarray:
        """See ``Recommender.retrain``: float32 (len(deletions), n_items).

        Deletions that leave the same ratings share a training, so an empty one for every user costs one. The first
        training is done twice, to time it and to see whether the object repeats itself. The others run in
        ``numba.get_num_threads()`` processes where that pays, each with one BLAS thread, after the first one has given
        the same scores there; a long job says on stderr what it will cost, and how far it is.

        Raises:
            ValueError: as ``Recommender.retrain``.
            RuntimeError: training or scoring failed, or the scores are not n_items finite numbers, or are others in
                another process; the message names the deletion. Or one of the processes was killed.

        Warns:
            NotRepeatable: two trainings on the same ratings gave different scores, or one model did, asked twice.
            RuntimeWarning: the factory cannot be sent to another process, so that all trainings run in this one.
        """
        skipped, users = checked(ratings, deletions, watched)
        shared: dict[tuple[int, ...], list[int]] = {}
        for number, rows in enumerate(skipped):
            shared.setdefault(tuple(rows.tolist()), []).append(number)
        jobs = [
            (self.factory, ratings, rows, deletions[numbers[0]], users[numbers].tolist())
            for rows, numbers in shared.items()
        ]
        scores = np.empty((len(deletions), ratings.n_items), dtype=np.float32)
        for numbers, found in zip(shared.values(), _run(jobs), strict=True):
            scores[numbers] = found
        return scores


def svd_embeddings(ratings: Ratings, factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of any recommender's users and items: a truncated SVD of the ratings, 0 where there is none.

    With R ≈ U diag(s) Vᵀ, they are U diag(√s) and V diag(√s), largest s first, so that their products are the
    best approximation of R. The signs are fixed: the largest entry of each column of U is positive.

    Returns:
        float32 (n_users, p) and (n_items, p), p = ``factors`` but less than n_users and n_items.

    Raises:
        ValueError: there are not two users and two items.
    """
    shape = ratings.n_users, ratings.n_items
    if min(shape) < 2:
        raise ValueError(f"{shape[0]} users and {shape[1]} items have no truncated SVD: give embeddings of your own")
    table = csr_matrix((ratings.values.astype(np.float64), (ratings.users, ratings.items)), shape=shape)
    if not table.count_nonzero():
        return tuple(np.zeros((side, min(factors, min(shape) - 1)), np.float32) for side in shape)
    start = generator(0, "svd").normal(size=min(shape))  # where ARPACK starts
    u, s, vt = svds(table, k=min(factors, min(shape) - 1), v0=start, rng=generator(0, "svd restart"))
    u, vt = svd_flip(u[:, ::-1], vt[::-1])
    return tuple((side * np.sqrt(s[::-1])).astype(np.float32) for side in (u, vt.T))


def _run(jobs: list[tuple]) -> Iterable[np.ndarray]:
    """``_retrained`` of every job, in order."""
    if not jobs:
        return
    first = _retrained(*jobs[0])  # imports and compiles what it needs
    started = time.perf_counter()
    again, asked_twice = _retrained(*jobs[0], times=2)
    each = time.perf_counter() - started
    repeats = True
    for other, who, fix in (
        (asked_twice, "one model, asked twice,", "let scores draw nothing at random, as dropout does without eval()"),
        (
            first,
            "two trainings on the same ratings",
            "have the factory return a fresh object each time, with a fixed seed and one thread",
        ),
    ):
        if repeats and not np.array_equal(other, again):
            repeats = False
            differ = f"gave scores that differ by up to {np.abs(other - again).max():.3g}"
            said = f"{who} {differ}, so what is recorded would be partly chance: {fix}"
            warnings.warn(said, NotRepeatable, stacklevel=3)
    yield again
    total = each * len(jobs)
    processes = max(1, min(numba.get_num_threads(), len(jobs) - 1)) if total >= PROCESSES_PAY else 1
    if processes > 1:
        elsewhere = _elsewhere(jobs[0], processes)
        if elsewhere is None:
            processes = 1
        elif repeats and not np.array_equal(elsewhere, again):
            raise RuntimeError(
                f"{jobs[0][3]}: training in another process gave scores that differ by up to"
                f" {np.abs(elsewhere - again).max():.3g}, so what is recorded could not be compared. Strings in a set,"
                " for one, have another order in every process: sort them, or set PYTHONHASHSEED=0 before Python starts"
            )
    if total >= LONG:
        cost = f"{len(jobs):,} retrainings at {each:.2g} s each: about {total / processes / 60:.1f} minutes"
        print(f"{cost} on {processes} processes", file=sys.stderr, flush=True)
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(processes, return_as="generator")(delayed(_retrained)(*job) for job in jobs[1:])
    shown = {"unit": "model", "mininterval": 1, "leave": False, "disable": total < LONG}
    try:
        yield from tqdm(found, "retrain", len(jobs) - 1, **shown)
    except BrokenProcessPool as error:
        raise _died(jobs[0], processes) from error


def _died(job: tuple, processes: int) -> RuntimeError:
    return RuntimeError(
        f"one of {processes} processes that retrained {job[0]} died: it was killed, as systems do that run out of"
        " memory, or it crashed; run this again, on fewer cores if memory was short"
    )


def _elsewhere(job: tuple, processes: int) -> np.ndarray | None:
    """``_retrained`` of the job in another process; None, and a warning, where it cannot be sent to one."""
    try:
        with parallel_config("loky", inner_max_num_threads=1):
            (scores,) = Parallel(processes)([delayed(_retrained)(*job)])
    except TerminatedWorkerError as error:
        raise _died(job, processes) from error
    except (PicklingError, BrokenProcessPool) as error:
        why = str(error.__cause__ or error).strip().strip('"').strip().splitlines()[-1]
        warnings.warn(
            f"the factory cannot be sent to another process ({why}), so all trainings run in this one: have it make"
            " locks, connections and open files itself, and import only what is installed or on PYTHONPATH",
            RuntimeWarning,
            stacklevel=4,
        )
        return None
    return scores


def _copied(unfitted: Scorer) -> Scorer:
    try:
        return copy.deepcopy(unfitted)
    except Exception as error:  # of code that is not ours
        kind = type(unfitted).__name__
        fix = f"give a function that returns a fresh one, lambda: {kind}(...)"
        raise TypeError(f"this {kind} cannot be copied for each training ({error}): {fix}") from error


@threadpool_limits.wrap(limits=1)
def _trained(factory: Callable[[], Scorer], ratings: Ratings, skipped: Sequence[int]) -> Scorer:
    """A fresh object, fitted on a copy of the ratings without the rows ``skipped``."""
    kept = np.ones(len(ratings), dtype=bool)
    kept[list(skipped)] = False
    fresh = factory()
    if missing := lacking(fresh):
        kind = type(fresh).__name__
        raise ValueError(
            f"the factory makes a {kind} without {' and '.join(missing)}: give it fit(ratings) and scores(user)"
        )
    fresh.fit(ratings.select(kept))
    return fresh


@threadpool_limits.wrap(limits=1)
def _retrained(
    factory: Callable[[], Scorer],
    ratings: Ratings,
    skipped: Sequence[int],
    deletion: Deletion,
    users: Sequence[int],
    times: int = 1,
) -> np.ndarray:
    """float32 (len(users), n_items), of the model trained without the rows ``skipped``, those of ``deletion``; a first
    axis before these where it is asked several ``times``.
    """
    try:
        fitted = _trained(factory, ratings, skipped)
        found = [_scores(fitted, users, ratings) for _ in range(times)]
        return found[0] if times == 1 else np.stack(found)
    except Exception as error:  # of code that is not ours
        raise RuntimeError(f"{deletion}: {type(error).__name__}: {error}") from error


def _scores(fitted: Scorer, users: Sequence[int], ratings: Ratings) -> np.ndarray:
    scores = np.empty((len(users), ratings.n_items), dtype=np.float32)
    for row, user in zip(scores, users, strict=True):
        what = f"scores({user})"
        given = _array(fitted, what, fitted.scores(int(user)))
        if given.shape == row.shape:
            seen = ratings.history(user)
            masked = seen[np.isneginf(given[seen])]
            if masked.size:
                given = given.copy()
                finite = given[np.isfinite(given)]
                given[masked] = finite.min() if finite.size else 0
        _require(given.shape == row.shape, fitted, what, given, f"({ratings.n_items},)")
        row[:] = given
    return scores


def _array(fitted: Scorer, what: str, given: Any) -> np.ndarray:
    """float32, of a torch module's weight, a tensor, or whatever else holds numbers.

    Raises:
        ValueError: it does not.
    """
    if hasattr(given, "state_dict"):
        given = getattr(given, "weight", given)
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    told = f"{type(fitted).__name__}.{what} is a {type(given).__name__}"
    if isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{told}, whose masked numbers would count: give its .filled(-np.inf)")
    if isinstance(given, pd.Series | pd.DataFrame) and not given.index.equals(pd.RangeIndex(len(given))):
        raise ValueError(
            f"{told} whose index is not 0, 1, 2 and so on in order: give an array in the order of item indices"
        )
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is not finite
            return np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{told}: give an array of numbers") from error


def _require(has_shape: bool, fitted: Scorer, what: str, given: np.ndarray, shape: str) -> None:
    name = f"{type(fitted).__name__}.{what}"
    if not has_shape:
        raise ValueError(f"{name} has shape {given.shape}, not {shape}")
    wrong = ~np.isfinite(given)
    if wrong.any():
        place = ", ".join(map(str, np.argwhere(wrong)[0]))
        raise ValueError(
            f"{name} has {np.count_nonzero(wrong)} entries that are not finite, as {given[wrong][0]} at {place}"
        )
