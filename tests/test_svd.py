"""Truncated SVD: the nearest matrix of low rank, and the same without the deleted ratings."""

import numba
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import numba_threads
from hadyounot import Deletion, Ratings, TruncatedSVD
from hadyounot.method import effects
from hadyounot.method.outcomes import candidates, ranks, record, simulate
from hadyounot.report import writing
from hadyounot.retrain import svd
from hadyounot.study import datasets, paths
from hadyounot.study.cell import Cell
from hadyounot.study.config import check_study
from hadyounot.study.methods import METHOD
from hadyounot.workflow.demo import open_cell
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mf import same, some_deletions, without, world, worlds_with_deletions

SVD = TruncatedSVD(factors=3)
FLOAT32 = np.finfo(np.float32).eps


def dense(ratings: Ratings, binary=False) -> np.ndarray:
    matrix = np.zeros((ratings.n_users, ratings.n_items))
    matrix[ratings.users, ratings.items] = 1 if binary else ratings.values
    return matrix


def require_row(scores: np.ndarray, matrix: np.ndarray, user: int, recommender: TruncatedSVD) -> None:
    """The scores are those of NumPy's decomposition, within what ``TruncatedSVD.retrain`` promises."""
    _, values, vectors = np.linalg.svd(matrix, full_matrices=False)
    k, row, squares = recommender.factors, matrix[user], np.append(values, 0) ** 2
    gap = squares[k - 1] - squares[k]
    if squares[k - 1] < 1e-20 * squares[0]:  # all of the matrix is kept
        expected, condition = row, 1
    else:
        expected = vectors[:k].T @ (vectors[:k] @ row)
        condition = squares[0] / max(gap, 1e-300)  # of equals any will do
    allowed = (recommender.tolerance * condition + 4 * FLOAT32) * np.linalg.norm(row)
    assert np.abs(scores - expected).max() <= allowed


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
@pytest.mark.parametrize("factors", [1, 3, 20])
def test_fit_is_numpys_decomposition(factors, shape, binary):
    ratings, recommender = world(*shape), TruncatedSVD(factors=factors, binary=binary)
    model, matrix = recommender.fit(ratings), dense(ratings, binary)
    left, values, right = np.linalg.svd(matrix)
    signs = np.sign(right[:factors][range(factors), np.abs(right[:factors]).argmax(axis=1)])
    expected = (left[:, :factors] * values[:factors] * signs, right[:factors].T * signs)
    for table, each in zip((model.user_embeddings, model.item_embeddings), expected, strict=True):
        assert table.dtype == np.float32
        np.testing.assert_allclose(table, each, atol=1e-5)
    scores = model.scores(range(shape[0]))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected[0] @ expected[1].T, atol=1e-5)
    same(model.scores([4, 1, 4]), scores[[4, 1, 4]])
    lost = np.square(values[factors:]).sum() / len(ratings)
    assert recommender.objective(model, ratings) == pytest.approx(lost, abs=1e-5)


def test_fit_starts_from_a_vector_that_does_not_matter():
    ratings = world(100, 90)
    model, other = (SVD.model_copy(update={"seed": seed}).fit(ratings) for seed in (0, 1))
    np.testing.assert_allclose(model.item_embeddings, other.item_embeddings, atol=FLOAT32)
    same(SVD.fit(ratings).item_embeddings, model.item_embeddings)


@settings(max_examples=60, deadline=None)
@given(worlds_with_deletions(), st.integers(1, numba.config.NUMBA_NUM_THREADS), st.integers(1, 7), st.booleans())
def test_every_row_is_the_decomposition_without_the_deleted_rows(world, threads, factors, binary):
    """Whole histories, repeated singular values and matrices of low rank among them."""
    ratings, deletions = world
    recommender = TruncatedSVD(factors=min(factors, ratings.n_users, ratings.n_items), binary=binary)
    with numba_threads(threads):
        scores = recommender.retrain(ratings, deletions)
    assert scores.dtype == np.float32
    for row, deletion in list(zip(scores, deletions, strict=True))[:8]:
        require_row(row, dense(without(ratings, deletion), binary), deletion.user, recommender)


@pytest.mark.parametrize("spare", [1, 8, svd.SPARE])
@pytest.mark.parametrize("factors", [1, 5, 16])
@pytest.mark.parametrize("shape", [(150, 120), (90, 200)])
def test_a_deletion_is_the_matrix_without_it(monkeypatch, shape, factors, spare):
    monkeypatch.setattr(svd, "SPARE", spare)
    ratings, recommender = world(*shape, density=0.1), TruncatedSVD(factors=factors)
    deletions = [*some_deletions(ratings, 30), Deletion(3, tuple(ratings.history(3).tolist()))]
    watched = [(deletion.user + b % 2) % shape[0] for b, deletion in enumerate(deletions)]
    scores = recommender.retrain(ratings, deletions, watched)
    for row, deletion, user in zip(scores, deletions, watched, strict=True):
        require_row(row, dense(without(ratings, deletion)), user, recommender)


def test_a_row_knows_neither_the_others_nor_the_threads():
    ratings = world(100, 90)
    deletions = some_deletions(ratings, 23)
    alone = np.concatenate([SVD.retrain(ratings, [deletion]) for deletion in deletions])
    for threads in (1, 2, numba.config.NUMBA_NUM_THREADS):
        with numba_threads(threads):
            same(SVD.retrain(ratings, deletions), alone)
            same(SVD.retrain(ratings, deletions[::-1] * 2), np.concatenate([alone[::-1]] * 2))


