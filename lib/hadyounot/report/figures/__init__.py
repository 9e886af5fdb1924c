"""The study's figures, drawn from its tables and from what cells hold.

What each reads, by the names of ``study.paths``:

    figure2_user_ratings        tables/table1_user_study.csv
    figure5_generation_time     GENERATION_TIME of its cell
    figure6_validity_{kind}     tables/{VALIDITY[kind]}.csv
    figure7_baseline_correlation
                                MEASURED and CORRELATION of its cell
    figure8_tsne                PROJECTION and SEPARABILITY of its cell
    ablation_deletion_size, ablation_sample_size
                                tables/ablations.csv
    ablation_search             tables/ablations.csv; GENERATION_TIME and ABLATION_TIME (family search) of its cell
    what_decides_validity, protocols
                                tables/worlds.csv
    example_card                EVALUATION, RATINGS, USERS, ITEMS of all cells, and two models retrained

What notebooks draw of their own stage is here too: ``generation_time``, ``validity``, ``learning_curve`` and so on are
attributes of this package.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...study import paths
from ...study.config import StudyConfig

if TYPE_CHECKING:
    from matplotlib import figure

_HOMES = {  # imported when first used: drawing takes seconds to import
    "baseline_correlation": "figure7",
    "cross_validation": "stages",
    "effects_histogram": "stages",
    "generation_time": "figure5",
    "learning_curve": "stages",
    "projection": "figure8",
    "rating_histograms": "stages",
    "save": "saving",
    "slope": "slope",
    "user_ratings": "figure2",
    "validity": "figure6",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


@dataclass(frozen=True)
class Figure:
    """Where one figure is drawn.

    Attributes:
        module: its ``FIGURES`` has, by name, (study, cells, folder) -> the figure; of one cell where it is about one.
        cells: which cells have a figure each; "" where one is of the whole study.
        family: of the ablations that it shows.
    """

    module: str
    cells: Literal["", "all", "analysed"] = ""
    family: str = ""


FIGURES = {
    "figure2_user_ratings": Figure("figure2"),
    "figure5_generation_time": Figure("figure5", "all"),
    **{f"figure6_validity_{kind}": Figure("figure6") for kind in paths.VALIDITY},
    "what_decides_validity": Figure("worlds"),
    "protocols": Figure("worlds"),
    "example_card": Figure("card"),
    "figure7_baseline_correlation": Figure("figure7", "analysed"),
    "figure8_tsne": Figure("figure8", "analysed"),
    "ablation_deletion_size": Figure("ablations", "analysed", "deletion_size"),
    "ablation_search": Figure("ablations", "analysed", "search"),
    "ablation_sample_size": Figure("ablations", "analysed", "sample_size"),
}


def names(study: StudyConfig) -> dict[str, tuple[str, tuple[str, str] | None]]:
    """The figures that a study has: by file name, which of ``FIGURES``, and the dataset and model that it is about."""
    kinds = {study.models[cell.model].kind for cell in study.cells}
    absent = {f"figure6_validity_{kind}" for kind in paths.VALIDITY if kind not in kinds}
    if len(study.protocols) == 1:
        absent.add("protocols")
    found = {}
    for name, figure in FIGURES.items():
        if name in absent or figure.family not in ("", *study.ablations.families):
            continue
        if not figure.cells:
            found[name] = name, None
        for cell in study.cells if figure.cells else ():
            if cell.analysed or figure.cells == "all":
                found[f"{name}_{cell.dataset}_{cell.model}"] = name, (cell.dataset, cell.model)
    return found


def draw(name: str, study: StudyConfig, folder: Path) -> "figure.Figure":
    """One of ``names`` of a finished run.

    Raises:
        KeyError: the study has no such figure.
        StoreError: what it is drawn from is not there.
    """
    from ...study.cell import Cell

    figure, place = names(study)[name]
    cells = [cell for cell in Cell.all_of(study, folder) if place in (None, (cell.dataset, cell.model))]
    return import_module(f".{FIGURES[figure].module}", __name__).FIGURES[figure](study, cells, folder)
