"""Ctrl-C, or a notebook's stop button, in the middle of ``retrain``: it returns soon, and the next call is right."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from conftest import numba_threads
from hadyounot.retrain import mf, ncf
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ncf import NeuralCollaborativeFiltering
from hadyounot.retrain.ratings import Deletion
from hadyounot.retrain.svd import TruncatedSVD
from hadyounot.retrain.threads import on_threads
from hadyounot.study import datasets

SOON = 5  # seconds; what is interrupted would go on for ten and more
RATINGS = datasets.planted()
SOME = [Deletion(user, tuple(RATINGS.history(user)[:3].tolist())) for user in range(20)]
NEURAL = {"gmf_factors": 2, "mlp_layers": (4, 2), "batch_size": 100}


@pytest.fixture
def keyboard():
    """Interrupts are heard, which are not where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
@pytest.mark.parametrize(
    ("recommender", "deletions"),
    [
        (MatrixFactorization(epochs=1_000_000), SOME),  # one kernel call, were it not in slices
        (NeuralCollaborativeFiltering(**NEURAL, epochs=100), SOME * 800),  # many batches of lanes
        (TruncatedSVD(factors=2), SOME * 800),
    ],
    ids=["mf", "ncf", "svd"],
)
def test_an_interrupt_returns_soon_and_the_next_call_is_right(recommender, deletions):
    short = recommender.model_copy(update={"epochs": 3}) if hasattr(recommender, "epochs") else recommender
    before, threads = short.retrain(RATINGS, SOME), threading.active_count()
    sent, done = [], threading.Event()

    def interrupt():
        while threading.active_count() < threads + 2 and not done.is_set():
            time.sleep(0.01)
        if not done.wait(0.3):  # it has been training for so long
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=interrupt)
    pressing.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            recommender.retrain(RATINGS, deletions)
        assert time.monotonic() - sent[0] < SOON
    finally:
        done.set()
        pressing.join()
    assert threading.active_count() == threads
    assert short.retrain(RATINGS, SOME).tobytes() == before.tobytes()


@pytest.mark.parametrize("protocol", ["pinned", "rebuilt", "reshuffled"])
def test_slices_of_epochs_change_no_bit_of_matrix_factorization(monkeypatch, protocol):
    recommender, calls = MatrixFactorization(epochs=5, protocol=protocol), []
    whole, fitted = recommender.retrain(RATINGS, SOME), recommender.fit(RATINGS)
    for size in (3 * len(RATINGS), 100):  # three and two epochs; a few users of each epoch
        monkeypatch.setattr(mf, "SLICE", size)
        trainer = mf._TRAINERS[protocol](recommender, RATINGS)
        work = trainer.workspace()
        trainer.prepare(work, [()])
        calls.append(len([*trainer.train(work)]))
        assert recommender.retrain(RATINGS, SOME).tobytes() == whole.tobytes()
        assert recommender.fit(RATINGS).item_embeddings.tobytes() == fitted.item_embeddings.tobytes()
    assert calls[0] == 2
    assert calls[1] > 25


@pytest.mark.parametrize("negatives", [0, 2])
def test_slices_of_an_epoch_change_no_bit_of_the_neural_model(monkeypatch, negatives):
    recommender = NeuralCollaborativeFiltering(**NEURAL, epochs=3, negatives=negatives)
    whole, fitted = recommender.retrain(RATINGS, SOME), recommender.fit(RATINGS)
    monkeypatch.setattr(ncf, "SLICE", 200)  # two minibatches
    trainer = ncf._trainer(recommender, RATINGS)
    batches = -(-len(RATINGS) * (1 + negatives) // 100)
    parts = [*trainer.epochs[0].slices(2)]
    assert sum(len(part.starts) - 1 for part in parts) == batches
    assert [len(part.coast_distances) > 0 for part in parts] == [True] + [False] * (len(parts) - 1)
    assert np.array_equal(recommender.retrain(RATINGS, SOME), whole)
    assert np.array_equal(recommender.fit(RATINGS).item_embeddings, fitted.item_embeddings)


def test_what_fails_on_one_thread_stops_the_others():
    done = []

    def perform(work, job):
        if job == 1:
            raise ValueError("enough")
        for step in range(200):
            done.append(step)
            time.sleep(0.01)
            yield

    with numba_threads(2), pytest.raises(ValueError, match="enough"):
        on_threads([0, 1], lambda: None, perform)
    assert len(done) < 100
