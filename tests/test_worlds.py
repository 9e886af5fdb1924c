"""Worlds, protocols, readings and repetitions of a study, on the toy world."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hadyounot.compare.statistics import _times_drawn, hierarchical_interval
from hadyounot.method import effects
from hadyounot.method.outcomes import compare, simulate
from hadyounot.report import output, tables, writing
from hadyounot.report.figures import draw, marks
from hadyounot.report.figures.worlds import protocols, what_decides_validity
from hadyounot.report.tables.worlds import best, expected, renumbered_markdown
from hadyounot.retrain.mf import MatrixFactorization
from hadyounot.retrain.ratings import Deletion, Ratings
from hadyounot.settings import ConfigError
from hadyounot.study import paths, schemas
from hadyounot.study.cell import Cell
from hadyounot.study.cell import recommender as recommender_of
from hadyounot.study.config import check_study
from hadyounot.study.methods import METHOD, family
from hadyounot.workflow import demo

MF = {"kind": "mf", "factors": 4, "epochs": 40, "learning_rate": 0.02, "regularization": 0.05}
STUDY = {
    "models": {
        "mf-rebuilt": MF | {"protocol": "rebuilt"},
        "mf": MF,
        "mf-seed1": MF | {"seed": 1},
        "mf-seen": MF | {"remove_seen": False},
        "mf-short": MF | {"epochs": 5},
    },
    "datasets": {"toy-split1": {"sources": [{"kind": "same", "dataset": "toy", "split": 1}]}},
    "cells": [
        {"dataset": "toy", "model": "mf", "analysed": True},
        *({"dataset": "toy", "model": model} for model in ("mf-seed1", "mf-rebuilt", "mf-seen", "mf-short")),
        *({"dataset": "toy-split1", "model": model} for model in ("mf", "mf-seed1")),
    ],
    "counterfactual": {"training_users": 10, "deletions_per_user": 20, "n_targets": 5},
    "surrogates": {"mlp": {"batch_size": 64, "max_epochs": 2}, "lasso": {"penalties": 50}},
    "explanation": {"test_users": 12, "max_candidates": 200, "oracle": {"exhaustive": 20, "shortlist": 4}},
    "ablations": {"families": ["reading"]},
    "naive": {"users": 1, "max_history": 12, "max_size": 1},
    "correlation": {"users": 3, "sets": 12},
    "projection": {"users": 6, "points": 60, "perplexity": 5},
}


@pytest.fixture(scope="module")
def study():
    return check_study(STUDY, "this test")


@pytest.fixture(scope="module", params=[pytest.param("run", marks=pytest.mark.slow)])  # and so is who asks for it
def folder(study):
    """A finished run: its cells, and the tables that this test is about."""
    cells = [(cell.dataset, cell.model) for cell in study.cells]
    made = demo._made(study, cells, ["60_evaluate"])
    analysed = demo._made(study, cells[:1], demo.STAGES)
    (made / "results/toy/mf").rename(made / "results/toy/aside")
    (analysed / "results/toy/mf").rename(made / "results/toy/mf")
    for name in ("worlds", "indifferent", "replication", "renumbered", "sutva"):
        writing.write(name, study, made)
    return made


@pytest.fixture
def worlds(folder):
    return tables.read("worlds", folder)


def cell_of(study, folder, dataset, model) -> Cell:
    return Cell(study.of(dataset, model), dataset, model, folder)


# -- what a study says ------------------------------------------------------------------------------------------------


def test_a_world_is_called_as_the_model_that_is_nothing_but_that_world(study):
    assert [study.world("toy", model) for model in study.models] == ["mf", "mf", "mf", "mf", "mf-short"]
    assert study.world("toy-split1", "mf-seed1") == "mf"
    assert study.protocols == {"pinned", "rebuilt"}


def test_a_world_of_another_dataset_gives_no_name(study):
    """Not even where its settings are the same."""
    cells = [{"dataset": "toy", "model": "mf-short"}, {"dataset": "ml-100k", "model": "mf"}]
    other = check_study(STUDY | {"models": {"mf": MF, "mf-short": MF}, "cells": cells, "datasets": {}}, "this test")
    assert [other.world(cell.dataset, cell.model) for cell in other.cells] == ["mf-short", "mf"]


def test_tables_and_figures_of_repetitions_are_of_studies_that_have_them(study):
    alone = check_study(STUDY | {"cells": STUDY["cells"][:1]}, "this test")
    both = [set(output.names(each)) for each in (study, alone)]
    assert {"replication", "renumbered", "methods_across_worlds", "protocols"} == {
        name for name in both[0] - both[1] if not name.startswith("figure5")
    }
    assert {"worlds", "sutva", "what_decides_validity"} <= both[1]
    assert "replication" in tables.names(study)


def test_another_split_is_of_the_same_ratings(study, folder):
    one, other = (cell_of(study, folder, dataset, "mf") for dataset in ("toy", "toy-split1"))
    for name in ("users", "items", "values", "user_ids"):
        np.testing.assert_array_equal(getattr(one.ratings, name), getattr(other.ratings, name))
    assert len(one.train) == len(other.train)
    shared = np.intersect1d(*(cell.train.users * 1000 + cell.train.items for cell in (one, other)))
    assert 0.6 < len(shared) / len(one.train) < 0.8  # of a split of its own, 70 % are in both
    assert one.explainable_users.tolist() != other.explainable_users.tolist()
    assert study.original("toy-split1") == "toy"


def test_a_seed_of_its_own_changes_nothing_but_initial_weights(study, folder):
    one, other = (cell_of(study, folder, "toy", model) for model in ("mf", "mf-seed1"))
    assert one.recommender().seed == study.seed != other.recommender().seed
    assert recommender_of(study.models["mf-seed1"], 5).seed != other.recommender().seed
    assert one.test_users.tolist() == other.test_users.tolist()
    deleted = [np.stack(cell.read(paths.OUTCOMES, block="000")["deleted"]) for cell in (one, other)]
    np.testing.assert_array_equal(*deleted)


# -- readings ---------------------------------------------------------------------------------------------------------


def world(seed=0) -> tuple[Ratings, list[Deletion], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((8, 15)) < 0.5)
    ratings = Ratings.from_arrays(users, items, rng.integers(1, 6, len(users)))
    deletions = [Deletion(user, tuple(rng.permutation(ratings.history(user))[:2].tolist())) for user in range(8)]
    before, after = rng.normal(size=(2, 8, ratings.n_items)).astype(np.float32)
    return ratings, deletions, before, after


@pytest.mark.parametrize("seed", range(3))
def test_readmitted_items_compete_with_the_targets(seed):
    """Against a list that is sorted by hand, deleted items among the candidates."""
    ratings, deletions, before, after = world(seed)
    recorded = compare(ratings, deletions, before, after, n_targets=3)
    readmitted = recorded.readmitted()
    for row, deletion in enumerate(deletions):
        unseen = [item for item in range(ratings.n_items) if item not in ratings.history(deletion.user)]
        ranked = sorted([*unseen, *deletion.items], key=lambda item, row=row: -after[row, item])
        for column, target in enumerate(readmitted.targets[row]):
            assert readmitted.rank_after[row, column] == 1 + ranked.index(target)
            old = readmitted.rank_before[row, column]
            assert effects.reg(readmitted)[row, column] == after[row, ranked[old - 1]] - after[row, target]
        assert readmitted.top1_score_after[row] == after[row, ranked[0]]
    assert (readmitted.targets == recorded.targets).all()
    assert (readmitted.rank_after >= recorded.rank_after).all()
    assert (readmitted.rank_after > recorded.rank_after).any()


def test_where_seen_items_are_not_removed_a_target_may_be_deleted():
    ratings, deletions, before, after = world()
    recorded = compare(ratings, deletions, before, after, n_targets=ratings.n_items, remove_seen=False)
    everything = np.sort(recorded.targets, axis=1)
    assert (everything == np.arange(ratings.n_items)).all()
    assert (np.sort(recorded.rank_after, axis=1) == np.arange(1, ratings.n_items + 1)).all()
    assert recorded.readmitted().rank_after.tolist() == recorded.rank_after.tolist()


def test_a_recommender_carries_its_reading(study, folder):
    ratings = cell_of(study, folder, "toy", "mf").train
    for seen in (True, False):
        mf = MatrixFactorization(**{name: value for name, value in MF.items() if name != "kind"}, remove_seen=not seen)
        found = simulate(mf, ratings, [0, 1, 2, 3], 3, 5, 10, seed=0)
        inside = [
            np.isin(targets, ratings.history(each.user)).any()
            for targets, each in zip(found.targets, found.deletions, strict=True)
        ]
        assert any(inside) == seen


def test_surrogates_of_the_readmitted_reading_learn_and_are_verified_on_it(study, folder, worlds):
    cell = cell_of(study, folder, "toy", "mf")
    tested = cell.read(paths.EVALUATION).set_index(["method", "user"])
    relearnt = cell.read(paths.ABLATION, family="reading").set_index(["method", "user"])
    of = worlds[(worlds["reading"] == "readmitted") & (worlds["top_k"] == 1)].set_index("method")
    assert set(worlds[worlds["reading"] == "readmitted"]["world"]) == {"mf"}  # the cell that is analysed
    assert of.loc["knn", "n_valid"] == (tested.loc["knn", "rank_after_readmitted"] > 1).sum()
    assert "verified" not in of.index  # of which nothing was proven on this reading
    explained = [name for name in of.index if METHOD[name].explains]
    assert of.loc["oracle", "n_valid"] >= of.loc[explained, "n_valid"].max()
    learnt = relearnt.loc["readmitted-linear_reg", "rank_after_readmitted"]
    assert of.loc["linear_reg", "n_valid"] == (learnt > 1).sum()
    facts = cell.read(paths.ABLATION_FITS, family="reading")["variants"]
    assert {method.name for method in family("reading", study.ablations, 3) if method.learner} == set(facts)
    assert set(relearnt.index.unique("method")) - set(facts) == {"influence-as-printed"}


# -- tables -----------------------------------------------------------------------------------------------------------


def test_worlds_has_every_cell_once_with_its_validity_and_quality(study, folder, worlds):
    unseen = worlds[worlds["reading"] != "readmitted"]
    assert len(unseen) == len(study.cells) * len(METHOD) * len(study.explanation.top_k)
    one = unseen[(unseen["protocol"] == "rebuilt") & (unseen["method"] == "influence") & (unseen["top_k"] == 3)].iloc[0]
    cell = cell_of(study, folder, "toy", "mf-rebuilt")
    tested, quality = cell.read(paths.EVALUATION), cell.read(paths.QUALITY)
    assert one["n_valid"] == (tested[tested["method"] == "influence"]["rank_after"] > 3).sum()
    assert one["ndcg_at_10"] == quality["ndcg_10"]
    assert one["train_gap"] == pytest.approx(quality["test_rmse"] - quality["train_rmse"])
    splits = unseen.groupby(["dataset", "world", "protocol", "reading"])[["split_seed", "model_seed"]]
    assert splits.apply(lambda rows: set(map(tuple, rows.to_numpy()))).loc["toy", "mf", "pinned", "unseen"] == set(
        product((0, 1), (0, 1))
    )
    assert set(unseen["reading"]) == {"unseen", "seen"}
    told = (folder / "tables/worlds.md").read_text()
    cell = cell_of(study, folder, "toy", "mf")
    quality, of_reseed = cell.read(paths.QUALITY), unseen.query("world == 'mf' and method == 'reseed'")
    _, section = told.split("\n## Planted toy world × matrix factorisation, mf, pinned, unseen (12 users)\n\n")
    assert section.startswith(f"Training RMSE {quality['train_rmse']:.3f}, test RMSE {quality['test_rmse']:.3f}, nDCG@")
    shares = of_reseed.query("protocol == 'pinned' and reading == 'unseen' and split_seed == 0 and model_seed == 0")
    (reseed,) = (line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| Reseed"))
    assert [each.strip() for each in reseed.split("|")[2:-1]] == [f"{100 * each:.1f}" for each in shares["validity"]]
    assert "\n## Planted toy world × matrix factorisation, mf, pinned, seen (12 users)\n" in told
    assert f"| {best(worlds)['K = 1'][0]} |" in re.sub(" +", " ", told)


REPLICATION = (  # names fixed by other tools that read them
    "dataset,recommender,world,method,top_k,n_splits,n_seeds,n_users,validity,ci_low,ci_high,lowest,highest,sd_of_seeds,paper\n"
)


def test_replication_is_a_mean_over_splits_and_seeds(study, folder):
    table = tables.read("replication", folder).set_index(["method", "top_k"])
    shares = [
        (cell_of(study, folder, dataset, model).read(paths.EVALUATION).query("method == 'oracle'")["rank_after"] > 1)
        for dataset, model in product(("toy", "toy-split1"), ("mf", "mf-seed1"))
    ]
    row = table.loc["oracle", 1]
    means = np.array([share.mean() for share in shares]).reshape(2, 2)
    assert row["validity"] == pytest.approx(means.mean())
    assert (row["lowest"], row["highest"]) == (means.min(), means.max())
    assert row["sd_of_seeds"] == pytest.approx(means.std(axis=1, ddof=1).mean())
    assert row["ci_low"] <= row["validity"] <= row["ci_high"]
    assert set(table["world"]) == {"mf"}  # the other is not repeated
    assert (folder / "tables/replication.csv").read_text().startswith(REPLICATION)
    assert "2 splits × 2 seeds × 12 users" in (folder / "tables/replication.md").read_text()


def test_a_repetition_that_is_missing_is_named_before_anything_runs():
    with pytest.raises(ConfigError, match=r"mf on toy is repeated in part; give it .* of the seeds \[0, 1\] on"):
        check_study(STUDY | {"cells": STUDY["cells"][:-1]}, "this test")


@pytest.mark.parametrize("other", [{}, {"protocol": "warm", "warm_epochs": 20}])
def test_two_cells_that_no_table_could_tell_apart_are_refused(other):
    models = {"mf": MF | other, "mf-again": MF | other | ({"warm_epochs": 2} if other else {})}
    cells = [{"dataset": "toy", "model": model} for model in models]
    with pytest.raises(ConfigError, match="cells: mf on toy and mf-again on toy are the same world, retrained"):
        check_study({"models": models, "cells": cells}, "this test")


def test_rebuilt_worlds_may_be_repeated(study, folder):
    table = tables.read("renumbered", folder)
    again = pd.concat([table, table.assign(model_seed=1)])
    assert renumbered_markdown(again, study) == renumbered_markdown(table, study)


@pytest.mark.parametrize(
    ("models", "there"),
    [
        (["mf"], {"what_decides_validity"}),
        (["mf-seen"], set()),  # nothing that leaves out what was seen
        (["mf-rebuilt"], set()),  # nothing pinned
        (["mf-short", "mf-rebuilt"], {"what_decides_validity"}),  # no world under two protocols
        (["mf", "mf-short"], {"what_decides_validity", "methods_across_worlds"}),
        (["mf", "mf-rebuilt"], {"what_decides_validity", "protocols"}),
        (["mf-seed1"], set()),  # nothing of the study's own seed
    ],
)
def test_figures_of_worlds_are_of_studies_that_have_something_in_them(models, there):
    cells = [{"dataset": "toy", "model": model} for model in models]
    study = check_study(STUDY | {"cells": cells}, "this test")
    assert {"methods_across_worlds", "what_decides_validity", "protocols"} & {*output.names(study)} == there
    assert "replication" not in output.names(study)


def test_renumbered_parts_the_users_of_each_method(study, folder):
    table = tables.read("renumbered", folder)
    cell = cell_of(study, folder, "toy", "mf-rebuilt")
    counts = table.groupby(["method", "top_k"])["n_users"].sum()
    assert (counts == 12).all()
    assert set(counts.index.unique("method")) == {name for name, method in METHOD.items() if method.explains}
    moved = 0  # by hand: whether anybody who is left comes in another place
    for row in cell.read(paths.EVALUATION).query("method == 'random'").itertuples():
        (deleted,) = cell.train.deleted_rows([Deletion(row.user, tuple(row.items.tolist()))])
        for ids in (cell.train.users, cell.train.items):
            before, after = (list(dict.fromkeys(each.tolist())) for each in (ids, np.delete(ids, deleted)))
            if before[: len(after)] != after:
                moved += 1
                break
    random = table[(table["method"] == "random") & (table["top_k"] == 1)].set_index("renumbers")["n_users"]
    assert random.get(True, 0) == moved > 0


def test_sutva_counts_whose_top_recommendation_changes(study, folder):
    table = tables.read("sutva", folder).set_index(["dataset", "model"])
    row, signal = table.loc["toy", "mf"], cell_of(study, folder, "toy", "mf").read(paths.SIGNAL)
    assert row["others"] == signal["others"] == 4 * row["own"]
    assert row["others_share"] == signal["others_top1_changed"] / signal["others"]
    # Wilson's by hand, of as many draws as retrained models: the four who are looked at for one may move together
    n, share, z = row["own"], row["others_share"], 1.959964
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert row["ci_low"] == pytest.approx((middle - half) / (1 + z**2 / n), abs=1e-9)
    assert row["ci_high"] == pytest.approx((middle + half) / (1 + z**2 / n), abs=1e-6)


@pytest.mark.parametrize("figure", ["what_decides_validity", "protocols"])
def test_figures_have_a_row_for_each(study, folder, worlds, figure):
    drawn = draw(figure, study, folder)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["K = 1", "K = 3", "K = 5"]
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    if figure == "protocols":
        assert labels == ["pinned", "rebuilt: other ids too", "deleted may return", "all may return"]
    else:
        fits = (worlds["test_rmse"] - worlds["train_gap"])[
            (worlds["protocol"] == "pinned") & (worlds["reading"] == "unseen")
        ]
        errors = fits.groupby(worlds["world"]).mean()  # as trained least to most
        assert labels == [f"mf-short (0.05, 5, {errors['mf-short']:.2f})", f"mf (0.05, 40, {errors['mf']:.2f})"]
    if figure == "protocols":  # a row says both, whatever they are
        both = pd.concat([worlds, worlds[worlds["protocol"] == "rebuilt"].assign(reading="readmitted")])
        rows = protocols(both, tables.read("indifferent", folder), study).axes[0].get_yticklabels()
        assert "deleted may return, rebuilt: other ids too" in [each.get_text() for each in rows]
    else:  # of each mark the mean over splits and seeds
        own = worlds[(worlds["protocol"] == "pinned") & (worlds["reading"] == "unseen") & (worlds["top_k"] == 1)]
        mean = own[(own["world"] == "mf") & (own["method"] == "influence")]["validity"].mean()
        marked = {
            line.get_xdata()[0] for line in drawn.axes[0].lines if line.get_marker() == marks.MARKERS["influence"]
        }
        assert any(np.isclose(mean, each) for each in marked)
    (heading,) = drawn.axes[-1].texts
    trained = " (mf)" if figure == "protocols" else " (L2, epochs, training RMSE)"
    assert heading.get_text() == f"Planted toy world × matrix factorisation{trained}"


def test_all_worlds_at_once(study, folder, worlds):
    """A dot a world, the mean over its repetitions; the median of the dots."""
    names_any = tables.read("indifferent", folder)
    drawn = draw("methods_across_worlds", study, folder).axes[0]
    labels = [label.get_text() for label in drawn.get_yticklabels()]
    own = worlds[(worlds["protocol"] == "pinned") & (worlds["reading"] == "unseen") & (worlds["top_k"] == 1)]
    means = own.groupby(["method", "world"])["validity"].mean()
    for name in ("random", "linear_reg", "oracle"):
        place = labels.index(METHOD[name].label)
        marked = [line for line in drawn.lines if np.all(np.abs(np.asarray(line.get_ydata()) - place) < 0.4)]
        *dots, median = ([*line.get_xdata()] for line in marked if line.get_marker() == "o")
        assert sorted(np.concatenate(dots)) == pytest.approx(sorted(means[name]))
        assert median == pytest.approx([means[name].median()])
    assert set(names_any["method"]) <= {name for name, method in METHOD.items() if method.learner}


def test_a_world_of_two_datasets_has_a_row_in_each(study, worlds):
    """With the error on its own ratings."""
    own = worlds[(worlds["protocol"] == "pinned") & (worlds["reading"] == "unseen") & (worlds["world"] == "mf")]
    both = pd.concat(
        [own.assign(test_rmse=1.5, train_gap=gap, dataset=name) for gap, name in ((0, "toy"), (1, "toy-split1"))]
    )
    drawn = what_decides_validity(both, pd.DataFrame(columns=list(schemas.INDIFFERENT.columns)), study)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == ["mf (0.05, 40, 1.50)", "mf (0.05, 40, 0.50)"]


def test_a_surrogate_that_names_any_items_is_hollow(study, folder, worlds):
    cell = study.place("toy", "mf")
    ties = pd.DataFrame([cell | {"method": "mlp_reg"}])
    for figure, row in ((what_decides_validity, "mf ("), (protocols, "pinned")):
        drawn = figure(worlds, ties, study).axes[0]
        place = next(
            y
            for y, text in zip(drawn.get_yticks(), drawn.get_yticklabels(), strict=True)
            if text.get_text().startswith(row)
        )
        hollow = [
            line
            for line in drawn.lines
            if line.get_marker() in marks.MARKERS.values() and line.get_markerfacecolor() == "white"
        ]
        assert [line.get_marker() for line in hollow] == [marks.MARKERS["mlp_reg"]]
        assert abs(hollow[0].get_ydata()[0] - place) < 0.4


def test_what_was_expected_is_judged_by_an_interval():
    told = {"a": (0.9, 0.8, 0.95), "b": (0.5, 0.4, 0.6), "c": (0.55, 0.45, 0.65)}
    names = ["dataset", "world", "method", "validity", "ci_low", "ci_high"]
    table = pd.DataFrame([("toy", "mf", name, *shares) for name, shares in told.items()], columns=names)
    pairs = [("a", "b"), ("b", "a"), ("b", "c"), ("a", "z")]
    found = expected(table, [(f"{a} above {b}", {"method": a}, {"method": b}) for a, b in pairs])
    assert found["verdict"].tolist() == ["as expected", "the opposite", "not told apart", "not in this study"]
    assert found["in"].tolist() == ["toy, mf"] * 3 + [""]
    assert found["difference"].tolist()[0] == "+40.0 [+25.9, +51.2]"  # ± √(10² + 10²), √(5² + 10²) points
    several = pd.concat([table, table.assign(world="svd", validity=0.5), table[1:].assign(world="als")])
    found = expected(several, [("a above b", {"method": "a"}, {"method": "b"})])
    assert found["in"].tolist() == ["toy, mf", "toy, svd"]  # the third has no a
    named = [{"world": world, "method": "b"} for world in ("mf", "als")]
    assert expected(several, [("mf above als", *named)])["in"].tolist() == ["toy"]


def test_the_best_of_a_world_is_no_control(worlds):
    table = best(worlds)
    assert table["world"].tolist() == ["mf", "mf-short"]
    own = worlds[(worlds["world"] == "mf") & (worlds["protocol"] == "pinned") & (worlds["reading"] == "unseen")]
    assert len(own.groupby(["split_seed", "model_seed"])) == 4
    own = own[own["top_k"] == 1].groupby("method")["validity"].mean()
    told = own[[name for name in own.index if METHOD[name].role != "control" and not METHOD[name].proves]].max()
    ends = f": {100 * told:.0f}, proven {100 * own['verified']:.0f} of {100 * own['oracle']:.0f} %"
    assert table["K = 1"][0].endswith(ends)
    assert not any(METHOD[name].label in table["K = 1"][0] for name in ("reseed", "oracle", "random", "verified"))
    raised = worlds.assign(validity=worlds["validity"].mask(worlds["method"] == "random", told))
    assert best(raised)["K = 1"][0].startswith(f"none above random items: {100 * told:.0f}, proven ")


# -- the hierarchical bootstrap ---------------------------------------------------------------------------------------


def test_with_one_split_and_seed_users_alone_are_drawn():
    valid = np.random.default_rng(0).random((1, 1, 200)) < 0.3
    low, high = hierarchical_interval(valid, 0)
    half = 1.96 * np.sqrt(valid.mean() * (1 - valid.mean()) / 200)
    assert (low, high) == (pytest.approx(valid.mean() - half, abs=0.012), pytest.approx(valid.mean() + half, abs=0.012))


def test_seeds_that_differ_widen_the_interval_and_users_that_do_not_add_nothing():
    alike = np.zeros((3, 3, 400), dtype=bool)
    alike[:, :, :200] = True
    apart = np.broadcast_to(np.array([0, 0, 1], bool)[None, :, None], (3, 3, 400))  # each seed all or nothing
    widths = [np.diff(hierarchical_interval(each, 0))[0] for each in (alike, apart)]
    assert widths[0] < 0.1 < 0.4 < widths[1]
    again = hierarchical_interval(apart, 0)
    assert again == hierarchical_interval(apart, 0)


def test_splits_are_drawn_with_replacement():
    """Three splits, one all valid: the mean of three draws is 0 with probability 8/27, so the interval begins there."""
    valid = np.zeros((3, 1, 50), dtype=bool)
    valid[0] = True
    assert hierarchical_interval(valid, 0) == (0, 1)


def test_resamples_are_those_of_a_plain_loop():
    """Splits, and in each of them seeds and users, which are crossed: their means have the same quantiles."""
    rng = np.random.default_rng(0)
    values = (rng.random((3, 3, 40)) < rng.random((3, 3, 1))).astype(int) - (rng.random((3, 3, 40)) < 0.2)
    means = []
    for _ in range(4000):
        splits = values[rng.integers(3, size=3)]
        drawn = [split[np.ix_(rng.integers(3, size=3), rng.integers(40, size=40))] for split in splits]
        means.append(np.mean(drawn))
    expected = np.quantile(means, [0.025, 0.1, 0.9, 0.975])
    found = sorted([*hierarchical_interval(values, 0), *hierarchical_interval(values, 0, 0.8)])
    np.testing.assert_allclose(found, expected, atol=0.02)
    times = _times_drawn(3, 3, 40, 0).reshape(-1, 3, 3, 40)
    assert (times.sum(axis=(1, 2, 3)) == 360).all()
    assert (times.sum(axis=3).sum(axis=2) % (3 * 40) == 0).all()  # a split is drawn with as many as it has
