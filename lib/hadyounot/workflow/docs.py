"""Writes the pages that are made from code, which a test holds them to: ``python -m hadyounot.workflow.docs``."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..compare import statistics
from ..compare.verdict import CONTRADICTED, IN_SOME_WORLDS, REPRODUCED, VERDICTS
from ..report.tables import TABLES, table, verdict
from ..report.tables.common import pipes, texts
from ..report.tables.worlds import alike
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


def _once(cells: Iterable[Cell]) -> list[Cell]:
    """Those of worlds retrained alike and read as the paper does, of one split and seed."""
    once = {"protocol": "pinned", "reading": "unseen", "split_seed": 0, "model_seed": 0}
    return [cell for cell in cells if once.items() <= cell.study.place(cell.dataset, cell.model).items()]


def _pairs(cells: Iterable[Cell], other: str) -> pd.DataFrame:
    """Ours beside another method in every world of ``_once`` that has it, by K: validity in percent, for how many users
    one of the two alone is valid, and p of McNemar's exact test.
    """
    rows = []
    for cell in _once(cells):
        placed = statistics.ranks(cell.read(paths.EVALUATION))
        for k in cell.study.explanation.top_k if other in placed else ():
            valid = [placed[name] > k for name in (other, OURS)]
            shares = (100 * each.mean() for each in valid)
            rows.append((cell.dataset, cell.model, k, *shares, *statistics.discordant(*valid)))
    said = ["theirs", "ours", "only_theirs", "only_ours", "p_value"]
    return pd.DataFrame(rows, columns=["dataset", "model", "top_k", *said])


def _beside(pairs: pd.DataFrame, other: str) -> str:
    """``_pairs`` as a Markdown table."""
    rows = []
    for (dataset, model), cell in pairs.groupby(["dataset", "model"], sort=False):
        shares = [", ".join(cell[name].map("{:.3g}".format)) for name in ("theirs", "ours")]
        counted = zip(cell["only_theirs"], cell["only_ours"], cell["p_value"], strict=True)
        only = [f"{theirs} : {ours}" + " *" * (p < SIGNIFICANT) for theirs, ours, p in counted]
        rows.append([f"{dataset} × {model}", *shares, ", ".join(only)])
    return pipes(pd.DataFrame(rows, columns=["K = 1, 3, 5", f"{other}, %", "ours, %", f"only {other} : only ours"]))


SIGNIFICANT = 0.05


def _better(pairs: pd.DataFrame) -> str:
    """In how many worlds of ``_pairs`` ours holds for more users at K = 1, and for fewer."""
    first = pairs[pairs["top_k"] == 1]
    lead = first["only_ours"] - first["only_theirs"]
    sides = (first.loc[side * lead > 0, "p_value"] for side in (1, -1))
    more, fewer = (f"{len(p)} ({(p < SIGNIFICANT).sum()})" if len(p) else "none" for p in sides)
    return f"for more users in {more} of {len(first)} worlds and for fewer in {fewer}"


def _finding(worlds: pd.DataFrame, indifferent: pd.DataFrame, cells: Sequence[Cell]) -> str:
    """What README says first, at K = 1, of all worlds retrained alike.

    Args:
        worlds: schema ``schemas.WORLDS``.
        indifferent: schema ``schemas.INDIFFERENT``.
        cells: of the worlds.
    """
    every = alike(worlds, indifferent).query("top_k == 1")
    shares = 100 * every.set_index(["dataset", "world", "method"])["validity"].unstack()
    middle = shares.median().map("{:.0f}".format)
    once = pd.DataFrame([cell.study.place(cell.dataset, cell.model) for cell in _once(cells)])
    tied = once.merge(indifferent[indifferent["method"] == "linear_reg"])
    datasets = Counter(dataset for dataset, _ in shares.index)

    def spread(name: str) -> str:
        paper = 100 * every.loc[every["method"] == name, "paper"]
        ends = f"{shares[name].min():.0f} to {shares[name].max():.0f} % of users (median {middle[name]})"
        return f"{ends}, where the paper has {paper.min():.3g} to {paper.max():.3g}"

    head = (
        f"**Result**, K = 1, in {len(shares)} *worlds*: recommenders of MovieLens-100K ({datasets['ml-100k']}) and "
        f"Amazon Music ({datasets['amazon-music']}), each trained in a way of its own."
    )
    told = [
        f"The paper's linear surrogate is valid for {spread('linear_reg')}, and its MLP for {spread('mlp_reg')}. In "
        f"{len(tied)} worlds cross-validation left the linear one no weight on deleted items, so what it names is "
        "chance ([list](docs/results/worlds/tables/indifferent.md)).",
        "A product that learns nothing, the recommender's error on the deleted rating × the similarity of its item to "
        f"the recommended one, has a median of {middle['unlearned']} %, a linear surrogate that is told of it (*target-"
        f"aware*, ours) {middle[OURS]}, and influence functions, where they can be had, {middle['influence']}.",
        f"Three random items have a median of {middle['random']} %, the best deletion that was found "
        f"{middle['oracle']}.",
    ]
    return "\n".join([_wrapped(head), *(_wrapped(each, "- ").rstrip("\n") for each in told)]) + "\n"


def _ours(cells: Sequence[Cell]) -> str:
    """Ours beside others, in worlds retrained alike."""
    told = ", ".join(f"beside {said} {_better(_pairs(cells, name))}" for name, said in COMPARED.items())
    return _wrapped(
        f"Ours holds, {told} ([users one by one](docs/results/worlds/README.md#what-learning-adds); in brackets "
        "p < 0.05 by McNemar's exact test, uncorrected)."
    )


COMPARED = {
    "linear_reg": "the paper's linear surrogate",
    "influence": "influence functions",
    "unlearned": "that product",
}
"""Methods that README compares ours with."""


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
        f"MovieLens-100K, 20 epochs, one core: {ours['ms_per_model']:.3g} ms a model; one fit by Cornac takes",
        f"{times['Cornac MF fit']} times as long, by Surprise {times['Surprise SVD fit']}",
        "([peers](benchmarks/results/peers.csv)). PyTorch takes",
        f"{theirs['PyTorch loop, one model, Adam fused']} times as long as our neural collaborative filtering, or",
        f"{theirs['PyTorch, 32 models, baddbmm, Adam fused']} with 32 models stacked by hand",
        "([ncf_peers](benchmarks/results/ncf_peers.csv), fused Adam).",
    ]
    return _wrapped(" ".join(told))


def _time(minutes: pd.DataFrame) -> str:
    """What set-up, the default study and all tests took the last three times."""
    last = minutes.groupby("command").tail(3).groupby("command")["minutes"].agg(["min", "max"])
    took = {command: f"{row['min']:.0f} to {row['max']:.0f}" for command, row in last.iterrows()}
    return _wrapped(
        f"On 2 cores set-up took {took['make .venv/ready']} minutes, `make` {took['make']} more and `make test` "
        f"{took['make test']}: the last three rows of each in [make.csv](benchmarks/results/make.csv)."
    )


def _claims(snapshots: Mapping[str, pd.DataFrame]) -> str:
    """How many claims have which verdict, and how many validities, by what a snapshot is called; each of schema
    ``schemas.VERDICT``.
    """
    counts = {name: verdict.counts(frame) for name, frame in snapshots.items()}
    rows = [
        [EVERYWHERE.get(name, name), *(str(each.get(name, 0)) for each in counts.values())]
        for name in (*VERDICTS, verdict.UNMEASURED)
        if any(name in each for each in counts.values())
    ]
    validities = {claim.claim: claim for claim in load_claims().claims if claim.kind == "validity"}
    told = []
    for name, frame in snapshots.items():
        of = frame[frame["claim"].isin(validities)].set_index("claim")["verdict"]
        some = of.index[of == IN_SOME_WORLDS]
        learnt = [claim for claim in some if METHOD[validities[claim].method].learner]
        told.append(f"{name} {(of == REPRODUCED).sum()} in all, {len(some)} in some ({len(learnt)} of surrogates)")
    said = f"Of the {len(validities)} validities of Tables 3 and 4 are reproduced {'; '.join(told)}."
    return f"{pipes(pd.DataFrame(rows, columns=['verdict', *counts]))}\n{_wrapped(said)}"


EVERYWHERE = {REPRODUCED: "reproduced in all worlds", CONTRADICTED: "contradicted in all worlds"}
"""Verdicts, in README's words."""


