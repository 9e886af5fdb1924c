"""What a retrained model costs as the ratings grow, to the shape of MovieLens-20M: time and memory of one thread.

    python benchmarks/scale.py            some minutes; writes benchmarks/results/scale*.csv and scale.png
    python benchmarks/scale.py --quick    small sizes; only prints

One batch of lanes at each size, in a process of its own, on one core. Timed by the wall clock: run it on a machine that
does nothing else. README.md beside this file says what the numbers mean.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from hadyounot import MatrixFactorization, NeuralCollaborativeFiltering
from hadyounot.report import style
from hadyounot.retrain import mf, ncf, simd
from timing import QUICK, RESULTS, deletions, machine, movielens, publish, ratings_like

SHAPES = {  # users, items and ratings to train on: 70 % of all there are
    "ML-100K": (943, 1_682, 70_000),
    "Amazon Music": (5_541, 3_568, 45_294),
    "Netflix sample": (10_000, 2_103, 427_260),
    "ML-1M": (6_040, 3_706, 700_146),
    "ML-20M": (138_493, 26_744, 14_000_184),
}
LARGEST = "ML-20M"
USERS = (1_000, 10_000, 100_000)
# As config/paper.yaml has them for MovieLens-100K
MF = MatrixFactorization(factors=16, epochs=100, learning_rate=0.01, regularization=0.15, init_scale=0.1)
NCF = NeuralCollaborativeFiltering()
TRAINERS = {"mf": mf._Trainer, "ncf": ncf._Trainer}
LOOKS = {"mf": ("o", style.INK, "-"), "ncf": ("s", style.ACCENT, "--")}


class Point(NamedTuple):
    """One measurement."""

    varied: str  # what it is one of a row of
    value: str | int | float
    settings: MatrixFactorization | NeuralCollaborativeFiltering
    shape: tuple[int, int, int] | None  # None: the ratings of MovieLens-100K themselves
    lanes_used: int = simd.LANES


def points() -> list[Point]:
    """All measurements; of the sizes, the largest is last."""
    shapes = {"ML-100K": SHAPES["ML-100K"]} if QUICK else SHAPES
    middle = shapes["ML-100K" if QUICK else "ML-1M"]
    found = [Point("dataset", name, model, shape) for name, shape in shapes.items() for model in (MF, NCF)]
    found += [Point("dataset", "ML-100K itself", model, None) for model in (MF, NCF)]
    if not QUICK:
        found += [Point("users", users, model, (users, *middle[1:])) for users in USERS for model in (MF, NCF)]
    for factors in (8, 16) if QUICK else (8, 16, 32, 64):
        found.append(Point("factors", factors, MF.model_copy(update={"factors": factors}), shapes["ML-100K"]))
    for factors in (8,) if QUICK else (8, 16, 32):
        sizes = {"gmf_factors": factors, "mlp_layers": (2 * factors, factors)}
        found.append(Point("factors", factors, NCF.model_copy(update=sizes), shapes["ML-100K"]))
    for used in (1, 2, 4, 8, 16):
        found += [Point("lanes used", used, model, shapes["ML-100K"], used) for model in (MF, NCF)]
    return found


def clock(run: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def arrays(thing: object) -> Iterable[np.ndarray]:
    """All arrays in a workspace."""
    if isinstance(thing, np.ndarray):
        yield thing
    else:
        for part in thing if isinstance(thing, tuple) else vars(thing).values():
            yield from arrays(part)


def measure(point: Point) -> dict[str, object]:
    """Costs of a batch, per model; to be called once in a process, whose peak memory is among them."""
    kind, huge = point.settings.kind, point.shape == SHAPES[LARGEST]
    epochs = 1 if huge or kind == "ncf" else 10
    ratings = movielens() if point.shape is None else ratings_like(*point.shape)
    chosen = deletions(ratings, point.lanes_used)
    rows, users = ratings.deleted_rows(chosen), np.array([deletion.user for deletion in chosen])
    scores = np.empty((len(chosen), ratings.n_items), dtype=np.float32)

    def batch(trainer: simd.Trainer, work: object) -> tuple[float, float]:
        return (
            clock(lambda: (trainer.prepare(work, rows), trainer.score(work, users, scores))),
            clock(lambda: list(trainer.train(work))),
        )

    trainer_of, settings = TRAINERS[kind], point.settings.model_copy(update={"epochs": epochs})
    little = ratings_like(20, 20, 200)
    warm = trainer_of(settings, little)  # compiles
    work = warm.workspace()
    warm.prepare(work, [()])
    list(warm.train(work))
    warm.score(work, np.array([0]), np.empty((1, 20), np.float32))
    start = time.perf_counter()
    trainer = trainer_of(settings, ratings)
    once = time.perf_counter() - start
    work = trainer.workspace()
    times = [batch(trainer, work) for _ in range(1 if huge else 2 if QUICK else 12)]
    around, trained = np.median(times if huge else times[1:], axis=0) / len(chosen)  # the first meets new memory
    epoch = trained / epochs
    return {
        "varied": point.varied,
        "value": point.value,
        "model": kind,
        "users": ratings.n_users,
        "items": ratings.n_items,
        "ratings": len(ratings),
        "factors": point.settings.factors if kind == "mf" else point.settings.gmf_factors,
        "lanes_used": point.lanes_used,
        "ms_per_model_and_epoch": 1e3 * epoch,
        "ms_per_model_besides": 1e3 * around,
        "ns_per_rating_and_model": 1e9 * epoch / len(ratings),
        "epochs": point.settings.epochs,
        "retrainings_per_hour": 3600 / (around + point.settings.epochs * epoch),
        "seconds_once": once,
        "workspace_mib": sum(array.nbytes for array in arrays(work)) / 2**20,
        "process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,  # Linux counts KiB
    }


def million(scale: pd.DataFrame) -> pd.DataFrame:
    """Predicted from the largest size: a million users with 100 ratings each, and the paper's 100,000 retrainings."""
    users, ratings, retrainings = 1_000_000, 100_000_000, 100_000
    rows = []
    for row in scale[scale["ratings"] == scale["ratings"].max()].drop_duplicates("model").itertuples():
        visits = ratings * retrainings * row.epochs
        rows.append({
            "model": row.model,
            "measured_on": row.value,
            "ns_per_rating_and_model": row.ns_per_rating_and_model,
            "epochs": row.epochs,
            "core_hours": visits * row.ns_per_rating_and_model / 3600e9,
            "workspace_gib": row.workspace_mib / 2**10 * (users + row.items) / (row.users + row.items),
        })  # fmt: skip
    return pd.DataFrame(rows)


