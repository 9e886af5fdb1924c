"""The study's tables: data frames from what cells hold, and their Markdown twins, laid out like the paper's."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from statsmodels.stats.proportion import proportion_confint

from ..compare import statistics, user_study
from ..method.linear import LinearSurrogate
from ..method.outcomes import candidates, top_items
from ..retrain.ratings import Deletion
from ..rng import generator
from ..study import config, paths, published, registry, schemas, store
from ..study.cell import Cell
from ..study.variants import ENCODERS, PLAIN, places, variants
from .style import CONTROLS, MEASURE_LABELS, METHOD_LABELS, NOT_OURS, span

STAGES = ("10_dataset", "20_recommender", "30_simulate", "40_surrogates", "50_explain", "60_evaluate")
ANALYSES = ("65_naive", "70_ablations", "75_correlation", "80_tsne")  # stages of analysed cells


def write(
    path: str | Path, frame: pd.DataFrame, schema: store.Schema, markdown: str, study: config.StudyConfig
) -> None:
    """Write the CSV at ``path``, its Markdown twin and its provenance beside it.

    Raises:
        StoreError: the frame is not as the schema says; nothing is written.
    """
    store.write_csv(path, frame, schema)
    write_markdown(Path(path).with_suffix(".md"), markdown)
    store.provenance(path, config.digest(study), study.seed)


def write_markdown(path: str | Path, markdown: str) -> None:
    """Write a Markdown file."""
    with store.atomic(path) as temporary:
        temporary.write_text(markdown, encoding="utf-8")


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _markdown(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True) + "\n"


def datasets(cells: Iterable[Cell]) -> pd.DataFrame:
    """Table 2, schema ``schemas.TABLE2``: one row per dataset."""
    known = registry.load_datasets()
    rows = []
    for cell in {cell.dataset: cell for cell in cells}.values():
        facts, paper = _json(cell.path(paths.DATASET)), known[registry.original(cell.dataset)].paper
        counts = {name: facts[name] for name in ("users", "items", "interactions", "train", "test")}
        printed = {f"paper_{name}": getattr(paper, name, None) for name in ("users", "items", "interactions")}
        rows.append({"dataset": cell.dataset} | counts | printed)
    types = {name: "Int64" for name in schemas.TABLE2.columns if name != "dataset"}
    return pd.DataFrame(rows, columns=list(schemas.TABLE2.columns)).astype(types)


def datasets_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.TABLE2`` as in the paper's Table 2; a stand-in's numbers of the paper have a footnote."""
    shown = pd.DataFrame({"dataset": frame["dataset"]})
    for name in ("users", "items", "interactions"):
        shown[name] = [
            f"{ours:,}" + ("" if pd.isna(paper) else f" (paper{_mark(dataset)}: {paper:,})")
            for dataset, ours, paper in zip(frame["dataset"], frame[name], frame[f"paper_{name}"], strict=True)
        ]
    for name in ("train", "test"):
        shown[name] = frame[name].map("{:,}".format)
    return _markdown(shown) + _footnotes(frame["dataset"])


def _mark(dataset: str) -> str:
    return "" if registry.original(dataset) == dataset else "†"


def _footnotes(datasets: Iterable[str]) -> str:
    """Whose numbers in the paper stand beside those of a stand-in."""
    return "".join(
        f"\n† {dataset} stands in for the paper's {registry.original(dataset)}: the data differ.\n"
        for dataset in dict.fromkeys(datasets)
        if _mark(dataset)
    )


def validity_table(cells: Iterable[Cell], kind: str) -> pd.DataFrame:
    """Table 3 (``kind`` "mf") or 4 ("ncf"), or its like for black boxes ("blackbox"): the cells whose model is of that
    kind, schema ``schemas.TABLE_VALIDITY``.
    """
    printed_in_paper = published.load_published()
    frames = [pd.DataFrame(columns=list(schemas.TABLE_VALIDITY.columns))]
    for cell in cells:
        if cell.study.models[cell.model].kind != kind:
            continue
        ours = statistics.validity(_evaluation(cell), cell.study.explanation.top_k)
        paper = printed_in_paper.validity(kind, registry.original(cell.dataset))
        ours["paper"] = [paper.get(key, np.nan) for key in zip(ours["method"], ours["top_k"], strict=True)]
        frames.append(ours.assign(dataset=cell.dataset, model=cell.model)[list(schemas.TABLE_VALIDITY.columns)])
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _evaluation(cell: Cell) -> pd.DataFrame:
    """What notebook 60 left, by method in the order of ``schemas.METHODS``."""
    frame = store.read_parquet(cell.path(paths.EVALUATION), schemas.EVALUATION)
    return frame.sort_values("method", key=lambda methods: methods.map(schemas.METHODS.index), kind="stable")


