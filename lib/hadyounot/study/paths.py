"""Where each artefact lies, below the folder of a run.

The braces are Snakemake's wildcards; ``str.format`` fills them. Snakefile and library read this one list.
"""

import os
import shlex
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]

_DATASET = "results/{dataset}/"
RATINGS = _DATASET + "ratings.parquet"
USERS = _DATASET + "users.parquet"
ITEMS = _DATASET + "items.parquet"
DATASET = _DATASET + "dataset.json"
RATED = RATINGS, USERS, ITEMS

_CELL = "results/{dataset}/{model}/"
VALIDATION = _CELL + "validation.csv"
CURVE = _CELL + "curve.csv"
QUALITY = _CELL + "quality.json"
SIGNAL = _CELL + "signal.json"
EMBEDDINGS = _CELL + "embeddings.npz"
OUTCOMES = _CELL + "outcomes/block_{block}.parquet"
SURROGATES = _CELL + "surrogates.npz"
SURROGATE_FITS = _CELL + "surrogates.json"
SURROGATE_CURVES = _CELL + "surrogate_curves.csv"
EXPLANATIONS = _CELL + "explanations.parquet"
GENERATION_TIME = _CELL + "generation_time.parquet"
EVALUATION = _CELL + "evaluation.parquet"
RETRAININGS = _CELL + "retrainings.json"
NAIVE = _CELL + "naive.parquet"
VERIFICATION = _CELL + "verification.csv"
CORRELATION_OUTCOMES = _CELL + "correlation.parquet"
MEASURED = _CELL + "measured.parquet"
CORRELATION = _CELL + "correlation.csv"
SURROGATE_QUALITY = _CELL + "surrogate_quality.csv"
ABLATION = _CELL + "ablations/{family}.parquet"
ABLATION_FITS = _CELL + "ablations/{family}.json"
ABLATION_TIME = _CELL + "ablations/generation_time_{family}.parquet"
PROJECTION = _CELL + "projection.parquet"
SEPARABILITY = _CELL + "separability.csv"
SURVEY = _CELL + "survey.json"
SURVEY_PAGE = _CELL + "survey.html"

TABLE = "tables/{table}.csv"
FINDING = "tables/finding.rst"
VALIDITY = {  # table by kind of recommender
    "mf": "table3_mf",
    "ncf": "table4_ncf",
    "svd": "validity_svd",
    "blackbox": "validity_blackbox",
}
FIGURE = "figures/{figure}.png"

NOTEBOOK = "notebooks/{notebook}.ipynb"
EXECUTED = "logs/{cell}/{notebook}.ipynb"
HTML = "results/html/{cell}/{notebook}.html"
BENCHMARK = "logs/{cell}/{notebook}.tsv"


def beside_study(path: str) -> Path:
    """What a study calls ``path``: relative to the folder of its own file, see ``enter``."""
    return Path(os.environ.get("HADYOUNOT_STUDY", ""), path)


def enter(study: Path) -> None:
    """Let this process, and those it starts, find what lies beside a study's file: modules, ratings, a registry."""
    folder = str(Path(study).absolute().parent)
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    modules = [folder, *(each for each in before if each not in ("", folder))]
    os.environ.update(HADYOUNOT_STUDY=folder, PYTHONPATH=os.pathsep.join(modules))
    if folder not in sys.path:
        sys.path.insert(0, folder)


def command(target: str, folder: Path, study: Path | None) -> str:
    """What makes the ``target`` of a run of the file ``study``, if known, when called in the project's folder."""
    words = ["snakemake", target]  # first, as --configfile takes all that follow
    for option, path, default in (("directory", folder, PROJECT), ("configfile", study, PROJECT / "config/study.yaml")):
        if path and (absolute := path.resolve()) != default:
            inside = absolute.is_relative_to(PROJECT)
            words += [f"--{option}", str(absolute.relative_to(PROJECT) if inside else absolute)]
    return shlex.join(words)
