"""Recommenders that others wrote: a retrained row is their own model without the deletion, and nothing else."""

import math
import os
import signal
import sys
import threading
import warnings
from datetime import date
from functools import partial
from pathlib import Path
from types import ModuleType

import cloudpickle
import implicit.cpu.als
import numpy as np
import pandas as pd
import pytest
import surprise
import torch
from conftest import numba_threads
from hadyounot.compare import statistics
from hadyounot.method import effects
from hadyounot.method.features import Representation
from hadyounot.method.linear import fit_lasso
from hadyounot.method.outcomes import candidates, ranks, record, simulate, top_items
from hadyounot.method.search import explain
from hadyounot.method.settings import LassoConfig
from hadyounot.retrain import blackbox
from hadyounot.retrain.blackbox import BlackBox, svd_embeddings
from hadyounot.retrain.peers import ImplicitALS, SurpriseSVD
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.retrain.settings import BlackBoxConfig
from hadyounot.rng import generator
from hadyounot.settings import ConfigError
from hadyounot.study import datasets
from hadyounot.study.cell import Cell
from hadyounot.study.config import check_study
from hadyounot.study.factory import check, resolved
from hadyounot.study.stages import STAGES
from scipy.sparse import csr_matrix
from test_mf import same, some_deletions, without, world
from threadpoolctl import threadpool_info, threadpool_limits

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # other processes need not import all of the above


class Sgd:
    """Ten passes of a plain factorisation: every rating moves every score."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def fit(self, ratings):
        self.p, self.q = (self.rng.normal(0, 0.5, (count, 2)) for count in (ratings.n_users, ratings.n_items))
        for _ in range(10):
            for u, i, r in zip(ratings.users, ratings.items, ratings.values, strict=True):
                step = 0.05 * (r - self.p[u] @ self.q[i])
                self.p[u], self.q[i] = self.p[u] + step * self.q[i], self.q[i] + step * self.p[u]

    def scores(self, user):
        return self.q @ self.p[user]


class Sums:
    """An item's score is the sum of its ratings; subclasses misbehave."""

    def fit(self, ratings):
        self.sums = np.bincount(ratings.items, ratings.values, ratings.n_items)

    def scores(self, user):
        return self.sums


@pytest.fixture
def in_processes(monkeypatch):
    """Two, always as many: starting them takes longer than what they do."""
    monkeypatch.setattr(blackbox, "PROCESSES_PAY", 0)
    with numba_threads(2):
        yield


# -- what a row is ----------------------------------------------------------------------------------------------------


def trained_without(ratings, deletion, recommender):
    recommender.fit(without(ratings, deletion))
    return recommender.scores(deletion.user).astype(np.float32)


@pytest.mark.parametrize("recommender", [Sgd, ImplicitALS, SurpriseSVD])
def test_every_row_is_the_model_trained_without_the_deleted_ratings(recommender):
    ratings = world()
    deletions = some_deletions(ratings, 12)
    scores = BlackBox(recommender).retrain(ratings, deletions)
    assert scores.dtype == np.float32
    for row, deletion in zip(scores, deletions, strict=True):
        same(row, trained_without(ratings, deletion, recommender()))
        same(row, BlackBox(recommender).fit(without(ratings, deletion)).scores([deletion.user])[0])


class Traced(Sgd):
    folder = None

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def fit(self, ratings):
        super().fit(ratings)
        (Path(self.folder) / str(os.getpid())).touch()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_processes_changes_no_bit(tmp_path, in_processes, threads):
    ratings, recommender = world(), BlackBox(partial(Traced, tmp_path))
    deletions = some_deletions(ratings, 40)
    with numba_threads(threads):
        scores = recommender.retrain(ratings, deletions)
    same(scores, np.stack([trained_without(ratings, deletion, Sgd()) for deletion in deletions]))
    others = {file.name for file in tmp_path.iterdir()} - {str(os.getpid())}
    assert (threads == 1 and not others) or 1 <= len(others) <= threads


def test_a_lambda_a_local_class_and_an_object_are_factories(in_processes):
    class Local(Sgd):
        pass

    ratings, unfitted = world(), Sgd(seed=5)
    deletions = some_deletions(ratings, 4)
    expected = BlackBox(partial(Sgd, seed=5)).retrain(ratings, deletions)
    for factory in (lambda: Sgd(seed=5), lambda: Local(seed=5), unfitted):
        same(BlackBox(factory).retrain(ratings, deletions), expected)
    assert not hasattr(unfitted, "p")