def draw(scale: pd.DataFrame) -> plt.Figure:
    """Epochs of one model in an hour of one core, and memory, against everything varied."""
    style.use()
    figure, axes = plt.subplot_mosaic("AAABBB;CCDDEE", figsize=(style.PAGE, 5))
    synthetic = scale[scale["value"] != "ML-100K itself"]
    speed, memory = "epochs_per_hour", "workspace_mib"
    panels = [
        ("A", "dataset", "ratings", speed, "Ratings"), ("B", "dataset", "rows", memory, "Users + items"),
        ("C", "users", "users", speed, "Users (ratings as ML-1M)"), ("D", "factors", "factors", speed, "Factors"),
        ("E", "lanes used", "lanes_used", speed, f"Lanes used of {simd.LANES}"),
    ]  # fmt: skip
    synthetic = synthetic.assign(
        rows=synthetic["users"] + synthetic["items"], epochs_per_hour=3.6e6 / synthetic["ms_per_model_and_epoch"]
    )
    for name, varied, x, y, label in panels:
        ax = axes[name]
        for kind, each in synthetic[synthetic["varied"] == varied].groupby("model"):
            each, (marker, color, line) = each.sort_values(x), LOOKS[kind]
            ax.plot(each[x], each[y], marker=marker, color=color, ls=line, label=kind)
            if name == "B":
                ax.plot(each[x], each["process_mib"], marker=marker, color=color, ls=":", mfc="white")
            if varied == "dataset" and kind == "mf":
                named = each if name == "A" else each.iloc[[0, -1]]  # those between are too close
                for row in named.itertuples():
                    place, below = (getattr(row, x), getattr(row, y)), name == "B"
                    ax.annotate(
                        row.value, place, (0, -6) if below else (5, 4), textcoords="offset points", fontsize=7,
                        ha="center" if below else "left", va="top" if below else "bottom", rotation=0 if below else 30,
                    )  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel=label)
        if varied in ("factors", "lanes used"):
            ticks = sorted(set(synthetic.loc[synthetic["varied"] == varied, x]))
            ax.set_xticks(ticks, ticks)
            ax.set_xticks([], minor=True)
    for name in "ACDE":
        axes[name].set_ylabel("Epochs an hour" if name != "A" else "Epochs of one model,\nan hour of one core")
    axes["A"].margins(x=0.15)
    axes["B"].margins(0.12)
    axes["B"].set_ylabel("MiB")
    axes["B"].set_title("Workspace of a thread (filled),\nwhole process (hollow)", fontsize=9)
    axes["A"].legend()
    return figure


def main():
    load = os.getloadavg()[0]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        scale = pd.DataFrame(pool.map(measure, points(), chunksize=1))
    publish({"scale_machine": machine(load, (), lanes=simd.LANES), "scale": scale, "scale_million": million(scale)})
    if not QUICK:
        draw(scale).savefig(RESULTS / "scale.png", dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
