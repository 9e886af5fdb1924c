"""The workflow itself: real Snakemake runs of the smoke study, whole, killed and changed."""

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import psutil
import pytest
import yaml
from hadyounot.report import writing
from hadyounot.study import paths, schemas, store
from hadyounot.study.config import load_study
from hadyounot.study.methods import METHOD, SURROGATES
from hadyounot.workflow import plan, site
from hadyounot.workflow.demo import open_cell
from test_notebook import wait_for

pytestmark = pytest.mark.slow

CONFIG = paths.PROJECT / "config"
SMOKE = CONFIG / "smoke.yaml"
TOY_CELL = {"cells": [{"dataset": "toy", "model": "mf", "analysed": True}]}

VALIDITY = "dataset,model,method,top_k,n_users,n_valid,validity,ci_low,ci_high,paper"
TABLES = {  # names fixed by other tools that read them
    "table2_datasets": "dataset,users,items,interactions,train,test,paper_users,paper_items,paper_interactions",
    "table3_mf": VALIDITY,
    "table4_ncf": VALIDITY,
    "recommenders": "dataset,model,factors,epochs,train_rmse,test_rmse,ndcg_10,same_top1_share,distinct_top1,"
    "n_candidates",
    "signal": "dataset,model,own_change,others_change,ratio",
    "mcnemar": "dataset,model,top_k,method_a,method_b,n_users,only_a,only_b,p_value,p_holm",
    "table1_user_study": "method,mean,sd,p_value,correlation_kept,correlation_collected,correlation_kept_answers,"
    "correlation_collected_answers,mean_of_kept,mean_of_collected",
    "ablations": "dataset,model,family,variant,top_k,n_users,n_valid,validity,ci_low,ci_high,change_from_base,"
    "change_ci_low,change_ci_high,paper_change,control,change_from_control,control_ci_low,control_ci_high,r2,spearman",
    "naive": "dataset,model,top_k,size,n_users,n_removable,n_removable_upto,share_upto,ci_low,ci_high,"
    "mean_subset_share",
    "verification": "dataset,model,user,target,top_k,size,budget,n_items,rank_after,valid,retrained,seconds",
    "correlation": "dataset,model,user,measure,n_sets,pearson,spearman,pearson_low,pearson_high",
    "surrogate_quality": "dataset,model,predictor,n_targets,n_users,n_rows,r2,r2_within,spearman,spearman_low,"
    "spearman_high,lift,lift_low,lift_high,lift_best",
    "separability": "dataset,model,probe,n_users,n_rows,folds,r2,r2_low,r2_high,auc,auc_low,auc_high,"
    "r2_fitted,auc_fitted",
    "sutva": "dataset,model,own,own_top1_changed,others,others_top1_changed,others_share,ci_low,ci_high",
    "worlds": "dataset,recommender,world,protocol,reading,split_seed,model_seed,method,top_k,n_users,n_valid,validity,"
    "ci_low,ci_high,paper,test_rmse,ndcg_at_10,distinct_top1,train_gap",
    "indifferent": "dataset,recommender,world,protocol,reading,split_seed,model_seed,method",
    "renumbered": "dataset,recommender,world,protocol,split_seed,model_seed,method,top_k,n_users,n_valid,validity,"
    "ci_low,ci_high,renumbers",
    "verdict": "claim,where,paper,ours,ci_low,ci_high,worlds,verdict,command",
    "runtime": "stage,minutes,peak_mib,retrainings,ns_per_rating_and_model",
}
CELLS = "ml-100k-slice/ncf", "toy/mf", "toy/mf-rebuilt"
ANALYSED = "toy/mf"
BLOCKS = dict.fromkeys(CELLS, 1) | dict.fromkeys(("ml-100k-slice/ncf", ANALYSED), 2)
FIGURES = (
    *("figure5_generation_time", "figure6_validity_mf", "figure6_validity_ncf"),
    *("example_card", "methods_across_worlds", "what_decides_validity", "protocols", "figure2_user_ratings"),
    *("ablation_sample_size_toy_mf", "ablation_search_toy_mf", "figure7_baseline_correlation_toy_mf"),
    *("figure8_tsne_toy_mf", "validity_against_seconds_toy_mf"),
)
FAMILIES = load_study(SMOKE).ablations.families
STAGES = ("20_recommender", "30_simulate_000", "40_surrogates", "50_explain", "60_evaluate")


