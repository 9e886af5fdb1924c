"""What makes a job run again: its settings, its code and own data, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml
from hadyounot.settings import ConfigError
from hadyounot.study.config import check_study, load_study
from hadyounot.study.paths import PROJECT
from hadyounot.workflow import digest
from hadyounot.workflow.jobs import Jobs

SMOKE = PROJECT / "config/smoke.yaml"
MF, NCF, SURPRISE = (
    {"dataset": "toy", "model": "mf"},
    {"dataset": "ml-100k-slice", "model": "ncf"},
    {"dataset": "toy", "model": "surprise-svd"},
)
PEER = {"kind": "blackbox", "factory": "hadyounot.retrain.peers:SurpriseSVD", "settings": {"n_factors": 4}}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The library, once for all tests: what is read of it is kept."""
    return shutil.copytree(PROJECT / "lib/hadyounot", tmp_path_factory.mktemp("library") / "hadyounot")


@pytest.fixture
def edited(copied, monkeypatch):
    """Whether an edit of a module of the library changes what is asked of the jobs."""
    monkeypatch.setattr(digest, "PACKAGE", copied)
    said = yaml.safe_load(SMOKE.read_text())
    study = check_study(said | {"models": said["models"] | {"surprise-svd": PEER}}, "this test")

    def changes(module, asked):
        jobs = Jobs(study, PROJECT)
        before = asked(jobs)
        path = copied / f"{module}.py"
        text = path.read_text()
        path.write_text(text + "\nEDITED = 1\n")
        try:
            return asked(jobs) != before
        finally:
            path.write_text(text)

    return changes


TRAINS, NOT = ("models",), ()


@pytest.mark.parametrize(
    ("module", "notebook", "fields", "wildcards", "counts"),
    [
        ("retrain/mf_kernel", "30_simulate", TRAINS, MF, True),
        ("retrain/ncf_kernel", "30_simulate", TRAINS, NCF, True),
        ("retrain/ncf_kernel", "30_simulate", TRAINS, MF, False),
        ("retrain/mf_kernel", "30_simulate", TRAINS, NCF, False),
        ("retrain/blackbox", "30_simulate", TRAINS, SURPRISE, True),
        ("retrain/peers", "30_simulate", TRAINS, SURPRISE, True),
        ("retrain/peers", "30_simulate", TRAINS, MF, False),
        ("retrain/mf_kernel", "60_evaluate", TRAINS, MF, True),
        ("retrain/mf_kernel", "40_surrogates", NOT, MF, False),
        ("method/outcomes", "30_simulate", TRAINS, MF, True),
        ("method/choices", "40_surrogates", NOT, MF, True),
        ("method/choices", "30_simulate", TRAINS, MF, False),
        ("method/linear", "40_surrogates", NOT, MF, True),
        ("method/search", "50_explain", TRAINS, MF, True),
        ("method/search", "60_evaluate", TRAINS, MF, False),
        ("study/methods", "50_explain", TRAINS, MF, True),
        ("study/methods", "30_simulate", TRAINS, MF, False),
        ("study/registry", "10_dataset", ("datasets",), {"dataset": "toy"}, True),
        ("study/ratings_file", "10_dataset", ("datasets",), {"dataset": "toy"}, True),
        ("study/registry", "20_recommender", TRAINS, MF, False),
        ("retrain/mf", "20_recommender", TRAINS, MF, True),
        ("retrain/mf_kernel", "20_recommender", TRAINS, MF, True),
        ("report/style", "20_recommender", TRAINS, MF, False),
        ("compare/oracle", "60_evaluate", TRAINS, MF, True),
        ("retrain/base", "60_evaluate", TRAINS, MF, True),
        ("report/style", "60_evaluate", TRAINS, MF, False),
        ("workflow/demo", "60_evaluate", TRAINS, MF, False),
        ("study/config", "60_evaluate", TRAINS, MF, False),
    ],
)
def test_code_that_decides_a_stage_counts_and_no_other(edited, module, notebook, fields, wildcards, counts):
    assert edited(module, lambda jobs: jobs.code(notebook, fields, wildcards)) == counts


