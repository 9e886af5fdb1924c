"""Figures: what they show is what the tables say, nothing overlaps, and the same table gives the same bytes."""

import hashlib
import os
import subprocess
import sys
import warnings
from itertools import combinations, pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest
import seaborn
from cycler import Cycler
from hadyounot.report import figures, style
from hadyounot.report.figures import ablations, marks, slope
from hadyounot.report.figures.card import example_card, notice
from hadyounot.report.tables import table
from hadyounot.retrain.ratings import Ratings
from hadyounot.study import published, schemas
from hadyounot.study.config import AblationsConfig, StudyConfig
from hadyounot.study.methods import MEASURES, METHOD, METHODS, family
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

matplotlib.use("agg")
LONG = "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1963)"


GENERATING = [method for method in METHODS if method.name not in ("reseed", "oracle")]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_the_theme_is_that_of_seaborn_whatever_a_matplotlibrc_says():
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        seaborn.set_theme(context="paper", style="ticks", font_scale=0.85)
        # it asks first for fonts that do not come with matplotlib, and has colour maps of its own; none is used
        theme = {
            key: value for key, value in matplotlib.rcParams.items() if key not in ("font.sans-serif", "image.cmap")
        }
        matplotlib.rcParams.update({"axes.grid": True, "savefig.dpi": 50, "lines.linewidth": 9})
        style.use()
        used = dict(matplotlib.rcParams)
    own = {
        "axes.edgecolor": style.FAINT,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "figure.constrained_layout.use": True,
        "font.family": [style.FAMILY],
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "text.hinting": "none",
        "xtick.color": style.INK,
        "ytick.color": style.INK,
    }

    def plain(value):
        if isinstance(value, float):
            return round(value, 9)
        return [to_rgb(each["color"]) for each in value] if isinstance(value, Cycler) else value

    assert {key: used[key] for key, value in theme.items() if plain(used[key]) != plain(value)} == own


def validity_frame(datasets=("ml-100k",), top_k=(1, 3, 5)) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for dataset in datasets:
        for method in [method.name for method in METHODS]:
            for k in top_k:
                valid = int(rng.integers(5, 95))
                share = valid / 100
                paper = 0.3 if method in ("knn", "linear_reg") and dataset == "ml-100k" else None
                rows.append((dataset, "mf", method, k, 100, valid, share, share - 0.04, share + 0.05, paper))
    return pd.DataFrame(rows, columns=list(schemas.TABLE_VALIDITY.columns))


def times_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    seconds = {method.name: 10.0 ** (index / 2 - 6) * rng.uniform(1, 2, 9) for index, method in enumerate(GENERATING)}
    return pd.DataFrame(
        [(user, method, each) for method, some in seconds.items() for user, each in enumerate(some)],
        columns=["user", "method", "seconds"],
    )


def card(**changes):
    given_ = {
        "rated": [("Schindler's List (1993)", 5.0), (LONG, 4.5), ("Star Wars (1977)", 4.0)],
        "n_rated": 87,
        "explanation": [("Star Wars (1977)", 4.0), (LONG, 4.5), ("Casablanca (1942)", 2.0)],
        "before": ["Close Shave, A (1995)", "Rear Window (1954)", LONG],
        "after": ["Rear Window (1954)", "Wrong Trousers, The (1993)", LONG],
        "rank_after": 14,
        "footer": "MovieLens-100K, user 196, linear surrogate (reg)",
    }
    return example_card(**(given_ | changes))


def test_a_card_marks_the_target_and_what_is_deleted_where_others_have_the_same_title():
    figure = card(
        rated=[("Hits", 5.0), ("Hits", 5.0), ("B", 4.0)],
        explanation=[("Hits", 5.0)],
        before=["Hits", "B", "Hits"],
        after=["B", "C", "Hits"],
        rank_after=9,
    )
    assert [text for text in texts(figure) if text in ("⋮", "9")] == ["⋮", "9"]  # the third is another one
    bold = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() == "Hits"]
    bold = [text for text in bold if text.get_weight() == "bold"]
    assert len(bold) == 1 + 1 + 2  # above, of those rated, before and after


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def assert_nothing_overlaps(figure) -> None:
    figure.canvas.draw()
    beyond = {  # labels of ticks outside the axes are there but not drawn
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for minor in (False, True)
        for place, label in zip(axis.get_ticklocs(minor=minor), axis.get_ticklabels(minor=minor), strict=False)
        if not (axes.axison and min(axis.get_view_interval()) <= place <= max(axis.get_view_interval()))
    }
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_text().strip() and text.get_visible() and text not in beyond
    ]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 0 or down <= 0, f"{one!r} overlaps {other!r}"


