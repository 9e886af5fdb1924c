"""Learned set representations: invariant to order, able to learn a planted effect, and repeatable."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hadyounot.method.features import Representation
from hadyounot.method.outcomes import Outcomes
from hadyounot.method.sets import fit_set_network
from hadyounot.method.settings import SetNetworkConfig
from hadyounot.method.surrogates import held_out_users
from hadyounot.retrain.ratings import Deletion
from hadyounot.rng import generator
from hadyounot.study.variants import ENCODERS
from sklearn.metrics import r2_score

CONFIG = SetNetworkConfig(hidden=16, learning_rates=[3e-3, 1e-2], batch_size=128, max_epochs=25, patience=5)
RNG = generator(0, "sets")
USERS, ITEMS = RNG.normal(size=(12, 3)).astype(np.float32), RNG.normal(2, 0.5, size=(30, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def recorded() -> Outcomes:
    deletions = tuple(Deletion(user, tuple(RNG.choice(30, 3, replace=False))) for user in range(12) for _ in range(60))
    shape = len(deletions), 5
    arrays = {name: np.zeros(shape, np.float32) for name in Outcomes.__dataclass_fields__ if name != "deletions"}
    return Outcomes(deletions, **arrays | {"targets": RNG.integers(0, 30, shape)})


@pytest.fixture(scope="module")
def effects(recorded) -> np.ndarray:
    """Additive in the deleted items, of other units than 1."""
    weights = np.array([1.0, -2, 0.5, 0])
    sums = np.array([ITEMS[list(deletion.items)].sum(axis=0) @ weights for deletion in recorded.deletions])
    return np.repeat(7 + 0.1 * sums[:, None], 5, axis=1).astype(np.float32)


def fit(encoder, recorded, effects, config=CONFIG):
    torch.set_num_threads(1)
    return fit_set_network(encoder, Representation(USERS, ITEMS), recorded, effects, config, generator(1))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_learns_the_set_whatever_its_order_and_reports_unseen_users(encoder, recorded, effects):
    found = fit(encoder, recorded, effects)
    assert found.report["r2"] > 0.8
    sets = np.array([list(deletion.items) for deletion in recorded.deletions])
    predicted = np.array(
        [
            [found.surrogate.predict(USERS[d.user], ITEMS[sets[[row]]], ITEMS[i])[0] for i in recorded.targets[row]]
            for row, d in enumerate(recorded.deletions)
        ]
    )
    users = np.array([deletion.user for deletion in recorded.deletions])
    unseen = held_out_users(users, CONFIG.held_out_share, generator(1))
    assert found.report["r2"] == pytest.approx(r2_score(effects[unseen].ravel(), predicted[unseen].ravel()), abs=1e-4)
    for order in permutations(range(3)):
        permuted = found.surrogate.predict(USERS[0], ITEMS[sets[:5, order]], ITEMS[9])
        np.testing.assert_allclose(permuted, found.surrogate.predict(USERS[0], ITEMS[sets[:5]], ITEMS[9]), atol=1e-5)


def test_each_learns_what_a_mean_cannot(recorded):
    """The largest of a coordinate; and a coordinate of the deleted item that suits the target best."""
    sets, standard = np.array([each.items for each in recorded.deletions]), (ITEMS - ITEMS.mean(0)) / ITEMS.std(0)
    largest = np.repeat(standard[sets][:, :, 0].max(axis=1)[:, None], 5, axis=1).astype(np.float32)
    suits = np.exp(3 * np.einsum("ne,nk->nke", standard[sets][:, :, 0], standard[recorded.targets][:, :, 0]))
    weights = suits / suits.sum(axis=-1, keepdims=True)
    suitable = np.einsum("nke,ne->nk", weights, standard[sets][:, :, 1]).astype(np.float32)
    config = CONFIG.model_copy(update={"learning_rates": [1e-2], "batch_size": 64})
    r2 = {
        (name, encoder): fit(encoder, recorded, effects, config).report["r2"]
        for name, effects in (("largest", largest), ("suitable", suitable))
        for encoder in ENCODERS
    }
    assert r2["largest", "mean"] < 0.8 < 0.95 < r2["largest", "deepsets"]
    assert max(r2["suitable", "mean"], r2["suitable", "deepsets"]) < 0.7
    assert min(r2["suitable", "attention"], r2["suitable", "transformer"]) > 0.95


@pytest.mark.parametrize("encoder", ["deepsets", "transformer"])
def test_repeats_to_the_bit_and_keeps_the_best_rate_and_epoch(encoder, recorded, effects):
    noisy = effects + generator(2).normal(size=effects.shape).astype(np.float32)
    first, second = (fit(encoder, recorded, noisy) for _ in range(2))
    assert first.curve.equals(second.curve)
    best = first.curve.loc[first.curve["mse"].idxmin()]
    assert (first.report["learning_rate"], first.report["epoch"]) == (best["learning_rate"], best["epoch"])
    sets = ITEMS[RNG.integers(0, 30, (40, 3))]
    np.testing.assert_array_equal(*(each.surrogate.predict(USERS[3], sets, ITEMS[1]) for each in (first, second)))


def test_a_constant_feature_does_no_harm(recorded, effects):
    users = USERS.copy()
    users[:, 1] = 0.25
    representation = Representation(users, ITEMS)
    found = fit_set_network("mean", representation, recorded, effects, CONFIG, generator(1))
    assert found.report["r2"] > 0.8


def test_effects_that_do_not_vary(recorded, effects):
    with pytest.raises(ValueError, match="all effects are equal"):
        fit("mean", recorded, np.ones_like(effects))
    one = replace(recorded, deletions=tuple(Deletion(0, each.items) for each in recorded.deletions))
    with pytest.raises(ValueError, match="needs 2 training users"):
        fit("mean", one, effects)
