"""Every notebook as a reader meets it: clean, self-explaining, and running alone when it is opened in its folder."""

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from hadyounot.report import output, writing
from hadyounot.study import paths
from hadyounot.study.cell import Cell
from hadyounot.workflow import demo
from hadyounot.workflow.notebook import run

FOLDER = paths.PROJECT / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))

each_book = pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.stem)


def cells(book, kind="code"):
    """Sources of the notebook's cells of a kind."""
    content = json.loads(book.read_text())["cells"]
    return ["".join(cell["source"]) for cell in content if cell["cell_type"] == kind]


def parameters(book):
    """Source of the parameters cell."""
    content = json.loads(book.read_text())["cells"]
    (source,) = ("".join(cell["source"]) for cell in content if "parameters" in cell["metadata"].get("tags", []))
    return source


def test_there_are_notebooks_from_data_to_figures():
    assert {"10", "20", "30", "40", "50", "60", "90", "91"} <= {book.stem[:2] for book in BOOKS}
    assert [book.stem for book in BOOKS] == sorted([*demo.STAGES, *demo.REPORTS, "explore"])


@each_book
def test_title_first_finding_last(book):
    texts = cells(book, "markdown")
    assert json.loads(book.read_text())["cells"][0]["cell_type"] == "markdown"
    assert re.match(rf"# {book.stem.partition('_')[0].capitalize()} · \w", texts[0])
    headings = re.findall(r"^#+ (.+)", "\n".join(texts), re.M)
    last = {"95_verdict": "What a practitioner should use", "explore": "What to try"}
    assert headings[-1] == last.get(book.stem, "What we found")


@each_book
def test_one_parameters_cell_typed_and_commented(book):
    source = parameters(book)
    for line, node in zip(source.splitlines(), ast.parse(source).body, strict=True):
        assert isinstance(node, ast.AnnAssign), line
        assert re.search(r"  # \S.{10,}", line), f"no comment: {line}"
        assert ast.literal_eval(node.value) is not None, line


FORBIDDEN = {
    "a magic or a shell command": r"^\s*[%!]|get_ipython|pip install",
    "a way out that looks like success": r"\bsys\.exit\b|\bexit\(|\bquit\(|os\._exit",
    "an absolute path": r"""["'](?:/|~/|[A-Za-z]:\\)\w""",
    "a step up the folders": r"\.\./",
}


@each_book
def test_no_code_that_ties_it_to_a_machine_or_hides_a_failure(book):
    for source in cells(book):
        ast.parse(source)
        for what, pattern in FORBIDDEN.items():
            assert not re.search(pattern, source, re.M), what


@each_book
def test_no_outputs_and_nothing_of_the_machine_that_saved_it(book):
    content = json.loads(book.read_text())  # test_project.py asks nbstripout too
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in content["cells"])
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert content["metadata"]["language_info"] == {"name": "python"}


def tree():
    """Everything in the project that a run could leave behind, by path, with its time."""
    skipped = {".git", ".venv", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__", "runs"}
    found = {}
    for folder, folders, names in os.walk(paths.PROJECT):
        folders[:] = [name for name in folders if name not in skipped and not name.endswith(".egg-info")]
        here = Path(folder)
        found |= {here / name: (here / name).stat().st_mtime_ns for name in names if here.name != "tests"}
    return found


def read_through(book, **given):
    """Run its cells in this process, ``given`` in place of some defaults: in kernels of their own the smoke study has
    every notebook run.
    """
    first, *others = cells(book)  # the parameters
    plt.switch_backend("agg")
    exec("\n".join([first, *(f"{name} = {value!r}" for name, value in given.items()), *others]), {})
    plt.close("all")


@pytest.fixture(scope="module")
def torch_import():
    """Processor seconds that importing torch takes here and now: a unit that a slow or busy machine stretches too."""
    timing = "import time; started = time.process_time(); import torch; print(time.process_time() - started)"
    return float(subprocess.run([sys.executable, "-c", timing], check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@each_book
def test_runs_alone_with_its_defaults_and_leaves_nothing_in_the_repository(book, torch_import, tmp_path, monkeypatch):
    monkeypatch.chdir(FOLDER)  # where JupyterLab starts kernels
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, started = tree(), time.process_time()
    read_through(book)
    used = time.process_time() - started
    assert tree() == before
    assert used < 12 * torch_import  # 15 s of a machine that imports torch in 1.25 s


@pytest.mark.slow
def test_what_a_notebook_made_to_run_alone_is_gone_with_its_kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run(FOLDER / "30_simulate.ipynb", {}, tmp_path / "log.ipynb")
    assert [path.name for path in tmp_path.iterdir()] == ["log.ipynb"]


@pytest.fixture(scope="module")
def finished():
    """The folder of a finished toy run, tables and figures too."""
    made = demo.open_report("90_tables", {}, "toy", "")
    (cell,) = Cell.all_of(made.study, made.folder)
    demo.STAGES["85_survey"].run(dataclasses.replace(cell, makes=True))
    for name in output.names(made.study):
        writing.write(name, made.study, made.folder)
    return made.folder


@pytest.mark.slow
@each_book
def test_opened_on_a_finished_run_it_only_reads(book, finished):
    def everything():
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished.rglob("*") if path.is_file()}

    before = everything()
    read_through(book, folder=str(finished))
    assert everything() == before
