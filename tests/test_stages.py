"""Methods as data and what the stages make of them, on the toy world."""

import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from math import comb
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hadyounot.compare import verified
from hadyounot.compare.accuracy import ndcg
from hadyounot.compare.influence import removals
from hadyounot.compare.settings import InfluenceConfig
from hadyounot.compare.statistics import median_user
from hadyounot.method import effects, search
from hadyounot.method.choices import ENCODERS, PRODUCT_SETS
from hadyounot.method.linear import fit_lasso
from hadyounot.method.outcomes import Outcomes
from hadyounot.report.tables import table
from hadyounot.report.tables.cost import RETRAINED
from hadyounot.retrain.ratings import Deletion
from hadyounot.rng import generator
from hadyounot.settings import ConfigError
from hadyounot.study import methods, paths
from hadyounot.study.cell import Cell
from hadyounot.study.config import AblationsConfig, StudyConfig, check_study
from hadyounot.study.methods import BASE, FAMILIES, METHOD, METHODS, Learner, Method, Sample, family
from hadyounot.study.stages import STAGES, ablate
from hadyounot.study.stages.ablate import quality
from hadyounot.study.stages.explain import BASELINES, explain
from hadyounot.study.stages.learn import Fits, kept_fits, learn, representation, surrogates
from hadyounot.study.stages.project import project
from hadyounot.study.stages.recommender import recommender
from hadyounot.study.stages.verification import verification
from hadyounot.study.stages.verify import verify
from hadyounot.study.store import StoreError
from hadyounot.study.yaml_file import CONFIG_FOLDER
from hadyounot.workflow.demo import open_cell
from scipy.spatial.distance import cdist


@pytest.fixture(scope="module")
def cell():
    return open_cell("70_ablations", {}, "toy", "toy", "mf", "")


@pytest.fixture(scope="module")
def finished(cell):
    """The same run, opened by hand."""
    return Cell(cell.study, cell.dataset, cell.model, cell.folder)


@pytest.fixture
def fits(cell):
    """Nothing fitted yet."""
    return Fits(cell)


def owners(recorded):
    return np.array([deletion.user for deletion in recorded.deletions])


def sizes(recorded):
    return np.array([len(deletion.items) for deletion in recorded.deletions])


# -- users to whom nothing can be recommended -------------------------------------------------------------------------


def dense(folder, users, items, **explanation):
    """A cell of users who rated everything, of which training keeps 70 %: some have nothing left to be recommended."""
    pairs = [(user, item) for user in range(users) for item in range(items)]
    lines = [f"u{user},i{item},{1 + (7 * user + 3 * user * item + item) % 5}" for user, item in pairs]
    (folder / "all.csv").write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    columns = {"user": "user", "item": "item", "rating": "rating"}
    study = check_study(
        {
            "models": {"mf": {"kind": "mf", "factors": 2, "epochs": 60, "learning_rate": 0.05}},
            "datasets": {"dense": {"sources": [{"kind": "folder", "ratings": {"path": "all.csv"} | columns}]}},
            "cells": [{"dataset": "dense", "model": "mf"}],
            "counterfactual": {"training_users": 12, "deletions_per_user": 6, "n_targets": 1},
            "surrogates": {"mlp": {"max_epochs": 1}, "lasso": {"penalties": 50}, "folds": 2},
            "explanation": {"test_users": 8, "explanation_size": 2, "top_k": [1], "max_candidates": 20} | explanation,
        },
        "this test",
    )
    return Cell(study.of("dense", "mf"), "dense", "mf", folder, makes=True)


def test_users_to_whom_nothing_can_be_recommended_are_left_out_of_every_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    full = dense(tmp_path, 40, 6)
    for name in ("10_dataset", "20_recommender", "30_simulate", "40_surrogates", "50_explain", "60_evaluate"):
        STAGES[name].run(full)
    lengths = np.bincount(full.train.users, minlength=full.train.n_users)
    assert (lengths == 6).sum() == 2
    assert set(full.explainable_users) == set(np.flatnonzero((lengths >= 2) & (lengths < 6)))
    assert full.read(paths.SIGNAL)["own"] == len(full.explainable_users)
    assert set(full.read(paths.EVALUATION)["user"]) == set(full.test_users)


def test_nobody_to_explain_anything_to_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    full = dense(tmp_path, 10, 4, explanation_size=4)
    STAGES["10_dataset"].run(full)
    with pytest.raises(ConfigError, match="no user with at least 4 training items to whom any item may be recommended"):
        STAGES["20_recommender"].run(full)


