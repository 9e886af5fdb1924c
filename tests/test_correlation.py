"""What is said of item sets beside really deleting them: every number against one made by hand."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest
from hadyounot.compare import correlation, statistics
from hadyounot.method import effects
from hadyounot.method.features import Representation
from hadyounot.method.linear import LinearSurrogate
from hadyounot.method.mlp import MlpSurrogate
from hadyounot.method.outcomes import Outcomes
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.study import schemas, store

SURROGATES = {"linear_reg": "reg", "mlp_reg": "reg", "linear_clf": "clf", "mlp_clf": "clf"}  # and what they predict
REGRESSIONS = [name for name, effect in SURROGATES.items() if effect == "reg"]
DISTANCES = {"embedding_distance": "euclidean", "cosine_distance": "cosine"}
MEASURES = (*DISTANCES, "influence", "influence_block", *SURROGATES)

HISTORIES = {0: [4, 1, 6, 3, 2], 1: [5, 2, 7, 1]}  # not in the order of the items
N_ITEMS, N_TARGETS = 10, 3


def world(seed=0):
    """Ratings of two users, embeddings and invented outcomes of six item sets of each."""
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user, history in HISTORIES.items() for item in history]
    ratings = Ratings(
        np.array([user for user, _ in pairs], np.int32),
        np.array([item for _, item in pairs], np.int32),
        np.ones(len(pairs), np.float32),
        *(np.arange(n).astype(object) for n in (2, N_ITEMS, N_ITEMS)),
    )
    sets = [(user, tuple(rng.choice(HISTORIES[user], 3, replace=False).tolist())) for user in (1, 0) for _ in range(6)]
    targets = np.array([[0, 8, 9] if user else [9, 0, 8] for user, _ in sets], np.int32)
    scores = {
        name: rng.normal(4, 1, (len(sets), N_TARGETS)).astype(np.float32)
        for name in Outcomes.__dataclass_fields__
        if "score" in name and not name.startswith("top1")
    }
    ranks = {name: np.ones_like(targets) for name in ("rank_before", "rank_after", "rank_after_readmitted")}
    top1 = {name: np.ones(len(sets), np.float32) for name in Outcomes.__dataclass_fields__ if name.startswith("top1")}
    outcomes = Outcomes(tuple(Deletion(*each) for each in sets), targets, **ranks, **scores, **top1)
    embeddings = [rng.normal(size=shape).astype(np.float32) for shape in ((2, 2), (N_ITEMS, 3))]
    return ratings, embeddings, outcomes


def linear(rng):
    return LinearSurrogate(rng.normal(size=2), rng.normal(size=3), rng.normal(size=3), np.array(0.5))


def test_predictions_are_those_of_each_row_alone():
    _, embeddings, outcomes = world()
    representation, rng = Representation(*embeddings), np.random.default_rng(1)
    layers = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 4), (4, 1), (4,), (1,))]
    for surrogate in (linear(rng), MlpSurrogate(tuple(layers[:2]), tuple(layers[2:]))):
        found = correlation.predictions(surrogate, representation, outcomes)
        for row, deletion in enumerate(outcomes.deletions):
            for k, target in enumerate(outcomes.targets[row]):
                deleted = embeddings[1][[deletion.items]]
                alone = surrogate.predict(embeddings[0][deletion.user], deleted, embeddings[1][target])
                assert found[row, k] == pytest.approx(alone[0], abs=1e-4)


def test_measures_of_a_set_are_made_of_those_of_its_items():
    ratings, (_, items), outcomes = world()
    change = {user: np.random.default_rng(user).normal(size=len(history)) for user, history in HISTORIES.items()}
    predicted = {name: np.full((12, N_TARGETS), k) for k, name in enumerate(SURROGATES)}
    predicted["mlp_reg"] = np.arange(36).reshape(12, 3)
    asked = []

    def block(user, target):
        asked.append((user, target))
        return change[user]

    frame = correlation.measured(ratings, items, outcomes, DISTANCES, {"influence_block": block}, predicted)
    assert sorted(asked) == [(0, 9), (1, 0)]
    for row, deletion in enumerate(outcomes.deletions):
        of_target = items[9 if deletion.user == 0 else 0].astype(float)
        distances = [np.sqrt(((items[item] - of_target) ** 2).sum()) for item in deletion.items]
        cosines = [
            1 - items[item] @ of_target / np.linalg.norm(items[item]) / np.linalg.norm(of_target)
            for item in deletion.items
        ]
        lowered = -sum(change[deletion.user][HISTORIES[deletion.user].index(item)] for item in deletion.items)
        found = frame.loc[row]
        assert found["user"] == deletion.user
        assert found["embedding_distance"] == pytest.approx(np.mean(distances), rel=1e-5)
        assert found["cosine_distance"] == pytest.approx(np.mean(cosines), rel=1e-5)
        assert found["influence_block"] == pytest.approx(lowered)
        assert found["mlp_reg"] == 3 * row  # that of the first target
        before, after = outcomes.score_before[row, 0], outcomes.score_after[row, 0]
        assert found["score_decrease"] == pytest.approx(before - after, abs=1e-6)
    assert "influence" not in frame  # nobody said how that changes


def test_measures_can_be_kept(tmp_path):
    ratings, (_, items), outcomes = world()
    predicted = dict.fromkeys(SURROGATES, np.ones((12, N_TARGETS)))
    frame = correlation.measured(ratings, items, outcomes, DISTANCES, {}, predicted)
    store.write_parquet(tmp_path / "measured.parquet", frame, schemas.MEASURED)
    quality = correlation.surrogate_quality(outcomes, predicted, frame, REGRESSIONS, {})
    quality.insert(0, "dataset", "toy"), quality.insert(1, "model", "mf")
    store.write_csv(tmp_path / "quality.csv", quality, schemas.SURROGATE_QUALITY)
    found = correlation.correlations(frame)
    found.insert(0, "dataset", "toy"), found.insert(1, "model", "mf")
    store.write_csv(tmp_path / "correlation.csv", found, schemas.CORRELATION)
    read = {
        "measured": store.read_parquet(tmp_path / "measured.parquet", schemas.MEASURED),
        "quality": store.read_csv(tmp_path / "quality.csv", schemas.SURROGATE_QUALITY),
        "correlation": store.read_csv(tmp_path / "correlation.csv", schemas.CORRELATION),
    }
    for name, written in {"measured": frame, "quality": quality, "correlation": found}.items():
        pd.testing.assert_frame_equal(read[name], written, check_dtype=False)


def by_hand(x, y):
    """Pearson, and its interval by Fisher's z."""
    x, y = x - x.mean(), y - y.mean()
    r, n = (x @ y) / sqrt((x @ x) * (y @ y)), len(x)
    return r, np.tanh(np.arctanh(r) - 1.959964 / sqrt(n - 3)), np.tanh(np.arctanh(r) + 1.959964 / sqrt(n - 3))


