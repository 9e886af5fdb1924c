"""The command that writes one table or figure, on a small finished run: from what it says it reads, nothing else."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import hadyounot
import numpy as np
import pandas as pd
import pytest
from hadyounot.report import __main__, figures, output, tables, writing
from hadyounot.report.finding import finding
from hadyounot.report.page import page
from hadyounot.report.tables.validity import indifferent
from hadyounot.study import config, paths, schemas, store, yaml_file
from hadyounot.study.cell import Cell
from hadyounot.study.methods import METHOD, SURROGATES
from hadyounot.study.ratings_file import DataError
from hadyounot.study.stages import learn
from hadyounot.study.stages.simulate import simulated
from hadyounot.workflow import archive, snapshot
from hadyounot.workflow.demo import open_report
from PIL import Image

TINY = """
models:
  mf: {kind: mf, factors: 4, epochs: 30, learning_rate: 0.02, regularization: 0.05, init_scale: 0.1}
cells:
  - {dataset: toy, model: mf, analysed: true}
counterfactual: {training_users: 10, deletions_per_user: 12, n_targets: 4, users_per_block: 5}
surrogates: {folds: 3, lasso: {penalties: 50}, mlp: {batch_size: 256, max_epochs: 2}}
ablations:
  families: [effect, deletion_size, search, sample_size]
  deletion_sizes: [1, 3]
  deletions_per_user: 4
  candidates: [20]
  sample_users: [5]
  sample_deletions: [4]
naive: {users: 2, max_history: 9, max_size: 2}
verification: {users: 3, budgets: [2, 6]}
explanation: {test_users: 8, max_candidates: 50, examples: 2, budget: 6, oracle: {exhaustive: 5, shortlist: 4}}
correlation: {users: 4, sets: 6}
projection: {users: 8, points: 80, perplexity: 10}
"""

TABLES = [
    *("table1_user_study", "table2_datasets", "table3_mf", "mcnemar", "naive", "verification", "ablations"),
    *(
        "recommenders",
        "signal",
        "sutva",
        "worlds",
        "indifferent",
        "correlation",
        "surrogate_quality",
        "separability",
        "verdict",
        "runtime",
    ),
]
FIGURES = [
    *("figure2_user_ratings", "figure5_generation_time", "figure6_validity_mf"),
    *("what_decides_validity", "example_card"),
    *("figure7_baseline_correlation_toy_mf", "figure8_tsne_toy_mf", "validity_against_seconds_toy_mf"),
    *("ablation_deletion_size_toy_mf", "ablation_sample_size_toy_mf", "ablation_search_toy_mf"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Cell:
    """The one cell of a run, all stages finished, and all tables written."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(TINY)
    made = open_report("90_tables", {}, str(folder / "tiny.yaml"), "")
    for table in TABLES:
        writing.write(table, made.study, made.folder)
    (cell,) = Cell.all_of(made.study, made.folder)
    return cell


@pytest.fixture(scope="module")
def study(run) -> config.StudyConfig:
    return config.check_study(yaml_file.yaml.safe_load(TINY), "tiny")


def write(name: str, study: config.StudyConfig, folder: Path) -> int:
    """The command line, on as many threads as this process has: numba takes no other number afterwards."""
    params = json.dumps({"settings": study.part(), "folder": str(folder)})
    return __main__.main([name, "--params", params, "--threads", os.environ["NUMBA_NUM_THREADS"]])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TABLES, "examples", "finding", *FIGURES])