def test_every_method_has_a_label_and_a_colour():
    assert all(method.label and to_rgb(method.color) for method in METHODS)
    assert len({method.label for method in METHODS}) == len({method.name for method in METHODS}) == len(METHODS)


def test_families_of_methods_and_values_of_k_differ_in_grey():
    def lightness(color) -> float:
        return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))

    families = sorted(lightness(METHOD[name].color) for name in ("knn", "influence", "linear_reg", "mlp_reg"))
    assert min(np.diff(families)) > 0.06
    shown = [lightness(method.color) for method in METHODS if method.role != "control"]
    assert min(abs(np.diff(shown))) > 0.06  # of neighbours in a list
    assert max(shown) < 0.68  # on the grey of 0.86, too
    styles = style.top_k_styles([5, 1, 3, 1])
    assert list(styles) == [1, 3, 5]
    assert len({shape for shape, _ in styles.values()}) == 3
    assert min(np.diff([lightness(grey) for _, grey in styles.values()])) > 0.2


def test_no_two_methods_have_one_marker_and_none_points_to_a_side():
    assert len(set(marks.MARKERS.values())) == len(marks.MARKERS)
    assert not set("<>") & set(marks.MARKERS.values())


def test_titles_of_narrow_panels_are_in_lines():
    called = [f"Netflix Prize (our sample)\nneural collaborative filtering (ncf-{number})" for number in range(7)]
    for some in (called[:3], called):
        figure = figures.generation_time(dict.fromkeys(some, times_frame()))
        figure.canvas.draw()
        boxes = [axes._left_title.get_window_extent() for axes in figure.axes[:4]]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
        assert max(box.x1 for box in boxes) < figure.bbox.x1


def test_figure5_shows_every_user_of_the_methods_that_generate_and_their_median():
    frame = times_frame()
    some = frame[[METHOD[name].baseline != "influence" for name in frame["method"]]].assign(
        seconds=lambda each: 2 * each["seconds"]
    )
    cells = {"MovieLens-100K\nmf": frame, "MovieLens-100K\nblack box": some}
    figure = figures.generation_time(cells)
    random, *others = sorted(GENERATING, key=lambda method: method.name != "random")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]  # which both panels share
    assert labels == [method.label for method in (*others, random)]
    for axes, (called, times) in zip(figure.axes, cells.items(), strict=True):
        assert axes.get_title(loc="left") == called
        shown = [method for method in (*others, random) if method.name in set(times["method"])]
        for method, cloud in zip(shown, axes.collections, strict=True):
            np.testing.assert_allclose(cloud.get_offsets()[:, 0], times.loc[times["method"] == method.name, "seconds"])
        medians = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        expected = times.groupby("method")["seconds"].median()
        np.testing.assert_allclose(medians, [expected[method.name] for method in shown])
        assert axes.get_xscale() == "log"
    assert_nothing_overlaps(figure)
    assert {"wall time (s)", "1 µs", "100 µs", "10 ms", "1 s"} <= set(texts(figure))


def test_times_that_lie_close_together_have_labels_that_do_not_overlap():
    frame = pd.DataFrame({"user": range(6), "method": "knn", "seconds": [5e-5, 6e-5, 8e-5, 9e-5, 3e-4, 4e-4]})
    figure = figures.generation_time({"": frame})
    assert_nothing_overlaps(figure)
    assert {"100 µs", "200 µs"} <= set(texts(figure))
    assert not [text for text in texts(figure) if "10^" in text]


def test_figure2_draws_table_1_in_two_groups_and_says_whose_numbers_they_are():
    study = StudyConfig.model_construct(published=published.load_published())
    frame = table("table1_user_study").frame([], study)
    figure = figures.user_ratings(frame, "as published")
    (axes,) = figure.axes
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    bars = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [line.get_xdata()[0] for line in points] == frame["mean"].tolist()
    np.testing.assert_allclose(bars, [(row.mean - row.sd, row.mean + row.sd) for row in frame.itertuples(index=False)])
    assert [line.get_markerfacecolor() == "white" for line in points] == [True, True, False, False]  # in grey too
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [METHOD[name].label for name in frame["method"]]
    assert [line.get_ydata()[0] for line in points] == list(axes.get_yticks())
    averages = [segment[0][0] for collection in axes.collections for segment in collection.get_segments()]
    np.testing.assert_allclose(averages, [(3.586 + 3.658) / 2, (3.803 + 3.789) / 2])
    assert {"as published", "3.803 ± 0.87", "3.62", "3.80"} <= set(texts(figure))
    assert_nothing_overlaps(figure)


