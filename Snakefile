"""hadyounot: "Learning to Counterfactually Explain Recommendations", from data to tables and figures.

    snakemake                                      MovieLens-100K × mf and ncf at reduced counts (config/study.yaml)
    snakemake --configfile config/smoke.yaml       a planted world and a slice of MovieLens, in a few minutes
    snakemake --configfile config/paper.yaml       the paper's own counts; resumes where it was stopped

Each rule runs one notebook on one (dataset, model) cell and reads only what rules above it wrote. Paths are those
of lib/hadyounot/paths.py, below the working directory.
"""

import json
import sys
from pathlib import Path

from snakemake.utils import min_version

from hadyounot.study import paths, schemas, store
from hadyounot.study.config import check_study
from hadyounot.workflow.jobs import Jobs
from hadyounot.study.variants import places, variants

min_version("9.27")

HERE = Path(workflow.basedir)


if not workflow.configfiles:  # else what the named study leaves out would be study.yaml's, not the default

    configfile: HERE / "config/study.yaml"


study = check_study(config, "the study's configuration")
jobs = Jobs(study, HERE)
# what the notebooks read: overrides by --config included
if not Path(paths.STUDY).exists() or json.loads(Path(paths.STUDY).read_text()) != jobs.resolved:
    store.write_json(paths.STUDY, jobs.resolved)

DATASETS = sorted({cell.dataset for cell in study.cells})
ANALYSED = [cell for cell in study.cells if cell.analysed]
VARIANTS = places(study.ablations)
KINDS = list(dict.fromkeys(study.models[cell.model].kind for cell in study.cells))
TABLES = ["table2_datasets", *(paths.VALIDITY[kind] for kind in KINDS), "recommenders", "signal", "mcnemar", "runtime"]
ABLATION_FIGURES = [
    f"ablation_{family}" for family in ("deletion_size", "search", "sample_size") if family in study.ablations.families
]
TABLES += ["table1_user_study"]
FIGURES = [
    *(f"figure5_generation_time_{cell.dataset}_{cell.model}" for cell in study.cells),
    *(f"figure6_validity_{kind}" for kind in KINDS),
    "example_card",
    "figure2_user_ratings",
]
if ANALYSED:
    TABLES += ["ablations", "naive", "correlation", "surrogate_quality", "separability"]
    FIGURES += [
        f"{figure}_{cell.dataset}_{cell.model}"
        for figure in (*ABLATION_FIGURES, "figure7_baseline_correlation", "figure8_tsne")
        for cell in ANALYSED
    ]
CAPTIONS = sorted(path.stem for path in (HERE / "notebooks/captions").glob("*.rst"))
RUN = (
    f'"{sys.executable}" -m hadyounot.workflow.notebook {{input.notebook:q}} --params {{params.given:q}}'
    " --log {log.notebook:q} --html {output.html:q} --threads {threads} > {log.text:q} 2>&1"
)


def notebook(name):
    """The notebook; saving it with other outputs is no change, see ``Jobs.because``."""
    return ancient(HERE / paths.NOTEBOOK.format(notebook=name))


def shown(path, name, category, **labels):
    """An output that the report shows, with the text beside it: of the longest name that begins this one."""
    caption = [stem for stem in CAPTIONS if name.startswith(stem)][-1]
    caption = HERE / f"notebooks/captions/{caption}.rst"
    return report(path, caption=caption, category=category, labels={"name": name, **labels})


def executed(name, cell):
    """The executed notebook, as a page of the report."""
    return shown(paths.HTML.format(cell=cell, notebook=name), name, "Notebooks", cell=cell)


def logs(name, cell):
    """Where the notebook is written as it runs, and what it prints: kept when it fails."""
    return {"notebook": paths.EXECUTED.format(cell=cell, notebook=name), "text": f"logs/{cell}/{name}.log"}


def timed(name, cell):
    """Where time and memory of the job are kept."""
    return paths.BENCHMARK.format(cell=cell, notebook=name)


def of_cells(pattern, cells=study.cells):
    """The pattern's files of some cells of the study."""
    return [pattern.format(dataset=cell.dataset, model=cell.model) for cell in cells]


def outcomes(dataset, model):
    """Files of all blocks of a cell."""
    return expand(paths.OUTCOMES, dataset=dataset, model=model, block=jobs.blocks(dataset, model))


def ablations(pattern):
    """The pattern's files of every variant of the analysed cells."""
    return [
        pattern.format(dataset=cell.dataset, model=cell.model, family=family, variant=variant)
        for cell in ANALYSED
        for family, variant in VARIANTS
    ]


