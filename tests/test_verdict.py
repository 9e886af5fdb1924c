"""The verdict on every claim of the paper: the rule, the numbers it is given, and what claims.yaml says."""

import re
from math import nan

import numpy as np
import pandas as pd
import pytest
from hadyounot.compare import statistics
from hadyounot.compare.verdict import VERDICTS, Expected, Measurement, over_worlds, weakest
from hadyounot.report import output, writing
from hadyounot.report.tables import table
from hadyounot.report.tables.verdict import counted, expected, shown, told_briefly
from hadyounot.study import claims, config, paths, schemas, store, yaml_file
from hadyounot.study.cell import Cell
from hadyounot.study.methods import BASE, MEASURES, METHOD, family

PAPER = config.load_study(paths.PROJECT / "config/paper.yaml")
TESTED = [claim for claim in PAPER.claims.claims if claim.kind != "people"]


def of_kind(*kinds):
    return [claim for claim in PAPER.claims.claims if claim.kind in kinds]


# -- the rule ---------------------------------------------------------------------------------------------------------

NUMBER = Expected(paper=82, tolerance=5)
SIZED = Expected("above", paper=46.5, tolerance=5)
ORDER = Expected("above")
BELOW = Expected("below", bound=0.5, paper=0.175, tolerance=0.05)


@pytest.mark.parametrize(
    ("said", "found", "verdict"),
    [
        (NUMBER, (80, 74, 85), "reproduced"),
        (NUMBER, (87, 83, 90), "reproduced"),  # outside the interval, within the tolerance
        (NUMBER, (70, 50, 90), "reproduced"),  # inside a wide interval
        (NUMBER, (87.5, 83, 91), "not"),
        (NUMBER, (13, 8, 21), "not"),
        (NUMBER, (13, nan, nan), "not"),
        (Expected(paper=62, tolerance=5), (100 * 0.57, nan, nan), "reproduced"),  # the last digit decides nothing
        (SIZED, (44, 35, 54), "reproduced"),
        (SIZED, (20, 10, 30), "in direction"),
        (SIZED, (80, 70, 90), "in direction"),
        (SIZED, (3, -1, 7), "not"),
        (SIZED, (46.5, -1, 94), "not"),  # the size agrees, but nothing says it is above
        (SIZED, (-3, -7, 1), "not"),
        (SIZED, (3, 0, 7), "not"),
        (SIZED, (-20, -30, -10), "contradicted"),
        (SIZED, (46.5, nan, nan), "not"),
        (ORDER, (1, 0.1, 2), "reproduced"),
        (ORDER, (-1, -2, -0.1), "contradicted"),
        (ORDER, (0, -1, 1), "not"),
        (BELOW, (0.2, 0.1, 0.3), "reproduced"),
        (BELOW, (-0.2, -0.3, -0.1), "in direction"),
        (BELOW, (0.96, 0.9, 0.98), "contradicted"),
        (BELOW, (0.45, 0.1, 0.6), "not"),
        (BELOW, (-0.2, -0.3, -0.1, (-0.5, 0.2)), "reproduced"),  # the paper's is of one unit, as some of ours are
        (BELOW, (-0.2, -0.3, -0.1, (-0.5, 0.1)), "in direction"),
    ],
)
def test_a_world_is_judged_by_its_interval_and_the_papers_number(said, found, verdict):
    assert said.in_world(Measurement(*found)) == verdict


def test_a_claim_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a side or of a number"):
        Expected().in_world(Measurement(0, -1, 1))


R, D, N, C = "reproduced", "in direction", "not", "contradicted"


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([R], R),
        ([R, R], R),
        ([R, D], D),
        ([D, D], D),
        ([R, N], "in some worlds"),
        ([D, C], "in some worlds"),
        ([N, N], N),
        ([N, C], N),
        ([C], C),
        ([C, C], C),
        ([], None),
    ],
)
def test_worlds_are_summed_up(verdicts, verdict):
    assert over_worlds(verdicts) == verdict
    assert over_worlds(reversed(verdicts)) == verdict


# -- its numbers ------------------------------------------------------------------------------------------------------


def test_the_weakest_comparison_is_corrected_only_where_it_would_contradict():
    def around(middle):
        return lambda confidence: (middle, middle - 10 * confidence, middle + 10 * confidence)

    four = [around(middle) for middle in (30, 12, 20, 40)]
    assert weakest(four, "above")[:3] == pytest.approx((12, 12 - 9.5, 12 + 9.875))
    assert weakest(four, "below")[:3] == pytest.approx((40, 40 - 9.875, 40 + 9.5))
    assert weakest(four[:1], "above")[:3] == weakest(four[:1], "below")[:3] == pytest.approx((30, 20.5, 39.5))