@pytest.mark.parametrize(
    "datasets", [["ml-100k"], ["ml-100k", "toy"], ["ml-100k", "toy", "amazon-music", "netflix-sample"]]
)
def test_figure6_draws_each_number_of_the_table(datasets):
    frame = validity_frame(datasets)
    frame.loc[(frame["dataset"] == "netflix-sample") & (frame["method"] == "knn"), "paper"] = 0.3
    papers = {"netflix-sample": "Netflix (Small)", "toy": "what it has no numbers of"}
    ties = {("ml-100k", "mf"): ["linear_reg"], ("toy", "mf"): []}
    figure = figures.validity(frame, {("toy", "mf"): "Toy\nloose"}, papers, ties)
    assert len(figure.axes) == len(datasets)
    for axes, dataset in zip(figure.axes, datasets, strict=True):
        rows = frame[frame["dataset"] == dataset]
        hollow = [line.get_xdata()[0] for line in axes.lines if line.get_markerfacecolor() == "none"]
        bars = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
        points = [
            line.get_xdata()[0]
            for line in axes.lines
            if len(line.get_xdata()) == 1 and line.get_markerfacecolor() != "none"
        ]
        assert sorted(hollow) == sorted(rows["paper"].dropna())
        assert sorted(bars) == sorted(zip(rows["ci_low"], rows["ci_high"], strict=True))
        assert sorted(points) == sorted(rows["validity"])
        note = "\npaper: Netflix (Small)" if dataset == "netflix-sample" else ""
        called = "Toy\nloose" if dataset == "toy" else f"{dataset}\nmf"
        assert axes.get_title(loc="left") == f"{called}\n100 users{note}"
        surrogate = marks.places(rows["method"])["linear_reg"]
        assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [("‡", surrogate)] * (dataset == "ml-100k")
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(labels) == sorted(method.label for method in METHODS)
    assert labels[-3:] == [METHOD[name].label for name in ("random", "reseed", "oracle")]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        *(f"K = {k}, {whose}" for k in (1, 3, 5) for whose in ("this run", "paper")),
        "controls",
        "names any items",
    ]
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)
    assert_nothing_overlaps(figure)


def test_figure6_does_without_paper_controls_and_several_k():
    frame = validity_frame(top_k=(10,))
    figure = figures.validity(frame[frame["method"].isin(["knn_cosine", "mlp_clf"])])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["K = 10"]


def test_learning_curve_marks_the_chosen_epoch():
    epochs = np.arange(1, 41)
    curve = pd.DataFrame({"epoch": epochs, "train_rmse": 1 / epochs, "test_rmse": 1 / epochs + 0.5, "objective": 9e4})
    figure = figures.learning_curve(curve, 20)
    assert [list(axes.lines[-1].get_xdata()) for axes in figure.axes] == [[20, 20], [20, 20]]
    assert {"training ratings", "test ratings", "chosen: 20 epochs", "RMSE (stars)", "epoch"} <= set(texts(figure))
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(orig=False), curve["test_rmse"])
    assert_nothing_overlaps(figure)


def test_effects_histogram_counts_every_target():
    effects = np.array([[-0.2, 0.0, 0.0], [0.1, 0.3, 0.0], [0.4, 0.4, 0.1]], dtype=np.float32)
    figure = figures.effects_histogram(effects)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 9
    assert figure.axes[0].get_title(loc="left") == "pushed up 11.1%, unmoved 33.3%, pushed down 55.6%"
    assert_nothing_overlaps(figure)