def exact_oracles(cells: Iterable[Cell]) -> dict[tuple[str, str], int]:
    """For how many users of each (dataset, model) the oracle retrained every subset of the history."""
    return {(cell.dataset, cell.model): _json(cell.path(paths.RETRAININGS))["exact_oracles"] for cell in cells}


def indifferent(cells: Iterable[Cell]) -> dict[tuple[str, str], list[str]]:
    """Linear surrogates of each (dataset, model) that have no weight on deleted items, so that all explanations tie."""
    return {
        (cell.dataset, cell.model): [
            name
            for name, (surrogate, _) in cell.surrogates().items()
            if isinstance(surrogate, LinearSurrogate) and not surrogate.item_weights.any()
        ]
        for cell in cells
    }


def validity_markdown(
    frame: pd.DataFrame, exact: Mapping[tuple[str, str], int], ties: Mapping[tuple[str, str], Sequence[str]]
) -> str:
    """Schema ``schemas.TABLE_VALIDITY`` as the paper lays out its Tables 3 and 4: methods by K, for each dataset.

    Args:
        frame: the table.
        exact: see ``exact_oracles``.
        ties: see ``indifferent``.
    """
    parts = [
        "Share of users whose recommended item really left the top K once the explanation was deleted and the model "
        "retrained, with its 95 % Wilson interval. Random, reseed and oracle are controls.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        texts = [
            f"{100 * row.validity:.1f} % [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"
            + ("" if pd.isna(row.paper) else f" (paper{_mark(dataset)}: {100 * row.paper:.4g} %)")
            for row in cell.itertuples()
        ]
        wide = cell.assign(text=texts).pivot(index="method", columns="top_k", values="text")
        wide = wide.reindex([method for method in schemas.METHODS if method in wide.index])
        wide.columns = [f"K = {k}" for k in wide.columns]
        wide.insert(0, "method", wide.index.map(METHOD_LABELS))
        parts.append(
            f"\n## {dataset}, {model} ({span(cell['n_users'])} users)\n\n{_markdown(wide)}{_footnotes([dataset])}"
        )
        parts.append(
            f"\nThe oracle is exact for {exact[dataset, model]} of these users: every subset of the history was"
            " retrained. For the others it is the best of a shortlist, a lower bound.\n"
        )
        parts += [
            f"\n{METHOD_LABELS[name]}: no weight on deleted items survived cross-validation, so it names any.\n"
            for name in ties[dataset, model]
        ]
    return "".join(parts)


def recommenders(cells: Iterable[Cell]) -> pd.DataFrame:
    """Quality of what is explained, schema ``schemas.RECOMMENDERS``: one row per cell."""
    rows = [{"dataset": cell.dataset, "model": cell.model} | _json(cell.path(paths.QUALITY)) for cell in cells]
    frame = pd.DataFrame(rows, columns=list(schemas.RECOMMENDERS.columns))
    return frame.astype({"factors": "Int64", "epochs": "Int64"})


def signal(cells: Iterable[Cell]) -> pd.DataFrame:
    """How far deletions move whom, schema ``schemas.SIGNAL``: one row per cell."""
    rows = [{"dataset": cell.dataset, "model": cell.model} | _json(cell.path(paths.SIGNAL)) for cell in cells]
    frame = pd.DataFrame(rows, columns=list(schemas.SIGNAL.columns))
    return frame.assign(ratio=frame["own_change"] / frame["others_change"].where(frame["others_change"] > 0))


def signal_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SIGNAL``, rounded."""
    shown = frame.rename(columns=lambda name: name.replace("_", " "))
    for name in ("own change", "others change"):
        shown[name] = shown[name].map("{:.4g}".format)
    shown["ratio"] = ["" if pd.isna(ratio) else f"{ratio:.1f}" for ratio in frame["ratio"]]
    return _markdown(shown)


def recommenders_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.RECOMMENDERS``, rounded."""
    shown = frame.rename(columns=lambda name: name.replace("_", " "))
    for name in ("train rmse", "test rmse", "ndcg 10"):
        shown[name] = shown[name].map("{:.4f}".format)
    shown["same top1 share"] = shown["same top1 share"].map("{:.1%}".format)
    return _markdown(shown)


