from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hadyounot.method import linear, mlp, surrogates
from hadyounot.method.features import SurrogateData
from hadyounot.method.linear import LinearSurrogate, additive_r2, fit_lasso, fit_logistic
from hadyounot.method.mlp import MlpSurrogate, fit_mlp_clf, fit_mlp_reg
from hadyounot.method.settings import LassoConfig, LogisticConfig, MlpConfig
from hadyounot.retrain.ratings import Deletion
from hadyounot.rng import generator
from scipy.optimize import check_grad
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

P, Q, N_TARGETS, FOLDS = 3, 4, 5, 4
MLP = MlpConfig(hidden=[16, 8], batch_size=64, learning_rate=3e-3, max_epochs=4)


def planted(effect="reg", n_users=13, deletions=20, interaction=0.0, noise=0.5, n_crossed=0, seed=0) -> SurrogateData:
    """Rows of a bilinear world; users differ in their number of deletions."""
    rng = generator(seed, "planted")
    user_embeddings = rng.normal(1, 0.5, size=(20, P)).astype(np.float32)
    item_embeddings = rng.normal(-0.3, 0.2, size=(50, Q)).astype(np.float32)
    chosen = rng.choice(20, n_users, replace=False)
    users = np.repeat(chosen, deletions + np.arange(n_users)).astype(np.int32)
    deletion_features = item_embeddings[rng.integers(0, 50, size=(len(users), 3))].sum(axis=1)
    targets = rng.integers(0, 50, size=(20, N_TARGETS)).astype(np.int32)[users]
    values = (deletion_features @ rng.normal(size=Q))[:, None] + item_embeddings[targets] @ rng.normal(size=Q)
    values += interaction * np.einsum("nq,nkq->nk", deletion_features + 0.9, item_embeddings[targets] + 0.3)
    values += noise * rng.normal(size=values.shape)
    values -= values.mean()
    effects = {
        "reg": values.astype(np.float32),
        "clf": (np.sign(values) * (np.abs(values) > 0.2)).astype(np.int8),
        "binary": np.where(values > 0.2, 1, -1).astype(np.int8),
    }
    crossed = deletion_features[:, None] * rng.normal(1, 0.3, size=(len(users), n_crossed, Q)).astype(np.float32)
    return SurrogateData(users, user_embeddings, item_embeddings, deletion_features, crossed, targets, effects[effect])