def test_cross_validation_marks_the_mean_where_it_was_taken():
    curve = pd.DataFrame({"penalty": [0.001, 0.01, 0.1] * 2, "fold": [0] * 3 + [1] * 3, "r2": [1.0, 2, 3, 1, 4, 4]})
    figure = figures.cross_validation(curve, "penalty", "r2", 0.01)
    (marked,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert marked.get_xydata().tolist() == [[0.01, 3]]
    assert len(figure.axes[0].lines) == 2 + 2
    assert_nothing_overlaps(figure)


def test_cross_validation_by_epoch_needs_no_folds():
    figure = figures.cross_validation(pd.DataFrame({"epoch": [1, 2, 3], "r2": [0.1, 0.3, 0.2]}), "epoch", "r2", 2)
    assert figure.axes[0].get_title(loc="left") == "taken: epoch 2, 0.3 there"
    assert figure.axes[0].get_xscale() == "linear"


def test_rating_histograms_count_every_rating_user_and_item():
    users, items = np.divmod(np.random.default_rng(0).choice(600, 200, replace=False), 20)
    ratings = Ratings.from_arrays(users, items, 1 + (users * items) % 5)
    figure = figures.rating_histograms(ratings)
    totals = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
    assert totals == [200, ratings.n_users, ratings.n_items]
    assert_nothing_overlaps(figure)


def test_the_card_says_what_was_found():
    shown = " ".join(texts(card()))
    assert "We recommend: Close Shave, A (1995)" in shown
    assert "Had you not rated these 3, we would not recommend it:" in shown
    assert "3 best of the 87 rated" in shown
    for word in ("4.5 ★", "removed: 2 ★", "Casablanca (1942)", "14", "MovieLens-100K, user 196"):
        assert word in shown


def test_the_card_does_not_repeat_a_target_that_is_still_in_the_list():
    figure = card(after=["Rear Window (1954)", "Close Shave, A (1995)"], rank_after=2)
    assert texts(figure).count("Close Shave, A (1995)") == 2
    assert "⋮" not in texts(figure)


@pytest.mark.parametrize("rank", [2, 9999])
@pytest.mark.parametrize(
    "title", [LONG, "W" * 90, "$9 \\oops$", "I", "i " * 80, "Wörter, viele " * 9, LONG.replace(" ", "\xa0")]
)
def test_no_title_overlaps_another_on_the_card(title, rank):
    titles = [f"{title}{number}" for number in range(9)]
    figure = card(
        rated=[(title, 4.5) for title in titles[:4]],
        explanation=[(title, 4.5) for title in titles[:3]],
        before=titles[3:6],
        after=titles[6:],
        rank_after=rank,
        n_rated=12345,
    )
    assert_nothing_overlaps(figure)


def test_titles_in_other_scripts_on_the_card(tmp_path):
    """One that another font of matplotlib can write is written; for one that none can, there is a single warning."""
    title = "The ⌢ (2001)"
    with warnings.catch_warnings(action="error"):
        figure = card(explanation=[(title, 5.0)], before=[title], rated=[(title, 5.0)])
        figures.save(figure, tmp_path / "card")
    assert texts(figure).count(title) == 4
    title = "\U000f0000 (2001)"  # for private use: no font's
    with pytest.warns(UserWarning, match="^the card has boxes for \U000f0000, which no installed font has: ") as caught:
        figure = card(explanation=[(title, 5.0)], before=[title], rated=[(title, 5.0)])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings(action="error"):
        figures.save(figure, tmp_path / "card")
    assert texts(figure).count("□ (2001)") == 4


VARIANTS = {name: family(name, AblationsConfig(), 3) for name in ("deletion_size", "search", "sample_size")}


def ablations_frame() -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for each, methods in {"base": [METHOD["linear_reg"]], **VARIANTS}.items():
        for method in methods:
            for k in (1, 3, 5):
                share = float(rng.uniform(0.1, 0.5))
                rows.append(("ml-100k", "mf", each, method.name, k, 100, int(100 * share), share))
    frame = pd.DataFrame(rows, columns=list(schemas.ABLATIONS.columns)[:8])
    told = {"r2": frame["validity"] / 4, "spearman": 0.3, "paper_change": np.nan}
    frame = frame.assign(ci_low=frame["validity"] - 0.05, ci_high=frame["validity"] + 0.06, **told)
    frame.loc[(frame["variant"] == "40-percent") & (frame["top_k"] == 1), "paper_change"] = -0.045
    return frame


def ablation(name, frame=None, variants=None):
    frame, variants = ablations_frame() if frame is None else frame, variants or VARIANTS[name]
    if name == "search":
        seconds = {"linear_reg": 3e-5} | {each.name: 10.0 ** (place / 3 - 4) for place, each in enumerate(variants)}
        return ablations.search(frame, variants, seconds, "ml-100k · mf")
    return getattr(ablations, name)(frame, variants, "200 users × 1,000 deletions", "ml-100k · mf")


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_overlaps_in_figures_of_ablations_and_what_is_zero_is_whole(name):
    frame = ablations_frame()
    frame.loc[frame["top_k"] == 1, ["validity", "ci_low"]] = 0.0
    figure = ablation(name, frame)
    assert_nothing_overlaps(figure)
    assert figure.axes[0].get_ylim()[0] < -0.01
    for axes in figure.axes:  # markers beside their place, too
        for line in [container.lines[0] for container in axes.containers]:
            across = line.get_transform().transform(line.get_xydata())[:, 0]
            assert axes.bbox.x0 + 4 < across.min() <= across.max() < axes.bbox.x1 - 4


def test_sample_sizes_may_be_of_users_alone():
    users = [method for method in VARIANTS["sample_size"] if method.learner.sample.users]
    figure = ablation("sample_size", variants=users)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "training users"]
    assert_nothing_overlaps(figure)