def command(folder, *arguments, study=SMOKE, settings=None, project=paths.PROJECT):
    """A run of ``study`` in ``folder``; options that would swallow a target come last."""
    settings = [f"{field}={json.dumps(value)}" for field, value in (settings or {}).items()]
    return [
        *(sys.executable, "-m", "snakemake", *arguments),
        *("--snakefile", str(project / "Snakefile"), "--directory", str(folder), "--configfile", str(study)),
        *(["--config", *settings] if settings else []),
    ]


def snakemake(*arguments, code=0, env=None, **options):
    """What a run that ends with ``code`` prints."""
    done = subprocess.run(command(*arguments, **options), capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(printed):
    """Messages of the jobs in what Snakemake printed, sorted."""
    return sorted(re.findall(r"^Job \d+: (.+)$", printed, re.M))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder, its name with a space, of the smoke study, run on 2 cores."""
    folder = tmp_path_factory.mktemp("smoke run")
    snakemake(folder, "--cores", "2")
    return folder


@pytest.fixture
def finished(smoke, tmp_path):
    """A copy of a finished run."""
    return Path(shutil.copytree(smoke, tmp_path / "finished run"))


# -- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_tables_have_the_promised_columns_a_twin_and_their_provenance(smoke, table):
    path = smoke / f"tables/{table}.csv"
    header, *rows = path.read_text().splitlines()
    assert header == TABLES[table]
    assert rows
    assert path.with_suffix(".md").read_text().count("|") > 2 * len(header.split(","))
    sidecar = json.loads(path.with_name(f"{table}.csv.provenance.json").read_text())
    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_table2_counts_the_data(smoke):
    rows = pd.read_csv(smoke / "tables/table2_datasets.csv").set_index("dataset")
    assert rows.loc["toy", ["users", "items", "interactions"]].tolist() == [60, 40, 875]
    assert rows.loc["ml-100k-slice", ["users", "items", "interactions"]].tolist() == [120, 200, 5572]
    assert (rows["train"] + rows["test"] == rows["interactions"]).all()
    assert (rows["train"] / rows["interactions"] - 0.7).abs().max() < 0.001


@pytest.mark.parametrize("table", ["table3_mf", "table4_ncf"])
def test_tables_of_validity_say_what_retraining_showed(smoke, table):
    rows = pd.read_csv(smoke / f"tables/{table}.csv")
    assert len(rows) == rows.groupby(["dataset", "model"]).ngroups * len(METHOD) * 3
    for row in rows.itertuples():
        path = smoke / f"results/{row.dataset}/{row.model}/evaluation.parquet"
        tested = store.read_parquet(path, schemas.EVALUATION).query("method == @row.method")
        assert row.n_users == len(tested) == 20
        assert row.n_valid == (tested["rank_after"] > row.top_k).sum()
        assert row.validity == row.n_valid / row.n_users
        assert row.ci_low - 1e-12 <= row.validity <= row.ci_high + 1e-12
    by_method = rows.pivot(index=["dataset", "model", "top_k"], columns="method", values="n_valid")
    assert set(by_method) == set(METHOD)
    assert (by_method["oracle"] == by_method.drop(columns="reseed").max(axis=1)).all()


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_there_as_png_and_pdf(smoke, figure):
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        path = smoke / f"figures/{figure}{suffix}"
        assert path.read_bytes().startswith(magic)
        sidecar = json.loads(path.with_name(f"{path.name}.provenance.json").read_text())
        assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("cell", CELLS)
def test_results_are_there_and_hold_what_their_schemas_say(smoke, cell):
    folder = smoke / "results" / cell
    blocks = sorted((folder / "outcomes").glob("*.parquet"))
    assert [path.name for path in blocks] == [f"block_{number:03d}.parquet" for number in range(BLOCKS[cell])]
    outcomes = [store.read_parquet(path, schemas.OUTCOMES) for path in blocks]
    assert {block["user"].nunique() for block in outcomes} == {10}
    explanations = store.read_parquet(folder / "explanations.parquet", schemas.EXPLANATIONS)
    assert not set(explanations["user"]) & set(pd.concat(outcomes)["user"])
    store.read_parquet(folder / "generation_time.parquet", schemas.GENERATION_TIME)
    fits = json.loads((folder / "surrogates.json").read_text())
    assert list(fits["methods"]) == sorted(method.name for method in SURROGATES)
    kept = {name.partition("/")[0] for name in store.read_arrays(folder / "surrogates.npz")}
    assert set(fits["methods"].values()) <= kept == set(fits["fits"])


def test_examples_are_told_in_words(smoke):
    text = (smoke / "tables/examples.md").read_text()
    assert all(f"# {load_study(SMOKE).title(*cell.split('/'))}: " in text for cell in CELLS)
    assert re.search(r"\*\*Recommended:\*\* .+ \(19\d\d\)\n", text)


def test_the_survey_is_made_where_it_is_asked_for_and_answers_are_read(finished):
    made = [path.format(dataset="toy", model="mf") for path in (paths.SURVEY, paths.SURVEY_PAGE)]
    assert not any((finished / path).exists() for path in made)
    ran = jobs(snakemake(finished, made[1], "--cores", "1"))
    assert [job[:20] for job in ran] == ["85_survey on toy/mf:"]
    survey = json.loads((finished / made[0]).read_text())
    assert survey["version"] in (finished / made[1]).read_text()
    (finished / "answers").mkdir()
    shutil.copy(finished / made[0], finished / "answers")
    settings = {"answers": "answers"}
    assert "table1_answers" in snakemake(finished, "--dry-run", settings=settings)
    said = snakemake(finished, "tables/table1_answers.csv", "--cores", "1", settings=settings, code=1)
    assert "0 participants are kept, and a test needs 2: collect more answers" in said
    assert "answers: there is no folder nowhere" in snakemake(
        finished, "--dry-run", settings={"answers": "nowhere"}, code=1
    )


def test_a_second_run_has_nothing_to_do(smoke):
    assert "Nothing to be done" in snakemake(smoke, "--cores", "2")


def test_a_plan_tells_what_a_model_costs_from_what_an_epoch_does(monkeypatch):
    """Where a model costs a second, and a tenth of one for each epoch."""
    clock = [0.0]

    def retrained(settings, seed):
        def retrain(train, deletions):
            clock[0] += (1 + 0.1 * settings.epochs) * len(deletions)

        return SimpleNamespace(retrain=retrain)

    cell = open_cell("30_simulate", {}, "toy", "toy", "mf", "")
    monkeypatch.setattr(plan, "recommender", retrained)
    monkeypatch.setattr(plan, "time", SimpleNamespace(process_time=lambda: clock[0]))
    for epochs in (600, 3, 1):
        models = {"mf": cell.study.models["mf"].model_copy(update={"epochs": epochs})}
        study = cell.study.model_copy(update={"models": models})
        assert plan.seconds_each(replace(cell, study=study)) == pytest.approx(1 + 0.1 * epochs)


def test_a_plan_of_a_model_that_diverges_says_so(tmp_path):
    study = yaml.safe_load((CONFIG / "toy.yaml").read_text())
    study["models"]["mf"]["learning_rate"] = 50
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    planning = [sys.executable, "-m", "hadyounot.workflow.plan", str(tmp_path / "study.yaml")]
    told = subprocess.run(planning, capture_output=True, text=True)
    assert told.returncode == 1
    assert "training diverged at learning_rate=50.0: choose a smaller one" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_plan_is_an_upper_bound_of_what_was_retrained(smoke):
    planning = [sys.executable, "-m", "hadyounot.workflow.plan", str(SMOKE)]
    told = subprocess.run(planning, capture_output=True, text=True, check=True)
    lines = [line.strip("| ") for line in told.stdout.splitlines() if line.startswith("|") and "--" not in line]
    plan = pd.read_csv(StringIO("\n".join(lines)), sep=r"\s*\|\s*", engine="python")
    for row in plan.itertuples():
        folder = smoke / "results" / row.dataset / row.model
        blocks = (folder / "outcomes").glob("*.parquet")
        simulated = sum(len(store.read_parquet(path, schemas.OUTCOMES)) for path in blocks)
        if f"{row.dataset}/{row.model}" == ANALYSED:
            sets = store.read_parquet(folder / "correlation.parquet", schemas.OUTCOMES)
            simulated += len(sets) + sets["user"].nunique()
        retrained = simulated + json.loads((folder / "retrainings.json").read_text())["retrained"]
        if (folder / "naive.parquet").exists():
            tried = store.read_parquet(folder / "naive.parquet", schemas.NAIVE)
            retrained += int(tried.loc[tried["top_k"] == 1, "n_subsets"].sum())
            fits = [json.loads((folder / f"ablations/{family}.json").read_text()) for family in FAMILIES]
            retrained += sum(fit["retrained"] for fit in fits)
            retrained += int(pd.read_csv(folder / "verification.csv")["retrained"].sum())
        assert retrained <= plan.loc[row.Index, "retrainings (at most)"] <= 3 * retrained
        assert plan.loc[row.Index, "core-hours"] < 0.1
    assert [f"{row.dataset}/{row.model}" for row in plan.itertuples()] == list(CELLS)


LOADS = r"""<(?:script|link|img|iframe|source|object)\b[^>]{0,200}?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//"""
IMPORTS = r"""@import\s+(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|\bimport\(\s*["']https?:"""


@pytest.fixture(scope="module")
def report(smoke):
    """Its place."""
    snakemake(smoke, "--report", "report.html")
    return smoke / "report.html"


def test_the_report_lists_every_category(report, browser):
    """Snakemake's page ends where a second label has two values for half of a category each."""
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for category, shown in (("Figures", "Figure 6"), ("Tables", "Table 3"), ("Notebooks", "70 ")):
        page.goto(report.as_uri())
        page.get_by_text(category, exact=True).first.click()
        page.get_by_text(shown).first.wait_for(timeout=10_000)
    page.close()
    assert not wrong


def test_the_report_is_one_page_that_holds_everything(smoke, report):
    page = report.read_text()
    start = re.search(r"var results = (?=\{)", page).end()
    results, _ = json.JSONDecoder().raw_decode(page, start)
    notebooks = {f"{cell}/{stage}" for cell in CELLS for stage in STAGES} | {
        "all/86_user_study",
        "all/90_tables",
        "all/91_figures",
        "all/95_verdict",
        "all/explore",
    }
    notebooks |= {f"{ANALYSED}/{stage}" for stage in ("65_naive", "67_verification", "75_correlation", "80_tsne")}
    notebooks |= {f"{ANALYSED}/70_ablations_{family}" for family in FAMILIES}
    notebooks |= {f"{cell}/30_simulate_001" for cell in CELLS if BLOCKS[cell] == 2}
    notebooks |= {f"{cell.partition('/')[0]}/10_dataset" for cell in CELLS}
    expected = {f"results/html/{notebook}.html" for notebook in notebooks}
    expected |= {f"tables/{table}.html" for table in (*TABLES, "examples")}
    expected |= {f"figures/{figure}.png" for figure in FIGURES}
    assert expected <= set(results)
    assert {tuple(result["labels"]) for result in results.values()} == {("name",)}
    named = {path: result["labels"]["name"] for path, result in results.items()}
    title = load_study(SMOKE).title(*ANALYSED.split("/"))
    assert named[f"results/html/{ANALYSED}/70_ablations_sample_size.html"].endswith(f", sample size: {title}")
    assert named[f"results/html/{ANALYSED}/30_simulate_001.html"].endswith(f", block 001: {title}")
    for path, result in results.items():
        content = base64.b64decode(result["data_uri"].partition("base64,")[2])
        assert content == (smoke / path).read_bytes()
        assert len(result["caption"]) > 50, path
        assert not re.search(r"mailto:|system-message|\{\{", result["caption"]), path
        if path.endswith(".html"):
            assert len(result["data_uri"]) < 2_000_000, path  # Chromium opens no longer address
            assert not re.findall(f"{LOADS}|{IMPORTS}", content.decode()), path
            assert b"...</td>" not in content, path  # texts are whole
    assert not re.findall(f"{LOADS}|{IMPORTS}", page)


def test_the_executed_notebooks_are_a_site_that_needs_no_network(smoke, tmp_path, capsys):
    command = [str(SMOKE), str(smoke), str(tmp_path / "site")]
    assert site.main(command) == 0
    executed = {path.relative_to(smoke / "logs").with_suffix(".html") for path in smoke.glob("logs/**/*.ipynb")}
    pages = {path.relative_to(tmp_path / "site"): path.read_text() for path in (tmp_path / "site").glob("*/**/*.html")}
    assert pages.keys() == executed
    assert f"{len(executed)} notebooks" in capsys.readouterr().out
    front = (tmp_path / "site/index.html").read_text()
    for title in ("Planted toy world × matrix factorisation (mf-rebuilt)", "70 · Ablations (section 5.3): sample size"):
        assert title in front
    for page in (front, *pages.values()):
        assert not re.findall(f"{LOADS}|{IMPORTS}", page)
    explained = pages[Path(f"{ANALYSED}/50_explain.html")]
    assert "<math " in explained
    assert "<table" in explained
    assert site.main([str(SMOKE), str(tmp_path), str(tmp_path / "none")]) == 1
    assert f"{tmp_path} has no executed notebook of this study: run it first" in capsys.readouterr().err


def test_a_site_has_no_notebook_of_a_former_study_and_none_that_failed(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 30 · Simulate")])
    parts = "30_simulate_000", "30_simulate_007", "70_ablations_effect", "70_ablations_products", "20_recommender"
    for part in parts:
        executed, page = (
            tmp_path / place.format(cell="toy/mf", notebook=part) for place in (paths.EXECUTED, paths.HTML)
        )
        for path in (executed, page):
            path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, executed)
        if part != "20_recommender":  # a notebook that fails has no page
            page.touch()
    (tmp_path / "source").mkdir()
    assert site._write_source(load_study(paths.PROJECT / "config/toy.yaml"), tmp_path, tmp_path / "source") == 2
    listed = (tmp_path / "source/index.md").read_text()
    assert re.findall(r"<toy/mf/(.+)>", listed) == ["30_simulate_000", "70_ablations_effect"]


# -- the same bytes, however it was run -------------------------------------------------------------------------------

# Wall times differ from run to run: these, and what is drawn from them.
TIMES = ("generation_time", "verification.", "runtime.", "figure5_", "ablation_search_", "validity_against_seconds_")


# Tables without a row of the cell toy/mf.
OTHER_CELLS = {"table4_ncf", "table1_user_study", "verdict", "renumbered"}


def contents(folder, *patterns):
    """sha256 by path of the files that must repeat."""
    files = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.startswith(TIMES)
    }


