"""Ratings keep ids, order and values, and say what is wrong with bad ones."""

import warnings
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import torch
from hadyounot import Deletion, Ratings
from hadyounot.retrain.base import known_users
from hypothesis import given
from hypothesis import strategies as st

same = np.testing.assert_array_equal
ids = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", ("a", 1), UUID(int=7), 2.5]))  # any hashable
rows = st.lists(st.tuples(ids, ids), min_size=1, max_size=20, unique=True)


def rate(rows, values=None, **how) -> Ratings:
    users, items = zip(*rows, strict=True)
    return Ratings.from_arrays(users, items, values or [1.0 + k for k in range(len(rows))], **how)


@given(rows)
def test_indices_are_given_by_first_appearance_and_ids_are_kept(rows):
    ratings = rate(rows)
    users, items = (list(dict.fromkeys(column)) for column in zip(*rows, strict=True))
    assert ratings.user_ids.tolist() == users
    assert ratings.item_ids.tolist() == items
    same(ratings.users, [users.index(user) for user, _ in rows])
    same(ratings.items, [items.index(item) for _, item in rows])
    same(ratings.values, np.arange(1, len(rows) + 1))
    assert (len(ratings), ratings.n_users, ratings.n_items) == (len(rows), len(users), len(items))
    assert [array.dtype.name for array in (ratings.users, ratings.items, ratings.values)] == ["int32"] * 2 + ["float32"]
    same(ratings.titles, [str(item) for item in items])


@given(rows, st.data())
def test_histories_are_in_the_order_given_and_selections_keep_ids(rows, data):
    ratings = rate(rows)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    for part, kept in ((ratings, range(len(rows))), (ratings.select(mask), np.flatnonzero(mask))):
        for user, user_id in enumerate(part.user_ids):
            mine = [item for k, (who, item) in enumerate(rows) if who == user_id and k in kept]
            assert part.item_ids[part.history(user)].tolist() == mine
            same(part.items[part.rows_of(user)], part.history(user))
        rated = {rows[k][1] for k in kept}
        assert part.rated.tolist() == [item in rated for item in part.item_ids]
        assert (part.n_users, part.n_items) == (ratings.n_users, ratings.n_items)


@given(rows, st.data())
def test_deleted_rows_are_those_of_the_user_and_the_items(rows, data):
    ratings = rate(rows)
    users = data.draw(st.lists(st.integers(0, ratings.n_users - 1), max_size=4))
    deletions = [
        Deletion(user, tuple(data.draw(st.lists(st.sampled_from(ratings.history(user).tolist()), unique=True))))
        for user in users
    ]
    found = ratings.deleted_rows(deletions)
    assert len(found) == len(deletions)
    for deletion, deleted in zip(deletions, found, strict=True):
        expected = [
            k for k in range(len(rows)) if ratings.users[k] == deletion.user and ratings.items[k] in deletion.items
        ]
        assert deleted.tolist() == expected


def test_titles():
    ratings = rate([("ann", 50), ("ann", 7)], titles={50: "Star Wars (1977)"})
    assert ratings.titles.tolist() == ["Star Wars (1977)", "7"]
    assert ratings.select(np.array([1])).titles.tolist() == ["Star Wars (1977)", "7"]


@pytest.mark.parametrize(
    ("users", "items", "values", "message"),
    [
        ([], [], [], "there are no ratings"),
        ([1, 2], [1, 2], [3], "columns differ in length: 2 users, 2 items, 1 values"),
        ([1, 2], [1], [3, 4], "columns differ in length: 2 users, 1 items, 2 values"),
        ([1, 2], [1, 2], [3, float("nan")], "row 1: rating nan is not a finite number"),
        ([1, 2], [1, 2], [float("inf"), 3], "row 0: rating inf is not a finite number"),
        ([1, 2], [1, 2], [3, "good"], "row 1: rating 'good' is not a finite number"),
        ([1, 2], [1, 2], [3, None], "row 1: rating None is not a finite number"),
        ([1, 2], [1, 2], [3, 1e39], r"row 1: rating 1e\+39 is not a finite number of float32, .*: scale the ratings"),
        (["a", None], [1, 2], [3, 4], "row 1: the user is missing"),
        (np.ma.array([7, 8], mask=[0, 1]), [1, 2], [3, 4], "row 1: the user is missing"),
        ([1, 2], [1, 2], np.ma.array([3.0, 4.0], mask=[0, 1]), "row 1: rating None is not a finite number"),
        (["a", ["b"]], [1, 2], [3, 4], "row 1: the user is a list, which is no id: give a string or a number"),
        (["a", "b"], [float("nan"), 2], [3, 4], "row 0: the item is missing"),
        (["a", "b", "a"], ["x", "x", "x"], [3, 4, 3], "row 2: user 'a' already rated item 'x' in row 0"),
    ],
)
def test_bad_ratings_are_named(users, items, values, message):
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=f"^{message}$"):
        Ratings.from_arrays(users, items, values)


def test_any_iterables_will_do():
    ratings = Ratings.from_arrays((user for user in "ab"), iter([1, 2]), np.array([3, 4], dtype=np.int8))
    assert ratings.values.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("boxed", [torch.tensor, lambda column: [torch.tensor(value) for value in column]])
def test_tensors_are_the_numbers_that_they_hold(boxed):
    """Each element of a tensor is one of its own, equal to no other as a key."""
    ratings = Ratings.from_arrays(boxed([7, 8, 7]), boxed([1, 1, 2]), boxed([3.0, 4.0, 5.0]), {1: "One"})
    assert ratings.user_ids.tolist() == [7, 8]
    assert ratings.titles.tolist() == ["One", "2"]
    assert ratings.values.tolist() == [3.0, 4.0, 5.0]


