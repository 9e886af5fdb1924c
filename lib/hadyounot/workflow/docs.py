"""Writes the pages that are made from code, which a test holds them to: ``python -m hadyounot.workflow.docs``."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..compare import statistics
from ..compare.verdict import REPRODUCED, VERDICTS
from ..report.tables import TABLES, table, verdict
from ..report.tables.common import pipes, texts
from ..study import config, paths, schemas, store
from ..study.cell import Cell
from ..study.claims import load_claims
from ..study.methods import HEADLINES, METHOD


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Configuration models named anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    if isinstance(field.default, BaseModel):
        return "*see below*"
    return "" if field.default is None else f"`{field.default}`"


def _sections(model: type[BaseModel], heading: str) -> Iterator[str]:
    first = (model.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{name}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in model.model_fields.items()
    ]
    yield "\n".join([f"## {heading}", "", first, "", "| field | default | meaning |", "|---|---|---|", *rows, ""])
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        for each in inner:
            yield from _sections(each, f"{heading}.{name}" + (f" ({each.__name__})" if len(inner) > 1 else ""))


def config_page() -> str:
    """config/README.md: every field of every configuration file."""
    parts = [
        "# Configuration",
        "",
        "*Made from the models of `lib/hadyounot/study/config.py` by `python -m hadyounot.workflow.docs`.*",
        "",
        "| file | what it is |",
        "|---|---|",
        "| `study.yaml` | MovieLens-100K × mf, by its rule and loose, and ncf, at reduced counts: what `make` runs |",
        "| `worlds.yaml` | what decides the numbers: many recommenders, protocols, splits and seeds: `make worlds` |",
        "| `paper.yaml` | all cells at the paper's own counts: `make paper` |",
        "| `smoke.yaml` | a planted world and a slice of MovieLens-100K: `make smoke` and the tests |",
        "| `toy.yaml` | the planted world alone: what a notebook opened by hand shows |",
        "| `datasets.yaml` | the registry of datasets; its head shows the row for your own data |",
        "| `published.yaml` | the numbers printed in the paper |",
        "| `claims.yaml` | what the paper claims, what measures it, and when ours agrees |",
        "",
        "Unknown keys are errors. Any field can be set for one run: `snakemake --config seed=1`. Settings of the",
        "machine (cores, cluster) are in `profiles/`, not here.",
        "",
        *_sections(config.StudyConfig, "study"),
    ]
    return "\n".join(parts)


def files_page() -> str:
    """docs/files.md: every table that a run writes, column by column."""
    parts = [
        "# Files of a run",
        "",
        "*Made from `lib/hadyounot/study/schemas.py` by `python -m hadyounot.workflow.docs`.* Each file is",
        "checked against its schema when it is written and when it is read. Beside it lies a",
        "`.provenance.json` with its sha256, which is verified on read; that of a table or figure says what made it.",
        "",
    ]
    tables = {paths.TABLE.format(table=name): table(name) for name in TABLES}
    for place, schema in (schemas.BY_PATH | {place: each.schema for place, each in tables.items()}).items():
        rows = [f"| `{column}` | {spec.type} | {spec.meaning} |" for column, spec in schema.columns.items()]
        rows += [f"| … | {schema.others.type} | {schema.others.meaning} |"] if schema.others else []
        parts += [f"## `{place}`", "", schema.meaning, "", "| column | type | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


OURS = "linear_reg_aware"

KINDS = {
    "dataset": "counts of Table 2",
    "validity": "validities",
    "difference": "differences between methods",
    "fall": "falls with K",
    "gap": "gaps between recommenders",
    "ablation": "ablations",
    "correlation": "correlations",
    "time": "comparisons of time",
    "separability": "on Figure 8",
}
"""Kinds of claims that code can test, in README's words."""

SAID = ("random", *HEADLINES, "oracle")
"""Methods of the table of some worlds."""

WORLDS = {
    "mf": "matrix factorisation, regularised by its validation error",
    "mf-loose-60": "the same, loosely, 60 epochs",
    "surprise-svd": "Surprise's defaults",
    "cornac-mf": "Cornac's defaults",
    "svd-16": "truncated SVD, 16 factors",
    "svd-50": "truncated SVD, 50 factors",
    "ncf": "neural collaborative filtering, stopped by its validation error",
    "ncf-implicit-5": "the same on choices, 5 epochs",
}
"""Not chosen by their numbers: by notebook 20's rules, toolkits' defaults, others."""