def materialised(data: SurrogateData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, effects and users of every row of eq. (8), by a plain loop."""
    rows = []
    for d, u in enumerate(data.users):
        for i, effect in zip(data.targets[d], data.effects[d], strict=True):
            target = data.item_embeddings[i]
            products = [sums * target for sums in data.crossed[d]]
            parts = [data.user_embeddings[u], data.deletion_features[d], *products, target]
            rows.append((np.concatenate(parts), effect, u))
    features, effects, users = zip(*rows, strict=True)
    return np.array(features, dtype=np.float64), np.array(effects), np.array(users)


def predictions(surrogate, data: SurrogateData) -> np.ndarray:
    """Of every row, by the public ``predict`` alone."""
    features, _, users = materialised(data)
    targets = data.targets.ravel()
    return np.array(
        [
            surrogate.predict(
                data.user_embeddings[u], row[None, None, P:-Q].astype(np.float32), data.item_embeddings[i]
            )[0]
            for row, u, i in zip(features, users, targets, strict=True)
        ]
    )


def coefficients(surrogate: LinearSurrogate) -> np.ndarray:
    return np.concatenate([surrogate.user_weights, surrogate.item_weights, surrogate.target_weights])


def test_folds_are_whole_users_and_balanced():
    users = planted().users
    fold_of = surrogates.grouped_folds(users, FOLDS, generator(0))
    folds_of_user = [np.unique(fold_of[users == user]) for user in np.unique(users)]
    assert all(len(folds) == 1 for folds in folds_of_user)
    assert sorted(np.bincount(np.concatenate(folds_of_user))) == [3, 3, 3, 4]
    assert (fold_of != surrogates.grouped_folds(users, FOLDS, generator(1))).any()


@pytest.mark.parametrize(("n_crossed", "grouped"), [(0, True), (2, True), (0, False)])
def test_lasso_equals_scikit_learn_on_materialised_rows(n_crossed, grouped):
    data, config = planted(n_crossed=n_crossed), LassoConfig(penalties=50, path_ratio=1e-3)
    fit = fit_lasso(data, FOLDS, config, generator(7), grouped=grouped)
    features, effects, _ = materialised(data)

    whole_users = surrogates.grouped_folds(data.users, FOLDS, generator(7))
    leaky = generator(7).permutation(len(data.users)) % FOLDS
    fold_of = np.repeat(whole_users if grouped else leaky, N_TARGETS)
    penalties = np.sort(fit.curve["penalty"].unique())[::-1]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), Lasso(tol=1e-14, max_iter=100_000)),
        {"lasso__alpha": penalties},
        scoring=["neg_mean_squared_error", "r2"],
        refit="neg_mean_squared_error",
        cv=PredefinedSplit(fold_of),
    ).fit(features, effects)
    found = search.cv_results_
    for fold, curve in fit.curve.groupby("fold"):
        np.testing.assert_allclose(curve["mse"], -found[f"split{fold}_test_neg_mean_squared_error"], rtol=1e-6)
        np.testing.assert_allclose(curve["r2"], found[f"split{fold}_test_r2"], rtol=1e-5, atol=1e-6)
        assert (curve["n_rows"] == (fold_of == fold).sum()).all()
    assert fit.report["penalty"] == search.best_params_["lasso__alpha"]
    assert penalties[0] > fit.report["penalty"] > penalties[-1]  # a choice was made
    np.testing.assert_allclose(predictions(fit.surrogate, data), search.predict(features), rtol=1e-5, atol=1e-6)
    scaled = coefficients(fit.surrogate) * search.best_estimator_["standardscaler"].scale_
    np.testing.assert_allclose(scaled, search.best_estimator_["lasso"].coef_, atol=1e-6)
    assert fit.report["weights"] == np.count_nonzero(search.best_estimator_["lasso"].coef_)
    assert fit.report["mse"] == pytest.approx(-search.best_score_)

    least = fit_lasso(data, FOLDS, config, generator(7), least_penalty=True, grouped=grouped)
    assert least.report["penalty"] == penalties[-1]
    assert least.report["mse"] == pytest.approx(-found["mean_test_neg_mean_squared_error"][-1])
    oracle = search.best_estimator_.set_params(lasso__alpha=penalties[-1]).fit(features, effects)
    np.testing.assert_allclose(predictions(least.surrogate, data), oracle.predict(features), rtol=1e-5, atol=1e-6)

    # the path starts where the first weight leaves zero
    standardised = StandardScaler().fit_transform(features)
    for penalty, any_weight in ((penalties[0] * 1.0001, False), (penalties[0] * 0.999, True)):
        assert Lasso(penalty, tol=1e-12).fit(standardised, effects).coef_.any() == any_weight
    assert penalties[-1] == pytest.approx(penalties[0] * 1e-3)
    assert len(penalties) == 50


def test_lasso_of_constant_repeated_and_dependent_features():
    data = planted()
    user_embeddings, item_embeddings, deletion_features = (
        block.copy() for block in (data.user_embeddings, data.item_embeddings, data.deletion_features)
    )
    user_embeddings[:, 0] = 0.1
    item_embeddings[:, 1] = item_embeddings[:, 0]
    deletion_features[:, 1] = deletion_features[:, 0]
    deletion_features[:, 3] = deletion_features[:, 0] - deletion_features[:, 2]
    data = replace(
        data,
        user_embeddings=user_embeddings,
        item_embeddings=item_embeddings,
        deletion_features=deletion_features,
    )
    fit = fit_lasso(data, FOLDS, LassoConfig(penalties=50), generator(0), least_penalty=True)
    features, effects, _ = materialised(data)
    oracle = make_pipeline(StandardScaler(), Lasso(fit.report["penalty"], tol=1e-10, max_iter=100_000))
    # equal weights share their sum arbitrarily, predictions do not change with it
    np.testing.assert_allclose(
        predictions(fit.surrogate, data), oracle.fit(features, effects).predict(features), atol=1e-5
    )
    assert fit.surrogate.user_weights[0] == 0


def test_rounding_errors_of_a_constant_feature_are_not_its_scale():
    mean, variance = np.array([0.1, 0.1, 0.0, 1e-9]), np.array([1e-18, 1e-4, 0.0, 1e-20])
    np.testing.assert_allclose(surrogates.scales(mean, variance), [np.inf, 1e-2, np.inf, 1e-10])


@pytest.mark.parametrize("n_crossed", [0, 2])
@pytest.mark.parametrize("effect", ["clf", "binary"])
def test_logistic_equals_scikit_learn_on_materialised_rows(effect, n_crossed):
    data, config = planted(effect, n_crossed=n_crossed), LogisticConfig(penalties=[1e-3, 1e-2, 0.3])
    fit = fit_logistic(data, FOLDS, config, generator(7))
    features, effects, _ = materialised(data)
    classes = np.unique(effects)
    # scikit-learn's two-class weights are the difference of softmax's, whose squares are then a quarter, twice
    factor = 2 if effect == "binary" else 1

    def oracle(rows, penalty):
        logistic = LogisticRegression(C=factor / (rows.sum() * penalty), solver="newton-cholesky", tol=1e-10)
        return make_pipeline(StandardScaler(), logistic).fit(features[rows], effects[rows])

    fold_of = np.repeat(surrogates.grouped_folds(data.users, FOLDS, generator(7)), N_TARGETS)
    assert list(fit.curve["penalty"]) == [0.3, 1e-2, 1e-3] * FOLDS
    for row in fit.curve.itertuples():
        held_out = fold_of == row.fold
        probabilities = oracle(~held_out, row.penalty).predict_proba(features[held_out])
        assert row.log_loss == pytest.approx(log_loss(effects[held_out], probabilities, labels=classes), rel=1e-5)
        accuracy = accuracy_score(effects[held_out], classes[probabilities.argmax(axis=1)])
        assert row.accuracy == pytest.approx(accuracy, abs=2.5 / held_out.sum())
        assert row.n_rows == held_out.sum()
    means = fit.curve.groupby("penalty")["log_loss"].mean()
    assert fit.report["penalty"] == means.idxmin()
    assert fit.report["log_loss"] == means.min()
    assert fit.report["majority"] == np.unique(effects, return_counts=True)[1].max() / effects.size

    best = oracle(np.full(effects.size, True), fit.report["penalty"])
    logarithms = best.predict_log_proba(features)  # logits, but for a constant of each row
    centred = logarithms[:, -1] - logarithms.mean(axis=1)
    np.testing.assert_allclose(predictions(fit.surrogate, data), centred, atol=2e-4)


@pytest.mark.parametrize("n_crossed", [0, 2])
def test_softmax_gradient_is_that_of_finite_differences(n_crossed):
    data = planted("clf", n_users=3, deletions=5, n_crossed=n_crossed)
    labels = surrogates.occurring_classes(data.effects)[1]
    softmax = linear._Softmax(data, labels, 3)
    at = generator(0).normal(size=softmax.shape).ravel()
    assert check_grad(*(lambda x, part=part: softmax.loss(x, 0.1)[part] for part in (0, 1)), at) < 1e-6


@pytest.mark.parametrize("fit", [fit_logistic, fit_mlp_clf])
@pytest.mark.parametrize("classes", [[-1, 0], [1]])
def test_classifiers_need_ranked_lower_and_another_class(fit, classes):
    data = planted("clf")
    data = replace(data, effects=generator(0).choice(np.array(classes, dtype=np.int8), data.effects.shape))
    config = LogisticConfig() if fit is fit_logistic else MLP
    with pytest.raises(ValueError, match=r"classes are \[.*\]: .* needs \+1 and another"):
        fit(data, FOLDS, config, generator(0))


def test_too_few_users():
    data = planted(n_users=3)
    clf = planted("clf", n_users=3)
    with pytest.raises(ValueError, match=r"4 folds .* need 4 training users, there are 3; lower surrogates\.folds"):
        fit_lasso(data, 4, LassoConfig(), generator(0))
    with pytest.raises(ValueError, match=r"4 folds .* need 4 training users, there are 3"):
        fit_logistic(clf, 4, LogisticConfig(), generator(0))
    with pytest.raises(ValueError, match=r"4 folds .* need 4 training users, there are 3"):
        fit_mlp_reg(data, 4, MLP, generator(0))


@pytest.mark.parametrize(("fit", "config"), [(fit_lasso, LassoConfig()), (fit_mlp_reg, MLP)])
@pytest.mark.parametrize("effect", [0, 0.1])  # sums of the latter are no multiples of it
def test_effects_that_do_not_vary(fit, config, effect):
    data = planted()
    with pytest.raises(ValueError, match="all effects are equal; record more deletions or users"):
        fit(replace(data, effects=np.full_like(data.effects, effect)), FOLDS, config, generator(0))


def test_a_fold_of_equal_effects_has_an_r2_all_the_same():
    """As happens where hardly any deletion moves a target: there is nothing to explain, and R² is 0."""
    data = planted()
    still = surrogates.grouped_folds(data.users, FOLDS, generator(0)) == 1
    fit = fit_lasso(
        replace(data, effects=np.where(still[:, None], np.float32(0), data.effects)), FOLDS, LassoConfig(), generator(0)
    )
    assert (fit.curve[fit.curve["fold"] == 1]["r2"] == 0).all()
    assert np.isfinite(fit.report["r2"])


def test_held_out_users_are_whole_and_a_share():
    users = planted(n_users=10).users
    held_out = surrogates.held_out_users(users, 0.2, generator(0))
    assert len(np.unique(users[held_out])) == 2
    assert not set(users[held_out]) & set(users[~held_out])
    for share in (0.01, 0.99):
        assert 0 < surrogates.held_out_users(users, share, generator(0)).mean() < 1


@pytest.mark.parametrize(
    ("fit", "effect", "loss", "score"),
    [(fit_mlp_reg, "reg", "mse", "r2"), (fit_mlp_clf, "clf", "log_loss", "accuracy")],
)
def test_an_mlp_has_the_epochs_that_predict_held_out_users_best(fit, effect, loss, score):
    """What is reported for a fold is what a network says that learnt, for as long, from the other users alone."""
    data = planted(effect, noise=2.0)
    config = MLP.model_copy(update={"max_epochs": 30, "learning_rate": 0.03, "patience": 2})
    found = fit(data, FOLDS, config, generator(0))
    means = found.curve.groupby("epoch")[[loss, score]].mean()
    assert found.report["epoch"] == means[loss].idxmin()
    assert len(means) == found.report["epoch"] + 2 < 30
    assert [found.report[name] for name in (loss, score)] == pytest.approx(means.loc[found.report["epoch"]].tolist())
    assert (found.curve.groupby("fold")["n_rows"].unique().map(len) == 1).all()
    assert found.curve.groupby("fold")["n_rows"].first().sum() == data.effects.size


def test_what_is_reported_of_a_fold_is_of_users_left_out(monkeypatch):
    """A network that learnt by heart knows the others, and nothing of those whose effects are shuffled."""
    data, seen = planted(noise=0.2), []

    class Recorded(mlp.MLPRegressor):
        def partial_fit(self, features, effects):
            self.seen.update(effects.tolist())
            return super().partial_fit(features, effects)

    def fresh(*arguments, **named):
        network = Recorded(*arguments, **named)
        network.seen = set()
        seen.append(network.seen)
        return network

    monkeypatch.setattr(mlp, "MLPRegressor", fresh)
    fit_mlp_reg(data, FOLDS, MLP, generator(3))
    fold_of = surrogates.grouped_folds(data.users, FOLDS, generator(3))
    scaled = ((data.effects - data.effects.mean(dtype=np.float64)) / data.effects.std(dtype=np.float64)).astype("f4")
    assert len(seen) == FOLDS + 1
    for fold, effects in enumerate(seen[:-1]):
        assert not effects & set(scaled[fold_of == fold].ravel().tolist())
    assert all(seen[-1] & set(scaled[fold_of == fold].ravel().tolist()) for fold in range(FOLDS))  # the last has all


@pytest.mark.parametrize(("fit", "kind"), [(fit_mlp_reg, "MLPRegressor"), (fit_mlp_clf, "MLPClassifier")])
def test_an_mlp_s_figures_are_scikit_learn_s_of_users_left_out(fit, kind, monkeypatch):
    made, networks = getattr(mlp, kind), []

    def recorded(*arguments, **named):
        networks.append(made(*arguments, **named))
        return networks[-1]

    monkeypatch.setattr(mlp, kind, recorded)
    data = planted("clf" if fit is fit_mlp_clf else "reg", noise=2.0)
    found = fit(data, FOLDS, MLP.model_copy(update={"max_epochs": 1}), generator(3))
    features, effects, users = materialised(data)
    fold_of = np.repeat(surrogates.grouped_folds(data.users, FOLDS, generator(3)), N_TARGETS)
    assert len(networks) == FOLDS + 1  # the last learnt from all
    for row in found.curve.itertuples():
        left_out, network = fold_of == row.fold, networks[row.fold]
        assert not set(users[left_out]) & set(users[~left_out])
        unseen, due = StandardScaler().fit(features[~left_out]).transform(features[left_out]), effects[left_out]
        assert row.n_rows == left_out.sum()
        if fit is fit_mlp_clf:
            assert row.log_loss == pytest.approx(log_loss(due, network.predict_proba(unseen)), rel=1e-4)
            assert row.accuracy == pytest.approx(accuracy_score(due, network.predict(unseen)), abs=2 / left_out.sum())
        else:
            predicted = network.predict(unseen) * effects.std() + effects.mean()
            assert row.mse == pytest.approx(mean_squared_error(due, predicted), rel=1e-4)
            assert row.r2 == pytest.approx(r2_score(due, predicted), abs=1e-4)
    assert found.report["epoch"] == 1


@pytest.mark.parametrize(("effect", "n_crossed"), [("clf", 0), ("binary", 0), ("clf", 2)])
def test_mlp_clf_predicts_the_centred_logit_of_its_network(effect, n_crossed, monkeypatch):
    networks = []

    class Recorded(mlp.MLPClassifier):
        def partial_fit(self, *arguments, **named):
            networks.append(self)
            return super().partial_fit(*arguments, **named)

    monkeypatch.setattr(mlp, "MLPClassifier", Recorded)
    data = planted(effect, n_crossed=n_crossed)
    fit = fit_mlp_clf(data, FOLDS, MLP.model_copy(update={"max_epochs": 1}), generator(3))
    features, effects, _ = materialised(data)
    scaled = StandardScaler().fit_transform(features)
    logarithms = networks[-1].predict_log_proba(scaled)  # the last learnt from all users
    centred = logarithms[:, -1] - logarithms.mean(axis=1)
    np.testing.assert_allclose(predictions(fit.surrogate, data), centred, atol=1e-4)
    assert fit.report["majority"] == np.unique(effects, return_counts=True)[1].max() / effects.size


@pytest.mark.slow
def test_only_the_mlp_learns_what_depends_on_the_target():
    data = planted(deletions=50, interaction=20.0, noise=0.1)
    config = MLP.model_copy(update={"max_epochs": 20, "patience": 5})
    mlp, linear = (
        fit(data, FOLDS, each, generator(0)) for fit, each in ((fit_mlp_reg, config), (fit_lasso, LassoConfig()))
    )
    assert mlp.report["r2"] > 0.8
    assert linear.report["r2"] < 0.5


@pytest.mark.parametrize(
    ("fit", "effect", "arguments"),
    [
        (fit_lasso, "reg", (FOLDS, LassoConfig())),
        (fit_logistic, "clf", (FOLDS, LogisticConfig())),
        (fit_mlp_reg, "reg", (FOLDS, MLP)),
        (fit_mlp_clf, "clf", (FOLDS, MLP)),
    ],
)
def test_fits_are_deterministic_and_survive_a_file(fit, effect, arguments, tmp_path):
    data = planted(effect)
    first, second = (fit(data, *arguments, generator(5)) for _ in range(2))
    np.savez(tmp_path / "surrogate.npz", **first.surrogate.to_arrays())
    with np.load(tmp_path / "surrogate.npz") as arrays:
        read = type(first.surrogate).from_arrays(dict(arrays))
    for surrogate in (second.surrogate, read):
        np.testing.assert_array_equal(predictions(surrogate, data), predictions(first.surrogate, data))
    assert isinstance(read, LinearSurrogate | MlpSurrogate)
    assert first.curve.equals(second.curve)


def test_predict_of_many_deletions_is_predict_of_each():
    data = planted()
    surrogate = fit_mlp_reg(data, FOLDS, MLP, generator(0)).surrogate
    user, target = data.user_embeddings[0], data.item_embeddings[0]
    deleted = data.deletion_features[:, None]
    together = surrogate.predict(user, deleted, target)
    alone = [surrogate.predict(user, features[None], target)[0] for features in deleted]
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def outcomes_of(deletions) -> SimpleNamespace:
    return SimpleNamespace(deletions=tuple(deletions), users=np.array([deletion.user for deletion in deletions]))


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 0.99, 1.0), (50.0, -0.5, 0.2)])
def test_additive_r2_tells_signal_from_noise(noise, low, high):
    rng = generator(0, "additive")
    deletions = [
        Deletion(user, tuple(10 * user + rng.choice(10, 3, replace=False))) for user in range(3) for _ in range(80)
    ]
    weights = rng.normal(size=(30, 4))  # of each item on each of four targets
    effects = np.array([weights[list(deletion.items)].sum(axis=0) for deletion in deletions])
    effects += (
        100 * np.array([deletion.user for deletion in deletions])[:, None]
    )  # differences of users explain nothing
    effects += noise * rng.normal(size=effects.shape)
    assert low < additive_r2(outcomes_of(deletions), effects, 5, generator(0, "folds")) <= high


@pytest.mark.parametrize("count", [9, 10])
def test_additive_r2_is_unknown_without_deletions_enough(count):
    outcomes = outcomes_of([Deletion(0, (k % 4, 4 + k % 3)) for k in range(count)])
    found = additive_r2(outcomes, generator(0).normal(size=(count, 2)), 5, generator(0, "folds"))
    assert np.isnan(found) == (count < 10)


def test_additive_r2_is_unknown_where_no_effects_differ():
    assert np.isnan(additive_r2(outcomes_of([Deletion(0, (1, 2, 3))] * 10), np.ones((10, 2)), 5, generator(0, "folds")))


def test_additive_r2_does_not_count_what_targets_differ_by():
    rng = generator(0, "additive")
    outcomes = outcomes_of([Deletion(0, tuple(rng.choice(10, 3, replace=False))) for _ in range(80)])
    effects = rng.normal(size=(80, 4)) + 100 * np.arange(4)
    assert additive_r2(outcomes, effects, 5, generator(0, "folds")) < 0.2


def test_of_equal_penalties_the_larger_is_taken():
    curve = pd.DataFrame({"penalty": [3.0, 2.0, 1.0] * 2, "fold": [0] * 3 + [1] * 3, "mse": [1.0, 1.0, 2.0] * 2})
    assert linear._chosen(curve, "mse")[0] == 3


def test_rows_are_shuffled_anew_in_every_epoch(monkeypatch):
    order, standardised = [], mlp._standardised
    monkeypatch.setattr(
        mlp, "_standardised", lambda data, rows, *by: order.append(tuple(rows)) or standardised(data, rows, *by)
    )
    epochs = mlp._epochs(mlp.MLPRegressor, planted(), MLP, generator(0))
    next(epochs)
    first = order[:]
    next(epochs)
    assert sorted(np.concatenate(first)) != np.concatenate(first).tolist()
    assert order[len(first) :] != first