def test_what_cannot_be_sent_to_another_process_runs_in_this_one(in_processes, monkeypatch):
    """A lock in a closure, and a class of a module that only this process knows."""
    ratings, lock = world(), threading.Lock()
    deletions = some_deletions(ratings, 6)

    def locked():
        with lock:
            return Sgd()

    here = type("Mine", (Sgd,), {"__module__": "only_here"})
    module = ModuleType("only_here")
    module.Mine = here
    monkeypatch.setitem(sys.modules, "only_here", module)
    for factory, why in ((locked, "cannot pickle '_thread.lock' object"), (here, "No module named 'only_here'")):
        with pytest.warns(RuntimeWarning, match=f"another process .*{why}.* on PYTHONPATH") as caught:
            scores = BlackBox(factory).retrain(ratings, deletions)
        same(scores, np.stack([trained_without(ratings, deletion, Sgd()) for deletion in deletions]))
        assert caught[0].filename == __file__


def test_an_object_that_cannot_be_copied():
    unfitted = Sgd()
    unfitted.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"this Sgd cannot be copied .*_thread.lock.*: give .*, lambda: Sgd\(...\)"):
        BlackBox(unfitted).fit(world())


class OfTheProcess(Sums):
    """As one that walks a set of strings: seeded, but another order in every process."""

    def scores(self, user):
        return self.sums + os.getpid()


def test_scores_that_depend_on_the_process_are_refused(in_processes):
    with pytest.raises(
        RuntimeError, match=r"^Deletion\(.*: training in another .* PYTHONHASHSEED=0 before Python starts"
    ):
        BlackBox(OfTheProcess).retrain(world(), some_deletions(world(), 6))


class Greedy(Sums):
    def fit(self, ratings):
        super().fit(ratings)
        ratings.values[:] = 0
        ratings.items[:] = 0


def test_what_an_object_does_to_its_ratings_stays_with_it():
    ratings = world()
    deletions = some_deletions(ratings, 6)
    same(BlackBox(Greedy).retrain(ratings, deletions), BlackBox(Sums).retrain(ratings, deletions))
    BlackBox(Greedy).fit(ratings)
    same(ratings.values, world().values)


def test_deletions_that_leave_the_same_ratings_share_a_training():
    fits = []

    class Counted(Sgd):
        def fit(self, ratings):
            fits.append(len(ratings))
            super().fit(ratings)

    ratings = world()
    a, b = ratings.history(3)[:2].tolist()
    deletions = [*(Deletion(user, ()) for user in range(30)), Deletion(3, (a, b)), Deletion(3, (b, a))]
    scores = BlackBox(Counted).retrain(ratings, deletions)
    n = len(ratings)
    assert fits == [n, n, n - 2]  # the first one twice
    same(scores[:30], BlackBox(Sgd).fit(ratings).scores(range(30)))
    same(scores[30], scores[31])


class Threads(Sums):
    def scores(self, user):
        return self.sums * 0 + max(library["num_threads"] for library in threadpool_info())


@pytest.mark.parametrize("pays", [0, 1e9])
def test_one_blas_thread_wherever_it_runs(in_processes, monkeypatch, pays):
    monkeypatch.setattr(blackbox, "PROCESSES_PAY", pays)
    with threadpool_limits(2):
        assert BlackBox(Threads).fit(world()).scores([0]).max() == 1
        assert BlackBox(Threads).retrain(world(), some_deletions(world(), 6)).max() == 1
        assert Threads.scores(type("Zero", (), {"sums": 0}), 0) == 2


def test_no_deletions_no_rows():
    assert BlackBox(Sums).retrain(world(), []).shape == (0, 20)


# -- objects that cannot be explained ---------------------------------------------------------------------------------