def test_correlations_by_hand_and_constant_measures_are_empty():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(40, len(MEASURES))), columns=list(MEASURES))
    frame["user"], frame["score_decrease"] = np.repeat([7, 2], [25, 15]), rng.normal(size=40)
    frame["influence"] = np.exp(3 * frame["score_decrease"])
    frame["mlp_clf"], frame["influence_block"] = 1.0, np.nan
    found = correlation.correlations(frame).set_index(["user", "measure"])
    assert list(found.index) == [(user, name) for user in (7, 2) for name in MEASURES]
    for user, sets in frame.groupby("user"):
        truth = sets["score_decrease"].to_numpy()
        for name in ("embedding_distance", "linear_reg", "influence"):
            values = sets[name].to_numpy()
            row = found.loc[(user, name)]
            assert row["n_sets"] == len(sets)
            assert [row["pearson"], row["pearson_low"], row["pearson_high"]] == pytest.approx(by_hand(values, truth))
            ranks = [each.argsort().argsort() for each in (values, truth)]
            assert row["spearman"] == pytest.approx(by_hand(*ranks)[0])
        assert found.loc[(user, "influence"), "spearman"] == pytest.approx(1)
        for name in ("mlp_clf", "influence_block"):
            assert found.loc[(user, name), ["pearson", "spearman", "pearson_low", "pearson_high"]].isna().all()
    still = correlation.correlations(frame.assign(score_decrease=0.0))
    assert still["pearson"].isna().all()


def test_quality_by_hand():
    users, up = np.repeat([5, 3], 4), np.arange(4.0)
    truth = np.concatenate([up, up + 10])[:, None]
    predicted = np.concatenate([up[::-1], up + 10])[:, None]  # all wrong for one user, all right for the other
    found = correlation.quality(users, truth, predicted)
    lift = 1.5 / sqrt(1.25)
    assert (found["n_users"], found["n_rows"]) == (2, 8)
    assert found["r2"] == pytest.approx(1 - 20 / (2 * 5 + 8 * 25))
    assert found["r2_within"] == pytest.approx(1 - 20 / 10)
    assert found["spearman"] == pytest.approx(0)
    assert found["lift"] == pytest.approx(0)
    assert found["lift_best"] == pytest.approx(lift)
    half = 12.7062 * sqrt(2) / sqrt(2)  # t with one degree of freedom; -1 and +1 have the standard deviation √2
    assert [found["spearman_low"], found["spearman_high"]] == pytest.approx([-half, half], rel=1e-4)
    assert [found["lift_low"], found["lift_high"]] == pytest.approx([-half * lift, half * lift], rel=1e-4)