@pytest.mark.parametrize("order", [1, -1])
def test_a_comparison_without_an_interval_leaves_all_unshown(order):
    comparisons = [lambda _: (3, 2, 4), lambda _: (5, nan, nan)][::order]
    found = weakest(comparisons, "above")
    assert found.estimate == 3
    assert np.isnan([found.low, found.high]).all()


def test_the_median_lies_between_order_statistics():
    # of 10 values the 2nd and the 9th: P(at most 1 of 10 below the median) = 11/1024 on either side, 97.9 % in all
    values = np.array([7.0, 1, 5, 3, 9, 2, 8, 4, 10, 6])
    assert statistics.median(values) == (5.5, 2, 9)
    assert statistics.median(values, 0.99) == (5.5, 1, 10)
    assert np.isnan(statistics.median(values[:5])[1:]).all()  # 1 - 2/32 < 95 %
    assert not np.isnan(statistics.median(values[:6])[1:]).any()


def test_the_interval_of_a_median_covers_it_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    intervals = [statistics.median(rng.exponential(size=40))[1:] for _ in range(500)]
    assert 0.94 <= np.mean([low <= np.log(2) <= high for low, high in intervals]) <= 0.99


def test_independent_differences_recover_variances_from_their_ends():
    # Newcombe (Statistics in Medicine 1998), method 10, example (a): 56/70 - 48/80
    a, b = (56 / 70, 0.6920, 0.8767), (48 / 80, 0.4905, 0.7003)
    difference, low, high = statistics.independent_difference(a, b)
    assert difference == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=2e-3)
    assert statistics.independent_difference(b, a) == pytest.approx((-difference, -high, -low))


def test_more_confidence_is_a_wider_interval():
    rng = np.random.default_rng(1)
    valid, base = rng.random(50) < 0.7, rng.random(50) < 0.4
    (change, low, high), (same, lower, higher) = (
        statistics.paired_change(valid, base, confidence) for confidence in (0.95, 0.99)
    )
    assert same == change
    middle = (low + high) / 2
    assert (higher - middle) / (high - middle) == pytest.approx(2.5758 / 1.96, abs=1e-3)
    assert (middle - lower) / (middle - low) == pytest.approx(2.5758 / 1.96, abs=1e-3)


# -- claims.yaml ------------------------------------------------------------------------------------------------------


def test_every_claim_is_said_once():
    said = [claim.claim for claim in PAPER.claims.claims]
    assert len(set(said)) == len(said)
    assert {claim.kind for claim in TESTED} == {
        *("validity", "difference", "fall", "gap", "ablation", "correlation", "time", "separability", "dataset")
    }


def test_claims_name_methods_measures_and_variants_that_there_are():
    searched = {variant.name for variant in family("search", PAPER.ablations, PAPER.explanation.explanation_size)}
    for claim in PAPER.claims.claims:
        for field in ("method", "better", "worse", "methods", "against"):
            named = getattr(claim, field, None) or []
            known = set(METHOD) | (searched if claim.kind == "time" else set())
            assert set([named] if isinstance(named, str) else named) <= known, claim.claim
    measures = {method.measure for method in MEASURES}
    for claim in of_kind("correlation"):
        assert {claim.measure, claim.minus or claim.measure} <= measures
    for claim in of_kind("ablation"):
        variants = family(claim.family, PAPER.ablations, PAPER.explanation.explanation_size)
        assert {claim.variant, claim.control} <= {BASE.name, *(variant.name for variant in variants)}, claim.claim


def test_commands_name_tables_and_figures_that_there_are():
    known = {f"figures/{name}.png" for name in output.figures.names(PAPER)}
    known |= {paths.TABLE.format(table=name) for name in output.tables.names(PAPER)}
    for claim in PAPER.claims.claims:
        assert set(claim.command.split()[1:]) <= known, claim.claim


def test_the_papers_numbers_stand_in_published():
    without = set()
    for claim in TESTED:
        for dataset in claim.datasets:
            for kind in claim.recommenders:
                said = expected(claim, dataset, kind, PAPER)
                if said.paper is None and (claim.kind, dataset) != ("dataset", "netflix-small"):
                    without.add(claim.kind if claim.kind != "ablation" else claim.variant)
                assert said.side or said.paper is not None or claim.kind == "dataset", claim.claim
    # claims in words alone
    assert without == {"time", "separability", "correlation", "attention", "transformer", "mask", "mlp-greedy"}
    assert [claim.measure for claim in of_kind("correlation") if claim.minus] == ["linear_reg"] * 2
    for claim in of_kind("people"):
        assert claim.method is None or getattr(PAPER.published.user_study, claim.method) is not None


