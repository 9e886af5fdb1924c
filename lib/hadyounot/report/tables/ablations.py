"""Variants of the linear surrogate (section 5.3), beside it and beside what differs from each in one choice alone."""

from collections.abc import Iterable

import pandas as pd

from ...compare import statistics
from ...study import paths, schemas
from ...study.cell import Cell
from ...study.config import StudyConfig
from ...study.methods import BASE, METHODS, Method, family
from .common import Table, analysed, pipes, texts

VARIED = {
    "base": "The linear surrogate (reg), which the others vary.",
    "effect": "The class of eq. (4) (`clf`), the change of rank (`rank`, eq. 11), that over the best item's score "
    "(`cross`, eq. 12), or of the target's own score (`score`) is learnt instead of eq. (3).",
    "deletion_size": "Deletions of so many items, or of a share of the history, are simulated to learn from.",
    "representation": "Deleted items are told one by one (`mask`), or by a network that takes their mean (`mean`), "
    "sums what it makes of each (`deepsets`), or attends to them (`attention`, `transformer`).",
    "penalty": "The least penalty of those tried is taken, whatever cross-validation says.",
    "products": "Products of each deleted item's embedding with the user's (`user`), the target's (`target`), or the "
    "target's and the deleted rating's residual (`residual`) beside eq. (8): for LASSO, logistic regression and MLP.",
    "search": "Eq. (9) is searched over so many sampled sets, or by a beam, which of width 1 is greedy.",
    "sample_size": "So many training users, or deletions of each, are learnt from.",
    "reading": "Deleted items may be recommended again (`readmitted-`); folds are not grouped by user (`ungrouped`); "
    "biases stand beside the embeddings (`biases`); influence has the sign of eq. (10) as printed.",
}
"""What the variants of each family are, in words."""


def placed(tested: pd.DataFrame, methods: Iterable[Method]) -> dict[str, pd.Series]:
    """Where the target is then, on its reading, by (user, target), of each of the methods that explained anything."""
    placed = dict(list(tested.set_index(["user", "target"]).groupby("method", sort=False)))
    return {
        method.name: placed[method.name][method.rank_after].rename("rank_after")
        for method in methods
        if method.name in placed
    }


def _changes(name: str, other: str | None, ranks: dict[str, pd.Series], k: int, columns: tuple[str, ...]) -> dict:
    """Validity of a variant at K minus that of another, with its interval; empty where there is no other."""
    if other is None:
        return {}
    valid, others = ((ranks[each] > k).to_numpy() for each in (name, other))
    return dict(zip(columns, statistics.paired_change(valid, others), strict=True))


