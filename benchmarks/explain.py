"""How often ``explain`` finds an explanation that holds, beside a guess and the oracle, and how long it takes.

    python benchmarks/explain.py            some minutes; writes benchmarks/results/explain*.csv
    python benchmarks/explain.py --quick    a few users; only prints

On MovieLens-100K, for users that no study of this split explains. Timed by the clock of the process, on one thread.
README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import time

import numba
import numpy as np
import pandas as pd
from hadyounot import Deletion, MatrixFactorization, NeuralCollaborativeFiltering, explain
from hadyounot.compare.influence import influences
from hadyounot.compare.oracle import oracle_pools
from hadyounot.compare.settings import InfluenceConfig, OracleConfig
from hadyounot.method.outcomes import candidates, record, top_items
from hadyounot.rng import generator
from timing import QUICK, machine, movielens, publish

USERS = 3 if QUICK else 40
BUDGET = 64
STUDIED = 400  # the first users of the studies' order: those who train surrogates and those who are explained
SAME = {"factors": 16, "learning_rate": 0.01, "init_scale": 0.1}
WORLDS = {
    "mf, regularization 0.02, 60 epochs": MatrixFactorization(**SAME, regularization=0.02, epochs=60),
    "mf, regularization 0.15, 100 epochs": MatrixFactorization(**SAME, regularization=0.15, epochs=100),
    "ncf, 3 epochs": NeuralCollaborativeFiltering(),
}


def main():
    numba.set_num_threads(1)
    load, ratings, rows = os.getloadavg()[0], movielens(), []
    able = np.flatnonzero(np.bincount(ratings.users, minlength=ratings.n_users) >= 3)
    unseen = generator(0, "users", "ml-100k").permutation(able)[STUDIED:]
    users = generator(0, "benchmark", "explain").permutation(unseen)[:USERS].tolist()
    for world, recommender in WORLDS.items():
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
            first = [each.tried["rank_after"].iloc[0] > top_k for each in found]
            rows.append(
                {
                    "world": world,
                    "top_k": top_k,
                    "valid": 100 * np.mean([each.valid for each in found]),
                    "first_proposal": 100 * np.mean(first),
                    "influence_block": 100 * np.mean(guessed > top_k),
                    "oracle": 100 * np.mean(oracle > top_k),
                    "retrained": np.mean([each.retrained for each in found]),
                    "oracle_retrained": models / len(users),
                    "seconds_median": np.median(seconds),
                    "seconds_max": max(seconds),
                }
            )
    publish({"explain_machine": machine(load, (), users=USERS, budget=BUDGET), "explain": pd.DataFrame(rows)})


if __name__ == "__main__":
    main()