def mcnemar_table(cells: Iterable[Cell]) -> pd.DataFrame:
    """Methods compared on the same users, schema ``schemas.MCNEMAR``.

    Reseed explains nothing and the oracle is never below a method: testing them would only make Holm's correction
    of the others stricter. For the same reason our own method is corrected apart.
    """
    frames = []
    for cell in cells:
        tested = _evaluation(cell)
        tested = tested[~tested["method"].isin(("reseed", "oracle"))]
        pairs = statistics.mcnemar(tested, cell.study.explanation.top_k, apart=["linear_reg_aware"])
        frames.append(pairs.assign(dataset=cell.dataset, model=cell.model))
    return pd.concat(frames, ignore_index=True)[list(schemas.MCNEMAR.columns)]


def mcnemar_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.MCNEMAR``: a triangle of methods for each dataset, model and K."""
    parts = [
        "Each entry: users for whom only the row's explanation holds, users for whom only the column's does, and the "
        "p-value of the exact McNemar test after Holm's correction.\n"
    ]
    for (dataset, model, k), pairs in frame.groupby(["dataset", "model", "top_k"], sort=False):
        texts = [f"{row.only_a} : {row.only_b}, p = {row.p_holm:.2g}" for row in pairs.itertuples()]
        wide = pairs.assign(text=texts).pivot(index="method_a", columns="method_b", values="text").fillna("")
        wide = wide.reindex(
            index=[method for method in schemas.METHODS if method in wide.index],
            columns=[method for method in schemas.METHODS if method in wide.columns],
        )
        names = wide.index.map(METHOD_LABELS)
        wide = wide.rename(columns=METHOD_LABELS)
        wide.insert(0, "", names)
        parts.append(f"\n## {dataset}, {model}, K = {k}\n\n{_markdown(wide)}")
    return "".join(parts)


def ablations(cells: Iterable[Cell]) -> pd.DataFrame:
    """Variants of linear_reg, schema ``schemas.ABLATIONS``.

    Raises:
        ValueError: a variant explains other users or targets than linear_reg.
    """
    printed_in_paper, rows = published.load_published(), []
    for cell in cells:
        kind, settings = cell.study.models[cell.model].kind, cell.study
        size = settings.explanation.explanation_size
        methods = _evaluation(cell).set_index(["user", "target"])
        ranks = {plain: methods.loc[methods["method"] == plain, "rank_after"] for plain in PLAIN.values()}
        quality = store.read_csv(cell.path(paths.SURROGATE_QUALITY), schemas.SURROGATE_QUALITY)
        of_base = quality[quality["predictor"] == "linear_reg"].nlargest(1, "n_targets").iloc[0]
        tested = {("base", "linear_reg"): (None, of_base)}
        for family, named in variants(settings.ablations).items():
            for name, variant in named.items():
                place = {"family": family, "variant": name}
                frame = store.read_parquet(cell.path(paths.ABLATION, **place), schemas.ABLATION)
                ranks[name] = frame.set_index(["user", "target"])["rank_after"]
                if not ranks[name].index.equals(ranks["linear_reg"].index):
                    raise ValueError(
                        f"{cell.dataset}, {cell.model}: {family} {name} and linear_reg explain other users"
                    )
                fit = _json(cell.path(paths.ABLATION_FIT, **place))
                control = "linear_reg"
                if family in ("products", "search"):
                    control = PLAIN[variant.surrogate]
                elif variant.surrogate in ENCODERS and name != "mean":
                    control = "mean"
                elif family == "deletion_size":
                    control = str(size) if size in settings.ablations.deletion_sizes else None
                    if name != str(size):  # offset and scale are those of other deletions
                        fit["r2"] = None
                tested[family, name] = (control if control != name else None, fit)
        for (family, name), (control, fit) in tested.items():
            shares = statistics.validity(ranks[name].reset_index().assign(method=name), settings.explanation.top_k)
            for share in shares.drop(columns="method").to_dict("records"):
                k = share["top_k"]
                row = {"dataset": cell.dataset, "model": cell.model, "family": family, "variant": name, **share}
                for other, columns in (
                    (
                        "linear_reg" if family != "base" else None,
                        ("change_from_base", "change_ci_low", "change_ci_high"),
                    ),
                    (control, ("change_from_control", "control_ci_low", "control_ci_high")),
                ):
                    if other:
                        valid, others = ((ranks[each] > k).to_numpy() for each in (name, other))
                        row |= dict(zip(columns, statistics.paired_change(valid, others), strict=True))
                paper = printed_in_paper.ablation(kind, registry.original(cell.dataset), family, name, k)
                rows.append(row | {"control": control, "paper_change": paper} | {q: fit[q] for q in ("r2", "spearman")})
    frame = pd.DataFrame(rows, columns=list(schemas.ABLATIONS.columns))
    return frame.astype(dict.fromkeys(("paper_change", "r2", "spearman"), "float64"))


def ablations_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.ABLATIONS``: for each dataset and model, variants by K, and their change at the smallest K."""
    parts = [
        "Validity of variants of the linear surrogate (reg) that differ in one choice, in percent; its change at the "
        "smallest K in percentage points, with a 95 % interval for the same users. The change is against the linear "
        "surrogate (reg), and against the control, where another differs in that choice alone: the same surrogate on "
        "eq. (8) with the search of notebook 50; the explanations' size, if it is a variant, learnt from as many "
        "deletions per user; the network that takes the mean. R² and rank correlation are those of predicted Δŷ_reg on "
        "users whom no variant has seen. Intervals are not corrected for their number: of twenty, one is expected to "
        "miss.\n"
        "\n‡ No weight on deleted items survived cross-validation: this LASSO orders nothing and names any items. "
        "Variants with the same search draw them alike: equal rows are one draw, not many findings.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        first = cell[cell["top_k"] == cell["top_k"].min()]
        other = first["control"].where(first["control"] != "linear_reg")
        shown = pd.DataFrame({
            "family": first["family"].to_numpy(),
            "variant": first["variant"].where(first["spearman"] != 0, first["variant"] + " ‡").to_numpy(),
            **{f"K = {k}": [f"{100 * share:.1f}" for share in each["validity"]] for k, each in cell.groupby("top_k")},
            "change": _intervals(first, "change_from_base", "change_ci_low", "change_ci_high"),
            "paper's change": ["" if pd.isna(paper) else f"{100 * paper:+.1f}" for paper in first["paper_change"]],
            "control": other.fillna("").to_numpy(),
            "change from it": _intervals(
                first.where(other.notna()), "change_from_control", "control_ci_low", "control_ci_high"
            ),
            "R²": ["" if pd.isna(r2) else f"{r2:.3f}" for r2 in first["r2"]],
            "rank correlation": ["" if pd.isna(rho) else f"{rho:.3f}" for rho in first["spearman"]],
        })  # fmt: skip
        shown["family"] = shown["family"].where(~shown["family"].duplicated(), "")
        parts.append(f"\n## {dataset}, {model} ({first['n_users'].iloc[0]} users)\n\n{_markdown(shown)}")
    return "".join(parts)


def _intervals(frame: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    """Changes in percentage points with their intervals; empty where there is none."""
    percent = 100 * frame[[value, low, high]].astype(float)
    return ["" if np.isnan(each[0]) else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*each) for each in percent.to_numpy()]


def published_ratings() -> pd.DataFrame:
    """Table 1, schema ``schemas.TABLE1``: the user study as published, and what its printed numbers imply."""
    study = published.load_published().user_study
    best, rows = study.linear_reg, []
    for method in ("knn", "influence", "linear_reg", "mlp_reg"):
        printed = getattr(study, method)
        row = {"method": method, **printed.model_dump()}
        for name, people in (("kept", study.kept), ("collected", study.collected)):
            answers = people * study.questions
            for column, n in ((f"correlation_{name}", people), (f"correlation_{name}_answers", answers)):
                if printed.p_value is not None:
                    difference = best.mean - printed.mean
                    row[column] = user_study.implied_correlation(difference, best.sd, printed.sd, printed.p_value, n)
            row[f"mean_of_{name}"] = user_study.is_mean_of_whole_ratings(printed.mean, answers, decimals=3)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(schemas.TABLE1.columns)).astype({"p_value": float})


