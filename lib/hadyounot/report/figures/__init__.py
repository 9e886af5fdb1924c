"""The study's figures, drawn from its tables and from what cells hold: ``FIGURES`` says what each reads.

What notebooks draw of their own stage is here too: ``generation_time``, ``validity``, ``learning_curve`` and so on are
attributes of this package.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "slope": "lists",  # a module of the same name would hide it
    "user_ratings": "figure2",
    "validity": "figure6",
    "validity_against_seconds": "verification",
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
        reads: files that it is drawn from, of ``paths``.
        analysed: whether each analysed cell has one of its own; it is of the whole study otherwise.
        family: of the ablations that it shows.
    """

    module: str
    reads: tuple[str, ...]
    analysed: bool = False
    family: str = ""


def _table(name: str) -> tuple[str]:
    return (paths.TABLE.format(table=name),)


_ABLATIONS = _table("ablations")

FIGURES = {
    "figure2_user_ratings": Figure("figure2", _table("table1_user_study")),
    "figure2_answers": Figure("figure2", _table("table1_answers")),
    "figure5_generation_time": Figure("figure5", (paths.GENERATION_TIME,)),
    **{
        f"figure6_validity_{kind}": Figure("figure6", (*_table(table), paths.SURROGATE_FITS))
        for kind, table in paths.VALIDITY.items()
    },
    **dict.fromkeys(
        ["methods_across_worlds", "what_decides_validity", "protocols"],
        Figure("worlds", _table("worlds") + _table("indifferent")),
    ),
    "example_card": Figure("card", (paths.EVALUATION, *paths.RATED)),
    "figure7_baseline_correlation": Figure("figure7", (paths.MEASURED, paths.CORRELATION), analysed=True),
    "figure8_tsne": Figure("figure8", (paths.PROJECTION, paths.SEPARABILITY), analysed=True),
    "validity_against_seconds": Figure(
        "verification", (paths.VERIFICATION, paths.EVALUATION, paths.GENERATION_TIME), analysed=True
    ),
    **{
        f"ablation_{family}": Figure("ablations", _ABLATIONS, True, family)
        for family in ("deletion_size", "sample_size")
    },
    "ablation_search": Figure("ablations", (*_ABLATIONS, paths.GENERATION_TIME, paths.ABLATION_TIME), True, "search"),
}


def names(study: StudyConfig) -> dict[str, tuple[str, tuple[str, str] | None]]:
    """The figures that a study has: by file name, which of ``FIGURES``, and the dataset and model that it is about."""
    kinds = {study.models[cell.model].kind for cell in study.cells}
    absent = {f"figure6_validity_{kind}" for kind in paths.VALIDITY if kind not in kinds}
    if not study.meets_the_paper:
        absent.add("figure2_user_ratings")
    if not study.answers:
        absent.add("figure2_answers")
    absent |= _absent_of_worlds(study)
    found = {}
    for name, figure in FIGURES.items():
        if name in absent or figure.family not in ("", *study.ablations.families):
            continue
        if not figure.analysed:
            found[name] = name, None
        for cell in study.cells if figure.analysed else ():
            if cell.analysed:
                found[f"{name}_{cell.dataset}_{cell.model}"] = name, (cell.dataset, cell.model)
    return found


def _absent_of_worlds(study: StudyConfig) -> set[str]:
    """Those on worlds that nothing is in: see ``figures.worlds``."""
    own = [study.place(cell.dataset, cell.model) for cell in study.cells]
    own = [where for where in own if not (where["split_seed"] or where["model_seed"])]
    protocols, alike = {}, set()
    for where in own:
        world = where["dataset"], where["recommender"], where["world"]
        protocols.setdefault(world, set()).add(where["protocol"])
        alike |= {world} if (where["protocol"], where["reading"]) == ("pinned", "unseen") else set()
    present = {
        "methods_across_worlds": len(alike) > 1,
        "what_decides_validity": bool(alike),
        "protocols": any(len(some) > 1 for some in protocols.values()),
    }
    return {name for name, there in present.items() if not there}


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
