"""What the benchmarks share: ratings, deletions, races, edited copies of the library, tables."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import hadyounot
import llvmlite.binding
import numpy as np
import pandas as pd
from hadyounot import Deletion, Ratings
from hadyounot.rng import generator
from hadyounot.study import datasets

if {"-h", "--help"} & set(sys.argv):  # what each can do stands where it begins
    print(sys.modules["__main__"].__doc__)
    sys.exit()

HERE = Path(__file__).resolve().parent
QUICK = "--quick" in sys.argv
RESULTS = HERE / "results"
REPEATS = 3 if QUICK else 15


def movielens() -> Ratings:
    """The training ratings."""
    ratings = datasets.obtain("ml-100k", datasets.data_folder()).ratings
    return ratings.select(datasets.split(ratings, 0.7, 0, "ml-100k"))


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


def deletions(ratings: Ratings, count: int) -> list[Deletion]:
    """Three items of a user each, of as many users as there are deletions."""
    rng = np.random.default_rng(0)
    users = rng.choice(np.flatnonzero(np.bincount(ratings.users) >= 3), count).tolist()
    return [Deletion(user, tuple(rng.permutation(ratings.history(user))[:3].tolist())) for user in users]


def race(
    runs: dict[str, Callable[[], object]], repeats: int = REPEATS, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each call, in turns; a first call of each, which may compile, does not count."""
    for run in runs.values():
        run()
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return seconds


def copied(folder: Path, edits: list[tuple[str, str]]) -> Path:
    """A copy of the repository's library and configuration with ``edits`` made to its kernels."""
    package = folder / "lib" / "hadyounot"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(hadyounot.__file__).parent, package, ignore=ignored)
    shutil.copytree(HERE.parent / "config", folder / "config", ignore=ignored)
    sources = sorted((package / "retrain").glob("*.py"))
    texts = [source.read_text() for source in sources]
    for old, new in edits:
        if not any(old in text for text in texts):
            raise ValueError(f"nothing in retrain/ contains {old!r} any more: bring ALTERNATIVES up to date with it")
        texts = [text.replace(old, new) for text in texts]
    for source, text in zip(sources, texts, strict=True):
        source.write_text(text)
    return package.parent


def number_of_copy(script: str, library: Path) -> float:
    """What ``script --shipped`` prints with that library, in a process of its own."""
    found = subprocess.run(
        [sys.executable, script, "--shipped"],
        env={**os.environ, "PYTHONPATH": str(library), "HADYOUNOT_DATA": str(datasets.data_folder())},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(found.stdout)


def edited(script: str, edits: dict[str, list[tuple[str, str]]], repeats: int) -> dict[str, list[float]]:
    """What ``script --shipped`` prints, in turns, with each edit of the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        copies = {name: copied(Path(folder) / str(k), each) for k, (name, each) in enumerate(edits.items())}
        numbers = {name: [] for name in edits}
        for _ in range(repeats):
            for name, library in copies.items():
                numbers[name].append(number_of_copy(script, library))
    return numbers


def compared(what: str, numbers: dict[str, list[float]], unit: str) -> pd.DataFrame:
    """Medians beside that of "as shipped"."""
    medians = {name: np.median(each) for name, each in numbers.items()}
    return pd.DataFrame({
        what: medians.keys(),
        unit: medians.values(),
        f"{unit.split('_')[0]}_min": [min(each) for each in numbers.values()],
        "times_shipped": [median / medians["as shipped"] for median in medians.values()],
    })  # fmt: skip


def machine(load: float, packages: tuple[str, ...], **more: object) -> pd.DataFrame:
    """What the numbers were measured on; ``load`` is that before the run."""
    about = {
        "cpu": llvmlite.binding.get_host_cpu_name(), "cores": os.cpu_count(), "load_before": round(load, 2), **more,
        **{name: version(name) for name in ("numpy", "numba", "llvmlite", *packages)},
    }  # fmt: skip
    return pd.DataFrame(about.items(), columns=["what", "value"])


def publish(tables: dict[str, pd.DataFrame]) -> None:
    """Prints the tables, and writes them to ``results/`` unless in a hurry."""
    for name, table in tables.items():
        print(f"\n{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}", flush=True)
        if not QUICK:
            RESULTS.mkdir(exist_ok=True)
            table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4g")