def test_one_is_written_from_what_it_says_it_reads(run, study, tmp_path, name):
    for file in output.needs(name, study):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run.folder / file, tmp_path / file)
    before = set(tmp_path.rglob("*"))
    assert write(name, study, tmp_path) == 0
    written = {path.name for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    if name in ("examples", "finding"):
        assert written == {"examples.md", "examples.html"} if name == "examples" else {"finding.rst"}
        return
    made = [f"{name}.csv"] if name in TABLES else [f"{name}.pdf", f"{name}.png"]
    twins = [f"{name}.md", f"{name}.html"] if name in TABLES else []
    assert written == {*made, *twins, *(f"{file}.provenance.json" for file in made)}
    for file in made:
        path = tmp_path / ("tables" if name in TABLES else "figures") / file
        provenance = json.loads(path.with_name(f"{file}.provenance.json").read_text())
        assert provenance["config_sha256"] == config.digest(study)  # settings come back whole
        assert provenance["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    if name in TABLES:
        assert len(store.read_csv(path, tables.table(name).schema)) or name == "runtime"
        lines = [line for line in path.with_suffix(".md").read_text().splitlines() if line.startswith("|")]
        page = path.with_suffix(".html").read_text()
        assert path.with_suffix(".md").read_text().count("|") > len(tables.table(name).schema.columns)
        assert lines
        assert page.count("<tr>") == sum(not line.startswith(("|:", "|-")) for line in lines)
    else:
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert 800 <= Image.open(path).width <= 1200


def test_the_first_page_says_what_the_table_of_worlds_says(run, study, tmp_path):
    (tmp_path / "tables").mkdir()
    shutil.copy(run.folder / "tables/worlds.csv", tmp_path / "tables")
    fits = paths.SURROGATE_FITS.format(dataset="toy", model="mf")
    store.write(tmp_path / fits, store.read(run.folder / fits) | {"indifferent": ["linear_reg"]})
    assert write("finding", study, tmp_path) == 0
    text = (tmp_path / "tables/finding.rst").read_text()
    worlds = store.read_csv(tmp_path / "tables/worlds.csv", tables.table("worlds").schema)
    own = worlds[(worlds["top_k"] == 1) & (worlds["reading"] == "unseen")].set_index("method")
    for name in ("knn", "influence", "linear_reg", "mlp_reg", "linear_reg_aware", "verified", "random", "oracle"):
        low, high = (100 * own.loc[name, end] for end in ("ci_low", "ci_high"))
        called = METHOD[name].label + ", which names any items," * (name == "linear_reg")
        assert f"{called} {100 * own.loc[name, 'validity']:.0f} [{low:.0f}, {high:.0f}]" in text
    assert text.count("names any items") == 1
    opened = re.findall(r"resultPath:'(\S+?)'", text)
    shown = {next(iter(output.written(name, study).values())) for name in output.names(study)}
    assert len(opened) == 5
    assert set(opened) - shown == {"results/html/all/explore.html"}


@pytest.fixture
def two(run):
    """A study of another cell too; what table worlds has of the first; and of the other, if all held there."""
    cells = [{"dataset": dataset, "model": "mf"} for dataset in ("toy", "ml-100k-slice")]
    study = config.check_study(yaml_file.yaml.safe_load(TINY) | {"cells": cells}, "two")
    worlds = store.read_csv(run.folder / "tables/worlds.csv", tables.table("worlds").schema)
    return study, worlds, worlds.assign(dataset="ml-100k-slice", paper=0.17, validity=1.0)


def test_the_first_page_calls_every_dataset_by_its_title(run, two):
    study, worlds, other = two
    text = finding(pd.concat([worlds, other], ignore_index=True), Cell.all_of(study, run.folder), study, [])
    assert "% (Planted toy world, mf, pinned) to 100 % (MovieLens-100K (slice), mf, pinned)" in text


def test_the_first_page_says_of_the_first_cell_what_is_that_cells(run, two):
    """Also where another cell has a method, or a number of the paper's, that the first has not."""
    study, worlds, other = two
    both = pd.concat([worlds[~worlds["method"].isin(["influence", "influence_block"])], other], ignore_index=True)
    first = finding(both, Cell.all_of(study, run.folder), study, [])
    assert "Influence" not in first
    assert "the paper 17" not in first
    assert "KNN 100" not in first


def test_a_page_shows_tags_of_titles_and_breaks_lines_of_cells():
    text = page("a < b", "| title |\n|---|\n| <script>x</script><br>&amp; \\*M\\* |\n")
    assert "<td>&lt;script&gt;x&lt;/script&gt;<br>&amp;amp; *M*</td>" in text
    assert "<title>a &lt; b</title>" in text


def test_a_page_lets_wide_tables_scroll_and_breaks_no_number():
    text = page("t", "| method | K = 1 |\n|---|---|\n| KNN | 76.5 % [1.0, 2.0] |\n")
    assert '<div class="wide"><table>' in text
    assert '<th class="number">K = 1</th>' in text
    assert '<td>KNN</td>\n  <td class="number">76.5 % [1.0, 2.0]</td>' in text


def test_names_are_those_of_the_study(study):
    assert output.names(study) == [*TABLES, "examples", "finding", *FIGURES]
    plain = {"cells": [{"dataset": "toy", "model": "mf"}, {"dataset": "toy", "model": "own"}]}
    plain["models"] = {"mf": {"kind": "mf", "epochs": 3}, "own": {"kind": "blackbox", "factory": "some:thing"}}
    plain = config.check_study(plain, "plain")
    assert tables.names(plain) == [
        *("table1_user_study", "table2_datasets", "table3_mf", "validity_blackbox", "mcnemar", "recommenders"),
        *("signal", "sutva", "worlds", "indifferent", "verdict", "runtime"),
    ]
    assert list(figures.names(plain)) == [
        *("figure2_user_ratings", "figure5_generation_time", "figure6_validity_mf"),
        *("figure6_validity_blackbox", "methods_across_worlds", "what_decides_validity", "example_card"),
    ]


def test_the_papers_numbers_stand_beside_data_of_the_papers_alone():
    shop = config.load_study(paths.PROJECT / "examples/my-shop/study.yaml")
    papers = {"table1_user_study", "verdict", "figure2_user_ratings"}
    assert not papers & {*output.names(shop)}
    for dataset in ("ml-100k", "netflix-sample", "ml-100k-slice", "toy"):
        study = {"models": {"mf": {"kind": "mf"}}, "cells": [{"dataset": dataset, "model": "mf"}]}
        assert papers <= {*output.names(config.check_study(study, "here"))}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("table4_ncf", "has no such table or figure"),
        ("figure6_validity", "write figure6_validity_mf"),
        ("table3_mf", "snakemake results/toy/mf/evaluation.parquet"),
        ("figure6_validity_mf", "snakemake tables/table3_mf.csv"),
    ],
)
def test_what_cannot_be_written_is_one_clear_error(study, tmp_path, capsys, name, told):
    assert write(name, study, tmp_path) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_room_to_write_is_one_line(study, tmp_path, monkeypatch, capsys):
    def full(*given):
        raise OSError(errno.ENOSPC, "no room for a.csv: free some")

    monkeypatch.setattr(writing, "write", full)
    assert write("recommenders", study, tmp_path) == 1
    assert capsys.readouterr().err == f"[Errno {errno.ENOSPC}] no room for a.csv: free some\n"