@pytest.mark.parametrize(
    ("kind", "dataset", "recommender", "numbers"),
    [
        ("difference", "ml-100k", "mf", [55.5, 37]),  # 72.5 - 17 and - 35.5: the worst surrogate, KNN and influence
        ("difference", "amazon-music", "ncf", [28.5, 27.5]),  # 68.5 - 40 and - 41
        ("validity", "netflix-small", "mf", [30.0, 37.0]),
        ("fall", "ml-100k", "mf", [-27.5]),  # 54.5 - 82
        ("gap", "netflix-small", "mf", [8.5]),  # (89 - 80.5) - (68.5 - 68.5)
        ("correlation", "ml-100k", "mf", [0.175, 0.356]),
        ("dataset", "ml-100k", "mf", [100_000]),
    ],
)
def test_the_papers_numbers_are_computed_like_ours(kind, dataset, recommender, numbers):
    """Of the first claims of each kind."""
    said = [expected(claim, dataset, recommender, PAPER).paper for claim in of_kind(kind)[: len(numbers)]]
    assert said == pytest.approx(numbers)


def test_the_paper_study_measures_every_claim():
    for claim in TESTED:
        for kind in claim.recommenders:
            cells = [
                cell
                for cell in PAPER.cells
                if PAPER.original(cell.dataset) in claim.datasets and PAPER.models[cell.model].kind == kind
            ]
            if claim.kind in ("ablation", "correlation", "separability"):
                cells = [cell for cell in cells if cell.analysed]
            assert cells, claim.claim


def test_a_slip_in_the_claims_is_named(tmp_path):
    file, text = tmp_path / "claims.yaml", (paths.PROJECT / "config/claims.yaml").read_text()
    file.write_text(text.replace("    method: knn\n", "    metod: knn\n", 1))
    with pytest.raises(yaml_file.ConfigError, match="write `method: knn`"):
        claims.load_claims(file)
    file.write_text(text.replace("kind: gap", "kind: gape"))
    with pytest.raises(yaml_file.ConfigError, match="write `kind: gap`"):
        claims.load_claims(file)
    file.write_text(text.replace("    recommenders: [mf, ncf]\n    better", "    recommenders: [mf]\n    better", 1))
    with pytest.raises(yaml_file.ConfigError, match=r"recommenders: .*2"):
        claims.load_claims(file)


# -- the table --------------------------------------------------------------------------------------------------------

N_USERS = 100
VALID = {"linear_reg": 82, "mlp_reg": 60, "knn": 17, "influence": 36, "linear_clf": 36}


def claimed(kind, **fields):
    words = {"claim": f"{kind} {sorted(fields.items())}", "where": "nowhere", "command": "snakemake tables/mcnemar.csv"}
    return {"kind": kind} | words | fields


def study_of(*claims, models=("mf", "mf-loose"), dataset="ml-100k", **fields) -> config.StudyConfig:
    """A study of some named recommenders, all analysed, that judges these claims alone."""
    own = {"mf-loose": {"epochs": 7}, "ncf-2": {"epochs": 8}, "ncf-3": {"epochs": 9}}
    own |= {key: {"seed": 1} for key in ("mf-seed1", "ncf-seed1")}
    return config.check_study(
        {
            "models": {name: {"kind": name.partition("-")[0]} | own.get(name, {}) for name in models},
            "cells": [{"dataset": dataset, "model": name, "analysed": True} for name in models],
            "ablations": {"families": ["effect", "search"]},
            "claims": {"tolerance": 5, "correlation_tolerance": 0.05, "claims": list(claims)},
        }
        | fields,
        "the tests' study",
    )


def ranks(n_valid, rank=2):
    """The first users' targets leave the list."""
    return np.where(np.arange(N_USERS) < n_valid, rank, 1)


def evaluation(valid, rank=2):
    frames = [
        pd.DataFrame({"user": np.arange(N_USERS), "target": 3, "method": name, "items": [[1, 2, 4]] * N_USERS})
        .assign(rank_before=1, rank_after=ranks(count, rank), rank_after_readmitted=1)
        .assign(score_before=4.5, score_after=4.25)
        for name, count in valid.items()
    ]
    return pd.concat(frames, ignore_index=True)


def searched_of(cell):
    return cell.path(paths.ABLATION_TIME, family="search")


