"""hadyounot: "Learning to Counterfactually Explain Recommendations", from data to tables and figures.

    snakemake                                      MovieLens-100K × mf and ncf at reduced counts (config/study.yaml)
    snakemake --configfile config/worlds.yaml      what decides the numbers: recommenders, protocols, splits, seeds
    snakemake --configfile config/paper.yaml       the paper's own counts; resumes where it was stopped
    snakemake tables/table2_datasets.csv           one table or figure, and what it needs

A stage is one notebook run on one (dataset, model) cell: it reads files of stages above it and writes its own. What a job
is given, the part of the study that decides its numbers, is a parameter, as is a digest of its code. Paths: study/paths.py.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from snakemake import logging as terminal
from snakemake.utils import min_version

from hadyounot.report import figures, output
from hadyounot.study import paths
from hadyounot.study.config import check_study
from hadyounot.study.yaml_file import parsed_yaml
from hadyounot.workflow.jobs import Jobs

min_version("9.27")

HERE = Path(workflow.basedir)
# of a failed job the terminal shows the text, not the JSON of its notebook, which the text says how to open
shows = terminal.show_logs
terminal.show_logs = lambda logs: shows([log for log in logs if not str(log).endswith(".ipynb")])


if not workflow.configfiles:  # else what the named study leaves out would be study.yaml's, not the default

    configfile: HERE / "config/study.yaml"


paths.enter(workflow.configfiles[-1])
parsed_yaml(Path(workflow.configfiles[-1]))  # it refuses a key that is there twice; Snakemake takes the last
study = check_study(config, "the study's configuration")
jobs = Jobs(study, HERE)
# in no command and no path, so a run that was moved or copied is still up to date
os.environ.update(
    HADYOUNOT_PROJECT=str(HERE), PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)


CALLED = {f"{cell.dataset}/{cell.model}": study.title(cell.dataset, cell.model) for cell in study.cells} | study.titles


def shown(path, name, category, place="", part=""):
    """An output that the report shows, called by the first line of the text beside it: of the longest name that begins
    its own. In one label: of two, the second becomes a switch where it halves a category, and the report ends there.
    """
    stem = max(each.stem for each in (HERE / "notebooks/captions").iterdir() if name.startswith(each.stem))
    title = (HERE / f"notebooks/captions/{stem}.rst").read_text(encoding="utf-8").partition("\n")[0]
    of = lambda wildcards: [part.format(**wildcards).replace("_", " "), CALLED.get(place.format(**wildcards), "")]
    labels = lambda wildcards: {"name": ": ".join(filter(None, [title + of(wildcards)[0], of(wildcards)[1]]))}
    return report(path, caption=f"notebooks/captions/{stem}.rst", category=category, labels=labels)


class Job(NamedTuple):
    """What a rule says."""

    name: str
    says: str
    input: Any
    output: dict
    log: dict
    benchmark: str
    params: dict


def root_of(first):
    """The folder that a job's files are below, from where its ``first`` output lies: ".", but for copies of what a
    cloud stores.
    """
    return lambda wildcards, output: str(Path(output[0]).parents[len(Path(first).parts) - 1])


def stage(name, notebook, says, input, output, fields, place="{dataset}/{model}"):
    """A notebook, run on a cell with the ``fields`` of the study that decide what it writes, and kept as a page."""
    page = "_".join([notebook, *(f"{{{part}}}" for part in ("block", "family") if f"{{{part}}}" in str(output))])
    part = page.removeprefix(notebook).replace("_{block}", ", block {block}").replace("_{family}", ", {family}")
    html = shown(paths.HTML.format(cell=place, notebook=page), page, "Notebooks", place, part)
    log = paths.EXECUTED.format(cell=place, notebook=page)
    return Job(
        *(name, f"{page} on {place}: {says}".replace("{", "{wildcards."), input, output | {"html": html}),
        {"notebook": log, "text": f"logs/{place}/{page}.log"},
        paths.BENCHMARK.format(cell=place, notebook=page),
        {
            "run": f'workflow.notebook "$HADYOUNOT_PROJECT"/{paths.NOTEBOOK.format(notebook=notebook)}'
            f" --log {log} --html {paths.HTML.format(cell=place, notebook=page)}",
            "given": partial(jobs.given, fields),
            "code": partial(jobs.code, notebook, fields),
        },
    )


def drawn(name):
    """A table or a figure."""
    made = output.written(name, study)
    told = {f"{kind}_told": f"{file}.provenance.json" for kind, file in made.items() if kind in output.TOLD}
    what, (first, *_) = "figure" if "png" in made else "table", made
    if name != "finding":  # the first page of the report
        _, cell = figures.names(study).get(name, (name, None))
        made[first] = shown(made[first], name, f"{what.title()}s", "/".join(cell or ()))
    needs = output.needs(name, study) + (jobs.answers if name == "table1_answers" else [])
    return Job(
        *(f"write_{name}", f"{what} {name}", {"needs": needs}, made | told),
        *({"text": f"logs/all/{name}.log"}, f"logs/all/{name}.tsv"),
        {"run": f"report {name}", "given": partial(jobs.given, ()), "code": jobs.drawing},
    )


RATED = {"ratings": paths.RATINGS, "users": paths.USERS, "titles": paths.ITEMS}
TRAINED = RATED | {"embeddings": paths.EMBEDDINGS}
TOLD = TRAINED | {"surrogates": paths.SURROGATES, "fits": paths.SURROGATE_FITS}
SIMULATED = TRAINED | {"outcomes": lambda w: jobs.outcomes([(w.dataset, w.model)])}
SIZE, TOP_K = "explanation.explanation_size", "explanation.top_k"
USERS = ("counterfactual", "explanation.test_users", SIZE)
NAMES = "explanation.max_candidates", "explanation.influence"
STAGES = [
    stage(
        *("dataset", "10_dataset", "obtain, check and split one dataset (section 5.1, Table 2)", {}),
        RATED | {"facts": paths.DATASET},
        ("train_share", "datasets", SIZE),
        place="{dataset}",
    ),
    stage(
        *("recommender", "20_recommender", "train the model that is explained, show that it has converged", RATED),
        dict(validation=paths.VALIDATION, curve=paths.CURVE, quality=paths.QUALITY, signal=paths.SIGNAL)
        | {"embeddings": paths.EMBEDDINGS},
        ("models", SIZE),
    ),
    stage(
        *("simulate", "30_simulate", "step 1, Algorithm 1: delete, retrain, record, for some training users", RATED),
        *({"outcomes": paths.OUTCOMES}, ("models", "counterfactual", SIZE)),
    ),
    stage(
        *("surrogates", "40_surrogates", "step 2, eq. (7): learn the effect of a deletion", SIMULATED),
        {"surrogates": paths.SURROGATES, "fits": paths.SURROGATE_FITS, "curves": paths.SURROGATE_CURVES},
        ("models", "counterfactual", SIZE, "surrogates", "ablations.set_networks"),
    ),
    stage(
        *("explain", "50_explain", "step 3, eq. (9), and the baselines: items for each test user and method", TOLD),
        {"explanations": paths.EXPLANATIONS, "times": paths.GENERATION_TIME},
        ("models", *USERS, *NAMES, TOP_K, "explanation.budget"),
    ),
    stage(
        *("evaluate", "60_evaluate", "eq. (2): delete every explanation for real, retrain; and the controls"),
        RATED | {"explanations": paths.EXPLANATIONS},
        {"evaluation": paths.EVALUATION, "retrainings": paths.RETRAININGS},
        ("models", *USERS, TOP_K, "explanation.oracle"),
    ),
    stage(
        *("naive", "65_naive", "Algorithm 2 on short histories: every deletion up to a size", RATED),
        *({"naive": paths.NAIVE}, ("models", "naive", SIZE, TOP_K)),
    ),
    stage(
        *("verification", "67_verification", "what it costs to prove an explanation before it is shown"),
        RATED | {"evaluation": paths.EVALUATION, "times": paths.GENERATION_TIME},
        *({"verification": paths.VERIFICATION}, ("models", *USERS, TOP_K, "verification")),
    ),
    stage(
        *("correlation", "75_correlation", "Figure 7: what measures say of item sets, and really deleting them", TOLD),
        dict(outcomes=paths.CORRELATION_OUTCOMES, measured=paths.MEASURED, correlation=paths.CORRELATION)
        | {"quality": paths.SURROGATE_QUALITY},
        ("models", *USERS, "explanation.influence", "correlation"),
    ),
    stage(
        *("ablation", "70_ablations", "section 5.3: variants of the linear surrogate that differ in one choice"),
        SIMULATED | TOLD | {"evaluation": paths.EVALUATION, "unseen": paths.CORRELATION_OUTCOMES},
        {"verdicts": paths.ABLATION, "fits": paths.ABLATION_FITS, "times": paths.ABLATION_TIME},
        ("models", *USERS, *NAMES, TOP_K, "surrogates", "ablations.families"),
    ),
    stage(
        *("tsne", "80_tsne", "Figure 8: the surrogates' training rows in the plane, and how probes do", SIMULATED),
        {"projection": paths.PROJECTION, "separability": paths.SEPARABILITY},
        ("counterfactual", SIZE, "projection", "surrogates.folds"),
    ),
    stage(
        *("survey", "85_survey", "section 6: questions for people", RATED | {"evaluation": paths.EVALUATION}),
        *({"survey": paths.SURVEY, "page": paths.SURVEY_PAGE}, ("survey",)),
    ),
]

STEPS = "dataset", "recommender", "simulate", "surrogates", "explain", "evaluate"  # first: all else waits for them
READ = {"90_tables": "all tables, in order", "91_figures": "all figures, in order", "explore": "one user, in stills"}
READ |= {"86_user_study": "people asked", "95_verdict": "every claim judged"} if study.meets_the_paper else {}
DRAWN = [drawn(name) for name in output.names(study)]
SHOWN = [str(next(iter(job.output.values()))) for job in DRAWN]


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9._-]*",
    model="[a-z0-9][a-z0-9._-]*",
    block=r"\d\d\d+",
    family="[a-z_]+",


if Path(paths.FINDING).exists():

    report: str(Path(paths.FINDING).absolute())


onstart:
    jobs.start(path for job in workflow.dag.needrun_jobs() for path in (*job.output, *job.log))


rule all:
    """Every table and figure of the study, and the pages of their notebooks."""
    input:
        SHOWN,
        expand(paths.HTML, cell="all", notebook=READ),


for job in [
    *STAGES,
    *DRAWN,
    *(stage(page.split("_")[-1], page, says, {"shown": SHOWN}, {}, (), place="all") for page, says in READ.items()),
]:

    rule:
        name:
            job.name
        input:
            **job.input,
        output:
            **job.output,
        log:
            **job.log,
        benchmark:
            job.benchmark
        priority: int(job.name in STEPS)
        conda:
            "envs/environment.yaml"
        params:
            **job.params,
            root=root_of(next(iter(job.output.values()))),
        message:
            job.says
        shell:
            "(cd {params.root:q} && python -m hadyounot.{params.run} --params {params.given:q} --threads {threads})"
            " > {log.text:q} 2>&1"
