"""Notebook 10: one dataset, obtained and split (section 5.1, Table 2)."""

from typing import Any

from .. import paths
from ..cell import Cell
from ..datasets import data_folder, obtain, split, split_digest


def dataset(cell: Cell) -> dict[str, Any]:
    """The dataset and its split, and what they are: where it came from, counts, digests."""

    def make() -> tuple:
        obtained = obtain(cell.dataset, data_folder(), cell.study.datasets)
        ratings = obtained.ratings
        drawn = cell.study.datasets[cell.dataset].same or (cell.dataset,)
        train = split(ratings, cell.study.train_share, cell.study.seed, *drawn)
        facts = {
            "name": cell.dataset,
            "source": obtained.source,
            "files": obtained.files,
            "users": ratings.n_users,
            "items": ratings.n_items,
            "interactions": len(ratings),
            "train": int(train.sum()),
            "test": int((~train).sum()),
            "split_sha256": split_digest(train),
        }
        return (
            {"user": ratings.users, "item": ratings.items, "value": ratings.values, "train": train},
            {"id": ratings.user_ids},
            {"id": ratings.item_ids, "title": ratings.titles},
            facts,
        )

    *_, facts = cell.kept(make, paths.RATINGS, paths.USERS, paths.ITEMS, paths.DATASET)
    return facts
