import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hadyounot.method.features import Representation
from hadyounot.method.linear import LinearSurrogate
from hadyounot.method.mlp import MlpSurrogate
from hadyounot.method.search import beam, exact, explain, sampled
from hadyounot.rng import generator
from hypothesis import assume, given
from hypothesis import strategies as st


def embeddings(n_items=30, q=4, seed=0):
    return generator(seed, "embeddings").normal(size=(n_items, q)).astype(np.float32)


def mlp(p=3, q=4, seed=0):
    rng = generator(seed, "mlp")
    sizes = [p + 2 * q, 8, 5, 1]
    shapes = list(pairwise(sizes))
    return MlpSurrogate(
        tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes),
        tuple(rng.normal(size=shape[1]).astype(np.float32) for shape in shapes),
    )


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=9),
    st.integers(1, 4),
    st.integers(0, 2**32),
)
def test_exact_is_the_best_of_all_subsets(weights, size, seed):
    history = np.arange(len(weights), dtype=np.int32) * 7 + 3
    weights = np.array(weights, dtype=np.float64)
    if len(weights) < size:
        with pytest.raises(ValueError, match=f"history of {len(weights)} items is smaller"):
            exact(weights, history, size, generator(seed))
        return
    explanation = exact(weights, history, size, generator(seed))
    of = dict(zip(history.tolist(), weights, strict=True))
    assert len(set(explanation)) == size
    assert sum(of[item] for item in explanation) == max(sum(subset) for subset in combinations(weights.tolist(), size))


@given(st.integers(3, 9), st.integers(1, 3), st.integers(0, 2**32))
def test_sampled_is_the_best_of_all_subsets_when_few(n, size, seed):
    q = embeddings()
    rng = generator(seed, "case")
    history = rng.choice(30, n, replace=False)
    surrogate, user = mlp(seed=seed), rng.normal(size=3).astype(np.float32)
    explanation = sampled(surrogate, user, q[history], q[29], history, size, 1000, generator(seed))
    every = list(combinations(history.tolist(), size))
    scores = surrogate.predict(user, np.stack([q[list(subset)] for subset in every]), q[29])
    # predictions of one row may differ in the last bit with the batch it stands in
    assert scores[every.index(explanation)] == pytest.approx(scores.max(), abs=1e-5)


def test_sampled_scores_no_more_candidates_than_allowed():
    class Counting:
        def predict(self, user, deleted, target):
            assert len(deleted) == len(np.unique(deleted, axis=0)) == 50
            return np.arange(50.0)

    q = embeddings()
    assert len(sampled(Counting(), np.zeros(3), q[:20], q[25], np.arange(20), 3, 50, generator(0))) == 3


@pytest.mark.parametrize("search", ["exact", "sampled", "beam"])
def test_ties_are_broken_by_the_seed(search):
    class Indifferent:
        def predict(self, user, deleted, target):
            return np.zeros(len(deleted))

    found = set()
    for seed in range(200):
        if search == "exact":
            explanation = exact(np.zeros(4), np.arange(4), 2, generator(seed))
        else:
            method, budget = (sampled, 100) if search == "sampled" else (beam, 2)
            explanation = method(
                Indifferent(), None, embeddings()[:4], embeddings()[9], np.arange(4), 2, budget, generator(seed)
            )
        found.add(tuple(sorted(explanation)))
    assert found == set(combinations(range(4), 2))


@given(st.integers(3, 9), st.integers(1, 3), st.integers(0, 2**32))
def test_a_beam_as_wide_as_all_subsets_finds_the_best(n, size, seed):
    q, rng = embeddings(), generator(seed, "case")
    history = rng.choice(25, n, replace=False)
    surrogate, user = mlp(seed=seed), rng.normal(size=3).astype(np.float32)
    explanation = beam(surrogate, user, q[history], q[29], history, size, math.comb(n, size) * n, generator(seed))
    every = list(combinations(history.tolist(), size))
    scores = surrogate.predict(user, np.stack([q[list(subset)] for subset in every]), q[29])
    best = {tuple(sorted(subset)): score for subset, score in zip(every, scores, strict=True)}
    assert best[tuple(sorted(explanation))] == pytest.approx(scores.max(), abs=1e-5)