@pytest.mark.parametrize(("fields", "counts"), [(("survey",), True), (("projection",), False)])
def test_a_survey_s_page_counts_where_a_survey_is_written(fields, counts, tmp_path, monkeypatch):
    jobs = Jobs(load_study(SMOKE), PROJECT)
    before = jobs.code("85_survey", fields, MF)
    (tmp_path / "page.template").write_text("another page")
    monkeypatch.setattr("hadyounot.workflow.jobs.TEMPLATE", tmp_path / "page.template")
    assert (jobs.code("85_survey", fields, MF) != before) == counts


@pytest.mark.parametrize(
    "module", ["report/style", "report/tables/validity", "report/figures/figure6", "method/effects"]
)
def test_code_of_tables_and_figures_counts_for_all_of_them(edited, module):
    assert edited(module, lambda jobs: jobs.drawing) == module.startswith("report/")


def test_own_data_that_were_edited_are_other_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    row = {"sources": [{"kind": "folder", "ratings": {"path": "a.csv", "user": "u", "item": "i", "rating": "r"}}]}
    (tmp_path / "study.yaml").write_text(
        json.dumps(
            {
                "models": {"mf": {"kind": "mf"}},
                "cells": [{"dataset": "mine", "model": "mf"}],
                "datasets": {"mine": row},
            }
        )
    )
    jobs = Jobs(load_study(tmp_path / "study.yaml"), PROJECT)

    def code():
        return jobs.code("10_dataset", ("datasets",), {"dataset": "mine"})

    missing = code()
    (tmp_path / "a.csv").write_text("u,i,r\na,x,3\n")
    there = code()
    (tmp_path / "a.csv").write_text("u,i,r\na,x,4\n")
    assert len({json.dumps(each) for each in (missing, there, code())}) == 3
    (tmp_path / "a.csv").write_text("u,i,r\na,x,3\n")
    assert code() == there  # whatever its time


SHOP = PROJECT / "examples/my-shop"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Jobs of examples/my-shop, copied, with other counts or another model."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    monkeypatch.setenv("PYTHONPATH", "")
    folder = shutil.copytree(SHOP, tmp_path / "a shop")

    def jobs(old="", new=""):
        text = (SHOP / "study.yaml").read_text()
        assert old in text
        (folder / "study.yaml").write_text(text.replace(old, new))
        return Jobs(load_study(folder / "study.yaml"), PROJECT)

    return jobs


def test_what_lies_beside_a_study_is_found_by_it_and_by_what_it_starts(shop, capsys):
    shop().start([])
    said = capsys.readouterr().err
    assert re.search(r"^my-shop, similar: 1 blocks; data found: \S.*/a shop/ratings.csv$", said, re.M)
    started = subprocess.run(
        [sys.executable, "-c", "import shop; print(shop.__file__)"], capture_output=True, text=True
    )
    assert started.stdout.endswith("/a shop/shop.py\n")


def test_a_dataset_is_read_once_before_any_job_whatever_the_number_of_its_cells(shop, monkeypatch):
    from hadyounot.study.stages import dataset

    read, original = [], dataset.dataset
    monkeypatch.setattr(dataset, "dataset", lambda cell: read.append(cell.model) or original(cell))
    study = shop().study
    more = {"again": study.models["similar"], "more": study.models["similar"]}
    cells = [study.cells[0], *(study.cells[0].model_copy(update={"model": name}) for name in more)]
    Jobs(study.model_copy(update={"models": study.models | more, "cells": cells}), PROJECT).start([])
    assert len(read) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "training_users: 20",
            "training_users: 31",
            r"my-shop has 60 users with at least 3 .*test_users is 61: lower it",
        ),
        ("SimilarItems", "SimilarItem", "'shop:SimilarItem' cannot be imported .*in the folder of the study's file"),
        ("shop:", "shap:", "'shap:SimilarItems' cannot be imported .*No module named 'shap'"),
        ("{neighbours: 8}", "{neighbors: 8}", r"SimilarItems\(neighbours\), which does not take `settings`"),
        ("shop:SimilarItems", "collections:Counter", "makes a Counter without fit and scores"),
    ],
)
def test_what_cannot_be_run_is_said_before_any_job(shop, old, new, said):
    with pytest.raises(ConfigError, match=said):
        shop(old, new).start([])


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("shap:", "ModuleNotFoundError: No module named 'shap'"),
        ("no.such:", "ModuleNotFoundError: No module named 'no'"),
        ("shop.more:", "ModuleNotFoundError: __path__ attribute not found on 'shop'.*"),
    ],
)
def test_a_factory_that_is_not_there_is_said_before_its_code_is_looked_at(shop, new, said):
    fix = r"write package.module:name of something installed, on PYTHONPATH or in the folder of the study's file$"
    with pytest.raises(ConfigError, match=rf"^models: the blackbox factory '{new}SimilarItems' .*\({said}\); {fix}"):
        shop("shop:", new)