def returning(value):
    return type("Odd", (Sums,), {"scores": lambda self, user: value})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros(19), r"Odd.scores\(7\) has shape \(19,\), not \(20,\)"),
        (np.zeros((1, 20)), r"Odd.scores\(7\) has shape \(1, 20\), not \(20,\)"),
        (None, r"Odd.scores\(7\) has shape \(\), not \(20,\)"),
        ("good", r"Odd.scores\(7\) is a str: give an array of numbers"),
        (
            np.ma.masked_array(np.zeros(20), np.arange(20) == 3),
            r"Odd.scores\(7\) is a MaskedArray, .*: give .*-np.inf\)",
        ),
        (pd.Series(np.arange(20.0)).sort_values(ascending=False), r"Odd.scores\(7\) is a Series whose index is not .*"),
        (np.full(20, np.nan), r"Odd.scores\(7\) has 20 entries that are not finite, as nan at 0"),
        (np.r_[np.zeros(19), np.inf], r"Odd.scores\(7\) has 1 entries that are not finite, as inf at 19"),
        (np.full(20, -np.inf), r"Odd.scores\(7\) has \d+ entries that are not finite, as .*"),
        (
            np.where(world().history(7)[:1] == np.arange(20), np.nan, 0),
            r"Odd.scores\(7\) has 1 entries .*, as nan at \d+",
        ),
    ],
)
def test_scores_that_are_none(value, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        BlackBox(returning(value)).fit(world()).scores([7])
    with pytest.raises(RuntimeError, match=rf"^Deletion\(user=7, items=\(\)\): ValueError: {said}$"):
        BlackBox(returning(value)).retrain(world(), [Deletion(7, ())])


class Masked(Sgd):
    """What a user has rated is -inf, as libraries mask it."""

    def fit(self, ratings):
        super().fit(ratings)
        self.seen = [ratings.history(user) for user in range(ratings.n_users)]

    def scores(self, user):
        scores = super().scores(user)
        scores[self.seen[user]] = -np.inf
        return scores


def test_masked_items_are_no_candidates():
    ratings = world()
    deletions = [Deletion(user, tuple(ratings.history(user)[:2].tolist())) for user in range(5)]
    masked, plain = (record(BlackBox(each), ratings, deletions, n_targets=4) for each in (Masked, Sgd))
    for name in ("targets", "rank_after", "rank_after_readmitted", "score_after", "benchmark_score_after"):
        same(getattr(masked, name), getattr(plain, name))
    (scores,), seen = BlackBox(Masked).fit(ratings).scores([3]), ratings.history(3)
    same(scores[seen], np.delete(scores, seen).min())


def test_a_user_who_rated_everything_may_have_all_masked():
    ratings = Ratings.from_arrays("aab", "xyx", [3, 4, 5])
    masks = returning(np.full(2, -np.inf))
    same(BlackBox(masks).fit(ratings).scores([0]), [[0, 0]])


def test_an_item_that_others_rated_cannot_be_masked():
    ratings = world()
    unseen = int(np.setdiff1d(np.arange(20), ratings.history(7))[0])
    masks = returning(np.where(np.arange(20) == unseen, -np.inf, 0))
    with pytest.raises(ValueError, match=rf"Odd.scores\(7\) has 1 entries that are not finite, as -inf at {unseen}$"):
        BlackBox(masks).fit(ratings).scores([7])


def test_tensors_and_torch_modules_are_arrays():
    ratings = world()

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.user_embeddings, self.item_embeddings = torch.nn.Embedding(30, 2), torch.nn.Embedding(20, 2)

        def fit(self, ratings):
            pass

        def scores(self, user):
            return self.item_embeddings.weight @ self.user_embeddings.weight[user]

    module, model = Module(), BlackBox(Module).fit(ratings)
    same(model.user_embeddings, module.user_embeddings.weight.detach())
    same(model.scores([4]), BlackBox(Module).retrain(ratings, [Deletion(4, ())]))
    same(model.scores([4])[0], module.scores(4).detach())


def test_embeddings_that_are_a_method():
    odd = type("Odd", (Sums,), {"user_embeddings": lambda self: None, "item_embeddings": np.zeros((20, 3))})
    with pytest.raises(ValueError, match=r"^Odd.user_embeddings is a method: give an array of numbers$"):
        BlackBox(odd).fit(world())


class Needs(Sums):
    """Cannot do without the rating of user 2 for an item."""

    item = int(world().history(2)[0])

    def fit(self, ratings):
        if self.item not in ratings.history(2):
            raise KeyError("what now")
        super().fit(ratings)


@pytest.mark.parametrize("pays", [0, 1e9])
def test_an_error_names_the_deletion(in_processes, monkeypatch, pays):
    monkeypatch.setattr(blackbox, "PROCESSES_PAY", pays)
    bad = Deletion(2, (Needs.item,))
    deletions = [Deletion(0, ()), *(Deletion(1, (item,)) for item in world().history(1).tolist()), bad]
    with pytest.raises(RuntimeError) as error:
        BlackBox(Needs).retrain(world(), deletions)
    assert str(error.value) == f"{bad}: KeyError: 'what now'"


class Killed(Sgd):
    """As the system kills: without a word."""

    home = os.getpid()

    def fit(self, ratings):
        if Needs.item not in ratings.history(2) and os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(ratings)


@pytest.mark.slow
def test_a_killed_process_is_one_error_and_the_next_call_is_right(in_processes):
    deletions = [Deletion(0, ()), *(Deletion(1, (item,)) for item in world().history(1).tolist())]
    recommender = BlackBox(Killed)
    with pytest.raises(RuntimeError, match=r"^one of 2 processes that retrained .*Killed'> died: .*memory"):
        recommender.retrain(world(), [*deletions, Deletion(2, (Needs.item,))])
    same(recommender.retrain(world(), deletions), BlackBox(Sgd).retrain(world(), deletions))


class KilledElsewhere(Sgd):
    def __init__(self, home):
        super().__init__()
        self.home = home

    def fit(self, ratings):
        if os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(ratings)


@pytest.mark.slow
def test_the_first_that_is_killed_is_not_said_to_be_what_cannot_be_sent(in_processes):
    with pytest.raises(RuntimeError, match=r"^one of 2 processes that retrained .*Elsewhere.* died: .*memory"):
        BlackBox(partial(KilledElsewhere, os.getpid())).retrain(world(), some_deletions(world(), 3))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.zeros((29, 3)), r"Odd.user_embeddings has shape \(29, 3\), not \(30, p\)"),
        (np.zeros(30), r"Odd.user_embeddings has shape \(30,\), not \(30, p\)"),
        (np.full((30, 3), np.nan), "Odd.user_embeddings has 90 entries that are not finite"),
    ],
)
def test_embeddings_that_are_none(table, said):
    odd = type("Odd", (Sums,), {"user_embeddings": table, "item_embeddings": np.zeros((20, 3))})
    with pytest.raises(ValueError, match=said):
        BlackBox(odd).fit(world())