def plant(cell, valid=VALID, pearson=None, seconds=None, searched=None, varied=None, auc=(0.6, 0.5, 0.7), rank=2):
    """What a cell of a finished run holds: of each method how many of 100 explanations are valid, and so on."""
    store.write(cell.path(paths.DATASET), {"interactions": 100_000})
    store.write(cell.path(paths.EVALUATION), evaluation(valid, rank), schemas.EVALUATION)
    for path, by_name in ((cell.path(paths.GENERATION_TIME), seconds), (searched_of(cell), searched)):
        times = [(user, name, each) for name, each in (by_name or {}).items() for user in range(N_USERS)]
        times = pd.DataFrame(times, columns=["user", "method", "seconds"])
        store.write(path, times, schemas.GENERATION_TIME)
    rows = [
        (cell.dataset, cell.model, user, name, 50, each + (user - 9.5) / 1000, 0, -1, 1)
        for name, each in (pearson or {}).items()
        for user in range(20)
    ]
    frame = pd.DataFrame(rows, columns=list(schemas.CORRELATION.columns))
    store.write(cell.path(paths.CORRELATION), frame, schemas.CORRELATION)
    probe = dict.fromkeys(schemas.SEPARABILITY.columns, 0.5) | {"dataset": cell.dataset, "model": cell.model}
    probe |= {"n_users": 9, "n_rows": 90, "folds": 3} | dict(zip(("auc", "auc_low", "auc_high"), auc, strict=True))
    probes = pd.DataFrame([probe | {"probe": "linear"}, probe | {"probe": "non-linear", "auc": 0.99}])
    store.write(cell.path(paths.SEPARABILITY), probes, schemas.SEPARABILITY)
    if varied:
        store.write(cell.path(paths.ABLATION, family="effect"), evaluation(varied), schemas.EVALUATION)


def judged(study, folder, *planted) -> pd.DataFrame:
    """The table of a planted run, as it is read back."""
    cells = Cell.all_of(study, folder)
    for cell, what in zip(cells, planted, strict=True):
        plant(cell, **what)
    writing.write("verdict", study, folder)
    path = folder / output.written("verdict", study)["csv"]
    frame = store.read_csv(path, schemas.VERDICT)
    assert set(frame["verdict"].dropna()) <= set(VERDICTS)
    return frame


LINEAR = claimed("validity", method="linear_reg", datasets=["ml-100k"], recommenders=["mf"])
BEATS = claimed("difference", better=["linear_reg"], worse=["influence"], datasets=["ml-100k"], recommenders=["mf"])


@pytest.mark.parametrize(
    ("claim", "first", "second", "verdict"),
    [
        (LINEAR, 82, 85, R),
        (LINEAR, 20, 85, "in some worlds"),
        (LINEAR, 20, 30, N),
        (BEATS, 82, 80, R),  # paper: +46.5 points
        (BEATS, 82, 62, D),
        (BEATS, 62, 36, "in some worlds"),
        (BEATS, 40, 10, N),
        (BEATS, 20, 10, C),
    ],
)
def test_a_planted_run_yields_each_verdict(tmp_path, claim, first, second, verdict):
    worlds = [{"valid": VALID | {"linear_reg": count}} for count in (first, second)]
    (row,) = judged(study_of(claim), tmp_path, *worlds).itertuples()
    assert row.verdict == verdict
    less = 36 if claim is BEATS else 0
    assert row.ours == pytest.approx(first - less)  # the first world's, however near the second is
    assert row.ci_low < row.ours < row.ci_high
    assert row.paper == pytest.approx(46.5 if less else 82)
    one, two = row.worlds.split("; ")
    assert one.startswith(f"ml-100k, mf: {first - less} [")
    assert two.startswith(f"ml-100k, mf-loose: {second - less} [")


def test_what_people_say_is_not_tested_and_has_the_papers_number(tmp_path):
    asked = claimed("people", method="knn", number="p_value"), claimed("people")
    frame = judged(study_of(*asked, models=["mf"]), tmp_path, {})
    assert frame["verdict"].tolist() == ["not testable by code"] * 2
    assert frame["paper"].fillna(-1).tolist() == [0.011, -1]
    assert frame[["ours", "ci_low", "ci_high"]].isna().all(axis=None)


def test_a_claim_without_a_world_has_no_verdict_and_says_what_to_run(tmp_path):
    other = LINEAR | {"recommenders": ["ncf"], "datasets": ["amazon-music"]}
    unvaried = claimed("ablation", family="penalty", variant="least", datasets=["ml-100k"], recommenders=["mf"])
    unknown = claimed("ablation", family="effect", variant="other", datasets=["ml-100k"], recommenders=["mf"])
    frame = judged(study_of(other, unvaried, unknown, models=["mf"]), tmp_path, {})
    assert frame["verdict"].isna().all()
    assert frame["paper"].fillna(-1).tolist() == [74.5, -1, -1]
    assert frame["worlds"].str.contains("config/paper.yaml").all()
    assert frame["worlds"].str.startswith("not measured: ").all()


