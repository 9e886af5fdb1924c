"""What a study may say: strict models of config/*.yaml.

Every field carries the sentence that ``config/README.md`` prints.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from ..compare.settings import (
    CorrelationConfig,
    InfluenceConfig,
    NaiveConfig,
    OracleConfig,
    ProjectionConfig,
    VerificationConfig,
)
from ..method.settings import SetNetworkConfig, SurrogateConfig
from ..retrain.settings import (
    RECOMMENDERS,
    BlackBoxConfig,
    MatrixFactorizationConfig,
    NeuralCollaborativeFilteringConfig,
    TruncatedSVDConfig,
)
from ..settings import ConfigError, Distinct, Strict
from ..survey.settings import SurveyConfig
from .claims import ClaimsConfig, load_claims
from .paths import beside_study, enter
from .published import PublishedConfig, load_published
from .registry import (
    CountsConfig,
    DatasetConfig,
    FolderName,
    PlantedSource,
    ancestors,
    load_datasets,
    unknown_others,
)
from .yaml_file import CONFIG_FOLDER, parsed_yaml, problems_of, report, unknown_name


class CounterfactualConfig(Strict):
    """Algorithm 1: which histories are deleted and retrained."""

    training_users: int = Field(200, ge=2, description="Users whose deletions train the surrogates (U^tr).")
    deletions_per_user: int = Field(
        1000, ge=1, description="Distinct subsets deleted per training user, or all C(n, e) where fewer."
    )
    n_targets: int = Field(20, ge=1, description="N: how many top items of each user are recorded.")
    users_per_block: int = Field(
        10, ge=1, description="Training users in one block: one notebook run, one parquet file."
    )

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks of training users."""
        return [f"{block:03}" for block in range(-(-self.training_users // self.users_per_block))]


class AblationsConfig(Strict):
    """Notebook 70: one choice changed at a time, on cells that are `analysed`."""

    families: Annotated[
        list[
            Literal[
                "effect", "deletion_size", "representation", "penalty", "products", "search", "sample_size", "reading"
            ]
        ],
        Distinct,
    ] = Field(
        ["effect", "deletion_size", "representation", "penalty", "products", "search", "sample_size", "reading"],
        description="What is varied.",
    )
    deletion_sizes: Annotated[list[Annotated[int, Field(ge=1)]], Distinct] = Field(
        [1, 2, 3, 5, 10], description="Items deleted at a time when step 1 is simulated; explanations keep their size."
    )
    deletion_share: float = Field(0.4, gt=0, lt=1, description="The same as a share of each user's history.")
    deletions_per_user: int = Field(100, ge=1, description="Deletions of each such size for each training user.")
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], Distinct] = Field(
        [1000, 10_000, 100_000], description="Candidate subsets of a sampled search."
    )
    beam_width: int = Field(10, ge=2, description="Subsets kept by a beam search.")
    sample_users: Annotated[list[Annotated[int, Field(ge=2)]], Distinct] = Field(
        [25, 50, 100], description="Training users of smaller samples, each with all deletions."
    )
    sample_deletions: Annotated[list[Annotated[int, Field(ge=1)]], Distinct] = Field(
        [25, 100, 400], description="Deletions per user of smaller samples, each of all training users."
    )
    set_networks: SetNetworkConfig = Field(SetNetworkConfig(), description="Set representations.")


class ExplanationConfig(Strict):
    """Step 3 and its evaluation."""

    test_users: int = Field(
        200, ge=1, description="Users explained and evaluated; none of them trained the surrogates."
    )
    explanation_size: int = Field(3, ge=1, description="e: items in an explanation, and in each simulated deletion.")
    max_candidates: int = Field(
        100_000, ge=1, description="Candidate subsets scored by a surrogate that is not additive."
    )
    top_k: Annotated[list[Annotated[int, Field(ge=1)]], Distinct] = Field(
        [1, 3, 5],
        min_length=1,
        description="K: lengths of the recommendation list that eq. (2) is checked for.",
    )
    budget: int = Field(
        64, ge=1, description="Models retrained at most to prove one explanation, for each K (`verified`)."
    )
    examples: int = Field(10, ge=0, description="Test users whose explanations are spelled out with titles.")
    influence: InfluenceConfig = Field(InfluenceConfig(), description="Influence functions.")
    oracle: OracleConfig = Field(OracleConfig(), description="The oracle control.")


ModelConfig = Annotated[
    MatrixFactorizationConfig | NeuralCollaborativeFilteringConfig | TruncatedSVDConfig | BlackBoxConfig,
    Field(discriminator="kind"),
]


class CellConfig(Strict):
    """One column of the paper's tables."""

    dataset: str = Field(description="A name from datasets.yaml.")
    model: str = Field(description="A name from `models`.")
    training_users: int | None = Field(
        None, ge=2, description="Users whose deletions train this cell's surrogates, where not as in `counterfactual`."
    )
    analysed: bool = Field(False, description="Whether ablations and analyses (notebooks 65 to 80) run on it too.")


class StudyConfig(Strict):
    """One study: everything that decides its numbers."""

    seed: int = Field(0, ge=0, description="Root of every random number.")
    train_share: float = Field(0.7, gt=0, lt=1, description="Share of the ratings that recommenders are trained on.")
    models: dict[FolderName, ModelConfig] = Field(
        min_length=1, description="Named recommenders; a new setting is a new name."
    )
    cells: list[CellConfig] = Field(min_length=1, description="Which (dataset, model) pairs to run.")
    counterfactual: CounterfactualConfig = Field(CounterfactualConfig(), description="Step 1: simulated deletions.")
    surrogates: SurrogateConfig = Field(SurrogateConfig(), description="Step 2: surrogates.")
    explanation: ExplanationConfig = Field(
        ExplanationConfig(), description="Step 3: explanations and their evaluation."
    )
    naive: NaiveConfig = Field(NaiveConfig(), description="Algorithm 2, on the cells that are analysed.")
    verification: VerificationConfig = Field(
        VerificationConfig(), description="What proofs cost, on the cells that are analysed."
    )
    ablations: AblationsConfig = Field(AblationsConfig(), description="Ablations.")
    correlation: CorrelationConfig = Field(CorrelationConfig(), description="Figure 7, of analysed cells.")
    projection: ProjectionConfig = Field(ProjectionConfig(), description="Figure 8, of analysed cells.")
    survey: SurveyConfig = Field(SurveyConfig(), description="A survey of a cell's explanations (`make survey`).")
    answers: str = Field(
        "",
        description="Folder, below the run's, of people's answers and the survey.json that they answered; none by "
        "default, so that Table 1 and Figure 2 are as published alone.",
    )
    datasets: dict[FolderName, DatasetConfig] = Field(
        {},
        description="Datasets beside those of datasets.yaml, in its form, or the path of a file of such rows, from the "
        "folder of the study's file; one of the same name replaces its row.",
    )
    published: PublishedConfig | None = Field(
        None, description="The paper's numbers that stand beside ours; those of published.yaml by default."
    )
    claims: ClaimsConfig | None = Field(
        None, description="The paper's claims that are judged; those of claims.yaml by default."
    )

    @model_validator(mode="after")
    def _cells_name_models(self) -> Self:
        for cell in self.cells:
            if cell.model not in self.models:
                raise ValueError(f"cells: unknown model {cell.model!r}; models has {sorted(self.models)}")
            self._users_can_be_split(cell)
            if cell.analysed:
                self._samples_were_recorded(cell)
        names = [(cell.dataset, cell.model) for cell in self.cells]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"cells: dataset {name[0]!r} with model {name[1]!r} stands there twice; remove one")
        return self

    def _users_can_be_split(self, cell: CellConfig) -> None:
        folds = self.surrogates.folds
        counts = {"counterfactual.training_users": self._counts(cell).training_users}
        if cell.analysed:
            counts["projection.users"] = self.projection.users
        for field, users in counts.items():
            if users < folds:
                raise ValueError(
                    f"{field}: {users} users of {cell.dataset}, {cell.model} cannot be cross-validated in "
                    f"surrogates.folds = {folds}; write at least {folds}"
                )

    def _samples_were_recorded(self, cell: CellConfig) -> None:
        counts = self._counts(cell)
        for family, field, recorded in (
            ("sample_size", "sample_users", counts.training_users),
            ("sample_size", "sample_deletions", counts.deletions_per_user),
            ("deletion_size", "deletions_per_user", counts.deletions_per_user),
        ):
            asked = getattr(self.ablations, field)
            asked = max(asked, default=0) if isinstance(asked, list) else asked
            if family in self.ablations.families and asked > recorded:
                raise ValueError(
                    f"ablations.{field}: {asked} are asked for, but step 1 of {cell.dataset}, {cell.model} records "
                    f"{recorded}; write at most {recorded}"
                )
        self._samples_can_be_learnt_from()

    def _samples_can_be_learnt_from(self) -> None:
        ablations, folds = self.ablations, self.surrogates.folds
        if "sample_size" in ablations.families:
            if min(ablations.sample_users, default=folds) < folds:
                raise ValueError(
                    f"ablations.sample_users: {min(ablations.sample_users)} users cannot be cross-validated in "
                    f"surrogates.folds = {folds}; write at least {folds}"
                )
            if not (ablations.sample_users or ablations.sample_deletions):
                raise ValueError(
                    "ablations: families has sample_size, but sample_users and sample_deletions are both empty; give "
                    "one, or leave sample_size out"
                )

    def _counts(self, cell: CellConfig) -> CounterfactualConfig:
        own = {} if cell.training_users is None else {"training_users": cell.training_users}
        return self.counterfactual.model_copy(update=own)

    def of(self, dataset: str, model: str, block: int | None = None, family: str | None = None) -> Self:
        """The study of one cell: its model, its dataset with those it is cut from, and its own counts.

        Args:
            dataset, model: the cell's.
            block: leave out training users beyond the end of this block, as they do not change it.
            family: leave out all other families of ablations.

        Raises:
            ConfigError: the study has no such cell.
        """
        for cell in self.cells:
            if (cell.dataset, cell.model) == (dataset, model):
                break
        else:
            there = ", ".join(f"{cell.dataset} with {cell.model}" for cell in self.cells)
            raise ConfigError(f"the study has no cell with dataset {dataset!r} and model {model!r}; it has {there}")
        counts = self._counts(cell)
        if block is not None:
            last = (block + 1) * counts.users_per_block
            counts = counts.model_copy(update={"training_users": min(counts.training_users, last)})
        ablations = self.ablations if family is None else self.ablations.model_copy(update={"families": [family]})
        return self.model_copy(
            update={
                "ablations": ablations,
                "models": {model: self.models[model]},
                "cells": [cell],
                "counterfactual": counts,
                "datasets": {name: self.datasets[name] for name in ancestors(dataset, self.datasets)},
            }
        )

    def part(self, *fields: str) -> dict[str, Any]:
        """Some fields, all by default, as JSON: what a notebook is given, and what makes it run again. A dotted name is
        a field of a field. ``given`` takes it back.
        """
        if not fields:
            return self.model_dump(mode="json")
        include: dict[str, Any] = {}
        for field in fields:
            whole, _, inner = field.partition(".")
            if not inner:
                include[whole] = True
            elif include.get(whole) is not True:
                include.setdefault(whole, set()).add(inner)
        return self.model_dump(mode="json", include=include)

    @classmethod
    def given(cls, part: dict[str, Any]) -> Self:
        """The study that ``part`` returned. A field that it was not given is no attribute: nobody can take a default
        for what the study says.
        """
        types = {name: TypeAdapter(cls.model_fields[name].annotation) for name in part}
        study = cls.model_construct(**{name: types[name].validate_python(value) for name, value in part.items()})
        _without_defaults(study, part)
        return study

    @property
    def protocols(self) -> set[str]:
        """Of its recommenders."""
        return {getattr(self.models[cell.model], "protocol", "pinned") for cell in self.cells}

    @property
    def titles(self) -> dict[str, str]:
        """What people call its datasets."""
        own = {name: row.title or name for name, row in self.datasets.items()}
        splits = {name: row.same for name, row in self.datasets.items() if row.same}
        return own | {name: f"{own[dataset]}, split {split}" for name, (dataset, split) in splits.items()}

    def title(self, dataset: str, model: str) -> str:
        """What people call a cell."""
        kind = self.models[model].kind
        return self.kind_title(dataset, kind) + f" ({model})" * (model != kind)

    def kind_title(self, dataset: str, kind: str) -> str:
        """What people call a dataset with a kind of recommender."""
        return f"{self.titles[dataset]} × {RECOMMENDERS[kind].title}"

    def world(self, dataset: str, model: str) -> str:
        """The model of the same settings, among those that ``dataset`` or another split of it has cells of, that has no
        seed, protocol and reading of its own, or else the first of them: its name.
        """

        def base(name: str) -> str:
            return self.datasets[name].same[0] if self.datasets[name].same else name

        def parts(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
            settings = self.models[name]
            own = {"seed", "remove_seen", "protocol", "warm_epochs"}
            return settings.model_dump(exclude=own), settings.model_dump(include=own, exclude_defaults=True)

        near = {cell.model for cell in self.cells if base(cell.dataset) == base(dataset)}
        alike = [name for name in self.models if name in near and parts(name)[0] == parts(model)[0]]
        return min(alike, key=lambda name: bool(parts(name)[1]))

    def place(self, dataset: str, model: str) -> dict[str, Any]:
        """What sets a cell apart from the others, by column of ``schemas.WORLDS``."""
        original, split = self.datasets[dataset].same or (dataset, 0)
        settings = self.models[model]
        return {
            "dataset": original,
            "recommender": settings.kind,
            "world": self.world(dataset, model),
            "protocol": getattr(settings, "protocol", "pinned"),
            "reading": "unseen" if settings.remove_seen else "seen",
            "split_seed": split,
            "model_seed": settings.seed,
        }

    def repetitions(self) -> dict[tuple[str, str, str], dict[tuple[int, int], tuple[str, str]]]:
        """Dataset and model of the cells of each world that is run on several splits or from several seeds, pinned and
        on the reading "unseen": by dataset, recommender and name of the world, then by split and seed.

        Raises:
            ValueError: a world is not repeated with every seed on every split.
        """
        worlds: dict[tuple[str, str, str], dict[tuple[int, int], tuple[str, str]]] = {}
        for cell in self.cells:
            where = self.place(cell.dataset, cell.model)
            if (where["protocol"], where["reading"]) == ("pinned", "unseen"):
                world = where["dataset"], where["recommender"], where["world"]
                worlds.setdefault(world, {})[where["split_seed"], where["model_seed"]] = cell.dataset, cell.model
        repeated = {name: runs for name, runs in worlds.items() if len(runs) > 1}
        for (dataset, _, world), runs in repeated.items():
            splits, seeds = (sorted(set(each)) for each in zip(*runs, strict=True))
            if len(runs) < len(splits) * len(seeds):
                raise ValueError(
                    f"cells: {world} on {dataset} is repeated in part; give it a cell for each of the seeds {seeds} on "
                    f"each of the splits {splits}"
                )
        return repeated

    @property
    def meets_the_paper(self) -> bool:
        """Whether the paper's numbers and claims are about its data, a part of them or what stands in for them; or it
        has a planted world, which shows what such a report looks like.
        """
        planted = any(isinstance(row.sources[0], PlantedSource) for row in self.datasets.values())
        return planted or not self.published.table2.keys().isdisjoint(self.datasets)

    def expected(self, dataset: str) -> CountsConfig | None:
        """The size that a dataset must have; None where the registry does not say it."""
        row = self.datasets[dataset]
        return self.datasets[row.same[0]].expected if row.same else row.expected

    def original(self, dataset: str) -> str:
        """The dataset whose numbers in the paper stand beside those of ``dataset``: another one where it stands in for
        that, or is another split of it.
        """
        row = self.datasets[dataset]
        return self.original(row.same[0]) if row.same else row.stands_for or dataset


def _without_defaults(model: BaseModel, given: dict[str, Any]) -> None:
    for name in type(model).model_fields:
        if name not in given:
            model.__dict__.pop(name, None)
        elif isinstance(value := getattr(model, name), BaseModel):
            _without_defaults(value, given[name])


def load_study(path: Path, datasets: Path = CONFIG_FOLDER / "datasets.yaml") -> StudyConfig:
    """The study that ``path`` describes, over the registry ``datasets``. What lies beside it is found from then on.

    Raises:
        ConfigError: the file is missing or no YAML; or as ``check_study``.
    """
    parsed = parsed_yaml(path)
    enter(path)
    return check_study(parsed, path, datasets)


def standalone(path: Path) -> str:
    """The text of a study's file, with the rows of the file that its ``datasets`` may name in it.

    Raises:
        ConfigError: one of the files is missing or no YAML.
    """
    parsed = parsed_yaml(path)
    if not isinstance(parsed.get("datasets"), str):
        return Path(path).read_text(encoding="utf-8")
    rows = parsed_yaml(beside_study(parsed["datasets"]))
    return yaml.safe_dump(parsed | {"datasets": rows}, sort_keys=False, allow_unicode=True)


def check_study(parsed: object, source: Path | str, datasets: Path = CONFIG_FOLDER / "datasets.yaml") -> StudyConfig:
    """The study that ``parsed``, the content of ``source``, describes, over the registry ``datasets``: with the rows of
    its datasets and the paper's numbers and claims, so that it says all there is to know.

    Raises:
        ConfigError: a field is wrong, or a cell names an unknown dataset or model.
    """
    registry = load_datasets(datasets)
    if isinstance(parsed, dict) and isinstance(parsed.get("datasets"), str):
        try:
            parsed = parsed | {"datasets": load_datasets(beside_study(parsed["datasets"]), registry)}
        except ConfigError as error:
            raise ConfigError(f"{source}, datasets: {error}") from None
    try:
        study = StudyConfig.model_validate(parsed)
    except ValidationError as error:
        problems = problems_of(error, StudyConfig)
        if [one["loc"] for one in error.errors()] == [()] and isinstance(parsed, dict):
            problems = _unknown_names(parsed, registry | parsed.get("datasets", {})) or problems
        raise ConfigError(report(source, problems)) from None
    registry |= study.datasets
    unknown = {f"datasets.{field}": said for field, said in unknown_others(study.datasets, registry).items()}
    if problems := unknown or _unknown_names(parsed, registry):
        raise ConfigError(report(source, problems))
    used = dict.fromkeys(name for cell in study.cells for name in ancestors(cell.dataset, registry))
    whole = study.model_copy(
        update={
            "datasets": {name: registry[name] for name in used},
            "published": study.published or load_published(),
            "claims": study.claims or load_claims(),
        }
    )
    try:
        whole.repetitions()
        _one_cell_at_each_place(whole)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from None
    return whole


def _one_cell_at_each_place(study: StudyConfig) -> None:
    """Raises:
    ValueError: no column of table ``worlds`` would tell two cells from each other.
    """
    found: dict[tuple, CellConfig] = {}
    for cell in study.cells:
        other = found.setdefault(tuple(study.place(cell.dataset, cell.model).values()), cell)
        if other is not cell:
            raise ValueError(
                f"cells: {other.model} on {other.dataset} and {cell.model} on {cell.dataset} are the same world, "
                "retrained and read in the same way, of the same split and seed (warm_epochs and names do not count); "
                "remove one, or give it a study of its own"
            )


def _unknown_names(parsed: dict, registry: dict[str, DatasetConfig]) -> dict[str, list[str]]:
    """Problems with what the cells of a study (whose fields are all right) name."""
    problems = {}
    for number, cell in enumerate(parsed["cells"]):
        for key, known in (("dataset", registry), ("model", parsed["models"])):
            if cell[key] not in known:
                problems[f"cells.{number}.{key}"] = unknown_name(key, cell[key], known)
                if key == "dataset":
                    problems[f"cells.{number}.{key}"][-1] += f", or give datasets.yaml a row {cell[key]}"
    return problems


def digest(model: BaseModel) -> str:
    """sha256 of a configuration's content, in hexadecimal."""
    return hashlib.sha256(json.dumps(model.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
