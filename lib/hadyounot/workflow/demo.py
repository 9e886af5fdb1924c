"""Lets every notebook run alone: what it would read is made by the stages before it, on the toy study."""

import atexit
import contextlib
import importlib
import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..study.cell import Cell
from ..study.config import StudyConfig, load_study
from ..study.reading import CONFIG_FOLDER


def _blocks(cell: Cell) -> None:
    from ..study.stages.simulate import simulate

    for block in cell.blocks:
        simulate(cell, block)


def _families(cell: Cell) -> None:
    from ..study.stages.ablate import ablate

    for family in cell.study.ablations.families:
        ablate(cell, family)


def _stage(module: str, name: str) -> Callable[[Cell], Any]:
    def run(cell: Cell) -> None:
        getattr(importlib.import_module(f"..study.stages.{module}", __package__), name)(cell)

    return run


STAGES: dict[str, Callable[[Cell], Any]] = {  # by notebook, in the order of what each reads of the others
    "10_dataset": _stage("dataset", "dataset"),
    "20_recommender": _stage("recommender", "recommender"),
    "30_simulate": _blocks,
    "40_surrogates": _stage("learn", "surrogates"),
    "50_explain": _stage("explain", "explanations"),
    "60_evaluate": _stage("verify", "evaluation"),
    "65_naive": _stage("naive", "naive"),
    "75_correlation": _stage("correlate", "correlate"),
    "70_ablations": _families,
    "80_tsne": _stage("project", "project"),
}


def open_cell(notebook: str, settings: dict[str, Any], config: str, dataset: str, model: str, folder: str) -> Cell:
    """The cell that a notebook works on.

    Args:
        notebook: which of ``STAGES`` asks, or what comes after them.
        settings: what the workflow gives: the part of the study that the notebook is made from, see
            ``StudyConfig.part``. Empty where it is opened by hand.
        config: by hand: name of a study in config/, or the path of one.
        dataset: name of the cell's dataset.
        model: name of the cell's model.
        folder: of the run. By hand, that of a finished one, which is only read; or "" for a new temporary one, made up
            to this notebook.
    """
    if settings:
        return Cell(StudyConfig.given(settings), dataset, model, Path(folder), makes=True)
    named = CONFIG_FOLDER / f"{config}.yaml"
    study = load_study(named if named.exists() else Path(config)).of(dataset, model)
    if folder:
        return Cell(study, dataset, model, Path(folder))
    cell = Cell(study, dataset, model, Path(tempfile.mkdtemp(prefix="hadyounot-")), makes=True)
    atexit.register(shutil.rmtree, cell.folder, ignore_errors=True)
    for earlier, make in STAGES.items():
        if earlier == notebook:
            break
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            make(cell)
    return cell