def _told(worlds: pd.DataFrame) -> pd.DataFrame:
    """Of worlds, schema ``schemas.WORLDS``, those that README tells of, K = 1 on MovieLens-100K, in percent."""
    told = {"dataset": "ml-100k", "reading": "unseen", "top_k": 1}
    rows = worlds[(worlds[list(told)] == pd.Series(told)).all(axis=1)]
    return rows.assign(validity=100 * rows["validity"], paper=100 * rows["paper"])


FOUND = {
    "random": "three items, the floor",
    "linear_reg": "the paper's",
    "mlp_reg": "the paper's",
    "influence": "where it can be had",
    "unlearned": "error × similarity of the deleted ratings",
    "linear_reg_aware": "told of these and of the target",
    "oracle": "the best of many deletions, the ceiling",
}
"""Methods of README's first table, and what stands beside their labels."""


def _once(cells: Iterable[Cell]) -> list[Cell]:
    """Those of worlds retrained alike and read as the paper does, of one split and seed."""
    once = {"protocol": "pinned", "reading": "unseen", "split_seed": 0, "model_seed": 0}
    return [cell for cell in cells if once.items() <= cell.study.place(cell.dataset, cell.model).items()]


def _only(cell: Cell, one: str, other: str) -> dict[int, tuple[int, int, float]]:
    """By K, for how many users one of two methods alone is valid, each, and p of McNemar's exact test."""
    placed = statistics.ranks(cell.read(paths.EVALUATION))
    return {k: statistics.discordant(placed[one] > k, placed[other] > k) for k in cell.study.explanation.top_k}


def _finding(worlds: pd.DataFrame, cells: Sequence[Cell], indifferent: Mapping[str, str]) -> str:
    """What README says first, of all worlds from one split and seed: schema ``schemas.WORLDS``, their cells, and, by
    name of the cell, which surrogates are ``indifferent`` to what is deleted.
    """
    every = _told(worlds)
    once = every[(every["split_seed"] == 0) & (every["model_seed"] == 0)]
    pinned, reseeded = (once[once["protocol"] == name] for name in ("pinned", "reseeded"))
    shares = pinned.pivot(index="world", columns="method", values="validity")
    paper = pinned[pinned["world"] == "mf"].set_index("method")["paper"]
    explained = reseeded[[METHOD[name].explains for name in reseeded["method"]]]
    rows = [
        [
            f"{METHOD[name].label}: {said}",
            *texts(paper[[name]], "{:.4g}"),
            *(f"{getattr(shares[name], of)():.3g}" for of in ("min", "median", "max")),
        ]
        for name, said in FOUND.items()
    ]
    head = ["valid at K = 1, % of users", "the paper (mf)", "lowest", "median", f"highest of {len(shares)} worlds"]

    compared = [cell for cell in _once(cells) if cell.dataset == "ml-100k"]

    def better(than: str) -> str:
        pairs = [_only(cell, OURS, than)[1] for cell in compared]
        sides = ([p for ours, theirs, p in pairs if side * (ours - theirs) > 0] for side in (1, -1))
        more, fewer = (f"{len(p)} ({sum(each < 0.05 for each in p)} with p < 0.05)" if p else "none" for p in sides)
        return f"for more users in {more} of the worlds and for fewer in {fewer}"

    weightless = [name for cell in compared for name in indifferent[f"{cell.dataset}/{cell.model}"].split("; ")]
    random = reseeded.loc[reseeded["method"] == "random", "validity"]
    told = [
        "A world is a recommender of MovieLens-100K, trained in a way of its own. Ours, the last row but one, is",
        f"valid, against the paper's linear surrogate, {better('linear_reg')}; against the",
        f"product with nothing learnt, {better('unlearned')}; p is of McNemar's exact test,",
        f"uncorrected. In {weightless.count('linear_reg')} of the worlds cross-validation left the paper's linear",
        "surrogate no weight on deleted items, so that it names any",
        "([list](docs/results/worlds/indifferent.csv)). Where every",
        "retraining draws initial weights of its own, three random items are valid",
        f"for {random.min():.0f} to {random.max():.0f} % and every method for {explained['validity'].min():.0f} %",
        "or more: without a floor and a ceiling a validity says little. From the rows of",
        "[worlds.csv](docs/results/worlds/tables/worlds.csv) with `reading` unseen, `top_k` 1, and `split_seed` and",
        "`model_seed` 0; `protocol` is pinned, or reseeded where initial weights are drawn anew.",
    ]
    return f"{pipes(pd.DataFrame(rows, columns=head))}\n{_wrapped(' '.join(told))}"