@pytest.fixture
def toy_cell(finished):
    """Its tables, in a copy of the finished run, as those of a study of that cell alone."""
    for path in (finished / "tables").glob("*.*"):
        path.unlink()
    return finished, load_study(SMOKE).of("toy", "mf")


@pytest.mark.parametrize("table", sorted(set(TABLES) - OTHER_CELLS - {"runtime", "verification"}))
def test_a_cells_rows_are_the_same_whatever_other_cells_a_study_has(smoke, toy_cell, table):
    folder, study = toy_cell
    lines = (smoke / f"tables/{table}.csv").read_text().splitlines(keepends=True)
    world = r"toy,mf,mf,pinned,\w+,0,0,"
    mine = {"table2_datasets": "toy,", "worlds": world, "indifferent": world}.get(table, "toy,mf,")
    kept = [line for number, line in enumerate(lines) if number == 0 or re.match(mine, line)]
    writing.write(table, study, folder)
    assert "".join(kept) == (folder / f"tables/{table}.csv").read_text()


def simulating(log):
    """Whether the notebook of which ``log`` is written as it runs has come to its retraining."""
    try:
        cells = json.loads(log.read_text())["cells"]
    except (FileNotFoundError, ValueError):  # not there yet, or half written
        return False
    return any("simulate(" in "".join(c["source"]) and c["metadata"]["papermill"]["start_time"] for c in cells)