# -- rows -------------------------------------------------------------------------------------------------------------


def test_names_and_families():
    config = AblationsConfig()
    every = {name: [method.name for method in family(name, config, 3)] for name in FAMILIES}
    assert every["effect"] == ["clf", "rank", "cross", "score"]
    assert every["deletion_size"] == ["1", "2", "3", "5", "10", "40-percent"]
    assert every["representation"] == ["mask", *ENCODERS]
    assert every["penalty"] == ["least"]
    assert len(every["products"]) == 7 + 4 + 4
    assert every["search"][:4] == ["lasso-sampled-1000", "lasso-sampled-10000", "lasso-sampled-100000", "lasso-greedy"]
    assert every["sample_size"] == [
        *("users-25", "users-50", "users-100"),
        *("deletions-25", "deletions-100", "deletions-400"),
    ]
    assert list(every) == config.families
    assert len({method.name for method in METHODS}) == len(METHODS)


def test_every_variant_differs_from_its_control_in_one_choice():
    config = AblationsConfig()
    for name in FAMILIES:
        variants = {method.name: method for method in family(name, config, 3)}
        for method in variants.values():
            if method.control is None:
                continue
            control = variants.get(method.control) or METHOD[method.control]
            if method.baseline:
                assert (method.baseline, method.option) == (control.baseline, f"{control.option}_as_printed")
                continue
            choices = {
                **{
                    name: lambda m, name=name: getattr(m.learner, name)
                    for name in ("ungrouped", "biases", "readmitted")
                },
                "surrogate": lambda m: (
                    m.learner.surrogate,
                    m.learner.effect == "clf",
                    m.budget if m.search == "best" else None,
                ),
                "effect": lambda m: m.learner.effect,
                "products": lambda m: m.learner.products,
                "mask": lambda m: m.learner.mask,
                "penalty": lambda m: m.learner.least_penalty,
                "sample": lambda m: m.learner.sample,
                "search": lambda m: (m.search, m.budget if m.search != "best" else None),
            }
            differing = [choice for choice, of in choices.items() if of(method) != of(control)]
            # a classification is another surrogate because it learns another effect
            assert differing in ([name] for name in choices) or (method.name, differing) == (
                "clf",
                ["surrogate", "effect"],
            )