def test_quality_counts_users_alike_and_passes_over_what_cannot_vary():
    users = np.repeat([0, 1, 2], 3)
    truth = np.array([[0, 1], [1, 1], [2, 1], [0, 0], [1, 2], [2, 1], [4, 4], [4, 4], [4, 4]], np.float32)
    predicted = np.array([[0, 9], [1, 8], [2, 7], [5, 0], [5, 2], [5, 1], [1, 2], [3, 4], [5, 6]], np.float32)
    found = correlation.quality(users, truth, predicted)
    assert (found["n_users"], found["n_rows"]) == (2, 18)  # nothing ever moves user 2
    best = 1 / sqrt(2 / 3)
    # user 0: one target that varies, ordered rightly; user 1: equal predictions (both 0), and right ones
    assert found["spearman"] == pytest.approx((1 + (0 + 1) / 2) / 2)
    assert found["lift"] == pytest.approx((best + (0 + best) / 2) / 2)
    assert found["lift_best"] == pytest.approx(best)
    nothing = correlation.quality(users, np.ones_like(truth), predicted)
    assert nothing["n_users"] == 0
    assert np.isnan([nothing["r2"], nothing["r2_within"], nothing["spearman"], nothing["lift"]]).all()


def test_the_mean_effect_explains_nothing_and_the_truth_everything():
    rng = np.random.default_rng(0)
    users, truth = np.repeat(np.arange(5), 8), rng.normal(size=(40, 3)).astype(np.float32)
    mean = correlation.quality(users, truth, np.full_like(truth, truth.mean(dtype=np.float64)))
    assert [mean["r2"], mean["r2_within"], mean["lift"]] == pytest.approx([0, 0, 0], abs=1e-6)
    perfect = correlation.quality(users, truth, truth)
    assert [perfect["r2"], perfect["r2_within"], perfect["spearman"]] == pytest.approx([1, 1, 1])
    assert perfect["lift"] == pytest.approx(perfect["lift_best"])


def test_surrogate_quality_is_of_all_targets_and_of_the_top_one_beside_influence():
    ratings, (_, items), outcomes = world()
    truth = effects.reg(outcomes)
    predicted = {name: truth if effect == "reg" else -truth for name, effect in SURROGATES.items()}
    changes = {name: lambda user, target: np.arange(len(HISTORIES[user])) for name in ("influence", "influence_block")}
    frame = correlation.measured(ratings, items, outcomes, DISTANCES, changes, predicted)
    table = correlation.surrogate_quality(outcomes, predicted, frame, REGRESSIONS, changes).set_index(
        ["n_targets", "predictor"]
    )
    assert list(table.loc[3].index) == list(SURROGATES)
    assert set(table.loc[1].index) == {"influence", "influence_block", *SURROGATES}
    assert list(table["n_rows"].unique()) == [36, 12]
    for n_targets in (3, 1):
        assert table.loc[(n_targets, "linear_reg"), "r2"] == pytest.approx(1)
        assert pd.isna(table.loc[(n_targets, "mlp_clf"), "r2"])
        assert table.loc[(n_targets, "mlp_clf"), "spearman"] == pytest.approx(-1)
    assert table.loc[[(1, "influence"), (1, "influence_block")], ["r2", "r2_within"]].isna().all(axis=None)
    blackbox = correlation.surrogate_quality(
        outcomes, predicted, correlation.measured(ratings, items, outcomes, DISTANCES, {}, predicted), REGRESSIONS, {}
    )
    assert set(blackbox["predictor"]) == set(SURROGATES)


@pytest.mark.parametrize(
    ("pearson", "user", "measure"),
    [
        ({"knn": [0.1, 0.2, 0.3], "influence": [0.9, 0.7, 0.8]}, 3, "influence"),
        ({"knn": [0.1, 0.2, 0.3], "influence": [0.9, 0.7, np.nan]}, 2, "influence"),
        ({"knn": [0.1, 0.3, 0.2], "influence": [np.nan] * 3}, 3, "knn"),
        ({"knn": [np.nan] * 3, "influence": [np.nan] * 3}, 3, "influence"),
    ],
)
def test_figure_7_shows_the_lower_median_user(pearson, user, measure):
    rows = [(who, name, value) for name, values in pearson.items() for who, value in enumerate(values, 1)]
    assert statistics.median_user(pd.DataFrame(rows, columns=["user", "measure", "pearson"])) == (user, measure)