def test_a_factory_of_no_cell_may_be_missing():
    models = {"mf": {"kind": "mf"}, "own": {"kind": "blackbox", "factory": "shap:Similar"}}
    Jobs(check_study({"models": models, "cells": [{"dataset": "toy", "model": "mf"}]}, "here"), PROJECT)


def test_more_users_than_a_dataset_must_have_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    study = {"models": {"mf": {"kind": "mf"}}, "cells": [{"dataset": "ml-100k", "model": "mf", "training_users": 744}]}
    with pytest.raises(ConfigError, match=r"^ml-100k has 943 users, but .* of mf is 944: lower it$"):
        Jobs(check_study(study, "here"), PROJECT).start([])
    study["cells"][0]["training_users"] = 743
    Jobs(check_study(study, "here"), PROJECT).start([])


def test_a_k_that_no_item_can_leave_is_refused(shop):
    with pytest.raises(ConfigError, match=r"^explanation.top_k: .* on my-shop has more than \d\d candidate") as caught:
        shop("top_k: [1, 3, 5]", "top_k: [1, 36]").start([])
    shop("top_k: [1, 3, 5]", f"top_k: [1, {str(caught.value).rpartition(' ')[2]}]").start([])


def test_a_folder_that_may_not_be_written_in_is_said_before_any_job():
    code = (
        "import os, sys; from pathlib import Path; from hadyounot.workflow.jobs import Jobs\n"
        "from hadyounot.study.config import check_study\n"
        "study = {'models': {'mf': {'kind': 'mf'}}, 'cells': [{'dataset': 'ml-100k', 'model': 'mf'}]}\n"
        "folder, jobs = sys.argv[1], Jobs(check_study(study, 'here'), Path('x'))\n"
        "jobs.start([])  # imports, where the library itself is in a folder that root alone may enter\n"
        "os.mkdir(f'{folder}/open'); os.chmod(f'{folder}/open', 0o777); os.mkdir(f'{folder}/shut', 0o555)\n"
        "os.chmod(folder, 0o555); os.geteuid() or os.seteuid(65534)\n"
        "for name in 'open/x', 'open/new/x', 'shut/x', 'shut/new/x', 'new/x', 'x':\n"
        "    try: jobs.start([f'{folder}/open/y', f'{folder}/{name}']); print('fine')\n"
        "    except PermissionError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are below folders that root alone may enter
        ran = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    said = "[Errno 13] {} cannot be written in: Permission denied; make it writable and run again".format
    assert ran.stdout.splitlines() == ["fine"] * 2 + [said(f"{folder}/shut")] * 2 + [said(folder)] * 2


def test_what_a_block_is_given_does_not_hang_on_later_blocks():
    fields = ("models", "counterfactual", "explanation.explanation_size")
    study = load_study(SMOKE)
    more = study.model_copy(update={"counterfactual": study.counterfactual.model_copy(update={"training_users": 25})})
    few, many = (Jobs(each, PROJECT) for each in (study, more))
    for block, same in (("000", True), ("001", True), ("002", False)):
        assert (few.given(fields, MF | {"block": block}) == many.given(fields, MF | {"block": block})) == same


def test_what_snakemake_cannot_work_on_is_said(tmp_path, monkeypatch):
    study, folder = load_study(SMOKE), tmp_path / "answers"
    folder.mkdir()
    (folder / "a{1}.json").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^answers/a\{1\}.json: Snakemake takes braces .*; rename it$"):
        _ = Jobs(study.model_copy(update={"answers": "answers"}), PROJECT).answers
    with pytest.raises(ConfigError, match=r"^the study has no cell of netflix-small; it has "):
        Jobs(study, PROJECT).given(("train_share",), {"dataset": "netflix-small"})


def test_a_family_is_given_its_own_settings_alone():
    given = json.loads(Jobs(load_study(SMOKE), PROJECT).given(("ablations.families",), MF | {"family": "search"}))
    assert set(given["settings"]["ablations"]) == {"families", "candidates", "beam_width"}
    assert given["settings"]["ablations"]["families"] == ["search"]