def _some_worlds(worlds: pd.DataFrame, replication: pd.DataFrame) -> str:
    """A table of some worlds, in percent, over their repetitions where there are any; of the schemas ``schemas.WORLDS``
    and ``schemas.REPLICATION``.
    """
    pinned = (every := _told(worlds))[every["protocol"] == "pinned"]
    once = pinned[(pinned["split_seed"] == 0) & (pinned["model_seed"] == 0)]
    papers = {
        said: once[once["world"] == name].set_index("method")["paper"]
        for name, said in (("mf", "matrix factorisation"), ("ncf", "neural collaborative filtering"))
    }
    repeated = replication[(replication["dataset"] == "ml-100k") & (replication["top_k"] == 1)]
    runs = repeated.groupby("world")[["n_splits", "n_seeds"]].first().prod(axis=1)
    shares = (100 * repeated.pivot(index="world", columns="method", values="validity")).combine_first(
        once.pivot(index="world", columns="method", values="validity")
    )
    quality = pinned.drop_duplicates(["world", "split_seed", "model_seed"]).groupby("world")["ndcg_at_10"].mean()
    rows = [[f"*the paper, {said}*", *texts(each.reindex(SAID), "{:.4g}"), ""] for said, each in papers.items()]
    rows += [
        [
            f"{title} (`{world}`)" + (f", {runs[world]} runs" if world in runs else ""),
            *texts(shares.loc[world].reindex(SAID), "{:.0f}"),
            f"{quality[world]:.2f}",
        ]
        for world, title in WORLDS.items()
    ]
    named = [METHOD[name].label for name in SAID]
    return pipes(pd.DataFrame(rows, columns=["K = 1, %", *named, "nDCG@10"]))


def _speed(peers: pd.DataFrame, neural: pd.DataFrame) -> str:
    """How many times as long others take, from the benchmarks."""
    ours, times = peers.iloc[0], peers.set_index("what")["times_ours"].map("{:.3g}".format)
    theirs = neural.set_index("variant")["times_ours"].map("{:.2g}".format)
    told = [
        f"One core, MovieLens-100K, 20 epochs: {ours['ms_per_model']:.3g} ms per model, where one fit by Cornac takes",
        f"{times['Cornac MF fit']} times as long and by Surprise {times['Surprise SVD fit']}",
        "([peers](benchmarks/results/peers.csv)); neural collaborative filtering in PyTorch",
        f"{theirs['PyTorch loop, one model, Adam fused']} times as long, or",
        f"{theirs['PyTorch, 32 models, baddbmm, Adam fused']} with 32 models stacked by hand",
        "([ncf_peers](benchmarks/results/ncf_peers.csv)). Medians, of one run each",
        "([benchmarks](benchmarks/README.md)).",
    ]
    return _wrapped(" ".join(told))


def _time(minutes: pd.DataFrame) -> str:
    """What set-up, the default study and all tests took when they were last timed."""
    last = minutes.groupby("command")["minutes"].last()
    told = [
        f"Set-up took {last['make .venv/ready']:.1f} minutes, `make` {last['make']:.0f} more and `make test`",
        f"{last['make test']:.0f}, each in a fresh clone on 2 cores",
        "([make.csv](benchmarks/results/make.csv): the last row of each, what ran beside, how fast the machine was).",
    ]
    return _wrapped(" ".join(told))


