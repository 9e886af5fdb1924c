"""Variants of the method on the toy world: each differs from the study's surrogate in what it says, and only there."""

import numpy as np
import pytest
from hadyounot.method import effects
from hadyounot.study import ablations, paths, schemas, store
from hadyounot.study.config import AblationsConfig, StudyConfig
from hadyounot.study.variants import ENCODERS, PRODUCT_SETS, Variant, variants
from hadyounot.workflow.demo import open_cell


@pytest.fixture(scope="module")
def cell():
    return open_cell("70_ablations", "toy", "toy", "mf", "")


def learnt(cell, variant):
    recorded = ablations.outcomes(cell, variant)
    return ablations.fit(cell, variant, recorded)[0].surrogate.to_arrays()


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (Variant(), "linear_reg"),
        (Variant("mlp"), "mlp_reg"),
        (Variant("logistic", "clf"), "linear_clf"),
    ],
)
def test_a_variant_that_changes_nothing_learns_the_same(cell, variant, name):
    arrays = learnt(cell, variant)
    for key, array in store.read_arrays(cell.path(paths.SURROGATE, surrogate=name)).items():
        np.testing.assert_array_equal(arrays[key], array)


def test_our_surrogate_is_the_one_whose_products_predict_held_out_training_users_best(cell):
    recorded, r2 = cell.outcomes(), {}
    for products in PRODUCT_SETS.values():
        fitted, _ = ablations.fit(cell, Variant(products=products), recorded)
        r2[products] = fitted.report["r2"], fitted.surrogate.to_arrays()
    surrogate, representation = cell.surrogates()["linear_reg_aware"]
    assert tuple(representation.products) == max(r2, key=lambda products: r2[products][0])
    for key, array in surrogate.to_arrays().items():
        np.testing.assert_array_equal(array, r2[tuple(representation.products)][1][key])
    assert np.ptp([value for value, _ in r2.values()]) > 0.05  # or the choice would mean nothing


def test_quality_is_that_of_the_studys_own_surrogate_on_users_never_seen(cell):
    quality = store.read_csv(cell.path(paths.SURROGATE_QUALITY), schemas.SURROGATE_QUALITY)
    (row,) = quality[(quality["predictor"] == "linear_reg") & (quality["n_targets"] > 1)].itertuples()
    surrogate, representation = cell.surrogates()["linear_reg"]
    found = ablations.quality(cell, Variant(), surrogate, representation)
    assert found == pytest.approx({"r2": row.r2, "spearman": row.spearman})
    assert ablations.quality(cell, Variant(effect="rank"), surrogate, representation)["r2"] is None
    unseen = store.read_parquet(cell.path(paths.CORRELATION_OUTCOMES), schemas.OUTCOMES)["user"]
    assert not set(unseen) & set(cell.training_users)


def test_names_and_families():
    every = variants(AblationsConfig())
    assert list(every) == ["effect", "deletion_size", "representation", "penalty", "products", "search", "sample_size"]
    assert list(every["effect"]) == ["clf", "rank", "cross", "score"]
    assert list(every["deletion_size"]) == ["1", "2", "3", "5", "10", "40-percent"]
    assert list(every["representation"]) == ["mask", *ENCODERS]
    assert len(every["products"]) == 7 + 4 + 4
    assert every["products"]["logistic-residual"] == Variant("logistic", "clf", ("residual",))
    assert list(variants(AblationsConfig(families=["effect"]))) == ["effect"]


def owners(recorded):
    return np.array([deletion.user for deletion in recorded.deletions])


def sizes(recorded):
    return np.array([len(deletion.items) for deletion in recorded.deletions])


def test_deletions_of_another_size_are_really_retrained(cell):
    recorded = ablations.outcomes(cell, Variant(size=2, deletions=4))
    assert set(sizes(recorded)) == {2}
    users, counts = np.unique(owners(recorded), return_counts=True)
    assert set(users) == set(cell.training_users)
    assert set(counts) == {4}
    deletion = recorded.deletions[5]
    alone = cell.recommender().retrain(cell.train, [deletion])[0]
    np.testing.assert_array_equal(recorded.score_after[5], alone[recorded.targets[5]])


