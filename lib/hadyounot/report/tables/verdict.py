"""Every claim of the paper beside what was measured of it, and the verdict that ``compare.verdict`` gives by rule."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np
import pandas as pd

from ...compare import statistics
from ...compare.verdict import (
    CONTRADICTED,
    IN_DIRECTION,
    IN_SOME_WORLDS,
    NOT,
    NOT_TESTABLE,
    REPRODUCED,
    VERDICTS,
    Expected,
    Measurement,
    over_worlds,
    weakest,
)
from ...study import paths, schemas
from ...study.cell import Cell
from ...study.claims import (
    AblationClaim,
    ClaimsConfig,
    CorrelationClaim,
    DatasetClaim,
    DifferenceClaim,
    FallClaim,
    GapClaim,
    PeopleClaim,
    SeparabilityClaim,
    TestedClaim,
    TimeClaim,
    ValidityClaim,
)
from ...study.config import StudyConfig
from ...study.methods import BASE, MEASURES, family
from ...study.published import paper_kind
from .ablations import placed
from .common import Table, pipes
from .validity import evaluation


@dataclass(frozen=True)
class World:
    """What one cell shows, each artefact read once.

    Attributes:
        cell: the cell.
        dataset: the paper's, where the cell's stands in for it.
        retrained: the protocol of its retraining, and its reading.
        repeated: where it is run on several splits or from several seeds, all its cells, by split and seed; else none.
    """

    cell: Cell
    dataset: str
    retrained: tuple[str, str]
    repeated: Mapping[tuple[int, int], Cell]

    @property
    def kind(self) -> str:
        """The paper's recommender that this world's stands for."""
        return paper_kind(self.cell.kind)

    @property
    def analysed(self) -> bool:
        """Whether the study analyses it."""
        return self.cell.study.cells[0].analysed

    @cached_property
    def tested(self) -> pd.DataFrame:
        """What notebook 60 left."""
        return self.cell.read(paths.EVALUATION)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """See ``statistics.ranks``."""
        return statistics.ranks(self.tested)

    @cached_property
    def runs(self) -> dict[tuple[int, int], pd.DataFrame]:
        """The same of all its cells, by split and seed, each in order; of one that is not repeated, its own."""
        if not self.repeated:
            return {(0, 0): self.ranks}
        return {at: statistics.ranks(evaluation(self.repeated[at])) for at in sorted(self.repeated)}

    @cached_property
    def seconds(self) -> pd.DataFrame:
        """Generation time: a row per user, a column per method, and per way of searching where those were timed."""
        times = [self.cell.read(paths.GENERATION_TIME)]
        if self.analysed and "search" in self.cell.study.ablations.families:
            times.append(self.cell.read(paths.ABLATION_TIME, family="search"))
        return pd.concat(times).pivot(index="user", columns="method", values="seconds")

    @cached_property
    def pearson(self) -> pd.DataFrame:
        """Correlation with the score decrease: a row per user, a column per measure."""
        return self.cell.read(paths.CORRELATION).pivot(index="user", columns="measure", values="pearson")

    def accuracy(self, measure: str) -> pd.Series:
        """The same of one, in the direction that its method goes by: KNN takes what is nearest."""
        (method,) = (each for each in MEASURES if each.measure == measure)
        return self.pearson[measure] * (-1 if method.baseline == "nearest" else 1)

    def methods(self, claim: TestedClaim) -> set[str]:
        """What it has of methods for such a claim to compare."""
        return set(self.seconds if isinstance(claim, TimeClaim) else self.ranks)

    def share(self, method: str, top_k: int) -> Measurement:
        """Validity of a method, in percent: with users as units, or over splits, seeds and users."""
        if self.repeated:
            return self._over_runs([each[method] > top_k for each in self.runs.values()])
        rows = statistics.validity(self.tested, [top_k]).set_index("method")
        return _percent(rows.loc[method, ["validity", "ci_low", "ci_high"]])

    def change(self, better: tuple[str, int], worse: tuple[str, int], confidence: float = 0.95) -> Measurement:
        """Validity of a method at a K less that of another, or at another, in percentage points, with its interval."""
        if self.repeated:
            return self._over_runs([*self.gains(better, worse).values()], confidence)
        valid, others = (self.ranks[method].to_numpy() > top_k for method, top_k in (better, worse))
        return _percent(statistics.paired_change(valid, others, confidence))

    def gains(self, better: tuple[str, int], worse: tuple[str, int]) -> dict[tuple[int, int], pd.Series]:
        """By split and seed, of each user: 1 where the better explanation alone is valid, -1 where the worse one is."""
        return {
            at: (each[better[0]] > better[1]).astype(int).droplevel("target") - (each[worse[0]] > worse[1]).to_numpy()
            for at, each in self.runs.items()
        }

    def _over_runs(self, values: Sequence[pd.Series], confidence: float = 0.95) -> Measurement:
        return _over_runs(self.repeated, values, self.cell.study.seed, confidence)

    def varied(self, claim: AblationClaim) -> Measurement | None:
        """What a variant changes; None where the study has no such variant, or not the one it is compared with.

        Raises:
            ValueError: the two explain other users or targets.
        """
        settings, size = self.cell.study.ablations, self.cell.study.explanation.explanation_size
        if claim.family not in settings.families:
            return None
        variants = family(claim.family, settings, size)
        if not {claim.variant, claim.control} <= {BASE.name, *(variant.name for variant in variants)}:
            return None
        ranks = placed(self.tested, (BASE,)) | placed(self.cell.read(paths.ABLATION, family=claim.family), variants)
        varied, control = ranks[claim.variant], ranks[claim.control]
        if not varied.index.equals(control.index):
            raise ValueError(f"{self.cell.title}: {claim.variant} and {claim.control} explain other users or targets")
        return _percent(statistics.paired_change(*((each > claim.top_k).to_numpy() for each in (varied, control))))


def _methods(claim: TestedClaim) -> list[str]:
    """The methods that a claim compares."""
    named = [getattr(claim, field, []) for field in ("method", "better", "worse", "methods", "against")]
    return [name for each in named for name in ([each] if isinstance(each, str) else each)]


def _over_runs(at: Iterable[tuple[int, int]], values: Sequence[pd.Series], seed: int, confidence: float) -> Measurement:
    """The mean over splits, seeds and users, in percent, as table ``replication`` has it."""
    splits, seeds = (len(set(each)) for each in zip(*at, strict=True))
    found = np.array([each.to_numpy() for each in values]).reshape(splits, seeds, -1)
    return _percent((found.mean(), *statistics.hierarchical_interval(found, seed, confidence)))


def _percent(found: tuple[float, float, float]) -> Measurement:
    return Measurement(*(100 * each for each in found))


def _measured(claim: TestedClaim, world: World) -> Measurement | None:
    """What a world shows of a claim that is about one world; None where it was not measured there."""
    if isinstance(claim, AblationClaim | CorrelationClaim | SeparabilityClaim) and not world.analysed:
        return None
    match claim:
        case DatasetClaim():
            count = world.cell.read(paths.DATASET)[claim.count]
            return Measurement(count, count, count)
        case ValidityClaim():
            return world.share(claim.method, claim.top_k)
        case DifferenceClaim():
            sides = ([(name, claim.top_k) for name in names] for names in (claim.better, claim.worse))
            return weakest([partial(world.change, *pair) for pair in product(*sides)], "above")
        case FallClaim():
            return world.change((claim.method, claim.top_k), (claim.method, 1))
        case AblationClaim():
            return world.varied(claim)
        case CorrelationClaim():
            told = {method.measure for method in MEASURES if method.name in world.ranks}
            if not {claim.measure, claim.minus or claim.measure} <= told:
                return None
            found = world.pearson[claim.measure].abs()
            if claim.minus:
                found = world.accuracy(claim.measure) - world.accuracy(claim.minus)
            users = found.dropna().to_numpy()
            if not len(users):  # what says the same of every set is correlated with nothing
                return Measurement(np.nan, np.nan, np.nan)
            return Measurement(*statistics.median(users), tuple(np.quantile(users, [0.025, 0.975])))
        case TimeClaim():
            ratios = world.seconds[claim.methods].div(world.seconds[claim.against], axis=0)
            return weakest([partial(statistics.median, ratio) for ratio in ratios.to_numpy().T], claim.side)
        case SeparabilityClaim():
            probes = world.cell.read(paths.SEPARABILITY).set_index("probe")
            return Measurement(*probes.loc["linear", ["auc", "auc_low", "auc_high"]])


def _printed(claim: TestedClaim, dataset: str, kind: str, study: StudyConfig) -> float | None:
    """The number in the paper, of one of its datasets and kind of recommender; None where it prints none."""
    validity = {key: 100 * share for key, share in study.published.validity(kind, dataset).items()}
    match claim:
        case DatasetClaim():
            return getattr(study.published.table2.get(dataset), claim.count, None)
        case ValidityClaim():
            return validity.get((claim.method, claim.top_k))
        case DifferenceClaim():
            keys = [[(method, claim.top_k) for method in pair] for pair in product(claim.better, claim.worse)]
            known = all(key in validity for pair in keys for key in pair)
            return min(validity[better] - validity[worse] for better, worse in keys) if known else None
        case FallClaim():
            keys = (claim.method, claim.top_k), (claim.method, 1)
            return validity[keys[0]] - validity[keys[1]] if all(key in validity for key in keys) else None
        case GapClaim():
            one = DifferenceClaim.model_construct(better=[claim.better], worse=[claim.worse], top_k=claim.top_k)
            first, second = (_printed(one, dataset, each, study) for each in claim.recommenders)
            return None if first is None or second is None else first - second
        case AblationClaim():
            change = study.published.ablation(kind, dataset, claim.family, claim.variant, claim.top_k)
            return claim.paper if claim.paper is not None or change is None else 100 * change
        case CorrelationClaim():
            return None if claim.minus else study.published.correlations(kind, dataset).get(claim.measure)
    return None


def expected(claim: TestedClaim, dataset: str, kind: str, study: StudyConfig) -> Expected:
    """What the paper says of one of its datasets and a kind of recommender."""
    side, bound, tolerance = getattr(claim, "side", None), getattr(claim, "bound", 0.0), study.claims.tolerance
    match claim:
        case DatasetClaim():
            tolerance = 0.0
        case CorrelationClaim():
            tolerance = study.claims.correlation_tolerance
        case AblationClaim() if not side:  # that there is no difference: what tells is whether the interval has 0
            tolerance = 0.0
    paper = _printed(claim, dataset, kind, study)
    return Expected(side, bound, None if paper is None else round(paper, 6), tolerance)  # percent of shares are inexact


def _found(claim: TestedClaim, worlds: list[World]) -> Iterator[tuple[str, str, str, Measurement, Measurement | None]]:
    """What was measured: name of the world, the paper's dataset, kind of recommender, measurement, and of a validity
    that of three random items there, without which it says little.
    """
    about = [world for world in worlds if world.dataset in claim.datasets]
    about = [world for world in about if set(_methods(claim)) <= world.methods(claim)]
    if isinstance(claim, GapClaim):
        first, second = ([world for world in about if world.kind == kind] for kind in claim.recommenders)
        for a, b in product(first, second):
            if (a.cell.dataset, a.retrained) == (b.cell.dataset, b.retrained):
                name = f"{a.cell.dataset}, {a.cell.model} − {b.cell.model}"
                yield name, a.dataset, a.kind, _gap(claim, a, b), None
        return
    about = [world for world in about if world.kind in claim.recommenders]
    if isinstance(claim, DatasetClaim):  # once each, and of no other data that stand in for it
        own = [world for world in about if world.cell.dataset == world.dataset]
        about = list({world.dataset: world for world in reversed(own)}.values())[::-1]
    for world in about:
        measured = _measured(claim, world)
        if measured is not None:
            name = world.cell.dataset
            name += "" if isinstance(claim, DatasetClaim) else f", {world.cell.model}"
            floor = isinstance(claim, ValidityClaim) and "random" in world.ranks
            random = world.share("random", claim.top_k) if floor else None
            yield name, world.dataset, world.kind, measured, random


def _gap(claim: GapClaim, a: World, b: World) -> Measurement:
    """How much more a method is valid than another in one world than in the other, for the same users: over their
    repetitions where both have the same, else of the first split and seed.
    """
    sides = (claim.better, claim.top_k), (claim.worse, claim.top_k)
    ours, others = a.gains(*sides), b.gains(*sides)
    if a.repeated and a.repeated.keys() == b.repeated.keys():
        apart = [statistics.paired(ours[at], others[at]) for at in ours]
        return _over_runs(a.repeated, apart, a.cell.study.seed, 0.95)
    return _percent(statistics.mean(statistics.paired(ours[0, 0], others[0, 0])))


def _number(value: float, digits: int) -> str:
    return "?" if pd.isna(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:z.{digits}g}"


def _printed_number(value: float | None) -> str:
    return "" if pd.isna(value) else _number(value, 4)


def _span(found: Measurement) -> str:
    if pd.isna(found[0]):
        return "no number (constant)"
    estimate, low, high = (_number(each, 3) for each in found[:3])
    return estimate if low == high == estimate else f"{estimate} [{low}, {high}]"


def _row(claim: TestedClaim, worlds: list[World], study: StudyConfig) -> dict:
    """One tested claim: the first world's number, every world's, and the verdict over them."""
    told, verdicts, first, seen = [], [], None, set()
    for name, dataset, kind, measured, random in _found(claim, worlds):
        said = expected(claim, dataset, kind, study)
        verdicts.append(said.in_world(measured))
        paper = "" if said.paper is None else f", paper {_printed_number(said.paper)}"
        if random:
            paper += f", random {_number(random.estimate, 3)}" + TOO * (said.in_world(random) == REPRODUCED)
        told.append(f"{name}: {_span(measured)}{paper}: {verdicts[-1]}")
        first = first or (said.paper, *measured[:3])
        seen.add(dataset)
    missing = [dataset for dataset in claim.datasets if dataset not in seen]
    if missing:
        told.append(f"not measured: {', '.join(missing)}")
    if first is None:
        first = expected(claim, claim.datasets[0], claim.recommenders[0], study).paper, None, None, None
        needs = "where these data are at hand and named there, " if isinstance(claim, DatasetClaim) else ""
        told.append(f"{needs}`snakemake --configfile config/paper.yaml` measures it")
    numbers = dict(zip(("paper", "ours", "ci_low", "ci_high"), first, strict=True))
    return numbers | {"worlds": "; ".join(told), "verdict": over_worlds(verdicts)}


def _said(claim: PeopleClaim, study: StudyConfig) -> dict:
    """One claim by people, with the number that the paper prints."""
    row = getattr(study.published.user_study, claim.method) if claim.method else None
    return {
        "paper": row and getattr(row, claim.number),
        "worlds": "none: people have to be asked",
        "verdict": NOT_TESTABLE,
    }


def verdict(cells: Iterable[Cell], study: StudyConfig) -> pd.DataFrame:
    """Schema ``schemas.VERDICT``: one row per claim, in the order of claims.yaml. Other splits and seeds of a world are
    no worlds of their own: validities and their differences are judged over all of them, as table replication has it.
    """
    cells = list(cells)
    by_name = {(cell.dataset, cell.model): cell for cell in cells}
    repeated = {
        (dataset, world): {at: by_name[names] for at, names in runs.items()}
        for (dataset, _, world), runs in study.repetitions().items()
    }
    worlds = []
    for cell in cells:
        where = study.place(cell.dataset, cell.model)
        if where["model_seed"] or where["split_seed"]:
            continue
        runs = repeated.get((cell.dataset, where["world"]), {}) if cell.model == where["world"] else {}
        retrained = where["protocol"], where["reading"]
        worlds.append(World(cell, study.original(cell.dataset), retrained, runs))
    rows = []
    for claim in study.claims.claims:
        row = _said(claim, study) if isinstance(claim, PeopleClaim) else _row(claim, worlds, study)
        rows.append({"claim": claim.claim, "where": claim.where, "command": claim.command} | row)
    frame = pd.DataFrame(rows, columns=list(schemas.VERDICT.columns))
    return frame.astype(dict.fromkeys(("paper", "ours", "ci_low", "ci_high"), "float64"))


UNMEASURED = "not measured by this study"
TOO = " too"  # random items agree with the paper's number themselves
FEW = 4  # worlds that are spelled out one by one
UNITS = {"validity": "%"} | dict.fromkeys(("difference", "fall", "gap", "ablation"), "points")
"""Units of a kind of claim, where its numbers are shown with one decimal; others are of no unit."""


def _by_verdict(worlds: str) -> tuple[dict[str, list[str]], list[str]]:
    """Of the column ``worlds`` the worlds by their verdicts, with what random items are where a number is reproduced;
    and what it says besides.
    """
    judged: dict[str, list[str]] = {name: [] for name in VERDICTS}
    others = []
    for entry in filter(None, worlds.split("; ")):
        name, _, rest = entry.partition(": ")
        numbers, _, verdict = rest.rpartition(": ")
        _, random, floor = numbers.partition(", random ")
        name += f" (random {floor})" if random and verdict == REPRODUCED else ""
        judged[verdict].append(name) if verdict in judged else others.append(entry)
    return judged, others


def told_briefly(worlds: str) -> str:
    """The column ``worlds``: what each shows, a line each; where they are many, their names by verdict, but of the
    many that show nothing only between which numbers they lie.
    """
    judged, others = _by_verdict(worlds)
    if sum(map(len, judged.values())) <= FEW:
        return worlds.replace("; ", "<br>")
    told = {verdict: "; ".join(names) for verdict, names in judged.items() if names}
    if len(judged[NOT]) > FEW:
        shown = [entry.partition(": ")[2].split()[0] for entry in worlds.split("; ") if entry.endswith(f": {NOT}")]
        known = sorted({number for number in shown if number != "no"}, key=float)
        told[NOT] = " to ".join(known[:1] + known[1:][-1:]) + " (each in the CSV)"
    return "<br>".join([*(f"{verdict} in {len(judged[verdict])}: {names}" for verdict, names in told.items()), *others])


def _told(verdict: str | None, worlds: str) -> str:
    """The verdict, and in how many worlds a claim holds or is contradicted, where that is in some."""
    if not isinstance(verdict, str):
        return UNMEASURED
    counts = {name: len(found) for name, found in _by_verdict(worlds)[0].items()}
    every, opposed = sum(counts.values()), counts[CONTRADICTED]
    holding = f": {counts[REPRODUCED] + counts[IN_DIRECTION]} of {every}" if verdict == IN_SOME_WORLDS else ""
    against = f", contradicted in {opposed}" + ("" if holding else f" of {every}") if 0 < opposed < every else ""
    return f"**{verdict}**{holding}{against}"


def _rounded(text: str) -> str:
    """With one decimal of every number in it; those in names are none."""
    return re.sub(r"(?<![\w.-])-?\d+(\.\d+)?(?![\w-])", lambda found: f"{float(found[0]):z.1f}", text)


def shown(frame: pd.DataFrame, claims: ClaimsConfig) -> pd.DataFrame:
    """Schema ``schemas.VERDICT``, as people read it: what only people can say comes last."""
    units = {claim.claim: UNITS.get(claim.kind, "") for claim in claims.claims}
    rows = []
    for row in frame.sort_values("verdict", key=lambda said: said == NOT_TESTABLE, kind="stable").itertuples():
        unit = units[row.claim]
        ours = "" if pd.isna(row.ours) else _span(Measurement(row.ours, row.ci_low, row.ci_high))
        paper, ours, worlds = (
            _rounded(text) if unit else text for text in (_printed_number(row.paper), ours, row.worlds)
        )
        rows.append(
            {
                **{"claim": row.claim, "where": row.where},
                **{
                    "paper": f"{paper} {unit}" if paper else "",
                    "this run, first world": f"{ours} {unit}" if ours else "",
                },
                "verdict over all worlds": _told(row.verdict, row.worlds),
                "worlds": told_briefly(worlds),
                "evidence": f"`{row.command}`",
            }
        )
    return pd.DataFrame(rows)


def counts(frame: pd.DataFrame) -> dict[str, int]:
    """Schema ``schemas.VERDICT``: how many claims have which verdict."""
    found = frame["verdict"].fillna(UNMEASURED).value_counts()
    return {name: int(found[name]) for name in (*VERDICTS, UNMEASURED) if name in found}


def idle(frame: pd.DataFrame) -> int:
    """Schema ``schemas.VERDICT``: how many claims are borne out only where random items agree with the paper too."""
    holding = frame.loc[frame["verdict"].isin([REPRODUCED, IN_SOME_WORLDS]), "worlds"]
    where = [[name for name in _by_verdict(worlds)[0][REPRODUCED] if "(random " in name] for worlds in holding]
    return sum(bool(names) and all(name.endswith(f"{TOO})") for name in names) for names in where)


def counted(frame: pd.DataFrame) -> str:
    """Schema ``schemas.VERDICT``: how many claims have which verdict, in words."""
    told = "; ".join(f"{name}: {count}" for name, count in counts(frame).items())
    return told + f". Of these, {idle(frame)} agree with the paper only where three random items do too"


def markdown(frame: pd.DataFrame, claims: ClaimsConfig) -> str:
    """Schema ``schemas.VERDICT``: how many claims got which verdict, all of them, and the rule in words."""
    rule = (
        "World: a recommender of this study on a dataset; retrained by another protocol, or read in another way, it is "
        "another.",
        "A claimed number is reproduced in a world if it lies in our 95 % interval, or within a tolerance of our "
        f"estimate ({claims.tolerance:g} percentage points; {claims.correlation_tolerance:g} of a correlation; none of "
        "others); else it is not.",
        "A claimed side or order is reproduced if our whole interval lies on that side and the number agrees or the "
        "paper prints none; in direction if the number does not agree; contradicted if the interval lies on the other "
        "side; else it is not borne out.",
        "Over worlds: reproduced if in all; in direction if at least that in all; in some worlds if in some; "
        "contradicted if in all; else not.",
        "A verdict is over the worlds that are named beside it: one where a claim's method cannot be had, as influence "
        "functions of a truncated SVD, says nothing of the claim.",
        "The first world is that in the study's order, however near or far the others lie.",
        "Intervals are not corrected for the number of claims or of worlds: one world in forty shows a side by chance.",
        "Validities and their differences are over the repetitions of a world, where it has some, or of two that have "
        "the same, with intervals as in table `replication`; all else is of the first split and seed.",
        "Beside a validity stands that of three random items in the same world: where they do as well, agreeing with "
        'the paper says nothing of the method ("too": their number agrees by the same rule).',
        "Correlations of the paper are of one user: such a number agrees if it is among the middle 95 % of our users. "
        "That a measure is not highly correlated is judged by how far its correlation is from 0; which of two is more "
        "accurate, by their correlations, a distance's with its sign turned, as KNN takes what is nearest.",
        "A gap between kinds of recommender is judged over every pair of them on one dataset, retrained and read "
        "alike.",
        "Times are those of the jobs as they ran.",
        "The commands make the evidence of the study that `--configfile` names, config/study.yaml without it.",
    )
    return (
        f"Claims of the paper by verdict: {counted(frame)}.\n\n{pipes(shown(frame, claims))}\n## The rule\n\n"
        + "".join(f"- {line}\n" for line in rule)
    )


TABLES = {
    "verdict": Table(schemas.VERDICT, verdict, lambda frame, cells, study: markdown(frame, study.claims)),
}
