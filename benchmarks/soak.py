"""Whether ``retrain`` keeps memory or threads: 2,000 calls in one process.

    python benchmarks/soak.py            some minutes; writes benchmarks/results/soak.csv and soak.png
    python benchmarks/soak.py --quick    40 calls; only prints

Every recommender that the library retrains itself, each in a process of its own, two deletions of MovieLens-100K's
training ratings a call, other two than the call before. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import multiprocessing
from itertools import chain

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
from hadyounot import MatrixFactorization, NeuralCollaborativeFiltering, TruncatedSVD
from hadyounot.report import style
from timing import QUICK, RESULTS, deletions, movielens, publish

CALLS, EVERY = (40, 10) if QUICK else (2_000, 20)
RECOMMENDERS = {  # one epoch: what a call allocates does not depend on their number
    "mf": (MatrixFactorization(factors=16, epochs=1), "-"),
    "ncf": (NeuralCollaborativeFiltering(epochs=1), "--"),
    "svd": (TruncatedSVD(factors=16), ":"),
}


def soaked(name: str) -> list[dict[str, object]]:
    """After every so many calls: memory of the process, and threads of the operating system that it has."""
    (recommender, _), ratings, process = RECOMMENDERS[name], movielens(), psutil.Process()
    pool = deletions(ratings, 32)
    batches = [pool[start : start + 2] for start in range(0, len(pool), 2)]
    first = [recommender.retrain(ratings, batch) for batch in batches]
    found = []
    for call in range(1, CALLS + 1):
        scores = recommender.retrain(ratings, batches[call % len(batches)])
        if not np.array_equal(scores, first[call % len(batches)]):
            raise RuntimeError(f"{name}: call {call} gave other scores than the first of these deletions")
        if call % EVERY == 0:
            memory = process.memory_info().rss / 2**20
            found.append({"model": name, "calls": call, "rss_mib": memory, "threads": process.num_threads()})
    return found


def main() -> None:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        table = pd.DataFrame(chain.from_iterable(pool.map(soaked, RECOMMENDERS, chunksize=1)))
    publish({"soak": table})
    if QUICK:
        return
    style.use()
    figure, axes = plt.subplots(figsize=(style.PAGE / 2, 2.2))
    for name, rows in table.groupby("model"):
        axes.plot(rows["calls"], rows["rss_mib"], RECOMMENDERS[name][1], color=style.INK, label=name)
    axes.set(xlabel="calls of retrain in one process", ylabel="memory (MiB)", ylim=(0, 1.15 * table["rss_mib"].max()))
    axes.legend(ncols=3, loc="lower center")
    figure.savefig(RESULTS / "soak.png", dpi=200, metadata={"Software": None})


if __name__ == "__main__":
    main()