def test_deletions_of_a_share_of_the_history(cell):
    recorded = ablations.outcomes(cell, Variant(size=0.4, deletions=2))
    lengths = np.array([len(cell.train.history(user)) for user in owners(recorded)])
    np.testing.assert_array_equal(sizes(recorded), np.round(0.4 * lengths))


def test_users_whose_history_is_too_short_are_left_out(cell):
    lengths = {user: len(cell.train.history(user)) for user in cell.training_users.tolist()}
    size = sorted(lengths.values())[3]
    recorded = ablations.outcomes(cell, Variant(size=size, deletions=1))
    assert set(owners(recorded)) == {user for user, length in lengths.items() if length >= size}


def test_smaller_samples_are_the_first_of_what_was_recorded(cell):
    everything = cell.outcomes()
    fewer_users = ablations.outcomes(cell, Variant(users=3))
    assert set(owners(fewer_users)) == set(cell.training_users[:3])
    fewer = ablations.outcomes(cell, Variant(deletions=7))
    for user in cell.training_users:
        of_user = [deletion for deletion in everything.deletions if deletion.user == user]
        assert [deletion for deletion in fewer.deletions if deletion.user == user] == of_user[:7]
        assert sum(deletion.user == user for deletion in fewer_users.deletions) in (0, len(of_user))


def test_effects_of_a_variant(cell):
    recorded = cell.outcomes()
    for name, effect in ablations.EFFECTS.items():
        assert effect is getattr(effects, name)
    ours = learnt(cell, Variant(effect="rank"))
    data = cell.representation().data(recorded, effects.rank(recorded))
    assert ours["intercept"] + ours["user_weights"] @ data.features(np.arange(data.effects.size))[:, :4].mean(
        axis=0
    ) + ours["item_weights"] @ data.deletion_features.mean(axis=0) + ours["target_weights"] @ data.features(
        np.arange(data.effects.size)
    )[:, -4:].mean(axis=0) == pytest.approx(effects.rank(recorded).mean(), abs=1e-3)


@pytest.mark.parametrize(
    "variant", [Variant(mask=True), Variant("attention"), Variant(searched="beam", budget=1), Variant("mlp", budget=5)]
)
def test_every_test_user_is_explained_from_the_history(cell, variant):
    fitted, representation = ablations.fit(cell, variant, ablations.outcomes(cell, Variant(deletions=10)))
    explained, seconds = ablations.explain(cell, variant, fitted.surrogate, representation)
    assert [deletion.user for deletion in explained] == cell.test_users.tolist()
    for deletion in explained:
        assert len(set(deletion.items)) == 3
        assert set(deletion.items) <= set(cell.train.history(deletion.user).tolist())
    assert seconds.shape == (len(explained),)
    again, _ = ablations.explain(cell, variant, fitted.surrogate, representation)
    assert again == explained


def test_a_mask_weighs_every_item_by_itself(cell):
    fitted, representation = ablations.fit(cell, Variant(mask=True), cell.outcomes())
    assert fitted.surrogate.item_weights.shape == (cell.train.n_items,)
    user = cell.test_users[0]
    history = cell.train.history(user)
    weights = fitted.surrogate.deletion_weights(representation.item_features(user, 0, history))
    np.testing.assert_array_equal(weights, fitted.surrogate.item_weights[history])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sample_users": [4, 50]},
            "ablations.sample_users: 4 users cannot be .*folds = 5; write at least 5",
        ),
        ({"sample_users": [], "sample_deletions": []}, "sample_users and sample_deletions are both empty"),
        ({"sample_users": [201]}, "ablations.sample_users: 201 are asked for, but step 1 of ml-100k, mf records 200"),
        ({"sample_deletions": [2000]}, "ablations.sample_deletions: 2000 are asked for, .*; write at most 1000"),
    ],
)
def test_ablations_that_cannot_be_made_are_refused_before_anything_runs(settings, message):
    study = {"models": {"mf": {"kind": "mf"}}, "cells": [{"dataset": "ml-100k", "model": "mf", "analysed": True}]}
    assert StudyConfig.model_validate(study).ablations == AblationsConfig()
    with pytest.raises(ValueError, match=message):
        StudyConfig.model_validate(study | {"ablations": settings})
    families = [family for family in AblationsConfig().families if family != "sample_size"]
    StudyConfig.model_validate(study | {"ablations": settings | {"families": families}})