def test_a_deletion_may_take_the_matrix_to_a_lower_rank():
    """Users 0 to 2 rate an item each, and no one else does: without a rating, its singular value is zero."""
    ratings = Ratings.from_arrays([0, 1, 2], "abc", [5, 4, 3])
    whole = SVD.retrain(ratings, [Deletion(user, ()) for user in range(3)])
    np.testing.assert_allclose(whole, dense(ratings), atol=1e-6)
    same(SVD.retrain(ratings, [Deletion(1, (1,))]), np.zeros((1, 3)))


def test_equal_singular_values_at_the_cut_keep_one_of_them():
    """No matrix of rank 1 is nearest to the identity: any user's rating may be the one that is kept."""
    ratings = Ratings.from_arrays(range(4), range(4), [2] * 4)
    scores = TruncatedSVD(factors=1).fit(ratings).scores(range(4))
    assert np.square(scores).sum() == pytest.approx(4)
    after = TruncatedSVD(factors=1).retrain(ratings, [Deletion(0, (0,))] * 4, range(4))
    assert np.square(after).sum() == pytest.approx(4)
    same(after[0], np.zeros(4))


def test_a_matrix_of_zeros_scores_zero():
    ratings = world(100, 90)
    ratings = Ratings.from_arrays(ratings.users, ratings.items, np.zeros(len(ratings)))
    assert not SVD.fit(ratings).scores([0]).any()
    assert not SVD.retrain(ratings, some_deletions(ratings, 2)).any()


@pytest.mark.parametrize("factors", [16, 50])
def test_movielens(ml100k, factors):
    recommender = TruncatedSVD(factors=factors)
    deletions = some_deletions(ml100k, 20)
    scores = recommender.retrain(ml100k, deletions)
    for row, deletion in zip(scores, deletions, strict=True):
        cold = recommender.fit(without(ml100k, deletion)).scores([deletion.user])[0]
        np.testing.assert_allclose(row, cold, atol=1e-5)


def test_more_factors_than_users_or_items_are_refused():
    ratings = world(30, 20)
    for ask in (lambda svd: svd.fit(ratings), lambda svd: svd.retrain(ratings, [Deletion(0, ())])):
        with pytest.raises(ValueError, match=r"^factors=21: 30 users and 20 items have 20 .*; write at most 20$"):
            ask(TruncatedSVD(factors=21))


def test_deletions_are_checked():
    ratings = world()
    absent = next(item for item in range(20) if item not in ratings.history(0))
    with pytest.raises(ValueError, match="never rated"):
        SVD.retrain(ratings, [Deletion(0, (absent,))])
    with pytest.raises(ValueError, match="unknown user index 30"):
        SVD.fit(ratings).scores([30])
    assert SVD.retrain(ratings, []).shape == (0, 20)


def test_an_iteration_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(svd, "STEPS", 3)
    monkeypatch.setattr(svd, "SPARE", 1)
    ratings = world(150, 120)
    (deletion,) = some_deletions(ratings, 1, seed=1)
    with pytest.raises(FloatingPointError, match=r"after 3 steps, more than tolerance=1e-10: choose a larger one"):
        SVD.retrain(ratings, [deletion])


@pytest.mark.parametrize("setting", [{"factors": 0}, {"tolerance": 0}, {"binary": "often"}, {"epochs": 3}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TruncatedSVD(**setting)


def test_a_cell_records_what_its_model_says(tmp_path):
    study = {"models": {"svd": {"kind": "svd", "factors": 4}}, "cells": [{"dataset": "toy", "model": "svd"}]}
    cell = Cell(check_study(study | {"seed": 9}, "here"), "toy", "svd", tmp_path)
    recommender, ratings = cell.recommender(), datasets.planted()
    assert recommender == TruncatedSVD(factors=4, seed=9)
    outcomes = simulate(recommender, ratings, range(5), size=3, count=20, n_targets=5, seed=0)
    assert (effects.reg(outcomes) != 0).any()
    for row in (0, 37, 99):
        deletion, eligible = outcomes.deletions[row], candidates(ratings, outcomes.deletions[row].user)
        scores = recommender.fit(without(ratings, deletion)).scores([deletion.user])[0]
        same(outcomes.rank_after[row], ranks(scores, eligible, outcomes.targets[row]))
    reseeded = record(cell.recommender("reseed"), ratings, [Deletion(user, ()) for user in range(20)], n_targets=5)
    same(reseeded.rank_after, np.tile(np.arange(1, 6), (20, 1)))  # its control, where nothing is deleted, is still


@pytest.mark.slow
def test_every_method_but_influence_functions_explains_it(tmp_path):
    """Which need the gradient of a loss that trained the model."""
    study = yaml.safe_load((paths.PROJECT / "config/toy.yaml").read_text())
    study |= {"models": {"svd": {"kind": "svd", "factors": 4}}, "cells": [{"dataset": "toy", "model": "svd"}]}
    study["counterfactual"] |= {"training_users": 10}
    study["surrogates"] = {"mlp": {"max_epochs": 5}}
    (tmp_path / "svd.yaml").write_text(yaml.safe_dump(study))
    made = open_cell("67_verification", {}, str(tmp_path / "svd.yaml"), "toy", "svd", "")
    writing.write("validity_svd", made.study, made.folder)
    found = pd.read_csv(made.folder / "tables/validity_svd.csv").pivot(index="method", columns="top_k")["n_valid"]
    assert set(found.index) == set(METHOD) - {"influence", "influence_block"}
    assert (found.loc["oracle"] == found.max()).all()
    assert found.loc["oracle", 1] > found.loc["random", 1]
    assert (found.loc["reseed"] == 0).all()