def _claims(snapshots: Mapping[str, pd.DataFrame]) -> str:
    """How many claims have which verdict, and of what kind the reproduced ones are, by what a snapshot is called; each
    of schema ``schemas.VERDICT``.
    """
    counts = {name: verdict.counts(frame) for name, frame in snapshots.items()}
    rows = [[name, *(str(each.get(name, 0)) for each in counts.values())] for name in (*VERDICTS, verdict.UNMEASURED)]
    kinds = pd.Series({claim.claim: claim.kind for claim in load_claims().claims})
    told = []
    for name, frame in snapshots.items():
        reproduced = frame[frame["verdict"] == REPRODUCED]
        some = []
        for kind, said in KINDS.items():
            claims = reproduced[(kinds[reproduced["claim"]] == kind).to_numpy()]
            entries = claims["worlds"].str.split("; ").explode()
            places = entries[entries.str.endswith(f": {REPRODUCED}", na=False)].str.split(": ").str[0].unique()
            some += [f"{len(claims)} {said}" + f" ({places[0]})" * (len(places) == 1)] if len(claims) else []
        if "validity" not in set(kinds[reproduced["claim"]]):
            some.append(f"none of {(kinds == 'validity').sum()} validities")
        told.append(f"{name} {', '.join(some)}")
    said = f"Reproduced are {'; '.join(told)}. Of all that hold somewhere, "
    said += " and ".join(f"{verdict.idle(frame)} {name}" for name, frame in snapshots.items())
    said += " agree with the paper only where three random items do too, which says nothing of a method."
    return f"{pipes(pd.DataFrame(rows, columns=['verdict', *counts]))}\n{_wrapped(said)}"


def readme_page() -> str:
    """README.md with what is made of the snapshots in docs/results, the finding and the count of claims, and of the
    benchmarks' results.
    """
    kept = paths.PROJECT / "docs/results"
    worlds = store.read_csv(kept / "worlds/tables/worlds.csv", schemas.WORLDS)
    judged = {
        "in the worlds": store.read_csv(kept / "worlds/tables/verdict.csv", schemas.VERDICT),
        "at the paper's counts": store.read_csv(kept / "paper/tables/verdict.csv", schemas.VERDICT),
    }
    peers, neural, minutes = (
        pd.read_csv(paths.PROJECT / f"benchmarks/results/{name}.csv") for name in ("peers", "ncf_peers", "make")
    )
    cells = Cell.all_of(config.load_study(kept / "worlds/study.yaml"), kept / "worlds")
    indifferent = pd.read_csv(kept / "worlds/indifferent.csv", index_col="cell", na_filter=False)["indifferent"]
    made = {"finding": _finding(worlds, cells, indifferent), "claims": _claims(judged)}
    return _filled("README.md", made | {"speed": _speed(peers, neural), "time": _time(minutes)})


def _learning(compared: pd.DataFrame) -> str:
    """What the weights of ours add to its product with every weight 1: validity in percent, and for how many users one
    of the two alone is valid; of the columns of benchmarks/results/unlearned.csv.
    """
    rows = []
    for (dataset, model), cell in compared.groupby(["dataset", "model"], sort=False):
        shares = [", ".join(cell[name].map("{:.3g}".format)) for name in ("unlearned", "ours")]
        pairs = zip(cell["only_unlearned"], cell["only_ours"], cell["p_value"], strict=True)
        only = [f"{theirs} : {ours}" + " *" * (p < 0.05) for theirs, ours, p in pairs]
        rows.append([f"{dataset} × {model}", *shares, ", ".join(only)])
    return pipes(pd.DataFrame(rows, columns=["K = 1, 3, 5", "unlearned, %", "ours, %", "only unlearned : only ours"]))


def _learnt(cells: Iterable[Cell]) -> pd.DataFrame:
    """What ``_learning`` tells of, in every world of ``_once``."""
    rows = []
    for cell in _once(cells):
        placed = statistics.ranks(cell.read(paths.EVALUATION))
        for k, only in _only(cell, "unlearned", OURS).items():
            shares = [100 * (placed[name] > k).mean() for name in ("unlearned", OURS)]
            rows.append((cell.dataset, cell.model, *shares, *only))
    return pd.DataFrame(
        rows, columns=["dataset", "model", "unlearned", "ours", "only_unlearned", "only_ours", "p_value"]
    )


def worlds_page() -> str:
    """docs/results/worlds/README.md with what is made of the snapshot beside it: some worlds, what learning adds."""
    kept = paths.PROJECT / "docs/results/worlds"
    worlds = store.read_csv(kept / "tables/worlds.csv", schemas.WORLDS)
    repeated = store.read_csv(kept / "tables/replication.csv", schemas.REPLICATION)
    made = {"some worlds": _some_worlds(worlds, repeated)}
    made["learning"] = _learning(_learnt(Cell.all_of(config.load_study(kept / "study.yaml"), kept)))
    return _filled("docs/results/worlds/README.md", made)