def test_bad_deletions_and_users_are_named():
    ratings = Ratings.from_arrays(["a", "a"], ["x", "y"], [3, 4])
    with pytest.raises(ValueError, match=r"Deletion\(user=0, items=\(0, 1\)\): no rating would be left"):
        BlackBox(Sums).retrain(ratings, [Deletion(0, ()), Deletion(0, (0, 1))])
    with pytest.raises(ValueError, match="unknown item index 2"):
        BlackBox(Sums).retrain(ratings, [Deletion(0, (2,))])
    model = BlackBox(Sums).fit(world())
    for user in (-1, 30):
        with pytest.raises(ValueError, match=f"unknown user index {user} "):
            model.scores([0, user])


def test_chance_is_warned_of():
    ratings, kept = world(), ImplicitALS(factors=2)
    generator_of_all = np.random.default_rng(0)
    for factory in (
        lambda: Sgd(seed=None),
        lambda: Sgd(generator_of_all),
        lambda: kept,  # goes on from where it was
    ):
        with pytest.warns(RuntimeWarning, match="differ by up to .* fixed seed") as caught:
            BlackBox(factory).retrain(ratings, [Deletion(0, ())])
        assert caught[0].filename == __file__
    with warnings.catch_warnings(action="error"):
        for factory in (Sgd, Sgd(), partial(ImplicitALS, factors=2), SurpriseSVD):
            BlackBox(factory).retrain(ratings, some_deletions(ratings, 2))


def test_scores_that_are_partly_chance_are_warned_of():
    class Dropout(Sgd):
        """Of which somebody forgot eval()."""

        def scores(self, user):
            return super().scores(user) * (self.rng.random() < 0.5)

    with pytest.warns(
        blackbox.NotRepeatable, match="one model, asked twice, gave scores that differ by .* eval"
    ) as caught:
        BlackBox(Dropout).retrain(world(), [Deletion(0, ())] * 3 + [Deletion(1, ())])
    assert len(caught) == 1


def test_what_cannot_be_trained_is_said_before_it_is():
    with pytest.raises(ValueError, match="factory is 3: give a class, a function that returns a fresh recommender, or"):
        BlackBox(3)
    halves = type("Half", (), {"fit": lambda self, ratings: pytest.fail("it was trained")})
    with pytest.raises(
        ValueError, match=r"the factory makes a Half without scores: give it fit\(ratings\) and scores\("
    ):
        BlackBox(halves).fit(world())