def test_cells_that_are_not_analysed_and_black_boxes_tell_nothing_of_what_they_lack(tmp_path):
    near = claimed("correlation", measure="influence", side="below", bound=0.5, recommenders=["mf"])
    cells = [{"dataset": "ml-100k", "model": "mf"}, {"dataset": "ml-100k", "model": "own"}]
    models = {"mf": {"kind": "mf"}, "own": {"kind": "blackbox", "factory": "some:thing"}}
    study = study_of(near, claimed("validity", method="knn"), models=["mf"]).model_dump(mode="json")
    study = config.check_study(study | {"cells": cells, "models": models}, "plain")
    correlated, valid = judged(study, tmp_path, {}, {"valid": {"knn": 99}}).itertuples()
    assert pd.isna(correlated.verdict)
    assert (
        valid.worlds == "ml-100k, mf: 17 [10.9, 25.5], paper 17: reproduced; not measured: netflix-small, amazon-music"
    )


def test_a_truncated_svd_is_a_factorisation_of_the_papers_and_tells_nothing_of_a_method_it_lacks(tmp_path):
    study = study_of(LINEAR, BEATS, models=["svd", "mf"]).model_dump(mode="json")
    study = config.check_study(
        study | {"cells": [{"dataset": "ml-100k", "model": name} for name in ("svd", "mf")]}, "svd"
    )
    linear, beats = judged(study, tmp_path, {"valid": {"linear_reg": 30}}, {}).itertuples()
    assert linear.ours == pytest.approx(30)
    assert linear.worlds == (
        "ml-100k, svd: 30 [21.9, 39.6], paper 82: not; ml-100k, mf: 82 [73.3, 88.3], paper 82: reproduced"
    )
    assert linear.verdict == "in some worlds"
    assert beats.worlds.startswith("ml-100k, mf: 46 [")


def test_a_stand_in_is_judged_by_the_numbers_of_what_it_stands_in_for(tmp_path):
    claim = claimed("validity", method="linear_reg", recommenders=["mf"], datasets=["netflix-small"])
    valid = VALID | {"linear_reg": 89}
    (row,) = judged(study_of(claim, models=["mf"], dataset="netflix-sample"), tmp_path, {"valid": valid}).itertuples()
    assert (row.paper, row.verdict) == (89, R)
    assert row.worlds.startswith("netflix-sample, mf: 89 [")


def test_the_smallest_of_several_differences_decides(tmp_path):
    every = BEATS | {"better": ["linear_reg", "mlp_reg"], "worse": ["knn", "influence"]}
    (row,) = judged(study_of(every, models=["mf"]), tmp_path, {}).itertuples()
    assert row.ours == 60 - 36
    assert row.paper == 76.5 - 35.5
    _, low, high = statistics.paired_change(ranks(60) > 1, ranks(36) > 1)
    _, _, higher = statistics.paired_change(ranks(60) > 1, ranks(36) > 1, 1 - 0.05 / 4)
    assert (row.ci_low, row.ci_high) == pytest.approx((100 * low, 100 * higher))
    assert higher > high


def test_recommenders_are_compared_on_the_same_users():
    one = pd.Series([1, 0, -1], index=[4, 5, 6])
    with pytest.raises(ValueError, match="compare recommenders on the same test users"):
        statistics.paired(one, one.set_axis([4, 5, 7]))


def test_falls_and_gaps_are_differences_of_the_same_users_and_of_two_recommenders(tmp_path):
    fall = claimed("fall", method="linear_reg", top_k=5, datasets=["ml-100k"], recommenders=["mf"])
    gap = claimed("gap", better="linear_reg", worse="mlp_reg", datasets=["ml-100k"])
    study = study_of(fall, gap, models=["mf", "ncf", "ncf-2", "ncf-3"])
    other = study.models["ncf-3"].model_copy(
        update={"protocol": "reseeded"}
    )  # is compared with none of another protocol
    study = study.model_copy(update={"models": study.models | {"ncf-3": other}})
    worlds = {"rank": 4}, {"valid": VALID | {"mlp_reg": 75}}, {"valid": VALID | {"mlp_reg": 82}}, {}
    fell, gaps = judged(study, tmp_path, *worlds).itertuples()
    assert (fell.ours, fell.paper, fell.verdict) == (-82, -27.5, N)  # that it falls, eq. (2) says already
    assert (gaps.ours, gaps.paper, gaps.verdict) == (pytest.approx(22 - 7), pytest.approx(2.5), D)
    assert [each.split(": ")[0] for each in gaps.worlds.split("; ")] == ["ml-100k, mf − ncf", "ml-100k, mf − ncf-2"]
    gains = (ranks(82) > 1).astype(int) - (ranks(60) > 1) - ((ranks(82) > 1).astype(int) - (ranks(75) > 1))
    half = 1.984217 * gains.std(ddof=1) / 10  # of Student's t with 99 degrees of freedom
    assert (gaps.ci_low, gaps.ci_high) == pytest.approx([100 * (gains.mean() + each) for each in (-half, half)])