def test_a_variant_of_the_size_without_such_a_control_has_none():
    sizes = AblationsConfig(deletion_sizes=[1, 5])
    assert [method.control for method in family("deletion_size", sizes, 3)] == [None, None, None]
    assert [method.control for method in family("deletion_size", sizes, 5)] == ["5", None, "5"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_hangs_on_the_settings_it_names_and_on_no_other(name):
    base = AblationsConfig()
    others = {
        "deletion_sizes": [2, 4],
        "deletion_share": 0.3,
        "deletions_per_user": 7,
        "candidates": [5],
        "beam_width": 3,
        "sample_users": [9],
        "sample_deletions": [8],
        "set_networks": base.set_networks.model_copy(update={"max_candidates": 6}),
    }
    assert {*others, "families"} == set(AblationsConfig.model_fields)
    for field, value in others.items():
        changed = family(name, base.model_copy(update={field: value}), 3) != family(name, base, 3)
        assert changed == (field in FAMILIES[name][1]), field


def test_a_new_method_is_one_row(cell):
    manhattan = Method("knn_manhattan", baseline="nearest", option="cityblock")
    explained, times = explain(cell, [manhattan], {})
    assert set(explained["method"]) == set(times["method"]) == {"knn_manhattan"}
    _, items = (cell.read(paths.EMBEDDINGS)[name] for name in ("user_embeddings", "item_embeddings"))
    for row in explained.itertuples():
        history = cell.train.history(row.user)
        distance = np.abs(items[history].astype(float) - items[row.target]).sum(axis=1)
        assert set(row.items) == set(history[np.argsort(distance)[:3]].tolist())
    tested, retrained = verify(cell, explained)
    assert retrained == len(tested) == len(explained)


def test_what_is_unlearned_is_the_inner_product_of_two_gradients(cell):
    explained, _ = explain(cell, [METHOD["unlearned"]], {})
    model, train = cell.trained, cell.train
    for row in explained.itertuples():
        own = torch.tensor(model.user_embeddings[row.user], dtype=torch.float64, requires_grad=True)

        def score(item, own=own, user=row.user):
            biases = model.mean + float(model.user_biases[user]) + float(model.item_biases[item])
            return biases + own @ torch.tensor(model.item_embeddings[item], dtype=torch.float64)

        (of_target,) = torch.autograd.grad(score(row.target), own)
        rows = train.rows_of(row.user)
        losses = [(float(train.values[i]) - score(train.items[i])) ** 2 / 2 for i in rows]
        products = [float(torch.autograd.grad(loss, own)[0] @ of_target) for loss in losses]
        # a step against the loss of d moves the target's score by minus the product: without d it is lower by as much
        assert set(row.items) == set(train.items[rows][np.argsort(products)[:3]].tolist())


# -- learn ------------------------------------------------------------------------------------------------------------


def test_equal_learners_are_fitted_once(fits, monkeypatch):
    fitted = []
    original = Fits._fit
    monkeypatch.setattr(Fits, "_fit", lambda self, learner: fitted.append(learner.key) or original(self, learner))
    rows = [BASE, replace(BASE, name="again", search="beam", budget=1), METHOD["linear_reg_aware"]]
    rows += [method for method in family("products", AblationsConfig(), 3) if method.learner.surrogate == "lasso"]
    learned = learn(fits, rows)
    assert len(fitted) == len(set(fitted)) == 1 + len(PRODUCT_SETS)
    assert learned["linear_reg"] is learned["again"]


def test_what_notebook_40_kept_is_not_fitted_again(cell, monkeypatch):
    fits = kept_fits(cell)
    monkeypatch.setattr(Fits, "_fit", None)
    learned = learn(fits, METHODS)
    assert list(learned) == [method.name for method in methods.SURROGATES]
    again = Fits(cell)
    monkeypatch.undo()
    for name in ("linear_reg", "mlp_reg", "linear_clf"):
        arrays = again.learned(METHOD[name].learner).surrogate.to_arrays()
        for key, array in learned[name].surrogate.to_arrays().items():
            np.testing.assert_array_equal(arrays[key], array)


@pytest.mark.slow
def test_a_method_with_a_sample_and_a_network_of_its_own_is_one_row(monkeypatch):
    own = [
        Method("own_sample", learner=Learner(sample=Sample(2, users=8, deletions=6))),
        *(Method(f"own_{name}", learner=Learner(name), budget=50) for name in (ENCODERS[0], ENCODERS[-1])),
    ]
    monkeypatch.setattr("hadyounot.study.stages.learn.SURROGATES", (*methods.SURROGATES, *own))
    made = open_cell("40_surrogates", {}, "toy", "toy", "mf", "")
    told = "seed", "models", "counterfactual", "explanation.explanation_size", "surrogates", "ablations.set_networks"
    part = StudyConfig.given(made.study.part(*told))  # as rule surrogates tells it
    facts, curves = surrogates(Cell(part, made.dataset, made.model, made.folder, makes=True))
    assert facts["retrained"] == 8 * 6 + 1
    assert RETRAINED["40_surrogates"](made) == 8 * 6 + 1
    rates = curves[curves["surrogate"] == own[1].learner.key]["learning_rate"]
    assert set(rates) == set(made.study.ablations.set_networks.learning_rates)
    kept, again = learn(kept_fits(made), own), learn(Fits(made), own)
    explained, _ = explain(made, own, kept)
    pd.testing.assert_frame_equal(explained, explain(made, own, again)[0])
    assert set(explained["method"]) == {method.name for method in own}
    for name in kept:
        arrays = again[name].surrogate.to_arrays()
        for key, array in kept[name].surrogate.to_arrays().items():
            np.testing.assert_array_equal(arrays[key], array)


def test_our_surrogate_is_the_one_whose_products_predict_held_out_training_users_best(cell, fits):
    r2 = {products: fits.learned(Learner(products=products)).report["r2"] for products in PRODUCT_SETS}
    ours = kept_fits(cell).learned(METHOD["linear_reg_aware"].learner)
    assert ours.learner.products == max(r2, key=r2.get)
    assert tuple(ours.representation.products) == ours.learner.products
    assert np.ptp(list(r2.values())) > 0.05  # or the choice would mean nothing


def test_products_that_embeddings_do_not_allow_are_no_variants(cell, monkeypatch):
    monkeypatch.setattr(ablate, "embeddings", lambda cell: (np.zeros((9, 2)), np.zeros((9, 3))))
    kept, every = (
        {method.learner.products for method in found}
        for found in (ablate.variants(cell, "products"), family("products", cell.study.ablations, 3))
    )
    assert every - kept == {products for products in every if "user" in products} != set()
    assert len(ablate.variants(cell, "reading")) == len(family("reading", cell.study.ablations, 3))


def test_deletions_of_another_size_are_really_retrained(cell, fits):
    recorded = fits.sampled(Sample(size=2, deletions=4))
    assert set(sizes(recorded)) == {2}
    users, counts = np.unique(owners(recorded), return_counts=True)
    assert set(users) == set(cell.training_users)
    assert set(counts) == {4}
    deletion = recorded.deletions[5]
    alone = cell.recommender().retrain(cell.train, [deletion])[0]
    np.testing.assert_array_equal(recorded.score_after[5], alone[recorded.targets[5]])
    assert fits.simulated == {Sample(size=2, deletions=4): len(recorded.deletions)}


def test_a_size_that_few_histories_have_is_refused_by_name(cell):
    """By the workflow too, which tells notebook 70 nothing of datasets."""
    told = "seed", "models", "counterfactual", "explanation", "surrogates", "ablations"
    part = StudyConfig.given(cell.study.part(*told))
    with pytest.raises(ConfigError, match=r"^ablations.deletion_sizes: 0 training users of toy × mf .*; remove 1000$"):
        Fits(replace(cell, study=part)).sampled(Sample(size=1000, deletions=4))


def test_deletions_of_a_share_of_the_history(cell, fits):
    recorded = fits.sampled(Sample(size=0.4, deletions=2))
    lengths = np.array([len(cell.train.history(user)) for user in owners(recorded)])
    np.testing.assert_array_equal(sizes(recorded), np.round(0.4 * lengths))


def test_users_whose_history_is_too_short_are_left_out(cell, fits):
    lengths = {user: len(cell.train.history(user)) for user in cell.training_users.tolist()}
    size = sorted(lengths.values())[3]
    recorded = fits.sampled(Sample(size=size, deletions=1))
    assert set(owners(recorded)) == {user for user, length in lengths.items() if length >= size}


def test_smaller_samples_are_the_first_of_what_was_recorded(cell, fits):
    everything = fits.outcomes
    fewer_users = fits.sampled(Sample(users=3))
    assert set(owners(fewer_users)) == set(cell.training_users[:3])
    fewer = fits.sampled(Sample(deletions=7))
    for user in cell.training_users:
        of_user = [deletion for deletion in everything.deletions if deletion.user == user]
        assert [deletion for deletion in fewer.deletions if deletion.user == user] == of_user[:7]
        assert sum(deletion.user == user for deletion in fewer_users.deletions) in (0, len(of_user))
    assert not fits.simulated


@pytest.mark.parametrize("effect", ["rank", "cross", "score"])
def test_a_variant_learns_its_own_effect(cell, fits, effect):
    ours = fits.learned(Learner(effect=effect)).surrogate.to_arrays()
    settings = cell.study.surrogates
    data = representation(cell, BASE.learner).data(fits.outcomes, getattr(effects, effect)(fits.outcomes))
    expected = fit_lasso(data, settings.folds, settings.lasso, generator(cell.study.seed, "surrogate", "linear_reg"))
    for key, array in expected.surrogate.to_arrays().items():
        np.testing.assert_array_equal(ours[key], array)


def test_a_surrogate_of_another_reading_learns_and_is_measured_on_it(cell, fits):
    settings, learned = cell.study.surrogates, fits.learned(Learner(readmitted=True))
    other = effects.reg(fits.outcomes.readmitted())
    assert (other != effects.reg(fits.outcomes)).any()
    data = representation(cell, BASE.learner).data(fits.outcomes, other)
    expected = fit_lasso(data, settings.folds, settings.lasso, generator(cell.study.seed, "surrogate", "linear_reg"))
    for key, array in expected.surrogate.to_arrays().items():
        np.testing.assert_array_equal(learned.surrogate.to_arrays()[key], array)
    unseen = Outcomes.of(cell.read(paths.CORRELATION_OUTCOMES))
    found = quality(cell, learned, unseen)
    assert found == quality(cell, replace(learned, learner=BASE.learner), unseen.readmitted())
    assert found != quality(cell, replace(learned, learner=BASE.learner), unseen)


def test_variants_of_the_penalty_the_folds_and_the_embeddings_are_what_they_are_called(cell, fits):
    settings, base = cell.study.surrogates, fits.learned(BASE.learner)
    least = fits.learned(Learner(least_penalty=True))
    assert least.report["penalty"] == fits.curves[least.learner.key]["penalty"].min() < base.report["penalty"]
    biased = fits.learned(Learner(biases=True))
    assert len(biased.surrogate.item_weights) == len(base.surrogate.item_weights) + 1
    np.testing.assert_array_equal(biased.representation.item_embeddings[:, -1], cell.trained.item_biases)
    leaky = fits.learned(Learner(ungrouped=True))
    data = representation(cell, BASE.learner).data(fits.outcomes, effects.reg(fits.outcomes))
    rng = generator(cell.study.seed, "surrogate", "linear_reg")
    expected = fit_lasso(data, settings.folds, settings.lasso, rng, grouped=False)
    assert leaky.report == expected.report != base.report


def test_a_mask_weighs_every_item_by_itself(cell, fits):
    found = fits.learned(Learner(mask=True))
    assert found.surrogate.item_weights.shape == (cell.train.n_items,)
    user = cell.test_users[0]
    history = cell.train.history(user)
    weights = found.surrogate.deletion_weights(found.representation.item_features(user, 0, history))
    np.testing.assert_array_equal(weights, found.surrogate.item_weights[history])
    features = found.representation.data(fits.outcomes, effects.reg(fits.outcomes)).deletion_features
    assert features.itemsize == 1  # at the paper's counts a third of a GiB
    for deletion, row in zip(fits.outcomes.deletions, features, strict=True):
        assert set(np.flatnonzero(row)) == set(deletion.items)
        assert row.sum() == len(deletion.items)


def test_quality_is_that_of_the_studys_own_surrogate_on_users_never_seen(cell):
    table = cell.read(paths.SURROGATE_QUALITY)
    (row,) = table[(table["predictor"] == "linear_reg") & (table["n_targets"] > 1)].itertuples()
    unseen = Outcomes.of(cell.read(paths.CORRELATION_OUTCOMES))
    learned = kept_fits(cell).learned(BASE.learner)
    assert quality(cell, learned, unseen) == pytest.approx({"r2": row.r2, "spearman": row.spearman})
    other = replace(learned, learner=Learner(effect="rank"))
    sized = replace(learned, learner=Learner(sample=Sample(size=1)))
    assert quality(cell, other, unseen)["r2"] is quality(cell, sized, unseen)["r2"] is None
    assert not set(owners(unseen)) & set(cell.training_users)


# -- explain and verify -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        Method("mask", learner=Learner(mask=True), family="representation"),
        Method("attention", learner=Learner("attention", sample=Sample(deletions=10)), budget=50),
        replace(BASE, name="beam", search="beam", budget=1),
        replace(METHOD["mlp_reg"], name="few", search="sampled", budget=5),
    ],
    ids=lambda method: method.name,
)
def test_every_test_user_is_explained_from_the_history_and_again_the_same(cell, method):
    learned = learn(kept_fits(cell), [method])
    explained, times = explain(cell, [method], learned)
    assert explained["user"].tolist() == cell.test_users.tolist()
    for row in explained.itertuples():
        assert len(set(row.items)) == 3
        assert set(row.items) <= set(cell.train.history(row.user).tolist())
    assert (times["seconds"] > 0).all()
    pd.testing.assert_frame_equal(explain(cell, [method], learned)[0], explained)


