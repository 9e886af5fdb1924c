"""What a study will cost here, from its data and a short timing: ``make plan``."""

import argparse
import sys
import tempfile
import time
from math import comb
from pathlib import Path

import numba
import pandas as pd

from ..compare.oracle import is_exhaustive, oracle_search
from ..retrain.ratings import Deletion
from ..retrain.settings import BlackBoxConfig
from ..study import paths, schemas
from ..study.cell import Cell, recommender
from ..study.config import CellConfig, StudyConfig, load_study
from ..study.methods import METHODS, family
from ..study.stages.dataset import dataset
from ..study.stages.naive import short_histories

TIMED_EPOCHS, TIMED_RETRAININGS, TIMED_BLACK_BOXES = (1, 5), 64, 4


def simulated(cell: Cell) -> int:
    """Models that step 1 retrains: all subsets of the histories of training users, or as many as are drawn."""
    size, most = cell.study.explanation.explanation_size, cell.study.counterfactual.deletions_per_user
    return sum(min(comb(len(cell.train.history(user)), size), most) for user in cell.training_users.tolist())


def verified(cell: Cell) -> int:
    """Models retrained for test users at most: a deletion that was retrained before is not again, and a proof may take
    fewer than its budget.
    """
    explained, retrained = cell.study.explanation, 0
    size, settings = explained.explanation_size, explained.oracle
    for user in cell.test_users.tolist():
        history = cell.train.history(user)
        retrained += len(oracle_search(user, history, size, settings))
        retrained += 0 if is_exhaustive(history, size, settings) else comb(settings.shortlist, size)
    named = sum(method.explains for method in METHODS)
    return retrained + explained.test_users * (named + explained.budget * len(explained.top_k))


def analysed(cell: Cell) -> int:
    """Models retrained for notebooks 65 to 75 at most."""
    study, retrained = cell.study, 0
    for user in short_histories(cell)[: study.naive.users].tolist():
        history = len(cell.train.history(user))
        retrained += sum(comb(history, size) for size in range(1, study.naive.max_size + 1))
    tests, budgets = study.explanation.test_users, study.verification.budgets
    retrained += min(study.correlation.users, tests) * study.correlation.sets
    retrained += min(study.verification.users, tests) * len(study.explanation.top_k) * (sum(budgets) + max(budgets))
    for name in study.ablations.families:
        variants = family(name, study.ablations, study.explanation.explanation_size)
        retrained += tests * len(variants)
        samples = {method.learner.sample for method in variants if method.learner}
        drawn = sum(sample.deletions for sample in samples if sample.size is not None)
        retrained += study.counterfactual.training_users * drawn
    return retrained


def seconds_each(cell: Cell) -> float:
    """Seconds of one core that one of many retrained models takes. Few epochs are timed, twice, so that what is paid
    once a model is not taken for what is paid once an epoch.
    """
    settings = cell.study.models[cell.model]
    epochs = getattr(settings, settings.passes, 1)
    count = TIMED_BLACK_BOXES if isinstance(settings, BlackBoxConfig) else TIMED_RETRAININGS
    users = cell.explainable_users[:count].tolist()
    deletions = [Deletion(user, (int(cell.train.history(user)[0]),)) for user in users]
    took = {}
    for few in dict.fromkeys(min(epochs, some) for some in TIMED_EPOCHS):
        fewer = {"epochs": 1, settings.passes: few}  # a warm retraining has the original's too, which is trained once
        short = settings.model_copy(update=fewer) if hasattr(settings, "epochs") else settings
        timed = recommender(short, cell.study.seed)
        timed.retrain(cell.train, deletions[:1])  # compiles
        started = time.process_time()  # whatever else the machine is doing
        timed.retrain(cell.train, deletions)
        took[few] = time.process_time() - started
    fewest, most = min(took), max(took)
    each = (took[most] - took[fewest]) / (most - fewest) if most > fewest else 0.0
    return (took[most] + max(each, 0.0) * (epochs - most)) / len(deletions)


def estimate(study: StudyConfig, row: CellConfig, folder: Path) -> dict[str, str | int | float]:
    """Retrainings (at most), core-hours of training and disk (GiB, uncompressed) of one cell.

    Args:
        study: the whole study.
        row: the cell.
        folder: where its dataset is kept, once for all cells.

    Raises:
        DataError: the dataset cannot be obtained.
    """
    cell = Cell(study.of(row.dataset, row.model), row.dataset, row.model, folder, makes=True)
    if not cell.path(paths.RATINGS).exists():
        dataset(cell)
    first = simulated(cell)
    retrained, seconds = first + verified(cell) + (analysed(cell) if row.analysed else 0), seconds_each(cell)
    row_bytes = 4 * study.counterfactual.n_targets * len(schemas.OUTCOMES.same_length)
    return {
        "dataset": row.dataset,
        "model": row.model,
        "retrainings (at most)": retrained,
        "ms each": round(seconds * 1e3, 2),
        "core-hours": round(retrained * seconds / 3600, 2),
        "disk, GiB": round(first * row_bytes / 2**30, 2),
    }


def main() -> None:
    """Print the estimate of every cell of the study that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.workflow.plan", description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path, help="its YAML")
    given = parser.parse_args()
    numba.set_num_threads(1)
    try:
        study = load_study(given.study)
        with tempfile.TemporaryDirectory() as folder:
            estimates = pd.DataFrame([estimate(study, cell, Path(folder)) for cell in study.cells])
    except (OSError, ValueError, FloatingPointError, RuntimeError) as error:  # of settings, readers and training
        sys.exit(str(error))
    print(estimates.to_markdown(index=False))
    print(
        f"{estimates['core-hours'].sum():.1f} core-hours of training alone, on one core of this machine; notebooks, "
        "surrogates and influence functions come on top."
    )


if __name__ == "__main__":
    main()
