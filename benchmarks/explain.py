"""How often ``explain`` finds an explanation that holds, beside a guess and the oracle, and how long it takes.

    python benchmarks/explain.py            an hour or two; writes benchmarks/results/explain*.csv
    python benchmarks/explain.py --quick    a few users of MovieLens-100K; only prints

In the six cells of the paper and the loose world of ``make``, for users that no study of these splits explains. Timed
by the clock of the process, on one thread. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import time

import numba
import numpy as np
import pandas as pd
from hadyounot import Deletion, Ratings, explain
from hadyounot.compare.influence import influences
from hadyounot.compare.oracle import oracle_pools
from hadyounot.compare.settings import InfluenceConfig, OracleConfig
from hadyounot.method.outcomes import candidates, record, top_items
from hadyounot.retrain.base import Recommender
from hadyounot.rng import generator
from hadyounot.study import datasets
from hadyounot.study.cell import recommender
from hadyounot.study.config import load_study
from timing import HERE, QUICK, machine, publish

USERS = 3 if QUICK else 50
BUDGET = 64
STUDIED = 400  # the first users of the studies' order: those who train surrogates and those who are explained
STUDIES = ("study.yaml", "paper.yaml")  # of config/, whose cells are benchmarked


def cells() -> dict[tuple[str, str], Recommender]:
    """By the names of dataset and model."""
    studies = [load_study(HERE.parent / "config" / name) for name in STUDIES]
    found = {
        (cell.dataset, cell.model): recommender(study.models[cell.model], study.seed)
        for study in studies
        for cell in study.cells
    }
    return {names: each for names, each in found.items() if names[0] == "ml-100k"} if QUICK else found


def training(dataset: str) -> Ratings:
    """The training ratings."""
    ratings = datasets.obtain(dataset, datasets.data_folder()).ratings
    return ratings.select(datasets.split(ratings, 0.7, 0, dataset))


def measured(dataset: str, model: str, recommender: Recommender) -> list[dict[str, object]]:
    """A row of the table for each K."""
    ratings, rows = training(dataset), []
    able = np.flatnonzero(np.bincount(ratings.users, minlength=ratings.n_users) >= 3)
    unseen = generator(0, "users", dataset).permutation(able)[STUDIED:]
    users = generator(0, "benchmark", "explain").permutation(unseen)[:USERS].tolist()
    trained = recommender.fit(ratings)
    rngs = [generator(0, "benchmark", user) for user in users]
    influence = influences(trained, ratings, recommender, InfluenceConfig())["influence_block"]
    guesses = []
    for user, rng in zip(users, rngs, strict=True):
        target = top_items(trained.scores([user])[0], candidates(ratings, user), 1)[0]
        guesses.append(Deletion(user, influence(user, int(target), 3, rng)))
    guessed = record(recommender, ratings, guesses, 1, trained).rank_after[:, 0]
    config = OracleConfig(exhaustive=200, shortlist=8)
    pools, models = oracle_pools(recommender, ratings, trained, users, 3, config, rngs)
    oracle = np.array([pool.rank_after.max() for pool in pools])
    for top_k in (1, 3, 5):
        found, seconds = [], []
        for user in users:
            start = time.process_time()
            found.append(explain(recommender, ratings, user, top_k=top_k, budget=BUDGET, trained=trained))
            seconds.append(time.process_time() - start)
        valid = np.array([each.valid for each in found])
        fewest = [explain(recommender, ratings, user, None, top_k, None, BUDGET, trained) for user in users]
        sizes = np.array([len(each.items) if each.valid else np.inf for each in fewest])
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "top_k": top_k,
                "valid": 100 * np.mean(valid),
                "oracle": 100 * np.mean(oracle > top_k),
                "best_known": 100 * np.mean(valid | (oracle > top_k)),
                "first_proposal": 100 * np.mean([each.tried["rank_after"].iloc[0] > top_k for each in found]),
                "influence_block": 100 * np.mean(guessed > top_k),
                "retrained": np.mean([each.retrained for each in found]),
                "oracle_retrained": models / len(users),
                "seconds_median": np.median(seconds),
                "seconds_max": max(seconds),
                **{f"fewest_{size}": 100 * np.mean(sizes <= size) for size in (1, 2, 3)},
            }
        )
    return rows


def main():
    numba.set_num_threads(1)
    load, rows = os.getloadavg()[0], []
    for names, each in cells().items():
        rows += measured(*names, each)
        about = machine(load, (), users=USERS, budget=BUDGET)
        publish({"explain_machine": about, "explain": pd.DataFrame(rows)})


if __name__ == "__main__":
    main()
