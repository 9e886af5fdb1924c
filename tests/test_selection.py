"""Rules that choose settings: on validation ratings only, and with a verdict that can go either way."""

import hadyounot as hyn
import numpy as np
import pandas as pd
import pytest
from hadyounot.compare.accuracy import ndcg, rmse
from hadyounot.method.outcomes import candidates, top_items
from hadyounot.report import figures
from hadyounot.retrain.ratings import Ratings
from hadyounot.rng import generator
from hadyounot.study import schemas, selection, store
from hadyounot.study.datasets import planted, split
from test_mf import world

MF = hyn.MatrixFactorization(factors=4, epochs=20, learning_rate=0.02, regularization=0.05)
NCF = hyn.NeuralCollaborativeFiltering(gmf_factors=2, mlp_layers=(4, 2), epochs=4, batch_size=32, learning_rate=0.01)
IMPLICIT = NCF.model_copy(update={"negatives": 3})


class Means:
    """Recommends by mean rating."""

    def fit(self, ratings):
        sums = np.bincount(ratings.items, ratings.values, ratings.n_items)
        self.means = sums / np.maximum(np.bincount(ratings.items, minlength=ratings.n_items), 1)

    def scores(self, user):
        return self.means


@pytest.fixture(scope="module")
def halves():
    ratings = planted(0)
    train = split(ratings, 0.7, 0, "toy")
    return ratings.select(train), ratings.select(~train)


def test_matrix_factorisation_needs_the_regularisation_of_lowest_error(halves):
    train, _ = halves
    table = selection.validate(MF, train, 0, "toy")
    assert sorted(table["regularization"]) == sorted(selection.REGULARIZATIONS)
    held_out = generator(0, "validation", "toy").random(len(train)) < 0.1
    for row in table.itertuples():
        model = MF.model_copy(update={"regularization": row.regularization}).fit(train.select(~held_out))
        assert row.validation_rmse == rmse(model.scores(range(train.n_users)), train.select(held_out))
    assert table["validation_rmse"].is_monotonic_increasing
    best, worst = table["regularization"].iloc[[0, -1]]
    for value, said in ((best, "as the rule asks"), (worst, "NOT what the rule asks")):
        chosen = MF.model_copy(update={"regularization": value})
        assert said in selection.verdict(chosen, selection.validate(chosen, train, 0, "toy"))


def test_neural_collaborative_filtering_comes_within_a_percent(halves):
    train, _ = halves
    table = selection.validate(NCF, train, 0, "toy")
    assert len(table) == len(selection.LEARNING_RATES) * 2 * NCF.epochs
    close = table["validation_rmse"] <= 1.01 * table["validation_rmse"].min()
    for row, is_close in zip(table.itertuples(), close, strict=True):
        if row.epochs == NCF.epochs:  # so that the grid of epochs is the same
            chosen = NCF.model_copy(update={"learning_rate": row.learning_rate})
            assert ("as the rule asks" in selection.verdict(chosen, table)) == is_close


def test_with_negatives_ranking_decides_and_not_an_error(halves, tmp_path):
    train, test = halves
    table = selection.validate(IMPLICIT, train, 0, "toy")
    store.write_csv(tmp_path / "validation.csv", table, schemas.VALIDATION)
    assert table["validation_rmse"].isna().all()
    held_out = generator(0, "validation", "toy").random(len(train)) < 0.1
    kept = train.select(~held_out)
    for row in table.iloc[[0, -1]].itertuples():
        update = {"learning_rate": row.learning_rate, "epochs": row.epochs}
        scores = IMPLICIT.model_copy(update=update).fit(kept).scores(range(train.n_users))
        assert row.validation_ndcg_10 == ndcg(scores, kept, train.select(held_out))
    close = table["validation_ndcg_10"] * 1.01 >= table["validation_ndcg_10"].max()
    assert not close.iloc[-1]
    for row, is_close in zip(table.itertuples(), close, strict=True):
        chosen = IMPLICIT.model_copy(update={"learning_rate": row.learning_rate, "epochs": row.epochs})
        assert ("as the rule asks" in selection.verdict(chosen, table)) == is_close

    curve = selection.learning_curve(IMPLICIT, train, test)
    store.write_csv(tmp_path / "curve.csv", curve, schemas.CURVE)
    assert curve[["train_rmse", "test_rmse"]].isna().all(axis=None)
    scores = IMPLICIT.fit(train).scores(range(train.n_users)).astype(np.float64)
    negatives = IMPLICIT.sampled_negatives(train, IMPLICIT.epochs - 1)
    terms = [-np.log(scores[train.users, train.items])]
    terms += [-np.log(1 - scores[train.users, column]) for column in negatives.T]
    assert curve.set_index("epoch")["objective"][IMPLICIT.epochs] == pytest.approx(np.mean(terms), rel=1e-5)
    assert "stopped early" in selection.convergence(IMPLICIT, curve)
    figure = figures.learning_curve(curve, IMPLICIT.epochs)
    assert [axes.get_ylabel() for axes in figure.axes] == ["objective (nats)"]