@pytest.mark.parametrize("titles", [pd.Series({10: "Ten", 11: None}), {10: "Ten", 11: float("nan"), 12: "Twelve"}])
def test_titles_by_item_and_an_id_where_one_is_missing(titles):
    assert Ratings.from_arrays([1, 1], [10, 11], [3, 4], titles).titles.tolist() == ["Ten", "11"]


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        (["Ten", "Eleven"], r"titles is a list: give a dict of title by item id, \{10: ...\}"),
        ({"10": "Ten"}, "none of the titles, as that of '10', is of an item, as 10 is"),
        (pd.Series(["Ten", "Eleven"]), "none of the titles, as that of 0, is of an item"),
    ],
)
def test_titles_of_no_item(titles, message):
    with pytest.raises(ValueError, match=message):
        Ratings.from_arrays([1, 1], [10, 11], [3, 4], titles)


@pytest.mark.parametrize("items", [{0, 1}, [0, 1], np.array([0, 1]), torch.tensor([0, 1]), iter([0, 1])])
def test_any_collection_of_items_is_a_deletion(items):
    deletion = Deletion(0, items)
    assert deletion == Deletion(0, (0, 1))
    (rows,) = Ratings.from_arrays("aab", "xyx", [3, 4, 5]).deleted_rows([deletion])
    assert rows.tolist() == [0, 1]


@pytest.mark.parametrize("item", [3, np.int64(3), torch.tensor(3), None])
def test_a_single_item_is_no_collection(item):
    with pytest.raises(ValueError, match=r"^items is .*: give a tuple, even of one"):
        Deletion(0, item)


@pytest.mark.parametrize(
    ("deletions", "message"),
    [
        (Deletion(0, (0,)), r"^Deletion\(user=0, items=\(0,\)\) is a single deletion: give a list"),
        ((each for each in []), "^deletions is a generator: give a list$"),
        ([(0, (0,))], r"^\(0, \(0,\)\) is no deletion: write Deletion\(user, \(item, ...\)\)"),
        (
            [Deletion(1, (1, 2))],
            r"user 1 never rated item 2 \(id 3\); give indices, as in .history\(user\), and no ids$",
        ),
    ],
)
def test_what_is_no_deletion_is_named(deletions, message):
    with pytest.raises(ValueError, match=message):
        Ratings.from_arrays([1, 1, 1, 2, 2], [1, 2, 3, 1, 2], [5, 4, 3, 2, 1]).deleted_rows(deletions)


def test_rows_are_those_of_the_user_however_small_the_integer_and_nobody_else_s_to_change():
    ratings = Ratings.from_arrays(range(300), [0] * 300, [1] * 300)
    assert ratings.rows_of(np.int8(127)).tolist() == [127]
    ratings.rows_of(np.uint8(255))[:] = 0
    assert ratings.rows_of(255).tolist() == [255]


@pytest.mark.parametrize("user", [-1, 2, "a", 0.0, True])
def test_the_history_of_an_unknown_user(user):
    with pytest.raises(ValueError, match=f"unknown user index {user!r} .there are 2 users.; .user_ids holds the ids"):
        Ratings.from_arrays("aab", "xyx", [3, 4, 5]).history(user)


def test_an_id_in_place_of_an_index_is_told_how_to_become_one():
    ratings = Ratings.from_arrays(["u1", "u2", 7], ["x", "y", "x"], [3, 4, 5])
    for user in ("u2", 7):
        with pytest.raises(ValueError, match=r"holds the ids: np.flatnonzero\(ratings.user_ids == .*\)\[0\]$") as error:
            ratings.history(user)
        expression = str(error.value).partition("ids: ")[2]
        assert ratings.user_ids[eval(expression, {"np": np, "ratings": ratings})] == user
    for user in ("u3", np.array(["u1", "u2"])):
        with pytest.raises(ValueError, match=r"holds the ids$"):
            ratings.history(user)


@pytest.mark.parametrize(
    ("users", "message"),
    [
        (0, "^users is 0: give a list of user indices"),
        ("ann", "^users is 'ann': give a list"),
        (["ann"], "^user 'ann' is not an index; .user_ids"),
        ([0, 0.7], "^user 0.0 is not an index"),
        (np.array([True, False]), r"^users is a mask: give indices, np.flatnonzero\(mask\)"),
        ([0, -1], "^unknown user index -1 "),
        ([2], "^unknown user index 2 "),
        ([10**30], "^unknown user index 10+ "),
    ],
)
def test_users_that_are_no_indices(users, message):
    with pytest.raises(ValueError, match=message):
        known_users(users, 2)


@pytest.mark.parametrize("users", [[1, 0], range(2), np.array([1, 0], np.int8), torch.tensor([1, 0]), []])
def test_users_that_are_indices(users):
    known = known_users(users, 2)
    assert known.dtype == np.int64
    assert known.tolist() == list(users)


@pytest.mark.parametrize(
    ("deletion", "message"),
    [
        (Deletion(True, (0,)), "user True is not an index"),
        (Deletion(0, (False,)), "item False is not an index"),
        (Deletion("ann", (0,)), "user 'ann' is not an index; .user_ids"),
        (Deletion(0, ("x",)), "item 'x' is not an index"),
        (Deletion(0, (0.5,)), "item 0.5 is not an index"),
    ],
)
def test_an_id_in_place_of_an_index_is_named(deletion, message):
    ratings = Ratings.from_arrays(["ann", "ann"], ["x", "y"], [3, 4])
    with pytest.raises(ValueError, match=message):
        ratings.deleted_rows([deletion])