def test_ablation_figures_show_every_variant_with_its_interval():
    table = ablations_frame()
    axes = ablation("deletion_size").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [
        *("1", "2", "3", "5", "10"),
        "40 %\nof history\n(paper: −4.5 points)",
    ]
    expected = table.query("family == 'deletion_size' and top_k == 3")["validity"]
    shown = [container for container in axes.containers if container.get_label() == "K = 3"]
    np.testing.assert_allclose(shown[0].lines[0].get_ydata(orig=False), expected)
    (low, high), *_ = shown[0].lines[2][0].get_segments()
    np.testing.assert_allclose((low[1], high[1]), (expected.iloc[0] - 0.05, expected.iloc[0] + 0.06))

    users, deletions, r2, _ = ablation("sample_size").axes
    np.testing.assert_array_equal(users.containers[0].lines[0].get_xdata(orig=False), [25, 50, 100])
    np.testing.assert_array_equal(deletions.containers[0].lines[0].get_xdata(orig=False), [25, 100, 400])
    first = table.query("family == 'sample_size' and top_k == 1 and variant.str.startswith('users')")
    np.testing.assert_allclose(r2.lines[1].get_ydata(orig=False), first["r2"])

    search = ablation("search").axes[0]
    labels = [container.get_label() for container in search.containers]
    names = ("1,000 sampled", "10,000 sampled", "100,000 sampled", "greedy", "beam of 10")
    linear, mlp = METHOD["linear_reg"].label, METHOD["mlp_reg"].label
    assert labels == [f"{linear}, exact", *(f"{surrogate}, {name}" for surrogate in (linear, mlp) for name in names)]
    points = [container.lines[0] for container in search.containers]
    assert len({point.get_marker() for point in points}) == len(labels)
    assert "white" not in {point.get_markerfacecolor() for point in points}  # hollow: names any items
    expected = table.query("family in ('base', 'search') and top_k == 1")["validity"]
    np.testing.assert_allclose([point.get_ydata()[0] for point in points], expected)


def test_what_names_any_items_is_hollow_and_no_line_leads_to_it():
    frame = ablations_frame()
    frame.loc[frame["variant"].isin(["users-25", "lasso-greedy"]), "spearman"] = 0.0
    figure = ablation("sample_size", frame)
    users, *_ = figure.axes
    assert "hollow: names any items" in texts(figure)
    hollow, joined = (
        [line for line in users.lines if of(line) and len(line.get_xdata()) == 3]
        for of in (
            lambda line: line.get_markerfacecolor() == "white",
            lambda line: line.get_linestyle() == "-" and line.get_marker() == "None",
        )
    )
    assert len(hollow) == len(joined) == 3  # one for each K
    for line, empty in zip(joined, hollow, strict=True):
        assert np.isnan(line.get_ydata(orig=False)).tolist() == [True, False, False]
        assert np.isnan(empty.get_ydata(orig=False)).tolist() == [False, True, True]
    assert_nothing_overlaps(figure)
    assert "hollow: names any items" not in texts(ablation("sample_size"))
    labels = [container.get_label() for container in ablation("search", frame).axes[0].containers]
    assert [label for label in labels if "any" in label] == ["Linear surrogate (reg), greedy (names any items)"]