def test_a_killed_run_goes_on_after_unlocking_and_gives_the_same_bytes_on_one_core(tmp_path, smoke):
    folder, log = tmp_path, tmp_path / paths.EXECUTED.format(cell="toy/mf", notebook="30_simulate_000")
    family = f"results/toy/mf/ablations/{FAMILIES[0]}.*"  # one for all
    whole = contents(smoke, "results/toy/*", "results/toy/mf/*", "results/toy/mf/outcomes/*", family)
    targets = [path for path in whole if not path.endswith(".provenance.json")]
    suffixes = [Path(path).suffix for path in targets]
    counts = [suffixes.count(suffix) for suffix in (".parquet", ".csv", ".npz", ".json")]
    assert counts == [12, 6, 2, 6]  # parquet, csv, npz, json
    started = subprocess.Popen(
        command(folder, *targets, "--cores", "2", settings=TOY_CELL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: simulating(log), 300)
        family = psutil.Process(started.pid).children(recursive=True)
    finally:
        started.kill()
        started.wait()
    assert any("ipykernel_launcher" in " ".join(process.cmdline()) for process in family if process.is_running())
    assert not psutil.wait_procs(family, timeout=30)[1], "the runner or its kernel lives on"
    page = folder / paths.HTML.format(cell="toy/mf", notebook="30_simulate_000")
    assert not page.exists(), "the runner went on to its end"

    assert "--unlock" in snakemake(folder, "--cores", "2", settings=TOY_CELL, code=1)
    snakemake(folder, "--unlock", settings=TOY_CELL)
    resumed = jobs(snakemake(folder, *targets, "--cores", "1", settings=TOY_CELL))
    assert any(job.startswith("30_simulate_000 on toy/mf") for job in resumed)
    assert not any(job.startswith("10_dataset") for job in resumed)
    assert contents(folder, "results/toy/**/*") == whole


# -- what runs again, and what does not -------------------------------------------------------------------------------


OF_A_CELL = re.compile(r"\d\d_\w+ on (?!all:)")  # a job's message; what is of all cells shows tables and figures


def planned(folder, settings):
    """How many jobs of each stage would run in ``folder`` for toy/mf and for all cells together, and which tables."""
    printed = jobs(snakemake(folder, "--dry-run", settings=settings))
    mine = [job for job in printed if re.match(r"\d\d_\w+ on (toy|toy/mf|all):", job)]
    return Counter(job[:2] for job in mine), {job for job in printed if job.startswith("table ")}


def once(*stages):
    """A job of each of these stages, but one for each family of the ablations."""
    return Counter(stages) + Counter({"70": len(FAMILIES) - 1} if "70" in stages else {})


EVERY_TABLE = {f"table {name}" for name in {*TABLES, "examples", "finding"}}


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        # more training users are more blocks, and change none that is there
        ({"counterfactual": {"training_users": 30}}, ("30", "40", "50", "60", "67", "70", "75", "80")),
        ({"explanation": {"top_k": [1, 2]}}, ("50", "60", "65", "67", "70")),  # 50: what is proven
        # 20: the signal
        (
            {"explanation": {"explanation_size": 2}},
            ("10", "20", "30", "30", "40", "50", "60", "65", "67", "70", "75", "80"),
        ),
        ({"seed": 1}, ("10", "20", "30", "30", "40", "50", "60", "65", "67", "70", "75", "80")),
        # the row of a dataset is the study's as well
        (
            {"datasets": {"toy": {"sources": [{"kind": "planted", "seed": 1}]}}},
            ("10", "20", "30", "30", "40", "50", "60", "65", "67", "70", "75", "80"),
        ),
    ],
    ids=["training users", "top_k", "explanation size", "seed", "dataset"],
)
def test_what_another_setting_runs_again(finished, settings, stages):
    assert planned(finished, settings) == (once(*stages, "86", "90", "91", "95"), EVERY_TABLE)


