"""Writes tables and figures of a finished run, each with its provenance."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..settings import ConfigError
from ..study import paths, store
from ..study.cell import Cell
from ..study.config import CellConfig, StudyConfig, digest
from ..study.yaml_file import nearest
from . import figures, tables


class Text(NamedTuple):
    """What is neither a table nor a figure: what it reads of every cell, and the suffixes that it is written with."""

    reads: tuple[str, ...]
    kinds: tuple[str, ...]


TEXTS = {
    "examples": Text((paths.EVALUATION, *paths.RATED), ("html", "md")),  # explanations in words
    "finding": Text((paths.TABLE.format(table="worlds"),), ("rst",)),  # the first page of the report
}
TOLD = "csv", "png", "pdf"  # suffixes of what has its provenance beside it


def names(study: StudyConfig) -> list[str]:
    """All tables, texts and figures that a study has."""
    return [*tables.names(study), *TEXTS, *figures.names(study)]


def written(name: str, study: StudyConfig) -> dict[str, str]:
    """The files that one of ``names`` is written as, by their suffix, the one that the report shows first."""
    if name in figures.names(study):
        place, kinds = paths.FIGURE.format(figure=name), ("png", "pdf")
    elif name in TEXTS:
        place, kinds = paths.TABLE.format(table=name), TEXTS[name].kinds
    else:
        place, kinds = paths.TABLE.format(table=name), ("html", "csv", "md")
    return {kind: str(Path(place).with_suffix(f".{kind}")) for kind in kinds}


def needs(name: str, study: StudyConfig) -> list[str]:
    """The files below the folder of a run that one of ``names`` is made from; answers of people are not among them."""
    if drawn := figures.names(study).get(name):
        figure, place = figures.FIGURES[drawn[0]], drawn[1]
        cells = [cell for cell in study.cells if place in (None, (cell.dataset, cell.model))]
        return _files(figure.reads, cells, study, [figure.family])
    if name in TEXTS:
        return _files(TEXTS[name].reads, study.cells, study)
    made = tables.TABLES[name]
    cells = [cell for cell in study.cells if made.kind in ("", study.models[cell.model].kind)]
    analysed, families = [cell for cell in cells if cell.analysed], study.ablations.families
    found = _files(made.of_all, cells, study) + _files(made.of_analysed, analysed, study, families)
    for family in families:
        found += _files(made.of_family.get(family, ()), analysed, study, [family])
    return found


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
    """Write one of ``names`` as ``written`` says.

    Returns:
        the files; beside those of a suffix of ``TOLD`` lies their provenance.

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
    files = {kind: folder / path for kind, path in written(name, study).items()}
    if name in figures.names(study):
        figures.save(figures.draw(name, study, folder), files["png"].with_suffix(""))
    elif name == "finding":
        _text(files["rst"], _finding(study, folder))
    else:
        markdown = _examples(study, folder) if name == "examples" else _table(name, study, folder, files["csv"])
        _text(files["md"], markdown)
        _text(files["html"], _page(name, markdown))
    for kind, file in files.items():
        if kind in TOLD:
            store.provenance(file, digest(study), study.seed)
    return list(files.values())


def _table(name: str, study: StudyConfig, folder: Path, file: Path) -> str:
    """Write a table, and return its Markdown twin."""
    cells, made = Cell.all_of(study, folder), tables.table(name)
    frame = made.frame(cells, study)
    markdown = made.markdown(frame, cells, study)
    store.write_csv(file, frame, made.schema)
    return markdown


def _examples(study: StudyConfig, folder: Path) -> str:
    from .tables.examples import examples

    return examples(Cell.all_of(study, folder))


def _finding(study: StudyConfig, folder: Path) -> str:
    from .finding import finding

    shown = [next(iter(written(each, study).values())) for each in names(study)]
    shown.append(paths.HTML.format(cell="all", notebook="explore"))
    return finding(tables.read("worlds", folder), Cell.all_of(study, folder), study, shown)


def _page(title: str, markdown: str) -> str:
    from .page import page

    return page(title, markdown)


def _text(path: Path, text: str) -> None:
    with store.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