def test_ablations_are_changes_of_the_linear_surrogate(tmp_path):
    fields = {"datasets": ["ml-100k"], "recommenders": ["mf"], "family": "effect"}
    cross, score = (claimed("ablation", variant=name, **fields) for name in ("cross", "score"))
    none, small = (claimed("ablation", variant=name, side=None, paper=0, **fields) for name in ("cross", "rank"))
    study = study_of(cross, score, none, small, models=["mf"])
    frame = judged(study, tmp_path, {"varied": {"score": 40, "cross": 73, "rank": 81}})
    assert frame["ours"].tolist() == [-9, -42, -9, -1]
    assert frame["paper"].fillna(-99).tolist() == [-7.4, -99, 0, 0]
    assert frame["verdict"].tolist() == [R, R, N, R]
    expected_ends = statistics.paired_change(ranks(73) > 1, ranks(82) > 1)[1:]
    assert tuple(frame.loc[0, ["ci_low", "ci_high"]]) == pytest.approx([100 * each for each in expected_ends])


def test_correlations_times_probes_and_counts_are_read_as_they_are(tmp_path):
    one = {"datasets": ["ml-100k"], "recommenders": ["mf"]}
    said = [
        claimed("correlation", measure="influence", side="below", bound=0.5, **one),
        claimed("correlation", measure="influence", minus="linear_reg", side="below", **one),
        claimed("correlation", measure="embedding_distance", side="below", bound=0.5, **one),
        claimed("correlation", measure="linear_reg", minus="embedding_distance", side="above", **one),
        claimed("time", methods=["linear_reg", "mlp_reg"], against="influence", side="below", **one),
        claimed("time", methods=["linear_reg", "mlp_reg"], against="knn", side="above", **one),
        claimed("separability", bound=0.8, **one),
        claimed("dataset", count="interactions", datasets=["ml-100k"]),
    ]
    planted = {
        "pearson": {"influence": 0.34, "linear_reg": 0.9, "embedding_distance": -0.95},  # KNN is right there
        "seconds": {"influence": 2.0, "linear_reg": 0.5, "mlp_reg": 1.0, "knn": 0.75},
    }
    frame = judged(study_of(*said), tmp_path, planted, planted | {"auc": (0.9, 0.85, 0.95)})
    assert frame["ours"].tolist() == pytest.approx([0.34, -0.56, 0.95, -0.05, 0.5, 0.5 / 0.75, 0.6, 100_000])
    assert frame["verdict"].tolist() == [R, R, C, C, R, C, "in some worlds", R]
    assert frame["paper"].fillna(-1).tolist() == [0.356, -1, 0.175, -1, -1, -1, -1, 100_000]
    assert frame["worlds"].iloc[-1] == "ml-100k: 100,000, paper 100,000: reproduced"  # a dataset counts once
    assert frame.loc[0, "ci_low"] < 0.34 < frame.loc[0, "ci_high"]


def test_a_correlation_of_one_user_agrees_if_it_is_among_the_middle_95_percent_of_ours(tmp_path):
    fields = {"side": "below", "bound": 0.5, "datasets": ["ml-100k"], "recommenders": ["mf"]}
    study = study_of(claimed("correlation", measure="influence", **fields), models=["mf"])
    (cell,) = Cell.all_of(study, tmp_path)
    plant(cell, pearson={"influence": 0.2})
    for most, said in ((0.4, R), (0.3, D)):  # 0.356 is the paper's
        frame = cell.read(paths.CORRELATION).assign(pearson=np.linspace(0, most, 20))
        store.write(cell.path(paths.CORRELATION), frame, schemas.CORRELATION)
        (row,) = table("verdict").frame([cell], study).itertuples()
        assert row.verdict == said


def test_a_distance_is_as_accurate_as_what_is_nearest_is_right(tmp_path):
    """Where the nearest items do least, KNN is wrong, however far from 0 the correlation is."""
    fields = {"side": "above", "datasets": ["ml-100k"], "recommenders": ["mf"]}
    more = claimed("correlation", measure="linear_reg", minus="embedding_distance", **fields)
    wrong = {"linear_reg": 0.3, "embedding_distance": 0.6}
    (row,) = judged(study_of(more, models=["mf"]), tmp_path, {"pearson": wrong}).itertuples()
    assert (row.ours, row.verdict) == (pytest.approx(0.9), R)


