"""What is planned, and what is refused before any job; a study of one's own; and the rules, one by one.

Nothing here needs the smoke study's run, beside which it can go on.
"""

import ast
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from hadyounot.study import paths
from hadyounot.study.config import load_study
from hadyounot.study.methods import METHOD
from snakemake.api import ConfigSettings, ResourceSettings, SnakemakeApi
from test_workflow import CONFIG, SMOKE, VALIDITY, jobs, snakemake

pytestmark = pytest.mark.slow

STUDIES = sorted(path for path in CONFIG.glob("*.yaml") if path.stem not in {"claims", "datasets", "published"})
SHOP = paths.PROJECT / "examples/my-shop/study.yaml"


def test_one_table_or_figure_plans_only_what_it_needs(tmp_path):
    ran = jobs(snakemake(tmp_path, "tables/table2_datasets.csv", "--dry-run"))
    assert [job.partition(" ")[0] for job in ran] == ["10_dataset", "10_dataset", "table"]
    ran = jobs(snakemake(tmp_path, "figures/figure2_user_ratings.png", "--dry-run"))
    assert [job.partition(":")[0] for job in ran] == ["figure figure2_user_ratings", "table table1_user_study"]


def test_a_folder_that_snakemake_would_misread_is_refused(tmp_path):
    said = snakemake(tmp_path / "v{2}", "--dry-run", code=1)
    assert re.search(r"v\{2\}: Snakemake takes braces in a folder's name for wildcards; rename it", said)


def test_a_run_says_where_data_are_before_it_starts_and_a_missing_dataset_says_what_to_do(tmp_path):
    cell = {"cells": [{"dataset": "netflix-small", "model": "mf"}]}
    closed = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9") | dict.fromkeys(
        ("NO_PROXY", "no_proxy"), ""
    )
    env = os.environ | closed | {"HADYOUNOT_DATA": str(tmp_path / "data")}
    target = paths.DATASET.format(dataset="netflix-small")
    printed = snakemake(tmp_path / "run", "--cores", "1", target, settings=cell, env=env, code=1)
    url = "https://static.preferred.ai/cornac/datasets/netflix/data_small.zip"
    assert printed.index(f"netflix-small, mf: 2 blocks; data will be downloaded from {url}\n") < printed.index(
        "\nJob 0: "
    )
    folder = tmp_path / "data/netflix-small"
    assert f"To go on: put {folder}/data_small.csv there, or download {url} to {folder}/data_small.zip; then" in printed


def test_a_study_of_an_own_recommender_on_own_ratings(tmp_path):
    settings = {"surrogates": {"mlp": {"max_epochs": 3}}}  # for time
    printed = snakemake(tmp_path, "--cores", "2", study=SHOP, settings=settings)
    assert printed.index("my-shop, similar: 1 blocks; data found: ") < re.search(r"^Job \d", printed, re.M).start()
    table = pd.read_csv(tmp_path / "tables/validity_blackbox.csv")
    assert ",".join(table.columns) == VALIDITY
    assert set(table["method"]) == set(METHOD) - {"influence", "influence_block"}  # nobody knows its parameters
    tested = table.query("top_k == 1").set_index("method")["validity"]
    assert tested["reseed"] == 0
    assert tested["random"] < tested["linear_reg_aware"] <= tested["oracle"]
    assert pd.read_csv(tmp_path / "tables/recommenders.csv")[["train_rmse", "test_rmse"]].isna().all(axis=None)
    for figure in ("example_card", "figure6_validity_blackbox"):
        assert (tmp_path / f"figures/{figure}.png").exists()
    told = {path.stem: path.read_text() for path in (tmp_path / "tables").glob("*.md")}
    assert not {name for name, text in told.items() if "paper" in text.lower()}
    assert "had you not rated" in told["examples"]
    assert not told.keys() & {"table1_user_study", "verdict"}
    assert {path.stem for path in tmp_path.glob("results/html/all/*")} == {"90_tables", "91_figures", "explore"}