def test_a_series_in_the_order_of_items_is_an_array():
    same(BlackBox(returning(pd.Series(np.arange(20.0)))).fit(world()).scores([7]), [np.arange(20)])


def test_a_long_job_tells_its_cost_first(monkeypatch, capsys):
    deletions = some_deletions(world(), 30, seed=1)
    models = len({(d.user, *sorted(d.items)) for d in deletions if d.items}) + any(not d.items for d in deletions)
    BlackBox(Sums).retrain(world(), deletions)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(blackbox, "LONG", 0)
    BlackBox(Sums).retrain(world(), deletions)
    first, progress = capsys.readouterr().err.split("\n", 1)
    assert first.startswith(f"{models} retrainings at ")
    assert first.endswith(" s each: about 0.0 minutes on 1 processes")
    assert f"/{models - 1} [" in progress


# -- embeddings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_users", "n_items"), [(30, 20), (15, 25)])
def test_embeddings_of_a_truncated_svd(n_users, n_items):
    ratings = world(n_users, n_items)
    table = np.zeros((ratings.n_users, ratings.n_items))
    table[ratings.users, ratings.items] = ratings.values
    u, s, vt = np.linalg.svd(table, full_matrices=False)
    users, items = svd_embeddings(ratings, 3)
    assert users.dtype == items.dtype == np.float32
    np.testing.assert_allclose(users @ items.T, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-4)
    np.testing.assert_allclose(np.abs(users), np.abs(u[:, :3]) * np.sqrt(s[:3]), atol=1e-4)
    np.testing.assert_allclose(np.abs(items), np.abs(vt[:3].T) * np.sqrt(s[:3]), atol=1e-4)
    assert (users[np.abs(users).argmax(axis=0), range(3)] > 0).all()
    for once, again in zip((users, items), svd_embeddings(ratings, 3), strict=True):
        same(once, again)


def test_as_many_factors_as_there_can_be():
    users, items = svd_embeddings(Ratings.from_arrays("aabcc", "xyxyz", [1, 2, 3, 4, 5]), 16)
    assert users.shape == items.shape == (3, 2)
    with pytest.raises(ValueError, match="1 users and 3 items have no truncated SVD"):
        svd_embeddings(Ratings.from_arrays("aaa", "xyz", [1, 2, 3]), 16)


def test_an_objects_own_embeddings_where_it_has_both():
    ratings = world()
    users, items = np.ones((30, 3)), np.full((20, 5), 2.0)
    both = BlackBox(type("Both", (Sums,), {"user_embeddings": users, "item_embeddings": items})).fit(ratings)
    same(both.user_embeddings, users)
    same(both.item_embeddings, items)
    assert both.user_embeddings.dtype == np.float32
    for odd in (Sums, type("One", (Sums,), {"user_embeddings": users, "item_embeddings": None})):
        model = BlackBox(odd, factors=4).fit(ratings)
        same(model.user_embeddings, svd_embeddings(ratings, 4)[0])
        same(model.item_embeddings, svd_embeddings(ratings, 4)[1])


# -- the trap: a deletion that renumbers ------------------------------------------------------------------------------


def naive_surprise(ratings, epochs):
    """As its users write it: the loader numbers users and items by first appearance."""
    frame = pd.DataFrame({"user": ratings.users, "item": ratings.items, "rating": ratings.values})
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(0.5, 5))).build_full_trainset()
    model = surprise.SVD(n_factors=4, n_epochs=epochs, random_state=0).fit(trainset)
    users = [trainset.to_inner_uid(u) for u in range(ratings.n_users)]
    items = [trainset.to_inner_iid(i) for i in range(ratings.n_items)]
    scores = np.array(
        [[model.predict(u, i, clip=False).est for i in range(ratings.n_items)] for u in range(ratings.n_users)]
    )
    return model.pu[users], model.qi[items], scores


def naive_implicit(ratings, epochs):
    users, user_ids = pd.factorize(ratings.users)
    items, item_ids = pd.factorize(ratings.items)
    model = implicit.cpu.als.AlternatingLeastSquares(factors=4, iterations=epochs, random_state=0, num_threads=1)
    model.fit(csr_matrix((ratings.values, (users, items))), show_progress=False)
    p, q = model.user_factors[np.argsort(user_ids)], model.item_factors[np.argsort(item_ids)]
    return p, q, np.array([q @ row for row in p])