def imported(*command: str) -> set[str]:
    """Packages that a Python process imports."""
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_names_cost_no_data_frames_and_tables_no_drawing(run, study, tmp_path):
    assert not {"pandas", "numpy"} & imported("-c", "import hadyounot.report.output, hadyounot.workflow.jobs")
    shutil.copytree(run.folder / "results", tmp_path / "results")
    params = json.dumps({"settings": study.part(), "folder": str(tmp_path)})
    loaded = imported("-m", "hadyounot.report", "table2_datasets", "--params", params)
    assert (tmp_path / "tables/table2_datasets.csv").exists()
    assert not {"torch", "matplotlib", "seaborn", "statsmodels"} & loaded


def test_surrogates_are_indifferent_that_have_no_weight_on_deleted_items(run, tmp_path):
    shutil.copytree(run.folder / "results", tmp_path / "results")
    cell = Cell(run.study, "toy", "mf", tmp_path)
    learned, facts = learn.learn(learn.kept_fits(cell), SURROGATES), cell.read(paths.SURROGATE_FITS)
    assert facts["indifferent"] == learn.indifferent(learned)
    for name, weight in (("linear_reg", 1e-9), ("linear_clf", 0.0), ("linear_reg_aware", -2.0)):
        weights = np.zeros_like(learned[name].surrogate.item_weights)
        weights[-1] = weight
        learned[name] = replace(learned[name], surrogate=replace(learned[name].surrogate, item_weights=weights))
    assert learn.indifferent(learned) == ["linear_clf"]
    store.write(cell.path(paths.SURROGATE_FITS), facts | {"indifferent": ["linear_clf"]})
    assert indifferent([cell]) == {("toy", "mf"): ["linear_clf"]}
    path = tmp_path / "tables/table3_mf.csv"
    writing.write("table3_mf", config.check_study(yaml_file.yaml.safe_load(TINY), "tiny"), tmp_path)
    said = re.findall(r"\n(.+): no weight on deleted items survived", path.with_suffix(".md").read_text())
    assert said == ["Linear surrogate (clf)"]