def test_two_lists_are_written_in_fonts_that_have_their_characters(tmp_path):
    """None has the last, a private one."""
    titles = ["The ⌢ (2001)", "\U000f0000 (2001)"]
    moved = pd.DataFrame({"item": [0, 1], "title": titles, "rank_before": [1, 2], "rank_after": [2, 1]})
    figure = slope(moved, 0, 2)
    with warnings.catch_warnings(action="error"):  # matplotlib's of a glyph that is missing
        figure.savefig(tmp_path / "slope.png")
    assert {"The ⌢ (2001)  1", "2  The ⌢ (2001)", "□ (2001)  2", "1  □ (2001)"} <= set(texts(figure))


FIGURES = {
    **{f"ablation_{name}": lambda name=name: ablation(name) for name in VARIANTS},
    "generation_time": lambda: figures.generation_time(dict.fromkeys("abcd", times_frame())),
    "validity": lambda: figures.validity(validity_frame(["ml-100k", "toy", "third"])),
    "correlation": lambda: figures.baseline_correlation(*measured_frames(), {}),
    "card": card,
    "notice": lambda: notice("No explanation removed a recommendation."),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_two_saves_are_the_same_bytes_and_fit_the_report(name, tmp_path):
    saved = [figures.save(FIGURES[name](), tmp_path / str(attempt) / name) for attempt in range(2)]
    assert [path.name for path in saved[0]] == [f"{name}.pdf", f"{name}.png"]
    for one, other in zip(*saved, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"CreationDate" not in saved[0][0].read_bytes()
    picture = Image.open(saved[0][1])
    assert 690 <= picture.width <= 1200
    assert picture.mode == "P"  # of few colours


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_as_wide_as_a_page_of_two_columns_and_can_be_read_there(name):
    figure = FIGURES[name]()
    assert figure.get_figwidth() == style.PAGE
    shown = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
    assert min(text.get_fontsize() * (0.7 if "_" in text.get_text() else 1) for text in shown) >= 7  # a subscript's


@pytest.mark.slow
def test_another_process_saves_the_same_bytes(tmp_path):
    program = "import sys, test_figures as t; t.figures.save(t.FIGURES['generation_time'](), sys.argv[1])"
    here = figures.save(FIGURES["generation_time"](), tmp_path / "here")
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "there")], env=environment, check=True)
    for path in here:
        assert path.suffix == ".png" or b"/FontFile2" in path.read_bytes()  # TrueType, type 42
        there = tmp_path / f"there{path.suffix}"
        assert hashlib.sha256(there.read_bytes()).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


# -- figures 7 and 8 --------------------------------------------------------------------------------------------------


def measured_frames(missing=()):
    """Sets of four users, the first of them 5, and correlations of them."""
    rng = np.random.default_rng(0)
    names = [method.measure for method in MEASURES]
    measured = pd.DataFrame(rng.normal(size=(80, len(names))), columns=names)
    measured.insert(0, "user", np.repeat([5, 1, 2, 3], 20))
    measured.insert(1, "score_decrease", rng.normal(size=80) / 100)
    measured["linear_reg"] = 0.0135 + measured["linear_reg"] / 1000
    measured[list(missing)] = np.nan
    rows = [
        ("ml-100k", "mf", user, name, 20, value, value, value - 0.1, value + 0.1)
        for name in names
        for user, value in zip((5, 1, 2, 3), rng.uniform(-0.8, 0.8, 4), strict=True)
    ]
    correlations = pd.DataFrame(rows, columns=list(schemas.CORRELATION.columns))
    correlations.loc[correlations["measure"].isin(missing), "pearson"] = np.nan
    return measured, correlations