PEERS = {
    "surprise": (naive_surprise, lambda epochs: SurpriseSVD(n_factors=4, n_epochs=epochs)),
    "implicit": (naive_implicit, lambda epochs: ImplicitALS(factors=4, iterations=epochs)),
}


def careful(adapter, ratings):
    adapter.fit(ratings)
    scores = np.array([adapter.scores(user) for user in range(ratings.n_users)])
    return adapter.user_embeddings, adapter.item_embeddings, scores


@pytest.mark.parametrize("peer", PEERS)
def test_a_deletion_renumbers_nothing(peer):
    """One rating less: the usual loader starts other users from other weights, the adapter does not."""
    naive, adapter = PEERS[peer]
    full = world(100, 60)
    less = without(full, Deletion(int(full.users[0]), (int(full.items[0]),)))
    untouched = np.arange(full.n_users) != full.users[0]
    for ours, theirs in zip(careful(adapter(2), full), naive(full, 2), strict=True):
        same(ours, theirs)  # nothing deleted: the very same model
    for before, after in zip(careful(adapter(0), full)[:2], careful(adapter(0), less)[:2], strict=True):
        same(before, after)
    assert not np.array_equal(naive(full, 0)[0][untouched], naive(less, 0)[0][untouched])

    def moved(train):
        return np.abs(train(less)[2] - train(full)[2])[untouched].mean()

    assert moved(lambda ratings: naive(ratings, 2)) > 20 * moved(lambda ratings: careful(adapter(2), ratings))


def test_surprise_sees_the_other_ratings_in_the_same_order():
    full = world()
    deletion = Deletion(int(full.users[0]), (int(full.items[0]),))
    orders = []
    for ratings in (full, without(full, deletion)):
        adapter = SurpriseSVD()
        adapter.fit(ratings)
        orders.append([(user, item) for user, item, _ in adapter._model.trainset.all_ratings()])
    assert orders[1] == [pair for pair in orders[0] if pair != (deletion.user, deletion.items[0])]


def test_scores_beyond_the_scale_are_told_apart():
    ratings = Ratings.from_arrays("aaaabbbbcccc", "wxyzwxyzwxyz", [5, 5, 4, 4, 5, 5, 4, 4, 1, 2, 1, 1])
    adapter = SurpriseSVD(n_factors=2, n_epochs=500, lr_all=0.05, reg_all=0)
    adapter.fit(ratings.select(np.arange(12) != 0))
    assert adapter.scores(2).min() < 1


@pytest.mark.parametrize("recommender", [ImplicitALS, SurpriseSVD])
def test_users_and_items_that_a_deletion_empties_keep_their_place(recommender):
    ratings = Ratings.from_arrays("aabbc", "xyyzw", [1, 2, 3, 4, 5])
    fitted = recommender()
    fitted.fit(without(ratings, Deletion(0, (0, 1))))
    assert len(fitted.user_embeddings) == 3
    assert len(fitted.item_embeddings) == 4
    assert np.isfinite(BlackBox(recommender).retrain(ratings, [Deletion(0, (0, 1)), Deletion(2, (3,))])).all()


@pytest.mark.parametrize(("recommender", "module"), [(ImplicitALS, "implicit"), (SurpriseSVD, "surprise")])
def test_a_peer_that_is_not_installed(monkeypatch, recommender, module):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match=rf'{module} is missing: pip install "hadyounot\[peers\]"'):
        recommender()


# -- in a study -------------------------------------------------------------------------------------------------------

STUDY = {
    "models": {
        "als": {
            "kind": "blackbox",
            "factory": "hadyounot.retrain.peers:ImplicitALS",
            "settings": {"factors": 4, "iterations": 15, "regularization": 0.1},
        },
        "surprise-svd": {
            "kind": "blackbox",
            "factory": "hadyounot.retrain.peers:SurpriseSVD",
            "settings": {"n_factors": 4, "n_epochs": 60, "lr_all": 0.02, "reg_all": 0.05},
        },
        "neighbours": {"kind": "blackbox", "factory": "test_blackbox:Neighbours", "factors": 3},
    },
    "cells": [{"dataset": "toy", "model": model} for model in ("als", "surprise-svd", "neighbours")],
}


