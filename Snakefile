"""hadyounot: "Learning to Counterfactually Explain Recommendations", from data to tables and figures.

    snakemake                                      MovieLens-100K × mf and ncf at reduced counts (config/study.yaml)
    snakemake --configfile config/smoke.yaml       a planted world and a slice of MovieLens, in a few minutes
    snakemake --configfile config/paper.yaml       the paper's own counts; resumes where it was stopped
    snakemake tables/table2_datasets.csv           one table or figure, and what it needs

A stage is one notebook run on one (dataset, model) cell: it reads files of the stages above it and writes its own. What
a job is given, the part of the study that decides its numbers, is a parameter, as is a digest of its code: a change of
either runs it again. Paths are those of lib/hadyounot/study/paths.py, below the working directory.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from snakemake.utils import min_version

from hadyounot.study import paths
from hadyounot.study.config import check_study
from hadyounot.workflow.jobs import Jobs

min_version("9.27")

HERE = Path(workflow.basedir)


if not workflow.configfiles:  # else what the named study leaves out would be study.yaml's, not the default

    configfile: HERE / "config/study.yaml"


study = check_study(config, "the study's configuration")
# in no command and no path, so a run that was moved or copied is still up to date
os.environ |= {"HADYOUNOT_PROJECT": str(HERE), "HADYOUNOT_PYTHON": sys.executable}

jobs = Jobs(study, HERE)
CELLS = [(cell.dataset, cell.model) for cell in study.cells]
ANALYSED = [(cell.dataset, cell.model) for cell in study.cells if cell.analysed]
KINDS = dict.fromkeys(study.models[model].kind for _, model in CELLS)
CAPTIONS = sorted(path.stem for path in (HERE / "notebooks/captions").glob("*.rst"))


def of_cells(*patterns, cells=CELLS, **names):
    """Files of some cells."""
    return [path for cell in cells for path in expand(patterns, dataset=cell[0], model=cell[1], **names)]


def shown(path, name, category, **labels):
    """An output that the report shows, with the text beside it: of the longest name that begins this one."""
    caption = [stem for stem in CAPTIONS if name.startswith(stem)][-1]
    return report(path, caption=f"notebooks/captions/{caption}.rst", category=category, labels={"name": name, **labels})


class Stage(NamedTuple):
    """A notebook of the study.

    Attributes:
        name: that of its rule.
        notebook: its file.
        says: what it does.
        input, output: files by name.
        fields: of the study, which decide what it writes.
        threads: how many.
    """

    name: str
    notebook: str
    says: str
    input: dict
    output: dict
    fields: tuple
    threads: int = 1


TRAINED = {"ratings": paths.RATINGS, "titles": paths.ITEMS}
TOLD = {"embeddings": paths.EMBEDDINGS, "surrogates": paths.SURROGATES, "fits": paths.SURROGATE_FITS}
SIMULATED = {"embeddings": paths.EMBEDDINGS, "outcomes": lambda w: jobs.outcomes([(w.dataset, w.model)])}
USERS = ("counterfactual", "explanation.test_users", "explanation.explanation_size")

STAGES = [
    Stage(
        *("dataset", "10_dataset", "Obtain, check and split one dataset (section 5.1, Table 2)."),
        {},
        {"ratings": paths.RATINGS, "users": paths.USERS, "titles": paths.ITEMS, "facts": paths.DATASET},
        ("train_share", "datasets", "explanation.explanation_size"),
    ),
    Stage(
        *("recommender", "20_recommender", "Train the model that is explained; show that it has converged (5.1)."),
        TRAINED,
        {
            "validation": paths.VALIDATION,
            "curve": paths.CURVE,
            "quality": paths.QUALITY,
            "signal": paths.SIGNAL,
            "embeddings": paths.EMBEDDINGS,
        },
        ("models", "explanation.explanation_size"),
    ),
    Stage(
        *("simulate", "30_simulate", "Step 1, Algorithm 1: delete, retrain, record, for a block of training users."),
        TRAINED,
        {"outcomes": paths.OUTCOMES},
        ("models", "counterfactual", "explanation.explanation_size"),
    ),
    Stage(
        *("surrogates", "40_surrogates", "Step 2, eq. (7): learn the effect of a deletion."),
        SIMULATED,
        {"surrogates": paths.SURROGATES, "fits": paths.SURROGATE_FITS, "curves": paths.SURROGATE_CURVES},
        ("counterfactual", "explanation.explanation_size", "surrogates"),
    ),
    Stage(
        *("explain", "50_explain", "Step 3, eq. (9), and the baselines: three items per test user and method."),
        TOLD,
        {"explanations": paths.EXPLANATIONS, "times": paths.GENERATION_TIME},
        ("models", *USERS, "explanation.max_candidates", "explanation.influence"),
    ),
    Stage(
        *("evaluate", "60_evaluate", "Eq. (2): delete every explanation for real, retrain, read the rank; controls."),
        {"explanations": paths.EXPLANATIONS},
        {"evaluation": paths.EVALUATION, "retrainings": paths.RETRAININGS},
        ("models", *USERS, "explanation.top_k", "explanation.oracle"),
        threads=2,
    ),
    Stage(
        *("naive", "65_naive", "Algorithm 2 on short histories: every deletion up to a size."),
        TRAINED,
        {"naive": paths.NAIVE},
        ("models", "naive", "explanation.explanation_size", "explanation.top_k"),
    ),
    Stage(
        *("correlation", "75_correlation", "Figure 7: really delete random item sets; compare what measures said."),
        TOLD,
        {
            "outcomes": paths.CORRELATION_OUTCOMES,
            "measured": paths.MEASURED,
            "correlation": paths.CORRELATION,
            "quality": paths.SURROGATE_QUALITY,
        },
        ("models", *USERS, "explanation.influence", "correlation"),
        threads=2,
    ),
    Stage(
        *("ablation", "70_ablations", "Section 5.3: variants of the linear surrogate that differ in one choice."),
        SIMULATED | TOLD | {"evaluation": paths.EVALUATION, "unseen": paths.CORRELATION_OUTCOMES},
        {"verdicts": paths.ABLATION, "fits": paths.ABLATION_FITS, "times": paths.ABLATION_TIME},
        ("models", *USERS, "explanation.max_candidates", "explanation.top_k", "surrogates", "ablations.families"),
    ),
    Stage(
        *("tsne", "80_tsne", "Figure 8: the surrogates' training rows in the plane; how well probes tell them apart."),
        SIMULATED,
        {"projection": paths.PROJECTION, "separability": paths.SEPARABILITY},
        ("counterfactual", "explanation.explanation_size", "projection", "surrogates.folds"),
    ),
]


TABLES = {  # by name, what each is made of
    "table1_user_study": [],
    "table2_datasets": of_cells(paths.DATASET),
    **{
        paths.VALIDITY[kind]: of_cells(
            *(paths.EVALUATION, paths.RETRAININGS, paths.SURROGATES, paths.SURROGATE_FITS),
            cells=[cell for cell in CELLS if study.models[cell[1]].kind == kind],
        )
        for kind in KINDS
    },
    "recommenders": of_cells(paths.QUALITY),
    "signal": of_cells(paths.SIGNAL),
    "mcnemar": of_cells(paths.EVALUATION),
}
FIGURES = {
    "figure2_user_ratings": expand(paths.TABLE, table="table1_user_study"),
    **{f"figure6_validity_{kind}": expand(paths.TABLE, table=paths.VALIDITY[kind]) for kind in KINDS},
    "example_card": of_cells(paths.EVALUATION, paths.RATINGS),
}


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9._-]*",
    model="[a-z0-9][a-z0-9._-]*",
    block=r"\d{3}",
    family="[a-z_]+",
    table="[a-z0-9_]+",
    figure="[a-zA-Z0-9._-]+",


rule all:
    """Every table and figure of the study."""
    input:
        expand(paths.TABLE, table=TABLES),
        paths.EXAMPLES,
        expand(paths.FIGURE, figure=FIGURES),


for stage in STAGES:
    place = "{dataset}/{model}" if "{model}" in str(stage.output) else "{dataset}"
    page = "_".join([stage.notebook, *(f"{{{name}}}" for name in ("block", "family") if f"{{{name}}}" in str(stage.output))])

    rule:
        name:
            stage.name
        input:
            **stage.input,
        output:
            **stage.output,
            html=shown(paths.HTML.format(cell=place, notebook=page), page, "Notebooks", cell=place),
        log:
            notebook=paths.EXECUTED.format(cell=place, notebook=page),
            text=f"logs/{place}/{page}.log",
        benchmark:
            paths.BENCHMARK.format(cell=place, notebook=page)
        threads: stage.threads
        conda:
            "envs/environment.yaml"
        params:
            given=partial(jobs.given, stage.fields),
            code=partial(jobs.code, stage.notebook, stage.fields),
            notebook=stage.notebook,
        message:
            f"{stage.says} {place}"
        shell:
            '"$HADYOUNOT_PYTHON" -m hadyounot.workflow.notebook "$HADYOUNOT_PROJECT"/notebooks/{params.notebook}.ipynb'
            " --params {params.given:q} --log {log.notebook:q} --html {output.html:q} --threads {threads} > {log.text:q} 2>&1"
