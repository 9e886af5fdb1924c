"""The tables, texts and figures that a study has: the files that they are written as, and made from."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..study import paths
from ..study.config import CellConfig, StudyConfig
from . import figures, tables


class Text(NamedTuple):
    """What is neither a table nor a figure: what it reads of every cell, and the suffixes that it is written with."""

    reads: tuple[str, ...]
    kinds: tuple[str, ...]


TEXTS = {
    "examples": Text((paths.EVALUATION, *paths.RATED), ("html", "md")),  # explanations in words
    "finding": Text((paths.TABLE.format(table="worlds"), paths.SURROGATE_FITS), ("rst",)),  # the report's first page
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
        blocks = study.of(cell.dataset, cell.model).counterfactual.blocks
        parts = {"{block}": [{"block": each} for each in blocks], "{family}": [{"family": each} for each in families]}
        for pattern in patterns:
            of_part = next((each for name, each in parts.items() if name in pattern), [{}])
            found += [pattern.format(dataset=cell.dataset, model=cell.model, **part) for part in of_part]
    return list(dict.fromkeys(found))