class Neighbours:
    """No embeddings, and no use for a seed."""

    def __init__(self, seed):
        pass

    def fit(self, ratings):
        self.table = csr_matrix(
            (ratings.values, (ratings.users, ratings.items)), shape=(ratings.n_users, ratings.n_items)
        ).toarray()

    def scores(self, user):
        return self.table.T @ (self.table @ self.table[user])


@pytest.mark.parametrize("model", STUDY["models"])
def test_a_cell_from_start_to_end(tmp_path, monkeypatch, model):
    """Algorithm 1, a surrogate, explanations and eq. (2), with nothing but a study's own words for the recommender."""
    monkeypatch.setattr(blackbox, "PROCESSES_PAY", math.inf)  # on a busy machine they would seem to
    recommender = Cell(check_study(STUDY, "here"), "toy", model, tmp_path).recommender()
    ratings = datasets.planted()
    trained = recommender.fit(ratings)
    embeddings = trained.user_embeddings, trained.item_embeddings
    training, test = range(10), range(10, 20)
    outcomes = simulate(recommender, ratings, training, size=3, count=20, n_targets=5, seed=0)
    assert len(outcomes.deletions) == 200
    assert (effects.reg(outcomes) != 0).any()
    for row in (0, 77, 199):  # what was recorded is what their model says
        deletion, eligible = outcomes.deletions[row], candidates(ratings, outcomes.deletions[row].user)
        scores = recommender.fit(without(ratings, deletion)).scores([deletion.user])[0]
        same(outcomes.rank_after[row], ranks(scores, eligible, outcomes.targets[row]))

    rows = Representation(*embeddings).data(outcomes, effects.reg(outcomes))
    surrogate = fit_lasso(rows, 3, LassoConfig(), generator(0, "lasso")).surrogate
    scored = zip(test, trained.scores(test), strict=True)
    targets = [int(top_items(scores, candidates(ratings, u), 1)[0]) for u, scores in scored]
    q = embeddings[1]
    explanations = [
        Deletion(u, explain(surrogate, embeddings[0][u], q[history], q[i], history, 3, 100, generator(0, u)))
        for u, i, history in zip(test, targets, map(ratings.history, test), strict=True)
    ]
    assert all(set(each.items) <= set(ratings.history(each.user)) and len(each.items) == 3 for each in explanations)
    checked = record(recommender, ratings, explanations, n_targets=1)
    same(checked.targets[:, 0], targets)
    verdicts = {"method": "linear_reg", "user": test, "target": targets, "rank_after": checked.rank_after[:, 0]}
    validity = statistics.validity(pd.DataFrame(verdicts), [1, 3, 5]).set_index("top_k")
    assert validity.loc[1, "validity"] == (checked.rank_after[:, 0] > 1).mean()


def test_the_studys_seed_and_settings_reach_the_factory(tmp_path):
    study = check_study(STUDY | {"seed": 9}, "here")
    ratings = world()
    als = Cell(study, "toy", "als", tmp_path)
    expected = ImplicitALS(seed=9, factors=4, iterations=15, regularization=0.1)
    expected.fit(ratings)
    same(als.recommender().fit(ratings).user_embeddings, expected.user_embeddings)
    reseeded = als.recommender("reseed").fit(ratings).user_embeddings
    assert not np.array_equal(reseeded, expected.user_embeddings)
    assert Cell(study, "toy", "neighbours", tmp_path).recommender().fit(ratings).item_embeddings.shape == (20, 3)


def test_a_factory_that_is_not_there(tmp_path):
    for factory, why in [("nowhere:Model", "No module named 'nowhere'"), ("json:Model", "has no attribute 'Model'")]:
        study = check_study(STUDY | {"models": {"als": {"kind": "blackbox", "factory": factory}}, "cells": CELL}, "x")
        with pytest.raises(ConfigError, match=f"{factory!r} cannot be imported .*{why}.*the folder of the study"):
            Cell(study, "toy", "als", tmp_path).recommender()


CELL = [{"dataset": "toy", "model": "als"}]


class Seedless(Sums):
    def __init__(self, shrink=1):
        self.shrink = shrink


class ScoresAlone:
    def scores(self, user):
        return np.zeros(1)


