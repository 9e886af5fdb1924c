from types import SimpleNamespace

import numpy as np
import pytest
from hadyounot.method.choices import PRODUCTS
from hadyounot.method.features import Representation
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.rng import generator

RNG = generator(0, "representation")
USERS, ITEMS = RNG.normal(size=(4, 3)).astype(np.float32), RNG.normal(size=(9, 3)).astype(np.float32)
RATINGS = Ratings.from_arrays(
    users=np.repeat(np.arange(4), 9), items=np.tile(np.arange(9), 4), values=RNG.integers(1, 6, 36).astype(np.float32)
)
RESIDUALS = RNG.normal(size=36).astype(np.float32)
OUTCOMES = SimpleNamespace(  # users alternate, and have deletions of their own size
    deletions=(Deletion(2, (0, 5, 8)), Deletion(3, (1, 2)), Deletion(2, (4, 5, 6)), Deletion(3, (7, 0))),
    users=np.array([2, 3, 2, 3]),
    targets=np.array([[3, 6], [7, 4], [3, 6], [7, 4]]),
)
EFFECTS = np.arange(8.0).reshape(4, 2)


def represent(products):
    return Representation(USERS, ITEMS, products, ratings=RATINGS, residuals=RESIDUALS)


def by_hand(user, deleted, target, products):
    """The features of one row, from their formulas."""
    phi, (p, q) = ITEMS, (USERS[user], ITEMS[target])
    parts = [sum(phi[d] for d in deleted)]
    if "user" in products:
        parts.append(sum(phi[d] * p for d in deleted))
    if "target" in products:
        parts.append(sum(phi[d] * q for d in deleted))
    if "residual" in products:
        parts.append(sum(RESIDUALS[9 * user + d] * phi[d] * q for d in deleted))
    return np.concatenate([p, *parts, q])


@pytest.mark.parametrize(
    "products", [(), ("target",), ("user",), ("residual",), ("target", "residual"), ("residual", "target"), PRODUCTS]
)
def test_rows_are_sums_over_the_deleted_items(products):
    representation = represent(products)
    data = representation.data(OUTCOMES, EFFECTS)
    row = 0
    for deletion, targets in zip(OUTCOMES.deletions, OUTCOMES.targets, strict=True):
        for target in targets:
            expected = by_hand(deletion.user, deletion.items, target, products)
            np.testing.assert_allclose(data.features(np.array([row]))[0], expected, rtol=1e-5, atol=1e-6)
            items = representation.item_features(deletion.user, target, np.array(deletion.items))
            np.testing.assert_allclose(items.sum(axis=0), expected[3:-3], rtol=1e-5, atol=1e-6)
            assert items.dtype == np.float32
            row += 1
    assert sum(data.widths) == len(expected)
    np.testing.assert_array_equal(data.users, [2, 3, 2, 3])
    np.testing.assert_array_equal(data.effects, EFFECTS)


def test_selected_rows_keep_their_features():
    data = represent(PRODUCTS).data(OUTCOMES, EFFECTS)
    np.testing.assert_array_equal(data.select([2, 1]).features(np.arange(4)), data.features(np.array([4, 5, 2, 3])))


def test_products_that_cannot_be_formed():
    with pytest.raises(ValueError, match=r"unknown products \['tagret'\]: choose from"):
        represent(["tagret"])
    with pytest.raises(ValueError, match="users have 2 numbers and items 3"):
        Representation(USERS[:, :2], ITEMS, ["user"])
    with pytest.raises(ValueError, match="needs the training ratings and their residuals"):
        Representation(USERS, ITEMS, ["residual"])
