"""Lets every notebook run alone: what it would read is made by running the notebooks before it on the toy study."""

import atexit
import contextlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from ..study import paths
from ..study.cell import Cell
from ..study.config import load_study
from ..study.reading import CONFIG_FOLDER
from ..study.variants import places

NOTEBOOKS = (
    *("10_dataset", "20_recommender", "30_simulate", "40_surrogates", "50_explain", "60_evaluate"),
    *("65_naive", "75_correlation", "70_ablations", "80_tsne", "90_tables", "91_figures"),  # 70 reads what 75 wrote
)


def open_cell(notebook: str, config: str, dataset: str, model: str, folder: str) -> Cell:
    """The cell that a notebook works on.

    Args:
        notebook: which of ``NOTEBOOKS`` asks.
        config: name of a study in config/, or the path of one.
        dataset: name of the cell's dataset.
        model: name of the cell's model.
        folder: the folder of a run whose earlier stages are there; "" for a new temporary one, in which the
            notebooks before this one are run first.
    """
    named = CONFIG_FOLDER / f"{config}.yaml"
    study = load_study(named if named.exists() else Path(config))
    if folder:
        return Cell(study, dataset, model, Path(folder))
    cell = Cell(study, dataset, model, Path(tempfile.mkdtemp(prefix="hadyounot-")))
    atexit.register(shutil.rmtree, cell.folder, ignore_errors=True)
    given = {"config": config, "dataset": dataset, "model": model, "folder": str(cell.folder)}
    for earlier in NOTEBOOKS[: NOTEBOOKS.index(notebook)]:
        for each in _runs(cell, earlier):
            _run_silently(earlier, given | each)
    return cell


def _runs(cell: Cell, notebook: str) -> list[dict[str, str]]:
    """What a notebook is given beside the cell, each time that it runs on it."""
    if notebook == "30_simulate":
        return [{"block": block} for block in cell.blocks]
    if notebook == "70_ablations":
        return [{"family": family, "variant": variant} for family, variant in places(cell.study.ablations)]
    return [{}]


def _run_silently(notebook: str, given: dict[str, Any]) -> None:
    content = json.loads((paths.PROJECT / paths.NOTEBOOK.format(notebook=notebook)).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), notebook, "exec"), names)
                if "parameters" in cell["metadata"].get("tags", []):
                    names.update({name: value for name, value in given.items() if name in names})
    plt.close("all")