def ablations(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.ABLATIONS``: ``BASE``, then the variants of every family, for each cell.

    Raises:
        ValueError: a variant explains other users or targets than ``BASE``.
    """
    rows = []
    for cell in cells:
        top_k = cell.study.explanation.top_k
        methods, quality = placed(cell.read(paths.EVALUATION), METHODS), cell.read(paths.SURROGATE_QUALITY)
        of_base = quality[quality["predictor"] == BASE.name].nlargest(1, "n_targets").iloc[0]
        for each in ("base", *cell.study.ablations.families):
            variants, ranks, facts = (BASE,), methods, {BASE.name: of_base}
            if each != "base":
                variants = family(each, cell.study.ablations, cell.study.explanation.explanation_size)
                ranks = methods | placed(cell.read(paths.ABLATION, family=each), variants)
                facts = cell.read(paths.ABLATION_FITS, family=each)["variants"]
            for variant in (one for one in variants if one.name in ranks):
                name, base = variant.name, None if variant is BASE else BASE.name
                if not ranks[name].index.equals(ranks[BASE.name].index):
                    raise ValueError(f"{cell.title}: {each} {name} and {BASE.name} explain other users")
                tested = ranks[name].reset_index().assign(method=name)
                printed = cell.kind, study.original(cell.dataset), each, name
                for share in statistics.validity(tested, top_k).drop(columns="method").to_dict("records"):
                    k = share["top_k"]
                    rows.append(
                        {"dataset": cell.dataset, "model": cell.model, "family": each, "variant": name, **share}
                        | _changes(name, base, ranks, k, ("change_from_base", "change_ci_low", "change_ci_high"))
                        | {"paper_change": study.published.ablation(*printed, k), "control": variant.control}
                        | _changes(
                            *(name, variant.control, ranks, k),
                            ("change_from_control", "control_ci_low", "control_ci_high"),
                        )
                        | {figure: facts.get(name, {}).get(figure) for figure in ("r2", "spearman")}
                    )
    frame = pd.DataFrame(rows, columns=list(schemas.ABLATIONS.columns))
    return frame.astype(dict.fromkeys(("paper_change", "r2", "spearman"), "float64"))


def markdown(frame: pd.DataFrame, study: StudyConfig) -> str:
    """Schema ``schemas.ABLATIONS``: for each cell and family variants by K, and their change at the smallest K."""
    parts = [
        "Validity of variants of the linear surrogate (reg) that differ in one choice, in percent; its change at the "
        "smallest K in percentage points, with a 95 % interval for the same users. The change is against the base, the "
        "linear surrogate (reg), and against the control, where another differs in that choice alone: the same "
        "surrogate on eq. (8) with the search of notebook 50; the explanations' size, if it is a variant, learnt from "
        "as many deletions per user; the network that takes the mean. R² and rank correlation are those of predicted "
        "Δŷ_reg on users whom no variant has seen; R² is left out where another effect was learnt, or deletions of "
        "another size. Intervals are not corrected for their number: of twenty, one is expected to miss.\n",
    ]
    if (frame["spearman"] == 0).any():
        parts.append(
            "\n‡ No weight on deleted items survived cross-validation: this LASSO orders nothing and names any items; "
            "rows with this mark differ by chance alone.\n"
        )
    for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False):
        n_users = rows["n_users"].iloc[0]
        parts.append(f"\n## {study.title(dataset, model)} ({n_users} users)\n")
        for name, some in rows.groupby("family", sort=False):
            shown = _shown(some)
            shown = shown.loc[:, (shown != "").any()]
            parts.append(f"\n### {name}\n\n{VARIED[name]}\n\n{pipes(shown)}")
    return "".join(parts)


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The variants of one family."""
    first = rows[rows["top_k"] == rows["top_k"].min()]
    other = first["control"].where(first["control"] != BASE.name)
    apart = first.where(other.notna())
    return pd.DataFrame({
        "variant": first["variant"].where(first["spearman"] != 0, first["variant"] + " ‡").to_numpy(),
        **{f"K = {k}": texts(100 * each["validity"], "{:.1f}") for k, each in rows.groupby("top_k")},
        "against the base, points": _intervals(first, "change_from_base", "change_ci_low", "change_ci_high"),
        "paper, points": texts(100 * first["paper_change"], "{:+.1f}"),
        "control": other.fillna("").to_numpy(),
        "against its control, points": _intervals(apart, "change_from_control", "control_ci_low", "control_ci_high"),
        "R²": texts(first["r2"], "{:z.3f}"),
        "rank correlation": texts(first["spearman"], "{:z.3f}"),
    })  # fmt: skip


def _intervals(frame: pd.DataFrame, *columns: str) -> list[str]:
    """Changes in percentage points with their intervals; empty where there is none."""
    percent = 100 * frame[list(columns)].astype(float)
    return ["" if pd.isna(each[0]) else "{:+z.1f} [{:+z.1f}, {:+z.1f}]".format(*each) for each in percent.to_numpy()]


TABLES = {
    "ablations": Table(
        schemas.ABLATIONS,
        lambda cells, study: ablations(analysed(cells), study),
        lambda frame, cells, study: markdown(frame, study),
    )
}