def test_another_beam_reruns_the_searches_alone(finished):
    ran = jobs(snakemake(finished, "--dry-run", settings={"ablations": {"beam_width": 7}}))
    assert [job[:31] for job in ran if OF_A_CELL.match(job)] == ["70_ablations_search on toy/mf: "]


def test_neither_a_dry_run_nor_a_second_command_touches_a_run(finished):
    """Jobs of a run under way read no file that another command writes."""

    def everything():
        return {path: path.stat().st_mtime_ns for path in finished.rglob("*") if ".snakemake" not in path.parts}

    before = everything()
    snakemake(finished, "--dry-run", settings={"seed": 1})
    locks = finished / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    for kind in ("input", "output"):
        (locks / f"0.{kind}.lock").write_text("".join(f"{path.relative_to(finished)}\n" for path in before))
    refused = snakemake(finished, "--cores", "1", settings={"seed": 1}, code=1)
    assert "--unlock" in refused
    assert everything() == before


@pytest.fixture(scope="module")
def copied(smoke, tmp_path_factory):
    """A copy of the project and of a finished run in it, under a path with what shells and formats take for theirs."""
    project = tmp_path_factory.mktemp("a copy") / "cost$HOME" / "it's a`b"
    for folder in ("config", "envs", "lib", "notebooks", "profiles"):
        shutil.copytree(paths.PROJECT / folder, project / folder)
    shutil.copy2(paths.PROJECT / "Snakefile", project)
    shutil.copytree(smoke, project / "run")
    return project