def test_what_says_the_same_of_every_set_is_no_measure_of_them(tmp_path):
    """A LASSO without weights; but of what a model cannot have, nothing is said."""
    fields = {"side": "above", "datasets": ["ml-100k"], "recommenders": ["mf"]}
    more = claimed("correlation", measure="linear_reg", minus="influence", **fields)
    same, without = {"influence": 0.3, "linear_reg": nan}, {"influence": nan, "linear_reg": 0.3}
    lacking = {name: count for name, count in VALID.items() if name != "influence"}
    study = study_of(more)
    (row,) = judged(study, tmp_path, {"pearson": same}, {"pearson": without, "valid": lacking}).itertuples()
    assert (row.worlds, row.verdict) == ("ml-100k, mf: no number (constant): not", N)


def test_random_items_that_agree_with_the_paper_are_told(tmp_path):
    worlds = ({"valid": VALID | {"linear_reg": 80, "random": count}} for count in (79, 9))
    (row,) = judged(study_of(LINEAR), tmp_path, *worlds).itertuples()
    assert [each.split(", ")[-1] for each in row.worlds.split("; ")] == [
        "random 79 too: reproduced",
        "random 9: reproduced",
    ]


def test_ways_of_searching_are_timed_where_they_are_analysed(tmp_path):
    fields = {"side": "below", "bound": 2, "datasets": ["ml-100k"], "recommenders": ["mf"]}
    said = claimed("time", methods=["mlp-sampled-100000"], against="lasso-sampled-100000", **fields)
    study = study_of(said, claimed("time", methods=["mlp-greedy"], against="knn", **fields))
    cells = [study.cells[0], study.cells[1].model_copy(update={"analysed": False})]
    study = study.model_copy(update={"cells": cells})
    planted = {"seconds": {"knn": 0.1}, "searched": {"mlp-sampled-100000": 6.0, "lasso-sampled-100000": 4.0}}
    timed, other = judged(study, tmp_path, planted, planted).itertuples()
    assert (timed.ours, timed.verdict) == (1.5, R)
    assert timed.worlds == "ml-100k, mf: 1.5: reproduced"
    assert pd.isna(other.verdict)
    read = [path for path in output.needs("verdict", study) if "generation_time_" in path]
    assert read == ["results/ml-100k/mf/ablations/generation_time_search.parquet"]


def test_variants_of_other_users_are_refused(tmp_path):
    claim = claimed("ablation", family="effect", variant="rank", datasets=["ml-100k"], recommenders=["mf"])
    study = study_of(claim, models=["mf"])
    (cell,) = Cell.all_of(study, tmp_path)
    plant(cell)
    varied = evaluation({"rank": 40}).iloc[1:]
    store.write(cell.path(paths.ABLATION, family="effect"), varied, schemas.EVALUATION)
    with pytest.raises(ValueError, match="rank and linear_reg explain other users"):
        table("verdict").frame([cell], study)
    assert BASE.name in VALID


def test_the_twin_counts_verdicts_and_shows_every_claim(tmp_path):
    people = claimed("people")
    nowhere = LINEAR | {"recommenders": ["ncf"]}
    judged(study_of(LINEAR, BEATS, people, nowhere, models=["mf"]), tmp_path, {})
    text = (tmp_path / "tables/verdict.md").read_text()
    counts = "reproduced: 2; not testable by code: 1; not measured by this study: 1. Of these, 0 agree"
    assert text.startswith(f"Claims of the paper by verdict: {counts}")
    assert "(5 percentage points; 0.05 of a correlation; none of others)" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert "| 82.0 % | 82.0 [73.3, 88.3] % | **reproduced** " in re.sub(" +", " ", rows[2])
    assert "| 46.5 points | 46.0 [" in re.sub(" +", " ", rows[3])
    assert "**not testable by code**" in rows[-1]  # though it is claimed before another


def test_other_splits_and_seeds_are_no_worlds_of_their_own(tmp_path):
    """Validities and their differences are judged over all of them."""
    fall = claimed("fall", method="linear_reg", top_k=5, datasets=["ml-100k"], recommenders=["mf"])
    gap = claimed("gap", better="linear_reg", worse="influence", datasets=["ml-100k"])
    said = study_of(LINEAR, BEATS, fall, gap, models=["mf", "mf-seed1", "ncf", "ncf-seed1"])
    planted = ({"valid": VALID | {"linear_reg": count, "random": 9}} for count in (20, 40, 50, 60))
    frame = judged(said, tmp_path, *planted)
    assert frame["ours"].tolist() == pytest.approx([30, -6, -30, (-16 - 14 + 4 - 24) / 2])
    assert frame["verdict"].tolist() == [N, N, R, C]
    assert frame["worlds"][3].startswith("ml-100k, mf − ncf: ")
    low, high = frame.loc[1, ["ci_low", "ci_high"]]
    assert low <= -16  # a seed's, and more
    assert high >= 4
    assert not frame["worlds"].str.contains("seed1").any()
    assert frame["worlds"][0].endswith(", paper 82, random 9: not")
    row = table("replication").frame(Cell.all_of(said, tmp_path), said).query("method == 'linear_reg' and top_k == 1")
    ends = frame.loc[0, ["ci_low", "ci_high"]].tolist()
    assert ends == pytest.approx((100 * row[["ci_low", "ci_high"]]).iloc[0].tolist())
    assert ends[0] < 20 < 40 < ends[1]  # wider than what a seed's users say