@pytest.mark.parametrize(("way", "budget"), [("beam", 1), ("sampled", 5)])
def test_a_method_searches_its_own_way_with_its_own_budget(cell, way, budget):
    method = replace(METHOD["mlp_reg"], name="other", search=way, budget=budget)
    learned = learn(kept_fits(cell), [method])
    explained, _ = explain(cell, [method], learned)
    surrogate, told = learned["other"].surrogate, learned["other"].representation
    for row in explained.itertuples():
        history = cell.train.history(row.user)
        of = told.user_embeddings[row.user], told.item_features(row.user, row.target, history)
        rng = generator(cell.study.seed, "explain", "other", row.user)
        assert row.items == getattr(search, way)(
            surrogate, *of, told.item_embeddings[row.target], history, 3, budget, rng
        )
    usual, _ = explain(cell, [METHOD["mlp_reg"]], learn(kept_fits(cell), [METHOD["mlp_reg"]]))
    assert (explained["items"].map(sorted) != usual["items"].map(sorted)).any()


def test_a_method_s_seconds_are_its_own(cell, monkeypatch):
    clock = [0.0]

    def takes(seconds):
        def explainer(user, target, rng):
            clock[0] += seconds
            return (0, 1, 2)

        return lambda cell: lambda option: explainer

    monkeypatch.setattr("hadyounot.study.stages.explain.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    for name, seconds in (("slow", 8.0), ("fast", 0.5)):
        monkeypatch.setitem(BASELINES, name, takes(seconds))
    _, times = explain(cell, [Method(name, baseline=name) for name in ("slow", "fast")], {})
    assert times.groupby("method")["seconds"].unique().map(list).to_dict() == {"slow": [8.0], "fast": [0.5]}


def proof(cell, user, top_k, size=3, budget=64):
    return verified.explain(cell.recommender(), cell.train, user, None, top_k, size, budget)


def test_what_is_said_to_be_proven_holds_at_every_k_for_which_a_proof_is_found(cell):
    tested = cell.read(paths.EVALUATION)
    tested = tested[tested["method"] == "verified"].set_index("user")
    levels = cell.study.explanation.top_k
    held = 0
    for user in cell.test_users.tolist():
        for top_k in levels:
            if not proof(cell, user, top_k, budget=cell.study.explanation.budget).valid:
                break
            assert tested.loc[user, "rank_after"] > top_k
            held += 1
    assert 0 < held < len(levels) * len(cell.test_users)


def test_a_target_whose_place_nothing_can_take_is_explained_by_chance(cell, monkeypatch):
    alone = Cell(cell.study, cell.dataset, cell.model, cell.folder)
    best = cell.trained.scores([cell.test_users[0]])[0].argmax()
    monkeypatch.setattr(Cell, "candidates", lambda self, user: np.arange(cell.train.n_items) == best)
    explained, _ = explain(alone, [METHOD["verified"]], {})
    for row in explained.itertuples():
        assert len(set(row.items) & set(cell.train.history(row.user).tolist())) == 3


def test_a_larger_budget_proves_what_a_smaller_does_and_the_fewest_items_are_no_more(cell):
    settings = cell.study.verification.model_copy(update={"users": 10})  # so many that a budget decides for some
    cell = replace(cell, study=cell.study.model_copy(update={"verification": settings}))
    found = verification(cell)
    assert found["user"].unique().tolist() == cell.test_users[: settings.users].tolist()
    assert (found["retrained"] <= found["budget"]).all()
    pd.testing.assert_series_equal(found["valid"], found["rank_after"] > found["top_k"], check_names=False)
    sized, fewest = found[found["size"].notna()], found[found["size"].isna()]
    assert (sized["n_items"] == 3).all()
    valid = sized.pivot(index=["user", "top_k"], columns="budget", values="valid")
    assert list(valid) == sorted(settings.budgets)
    assert (valid.astype(int).diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert valid[8].sum() < valid[128].sum()
    assert set(fewest.loc[fewest["valid"], "n_items"]) > {1, 2}
    for row in sized[sized["budget"] == 16].head(6).itertuples():
        again = proof(cell, row.user, row.top_k, budget=16)
        assert (row.target, row.rank_after, row.retrained) == (again.target, again.rank_after, again.retrained)


def test_one_deletion_is_retrained_once_whoever_names_it_and_in_whatever_order(cell, monkeypatch):
    user, target = cell.test_users[0].item(), cell.read(paths.EVALUATION)["target"].iloc[0]
    a, b, c, d = cell.train.history(user)[:4].tolist()
    rows = [(user, target, "one", (a, b, c)), (user, target, "two", (c, a, b)), (user, target, "three", (a, b, d))]
    explained = pd.DataFrame(rows, columns=["user", "target", "method", "items"])
    tested, retrained = verify(cell, explained)
    assert retrained == 2
    fate = ["rank_before", "rank_after", "rank_after_readmitted", "score_before", "score_after"]
    assert (tested[fate].iloc[0] == tested[fate].iloc[1]).all()
    recommender = cell.recommender()
    before = recommender.fit(cell.train).scores([user])[0]
    after = recommender.retrain(cell.train, [Deletion(user, (a, b, c))])[0]
    assert tested["score_before"].iloc[0] == before[target]
    assert tested["score_after"].iloc[0] == after[target]
    again, retrained = verify(cell, explained, tested)
    assert retrained == 0
    pd.testing.assert_frame_equal(again, tested, check_dtype=False)


def test_an_explanation_of_what_is_not_recommended_first_is_refused(cell):
    user = cell.test_users[0].item()
    items = tuple(cell.train.history(user)[:3].tolist())
    row = pd.DataFrame([(user, items[0], "odd", items)], columns=["user", "target", "method", "items"])
    with pytest.raises(ValueError, match=f"odd explains item {items[0]} to user {user}, whose top recommendation is"):
        verify(cell, row)


def test_a_reseeding_deletes_nothing_and_is_another_model(cell):
    tested = cell.read(paths.EVALUATION)
    rows = tested[tested["method"] == "reseed"]
    assert rows["user"].tolist() == cell.test_users.tolist()
    assert not rows["items"].map(len).any()
    models = cell.trained, cell.recommender("reseed").fit(cell.train)
    before, after = (model.scores(cell.test_users)[range(len(rows)), rows["target"]] for model in models)
    np.testing.assert_array_equal(rows["score_before"], before)
    np.testing.assert_array_equal(rows["score_after"], after)
    assert (before != after).all()


def test_an_oracle_is_exact_for_those_of_whom_every_subset_is_tried(cell):
    most = cell.study.explanation.oracle.exhaustive
    exact = sum(comb(len(cell.train.history(user)), 3) <= most for user in cell.test_users)
    assert cell.read(paths.RETRAININGS)["exact_oracles"] == exact
    assert 0 < exact < len(cell.test_users)


# -- what is explained ------------------------------------------------------------------------------------------------


def test_the_quality_that_is_kept_is_that_of_the_model_on_ratings_held_out(cell):
    kept, scores = cell.read(paths.QUALITY), cell.trained.scores(np.arange(cell.train.n_users))
    for name, ratings in (("train_rmse", cell.train), ("test_rmse", cell.test)):
        errors = ratings.values.astype(float) - scores[ratings.users, ratings.items]
        assert kept[name] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert kept["ndcg_10"] == ndcg(scores, cell.train, cell.test, 10) != ndcg(scores, cell.train, cell.test, 5)
    scores[cell.train.users, cell.train.items] = -np.inf
    counts = np.bincount(scores[np.isfinite(scores).any(axis=1)].argmax(axis=1))
    assert (kept["distinct_top1"], kept["same_top1_share"]) == (np.count_nonzero(counts), counts.max() / counts.sum())


def test_figure_8_shows_the_effect_that_the_linear_surrogate_learns(cell, tmp_path):
    shutil.copytree(cell.folder, tmp_path / "run")
    points, _ = project(replace(cell, folder=tmp_path / "run"))
    shown, outcomes = points["effect"], Fits(cell).outcomes
    assert set(shown) <= set(effects.reg(outcomes).ravel().tolist())
    assert not set(shown) <= set(effects.score(outcomes).ravel().tolist())


# -- a model of choices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (
            {"kind": "ncf", "gmf_factors": 2, "mlp_layers": [4, 2], "epochs": 3, "negatives": 2},
            {"influence", "influence_block"},
        ),
        ({"kind": "svd", "factors": 2, "binary": True}, set()),
    ],
    ids=["ncf", "svd"],
)
def test_a_model_that_predicts_no_rating_has_no_error_in_stars_but_one_of_choices(tmp_path, model, named):
    study = yaml.safe_load((CONFIG_FOLDER / "toy.yaml").read_text())
    study["models"] = {"chosen": model}
    study["cells"] = [{"dataset": "toy", "model": "chosen", "analysed": True}]
    (tmp_path / "choices.yaml").write_text(yaml.safe_dump(study))
    cell = open_cell("30_simulate", {}, str(tmp_path / "choices.yaml"), "toy", "chosen", "")
    found = recommender(cell)
    scores = cell.trained.scores(cell.train.users)[np.arange(len(cell.train)), cell.train.items]
    np.testing.assert_array_equal(cell.read(paths.EMBEDDINGS)["residuals"], 1 - scores)
    assert found.curve[["train_rmse", "test_rmse"]].isna().all(axis=None)
    assert found.curve["objective"].notna().all()
    assert found.quality["train_rmse"] is None
    assert found.quality["test_rmse"] is None
    assert 0 < found.quality["ndcg_10"] < 1
    assert found.signal["own_change"] > found.signal["others_change"]
    assert table("recommenders").frame([cell], cell.study)["test_rmse"].isna().all()
    assert named <= set(removals(cell.trained, cell.train, cell.recommender(), InfluenceConfig()))