@pytest.mark.parametrize(("name", "given"), [("Sums", {}), ("Seedless", {}), ("Neighbours", {"seed": 7})])
def test_a_seed_is_given_to_what_takes_one(name, given):
    settings = BlackBoxConfig(factory=f"test_blackbox:{name}")
    check(settings, 7)
    assert resolved(settings, 7).keywords == given


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        (
            "Seedless",
            {"shrunk": 2},
            r"Seedless\(shrink=1\), which does not take `settings` {'shrunk': 2} .*; write those",
        ),
        ("Neighbours", {"neighbours": 2}, r"Neighbours\(seed\), which does not take `settings` {'neighbours': 2}"),
        ("ScoresAlone", {}, r"makes a ScoresAlone without fit; give it fit\(ratings\) and scores\(user\)"),
        ("CELL", {}, "is a list; name a class, or a function that returns a fresh object"),
        ("fails", {}, r"fails with `settings` {} \(OSError: no such model\); correct them, or it"),
    ],
)
def test_a_factory_that_makes_no_recommender_is_refused_before_anything_is_trained(name, settings, said):
    with pytest.raises(ConfigError, match=f"^models: the blackbox factory 'test_blackbox:{name}' .*{said}"):
        check(BlackBoxConfig(factory=f"test_blackbox:{name}", settings=settings), 0)


def test_a_study_of_chance_ends_before_anything_is_recorded(tmp_path):
    """In Python it is a warning; in a study, what is recorded could not be compared."""
    models = {"own": {"kind": "blackbox", "factory": "test_blackbox:Unseeded"}}
    study = check_study({"models": models, "cells": [{"dataset": "toy", "model": "own"}]}, "here")
    cell = Cell(study, "toy", "own", tmp_path, makes=True)
    STAGES["10_dataset"].run(cell)
    with pytest.raises(
        ConfigError, match=r"^models.own: two trainings .* a fixed seed .*: the study gives a seed to a fac"
    ):
        STAGES["20_recommender"].run(cell)


class Unseeded(Sums):
    def fit(self, ratings):
        super().fit(ratings)
        self.sums = self.sums + np.random.default_rng().random(ratings.n_items)


def fails():
    raise OSError("no such model")


def test_settings_may_hold_lists_and_mappings(tmp_path):
    settings = {"layers": [64, 32], "optimizer": {"name": "adam", "betas": [0.9, 0.99], "amsgrad": None}}
    model = {"kind": "blackbox", "factory": "builtins:dict", "settings": settings}
    study = check_study({"models": {"als": model}, "cells": CELL, "seed": 3}, "here")
    assert Cell(study, "toy", "als", tmp_path).recommender().factory() == settings | {"seed": 3}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"factory": "json"}, "models.als.factory: should be package.module:name, without .py, not json"),
        ({"factory": ":"}, "models.als.factory: should be package.module:name, without .py, not"),
        (
            {"factory": "als.ALS"},
            "models.als.factory: should be package.module:name, without .py: als:ALS, not als.ALS",
        ),
        ({"factory": "als.py:ALS"}, "should be package.module:name, without .py: als:ALS, not als.py:ALS"),
        ({"factory": "./my/als.py:ALS"}, "should be package.module:name, without .py: my.als:ALS, not ./my"),
        ({"settings": {"seed": 3}}, "models.als.settings: the study gives the seed: leave it out"),
        ({"settings": {"since": date(2020, 1, 1)}}, "models.als.settings: since: Object of type date is not JSON"),
        ({"settings": {"layers": [{"rate": math.nan}]}}, "models.als.settings: layers: Out of range float values"),
        ({"setting": {}}, "write `settings: {}`"),
    ],
)
def test_a_wrong_black_box_is_one_error_that_says_what_to_write(changed, said):
    model = {"kind": "blackbox", "factory": "json:loads"} | changed
    with pytest.raises(ConfigError) as error:
        check_study({"models": {"als": model}, "cells": CELL}, "here")
    assert said in str(error.value)


def test_a_study_may_let_a_black_box_recommend_what_was_seen(tmp_path):
    models = {"als": STUDY["models"]["neighbours"] | {"remove_seen": False}}
    study = check_study({"models": models, "cells": CELL}, "here")
    assert not Cell(study, "toy", "als", tmp_path).recommender().remove_seen


@pytest.mark.parametrize("recommender", [ImplicitALS, SurpriseSVD])
def test_peers_are_drawn_from_their_seed(recommender):
    drawn = []
    for seed in (0, 1, 1):
        fitted = recommender(seed=seed)
        fitted.fit(world())
        drawn.append(fitted.user_embeddings)
    same(drawn[1], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
