"""The study's tables: data frames from what cells hold, and their Markdown twins, laid out like the paper's.

What each reads, of all cells unless said otherwise, by the names of ``study.paths``:

    table1_user_study   nothing: the study's published numbers
    table1_answers      the folder of people's answers that the study names, where it names one
    table2_datasets     DATASET
    table3_mf, table4_ncf, validity_svd, validity_blackbox
                        EVALUATION, RETRAININGS, SURROGATES, SURROGATE_FITS, of cells with such a recommender
    recommenders        QUALITY
    signal, sutva       SIGNAL
    worlds              EVALUATION, QUALITY; and of analysed cells ABLATION of the family reading, where there is one
    replication         EVALUATION
    renumbered          EVALUATION, RATINGS, USERS, ITEMS
    mcnemar             EVALUATION
    naive               NAIVE, of analysed cells
    verification        VERIFICATION, EVALUATION, of analysed cells
    ablations           EVALUATION, SURROGATE_QUALITY, and of every family ABLATION and ABLATION_FITS, of analysed cells
    correlation         CORRELATION, of analysed cells
    surrogate_quality   SURROGATE_QUALITY, of analysed cells
    separability        SEPARABILITY, of analysed cells
    verdict             DATASET, EVALUATION, GENERATION_TIME; and of analysed cells CORRELATION, SEPARABILITY, and of
                        every family ABLATION
    runtime             BENCHMARK of every stage, where there is one; DATASET, QUALITY, OUTCOMES, RETRAININGS; and of
                        analysed cells NAIVE, CORRELATION_OUTCOMES, and of every family ABLATION_FITS
    examples            EVALUATION, RATINGS, USERS, ITEMS; it is Markdown alone
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ...study import paths
from ...study.config import StudyConfig

if TYPE_CHECKING:
    from .common import Table

TABLES = {  # by name, the module that makes it: imported when it is asked for, as each costs time
    **dict.fromkeys(["table1_user_study", "table1_answers"], "table1"),
    "table2_datasets": "study",
    **dict.fromkeys(paths.VALIDITY.values(), "validity"),
    "mcnemar": "validity",
    "naive": "naive",
    "verification": "verification",
    "ablations": "ablations",
    "recommenders": "study",
    "signal": "study",
    "sutva": "worlds",
    "worlds": "worlds",
    "replication": "worlds",
    "renumbered": "worlds",
    "correlation": "analyses",
    "surrogate_quality": "analyses",
    "separability": "analyses",
    "verdict": "verdict",
    "runtime": "cost",
}

ANALYSES = (
    "naive",
    "verification",
    "ablations",
    "correlation",
    "surrogate_quality",
    "separability",
)  # of cells that are analysed


def names(study: StudyConfig) -> list[str]:
    """The tables that a study has."""
    kinds = {study.models[cell.model].kind for cell in study.cells}
    absent = {table for kind, table in paths.VALIDITY.items() if kind not in kinds}
    if not any(cell.analysed for cell in study.cells):
        absent |= set(ANALYSES)
    if not study.meets_the_paper:
        absent |= {"table1_user_study", "verdict"}
    if not study.answers:
        absent.add("table1_answers")
    if not study.repeats:
        absent.add("replication")
    if "rebuilt" not in study.protocols:
        absent.add("renumbered")
    return [name for name in TABLES if name not in absent]


def table(name: str) -> "Table":
    """How the table is made.

    Raises:
        KeyError: there is no such table.
    """
    return import_module(f".{TABLES[name]}", __name__).TABLES[name]
