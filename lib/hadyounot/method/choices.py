"""What a surrogate may be told of deleted items, by name. Cheap to import, as the rows of methods are."""

from itertools import combinations

PRODUCTS = ("user", "target", "residual")  # of a deleted item's embedding, see ``features.Representation``
PRODUCT_SETS = tuple(some for count in range(1, 4) for some in combinations(PRODUCTS, count))
ENCODERS = ("mean", "deepsets", "attention", "transformer")  # of a set of deleted items, see ``sets``
