"""Lets every notebook run alone: what it would read is made by the stages before it, on the toy study."""

import atexit
import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..report import figures, output, writing
from ..study import paths, store
from ..study.cell import Cell
from ..study.config import StudyConfig, load_study
from ..study.datasets import at_hand, data_folder
from ..study.stages import STAGES
from ..study.yaml_file import CONFIG_FOLDER

_EVERYTHING = tuple(name for name in STAGES if name != "85_survey")
REPORTS = {
    "86_user_study": (),
    "90_tables": _EVERYTHING,
    "91_figures": tuple(stage for stage in _EVERYTHING if stage != "65_naive"),  # which no figure is drawn from
    "95_verdict": ("70_ablations", "80_tsne"),
}
"""Stages that notebooks on tables and figures read of."""


def open_cell(notebook: str, settings: dict[str, Any], config: str, dataset: str, model: str, folder: str) -> Cell:
    """The cell that a notebook works on.

    Args:
        notebook: which of ``STAGES`` asks.
        settings: what the workflow gives: the part of the study that the notebook is made from, see
            ``StudyConfig.part``. Empty where it is opened by hand.
        config: by hand: name of a study in config/, or the path of one.
        dataset: name of the cell's dataset.
        model: name of the cell's model.
        folder: of the run. By hand, that of a finished one, which is only read; or "" for a new temporary one, with
            what the notebook reads.
    """
    _show_whole_texts()
    if settings:
        return Cell(StudyConfig.given(settings), dataset, model, Path(folder), makes=True)
    study = _study(config)
    if folder:
        return Cell(study.of(dataset, model), dataset, model, Path(folder), file=_file(config))
    return Cell(
        study.of(dataset, model), dataset, model, _made(study, [(dataset, model)], STAGES[notebook].needs), makes=True
    )


def open_cells(settings: dict[str, Any], config: str, folder: str) -> list[Cell]:
    """The cells to choose from, with their ratings split; arguments as ``open_cell``'s.

    By hand those of the study and, last, of the toy world: of a finished run where one is named, else as far as their
    data are at hand.
    """
    if settings:
        return Cell.all_of(StudyConfig.given(settings), Path(folder))
    found = []
    for each in dict.fromkeys([config, "toy"]):
        study = _study(each)
        one_each = {cell.dataset: cell.model for cell in study.cells}
        ready = [pair for pair in one_each.items() if at_hand(pair[0], data_folder(), study.datasets)]
        run = Path(folder) if folder else _made(study, ready, ["10_dataset"])
        found += [cell for cell in Cell.all_of(study, run, _file(each)) if cell.path(paths.RATINGS).exists()]
    if not found:
        raise store.StoreError(f"{folder} is no folder of a run of {config}: name that of one, or leave folder empty")
    return found


def _show_whole_texts() -> None:
    """In tables of notebooks: pandas cuts them after 50 characters."""
    pd.set_option("display.max_colwidth", None)


def _file(config: str) -> Path:
    named, path = CONFIG_FOLDER / f"{config}.yaml", Path(config)
    return path if not named.exists() and (path.suffix or path.exists()) else named  # of a misspelt name too


def _study(config: str) -> StudyConfig:
    return load_study(_file(config))


def _silently() -> contextlib.AbstractContextManager:
    silence = contextlib.ExitStack()
    silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
    silence.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return silence


def _made(study: StudyConfig, cells: list[tuple[str, str]], stages: Iterable[str]) -> Path:
    """A temporary folder with what some stages make of some cells, and whatever they read."""
    folder = Path(tempfile.mkdtemp(prefix="hadyounot-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def make(cell: Cell, stages: Iterable[str], done: set[str]) -> None:
        for name in stages:
            if name not in done:
                make(cell, STAGES[name].needs, done)
                with _silently():
                    STAGES[name].run(cell)
                done.add(name)

    for dataset, model in cells:
        make(Cell(study.of(dataset, model), dataset, model, folder, makes=True), stages, set())
    return folder


@dataclass(frozen=True)
class Report:
    """The tables and figures of a run.

    Attributes:
        study: whose run.
        folder: where it is.
        makes: whether one is made when it is first shown, as of a toy run; else it is there, and only read.
        file: of the study, if known: for what is not there.
    """

    study: StudyConfig
    folder: Path
    makes: bool = False
    file: Path | None = None

    def table(self, *names: str) -> str:
        """The Markdown twins of those tables that the study has."""
        there = [name for name in names if name in output.names(self.study)]
        twins = [str(Path(paths.TABLE.format(table=name)).with_suffix(".md")) for name in map(self._ready, there)]
        return "\n\n".join(self._there(twin).read_text(encoding="utf-8") for twin in twins)

    def show(self, *kinds: str) -> None:
        """Display those figures that the study has, of every cell that has one."""
        from IPython.display import Image, display

        for name, (kind, _) in figures.names(self.study).items():
            if kind in kinds:
                picture = self.folder / paths.FIGURE.format(figure=name)
                if self.makes:
                    tables = [path for path in map(Path, figures.FIGURES[kind].reads) if path.parts[0] == "tables"]
                    for table in tables:
                        self._ready(table.stem)
                    with _silently():  # the PDF, which takes longer, is not shown
                        figures.save(figures.draw(name, self.study, self.folder), picture.with_suffix(""), ["png"])
                display(Image(str(self._there(paths.FIGURE.format(figure=name)))))

    def _there(self, path: str) -> Path:
        if not (self.folder / path).exists():
            command = paths.command(path, self.folder, self.file)
            raise store.StoreError(
                f"{self.folder / path} is not there: this run has not come so far; make it: {command}"
            )
        return self.folder / path

    def _ready(self, table: str) -> str:
        """The same name, once the table is there."""
        if self.makes:
            with _silently():
                writing.write(table, self.study, self.folder)
        return table


def open_report(notebook: str, settings: dict[str, Any], config: str, folder: str) -> Report:
    """The tables and figures that a notebook of ``REPORTS`` shows; arguments as ``open_cell``'s."""
    _show_whole_texts()
    if settings:
        return Report(StudyConfig.given(settings), Path(folder))
    study = _study(config)
    if folder:
        return Report(study, Path(folder), file=_file(config))
    return Report(study, _made(study, [(cell.dataset, cell.model) for cell in study.cells], REPORTS[notebook]), True)