def at(project):
    """Options of a command on a copied project."""
    env = os.environ | {"PYTHONPATH": str(project / "lib")}
    return {"project": project, "study": project / "config/smoke.yaml", "env": env}


def test_a_project_that_was_copied_with_its_run_has_nothing_to_do(copied):
    assert "Nothing to be done" in snakemake(copied / "run", "--cores", "1", **at(copied))


def test_a_project_works_wherever_it_lies(copied, smoke):
    ratings = paths.RATINGS.format(dataset="toy")
    snakemake(copied / "new", ratings, "--cores", "1", **at(copied))
    assert (copied / "new" / ratings).read_bytes() == (smoke / ratings).read_bytes()


@pytest.mark.parametrize(
    ("file", "old", "new", "first"),
    [
        ("datasets.yaml", "kind: planted\n      seed: 0", "kind: planted\n      seed: 1", "10_dataset"),
        ("published.yaml", "linear_reg: [82, 68, 54.5]", "linear_reg: [83, 68, 54.5]", "table "),
        ("claims.yaml", "tolerance: 5\n", "tolerance: 4\n", "table verdict"),
    ],
)
def test_a_changed_row_of_a_registry_runs_again_what_reads_it(copied, file, old, new, first):
    path = copied / "config" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    try:
        ran = jobs(snakemake(copied / "run", "--dry-run", **at(copied)))
    finally:
        path.write_text(text)
    assert any(job.startswith(first) for job in ran)
    assert not any("ml-100k-slice" in job for job in ran)
    assert file == "datasets.yaml" or not any(map(OF_A_CELL.match, ran))