# -- snapshots --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(run, study, tmp_path_factory) -> Path:
    """A snapshot of the run, after all figures were drawn too."""
    folder = tmp_path_factory.mktemp("kept")
    for name in [*FIGURES, "examples"]:
        writing.write(name, study, run.folder)
    (folder / "tiny.yaml").write_text(TINY)
    assert snapshot.main(["keep", str(folder / "tiny.yaml"), str(run.folder), str(folder / "snapshot")]) == 0
    return folder / "snapshot"


@pytest.mark.slow
def test_a_snapshot_draws_every_byte_again_and_holds_no_rating_and_no_outcome(kept):
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    held = {path.name for path in before}
    assert not held & {"ratings.parquet", "users.parquet", "items.parquet", "embeddings.npz", "block_000.parquet"}
    assert not [name for name in held if name.endswith(".npz")]
    assert {f"{name}.png" for name in FIGURES} | {f"{name}.csv" for name in TABLES} < held
    sums = store.read_json(kept / "provenance.json")["files"]
    assert sums.keys() == {str(path.relative_to(kept)) for path in before} - {"provenance.json"}
    for path in before:
        if path.parent.name in ("tables", "figures") and path.stem != "runtime":
            path.unlink()
    assert snapshot.main(["draw", str(kept)]) == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "left", "least"),
    [("paper", set(), 21), ("worlds", {"verdict", "indifferent"}, 8)],  # which takes 20 s; which it holds no inputs of
)
def test_the_snapshots_draw_the_bytes_that_are_kept(place, left, least, tmp_path):
    folder = tmp_path / place
    shutil.copytree(paths.PROJECT / "docs/results" / place, folder)
    study = config.load_study(folder / "study.yaml")
    rated = {path.format(dataset=cell.dataset) for path in paths.RATED for cell in study.cells}
    held = {path.stem for path in folder.glob("[tf]*/*")}
    drawn = [
        name for name in snapshot.names(study) if name in held - left and not rated & set(output.needs(name, study))
    ]
    assert len(drawn) >= least
    made = [Path(path) for name in drawn for path in output.written(name, study).values()]
    kept = {path: (folder / path).read_bytes() for path in made if path.suffix not in snapshot.UNKEPT}
    for path in kept:
        (folder / path).unlink()
    snapshot.draw(folder, drawn)
    assert [path for path, content in kept.items() if (folder / path).read_bytes() != content] == []


