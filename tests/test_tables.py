"""Tables: every number against a count made here from what the cells hold; the Markdown against its CSV."""

import re
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from hadyounot.method.outcomes import Outcomes
from hadyounot.report import writing
from hadyounot.report.figures.card import verified_example
from hadyounot.report.tables import analyses, cost, read, table, validity
from hadyounot.report.tables.common import stand_ins
from hadyounot.report.tables.examples import examples_of
from hadyounot.retrain.ratings import Deletion
from hadyounot.study import config, paths, published, schemas, store, yaml_file
from hadyounot.study.cell import Cell
from hadyounot.study.methods import MEASURES, METHOD, METHODS, family
from hadyounot.study.stages import STAGES
from hadyounot.study.stages.naive import short_histories

LABELS = [method.label for method in METHODS]

N_USERS, N_ITEMS = 14, 12
TITLES = ["Monty Python's | Life_of *Brian* (1979)", "Long " * 40, *(f"Film {number}" for number in range(2, N_ITEMS))]


STUDY = config.check_study(
    {
        "models": {"mf": {"kind": "mf", "epochs": 7, "learning_rate": 0.2}, "again": {"kind": "mf", "epochs": 7}},
        "cells": [
            {"dataset": dataset, "model": model}
            for dataset in ("ml-100k", "toy", "netflix-sample")
            for model in ("mf", "again")
        ],
        "counterfactual": {"training_users": 4, "deletions_per_user": 3, "users_per_block": 3, "n_targets": 2},
        "surrogates": {"folds": 4},
        "explanation": {"test_users": 10, "examples": 4},
    },
    "the tests' study",
)


SIGNAL = {"own_change": 0.5, "own": 14, "own_top1_changed": 8, "others": 56, "others_top1_changed": 7}


def make_cell(folder, dataset="ml-100k", model="mf", seed=0) -> Cell:
    """A cell with invented artefacts: 14 users with 9 training ratings and 3 test ratings, 10 explained."""
    cell, rng = Cell(STUDY.of(dataset, model), dataset, model, folder), np.random.default_rng(seed)
    users, items = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
    is_train = (users + items) % 4 > 0
    store.write_parquet(
        cell.path(paths.RATINGS),
        {"user": users, "item": items, "value": rng.integers(1, 6, len(users)), "train": is_train},
        schemas.RATINGS,
    )
    ids = [f"u{number}" for number in range(N_USERS)]
    store.write_parquet(cell.path(paths.USERS), {"id": ids}, schemas.USERS)
    store.write_parquet(
        cell.path(paths.ITEMS), {"id": [str(n) for n in range(N_ITEMS)], "title": TITLES}, schemas.ITEMS
    )
    facts = {"users": N_USERS, "items": N_ITEMS, "interactions": len(users), "train": int(is_train.sum())}
    store.write_json(cell.path(paths.DATASET), facts | {"name": dataset, "test": int((~is_train).sum())})
    quality = {"factors": 16, "epochs": 7, "train_rmse": 0.71234, "test_rmse": 0.95, "ndcg_10": 0.25}
    store.write_json(cell.path(paths.SIGNAL), SIGNAL | {"others_change": 0.125 if model == "mf" else 0})
    store.write_json(
        cell.path(paths.QUALITY), quality | {"same_top1_share": 0.125, "distinct_top1": 9, "n_candidates": 10}
    )
    rows = [
        (user, target, method.name, [] if method.name == "reseed" else deleted, 1, rank, rank, 4.5, 4.25)
        for method in reversed(METHODS)  # not in the order that tables must have
        for user in cell.test_users
        for rank, target in [(int(rng.integers(1, 9)), int(-user % 4) + 4)]
        for deleted in [rng.choice(cell.train.history(user), 3, replace=False)]
    ]
    store.write_parquet(
        cell.path(paths.EVALUATION), pd.DataFrame(rows, columns=list(schemas.EVALUATION.columns)), schemas.EVALUATION
    )
    store.write_json(cell.path(paths.RETRAININGS), {"retrained": 110, "exact_oracles": 3})
    for block in cell.study.counterfactual.blocks:
        users = cell.training_users[3 * int(block) : 3 * int(block) + 3]
        n = 3 * len(users)
        deletions = tuple(Deletion(int(user), (0, 1, 2)) for user in np.repeat(users, 3))
        arrays = {
            name: np.ones((n, 2), np.int32 if name == "targets" or name.startswith("rank") else np.float32)
            for name in Outcomes.__dataclass_fields__
            if name != "deletions" and not name.startswith("top1")
        }
        top1 = {name: np.ones(n, np.float32) for name in Outcomes.__dataclass_fields__ if name.startswith("top1")}
        outcomes = Outcomes(deletions, **arrays, **top1)
        store.write(cell.path(paths.OUTCOMES, block=block), outcomes.columns(), schemas.OUTCOMES)
    return cell


@pytest.fixture
def cell(tmp_path) -> Cell:
    return make_cell(tmp_path)


def analysed(cell, **changes) -> Cell:
    """The cell where the study analyses it and says other things."""
    one = cell.study.cells[0].model_copy(update={"analysed": True})
    return Cell(cell.study.model_copy(update={"cells": [one], **changes}), cell.dataset, cell.model, cell.folder)


def made(name, *cells) -> pd.DataFrame:
    """A table of these cells, as it would be read back."""
    frame = table(name).frame(list(cells), STUDY)
    path = cells[0].folder / paths.TABLE.format(table=name)
    store.write_csv(path, frame, table(name).schema)
    pd.testing.assert_frame_equal(store.read_csv(path, table(name).schema), frame, check_dtype=False)
    return frame


def lines_of(name, *cells) -> list[str]:
    """Lines of its CSV."""
    made(name, *cells)
    return (cells[0].folder / paths.TABLE.format(table=name)).read_text().splitlines()


def told(name, frame, *cells) -> str:
    """Its Markdown twin."""
    return table(name).markdown(frame, list(cells), STUDY)