@given(st.integers(0, 2**32))
def test_greedy_takes_the_best_item_again_and_again(seed):
    q, rng, surrogate = embeddings(), generator(seed, "case"), mlp(seed=seed)
    history, user = rng.choice(25, 8, replace=False), rng.normal(size=3).astype(np.float32)
    chosen = []
    for _ in range(3):
        rest = [item for item in history.tolist() if item not in chosen]
        scores = surrogate.predict(user, np.stack([q[[*chosen, item]] for item in rest]), q[29])
        second, first = np.sort(scores)[-2:]
        assume(first - second > 1e-4)  # no tie
        chosen.append(rest[int(scores.argmax())])
    assert set(beam(surrogate, user, q[history], q[29], history, 3, 1, generator(seed))) == set(chosen)


def test_explain_searches_additive_surrogates_exactly_and_samples_the_others():
    q, history = embeddings(), np.arange(0, 20)
    rng = generator(1)
    additive = LinearSurrogate(rng.normal(size=3), rng.normal(size=4), rng.normal(size=4), np.float64(1))
    arguments = (np.ones(3, dtype=np.float32), q[history], q[25], history, 3)
    best = explain(additive, *arguments, 1, generator(0))  # one candidate would not do
    assert set(best) == set(sampled(additive, *arguments, 10_000, generator(0)))
    assert set(best) == set(beam(additive, *arguments, 1, generator(0)))
    assert explain(mlp(), *arguments, 7, generator(0)) == sampled(mlp(), *arguments, 7, generator(0))


@given(st.integers(0, 2**32))
def test_additive_explanations_of_eq_8_depend_on_neither_the_target_nor_the_user_embedding(seed):
    q, rng = embeddings(), generator(seed, "case")
    additive = LinearSurrogate(rng.normal(size=3), rng.normal(size=4), rng.normal(size=4), np.float64(0))
    history = rng.choice(25, 10, replace=False)
    found = set()
    for target in range(25, 30):
        users = rng.normal(size=(1, 3)).astype(np.float32) * 100
        features = Representation(users, q).item_features(0, target, history)
        found.add(explain(additive, users[0], features, q[target], history, 3, 100, generator(0)))
    assert len(found) == 1


@pytest.mark.parametrize("product", ["target", "user"])
def test_additive_explanations_of_products_depend_on_what_is_multiplied(product):
    q, rng, history = embeddings(), generator(0, "case"), np.arange(20)
    additive = LinearSurrogate(rng.normal(size=4), rng.normal(size=8), rng.normal(size=4), np.float64(0))
    found = set()
    for k in range(10):
        users, target = (rng.normal(size=(1, 4)), 25) if product == "user" else (np.ones((1, 4)), 20 + k)
        features = Representation(users.astype(np.float32), q, [product]).item_features(0, target, history)
        found.add(explain(additive, users[0], features, q[target], history, 3, 100, generator(0)))
    assert len(found) > 1


def test_sampled_explanations_may_depend_on_the_target():
    surrogate, q, history = mlp(), embeddings(), np.arange(20)
    found = {
        explain(surrogate, np.ones(3), q[history], q[target], history, 3, 10_000, generator(0))
        for target in range(20, 30)
    }
    assert len(found) > 1


@pytest.mark.parametrize("surrogate", [LinearSurrogate(np.ones(3), np.ones(4), np.ones(4), np.float64(0)), mlp()])
def test_short_histories_are_refused(surrogate):
    q = embeddings()
    arguments = (surrogate, np.ones(3), q[:2], q[9], np.arange(2), 3)
    with pytest.raises(ValueError, match="history of 2 items"):
        explain(*arguments, 100, generator(0))
    with pytest.raises(ValueError, match="history of 2 items"):
        beam(*arguments, 1, generator(0))
