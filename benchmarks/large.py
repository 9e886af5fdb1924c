"""What 25 million ratings cost: the shape of MovieLens-25M as a file, read, trained on, and one batch retrained.

    python benchmarks/large.py            some minutes; writes benchmarks/results/large.csv
    python benchmarks/large.py --quick    a hundredth of it; only prints

Each step in a process of its own, whose peak memory is counted, on one thread, as the workflow has it: the first reads
the file as notebook 10 does, the others what that kept. The ratings are random. README.md beside this file says what
the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
from hadyounot.retrain import simd
from hadyounot.study.cell import Cell
from hadyounot.study.config import check_study
from hadyounot.study.stages.dataset import dataset
from timing import QUICK, deletions, machine, publish, ratings_like

USERS, ITEMS, RATINGS = (16_254, 5_905, 250_001) if QUICK else (162_541, 59_047, 25_000_095)
MODEL = {"kind": "mf", "factors": 16, "epochs": 1, "learning_rate": 0.01, "regularization": 0.15}
STUDY = {
    "datasets": {
        "large": {
            "sources": [
                {
                    "kind": "folder",
                    "ratings": {"path": "ratings.csv", "user": "userId", "item": "movieId", "rating": "rating"},
                }
            ]
        }
    },
    "models": {"mf": MODEL},
    "cells": [{"dataset": "large", "model": "mf"}],
}


def write(folder: Path) -> None:
    """``ratings.csv``, with the names of MovieLens-25M's columns."""
    ratings = ratings_like(USERS, ITEMS, RATINGS)
    columns = {"userId": ratings.users + 1, "movieId": ratings.items + 1, "rating": ratings.values}
    pa.csv.write_csv(pa.table(columns), folder / "ratings.csv")


def steps(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, each after what it needs."""
    os.environ["HADYOUNOT_DATA"] = str(folder)
    cell = Cell(check_study(STUDY, "large.py"), "large", "mf", folder / "run", makes=True)
    yield "read, check, split, keep", lambda: dataset(cell)
    train, model = cell.train, cell.recommender()
    model.fit(ratings_like(20, 20, 200))  # compiles
    yield "train, per epoch", lambda: model.fit(train)
    chosen = deletions(train, simd.LANES)
    yield f"retrain {simd.LANES} deletions, per epoch", lambda: model.retrain(train, chosen)


def measured(number: int, folder: Path) -> dict[str, object]:
    """Step ``number``: seconds, and the peak memory of its process."""
    for at, (name, run) in enumerate(steps(folder)):
        if at == number:
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            return {
                "step": name,
                "seconds": seconds,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            }
    raise IndexError(number)


def main() -> None:
    before = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool,
    ):
        pool.apply(write, (Path(folder),))
        size = (Path(folder) / "ratings.csv").stat().st_size / 2**20
        table = pd.DataFrame([pool.apply(measured, (number, Path(folder))) for number in range(3)])
    about = machine(before, (), users=USERS, items=ITEMS, ratings=RATINGS, file_mib=round(size))
    publish({"large_machine": about, "large": table})


if __name__ == "__main__":
    main()
