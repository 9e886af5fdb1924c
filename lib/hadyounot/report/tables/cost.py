"""What each stage of a run cost."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.stages import STAGES
from .common import Table, analysed, pipes, texts


def _simulated(cell: Cell) -> int:
    rows = [
        pq.read_metadata(cell.path(paths.OUTCOMES, block=block)).num_rows for block in cell.study.counterfactual.blocks
    ]
    return sum(rows) + len(rows)  # each block trains the original too


def _tried(cell: Cell) -> int:
    tried = cell.read(paths.NAIVE)
    first = tried[tried["top_k"] == tried["top_k"].min()]  # each deletion is judged at every K, and retrained once
    return int(first["n_subsets"].sum()) + (len(first) > 0)  # and the original


def _proven(cell: Cell) -> int:
    return int(cell.read(paths.VERIFICATION)["retrained"].sum()) + 1  # the original


def _ablated(cell: Cell) -> int:
    return sum(cell.read(paths.ABLATION_FITS, family=each)["retrained"] for each in cell.study.ablations.families)


def _correlated(cell: Cell) -> int:
    return pq.read_metadata(cell.path(paths.CORRELATION_OUTCOMES)).num_rows + 1  # the original


RETRAINED: dict[str, Callable[[Cell], int]] = {
    "30_simulate": _simulated,
    "40_surrogates": lambda cell: cell.read(paths.SURROGATE_FITS)["retrained"],
    "60_evaluate": lambda cell: cell.read(paths.RETRAININGS)["retrained"],
    "65_naive": _tried,
    "67_verification": _proven,
    "70_ablations": _ablated,
    "75_correlation": _correlated,
}
"""Models that a stage retrained for a cell."""


PLAIN = {
    "10_dataset": "dataset",
    "20_recommender": "recommender",
    "30_simulate": "simulated deletions",
    "40_surrogates": "surrogates",
    "50_explain": "explanations",
    "60_evaluate": "evaluation",
    "65_naive": "smallest deletions",
    "67_verification": "proven explanations",
    "70_ablations": "ablations",
    "75_correlation": "correlation",
    "80_tsne": "t-SNE",
    "85_survey": "survey",
}
"""Stages in words."""


def _benchmarks(cell: Cell, stage: str) -> list[Path]:
    """Snakemake's files of the jobs of a stage."""
    place = cell.dataset if stage == "10_dataset" else f"{cell.dataset}/{cell.model}"
    notebooks = ["_".join(filter(None, [stage, part])) for part in STAGES[stage].of(cell)]
    return [cell.path(paths.BENCHMARK, cell=place, notebook=notebook) for notebook in notebooks]


def runtime(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.RUNTIME``: what each stage cost, over all cells, from Snakemake's benchmark files.

    A stage is left out where one of its jobs has no such file, as after running a notebook by hand.
    """
    rows = []
    for stage in sorted(STAGES):
        theirs = analysed(cells) if STAGES[stage].analysed else cells
        jobs = {job: None for cell in theirs for job in _benchmarks(cell, stage)}  # cells may share a dataset
        if not jobs or not all(job.exists() for job in jobs):
            continue
        measured = pd.concat([pd.read_csv(job, sep="\t") for job in jobs])
        seconds, models, work = measured["s"].sum(), 0, 0
        for cell in theirs if stage in RETRAINED else ():
            retrained = RETRAINED[stage](cell)
            models += retrained
            settings = study.models[cell.model]
            work += retrained * getattr(settings, settings.passes, 0) * cell.read(paths.DATASET)["train"]
        rows.append(
            {
                "stage": stage,
                "minutes": seconds / 60,
                "peak_mib": measured["max_rss"].max(),
                "retrainings": models or None,
                "ns_per_rating_and_model": seconds * 1e9 / work if work else None,
            }
        )
    types = {"retrainings": "Int64", "ns_per_rating_and_model": "float64"}
    return pd.DataFrame(rows, columns=list(schemas.RUNTIME.columns)).astype(types)


def markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.RUNTIME``, rounded."""
    shown = pd.DataFrame(
        {
            "stage": frame["stage"].map(PLAIN),
            "notebook": frame["stage"],
            "wall time": [f"{each / 60:.1f} h" if each > 120 else f"{each:.1f} min" for each in frame["minutes"]],
            "peak MiB": texts(frame["peak_mib"], "{:,.0f}"),
            "models retrained": texts(frame["retrainings"], "{:,.0f}"),
            "ns per rating, epoch and model": texts(frame["ns_per_rating_and_model"], "{:.2f}"),
        }
    )
    note = (
        "Wall time summed over a stage's jobs, which may run side by side. The last column divides all of it, start "
        "of the kernel included, by the retraining done: an upper bound. What notebook 50 retrains to prove "
        "explanations is not counted.\n"
    )
    return f"{note}\n{pipes(shown)}"


TABLES = {"runtime": Table(schemas.RUNTIME, runtime, lambda frame, cells, study: markdown(frame))}