@pytest.mark.parametrize(("recommender", "whose"), [(hyn.BlackBox(Means), "author"), (hyn.TruncatedSVD(), "study")])
def test_a_recommender_without_epochs_has_the_settings_that_it_was_given(halves, tmp_path, recommender, whose):
    table = selection.validate(recommender, halves[0], 0, "toy")
    assert table.empty
    assert whose in selection.verdict(recommender, table)
    store.write_csv(tmp_path / "validation.csv", table, schemas.VALIDATION)


def test_other_test_ratings_change_neither_the_objective_nor_the_verdict(halves):
    train, test = halves
    shuffled = Ratings(test.users, test.items, test.values[::-1], test.user_ids, test.item_ids, test.titles)
    curve, other = (selection.learning_curve(MF, train, each) for each in (test, shuffled))
    assert (curve["test_rmse"] != other["test_rmse"]).all()
    pd.testing.assert_frame_equal(curve.drop(columns="test_rmse"), other.drop(columns="test_rmse"))
    assert selection.convergence(MF, curve) == selection.convergence(MF, other)


@pytest.mark.parametrize(
    ("recommender", "said"),
    [(MF, "NOT converged"), (NCF, "stopped early"), (hyn.TruncatedSVD(factors=2), "solved")],
    ids=["mf", "ncf", "svd"],
)
def test_learning_curve_shows_the_recommender_at_its_epochs(halves, tmp_path, recommender, said):
    train, test = halves
    curve = selection.learning_curve(recommender, train, test)
    store.write_csv(tmp_path / "curve.csv", curve, schemas.CURVE)
    scores = recommender.fit(train).scores(range(train.n_users))
    row = curve.set_index("epoch").loc[getattr(recommender, "epochs", 1)]
    assert row["train_rmse"] == rmse(scores, train)
    assert row["test_rmse"] == rmse(scores, test)
    assert said in selection.convergence(recommender, curve)


def test_a_black_box_has_no_learning_curve(halves):
    assert selection.learning_curve(hyn.BlackBox(Means), *halves).empty
    assert "its author decides" in selection.convergence(hyn.BlackBox(Means), pd.DataFrame())


def test_convergence_is_a_verdict_on_twice_the_epochs(halves):
    short, long = (MF.model_copy(update={"epochs": n}) for n in (5, 1000))
    assert "NOT converged" in selection.convergence(short, selection.learning_curve(short, *halves))
    curve = selection.learning_curve(long, *halves)
    assert selection.convergence(long, curve).endswith(": converged")
    assert curve["epoch"].iloc[-1] == 2000
    assert len(curve) < 3 * selection.POINTS


def test_signal_is_the_change_of_own_and_of_others_scores():
    ratings, users = world(), [3, 8]
    found = selection.signal(MF, MF.fit(ratings), ratings, users, 2, seed=0, watchers=29)
    before = MF.fit(ratings).scores(range(30))
    changes, moved = [], []
    for user in users:
        (deletion,) = selection.sample_deletions(ratings, user, 2, 1, 0)
        kept = ~((ratings.users == user) & np.isin(ratings.items, deletion.items))
        after = MF.fit(ratings.select(kept)).scores(range(30))
        changes.append(np.abs(after - before)[:, ratings.rated].mean(axis=1))
        masks = [candidates(ratings, each) for each in range(30)]
        tops = [[top_items(*row, 1)[0] for row in zip(scores, masks, strict=True)] for scores in (before, after)]
        moved.append(np.not_equal(*tops))
    own, others = found["own_change"], found["others_change"]
    assert own == pytest.approx(np.mean([change[user] for user, change in zip(users, changes, strict=True)]), rel=1e-5)
    strangers = np.concatenate([np.delete(change, user) for user, change in zip(users, changes, strict=True)])
    assert others == pytest.approx(strangers.mean(), rel=1e-5)
    assert own > 3 * others
    assert (found["own"], found["others"]) == (2, 58)
    of_own = sum(moves[user] for user, moves in zip(users, moved, strict=True))
    assert (found["own_top1_changed"], found["others_top1_changed"]) == (of_own, np.sum(moved) - of_own)
    assert 0 < found["others_top1_changed"] < 58


def test_a_regularisation_of_the_cells_own_is_compared_too(halves):
    mf = MF.model_copy(update={"regularization": 0.07})
    table = selection.validate(mf, halves[0], 0, "toy")
    assert sorted(table["regularization"]) == sorted([*selection.REGULARIZATIONS, 0.07])
    assert "the cell's settings have" in selection.verdict(mf, table)


def test_signal_is_of_items_that_somebody_rated():
    whole = world()
    ratings = whole.select(whole.items != 0)
    found = selection.signal(MF, MF.fit(ratings), ratings, [3], 2, seed=0, watchers=2)
    (deletion,) = selection.sample_deletions(ratings, 3, 2, 1, 0)
    changes = np.abs(MF.retrain(ratings, [deletion]) - MF.fit(ratings).scores([3]))[0]
    assert found["own_change"] == pytest.approx(changes[ratings.rated].mean(), rel=1e-5)
    assert not ratings.rated.all()