def test_figure_7_shows_one_user_and_all_and_the_paper():
    measured, correlations = measured_frames()
    paper = {"embedding_distance": 0.175, "influence": 0.356}
    figure = figures.baseline_correlation(measured, correlations, paper, "MovieLens-100K × matrix factorisation")
    assert_nothing_overlaps(figure)
    *panels, users = figure.axes
    influence = correlations[correlations["measure"] == "influence"].set_index("user")["pearson"]
    (median,) = influence.index[influence.rank() == 2]  # the lower of four
    names = "embedding_distance", "influence", "linear_reg", "mlp_reg", "linear_reg_aware"
    for axes, name in zip(panels, names, strict=True):
        drawn = axes.collections[0].get_offsets()
        assert np.allclose(drawn, measured.loc[measured["user"] == median, [name, "score_decrease"]])
        pearson = correlations.query("user == @median and measure == @name")["pearson"].item()
        assert axes.get_title(loc="left").startswith(f"r = {pearson:.2f}".replace("-", "−"))
    predicted = measured.loc[measured["user"] == median, list(names[1:])]
    assert len({axes.get_xlim() for axes in panels[1:]}) == 1  # in stars all, so one range
    assert panels[1].get_xlim()[0] < predicted.min(axis=None) < predicted.max(axis=None) < panels[1].get_xlim()[1]
    assert [len(axes.lines) for axes in panels] == [0, 1, 0, 0, 0]  # influence alone predicts the decrease of the score
    hollow = [line.get_xydata()[0].tolist() for line in users.lines if line.get_marker() == "D"]
    assert hollow == [[0.175, 0], [0.356, 2]]
    medians = [line.get_xdata()[0] for line in users.lines if line.get_marker() == "o"]
    assert medians == pytest.approx(correlations.groupby("measure", sort=False)["pearson"].median().to_list())
    assert sum(len(points.get_offsets()) for points in users.collections) == 4 * len(MEASURES)


def test_figure_7_of_a_black_box_leaves_influence_out():
    figure = figures.baseline_correlation(*measured_frames(("influence", "influence_block")), {})
    assert_nothing_overlaps(figure)
    assert len(figure.axes) == 5
    assert not [text for text in texts(figure) if "nfluence" in text or "paper" in text]


def test_figure_7_says_what_is_constant():
    measured, correlations = measured_frames()
    measured["linear_reg"] = 0.25
    correlations.loc[correlations["measure"] == "linear_reg", "pearson"] = np.nan
    figure = figures.baseline_correlation(measured, correlations, {})
    assert_nothing_overlaps(figure)
    (said,) = [text for text in figure.axes[-1].texts if text.get_text() == "constant for every user"]
    assert said.xy[1] == [method.measure for method in MEASURES].index("linear_reg")


def test_figure_8_shows_every_row_and_the_probes():
    rng = np.random.default_rng(0)
    effects = np.append(rng.normal(size=99), 1000.0)  # one that no colour scale should be stretched for
    points = pd.DataFrame({"user": np.arange(100) % 7, "x": rng.normal(size=100), "y": rng.normal(size=100)})
    rows = [("linear", -0.05, -0.2, 0.02, 0.49, 0.45, 0.52), ("non-linear", 0.61, 0.5, 0.7, 0.84, 0.8, 0.9)]
    columns = ["probe", "r2", "r2_low", "r2_high", "auc", "auc_low", "auc_high"]
    separability = pd.DataFrame(rows, columns=columns)
    figure = figures.projection(points.assign(effect=effects), separability, 30, "ml-100k · mf")
    assert_nothing_overlaps(figure)
    plane, r2, auc = figure.axes[:3]
    drawn = plane.collections[0]
    order = np.argsort(np.abs(effects))  # the largest are on top
    assert np.allclose(drawn.get_offsets(), points[["x", "y"]].to_numpy()[order])
    end = np.quantile(np.abs(effects), 0.95)
    assert drawn.get_clim() == pytest.approx((-end, end))
    assert "100 training rows of 7 users, perplexity 30" in texts(figure)
    assert [list(axes.lines[1].get_ydata()) for axes in (r2, auc)] == [[-0.05, 0.61], [0.49, 0.84]]


def test_validity_against_seconds_has_room_for_every_method():
    users, levels = range(5), (1, 3, 5)
    tested = pd.DataFrame(
        [(user, method.name, 1 + (user + place) % 9) for place, method in enumerate(METHODS) for user in users],
        columns=["user", "method", "rank_after"],
    )
    times = [(user, method.name, 1e-5 * 1.9**place) for place, method in enumerate(GENERATING) for user in users]
    proven = [(user, k, 3, budget, budget / 500, user > 2) for user in users for k in levels for budget in (8, 128)]
    columns = ["user", "top_k", "size", "budget", "seconds", "valid"]
    figure = figures.validity_against_seconds(
        tested,
        pd.DataFrame(times, columns=["user", "method", "seconds"]),
        pd.DataFrame(proven, columns=columns),
        "MovieLens-100K × matrix factorisation",
    )
    (legend,) = figure.legends
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert (box.x0 >= 0, box.x1 <= figure.bbox.x1, box.y0 >= 0) == (True, True, True)
    assert len(legend.get_texts()) == len(GENERATING) + 1
    assert {"≤ 8 models", "≤ 128 models"} <= set(texts(figure))
