"""hadyounot: "Learning to Counterfactually Explain Recommendations", from data to tables and figures.

    snakemake                                      MovieLens-100K at reduced counts (config/study.yaml)
    snakemake --configfile config/smoke.yaml       a planted world and a slice of MovieLens, in a minute or two
    snakemake --configfile config/paper.yaml       the paper's own counts; resumes where it was stopped

Each rule runs one notebook on one (dataset, model) cell and reads only what rules above it wrote. Paths are those
of lib/hadyounot/paths.py, below the working directory.
"""

import json
import sys
from pathlib import Path

from snakemake.utils import min_version

from hadyounot import paths, store
from hadyounot.config import check_study
from hadyounot.notebook import code_digest

min_version("9.27")

HERE = Path(workflow.basedir)


configfile: HERE / "config/study.yaml"


study = check_study(config, "the study's configuration")
resolved = json.loads(study.model_dump_json())
if not Path(paths.STUDY).exists() or json.loads(Path(paths.STUDY).read_text()) != resolved:
    store.write_json(paths.STUDY, resolved)  # what the notebooks read: --config overrides included

BLOCKS = [paths.block_name(block) for block in range(study.counterfactual.n_blocks)]
DATASETS = sorted({cell.dataset for cell in study.cells})
TABLES = ["table2_datasets", "table3_mf", "recommenders", "mcnemar", "runtime"]
FIGURES = ["figure5_generation_time", "figure6_validity_mf"]
RUN = (
    f'"{sys.executable}" -m hadyounot.notebook {{input.notebook:q}} --params {{params.given:q}}'
    " --log {log.notebook:q} --html {output.html:q} --threads {threads} > {log.text:q} 2>&1"
)


def notebook(name):
    """The notebook; saving it with other outputs is no change, see ``code``."""
    return ancient(HERE / paths.NOTEBOOK.format(notebook=name))


def code(name, ignore=("config", "toy", "figures", "style")):
    """Digest of the notebook's code and of the library code it imports: a change runs the rule again.

    How a stage looks does not count, nor does config.py: the settings themselves are params.
    """
    return code_digest(HERE / paths.NOTEBOOK.format(notebook=name), ignore)


def settings(*fields):
    """The part of the study that decides a stage's numbers: a change runs the rule again."""
    return json.dumps({field: resolved[field] for field in fields}, sort_keys=True)


def recommender(wildcards):
    """Settings of the cell's recommender, likewise."""
    return json.dumps(resolved["models"][wildcards.model], sort_keys=True)


def given(*names):
    """The notebook's parameters."""
    return lambda wildcards: json.dumps(
        {"config": paths.STUDY, "folder": ".", **{name: wildcards[name] for name in names}}
    )


def executed(name, cell):
    """The executed notebook, as a page of the report."""
    return report(
        paths.HTML.format(cell=cell, notebook=name),
        caption=HERE / f"notebooks/captions/{name.split('_{')[0]}.rst",
        category="Notebooks",
        labels={"notebook": name, "cell": cell},
    )


def of_cells(pattern, **names):
    """The pattern's files of every cell of the study."""
    return [path for cell in study.cells for path in expand(pattern, dataset=cell.dataset, model=cell.model, **names)]


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9._-]*",
    model="[a-z0-9][a-z0-9._-]*",
    block=r"\d{3}",


rule all:
    """Every table and figure of the study."""
    input:
        expand(paths.TABLE, table=TABLES),
        "tables/examples.md",
        expand(paths.FIGURE, figure=FIGURES),


rule dataset:
    """Obtain, check and split one dataset (section 5.1, Table 2)."""
    input:
        notebook=notebook("10_dataset"),
    output:
        ratings=paths.RATINGS,
        users=paths.USERS,
        titles=paths.ITEMS,
        facts=paths.DATASET,
        html=executed("10_dataset", "{dataset}"),
    params:
        given=given("dataset"),
        code=code("10_dataset"),
        settings=settings("seed", "train_share"),
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}", notebook="10_dataset"),
        text="logs/{dataset}/10_dataset.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}", notebook="10_dataset")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "10 obtain and split {wildcards.dataset}"
    shell:
        RUN


rule recommender:
    """Train the model that is explained, and show that it has converged (section 5.1)."""
    input:
        notebook=notebook("20_recommender"),
        ratings=rules.dataset.output.ratings,
        titles=rules.dataset.output.titles,
    output:
        curve=paths.CURVE,
        quality=paths.QUALITY,
        embeddings=paths.EMBEDDINGS,
        html=executed("20_recommender", "{dataset}/{model}"),
    params:
        given=given("dataset", "model"),
        code=code("20_recommender"),
        settings=settings("seed"),
        recommender=recommender,
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}/{model}", notebook="20_recommender"),
        text="logs/{dataset}/{model}/20_recommender.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}/{model}", notebook="20_recommender")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "20 train {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule simulate:
    """Step 1, Algorithm 1: delete, retrain, record, for one block of training users."""
    input:
        notebook=notebook("30_simulate"),
        ratings=rules.dataset.output.ratings,
        titles=rules.dataset.output.titles,
    output:
        outcomes=paths.OUTCOMES,
        html=executed("30_simulate_{block}", "{dataset}/{model}"),
    params:
        given=given("dataset", "model", "block"),
        code=code("30_simulate"),
        settings=settings("seed", "counterfactual"),
        size=study.explanation.explanation_size,
        recommender=recommender,
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}/{model}", notebook="30_simulate_{block}"),
        text="logs/{dataset}/{model}/30_simulate_{block}.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}/{model}", notebook="30_simulate_{block}")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        f"30 retrain {{wildcards.model}} on {{wildcards.dataset}}, block {{wildcards.block}} of {len(BLOCKS)}"
    shell:
        RUN


