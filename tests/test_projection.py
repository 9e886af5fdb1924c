"""Figure 8: which rows are drawn, and that probes tell apart what they can and nothing else."""

import numpy as np
import pytest
from hadyounot.compare.separability import Points, _auc, _r2, draw, project, separability
from hadyounot.compare.settings import ProjectionConfig
from hadyounot.method.features import SurrogateData
from scipy.stats import bootstrap
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RNG = np.random.default_rng
N = 150


def data() -> SurrogateData:
    """Rows whose effects are their numbers: six deletions of each of five users, three targets."""
    rng = RNG(0)
    users = np.repeat([4, 2, 0, 3, 1], 6).astype(np.int32)
    embeddings = [rng.normal(size=(9, 2)).astype(np.float32) for _ in range(2)]
    targets = rng.integers(0, 9, (30, 3)).astype(np.int32)
    sums, crossed = rng.normal(size=(30, 2)).astype(np.float32), np.empty((30, 0, 2), np.float32)
    return SurrogateData(users, *embeddings, sums, crossed, targets, np.arange(90.0).reshape(30, 3))


def test_rows_are_drawn_once_each_from_the_first_users():
    everything = data()
    points = draw(everything, ProjectionConfig(users=3, points=20, perplexity=2), RNG(1))
    rows = points.effects.astype(int)
    assert len(set(rows)) == len(rows) == 20
    assert set(points.users) <= {4, 2, 0}
    for user, features, row in zip(points.users, points.features, rows, strict=True):
        deletion, target = divmod(row, 3)
        assert user == everything.users[deletion]
        expected = [
            everything.user_embeddings[user],
            everything.deletion_features[deletion],
            everything.item_embeddings[everything.targets[deletion, target]],
        ]
        assert features == pytest.approx(np.concatenate(expected))
    fewer = draw(everything, ProjectionConfig(users=3, points=1000, perplexity=2), RNG(1))
    assert sorted(fewer.effects) == list(range(54))


def test_the_projection_keeps_clusters_repeats_and_needs_more_points_than_the_perplexity():
    features = RNG(0).normal(size=(40, 5)) * 0.01
    features[20:] += 10
    features[:, 4] = 7  # a constant feature does no harm
    plane = project(features, 5, RNG(2))
    assert plane.shape == (40, 2)
    assert (plane == project(features, 5, RNG(2))).all()
    centres = plane[:20].mean(axis=0), plane[20:].mean(axis=0)
    nearer = np.linalg.norm(plane - centres[0], axis=1) < np.linalg.norm(plane - centres[1], axis=1)
    assert (nearer == (np.arange(40) < 20)).all()
    with pytest.raises(ValueError, match="perplexity"):
        project(features[:5], 5, RNG(2))


def scores(effects, features, users, folds=3):
    return separability(Points(users, features, effects), folds, RNG(0)).set_index("probe")


def test_a_line_is_found_by_the_linear_probe_and_a_product_only_by_the_other():
    features, users = RNG(1).normal(size=(N, 3)), np.arange(N) % 10
    line = scores(features @ [1, -2, 0.5], features, users)
    assert list(line.index) == ["linear", "non-linear"]
    assert line.loc["linear", "r2"] > 0.99
    assert line.loc["linear", "auc"] > 0.98
    bent = scores(np.abs(features[:, 0]), features, users)
    assert bent.loc["linear", "r2"] < 0.1
    assert bent.loc["linear", "auc"] < 0.65
    assert bent.loc["non-linear", "r2"] > 0.35
    assert bent.loc["non-linear", "auc"] > 0.75


def test_what_only_tells_users_apart_is_not_counted():
    users = np.arange(N) % 15
    of_user = RNG(0).normal(size=(15, 4))  # all that is known of a row is whose it is
    found = scores(RNG(5).normal(size=15)[users], of_user[users], users)
    assert (found["r2"] < 0.3).all()  # with folds across users the trees would reach 0.99
    assert found.loc["non-linear", "r2_fitted"] > 0.99
    assert found.loc["non-linear", "auc_fitted"] > 0.99


@pytest.mark.slow
def test_intervals_are_of_users_drawn_again_with_all_their_rows():
    users = np.repeat(np.arange(25), 8)
    features = RNG(0).normal(size=(200, 3))
    effects = features[:, 0] + RNG(1).normal(size=25)[users]  # what is unknown is the same in all rows of a user
    found = scores(effects, features, users).loc["linear"]
    probe = make_pipeline(StandardScaler(), Ridge())
    predicted = cross_val_predict(probe, features, effects, groups=users, cv=GroupKFold(3))

    def of_users(drawn):
        rows = np.concatenate([np.flatnonzero(users == user) for user in drawn])
        return r2_score(effects[rows], predicted[rows])

    again = bootstrap((np.arange(25),), of_users, method="percentile", vectorized=False, n_resamples=2000, rng=RNG(2))
    assert found[["r2_low", "r2_high"]].to_list() == pytest.approx(again.confidence_interval, abs=0.03)
    assert found["r2_low"] < found["r2"] < found["r2_high"]
    assert found["auc_low"] < found["auc"] < found["auc_high"]
    assert scores(effects, features, users).loc["linear"].equals(found)


def test_scores_of_resamples_are_those_of_the_rows_drawn():
    of_user, times = np.arange(60) % 6, np.vstack([RNG(0).multinomial(6, np.full(6, 1 / 6), 20), np.eye(6, dtype=int)])
    truth = RNG(1).normal(5, 0.1, 60).astype(np.float32)
    truth[of_user == 0] = 5.5
    guess = np.round(truth + RNG(2).normal(0, 0.1, 60), 1)  # with equals
    for resampled, score, values in ((_r2, r2_score, truth), (_auc, roc_auc_score, truth > 5)):
        rows = [np.repeat(np.arange(60), drawn[of_user]) for drawn in times]
        expected = [score(values[row], guess[row]) if np.ptp(values[row].astype(float)) else np.nan for row in rows]
        assert np.isnan(expected).any()
        np.testing.assert_allclose(resampled(times, of_user, values, guess), expected, rtol=1e-6)


OF_ONE_FOLD = "the users of one fold alone have an effect above the median, or at most there"


@pytest.mark.parametrize("effects", [[0] * 20, [1] * 8 + [0] * 12, [0] * 12 + [1] * 8])
def test_effects_that_are_on_one_side_of_the_median_for_all_but_a_user_are_refused(effects):
    of_one = 12 if effects[0] == 0 else 8
    users = np.where(np.arange(20) < of_one, 0, 1 + np.arange(20) % 4)
    with pytest.raises(ValueError, match=OF_ONE_FOLD):
        scores(np.array(effects, float), RNG(0).normal(size=(20, 2)), users)


def test_effects_that_are_on_one_side_of_the_median_for_all_but_two_users_may_be_of_one_fold():
    users, features = np.repeat(np.arange(20), 3), RNG(0).normal(size=(60, 2))
    found = set()
    for pair in ([0, 1], [0, 2], [0, 3], [0, 4]):
        effects = np.where(np.isin(users, pair), 1.0, 0.0)
        try:
            scores(effects, features, users, folds=2)
            found.add("compared")
        except ValueError as error:
            found.add(str(error).partition(":")[0])
    assert found == {"compared", OF_ONE_FOLD}
