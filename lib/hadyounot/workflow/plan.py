"""What a study will cost here, from a short timing: ``python -m hadyounot.workflow.plan config/paper.yaml``."""

import sys
import time
from math import comb
from pathlib import Path

import numba
import numpy as np
import pandas as pd

from ..retrain.ratings import Deletion, Ratings
from ..retrain.settings import BlackBoxConfig
from ..rng import generator
from ..study import schemas
from ..study.cell import recommender
from ..study.config import CellConfig, StudyConfig, load_study
from ..study.datasets import data_folder, obtain
from ..study.methods import METHODS, family

TIMED_EPOCHS, TIMED_RETRAININGS, TIMED_BLACK_BOXES = 3, 64, 4


def ratings_like(users: int, items: int, interactions: int) -> Ratings:
    """Random ratings of a given size: what training costs depends on how many there are, not on what they say; but for
    a truncated SVD, which real ratings make faster, as their singular values differ more.
    """
    rng = generator(0, "plan")
    pairs = np.sort(rng.choice(users * items, interactions, replace=False, shuffle=False))
    names = [np.arange(count).astype(object) for count in (users, items, items)]
    return Ratings(
        (pairs // items).astype(np.int32),
        (pairs % items).astype(np.int32),
        rng.integers(1, 6, interactions).astype(np.float32),
        *names,
    )


def estimate(study: StudyConfig, cell: CellConfig) -> dict[str, str | int | float]:
    """Retrainings (at most), core-hours of training and disk (GiB, uncompressed) of one cell.

    Raises:
        DataError: the registry does not say how large the dataset is, and it cannot be obtained either.
    """
    study = study.of(cell.dataset, cell.model)
    if expected := study.expected(cell.dataset):
        ratings = ratings_like(expected.users, expected.items, round(expected.interactions * study.train_share))
    else:
        ratings = obtain(cell.dataset, data_folder(), study.datasets).ratings
    counts, explained = study.counterfactual, study.explanation
    simulated = counts.training_users * counts.deletions_per_user
    searched = len(ratings) / ratings.n_users + comb(explained.oracle.shortlist, explained.explanation_size)
    named = sum(method.explains for method in METHODS)
    proven = explained.budget * len(explained.top_k)
    verified = explained.test_users * (named + max(searched, explained.oracle.exhaustive) + proven)
    if cell.analysed:
        verified += min(study.correlation.users, explained.test_users) * study.correlation.sets
        verified += study.naive.max_retrainings
        budgets = study.verification.budgets
        verified += study.verification.users * len(explained.top_k) * (sum(budgets) + max(budgets))
        for name in study.ablations.families:
            variants = family(name, study.ablations, explained.explanation_size)
            verified += explained.test_users * len(variants)
            samples = {method.learner.sample for method in variants if method.learner}
            for sample in samples:
                if sample.size is not None:
                    verified += counts.training_users * sample.deletions

    settings = study.models[cell.model]
    epochs, timed = getattr(settings, "epochs", 1), TIMED_RETRAININGS
    if isinstance(settings, BlackBoxConfig):
        timed = TIMED_BLACK_BOXES
    elif hasattr(settings, "epochs"):
        settings = settings.model_copy(update={"epochs": min(epochs, TIMED_EPOCHS)})
    short = recommender(settings, study.seed)
    deletions = [Deletion(user, (int(ratings.history(user)[0]),)) for user in np.unique(ratings.users)[:timed].tolist()]
    short.retrain(ratings, deletions[:1])  # compiles
    started = time.process_time()  # whatever else the machine is doing
    short.retrain(ratings, deletions)
    seconds = (time.process_time() - started) / len(deletions) / getattr(settings, "epochs", 1) * epochs
    retrainings = round(simulated + verified)
    row_bytes = 4 * counts.n_targets * len(schemas.OUTCOMES.same_length)
    return {
        "dataset": cell.dataset,
        "model": cell.model,
        "retrainings (at most)": retrainings,
        "ms each": round(seconds * 1e3, 2),
        "core-hours": round(retrainings * seconds / 3600, 2),
        "disk, GiB": round(simulated * row_bytes / 2**30, 2),
    }


def main(path: str) -> None:
    """Print the estimate of every cell."""
    numba.set_num_threads(1)
    study = load_study(Path(path))
    estimates = pd.DataFrame([estimate(study, cell) for cell in study.cells])
    print(estimates.to_markdown(index=False))
    print(
        f"{estimates['core-hours'].sum():.1f} core-hours of training alone, on one core of this machine; notebooks, "
        "surrogates and influence functions come on top."
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
