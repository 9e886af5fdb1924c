"""The first page of the report: what this run found, and where to look."""

from collections.abc import Collection, Iterable, Sequence

import pandas as pd

from ..study import paths
from ..study.cell import Cell
from ..study.config import StudyConfig
from ..study.methods import HEADLINES, METHOD

LOOK = {
    "figures/what_decides_validity.png": "What decides validity, world by world",
    "figures/figure6_validity_mf.png": "The paper's Figure 6, beside the paper's numbers",
    "tables/verdict.html": "Every claim of the paper, judged by rule",
    "figures/example_card.png": "One explanation and its proof",
    "results/html/all/explore.html": "One user, a deletion, and what retraining made of it",
}
"""What the first page leads to, of what there is."""


def finding(worlds: pd.DataFrame, cells: Sequence[Cell], study: StudyConfig, shown: Collection[str]) -> str:
    """The text in reStructuredText: how many explanations hold at the smallest K, by kind of method, and links.

    Args:
        worlds: schema ``schemas.WORLDS``.
        cells: of the study.
        study: whose worlds these are.
        shown: files that the report shows, below the folder of the run.
    """
    k = worlds["top_k"].min()
    own = worlds[worlds["top_k"] == k]
    where = pd.Series(study.place(cells[0].dataset, cells[0].model))
    first = own[(own[list(where.index)] == where).all(axis=1)].set_index("method")
    ties = cells[0].read(paths.SURROGATE_FITS)["indifferent"]

    def said(names: Iterable[str]) -> str:
        return "; ".join(
            METHOD[name].label + ", which names any items," * (name in ties) + f" {_percent(first.loc[name])}"
            for name in names
            if name in first.index
        )

    groups = {
        "The paper's surrogates": [name for name in HEADLINES if METHOD[name].learner and METHOD[name].role != "ours"],
        "Baselines": [name for name in HEADLINES if not METHOD[name].learner and METHOD[name].role != "ours"],
        "Ours": [name for name in HEADLINES if METHOD[name].role == "ours"],
        "What frames them": ["random", "oracle"],
    }
    parts = [
        f"An explanation holds if the model that is retrained without it no longer has the recommendation among its "
        f"top {k}. {cells[0].title}, in percent of {first['n_users'].iloc[0]} users [95 % interval]:",
        "\n".join(f"- {title}: {told}." for title, names in groups.items() if (told := said(names))),
    ]
    surrogate = own[(own["method"] == "linear_reg") & (own["reading"] == where["reading"])]
    surrogate = surrogate.drop_duplicates(["dataset", "world", "protocol"])
    if len(surrogate) > 1:
        ends = (surrogate.loc[each] for each in (surrogate["validity"].idxmin(), surrogate["validity"].idxmax()))
        titles = {name: title for cell in cells for name, title in cell.study.titles.items()}  # each knows its own
        low, high = (
            f"{100 * each.validity:.0f} % ({titles[each.dataset]}, {each.world}, {each.protocol})" for each in ends
        )
        parts.append(f"Over the cells of this study the paper's linear surrogate goes from {low} to {high}.")
    links = [f"- `{text} <javascript:{_opened(path)}>`_" for path, text in LOOK.items() if path in shown]
    return "\n\n".join(["What this run found\n===================", *parts, "\n".join(links)]) + "\n"


def _percent(row: pd.Series) -> str:
    low, high = (100 * row[end] for end in ("ci_low", "ci_high"))
    paper = f", the paper {100 * row['paper']:.4g}" if pd.notna(row["paper"]) else ""
    return f"{100 * row['validity']:.0f} [{low:.0f}, {high:.0f}]{paper}"


def _opened(path: str) -> str:
    kind = "img" if path.endswith(".png") else "html"
    return f"app.setView({{content:'{kind}',contentPath:results['{path}'].data_uri,resultPath:'{path}'}})"