def test_many_worlds_are_told_by_their_verdicts():
    each = "ml-100k, w{}: 20 [10, 30], paper 82, random 9: {}"
    few = "; ".join(each.format(number, N) for number in range(3))
    assert told_briefly(few).split("<br>") == few.split("; ")
    verdicts = [N, R, N, C, R, N]
    many = "; ".join(each.format(number, verdict) for number, verdict in enumerate(verdicts)) + "; not measured: toy"
    assert told_briefly(many).split("<br>") == [
        "reproduced in 2: ml-100k, w1 (random 9); ml-100k, w4 (random 9)",
        "not in 3: ml-100k, w0; ml-100k, w2; ml-100k, w5",
        "contradicted in 1: ml-100k, w3",
        "not measured: toy",
    ]
    told = told_briefly("; ".join(each.format(number, R if number == 5 else N) for number in range(6)))
    assert told == "reproduced in 1: ml-100k, w5 (random 9)<br>not in 5: 20 (each in the CSV)"
    apart = "; ".join(each.replace(": 20 [", f": {number} [").format(number, N) for number in (9, -10, 3, 20, -2))
    constant = "; ml-100k, mf: no number (constant): not"
    assert told_briefly(apart + constant) == "not in 6: -10 to 20 (each in the CSV)"
    idle = each.format(1, R).replace("random 9", "random 9 too")
    assert counted(pd.DataFrame({"verdict": [R, R, N], "worlds": [idle, f"{idle}; {each.format(2, R)}", few]})) == (
        "reproduced: 2; not: 1. Of these, 1 agree with the paper only where three random items do too"
    )
    opposed = f"{few}; {each.format(9, C)}"
    frame = pd.DataFrame({"verdict": ["in some worlds", N, N, None], "worlds": [many, few, opposed, ""]})
    numbers = dict.fromkeys(("where", "paper", "ours", "ci_low", "ci_high", "command")) | {"claim": LINEAR["claim"]}
    told = f"**not**, contradicted in 1 of {few.count(chr(59)) + 2}"
    said = ["**in some worlds**: 2 of 6, contradicted in 1", "**not**", told, "not measured by this study"]
    of_linear = shown(frame.assign(**numbers), study_of(LINEAR).claims)
    assert of_linear["verdict over all worlds"].tolist() == said
    assert of_linear["worlds"][1].startswith("ml-100k, w0: 20.0 [10.0, 30.0], paper 82.0, random 9.0: not<br>")


def test_the_kept_verdicts_on_worlds_say_what_the_kept_tables_say():
    """Validities from the table of worlds, or of their repetitions."""
    kept = paths.PROJECT / "docs/results/worlds"
    study = config.load_study(kept / "study.yaml")
    tables = {
        name: store.read_csv(kept / f"tables/{name}.csv", table(name).schema) for name in ("worlds", "replication")
    }
    once = tables["worlds"].query("split_seed == 0 and model_seed == 0 and reading != 'readmitted'")
    once = once.set_index(["dataset", "world", "protocol", "reading", "method", "top_k"])["validity"]
    often = tables["replication"].set_index(["dataset", "world", "method", "top_k"])["validity"]
    judged = store.read_csv(kept / "tables/verdict.csv", schemas.VERDICT).set_index("claim")
    assert list(judged.index) == [claim.claim for claim in study.claims.claims]
    compared = 0
    for claim in of_kind("validity"):
        for entry in judged.loc[claim.claim, "worlds"].split("; "):
            name, _, told = entry.partition(": ")
            if name == "not measured":
                continue
            dataset, model = name.split(", ")
            settings, world = study.models[model], study.world(dataset, model)
            reading = "unseen" if settings.remove_seen else "seen"
            key = dataset, world, claim.method, claim.top_k
            own = (dataset, world, getattr(settings, "protocol", "pinned"), reading, *key[2:])
            found = often[key] if model == world and key in often.index else once[own]
            assert float(told.split()[0]) == pytest.approx(100 * found, abs=0.051), entry
            compared += 1
    assert compared > 200