def _validity(cells: Sequence[Cell], validity: pd.DataFrame) -> str:
    """Every method's validity at K = 1 in every cell, in percent, after the paper's; from Tables 3 and 4."""
    rows = validity[validity["top_k"] == 1].set_index(["method", "dataset", "model"])

    def shown(method: str, cell: Cell) -> str:
        row = rows.loc[(method, cell.dataset, cell.model)]
        paper = "" if pd.isna(row["paper"]) else f"{100 * row['paper']:.4g} → "
        return f"{paper}{100 * row['validity']:.1f} [{100 * row['ci_low']:.0f}, {100 * row['ci_high']:.0f}]"

    frame = pd.DataFrame(
        [[METHOD[name].label, *(shown(name, cell) for cell in cells)] for name in validity["method"].unique()],
        columns=["K = 1, %", *(f"{cell.dataset} × {cell.model}" for cell in cells)],
    )
    return pipes(frame)


def _controls(cells: Sequence[Cell]) -> str:
    """What the controls of every cell say, as a Markdown table."""
    rows = {}
    for cell in cells:
        learnt, quality, signal = cell.read(paths.SURROGATE_FITS), cell.read(paths.QUALITY), cell.read(paths.SIGNAL)
        r2 = {name: learnt["fits"][fit].get("r2") for name, fit in learnt["methods"].items()}
        weights = learnt["fits"][learnt["methods"]["linear_reg"]]["weights"]
        rows[f"{cell.dataset} × {cell.model}"] = {
            "RMSE on test ratings": f"{quality['test_rmse']:.3f}",
            "nDCG@10": f"{quality['ndcg_10']:.4f}",
            "users with the same first item, %": f"{100 * quality['same_top1_share']:.1f}",
            "R²: one additive model per user and target (ceiling)": f"{learnt['additive_r2']:.2f}",
            "R² on training users held out: linear surrogate": f"{r2['linear_reg']:.4f}",
            "R² on training users held out: MLP surrogate": f"{r2['mlp_reg']:.4f}",
            "R² on training users held out: target-aware (ours)": f"{r2['linear_reg_aware']:.4f}",
            "weights that cross-validation leaves the linear surrogate, in all blocks of eq. (8)": f"{weights:.0f}",
            "own scores move as many times as a stranger's": f"{signal['own_change'] / signal['others_change']:,.1f}",
            "users whose oracle tried every subset": cell.read(paths.RETRAININGS)["exact_oracles"],
        }
    return pipes(pd.DataFrame(rows).rename_axis("").reset_index())


def findings_page() -> str:
    """docs/findings.md with what is made of the snapshot in docs/results/paper, validity, controls, count of claims;
    and of a benchmark, what learning adds.
    """
    kept = paths.PROJECT / "docs/results/paper"
    cells = Cell.all_of(config.load_study(kept / "study.yaml"), kept)
    names = {paths.VALIDITY[cell.kind]: None for cell in cells}

    def read(name: str) -> pd.DataFrame:
        return store.read_csv(kept / paths.TABLE.format(table=name), table(name).schema)

    validity, claims = pd.concat(map(read, names)), read("verdict")
    made = {"claims": _wrapped(f"{verdict.counted(claims)}."), "validity": _validity(cells, validity)}
    made["learning"] = _learning(pd.read_csv(paths.PROJECT / "benchmarks/results/unlearned.csv"))
    return _filled("docs/findings.md", made | {"controls": _controls(cells)})


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 120)) + "\n"


def _filled(place: str, made: dict[str, str]) -> str:
    """The page at this place, with what is ``made`` between the comments of its name."""
    text = (paths.PROJECT / place).read_text(encoding="utf-8")
    for name, content in made.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        text = f"{before}{begin}\n{content}\n{end}{after}"
    return text


PAGES = {
    "config/README.md": config_page,
    "docs/files.md": files_page,
    "README.md": readme_page,
    "docs/results/worlds/README.md": worlds_page,
    "docs/findings.md": findings_page,
}


def main(root: Path = paths.PROJECT) -> None:
    """Write all pages."""
    for place, page in PAGES.items():
        with store.atomic(root / place) as temporary:
            temporary.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