# -- a finished run is only read --------------------------------------------------------------------------------------


def everything(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_read_and_shows_the_same(cell, finished, monkeypatch):
    before = everything(cell.folder)
    monkeypatch.setattr(Fits, "_fit", None)
    monkeypatch.setattr("hadyounot.retrain.mf.MatrixFactorization.retrain", None)
    facts, curves = surrogates(finished)
    assert facts["methods"]["linear_reg"] == "lasso-reg"
    assert set(curves["surrogate"]) == set(facts["fits"])
    assert everything(cell.folder) == before


def test_what_a_run_has_not_come_to_is_said_with_the_command_that_makes_it(finished):
    with pytest.raises(StoreError, match=r"has not come so far; make it: snakemake results/toy/mf/separability.csv"):
        finished.read(paths.SEPARABILITY)


def test_the_command_that_makes_what_is_missing_works(tmp_path):
    """What follows --configfile is read as further ones: the target is first."""
    (tmp_path / "run").mkdir()
    smoke = open_cell("80_tsne", {}, "smoke", "toy", "mf", str(tmp_path / "run"))
    said = rf"come so far; make it: snakemake results/\S+ --directory {tmp_path}/run --configfile config/smoke.yaml$"
    with pytest.raises(StoreError, match=said) as error:
        smoke.read(paths.SEPARABILITY)
    words = shlex.split(str(error.value).partition("make it: ")[2])
    command = [sys.executable, "-m", *words, "--dry-run"]
    done = subprocess.run(command, cwd=paths.PROJECT, capture_output=True, text=True)
    assert "80_tsne on toy/mf" in done.stdout + done.stderr
    nowhere = open_cell("80_tsne", {}, "study", "ml-100k", "mf", str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match=r"^there is no folder \S+/nowhere: name that of a run, or make it: snakemake"):
        nowhere.read(paths.SEPARABILITY)
    default = open_cell("80_tsne", {}, "study", "ml-100k", "mf", str(paths.PROJECT))
    with pytest.raises(StoreError, match=r"make it: snakemake results/ml-100k/mf/ablations/none.parquet$"):
        default.read(paths.ABLATION, family="none")  # which no run of the project itself has


def test_a_misspelt_study_is_told_which_there_are():
    said = r"config/studdy.yaml: cannot be read .*; .*config has .*study.yaml.*; write .*config/study.yaml"
    with pytest.raises(ConfigError, match=said):
        open_cell("80_tsne", {}, "studdy", "toy", "mf", "")


# -- settings ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"explanation": {"top_k": [1, 1, 3]}}, r"explanation.top_k\n.* names one twice; remove it"),
        ({"ablations": {"candidates": [10, 10]}}, r"ablations.candidates\n.* names one twice; remove it"),
        ({"projection": {"points": 20}}, "perplexity 30 needs more points than 20; lower it"),
        (
            {"counterfactual": {"training_users": 4}},
            r"4 users of ml-100k, mf cannot be .*; write at least 5",
        ),
    ],
)
def test_settings_that_break_a_table_or_a_picture_are_refused_before_anything_runs(settings, message):
    study = {"models": {"mf": {"kind": "mf"}}, "cells": [{"dataset": "ml-100k", "model": "mf"}]}
    with pytest.raises(ValueError, match=message):
        StudyConfig.model_validate(study | settings)


def test_a_part_of_a_study_comes_back_and_has_no_defaults_for_what_was_left_out(cell):
    study = cell.study
    part = StudyConfig.given(study.part("seed", "models", "explanation.explanation_size"))
    assert part.seed == study.seed
    assert part.models == study.models
    assert part.explanation.explanation_size == 3
    for holder, name in ((part, "naive"), (part.explanation, "top_k")):
        with pytest.raises(AttributeError, match=name):
            getattr(holder, name)
    assert StudyConfig.given(study.part()) == study


@pytest.mark.parametrize(("name", "metric"), [("knn", "euclidean"), ("knn_cosine", "cosine")])
def test_knn_names_what_is_nearest_by_its_metric(cell, name, metric):
    explained, _ = explain(cell, [METHOD[name]], {})
    items = cell.trained.item_embeddings
    for row in explained.itertuples():
        history = cell.train.history(row.user)
        order = cdist(items[history], items[[row.target]], metric)[:, 0].argsort()
        assert set(row.items) == set(history[order[:3]].tolist())


def test_figure_7_keeps_the_user_of_median_correlation(cell):
    shown = cell.read(paths.MEASURED)["user"].unique().tolist()
    assert shown == [median_user(cell.read(paths.CORRELATION))[0]]