@pytest.mark.slow
def test_one_figure_of_a_snapshot_is_drawn_alone(kept, capsys):
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    assert snapshot.main(["draw", str(kept), "figure6", "mcnemar"]) == 0
    assert capsys.readouterr().out == f"{kept}: drew mcnemar, figure6_validity_mf\n"
    changed = {path.name for path in kept.rglob("*") if path.is_file() and path.stat().st_mtime_ns != before.get(path)}
    twins = {"mcnemar.csv", "mcnemar.md", "mcnemar.html"}
    assert changed == {*twins, "figure6_validity_mf.png", "figure6_validity_mf.pdf"}
    assert snapshot.main(["draw", str(kept), "figure9"]) == 1
    assert capsys.readouterr().err.startswith(f"figure9: {kept} has no such table or figure; it has table1_user_study,")


@pytest.mark.slow
def test_a_snapshot_of_some_holds_and_draws_those_alone(kept, run, tmp_path, capsys):
    file, some = kept.parent / "tiny.yaml", tmp_path / "some"
    asked = [str(file), str(run.folder), str(some)]
    assert snapshot.main(["keep", *asked, "mcnemar", "figure9"]) == 1
    assert capsys.readouterr().err.startswith(f"figure9: {file} has no such table or figure; it has table1_user_study,")
    assert not some.exists()
    assert snapshot.main(["keep", *asked, "mcnemar", "what_decides"]) == 0
    held = {str(path.relative_to(some)): path.read_bytes() for path in some.rglob("*") if path.is_file()}
    twins = {f"tables/{name}.{kind}" for name in ("mcnemar", "worlds", "indifferent") for kind in ("csv", "md")}
    drawn = twins | {"figures/what_decides_validity.png"}
    read = {f"results/toy/mf/{name}" for name in ("evaluation.parquet", "quality.json", "surrogates.json")}
    assert {name for name in held if not name.startswith("results/")} == drawn | {"study.yaml", "provenance.json"}
    assert read < held.keys() < {str(path.relative_to(kept)) for path in kept.rglob("*")}
    for name in drawn:
        (some / name).unlink()
    assert snapshot.main(["draw", str(some)]) == 0
    assert capsys.readouterr().out == f"{some}: drew mcnemar, worlds, indifferent, what_decides_validity\n"
    assert {name: (some / name).read_bytes() for name in held} == held
    assert snapshot.main(["draw", str(some), "table3"]) == 1
    assert capsys.readouterr().err == (
        f"table3: {some} has no such table or figure; it has mcnemar, worlds, indifferent, what_decides_validity\n"
    )


@pytest.mark.slow
def test_a_table_whose_inputs_a_snapshot_does_not_hold_is_left_and_drawn_from(kept, run, tmp_path):
    some = tmp_path / "some"
    assert snapshot.main(["keep", str(kept.parent / "tiny.yaml"), str(run.folder), str(some), "what_decides"]) == 0
    known = store.read_json(some / "provenance.json")
    del known["files"]["results/toy/mf/surrogates.json"]
    store.write_json(some / "provenance.json", known)
    (some / "results/toy/mf/surrogates.json").unlink()
    own = schemas.INDIFFERENT.columns.keys()
    row = dict.fromkeys(own, 0) | {"dataset": "toy", "recommender": "mf", "world": "mf", "protocol": "pinned"}
    said = pd.DataFrame([row | {"reading": "unseen", "method": "mlp_reg"}])
    before = (some / "figures/what_decides_validity.png").read_bytes()
    store.write_csv(some / "tables/indifferent.csv", said, schemas.INDIFFERENT)
    written = (some / "tables/indifferent.csv").read_bytes()
    assert snapshot.main(["draw", str(some)]) == 0
    assert (some / "tables/indifferent.csv").read_bytes() == written
    assert (some / "figures/what_decides_validity.png").read_bytes() != before  # it has a hollow mark now