def benchmark(cell, notebook, seconds, rss, place=None):
    path = cell.path(paths.BENCHMARK, cell=place or f"{cell.dataset}/{cell.model}", notebook=notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    path.write_text(f"{header}\n{seconds}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t99\t1\n")


def pipes(markdown) -> list[list[str]]:
    """Rows of the Markdown tables: cells between pipes that are not escaped."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def validity_told(frame, *cells, ties=()) -> str:
    """The Markdown of a table of validity: ``ties`` are those surrogates of each cell that are indifferent."""
    of_cells = {(cell.dataset, cell.model): ties for cell in cells}
    return validity.markdown(frame, validity.exact_oracles(cells), of_cells, STUDY)


def test_published_numbers_are_the_papers():
    paper = published.load_published()
    assert paper.validity("mf", "ml-100k")["linear_reg", 1] == 0.82
    assert paper.validity("mf", "ml-100k")["knn", 5] == 0.03
    assert paper.validity("mf", "netflix-small")["mlp_clf", 3] == 0.61
    assert paper.validity("mf", "amazon-music")["linear_clf", 5] == 0.405
    assert len(paper.validity("mf", "ml-100k")) == 6 * 3
    assert paper.validity("mf", "toy") == {}
    assert paper.validity("ncf", "netflix-small")["knn", 3] == 0.26
    assert paper.validity("ncf", "toy") == paper.validity("blackbox", "ml-100k") == {}


TABLE3 = """
KNN 17% 10% 3% 30% 18% 12% 18.5% 8% 5.5%
Influence Function 35.5% 15.5% 9.5% 37% 18% 10.5% 37.5% 19.5% 11.5%
Linear Surrogate (reg) 82% 68% 54.5% 89% 73.5% 62% 81% 57% 44%
MLP Surrogate (reg) 76.5% 52.5% 42.5% 80.5% 50.5% 40.5% 77% 54% 44%
Linear Surrogate (clf) 79% 61% 51% 85% 68.5% 57.5% 71% 50.5% 40.5%
MLP Surrogate (clf) 72.5% 48% 41% 76% 61% 51% 68% 48.5% 38.5%
"""
TABLE4 = """
KNN 42% 27% 21.5% 38.5% 26% 24% 40% 28% 21%
Influence Function 44% 29.5% 23.5% 40.5% 28.5% 24% 41% 29% 23%
Linear Surrogate (reg) 86% 60% 44% 68.5% 41.5% 32% 74.5% 54% 40.5%
MLP Surrogate (reg) 83% 57.5% 42% 68.5% 39.5% 30% 71% 52% 38.5%
Linear Surrogate (clf) 81% 53.5% 38.5% 61.5% 36.5% 32% 72% 49.5% 38.5%
MLP Surrogate (clf) 75.5% 49.5% 36.5% 63.5% 35% 27.5% 68.5% 48.5% 36%
"""  # lines of the paper's text


@pytest.mark.parametrize(("kind", "lines"), [("mf", TABLE3), ("ncf", TABLE4)])
def test_tables_3_and_4_are_the_papers_line_by_line(kind, lines):
    paper, names = published.load_published(), list(published.PublishedValidityConfig.model_fields)
    for method, line in zip(names, lines.strip().splitlines(), strict=True):
        printed = [float(number) / 100 for number in re.findall(r"([\d.]+)%", line)]
        ours = [
            paper.validity(kind, dataset)[method, k]
            for dataset in ("ml-100k", "netflix-small", "amazon-music")
            for k in (1, 3, 5)
        ]
        assert ours == pytest.approx(printed, abs=1e-12), method


def test_a_slip_in_the_published_numbers_is_named(tmp_path):
    file = tmp_path / "published.yaml"
    row = "knn: [17, 10, 3], influence: [3, 2, 1], linear_reg: [3, 2, 1], mlp_reg: [3, 2, 1], linear_clf: [3, 2, 1]"
    file.write_text(f"table3:\n  ml-100k: {{{row}, mlp_clf: [3, 2, 101]}}\n")
    with pytest.raises(yaml_file.ConfigError, match=r"table3\.ml-100k\.mlp_clf"):
        published.load_published(file)
    file.write_text(f"table3:\n  ml-100k: {{{row}, mlp_cls: [3, 2, 1]}}\n")
    with pytest.raises(yaml_file.ConfigError, match="mlp_cls"):
        published.load_published(file)


def test_datasets_have_a_row_each_with_the_papers_counts(tmp_path, cell):
    cells = [cell, make_cell(tmp_path, model="again"), make_cell(tmp_path, "toy")]
    assert lines_of("table2_datasets", *cells) == [
        ",".join(schemas.TABLE2.columns),
        "ml-100k,14,12,168,126,42,943,1682,100000",
        "toy,14,12,168,126,42,,,",
    ]
    assert pipes(told("table2_datasets", made("table2_datasets", *cells), *cells))[2:] == [
        ["MovieLens-100K", "14 (paper: 943)", "12 (paper: 1,682)", "168 (paper: 100,000)", "126", "42"],
        ["Planted toy world", "14", "12", "168", "126", "42"],
    ]


def test_a_stand_in_has_the_papers_numbers_under_a_dagger(tmp_path, cell):
    stand_in = make_cell(tmp_path, "netflix-sample")
    footnote = "† netflix-sample stands in for the paper's netflix-small: the data differ.\n"
    markdown = told("table2_datasets", made("table2_datasets", cell, stand_in))
    titled = "† Netflix Prize (our sample) stands in for the paper's Netflix (Small): the data differ.\n"
    ours, theirs = pipes(markdown)[2:]
    assert ours[1] == "14 (paper: 943)"
    assert theirs[0] == "Netflix Prize (our sample)"
    assert theirs[1:4] == ["14 (paper†: 10,000)", "12 (paper†: 5,000)", "168 (paper†: 607,803)"]
    assert markdown.endswith(f"\n\n{titled}")
    frame = made("table3_mf", cell, stand_in)
    assert frame.set_index(["dataset", "method", "top_k"])["paper"]["netflix-sample", "linear_reg", 1] == 0.89
    first, second = validity_told(frame, cell, stand_in).split("\n## ")[1:]
    assert "†" not in first
    assert second.count("(paper†: ") == 18
    assert "(paper: " not in second
    assert f"|\n\n{footnote}" in second
    assert "exact for 3 of these users" in second


def test_a_split_of_a_stand_in_is_one_too():
    again = {"again": {"sources": [{"kind": "same", "dataset": "netflix-sample", "split": 1}]}}
    cells = [{"dataset": dataset, "model": "mf"} for dataset in ("again", "ml-100k")]
    study = config.check_study({"models": {"mf": {"kind": "mf"}}, "cells": cells, "datasets": again}, "this test")
    assert stand_ins(study) == dict.fromkeys(("again", "netflix-sample"), "netflix-small")


def test_validity_counts_the_targets_that_left(tmp_path, cell):
    frame = made("table3_mf", cell, make_cell(tmp_path, "toy", seed=1))
    assert list(frame["dataset"].unique()) == ["ml-100k", "toy"]
    expected = [(method.name, k) for method in METHODS for k in (1, 3, 5)] * 2
    assert list(zip(frame["method"], frame["top_k"], strict=True)) == expected
    evaluation = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION)
    for row in frame[frame["dataset"] == "ml-100k"].itertuples():
        ranks = evaluation.loc[evaluation["method"] == row.method, "rank_after"]
        assert (row.n_users, row.n_valid) == (10, sum(rank > row.top_k for rank in ranks))
        share, z = row.n_valid / 10, 1.959963984540054  # Wilson (1927)
        centre = (share + z**2 / 20) / (1 + z**2 / 10)
        half = z / (1 + z**2 / 10) * sqrt(share * (1 - share) / 10 + z**2 / 400)
        assert (row.validity, row.ci_low, row.ci_high) == pytest.approx((share, centre - half, centre + half))
    assert frame.loc[(frame["dataset"] == "toy"), "paper"].isna().all()
    paper = frame[frame["dataset"] == "ml-100k"].set_index(["method", "top_k"])["paper"]
    assert paper["influence", 1] == 0.355
    assert paper[["random", "oracle", "influence_block"]].isna().all()
    assert paper.notna().sum() == 18


def test_validity_of_another_kind_is_an_empty_table(cell):
    assert lines_of("table4_ncf", cell) == [",".join(schemas.TABLE_VALIDITY.columns)]
    assert "|" not in told("table4_ncf", made("table4_ncf", cell), cell)


def test_validity_markdown_has_methods_by_k_with_the_papers_value_beside_ours(cell):
    frame = made("table3_mf", cell)
    header, _, *rows = pipes(validity_told(frame, cell))
    assert header == ["method", "K = 1", "K = 3", "K = 5"]
    assert [row[0] for row in rows] == LABELS
    for row in frame.itertuples():
        text = f"{row.validity:.1%} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]".replace("%", " %")
        if row.method == "influence":
            text += f" (paper: { {1: 35.5, 3: 15.5, 5: 9.5}[row.top_k] } %)"
        if row.method in ("influence", "oracle"):
            assert rows[LABELS.index(METHOD[row.method].label)][(1, 3, 5).index(row.top_k) + 1] == text
    markdown = validity_told(frame, cell, ties=["linear_reg"])
    assert "Random, reseed and oracle are controls." in markdown
    assert "## MovieLens-100K × matrix factorisation (10 users)" in markdown
    assert markdown.endswith(
        "\nLinear surrogate (reg): no weight on deleted items survived cross-validation, so it names any.\n"
    )


def test_recommenders_show_the_quality_files(cell):
    assert lines_of("recommenders", cell)[1] == "ml-100k,mf,16,7,0.71234,0.95,0.25,0.125,9,10"
    assert pipes(told("recommenders", made("recommenders", cell)))[2] == [
        *("MovieLens-100K × matrix factorisation", "16", "7", "0.7123", "0.9500", "0.2500", "12.5", "9", "10")
    ]


def test_mcnemar_compares_every_pair_once(tmp_path, cell):
    frame = made("mcnemar", cell, make_cell(tmp_path, "toy", seed=1))
    assert len(frame) == 2 * 3 * 66  # pairs of twelve: reseed and oracle are not tested
    order = {method.name: place for place, method in enumerate(METHODS)}
    assert all(order[row.method_a] < order[row.method_b] for row in frame.itertuples())
    evaluation = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION).set_index(["method", "user"])
    left = evaluation["rank_after"].unstack("method") > 3
    some = frame.query("dataset == 'ml-100k' and top_k == 3 and method_a == 'knn' and method_b == 'mlp_reg'").iloc[0]
    assert some["only_a"] == sum(left["knn"] & ~left["mlp_reg"])
    assert some["only_b"] == sum(left["mlp_reg"] & ~left["knn"])
    # Holm's smallest is Bonferroni's, of all pairs: ours are no family apart
    least = frame.groupby(["dataset", "top_k"])[["p_value", "p_holm"]].min()
    assert least["p_holm"].to_list() == pytest.approx((66 * least["p_value"]).clip(upper=1).to_list())
    markdown = told("mcnemar", frame)
    assert markdown.count("\n## ") == 6
    header, _, *rows = pipes(markdown.split("\n## ")[2])
    assert markdown.split("\n## ")[2].startswith("MovieLens-100K × matrix factorisation, K = 3\n")
    assert header == ["method", "Random", "Linear surrogate (reg)", "Linear, target-aware (ours)"]
    assert len(rows) == 12
    cells = {name: row for name, *row in rows}
    assert [cells[name][place] for place, name in enumerate(header[1:])] == ["", "", ""]  # nobody beside itself
    one, other = frame[frame["top_k"] == 3].query("dataset == 'ml-100k'"), ("knn", "mlp_clf")
    for name in other:  # before and after linear_reg in the order of methods
        pair = {name, "linear_reg"}
        row = one[[{a, b} == pair for a, b in zip(one["method_a"], one["method_b"], strict=True)]].iloc[0]
        first, second = (row["only_a"], row["only_b"])[:: 1 if row["method_a"] == name else -1]
        assert cells[METHOD[name].label][1] == f"{first} : {second}, p = {row['p_holm']:.2g}"
    assert "p < 0.001" in told("mcnemar", frame.assign(p_holm=1e-38))


def test_signal_is_a_ratio_where_others_move_at_all(tmp_path, cell):
    frame = made("signal", cell, make_cell(tmp_path, model="again"))
    assert frame["ratio"].fillna(-1).tolist() == [4, -1]
    assert [row[-1] for row in pipes(told("signal", frame))[2:]] == ["4", ""]


def test_signal_has_two_significant_digits(cell):
    frame = made("signal", cell).assign(own_change=0.19219, others_change=9.427e-05, ratio=2038.9)
    assert pipes(told("signal", frame))[2][1:] == ["0.19", "9.4e-05", "2,000"]


def test_whose_recommendation_changes_is_told_with_shares_and_intervals(cell):
    own, others = pipes(told("sutva", made("sutva", cell)))[2][1:]
    assert re.fullmatch(r"8 of 14: 57\.1 % \[32\.6, 78\.6\]", own)  # Wilson's of 8 of 14
    assert re.fullmatch(r"7 of 56: 12\.5 % \[[\d.]+, [\d.]+\]", others)


def test_table_1_is_the_papers():
    frame = table("table1_user_study").frame([], STUDY)
    printed = [(3.586, 0.74, 0.011), (3.658, 0.67, 0.034), (3.803, 0.87, -1), (3.789, 0.89, 0.393)]
    assert list(frame[["mean", "sd", "p_value"]].fillna(-1).itertuples(index=False, name=None)) == printed
    assert list(frame["method"]) == ["knn", "influence", "linear_reg", "mlp_reg"]
    study = published.load_published().user_study
    assert (study.collected, study.kept, study.questions) == (100, 92, 5)


def test_table_1_says_which_printed_numbers_contradict_each_other(cell):
    frame = made("table1_user_study", cell).set_index("method")
    others = frame.drop(index="linear_reg").filter(like="correlation_")
    assert frame.loc["linear_reg"].filter(like="correlation_").isna().all()
    assert others.filter(regex="kept$|collected$").abs().max(axis=None) < 1
    assert (others.loc[["knn", "influence"]].filter(like="answers") < -1).all(axis=None)
    assert (others["correlation_collected"] < others["correlation_kept"]).all()  # more pairs: less noise in t
    frame = frame.reset_index()
    markdown = told("table1_user_study", frame)
    assert markdown.startswith("**Published, not reproducible from code.** ")
    first, second = (part.split("\n\n|")[1] for part in markdown.split("\n## "))
    assert pipes(f"|{first}")[2] == ["KNN", "3.586 ± 0.74", "0.011"]
    knn, _, linear, _ = pipes(f"|{second}")[2:]
    assert knn[:3] == ["KNN", *(f"{r:.2f}" for r in frame.loc[0, ["correlation_kept", "correlation_collected"]])]
    assert knn[4].endswith(": impossible")
    assert linear[1:] == ["", "", "", "", "impossible", "impossible"]


def write_naive(cell, rows):
    tried = pd.DataFrame(rows, columns=list(schemas.NAIVE.columns))
    store.write_parquet(cell.path(paths.NAIVE), tried, schemas.NAIVE)


def test_naive_accumulates_over_sizes(tmp_path, cell):
    # three users at K = 1 and 3: who has a removing deletion of 1, 2 and 3 items
    removing = {1: {7: (0, 2, 1), 8: (1, 0, 0), 9: (0, 0, 0)}, 3: {7: (0, 0, 1), 8: (0, 0, 0), 9: (0, 0, 0)}}
    rows = [
        (user, 0, 4, size, k, subsets, counts[size - 1])
        for k, users in removing.items()
        for user, counts in users.items()
        for size, subsets in ((1, 4), (2, 6), (3, 4))
    ]
    write_naive(cell, rows + [(user, 0, 4, 1, 5, 4, 0) for user in (7, 8, 9)])
    other = make_cell(tmp_path, "toy")
    write_naive(other, [])
    frame = made("naive", analysed(cell), analysed(other), make_cell(tmp_path, model="again"))
    assert len(frame) == 2 * 3 * 4  # cells, K = 1, 3, 5, sizes up to 4
    found = frame[frame["dataset"] == "ml-100k"].set_index(["top_k", "size"])
    assert (found["n_users"] == 3).all()
    assert found.loc[1, "n_removable"].tolist() == [1, 1, 1, 0]
    assert found.loc[1, "n_removable_upto"].tolist() == [1, 2, 2, 2]
    assert found.loc[3, "n_removable_upto"].tolist() == [0, 0, 1, 1]
    assert found.loc[1, "share_upto"].tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert found.loc[1, "mean_subset_share"].tolist()[:3] == pytest.approx([1 / 12, 2 / 18, 1 / 12])
    assert pd.isna(found.loc[(1, 4), "mean_subset_share"])  # nobody has a deletion of 4 items there
    low, high, z = *found.loc[(1, 2), ["ci_low", "ci_high"]], 1.959963984540054  # Wilson (1927)
    half = z / (1 + z**2 / 3) * sqrt(2 / 9 / 3 + z**2 / 36)
    assert (low, high) == pytest.approx(((2 / 3 + z**2 / 6) / (1 + z**2 / 3) - half, (low + high) / 2 + half))
    nobody = frame[frame["dataset"] == "toy"]
    assert (nobody[["n_users", "n_removable", "n_removable_upto"]] == 0).all(axis=None)
    assert nobody[["share_upto", "ci_low", "ci_high", "mean_subset_share"]].isna().all(axis=None)
    some, none = told("naive", frame).split("\n## ")[1:]
    assert pipes(some)[3] == ["1", "2", "1", f"2: 66.7 % [{100 * low:.1f}, {100 * high:.1f}]", "11.11 %"]
    assert none.startswith("Planted toy world × matrix factorisation (0 users)\n\nNo user's history is as short")
    assert "|" not in none


def test_users_with_short_histories_are_those_that_can_be_explained_in_their_random_order(cell):
    histories = dict(zip(*np.unique(cell.train.users, return_counts=True), strict=True))
    assert set(histories.values()) == {9}
    limits = {limit: cell.study.naive.model_copy(update={"max_history": limit}) for limit in (8, 9)}
    short, all_ = (short_histories(analysed(cell, naive=limit)) for limit in limits.values())
    assert short.tolist() == []
    assert all_.tolist() == cell.explainable_users.tolist()


def test_runtime_adds_up_the_benchmarks(tmp_path, cell):
    other = make_cell(tmp_path, model="again")
    benchmark(cell, "10_dataset", 6, 100, place="ml-100k")  # one job for both cells
    for one, seconds in ((cell, 12.0), (other, 3.0)):
        benchmark(one, "20_recommender", seconds, 200)
        benchmark(one, "30_simulate_000", seconds, 300)
        benchmark(one, "30_simulate_001", seconds / 2, 400)
        benchmark(one, "60_evaluate", seconds, "NA")  # what Snakemake writes when it could not measure
    benchmark(cell, "50_explain", 1, 1)  # that of the other cell is missing
    frame = made("runtime", cell, other)
    assert list(frame["stage"]) == ["10_dataset", "20_recommender", "30_simulate", "60_evaluate"]
    assert list(frame["minutes"]) == pytest.approx([0.1, 0.25, 0.375, 0.25])
    assert list(frame["peak_mib"].fillna(-1)) == [100, 200, 400, -1]
    models = 2 * (4 * 3 + 2)  # 4 users in 2 blocks, 3 deletions each, and each block's original model
    assert list(frame["retrainings"].fillna(-1)) == [-1, -1, models, 220]
    assert list(frame["ns_per_rating_and_model"].fillna(-1)) == pytest.approx(
        [-1, -1, 22.5e9 / (models * 7 * 126), 15e9 / (220 * 7 * 126)]
    )
    rows = pipes(told("runtime", frame))
    assert rows[2] == ["dataset", "10_dataset", "0.1 min", "100", "", ""]
    assert rows[4][:5] == ["simulated deletions", "30_simulate", "0.4 min", "400", "28"]
    assert pipes(told("runtime", frame.assign(minutes=398.97)))[2][2] == "6.6 h"
    assert list(cost.PLAIN) == sorted(STAGES)
    assert "upper bound" in told("runtime", frame)


def test_a_warm_retraining_costs_the_epochs_that_it_has(cell):
    benchmark(cell, "60_evaluate", 9, 1)
    warm = STUDY.models["mf"].model_copy(update={"protocol": "warm", "warm_epochs": 2})
    studies = STUDY, STUDY.model_copy(update={"models": STUDY.models | {"mf": warm}})
    pinned, short = (table("runtime").frame([cell], each)["ns_per_rating_and_model"].item() for each in studies)
    assert short == pytest.approx(pinned * 7 / 2)


def test_runtime_of_notebooks_run_by_hand_is_empty(cell):
    frame = made("runtime", cell)
    assert frame.empty
    assert len(pipes(told("runtime", frame))) == 2


def test_a_table_that_is_not_there_is_said_with_what_makes_it(tmp_path):
    command = f"snakemake tables/worlds.csv --directory {tmp_path}"
    with pytest.raises(store.StoreError, match=re.escape(f"tables/worlds.csv is not there; make it: {command}") + "$"):
        read("worlds", tmp_path)


def test_examples_spell_out_what_was_tested(cell):
    markdown = examples_of(cell)
    evaluation = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION).set_index(["user", "method"])
    sections = markdown.split("\n## User ")[1:]
    assert [section.split("\n")[0] for section in sections] == [f"u{user}" for user in cell.test_users[:4]]
    for user, section in zip(cell.test_users, sections, strict=False):
        header, _, *rows = pipes(section)
        assert header == ["method", "had you not rated", "rank after", "really removed?"]
        assert [row[0] for row in rows] == LABELS
        for method, (_, deleted, rank, fate) in zip(METHODS, rows, strict=True):
            tested = evaluation.loc[(user, method.name)]
            assert rank == str(tested["rank_after"])
            left = [k for k in (1, 3, 5) if tested["rank_after"] > k]
            unproven = ": none was proven, these came nearest" if method.proves else ""
            assert fate == (f"yes, out of the top {left[-1]}" if left else f"**no**{unproven}")
            plain = [title for item, title in enumerate(TITLES) if item in tested["items"] and item > 1]
            assert all(title in deleted.split("; ") for title in plain)
            assert deleted.count("; ") == max(len(tested["items"]) - 1, 0)
        assert f"**Recommended:** Film {-user % 4 + 4}\n" in section
        rated = re.search(r"\*\*Rated\*\* 9, best: (.*)", section)[1]
        stars = [float(each) for each in re.findall(r"\(([\d.]+)\)(?=; |$)", rated)]
        values = cell.train.values[cell.train.rows_of(user)]
        assert stars == sorted(values, reverse=True)[:5]
    assert r"Monty Python's \| Life\_of \*Brian\* (1979)" in markdown
    assert "*(nothing deleted)*" in markdown
    assert "Long Long …" not in markdown
    assert re.search(r"(Long )+Long…", markdown)
    assert examples_of(cell) == markdown


def test_the_card_shows_the_best_method_and_an_explanation_that_leaves_the_list(cell):
    card = verified_example([cell], shown=3)
    evaluation = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION).set_index(["user", "method"])
    method = [method.name for method in METHODS if method.role == "ours"][-1]
    user = next(user for user in cell.test_users if evaluation.loc[(user, method), "rank_after"] > 3)
    deleted = evaluation.loc[(user, method), "items"]
    stars = dict(
        zip(cell.train.items[cell.train.rows_of(user)], cell.train.values[cell.train.rows_of(user)], strict=True)
    )
    assert card["explanation"] == [(TITLES[item], stars[item]) for item in deleted]
    assert card["rank_after"] == evaluation.loc[(user, method), "rank_after"]
    assert card["n_rated"] == 9
    assert [value for _, value in card["rated"]] == sorted(stars.values(), reverse=True)[:6]
    kept = ~((cell.train.users == user) & np.isin(cell.train.items, deleted))
    for name, ratings in (("before", cell.train), ("after", cell.train.select(kept))):
        scores = cell.recommender().fit(ratings).scores([user])[0]
        offered = sorted(set(range(N_ITEMS)) - set(cell.train.history(user)), key=lambda item: -scores[item])
        assert card[name] == [TITLES[item] for item in offered]
    assert card["before"] != card["after"]
    assert f"user u{user}; {METHOD[method].label}" in card["footer"]


def test_the_first_list_on_the_card_is_what_was_explained_whatever_a_retraining_keeps(tmp_path):
    """A retraining without any deletion has other initial weights there, and may recommend something else."""
    model = {"kind": "mf", "epochs": 7, "learning_rate": 0.2, "protocol": "reseeded", "seed": 4}
    own = {"models": {"mf": model}, "cells": [{"dataset": "ml-100k", "model": "mf"}]}
    study = config.check_study(STUDY.part("counterfactual", "surrogates", "explanation") | own, "the tests' study")
    made = make_cell(tmp_path)
    cell = Cell(study.of("ml-100k", "mf"), "ml-100k", "mf", tmp_path)
    card = verified_example([cell], shown=3)
    (user,) = (user for user in made.test_users if f"user u{user};" in card["footer"])
    scores, again = cell.trained.scores([user])[0], cell.recommender().retrain(cell.train, [Deletion(user, ())])[0]
    offered = sorted(set(range(N_ITEMS)) - set(cell.train.history(user)), key=lambda item: -scores[item])
    assert card["before"] == [TITLES[item] for item in offered]
    assert offered != sorted(offered, key=lambda item: -again[item])


def test_what_learns_is_shown_before_a_baseline_and_whatever_holds_if_none_leaves_the_list(tmp_path):
    cells = [make_cell(tmp_path, model=model) for model in ("mf", "again")]
    held = {"mf": {"knn": 9, "oracle": 9}, "again": {"linear_reg": 2}}
    for cell in cells:
        frame = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION)
        frame["rank_after"] = frame["method"].map(held[cell.model]).fillna(1).astype("int32")
        store.write_parquet(cell.path(paths.EVALUATION), frame, schemas.EVALUATION)
    card = verified_example(cells)
    assert card["footer"].startswith(
        f"MovieLens-100K × matrix factorisation (again), user u{cells[1].test_users[0]}; Linear surrogate (reg)."
    )
    assert card["rank_after"] == 2
    assert verified_example(cells[:1])["footer"].startswith(
        f"MovieLens-100K × matrix factorisation, user u{cells[0].test_users[0]}; KNN."
    )


def test_without_an_explanation_that_held_there_is_no_verified_example(cell):
    frame = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION)
    frame.loc[frame["method"] != "oracle", "rank_after"] = 1
    store.write_parquet(cell.path(paths.EVALUATION), frame, schemas.EVALUATION)
    assert verified_example([cell]) is None


def test_a_table_that_is_not_as_its_schema_says_is_not_written(cell):
    quality = cell.read(paths.QUALITY)
    store.write(cell.path(paths.QUALITY), quality | {"ndcg_10": 2.0})
    with pytest.raises(store.StoreError, match="ndcg_10"):
        writing.write("recommenders", STUDY.model_copy(update={"cells": cell.study.cells}), cell.folder)
    assert not list((cell.folder / "tables").glob("*"))


def with_ablations(cell, families=("effect",)) -> Cell:
    """The cell, analysed, with invented variants that explain the same users as linear_reg."""
    settings = config.AblationsConfig(families=list(families))
    cell, rng = analysed(cell, ablations=settings), np.random.default_rng(5)
    base = cell.read(paths.EVALUATION).query("method == 'linear_reg'")
    values = dict.fromkeys(schemas.SURROGATE_QUALITY.columns, 0.25) | {"dataset": cell.dataset, "model": cell.model}
    values |= {"predictor": "linear_reg", "n_users": 9, "n_rows": 90}
    quality = pd.DataFrame([values | {"n_targets": 1, "r2": 0.5}, values | {"n_targets": 20, "r2": 0.125}])
    store.write_csv(cell.path(paths.SURROGATE_QUALITY), quality, schemas.SURROGATE_QUALITY)
    for name in families:
        variants = [method.name for method in family(name, settings, 3)]
        tested = pd.concat(
            base.assign(method=variant, rank_after=rng.integers(1, 9, len(base))) for variant in reversed(variants)
        )
        store.write(cell.path(paths.ABLATION, family=name), tested, schemas.EVALUATION)
        facts = {"r2": -0.25 if name != "effect" else None, "spearman": 0.75}
        said = {"retrained": 40, "variants": dict.fromkeys(variants, facts)}
        store.write(cell.path(paths.ABLATION_FITS, family=name), said)
    return cell


def verdicts(cell, name, variant) -> pd.DataFrame:
    return cell.read(paths.ABLATION, family=name).query("method == @variant")


def test_ablations_stand_beside_linear_reg_on_the_same_users(tmp_path, cell):
    cell = with_ablations(cell)
    frame = made("ablations", cell, make_cell(tmp_path, "toy"))
    assert frame["variant"].unique().tolist() == ["linear_reg", "clf", "rank", "cross", "score"]
    assert len(frame) == 5 * 3
    evaluation = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION).query("method == 'linear_reg'")
    before = evaluation.set_index("user")["rank_after"] > 3
    after = verdicts(cell, "effect", "cross").set_index("user")["rank_after"] > 3
    row = frame.query("variant == 'cross' and top_k == 3").iloc[0]
    assert (row["n_users"], row["n_valid"]) == (10, after.sum())
    assert row["change_from_base"] == pytest.approx(after.mean() - before.mean())
    assert row["change_ci_low"] < row["change_from_base"] < row["change_ci_high"]
    assert frame.query("variant == 'linear_reg'")["change_from_base"].isna().all()
    papers = frame.dropna(subset="paper_change").set_index(["variant", "top_k"])["paper_change"]
    clf = {("clf", 1): -0.03, ("clf", 3): -0.07, ("clf", 5): -0.035}  # Table 3
    assert papers.to_dict() == pytest.approx({("rank", 1): -0.015, ("cross", 1): -0.074} | clf)
    assert frame.groupby("variant")["r2"].first().dropna().to_dict() == {"linear_reg": 0.125}
    assert frame.groupby("variant")["spearman"].first().to_dict() == {"linear_reg": 0.25} | dict.fromkeys(
        ("clf", "rank", "cross", "score"), 0.75
    )
    base, effect = told("ablations", frame).split("\n### ")[1:]
    assert pipes(base)[0] == ["variant", "K = 1", "K = 3", "K = 5", "R²", "rank correlation"]  # what it has
    assert pipes(base)[2][4:] == ["0.125", "0.250"]
    assert effect.startswith("effect\n\nThe class of eq. (4)")
    header, _, *rows = pipes(effect)
    assert header[4:] == ["against the base, points", "paper, points", "rank correlation"]
    assert [row[0] for row in rows] == ["clf", "rank", "cross", "score"]
    assert rows[2][2] == f"{100 * after.mean():.1f}"
    assert rows[2][5:] == ["-7.4", "0.750"]


def test_controls_of_ablations_differ_in_one_choice(cell):
    cell = with_ablations(cell, ["deletion_size", "representation", "products", "search", "sample_size"])
    frame = made("ablations", cell).query("top_k == 1").set_index("variant")
    controls = {"linear_reg": "", "1": "3", "3": "", "40-percent": "3", "users-25": "linear_reg"}
    controls |= {"mask": "linear_reg", "mean": "linear_reg", "deepsets": "mean"}
    controls |= {"lasso-target": "linear_reg", "logistic-target": "linear_clf", "mlp-greedy": "mlp_reg"}
    assert {variant: frame["control"].fillna("").loc[variant] for variant in controls} == controls

    def valid(variant, name=None):
        rows = verdicts(cell, name, variant) if name else cell.read(paths.EVALUATION).query("method == @variant")
        return rows["rank_after"] > 1

    expected = valid("40-percent", "deletion_size").mean() - valid("3", "deletion_size").mean()
    assert frame.loc["40-percent", "change_from_control"] == pytest.approx(expected)
    expected = valid("logistic-target", "products").mean() - valid("linear_clf").mean()
    assert frame.loc["logistic-target", "change_from_control"] == pytest.approx(expected)
    plain = frame.loc["lasso-target"]
    assert plain["change_from_control"] == plain["change_from_base"]
    assert frame.loc["3", "change_from_base":"change_ci_high"].notna().all()
    *_, shares = (row for row in pipes(told("ablations", made("ablations", cell))) if row[0] == "40-percent")
    assert shares[6] == "3"
    assert shares[7].startswith(f"{100 * frame.loc['40-percent', 'change_from_control']:+.1f} [")

    explanation = cell.study.explanation.model_copy(update={"explanation_size": 4})  # no variant learns from this size
    sizes = made("ablations", analysed(cell, explanation=explanation)).query("family == 'deletion_size'")
    assert sizes[["control", "change_from_control"]].isna().all(axis=None)
    assert sizes["change_from_base"].notna().all()


def test_a_variant_on_other_users_is_refused(cell):
    cell = with_ablations(cell)
    tested = cell.read(paths.ABLATION, family="effect")
    left_out = tested.index[(tested["method"] == "rank").to_numpy()][0]
    store.write(cell.path(paths.ABLATION, family="effect"), tested.drop(index=left_out), schemas.EVALUATION)
    with pytest.raises(ValueError, match="factorisation: effect rank and linear_reg explain other users"):
        made("ablations", cell)


def test_a_lasso_without_weights_on_deleted_items_is_marked(cell):
    cell = with_ablations(cell)
    assert "‡" not in told("ablations", made("ablations", cell))
    facts = cell.read(paths.ABLATION_FITS, family="effect")
    facts["variants"]["rank"] = {"r2": None, "spearman": 0.0}
    store.write(cell.path(paths.ABLATION_FITS, family="effect"), facts)
    markdown = told("ablations", made("ablations", cell))
    effect = markdown.split("\n### ")[2]
    assert [row[0] for row in pipes(effect)[2:]] == ["clf", "rank ‡", "cross", "score"]
    assert "\n‡ No weight on deleted items survived" in markdown


# -- analyses ---------------------------------------------------------------------------------------------------------


def test_published_correlations_are_the_papers_and_of_matrix_factorisation_alone(cell):
    paper = published.load_published()
    assert paper.correlations("mf", "ml-100k") == {"embedding_distance": 0.175, "influence": 0.356}
    assert paper.correlations("ncf", "ml-100k") == paper.correlations("mf", "amazon-music") == {}
    assert analyses.published_correlations([cell], STUDY)["ml-100k", "mf"]["influence"] == 0.356


def correlation_frame() -> pd.DataFrame:
    """Correlations of four users that rise from measure to measure, one of them unknown."""
    measures = [method.measure for method in MEASURES]
    rows = [
        ("ml-100k", "mf", user, measure, 500 if user else 84, value, value / 2, None, None)
        for k, measure in enumerate(measures)
        for user, value in enumerate([-0.5 + k / 10, np.nan, k / 10, 0.25 + k / 10])
    ]
    return pd.DataFrame(rows, columns=list(schemas.CORRELATION.columns)).astype({"pearson": float, "spearman": float})


def test_correlations_are_summed_up_over_users_beside_the_papers():
    frame = correlation_frame().query("measure != 'mlp_clf'")
    unknown = frame.assign(measure="mlp_clf", pearson=np.nan, spearman=np.nan)[:4]
    papers = {("ml-100k", "mf"): {"influence": 0.356}}
    markdown = analyses.correlation_markdown(pd.concat([frame, unknown]), papers, {}, STUDY.title)
    header, _, *rows = pipes(markdown)
    assert header == [
        *("measure", "users", "Pearson, median [quartiles]", "paper, one user", "users above 0"),
        "Spearman, median [quartiles]",
    ]
    # -0.5, 0, 0.25 and their halves: the quartiles of three lie halfway between neighbours
    assert rows[0] == ["Embedding distance", "3", "0.000 [-0.250, 0.125]", "", "33 %", "0.000 [-0.125, 0.062]"]
    assert [row[3] for row in rows] == ["", "", "0.356"] + [""] * (len(MEASURES) - 3)
    assert rows[-1] == ["MLP surrogate (clf)", "0", "none: constant", "", "", "none: constant"]
    assert "## MovieLens-100K × matrix factorisation (84 to 500 sets a user)" in markdown


def quality_frame() -> pd.DataFrame:
    rows = [
        ("ml-100k", "mf", "linear_reg", 20, 50, 1000, 0.012, -0.5, 0.1, 0.05, 0.15, 0.2, 0.1, 0.3, 2.5),
        ("ml-100k", "mf", "mlp_reg", 20, 50, 1000, -0.004, -0.5, 0.1, 0.05, 0.15, 0.2, 0.1, 0.3, 2.5),
        ("ml-100k", "mf", "mlp_clf", 20, 50, 1000, None, None, None, None, None, 0.2, None, None, 2.5),
        ("ml-100k", "mf", "influence", 1, 17, 50, None, None, 0.1, 0.05, 0.15, 0.2, 0.1, 0.3, 2.5),
        ("ml-100k", "mf", "linear_reg", 1, 17, 50, 0.1, 0.1, 0.1, 0.05, 0.15, 0.2, 0.1, 0.3, 2.5),
    ]
    return pd.DataFrame(rows, columns=list(schemas.SURROGATE_QUALITY.columns))


def test_what_predicts_no_better_than_the_mean_is_said():
    markdown = told("surrogate_quality", quality_frame())
    everything, top = markdown.split("\n## ")[1:]
    assert everything.startswith("MovieLens-100K × matrix factorisation, top 20 items (50 users whose effects vary)")
    assert everything.endswith("(R² ≤ 0): MLP surrogate (reg).\n")
    assert top.startswith("MovieLens-100K × matrix factorisation, top item (17 users whose effects vary)")
    assert top.endswith("(R² ≤ 0): none.\n")
    rows = pipes(everything)[2:]
    assert rows[0][1:] == ["0.012", "-0.500", "0.100 [0.050, 0.150]", "0.200 [0.100, 0.300]"]
    assert "\nLift of the truly best deletion, the ceiling: 2.50.\n" in everything
    assert rows[2] == ["MLP surrogate (clf)", "", "", "", "0.200"]


def test_tables_that_cells_keep_are_gathered_in_their_order(tmp_path, cell):
    other = make_cell(tmp_path, model="again")
    for one in (cell, other):
        frame = quality_frame().assign(model=one.model)
        store.write_csv(one.path(paths.SURROGATE_QUALITY), frame, schemas.SURROGATE_QUALITY)
    frame = made("surrogate_quality", analysed(other), make_cell(tmp_path, "toy"), analysed(cell))
    assert list(frame["model"]) == ["again"] * 5 + ["mf"] * 5


def test_separability_is_rounded():
    rows = [("ml-100k", "mf", "linear", 100, 3000, 5, -0.0514, -0.1, 0.01, 0.4921, 0.4517, 0.53, 0.0312, 0.6)]
    markdown = told("separability", pd.DataFrame(rows, columns=list(schemas.SEPARABILITY.columns)))
    assert pipes(markdown)[2][:5] == ["MovieLens-100K × matrix factorisation", "linear", "100", "3000", "5"]
    assert pipes(markdown)[2][5:] == ["-0.051 [-0.100, 0.010]", "0.492 [0.452, 0.530]", "0.031", "0.600"]


def test_runtime_counts_the_models_of_figure_7_where_a_cell_is_analysed(cell):
    benchmark(cell, "75_correlation", 6, 100)
    block = cell.read(paths.OUTCOMES, block="000")
    store.write(cell.path(paths.CORRELATION_OUTCOMES), block, schemas.OUTCOMES)
    assert made("runtime", cell).empty
    (row,) = made("runtime", analysed(cell)).itertuples()
    assert (row.stage, row.minutes) == ("75_correlation", 0.1)
    assert row.retrainings == 3 * 3 + 1  # three users, three deletions each, and the original model


def test_runtime_counts_the_models_of_algorithm_2_and_of_every_family(cell):
    cell = with_ablations(cell, ("effect", "penalty"))
    write_naive(cell, [(user, 0, 4, size, k, 5, 0) for user in (7, 8) for size in (1, 2) for k in (1, 3)])
    benchmark(cell, "65_naive", 6, 100)
    for each in cell.study.ablations.families:
        assert list(made("runtime", cell)["stage"]) == ["65_naive"]
        benchmark(cell, f"70_ablations_{each}", 3, 100)
    naive, ablations = made("runtime", cell).itertuples()
    assert (naive.minutes, naive.retrainings) == (0.1, 2 * 2 * 5 + 1)  # and the original model
    assert (ablations.stage, ablations.minutes, ablations.retrainings) == ("70_ablations", 0.1, 2 * 40)