def _reproduced(frame: pd.DataFrame) -> str:
    """Schema ``schemas.VERDICT``: how many claims have which verdict, and of what kind the reproduced ones are."""
    kinds = pd.Series({claim.claim: claim.kind for claim in load_claims().claims})
    reproduced = frame[frame["verdict"] == REPRODUCED]
    some = []
    for kind, said in KINDS.items():
        claims = reproduced[(kinds[reproduced["claim"]] == kind).to_numpy()]
        entries = claims["worlds"].str.split("; ").explode()
        places = entries[entries.str.endswith(f": {REPRODUCED}", na=False)].str.split(": ").str[0].unique()
        some += [f"{len(claims)} {said}" + f" ({places[0]})" * (len(places) == 1)] if len(claims) else []
    return _wrapped(f"{verdict.counted(frame)}. Reproduced in all worlds are {', '.join(some)}.")


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
    indifferent = store.read_csv(kept / "worlds/tables/indifferent.csv", schemas.INDIFFERENT)
    made = {"finding": _finding(worlds, indifferent, cells), "ours": _ours(cells), "claims": _claims(judged)}
    return _filled("README.md", made | {"speed": _speed(peers, neural), "time": _time(minutes)})


def worlds_page() -> str:
    """docs/results/worlds/README.md with what is made of the snapshot beside it: some worlds, claims, ours beside
    others.
    """
    kept = paths.PROJECT / "docs/results/worlds"
    worlds = store.read_csv(kept / "tables/worlds.csv", schemas.WORLDS)
    repeated = store.read_csv(kept / "tables/replication.csv", schemas.REPLICATION)
    made = {"some worlds": _some_worlds(worlds, repeated)}
    made["claims"] = _reproduced(store.read_csv(kept / "tables/verdict.csv", schemas.VERDICT))
    cells = Cell.all_of(config.load_study(kept / "study.yaml"), kept)
    made |= {name: _beside(_pairs(cells, name), name) for name in COMPARED}
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
            "surrogates that name any items": "; ".join(METHOD[name].label for name in learnt["indifferent"]) or "none",
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
    made = {"claims": _reproduced(claims), "validity": _validity(cells, validity)}
    measured = pd.read_csv(paths.PROJECT / "benchmarks/results/unlearned.csv")
    called = {"unlearned": "theirs", "only_unlearned": "only_theirs"}
    made |= {name: _beside(_pairs(cells, name), name) for name in ("influence", "influence_block")}
    made["unlearned"] = _beside(measured.rename(columns=called), "unlearned")
    return _filled("docs/findings.md", made | {"controls": _controls(cells)})


def _wrapped(text: str, bullet: str = "") -> str:
    return textwrap.fill(text, 120, initial_indent=bullet, subsequent_indent=" " * len(bullet)) + "\n"


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