# -- when it fails ----------------------------------------------------------------------------------------------------


def test_make_survey_of_another_study_asks_for_its_page(tmp_path):
    told = f"{shlex.quote(sys.executable)} -m snakemake --dry-run"
    given = ["survey", f"CONFIG={SMOKE}", "CELL=toy/mf", f"FOLDER={tmp_path}/a run", f"SNAKEMAKE={told}"]
    done = subprocess.run(["make", "-o", ".venv/ready", *given], cwd=paths.PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(job.startswith("85_survey on toy/mf") for job in jobs(done.stdout + done.stderr))


def test_a_failing_notebook_is_kept_and_the_log_says_what_to_change_and_how_to_see_it(tmp_path):
    finished = tmp_path / "failed run"
    block = paths.OUTCOMES.format(dataset="toy", model="mf", block="003")
    # no user is left, which is not known before the data are read
    settings = TOY_CELL | {"explanation": {"explanation_size": 30}, "counterfactual": {"training_users": 39}}
    printed = snakemake(finished, block, "--cores", "1", settings=settings, code=1)
    said = (finished / "logs/toy/mf/30_simulate_003.log").read_text()
    assert re.search(
        r"ConfigError: toy has 0 users with at least 30 training items, but counterfactual.training_users is 39: ",
        said,
    )
    log = "logs/toy/mf/30_simulate_003.ipynb"
    assert f"cd {shlex.quote(str(finished))} && {shlex.quote(sys.executable)} -m jupyter lab {log}" in said
    assert printed.count("39: lower it") == 1
    assert "cell_type" not in printed  # the notebook's JSON, of hundreds of lines
    outputs = [output for c in json.loads((finished / log).read_text())["cells"] for output in c.get("outputs", [])]
    assert [output["ename"] for output in outputs if output["output_type"] == "error"] == ["ConfigError"]
    assert not (finished / block).exists()