def published_ratings_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.TABLE1``: the published numbers, then what they imply."""
    study = published.load_published().user_study
    kept, collected = study.kept * study.questions, study.collected * study.questions
    printed = pd.DataFrame({"method": frame["method"].map(METHOD_LABELS)})
    implied = printed.copy()
    printed["average rating, 1 to 5"] = [
        f"{mean:.3f} ± {sd:.2f}" for mean, sd in zip(frame["mean"], frame["sd"], strict=True)
    ]
    printed["p (linear surrogate (reg) is higher)"] = ["" if pd.isna(p) else f"{p:.3f}" for p in frame["p_value"]]
    for column, tested in (
        ("correlation_kept", f"{study.kept} people"),
        ("correlation_collected", f"{study.collected} people"),
        ("correlation_kept_answers", f"{kept} answers"),
        ("correlation_collected_answers", f"{collected} answers"),
    ):
        implied[f"r, {tested}"] = [
            "" if pd.isna(r) else f"{r:.2f}" if abs(r) <= 1 else f"{r:.2f}: impossible" for r in frame[column]
        ]
    for column, n in (("mean_of_kept", kept), ("mean_of_collected", collected)):
        implied[f"mean of {n}"] = ["possible" if possible else "impossible" for possible in frame[column]]
    return (
        f"**{NOT_OURS.capitalize()}.** {study.collected} people answered {study.questions} questions each; "
        f"{study.kept} were kept. Whom the numbers count, and whether ± is over people or over single answers, is not "
        "said.\n\n"
        f"{_markdown(printed)}\n## Do the printed numbers agree?\n\n"
        "Our test. r: the correlation with the ratings of the linear surrogate (reg) that means, ± and p together "
        "imply, if ± is over what the paired t-test is over; beyond ±1 no ratings have these numbers. Mean: whether "
        "whole ratings can have it to three decimals (GRIM test), if every question was answered.\n\n"
        f"{_markdown(implied)}"
    )


def naive(cells: Iterable[Cell]) -> pd.DataFrame:
    """What any deletion up to a size can do, schema ``schemas.TABLE_NAIVE``: one row per cell, K and size."""
    rows = []
    for cell in cells:
        tried = store.read_parquet(cell.path(paths.NAIVE), schemas.NAIVE)
        n_users = tried["user"].nunique()
        for k in cell.study.explanation.top_k:
            removable: set[int] = set()
            for size in range(1, cell.study.naive.max_size + 1):
                some = tried[(tried["top_k"] == k) & (tried["size"] == size)]
                exactly = set(some.loc[some["n_removing"] > 0, "user"])
                removable |= exactly
                low, high = proportion_confint(len(removable), n_users, method="wilson") if n_users else (None, None)
                rows.append(
                    {
                        **{"dataset": cell.dataset, "model": cell.model, "top_k": k, "size": size, "n_users": n_users},
                        **{"n_removable": len(exactly), "n_removable_upto": len(removable)},
                        "share_upto": len(removable) / n_users if n_users else None,
                        **{"ci_low": low, "ci_high": high},
                        "mean_subset_share": (some["n_removing"] / some["n_subsets"]).mean(),
                    }
                )
    shares = ("share_upto", "ci_low", "ci_high", "mean_subset_share")
    return pd.DataFrame(rows, columns=list(schemas.TABLE_NAIVE.columns)).astype(dict.fromkeys(shares, float))


def naive_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.TABLE_NAIVE``: a table for each dataset and model."""
    parts = [
        "Every deletion up to a size, really retrained (Algorithm 2, by size), for users with short histories: no "
        "method that names so many items can remove the recommendation of more of them. In brackets 95 % Wilson "
        "intervals.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        n_users = cell["n_users"].iloc[0]
        intervals = [
            f"[{100 * low:.1f}, {100 * high:.1f}]" for low, high in zip(cell["ci_low"], cell["ci_high"], strict=True)
        ]
        parts.append(f"\n## {dataset}, {model} ({n_users} users)\n\n")
        if not n_users:
            parts.append("No user's history is as short as `naive.max_history` asks: nothing was retrained.\n")
            continue
        shown = pd.DataFrame(
            {
                "K": cell["top_k"].astype(str),
                "items deleted": cell["size"].astype(str),
                "users with such a deletion": cell["n_removable"].astype(str),
                "with one of at most this size": [
                    f"{row.n_removable_upto}: {100 * row.share_upto:.1f} % {interval}"
                    for row, interval in zip(cell.itertuples(), intervals, strict=True)
                ],
                "share of a user's deletions that remove": [
                    "" if pd.isna(share) else f"{100 * share:.2f} %" for share in cell["mean_subset_share"]
                ],
            }
        )
        parts.append(_markdown(shown))
    return "".join(parts)


def runtime(cells: Sequence[Cell]) -> pd.DataFrame:
    """What each stage cost, schema ``schemas.RUNTIME``, from Snakemake's benchmark files.

    A stage is left out where one of its jobs has no such file, as after running a notebook by hand.
    """
    rows = []
    for stage in (*STAGES, *ANALYSES):
        theirs = [cell for cell in cells if cell.analysed or stage not in ANALYSES]
        jobs = {job: None for cell in theirs for job in _benchmarks(cell, stage)}  # cells may share a dataset
        if not jobs or not all(job.exists() for job in jobs):
            continue
        measured = pd.concat([pd.read_csv(job, sep="\t") for job in jobs])
        seconds, models, work = measured["s"].sum(), 0, 0
        for cell in theirs:
            retrained = _retrained(cell, stage)
            models += retrained
            epochs = _json(cell.path(paths.QUALITY))["epochs"]
            work += retrained * (epochs or 0) * _json(cell.path(paths.DATASET))["train"]
        rows.append(
            {
                "stage": stage,
                "minutes": seconds / 60,
                "peak_mib": measured["max_rss"].max(),
                "retrainings": models or None,
                "ns_per_rating_and_model": seconds * 1e9 / work if work else None,
            }
        )
    types = {"retrainings": "Int64", "ns_per_rating_and_model": "float64"}
    return pd.DataFrame(rows, columns=list(schemas.RUNTIME.columns)).astype(types)


def _benchmarks(cell: Cell, stage: str) -> list[Path]:
    place = cell.dataset if stage == "10_dataset" else f"{cell.dataset}/{cell.model}"
    parts = {"30_simulate": cell.blocks, "70_ablations": ["_".join(place) for place in places(cell.study.ablations)]}
    notebooks = [f"{stage}_{part}" for part in parts[stage]] if stage in parts else [stage]
    return [cell.path(paths.BENCHMARK, cell=place, notebook=notebook) for notebook in notebooks]


def _retrained(cell: Cell, stage: str) -> int:
    """Models that a stage retrained for a cell."""
    if stage == "65_naive":
        tried = store.read_parquet(cell.path(paths.NAIVE), schemas.NAIVE)
        return int(tried.loc[tried["top_k"] == tried["top_k"].min(), "n_subsets"].sum()) + tried["user"].nunique()
    if stage == "70_ablations":
        return sum(
            _json(cell.path(paths.ABLATION_FIT, family=family, variant=variant))["retrainings"]
            for family, variant in places(cell.study.ablations)
        )
    if stage == "75_correlation":
        users = pq.read_table(cell.path(paths.CORRELATION_OUTCOMES), columns=["user"])["user"]
        return len(users) + len(users.unique())
    if stage != "30_simulate":
        return _json(cell.path(paths.RETRAININGS)).get(stage, 0)
    rows = [pq.read_metadata(cell.path(paths.OUTCOMES, block=block)).num_rows for block in cell.blocks]
    return sum(rows) + len(cell.training_users)  # every user's original model is a lane too


def runtime_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.RUNTIME``, rounded."""
    shown = pd.DataFrame(
        {
            "stage": frame["stage"],
            "minutes": frame["minutes"].map("{:.2f}".format),
            "peak MiB": ["" if pd.isna(peak) else f"{peak:,.0f}" for peak in frame["peak_mib"]],
            "models retrained": ["" if pd.isna(count) else f"{count:,}" for count in frame["retrainings"]],
            "ns per rating, epoch and model": [
                "" if pd.isna(value) else f"{value:.2f}" for value in frame["ns_per_rating_and_model"]
            ],
        }
    )
    note = (
        "Wall time summed over a stage's jobs, which may run side by side. The last column divides all of it, start "
        "of the kernel included, by the retraining done: an upper bound. 60_evaluate uses two threads.\n"
    )
    return f"{note}\n{_markdown(shown)}"


def gathered(cells: Iterable[Cell], pattern: str, schema: store.Schema) -> pd.DataFrame:
    """The table that cells keep a CSV of each, at ``pattern`` of ``paths``: their rows, in the order of the cells."""
    return pd.concat([store.read_csv(cell.path(pattern), schema) for cell in cells], ignore_index=True)


def published_correlations(cells: Iterable[Cell]) -> dict[tuple[str, str], dict[str, float]]:
    """The paper's Pearson correlations by measure, for each (dataset, model); empty where it has none."""
    printed_in_paper = published.load_published()
    return {
        (cell.dataset, cell.model): printed_in_paper.correlations(
            cell.study.models[cell.model].kind, registry.original(cell.dataset)
        )
        for cell in cells
    }


def correlation_markdown(frame: pd.DataFrame, papers: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    """Schema ``schemas.CORRELATION``: a row per measure, the users summed up by their quartiles.

    Args:
        frame: the table.
        papers: see ``published_correlations``.
    """
    parts = [
        "Correlation of what a measure says of an item set with the score decrease of the user's top item once the set "
        "was really deleted and the model retrained. Each user has a correlation of its own; here are their median and "
        "quartiles. KNN takes the nearest items: a distance serves it where the correlation is below 0.\n"
    ]
    for (dataset, model), cell in frame.groupby(["dataset", "model"], sort=False):
        rows = []
        for measure, users in cell.groupby("measure", sort=False):
            known = users["pearson"].dropna()
            paper = papers[dataset, model].get(measure)
            rows.append(
                {
                    "measure": MEASURE_LABELS[measure],
                    "users": len(known),
                    "Pearson": _quartiles(users["pearson"]),
                    f"paper, one user{_mark(dataset)}": "" if paper is None else f"{paper:.3f}",
                    "users above 0": "" if known.empty else f"{(known > 0).mean():.0%}",
                    "Spearman": _quartiles(users["spearman"]),
                }
            )
        sets = span(cell["n_sets"])
        parts.append(f"\n## {dataset}, {model} ({sets} sets a user)\n\n{_markdown(pd.DataFrame(rows))}")
        parts.append(_footnotes([dataset] if papers[dataset, model] else []))
    return "".join(parts)


def _quartiles(values: pd.Series) -> str:
    """Median and quartiles of what is known; empty where nothing is."""
    low, median, high = values.quantile([0.25, 0.5, 0.75])
    return "" if pd.isna(median) else f"{median:.3f} [{low:.3f}, {high:.3f}]"


def surrogate_quality_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SURROGATE_QUALITY``: for each cell, all targets and the top item alone; and in a sentence, which
    surrogates predict no better than the mean.
    """
    parts = [
        "How well Δŷ_reg of test users, whom no surrogate has seen, is predicted. R² is of all rows, and within a user "
        "and target; rank correlation and lift (in standard deviations; 0 is a random deletion) are means over users "
        "with 95 % t-intervals. What predicts something other than Δŷ_reg has no R². The top item's Δŷ_reg is 0 as "
        "long as it stays first.\n"
    ]
    for (dataset, model, n_targets), rows in frame.groupby(["dataset", "model", "n_targets"], sort=False):
        shown = pd.DataFrame({"predictor": rows["predictor"].map(METHOD_LABELS)})
        for name, title in (("r2", "R²"), ("r2_within", "R² within")):
            shown[title] = ["" if pd.isna(value) else f"{value:.3f}" for value in rows[name]]
        for name, title in (("spearman", "rank correlation"), ("lift", "lift of the best")):
            intervals = zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
            shown[title] = [
                "" if pd.isna(value) else f"{value:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")
                for value, low, high in intervals
            ]
        shown["lift of the truly best"] = ["" if pd.isna(best) else f"{best:.2f}" for best in rows["lift_best"]]
        targets = "top item" if n_targets == 1 else f"top {n_targets} items"
        heading = f"{dataset}, {model}, {targets} ({span(rows['n_users'])} users whose effects vary)"
        parts.append(f"\n## {heading}\n\n{_markdown(shown)}")
        known = rows[rows["r2"].notna()]
        poor = known.loc[known["r2"] <= 0, "predictor"].map(METHOD_LABELS)
        if len(known):
            parts.append(f"\nNo better than the mean effect of these rows (R² ≤ 0): {', '.join(poor) or 'none'}.\n")
    return "".join(parts)


def separability_markdown(frame: pd.DataFrame) -> str:
    """Schema ``schemas.SEPARABILITY``, rounded."""
    note = (
        "How well a linear probe (ridge, logistic regression) and a non-linear one (gradient-boosted trees) tell the "
        "surrogates' training rows apart by eq. (8), on held-out users: R² of Δŷ_reg, and area under the ROC curve of "
        '"Δŷ_reg is above its median" (0.5 is chance), with 95 % intervals over resampled users. Beside them those of '
        "the very rows that a probe is fitted to, as the picture shows them.\n"
    )
    shown = frame[["dataset", "model", "probe", "n_users", "n_rows", "folds"]]
    shown = shown.rename(columns={"n_users": "users", "n_rows": "rows"})
    for name, label in (("r2", "R²"), ("auc", "AUC")):
        ends = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        shown[label] = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in ends]
    for name, label in (("r2", "R²"), ("auc", "AUC")):
        shown[f"{label}, rows fitted to"] = frame[f"{name}_fitted"].map("{:.3f}".format)
    return f"{note}\n{_markdown(shown)}"


def examples(cell: Cell, best_rated: int = 5) -> str:
    """The first ``explanation.examples`` test users in Markdown: history, recommendation, explanations, their fate.

    Args:
        cell: evaluated.
        best_rated: how many titles of a history are shown; equal ratings are ordered by the study's seed.
    """
    titles, tests = cell.ratings.titles, dict(list(_evaluation(cell).groupby("user")))
    users = cell.test_users[: cell.study.explanation.examples]
    parts = [
        f"# {len(users)} explanations, tested\n\n{cell.dataset}, {cell.model}. Each explanation was deleted from the "
        "user's history and the recommender retrained; the rank is where the recommendation was then.\n"
    ]
    for user in users:
        rows = cell.train.rows_of(user)
        chance = generator(cell.study.seed, "examples", int(user)).random(len(rows))
        best = rows[np.lexsort((chance, -cell.train.values[rows]))][:best_rated]
        watched = [f"{_escaped(titles[cell.train.items[row]])} ({cell.train.values[row]:g})" for row in best]
        tested = tests[user].set_index("method")
        tested = tested.reindex([method for method in schemas.METHODS if method in tested.index])
        shown = pd.DataFrame(
            {
                "method": tested.index.map(METHOD_LABELS),
                "had you not watched": [
                    "; ".join(_escaped(titles[item]) for item in items) or "*(nothing deleted)*"
                    for items in tested["items"]
                ],
                "rank after": tested["rank_after"].astype(str),
                "really removed?": [_fate(rank, cell.study.explanation.top_k) for rank in tested["rank_after"]],
            }
        )
        parts.append(
            f"\n## User {_escaped(str(cell.ratings.user_ids[user]))}\n\n"
            f"**Watched** {len(rows)}, best rated: {'; '.join(watched)}\n\n"
            f"**Recommended:** {_escaped(titles[tested['target'].iloc[0]])}\n\n{_markdown(shown)}"
        )
    return "".join(parts)


def verified_example(cell: Cell, best_rated: int = 6, shown: int = 5) -> dict[str, Any] | None:
    """What ``figures.example_card`` shows: the first explanation that held at K = 1, in the order of the test users
    and, for one user, of ``METHODS``; controls are passed over. None where none of them held.
    """
    rows = _evaluation(cell)
    held = rows[(rows["rank_after"] > 1) & ~rows["method"].isin(CONTROLS)].set_index("user")
    for user in cell.test_users.tolist():
        if user in held.index:
            break
    else:
        return None
    found = (
        held.loc[[user]].set_index("method").loc[lambda each: [name for name in schemas.METHODS if name in each.index]]
    )
    method, explanation = found.index[0], found.iloc[0]
    train, titles, deleted = cell.train, cell.ratings.titles, explanation["items"]
    before, after = cell.recommender().retrain(train, [Deletion(user, ()), Deletion(user, tuple(deleted.tolist()))])
    eligible = candidates(train, user)
    watched = train.rows_of(user)
    best = watched[np.argsort(-train.values[watched], kind="stable")][:best_rated]
    return {
        "watched": [(titles[train.items[row]], float(train.values[row])) for row in best],
        "n_watched": len(watched),
        "explanation": titles[deleted].tolist(),
        "before": titles[top_items(before, eligible, shown)].tolist(),
        "after": titles[top_items(after, eligible, shown)].tolist(),
        "rank_after": int(explanation["rank_after"]),
        "footer": f"{cell.dataset}, {cell.model}, user {cell.ratings.user_ids[user]}; {METHOD_LABELS[method]}. "
        "Both lists are of models trained from scratch.",
    }


def _fate(rank: int, top_k: Sequence[int]) -> str:
    left = [k for k in top_k if rank > k]
    return f"yes, out of the top {max(left)}" if left else "**no**"


def _escaped(title: str, longest: int = 70) -> str:
    """A title in one line of a Markdown table cell."""
    title = " ".join(title.split())
    title = title if len(title) <= longest else title[: longest - 1].rstrip() + "…"
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", title)
