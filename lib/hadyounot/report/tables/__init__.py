"""The study's tables: data frames from what cells hold, and their Markdown twins, laid out like the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...study import paths
from ...study.config import StudyConfig

if TYPE_CHECKING:
    import pandas as pd

    from .common import Table


@dataclass(frozen=True)
class Made:
    """Where one table is made, and the files, of ``paths``, that it is made from.

    Attributes:
        module: its ``TABLES`` has it by name: imported when it is asked for, as each costs time.
        of_all: what it reads of each cell,
        of_analysed: and of each that is analysed: of every family of ablations, where a file is of one;
        of_family: and by family what it reads of that one alone, where the study has it.
        kind: of the recommenders whose cells it is about; "" for all.
    """

    module: str
    of_all: tuple[str, ...] = ()
    of_analysed: tuple[str, ...] = ()
    of_family: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = ""


_VALIDITY = paths.EVALUATION, paths.RETRAININGS, paths.SURROGATE_FITS

TABLES = {
    "table1_user_study": Made("table1"),  # the study's published numbers alone
    "table1_answers": Made("table1"),  # the folder of people's answers that the study names
    "table2_datasets": Made("study", (paths.DATASET,)),
    **{table: Made("validity", _VALIDITY, kind=kind) for kind, table in paths.VALIDITY.items()},
    "mcnemar": Made("validity", (paths.EVALUATION,)),
    "naive": Made("naive", (), (paths.NAIVE,)),
    "verification": Made("verification", (), (paths.VERIFICATION, paths.EVALUATION)),
    "ablations": Made(
        "ablations", (), (paths.EVALUATION, paths.SURROGATE_QUALITY, paths.ABLATION, paths.ABLATION_FITS)
    ),
    "recommenders": Made("study", (paths.QUALITY,)),
    "signal": Made("study", (paths.SIGNAL,)),
    "sutva": Made("study", (paths.SIGNAL,)),
    "worlds": Made("worlds", (paths.EVALUATION, paths.QUALITY), of_family={"reading": (paths.ABLATION,)}),
    "replication": Made("worlds", (paths.EVALUATION,)),
    "indifferent": Made("worlds", (paths.SURROGATE_FITS,)),
    "renumbered": Made("worlds", (paths.EVALUATION, *paths.RATED)),
    "correlation": Made("analyses", (), (paths.CORRELATION,)),
    "surrogate_quality": Made("analyses", (), (paths.SURROGATE_QUALITY,)),
    "separability": Made("analyses", (), (paths.SEPARABILITY,)),
    "verdict": Made(
        "verdict",
        (paths.DATASET, paths.EVALUATION, paths.GENERATION_TIME),
        (paths.CORRELATION, paths.SEPARABILITY, paths.ABLATION),
        {"search": (paths.ABLATION_TIME,)},
    ),
    # all stages, as Snakemake's own files of what each took are no output that could be named
    "runtime": Made(
        "cost",
        (paths.DATASET, paths.QUALITY, paths.OUTCOMES, paths.SURROGATE_FITS, paths.EXPLANATIONS, paths.RETRAININGS),
        (paths.NAIVE, paths.VERIFICATION, paths.CORRELATION_OUTCOMES, paths.SEPARABILITY, paths.ABLATION_FITS),
    ),
}


def names(study: StudyConfig) -> list[str]:
    """The tables that a study has."""
    kinds = {study.models[cell.model].kind for cell in study.cells}
    absent = {table for kind, table in paths.VALIDITY.items() if kind not in kinds}
    if not any(cell.analysed for cell in study.cells):
        absent |= {name for name, made in TABLES.items() if made.of_analysed and not made.of_all}
    if not study.meets_the_paper:
        absent |= {"table1_user_study", "verdict"}
    if not study.answers:
        absent.add("table1_answers")
    if not study.repetitions():
        absent.add("replication")
    if "rebuilt" not in study.protocols:
        absent.add("renumbered")
    return [name for name in TABLES if name not in absent]


def table(name: str) -> "Table":
    """How the table is made.

    Raises:
        KeyError: there is no such table.
    """
    return import_module(f".{TABLES[name].module}", __name__).TABLES[name]


def read(name: str, folder: Path) -> "pd.DataFrame":
    """A table of the run in this folder.

    Raises:
        StoreError: it is damaged, or not there.
    """
    from ...study import store  # slow, and the workflow asks for names alone

    path = Path(paths.TABLE.format(table=name))
    try:
        return store.read_csv(folder / path, table(name).schema)
    except FileNotFoundError:
        command = paths.command(str(path), folder, None)
        raise store.StoreError(f"{folder / path} is not there; make it: {command}") from None
