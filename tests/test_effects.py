from types import SimpleNamespace

import numpy as np
import pytest
from hadyounot.method import effects
from hypothesis import given
from hypothesis import strategies as st


def outcomes_of(before, after, n_targets):
    """Outcomes of one deletion, ranked by brute force: scores of all candidates before and after."""
    listed, relisted = (sorted(range(len(s)), key=lambda i: -s[i]) for s in (before, after))
    targets = listed[:n_targets]
    return SimpleNamespace(
        rank_before=np.arange(1, n_targets + 1, dtype=np.int32)[None],
        rank_after=np.array([[relisted.index(i) + 1 for i in targets]], dtype=np.int32),
        score_before=np.array([[before[i] for i in targets]], dtype=np.float32),
        score_after=np.array([[after[i] for i in targets]], dtype=np.float32),
        top1_score_before=np.array([max(before)], dtype=np.float32),
        top1_score_after=np.array([max(after)], dtype=np.float32),
        benchmark_score_after=np.array([[after[relisted[k]] for k in range(n_targets)]], dtype=np.float32),
    )


def test_by_hand():
    # the list a, b, c, d becomes b, c, a, d: a falls, b and c rise, d stays
    outcomes = outcomes_of([4.0, 3.0, 2.0, 1.0], [2.0, 4.0, 3.0, 1.0], 4)
    reg, clf = effects.reg(outcomes), effects.clf(outcomes)
    np.testing.assert_array_equal(reg, [[4.0 - 2.0, 3.0 - 4.0, 2.0 - 3.0, 0.0]])
    np.testing.assert_array_equal(clf, [[1, -1, -1, 0]])
    assert (reg.dtype, clf.dtype) == (np.float32, np.int8)
    np.testing.assert_array_equal(effects.rank(outcomes), [[2, -1, -1, 0]])
    np.testing.assert_array_equal(effects.score(outcomes), [[2, -1, -1, 0]])
    np.testing.assert_allclose(effects.cross(outcomes), [[1 - 2 / 4, 3 / 4 - 1, 2 / 4 - 3 / 4, 0]])


@pytest.mark.parametrize(("before", "after"), [([2.0, 1.0], [0.0, -1.0]), ([-1.0, -2.0], [-3.0, -2.0])])
def test_a_fall_in_units_of_a_score_that_is_not_above_0_is_refused(before, after):
    with pytest.raises(ValueError, match=r"divides by the top recommendation's score, which is (0|-2) of one of these"):
        effects.cross(outcomes_of(before, after, 2))


scores = st.lists(st.integers(0, 1000), min_size=6, max_size=6, unique=True)


@given(scores, scores)
def test_effects_of_the_list_have_one_sign(before, after):
    outcomes = outcomes_of(before, after, 4)
    for effect in (effects.reg, effects.rank):
        np.testing.assert_array_equal(np.sign(effect(outcomes)), effects.clf(outcomes))


@given(scores)
def test_no_change_no_effect(before):
    outcomes = outcomes_of(before, before, 4)
    for effect in (effects.reg, effects.clf, effects.rank, effects.score, effects.cross):
        assert not effect(outcomes).any()