@pytest.mark.slow
def test_a_snapshot_of_what_the_paper_prints_needs_no_results(kept, run, tmp_path, capsys):
    some = tmp_path / "some"
    assert snapshot.main(["keep", str(kept.parent / "tiny.yaml"), str(run.folder), str(some), "table1_user"]) == 0
    assert not (some / "results").exists()
    (some / "tables/table1_user_study.csv").unlink()
    assert snapshot.main(["draw", str(some)]) == 0
    assert (some / "tables/table1_user_study.csv").is_file()
    shutil.copytree(kept, tmp_path / "kept")
    (tmp_path / "kept/results/toy/mf/quality.json").unlink()
    capsys.readouterr()
    assert snapshot.main(["draw", str(tmp_path / "kept"), "recommenders"]) == 1
    assert capsys.readouterr().err.endswith(
        "quality.json: its sha256 is not the one in provenance.json, or it is not there; restore the file\n"
    )


def test_a_table_that_a_run_has_not_come_to_is_said_with_what_makes_it(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    report = open_report("90_tables", {}, str(tmp_path / "tiny.yaml"), str(tmp_path))
    command = f"snakemake tables/table2_datasets.md --directory {tmp_path} --configfile {tmp_path}/tiny.yaml"
    with pytest.raises(store.StoreError, match=re.escape(f"make it: {command}")):
        report.table("table2_datasets")


@pytest.mark.slow
def test_what_shows_no_titles_is_drawn_where_a_dataset_cannot_be_had(kept, capsys, monkeypatch):
    def absent(*given, **named):
        raise DataError("nowhere to be had")

    monkeypatch.setattr(snapshot.STAGES["10_dataset"].__class__, "run", absent)
    (kept / "tables/mcnemar.csv").unlink()
    assert snapshot.main(["draw", str(kept), "examples", "mcnemar"]) == 1
    assert capsys.readouterr().err == f"{kept}: drew mcnemar\nnot examples: nowhere to be had\n"
    assert (kept / "tables/mcnemar.csv").exists()


def test_a_folder_that_is_no_snapshot_is_said_to_be_none(capsys):
    for folder in (paths.PROJECT / "docs/results", paths.PROJECT / "docs/results/README.md"):
        assert snapshot.main(["draw", str(folder)]) == 1
        said = f"{folder} is no snapshot, as it has no study.yaml; name the folder of one, such as docs/results/paper\n"
        assert capsys.readouterr().err == said


def test_a_study_that_names_a_file_of_datasets_stands_alone_where_it_is_copied_to(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_STUDY", "")
    study = config.load_study(paths.PROJECT / "examples/my-shop/study.yaml")
    (tmp_path / "study.yaml").write_text(config.standalone(paths.PROJECT / "examples/my-shop/study.yaml"))
    assert config.load_study(tmp_path / "study.yaml") == study
    plain = paths.PROJECT / "config/toy.yaml"
    assert config.standalone(plain) == plain.read_text()


def test_what_people_answered_is_in_no_snapshot(run):
    asked = config.check_study(yaml_file.yaml.safe_load(TINY) | {"answers": "."}, "asked")
    assert {"table1_answers", "figure2_answers"} <= {*output.names(asked)}
    assert not {"table1_answers", "figure2_answers"} & {*snapshot.names(asked)}


@pytest.mark.slow
def test_a_damaged_file_of_a_snapshot_is_not_drawn_from(kept, capsys):
    path = kept / paths.QUALITY.format(dataset="toy", model="mf")
    good = path.read_bytes()
    path.write_bytes(good.replace(b"1", b"2", 1))
    assert snapshot.main(["draw", str(kept), "recommenders"]) == 1
    assert capsys.readouterr().err.startswith(f"{path}: its sha256 is not the one in provenance.json")
    path.write_bytes(good)


@pytest.mark.slow
def test_an_unfinished_run_is_not_kept(kept, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert snapshot.main(["keep", str(kept / "study.yaml"), str(tmp_path / "run"), str(tmp_path / "folder")]) == 1
    assert "/run has no figures/ablation_deletion_size_toy_mf.png, figures/" in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()


# -- archives of outcomes ---------------------------------------------------------------------------------------------


@pytest.fixture
def archived(run, tmp_path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert archive.main(["build", str(tmp_path / "tiny.yaml"), str(run.folder), str(tmp_path / "outcomes")]) == 0
    return tmp_path / "outcomes"


def test_an_archive_holds_what_was_recorded_and_the_same_bytes_each_time(run, archived, tmp_path):
    loaded = hadyounot.load_outcomes(archived / "toy_mf.parquet")
    recorded = simulated(Cell(run.study, "toy", "mf", run.folder))
    assert loaded.deletions == recorded.deletions
    for name, column in recorded.columns().items():
        assert np.array_equal(column, loaded.columns()[name]), name
    names = {path.name for path in archived.iterdir()}
    checked = subprocess.check_output(["sha256sum", "--check", "SHA256SUMS"], cwd=archived, text=True)
    assert {line.removesuffix(": OK") for line in checked.splitlines()} == names - {"SHA256SUMS"}
    card = (archived / "README.md").read_text()
    assert "| `toy_mf.parquet` | Planted toy world × matrix factorisation | 10 | 120 |" in card
    again = ["build", str(tmp_path / "tiny.yaml"), str(run.folder), str(tmp_path / "again/outcomes")]
    assert archive.main(again) == 0
    assert (tmp_path / "again/outcomes.zip").read_bytes() == archived.with_suffix(".zip").read_bytes()
    shutil.unpack_archive(archived.with_suffix(".zip"), tmp_path / "unpacked")
    for path in archived.iterdir():
        assert (tmp_path / "unpacked/outcomes" / path.name).read_bytes() == path.read_bytes()
    assert archive.main(again) == 1  # never over what is there


def test_a_run_of_other_settings_is_not_packed(run, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(f"{TINY}\nseed: 7\n")
    assert archive.main(["build", str(tmp_path / "tiny.yaml"), str(run.folder), str(tmp_path / "outcomes")]) == 1
    assert f"{run.folder} was made by other settings than {tmp_path}/tiny.yaml has now" in capsys.readouterr().err
    assert not (tmp_path / "outcomes").exists()


def test_what_is_no_file_of_outcomes_and_no_archive_is_said_to_be_none(run, tmp_path, capsys):
    other = run.folder / "results/toy/mf/evaluation.parquet"
    with pytest.raises(store.StoreError, match="; give a file of outcomes, or unpack the archive again"):
        hadyounot.load_outcomes(other)
    assert archive.main(["verify", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path} has no SHA256SUMS: run `make archive` first, or name")


def test_retraining_gives_the_rows_of_an_archive_again_and_finds_one_that_is_not_so(archived, capsys):
    capsys.readouterr()
    assert archive.main(["verify", str(archived), "--rows", "30"]) == 0
    assert capsys.readouterr().out == (
        "Planted toy world × matrix factorisation: 30 of 120 rows, the same to the bit\n"
    )
    path, sums = archived / "toy_mf.parquet", archived / "SHA256SUMS"
    frame = store.read_parquet(path, schemas.OUTCOMES)
    score = frame["score_after"].iloc[7]
    frame.at[7, "score_after"] = np.append(score[:-1], np.nextafter(score[-1], np.float32(9)))
    store.write_parquet(path, frame, schemas.OUTCOMES)
    assert archive.main(["verify", str(archived)]) == 1
    assert capsys.readouterr().err == f"{path}: its sha256 is not the one in SHA256SUMS; unpack the archive again\n"
    lines = [f"{store.sha256(archived / line[66:])}  {line[66:]}" for line in sums.read_text().splitlines()]
    sums.write_text("\n".join(lines) + "\n")
    assert archive.main(["verify", str(archived), "--rows", "120"]) == 1
    assert re.search(rf"{path}: column 'score_after', row 7: \S+ is recorded, and retrai", capsys.readouterr().err)