def test_what_cannot_be_run_is_said_before_any_job(tmp_path):
    settings = {"counterfactual": {"training_users": 31}}
    printed = snakemake(tmp_path, "--cores", "1", study=SHOP, settings=settings, code=1)
    assert "my-shop has 60 users with at least 3 training items, but counterfactual.training_users + " in printed
    assert "Traceback" not in printed
    assert not jobs(printed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sede": 1}, "write `seed: 1`"),
        ({"counterfactual": {"training_users": 1}}, "counterfactual.training_users: "),
        ({"cells": [{"dataset": "toi", "model": "mf"}]}, "write `dataset: toy`"),
        ({"models": {"My mf": {"kind": "mf"}}}, "write `my-mf:`"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_fix(tmp_path, settings, message):
    assert message in snakemake(tmp_path, "--dry-run", settings=settings, code=1)


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(SMOKE.read_text() + "explanation: {test_users: 7}\n")
    assert "the key 'explanation' is on line" in snakemake(tmp_path, "--dry-run", study=study, code=1)


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_every_study_can_be_planned_and_is_the_one_its_file_describes(tmp_path, study):
    printed = jobs(snakemake(tmp_path, "--dry-run", study=study))
    described = load_study(study)
    count = [sum(job.startswith(number) for job in printed) for number in ("20_", "30_", "70_", "90_")]
    blocks = sum(len(described.of(cell.dataset, cell.model).counterfactual.blocks) for cell in described.cells)
    families = sum(cell.analysed for cell in described.cells) * len(described.ablations.families)
    assert count == [len(described.cells), blocks, families, 1]
    assert not [path for path in tmp_path.iterdir() if path.name != ".snakemake"]


def test_lint_is_clean(tmp_path):
    assert "in a good condition" in snakemake(tmp_path, "--lint")


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """The rules as Snakemake understands them."""
    here = Path.cwd()
    try:
        with SnakemakeApi() as api:
            opened = api.workflow(
                ResourceSettings(cores=2),
                ConfigSettings(configfiles=[SMOKE]),
                snakefile=paths.PROJECT / "Snakefile",
                workdir=tmp_path_factory.mktemp("rules"),
            )
            yield opened._workflow  # the one way to look at a rule other than running it
    finally:
        os.chdir(here)


STAGE_RULES = (
    *("dataset", "recommender", "simulate", "surrogates", "explain", "evaluate"),
    *("naive", "verification", "correlation", "ablation", "tsne", "survey"),
)


def test_the_steps_of_every_cell_go_before_analyses_and_drawings(workflow):
    first = {rule.name for rule in workflow.rules if rule.priority == 1}
    assert first == set(STAGE_RULES[: STAGE_RULES.index("naive")])


def test_every_rule_is_logged_timed_and_says_what_it_does(workflow):
    rules = {rule.name: rule for rule in workflow.rules}
    assert rules.pop("all").docstring
    assert tuple(rules)[: len(STAGE_RULES)] == STAGE_RULES
    for name, rule in rules.items():
        assert rule.message, name
        assert rule.log, name
        assert rule.benchmark, name
        assert (paths.PROJECT / rule.conda_env).is_file(), name
        assert all(kind for kind, _ in rule.output._allitems()), f"{name}: an output has no name"
        if name in STAGE_RULES:
            assert [kind for kind, _ in rule.log.items()] == ["notebook", "text"], name
            assert all(kind for kind, _ in rule.input._allitems()), f"{name}: an input has no name"


def test_every_rule_gives_its_notebook_parameters_that_it_has(workflow):
    names = {"dataset": "toy", "model": "mf", "block": "001", "family": "search"}
    for name in STAGE_RULES:
        rule = workflow.get_rule(name)
        cells = json.loads((paths.PROJECT / re.search(r"notebooks/\w+\.ipynb", rule.params.run)[0]).read_text())[
            "cells"
        ]
        (source,) = ("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", []))
        parameters = {node.target.id for node in ast.parse(source).body}
        wildcards = {wildcard: names[wildcard] for wildcard in rule.wildcard_names}
        given = json.loads(rule.params.given(wildcards))
        assert given == {"settings": given["settings"], "folder": "."} | wildcards
        assert set(given) <= parameters
        assert given["settings"]["seed"] == 0


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("dataset", "results/my-shop_2.v1/ratings.parquet", "results/My-shop/ratings.parquet"),
        ("dataset", "results/toy/ratings.parquet", "results/.toy/ratings.parquet"),
        ("dataset", "results/toy/ratings.parquet", "results/toy/mf/ratings.parquet"),
        ("recommender", "results/toy/mf/curve.csv", "results/toy/a model/curve.csv"),
        ("recommender", "results/toy/mf/curve.csv", "results/toy/-mf/curve.csv"),
        ("simulate", "results/toy/mf/outcomes/block_000.parquet", "results/toy/mf/outcomes/block_0.parquet"),
        ("simulate", "results/toy/mf/outcomes/block_1234.parquet", "results/toy/mf/outcomes/block_.parquet"),
        ("simulate", "results/toy/mf/outcomes/block_123.parquet", "results/toy/mf/outcomes/block_00a.parquet"),
    ],
)
def test_wildcards_are_constrained(workflow, rule, right, wrong):
    assert workflow.get_rule(rule).is_producer(right)
    assert not workflow.get_rule(rule).is_producer(wrong)


def test_every_wildcard_has_a_constraint(workflow):
    names = {name for rule in workflow.rules for name in rule.wildcard_names}
    assert names == {"dataset", "model", "block", "family"}
    for rule in workflow.rules:
        for pattern in rule.output:
            assert all("," in wildcard for wildcard in re.findall(r"\{([^}]*)", pattern)), pattern
