"""Learned set representations: invariant to order, able to learn a planted effect, and repeatable."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hadyounot.method.choices import ENCODERS
from hadyounot.method.features import Representation
from hadyounot.method.outcomes import Outcomes
from hadyounot.method.sets import fit_set_network
from hadyounot.method.settings import SetNetworkConfig
from hadyounot.method.surrogates import held_out_users
from hadyounot.retrain.ratings import Deletion
from hadyounot.rng import generator
from sklearn.metrics import r2_score

CONFIG = SetNetworkConfig(hidden=16, learning_rates=[1e-2], batch_size=64, max_epochs=12, patience=3)
TARGETS = 3
RNG = generator(0, "sets")
USERS, ITEMS = RNG.normal(size=(12, 3)).astype(np.float32), RNG.normal(2, 0.5, size=(30, 4)).astype(np.float32)
STANDARD = (ITEMS - ITEMS.mean(axis=0)) / ITEMS.std(axis=0)


@pytest.fixture(scope="module")
def recorded() -> Outcomes:
    deletions = tuple(Deletion(user, tuple(RNG.choice(30, 3, replace=False))) for user in range(12) for _ in range(60))
    shape = len(deletions), TARGETS
    arrays = {name: np.zeros(shape, np.float32) for name in Outcomes.__dataclass_fields__ if name != "deletions"}
    return Outcomes(deletions, **arrays | {"targets": RNG.integers(0, 30, shape)})


@pytest.fixture(scope="module")
def effects(recorded) -> np.ndarray:
    """Additive in the deleted items, of other units than 1."""
    weights = np.array([1.0, -2, 0.5, 0])
    sums = np.array([ITEMS[list(deletion.items)].sum(axis=0) @ weights for deletion in recorded.deletions])
    return np.repeat(7 + 0.1 * sums[:, None], TARGETS, axis=1).astype(np.float32)


def fit(encoder, recorded, effects, config=CONFIG):
    return fit_set_network(encoder, Representation(USERS, ITEMS), recorded, effects, config, generator(1))


def test_where_held_out_users_show_no_difference_there_is_none_to_explain(recorded):
    users = np.array([deletion.user for deletion in recorded.deletions])
    unseen = held_out_users(users, CONFIG.held_out_share, generator(1))
    effects = np.where(unseen, 0, users)[:, None].repeat(TARGETS, axis=1).astype(np.float32)
    assert fit("mean", recorded, effects, CONFIG.model_copy(update={"max_epochs": 1})).report["r2"] == 0


@pytest.mark.parametrize("encoder", ENCODERS)
def test_learns_the_set_whatever_its_order_and_reports_unseen_users(encoder, recorded, effects):
    found = fit(encoder, recorded, effects)
    assert found.report["r2"] > 0.8
    sets = np.array([list(deletion.items) for deletion in recorded.deletions])
    users = np.array([deletion.user for deletion in recorded.deletions])
    unseen = np.flatnonzero(held_out_users(users, CONFIG.held_out_share, generator(1)))
    predicted = np.array(
        [
            [found.surrogate.predict(USERS[users[row]], ITEMS[sets[[row]]], ITEMS[i])[0] for i in recorded.targets[row]]
            for row in unseen
        ]
    )
    assert found.report["r2"] == pytest.approx(r2_score(effects[unseen].ravel(), predicted.ravel()), abs=1e-4)
    for order in permutations(range(3)):
        permuted = found.surrogate.predict(USERS[0], ITEMS[sets[:5, order]], ITEMS[9])
        np.testing.assert_allclose(permuted, found.surrogate.predict(USERS[0], ITEMS[sets[:5]], ITEMS[9]), atol=1e-5)


def test_deep_sets_learn_what_a_mean_cannot(recorded):
    """The largest of a coordinate."""
    sets = np.array([each.items for each in recorded.deletions])
    largest = np.repeat(STANDARD[sets][:, :, 0].max(axis=1)[:, None], TARGETS, axis=1).astype(np.float32)
    assert fit("mean", recorded, largest).report["r2"] < 0.8
    assert fit("deepsets", recorded, largest).report["r2"] > 0.95


def test_attention_learns_what_depends_on_the_target(recorded):
    """A coordinate of the deleted item that suits the target best."""
    sets = np.array([each.items for each in recorded.deletions])
    suits = np.exp(3 * np.einsum("ne,nk->nke", STANDARD[sets][:, :, 0], STANDARD[recorded.targets][:, :, 0]))
    weights = suits / suits.sum(axis=-1, keepdims=True)
    suitable = np.einsum("nke,ne->nk", weights, STANDARD[sets][:, :, 1]).astype(np.float32)
    for encoder in ("mean", "deepsets"):
        assert fit(encoder, recorded, suitable).report["r2"] < 0.7
    for encoder in ("attention", "transformer"):
        assert fit(encoder, recorded, suitable).report["r2"] > 0.9


@pytest.mark.parametrize("encoder", ["deepsets", "transformer"])
def test_repeats_to_the_bit_and_keeps_the_best_rate_and_epoch(encoder, recorded, effects):
    noisy = effects + generator(2).normal(size=effects.shape).astype(np.float32)
    config = CONFIG.model_copy(update={"learning_rates": [3e-3, 1e-2], "max_epochs": 4})
    first, second = (fit(encoder, recorded, noisy, config) for _ in range(2))
    assert first.curve.equals(second.curve)
    best = first.curve.loc[first.curve["mse"].idxmin()]
    assert (first.report["learning_rate"], first.report["epoch"]) == (best["learning_rate"], best["epoch"])
    sets = ITEMS[RNG.integers(0, 30, (40, 3))]
    np.testing.assert_array_equal(*(each.surrogate.predict(USERS[3], sets, ITEMS[1]) for each in (first, second)))


def test_inputs_are_standardised_over_the_rows_learnt_from(recorded, effects):
    network = fit("mean", recorded, effects).surrogate.network
    users = np.array([deletion.user for deletion in recorded.deletions])
    learnt = np.flatnonzero(~held_out_users(users, CONFIG.held_out_share, generator(1)))
    rows = {
        "user": [USERS[users[row]] for row in learnt for _ in range(TARGETS)],
        "deleted": [ITEMS[item] for row in learnt for item in recorded.deletions[row].items * TARGETS],
        "target": [ITEMS[item] for row in learnt for item in recorded.targets[row]],
    }
    for name, values in rows.items():
        np.testing.assert_allclose(getattr(network, f"{name}_mean"), np.mean(values, axis=0, dtype=float), rtol=1e-5)
        np.testing.assert_allclose(getattr(network, f"{name}_scale"), np.std(values, axis=0, dtype=float), rtol=1e-5)


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


def test_the_network_of_the_best_rate_is_the_one_that_predicts(recorded, effects):
    config = CONFIG.model_copy(update={"learning_rates": [1e-2, 1e-5], "max_epochs": 4})
    found = fit_set_network("deepsets", Representation(USERS, ITEMS), recorded, effects, config, generator(1))
    unseen = np.flatnonzero(held_out_users(recorded.users, config.held_out_share, generator(1)))
    predicted = [
        found.surrogate.predict(USERS[recorded.users[row]], ITEMS[[recorded.deletions[row].items]], ITEMS[i])[0]
        for row in unseen
        for i in recorded.targets[row]
    ]
    assert found.report["learning_rate"] == 1e-2
    mse = np.mean((np.array(predicted) - effects[unseen].ravel()) ** 2) / found.surrogate.scale**2
    assert mse == pytest.approx(found.curve["mse"].min(), rel=1e-3)
