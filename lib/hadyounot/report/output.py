"""Writes tables and figures of a finished run, each with its provenance."""

from collections.abc import Iterable
from pathlib import Path

from ..study import paths, store
from ..study.cell import Cell
from ..study.config import CellConfig, StudyConfig, digest
from ..study.reading import ConfigError, nearest
from . import figures, tables

EXAMPLES = "examples"
_EXAMPLES = tables.Made("examples", (paths.EVALUATION, *paths.RATED))


def names(study: StudyConfig) -> list[str]:
    """All tables and figures that a study has, explanations in words among them."""
    return [*tables.names(study), EXAMPLES, *figures.names(study)]


def needs(name: str, study: StudyConfig) -> list[str]:
    """The files below the folder of a run that one of ``names`` is made from; answers of people are not among them."""
    if drawn := figures.names(study).get(name):
        figure, place = figures.FIGURES[drawn[0]], drawn[1]
        cells = [cell for cell in study.cells if place in (None, (cell.dataset, cell.model))]
        return _files(figure.reads, cells, study, [figure.family])
    made = _EXAMPLES if name == EXAMPLES else tables.TABLES[name]
    cells = [cell for cell in study.cells if made.kind in ("", study.models[cell.model].kind)]
    families = [each for each in study.ablations.families if each in (made.families or study.ablations.families)]
    analysed = [cell for cell in cells if cell.analysed]
    return _files(made.of_all, cells, study) + _files(made.of_analysed, analysed, study, families)


def _files(
    patterns: Iterable[str], cells: Iterable[CellConfig], study: StudyConfig, families: Iterable[str] = ()
) -> list[str]:
    """What the ``paths`` are of these cells, each once."""
    found = []
    for cell in cells:
        blocks = Cell(study.of(cell.dataset, cell.model), cell.dataset, cell.model, Path()).blocks
        parts = {"{block}": [{"block": each} for each in blocks], "{family}": [{"family": each} for each in families]}
        for pattern in patterns:
            of_part = next((each for name, each in parts.items() if name in pattern), [{}])
            found += [pattern.format(dataset=cell.dataset, model=cell.model, **part) for part in of_part]
    return list(dict.fromkeys(found))


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