rule surrogates:
    """Step 2, eq. (7): learn the effect of a deletion."""
    input:
        notebook=notebook("40_surrogates"),
        embeddings=rules.recommender.output.embeddings,
        outcomes=expand(paths.OUTCOMES, block=BLOCKS, allow_missing=True),
    output:
        surrogates=expand(paths.SURROGATE, surrogate=store.SURROGATES, allow_missing=True),
        fits=paths.SURROGATE_FITS,
        html=executed("40_surrogates", "{dataset}/{model}"),
    params:
        given=given("dataset", "model"),
        code=code("40_surrogates"),
        settings=settings("seed", "surrogates"),
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}/{model}", notebook="40_surrogates"),
        text="logs/{dataset}/{model}/40_surrogates.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}/{model}", notebook="40_surrogates")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "40 fit surrogates of {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule explain:
    """Step 3, eq. (9), and the baselines: three items per test user and method."""
    input:
        notebook=notebook("50_explain"),
        embeddings=rules.recommender.output.embeddings,
        surrogates=rules.surrogates.output.surrogates,
    output:
        explanations=paths.EXPLANATIONS,
        times=paths.GENERATION_TIME,
        html=executed("50_explain", "{dataset}/{model}"),
    params:
        given=given("dataset", "model"),
        code=code("50_explain"),
        settings=settings("seed", "counterfactual", "explanation"),
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}/{model}", notebook="50_explain"),
        text="logs/{dataset}/{model}/50_explain.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}/{model}", notebook="50_explain")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "50 explain {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule evaluate:
    """Eq. (2): delete every explanation for real, retrain, read the rank; and the controls."""
    input:
        notebook=notebook("60_evaluate"),
        explanations=rules.explain.output.explanations,
    output:
        evaluation=paths.EVALUATION,
        retrainings=paths.RETRAININGS,
        html=executed("60_evaluate", "{dataset}/{model}"),
    params:
        given=given("dataset", "model"),
        code=code("60_evaluate"),
        settings=settings("seed", "explanation"),
    log:
        notebook=paths.EXECUTED.format(cell="{dataset}/{model}", notebook="60_evaluate"),
        text="logs/{dataset}/{model}/60_evaluate.log",
    benchmark:
        paths.BENCHMARK.format(cell="{dataset}/{model}", notebook="60_evaluate")
    conda:
        "envs/environment.yaml"
    threads: 2
    message:
        "60 verify explanations of {wildcards.model} on {wildcards.dataset} by retraining"
    shell:
        RUN


rule tables:
    """Tables 2 and 3, recommender quality, paired tests, run time, and ten explanations in words."""
    input:
        notebook=notebook("90_tables"),
        facts=expand(paths.DATASET, dataset=DATASETS),
        quality=of_cells(paths.QUALITY),
        outcomes=of_cells(paths.OUTCOMES, block=BLOCKS),
        evaluation=of_cells(paths.EVALUATION),
    output:
        tables=report(
            expand(paths.TABLE, table=TABLES),
            caption=HERE / "notebooks/captions/tables.rst",
            category="Tables",
            labels=lambda wildcards: {},
        ),
        twins=expand("tables/{table}.md", table=TABLES),
        examples=report(
            "tables/examples.md", caption=HERE / "notebooks/captions/examples.rst", category="Tables"
        ),
        html=executed("90_tables", "all"),
    params:
        given=given(),
        code=code("90_tables", ignore=("config", "toy")),
        settings=settings("cells", "explanation"),
    log:
        notebook=paths.EXECUTED.format(cell="all", notebook="90_tables"),
        text="logs/all/90_tables.log",
    benchmark:
        paths.BENCHMARK.format(cell="all", notebook="90_tables")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "90 write tables"
    shell:
        RUN


rule figures:
    """Figures 5 and 6."""
    input:
        notebook=notebook("91_figures"),
        times=of_cells(paths.GENERATION_TIME),
        tables=rules.tables.output.tables,
    output:
        png=[
            report(
                paths.FIGURE.format(figure=figure),
                caption=HERE / f"notebooks/captions/{figure}.rst",
                category="Figures",
                labels={"figure": figure},
            )
            for figure in FIGURES
        ],
        pdf=expand("figures/{figure}.pdf", figure=FIGURES),
        html=executed("91_figures", "all"),
    params:
        given=given(),
        code=code("91_figures", ignore=("config", "toy")),
        settings=settings("cells"),
    log:
        notebook=paths.EXECUTED.format(cell="all", notebook="91_figures"),
        text="logs/all/91_figures.log",
    benchmark:
        paths.BENCHMARK.format(cell="all", notebook="91_figures")
    conda:
        "envs/environment.yaml"
    threads: 1
    message:
        "91 draw figures"
    shell:
        RUN
