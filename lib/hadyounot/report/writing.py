"""Writes tables and figures of a finished run, each with its provenance."""

from pathlib import Path

from ..settings import ConfigError
from ..study import paths, store
from ..study.cell import Cell
from ..study.config import StudyConfig, digest
from ..study.yaml_file import nearest
from . import figures, output, tables
from .finding import finding
from .page import page
from .tables.examples import examples


def write(name: str, study: StudyConfig, folder: Path) -> list[Path]:
    """Write one of ``names`` as ``written`` says.

    Returns:
        the files; beside those of a suffix of ``TOLD`` lies their provenance.

    Raises:
        ConfigError: the study has no table or figure of this name.
        StoreError: what it is made from is missing or damaged, or it is not as its schema says; it is not written.
    """
    known = output.names(study)
    if name not in known:
        near = nearest(name, known)
        raise ConfigError(
            f"{name}: the study has no such table or figure; it has {', '.join(known)}"
            + (f"; write {near}" if near else "")
        )
    files = {kind: folder / path for kind, path in output.written(name, study).items()}
    if name in figures.names(study):
        figures.save(figures.draw(name, study, folder), files["png"].with_suffix(""))
    elif name == "finding":
        _text(files["rst"], _finding(study, folder))
    else:
        markdown = (
            examples(Cell.all_of(study, folder)) if name == "examples" else _table(name, study, folder, files["csv"])
        )
        _text(files["md"], markdown)
        _text(files["html"], page(name, markdown))
    for kind, file in files.items():
        if kind in output.TOLD:
            store.provenance(file, digest(study), study.seed)
    return list(files.values())


def _table(name: str, study: StudyConfig, folder: Path, file: Path) -> str:
    """Write a table, and return its Markdown twin."""
    cells, made = Cell.all_of(study, folder), tables.table(name)
    frame = made.frame(cells, study)
    markdown = made.markdown(frame, cells, study)
    store.write_csv(file, frame, made.schema)
    return markdown


def _finding(study: StudyConfig, folder: Path) -> str:
    shown = [next(iter(output.written(each, study).values())) for each in output.names(study)]
    shown.append(paths.HTML.format(cell="all", notebook="explore"))
    return finding(tables.read("worlds", folder), Cell.all_of(study, folder), study, shown)


def _text(path: Path, text: str) -> None:
    with store.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