CELL = "{dataset}/{model}"


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9._-]*",
    model="[a-z0-9][a-z0-9._-]*",
    block=r"\d{3}",
    family="[a-z_]+",
    variant="[a-z0-9-]+",


onstart:
    from hadyounot.study.datasets import availability, data_folder

    for cell in study.cells:
        data = availability(cell.dataset, data_folder())
        print(
            f"{cell.dataset}, {cell.model}: {len(jobs.blocks(cell.dataset, cell.model))} blocks; data {data}",
            file=sys.stderr,
        )


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
    log:
        **logs("10_dataset", "{dataset}"),
    benchmark:
        timed("10_dataset", "{dataset}")
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("10_dataset", ["dataset"], ["train_share"]),
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
        signal=paths.SIGNAL,
        embeddings=paths.EMBEDDINGS,
        html=executed("20_recommender", CELL),
    log:
        **logs("20_recommender", CELL),
    benchmark:
        timed("20_recommender", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("20_recommender", ["dataset", "model"]),
        recommender=jobs.recommender,
        size=study.explanation.explanation_size,
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
        html=executed("30_simulate_{block}", CELL),
    log:
        **logs("30_simulate_{block}", CELL),
    benchmark:
        timed("30_simulate_{block}", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("30_simulate", ["dataset", "model", "block"]),
        simulation=jobs.simulation,
        recommender=jobs.recommender,
    message:
        "30 retrain {wildcards.model} on {wildcards.dataset}, block {wildcards.block}"
    shell:
        RUN


rule surrogates:
    """Step 2, eq. (7): learn the effect of a deletion."""
    input:
        notebook=notebook("40_surrogates"),
        embeddings=rules.recommender.output.embeddings,
        outcomes=lambda w: outcomes(w.dataset, w.model),
    output:
        surrogates=expand(paths.SURROGATE, surrogate=schemas.SURROGATES, allow_missing=True),
        fits=paths.SURROGATE_FITS,
        html=executed("40_surrogates", CELL),
    log:
        **logs("40_surrogates", CELL),
    benchmark:
        timed("40_surrogates", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("40_surrogates", ["dataset", "model"], ["surrogates"]),
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
        fits=rules.surrogates.output.fits,
    output:
        explanations=paths.EXPLANATIONS,
        times=paths.GENERATION_TIME,
        html=executed("50_explain", CELL),
    log:
        **logs("50_explain", CELL),
    benchmark:
        timed("50_explain", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("50_explain", ["dataset", "model"], ["explanation"]),
        training_users=jobs.training_users,
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
        html=executed("60_evaluate", CELL),
    log:
        **logs("60_evaluate", CELL),
    benchmark:
        timed("60_evaluate", CELL)
    conda:
        "envs/environment.yaml"
    threads: 2
    params:
        **jobs.because("60_evaluate", ["dataset", "model"], ["explanation"]),
    message:
        "60 verify explanations of {wildcards.model} on {wildcards.dataset} by retraining"
    shell:
        RUN


rule naive:
    """Algorithm 2 on short histories: every deletion up to a size."""
    input:
        notebook=notebook("65_naive"),
        ratings=rules.dataset.output.ratings,
        titles=rules.dataset.output.titles,
    output:
        naive=paths.NAIVE,
        html=executed("65_naive", CELL),
    log:
        **logs("65_naive", CELL),
    benchmark:
        timed("65_naive", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("65_naive", ["dataset", "model"], ["naive"]),
        recommender=jobs.recommender,
        size=study.explanation.explanation_size,
        top_k=study.explanation.top_k,
    message:
        "65 try every deletion of {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule correlation:
    """Figure 7: delete random item sets of test users for real, and compare what measures said of them."""
    input:
        notebook=notebook("75_correlation"),
        embeddings=rules.recommender.output.embeddings,
        surrogates=rules.surrogates.output.surrogates,
        fits=rules.surrogates.output.fits,
    output:
        outcomes=paths.CORRELATION_OUTCOMES,
        measured=paths.MEASURED,
        correlation=paths.CORRELATION,
        quality=paths.SURROGATE_QUALITY,
        html=executed("75_correlation", CELL),
    log:
        **logs("75_correlation", CELL),
    benchmark:
        timed("75_correlation", CELL)
    conda:
        "envs/environment.yaml"
    threads: 2
    params:
        **jobs.because("75_correlation", ["dataset", "model"], ["correlation"]),
        training_users=jobs.training_users,
        explanation=study.explanation.model_dump_json(include={"test_users", "explanation_size", "influence"}),
    message:
        "75 compare measures of {wildcards.model} on {wildcards.dataset} with retraining"
    shell:
        RUN


rule ablation:
    """Section 5.3: one choice of the linear surrogate changed, learnt, explained and verified like the original."""
    input:
        notebook=notebook("70_ablations"),
        embeddings=rules.recommender.output.embeddings,
        outcomes=lambda w: outcomes(w.dataset, w.model),
        evaluation=rules.evaluate.output.evaluation,
        unseen=rules.correlation.output.outcomes,
    output:
        ablation=paths.ABLATION,
        fit=paths.ABLATION_FIT,
        time=paths.ABLATION_TIME,
        html=executed("70_ablations_{family}_{variant}", CELL),
    log:
        **logs("70_ablations_{family}_{variant}", CELL),
    benchmark:
        timed("70_ablations_{family}_{variant}", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("70_ablations", ["dataset", "model", "family", "variant"], ["surrogates", "explanation"]),
        variant=lambda w: repr(variants(study.ablations)[w.family][w.variant]),
        set_networks=lambda w: study.ablations.set_networks.model_dump_json() * (w.family == "representation"),
    message:
        "70 {wildcards.family}: {wildcards.variant} with {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule tsne:
    """Figure 8: the surrogates' training rows in the plane, and how well probes tell them apart."""
    input:
        notebook=notebook("80_tsne"),
        embeddings=rules.recommender.output.embeddings,
        outcomes=lambda w: outcomes(w.dataset, w.model),
    output:
        projection=paths.PROJECTION,
        separability=paths.SEPARABILITY,
        html=executed("80_tsne", CELL),
    log:
        **logs("80_tsne", CELL),
    benchmark:
        timed("80_tsne", CELL)
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("80_tsne", ["dataset", "model"], ["projection"]),
        folds=study.surrogates.folds,
    message:
        "80 project training rows of {wildcards.model} on {wildcards.dataset}"
    shell:
        RUN


rule tables:
    """Tables 1 to 4, quality and signal, paired tests, ablations, analyses, run time, and explanations in words."""
    input:
        notebook=notebook("90_tables"),
        facts=expand(paths.DATASET, dataset=DATASETS),
        quality=of_cells(paths.QUALITY),
        signal=of_cells(paths.SIGNAL),
        outcomes=[path for cell in study.cells for path in outcomes(cell.dataset, cell.model)],
        evaluation=of_cells(paths.EVALUATION),
        ablations=ablations(paths.ABLATION),
        ablation_fits=ablations(paths.ABLATION_FIT),
        naive=[paths.NAIVE.format(dataset=cell.dataset, model=cell.model) for cell in ANALYSED],
        correlation=of_cells(paths.CORRELATION, ANALYSED),
        surrogate_quality=of_cells(paths.SURROGATE_QUALITY, ANALYSED),
        separability=of_cells(paths.SEPARABILITY, ANALYSED),
    output:
        tables=[shown(paths.TABLE.format(table=table), table, "Tables") for table in TABLES],
        twins=expand("tables/{table}.md", table=TABLES),
        examples=shown("tables/examples.md", "examples", "Tables"),
        html=executed("90_tables", "all"),
    log:
        **logs("90_tables", "all"),
    benchmark:
        timed("90_tables", "all")
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("90_tables", [], ["cells", "models", "explanation", "ablations"], ignore=("config", "toy")),
    message:
        "90 write tables"
    shell:
        RUN


rule figures:
    """Figures 2 and 5 to 8, and the ablations."""
    input:
        notebook=notebook("91_figures"),
        times=of_cells(paths.GENERATION_TIME),
        ablation_times=ablations(paths.ABLATION_TIME),
        measured=of_cells(paths.MEASURED, ANALYSED),
        projection=of_cells(paths.PROJECTION, ANALYSED),
        tables=rules.tables.output.tables,
    output:
        png=[shown(paths.FIGURE.format(figure=figure), figure, "Figures") for figure in FIGURES],
        pdf=expand("figures/{figure}.pdf", figure=FIGURES),
        html=executed("91_figures", "all"),
    log:
        **logs("91_figures", "all"),
    benchmark:
        timed("91_figures", "all")
    conda:
        "envs/environment.yaml"
    params:
        **jobs.because("91_figures", [], ["cells", "models"], ignore=("config", "toy")),
    message:
        "91 draw figures"
    shell:
        RUN
