"""Writes tables and figures of a finished run, each with its provenance."""

from pathlib import Path

from ..study import paths, store
from ..study.cell import Cell
from ..study.config import StudyConfig, digest
from ..study.reading import ConfigError, nearest
from . import figures, tables

EXAMPLES = "examples"


def names(study: StudyConfig) -> list[str]:
    """All tables and figures that a study has, explanations in words among them."""
    return [*tables.names(study), EXAMPLES, *figures.names(study)]


def write(name: str, study: StudyConfig, folder: Path) -> list[Path]:
    """Write one of ``names``: a table as CSV and Markdown, explanations as Markdown, a figure as PNG and PDF.

    Returns:
        the files; the Markdown twin of a table is not among them. Beside each but Markdown lies its provenance.

    Raises:
        ConfigError: the study has no table or figure of this name.
        StoreError: what it is made from is missing or damaged, or it is not as its schema says; it is not written.
    """
    known = names(study)
    if name not in known:
        near = nearest(name, known)
        raise ConfigError(
            f"{name}: the study has no such table or figure; it has {', '.join(known)}"
            + (f"; write {near}" if near else "")
        )
    if name == EXAMPLES:
        return [_text(folder / paths.EXAMPLES, _examples(study, folder))]
    files = _table(name, study, folder) if name in tables.TABLES else _figure(name, study, folder)
    for file in files:
        store.provenance(file, digest(study), study.seed)
    return files


def _examples(study: StudyConfig, folder: Path) -> str:
    from .tables.examples import examples

    return examples(Cell.all_of(study, folder))


def _table(name: str, study: StudyConfig, folder: Path) -> list[Path]:
    cells, made, path = Cell.all_of(study, folder), tables.table(name), folder / paths.TABLE.format(table=name)
    frame = made.frame(cells, study)
    text = made.markdown(frame, cells, study)
    store.write_csv(path, frame, made.schema)
    _text(path.with_suffix(".md"), text)
    return [path]


def _figure(name: str, study: StudyConfig, folder: Path) -> list[Path]:
    path = folder / paths.FIGURE.format(figure=name)
    return list(figures.save(figures.draw(name, study, folder), path.with_suffix("")))


def _text(path: Path, text: str) -> Path:
    with store.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
