"""The one place that writes: whole files or none, tables checked on write and on read, same content same bytes."""

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import math
import os
import platform
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


class StoreError(ValueError):
    """A file does not hold what it should; the message names file, column, row, value and fix."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` at the end; after an exception neither file is there.

    Folders are created. Whoever reads ``path`` sees a whole file, whatever is killed and however many write it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: matplotlib and others choose the format by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        type: its Arrow type; integers and floats of other widths are converted where nothing is lost but precision.
        meaning: a phrase for the documentation, with the unit.
        low, high: smallest and largest value allowed (of the elements, in a list). Floats are finite in any case.
        among: the strings allowed; empty for any.
        nullable: whether a value may be missing.
    """

    type: pa.DataType
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    among: tuple[str, ...] = ()
    nullable: bool = False


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in order.

    Attributes:
        meaning: a phrase for the documentation: what one row is.
        columns: name to column.
        same_length: names of list columns whose lists have one length in the whole table.
    """

    meaning: str
    columns: Mapping[str, Column]
    same_length: tuple[str, ...] = ()

    def table(self, frame: Mapping[str, Any], complain: Callable[[str], StoreError]) -> pa.Table:
        """The checked Arrow table of ``frame``: columns of values by name; a list column may be a 2-D array.

        Raises:
            StoreError: what ``complain`` makes of the first fault.
        """
        if list(frame) != list(self.columns):
            raise complain(f"has columns {', '.join(map(str, frame))}; it must have {', '.join(self.columns)}")
        arrays = {name: _array(name, frame[name], column, complain) for name, column in self.columns.items()}
        lengths = {name: pc.unique(pc.list_value_length(arrays[name])) for name in self.same_length}
        if lengths and len(pa.concat_arrays([*lengths.values()]).unique()) > 1:
            raise complain(f"lists of {', '.join(self.same_length)} differ in length, within or between columns")
        try:
            return pa.table(arrays)
        except pa.ArrowInvalid as error:
            raise complain(f"has columns of different lengths: {error}") from None


def _array(name: str, values: Any, column: Column, complain: Callable[[str], StoreError]) -> pa.Array:
    def convert(some: Any) -> pa.Array:
        if isinstance(some, pa.Array):
            return some.cast(column.type)
        if pa.types.is_list(column.type):  # given the type at once, Arrow would truncate 1.5 to 1 inside lists
            return pa.array(some, from_pandas=True).cast(column.type)
        return pa.array(some, type=column.type, from_pandas=True)

    def fault(row: int, value: Any, why: str) -> StoreError:
        return complain(f"column {name!r}, row {row}: {value!r} {why}")

    if getattr(values, "ndim", 1) == 2:
        values = list(values)
    try:
        array = convert(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for row in range(len(values)):
            one = values.iloc[row : row + 1] if isinstance(values, pd.Series) else values[row : row + 1]
            try:
                convert(one)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                value = next(iter(one))
                raise fault(row, getattr(value, "as_py", lambda v=value: v)(), f"is not {column.type}") from None
        raise
    if array.null_count and not column.nullable:
        raise fault(pc.index(array.is_null(), True).as_py(), None, "is missing")
    elements, rows = array, None
    if pa.types.is_list(column.type):
        elements, rows = array.flatten(), pc.list_parent_indices(array)
    wrong = None
    if rows is not None and elements.null_count:
        wrong, why = elements.is_null(), "is missing"
    elif column.among:
        wrong, why = pc.invert(pc.is_in(elements, pa.array(column.among))), f"is not among {', '.join(column.among)}"
    elif pa.types.is_integer(elements.type) or pa.types.is_floating(elements.type):
        inside = pc.is_finite(elements)
        for within, bound in ((pc.greater_equal, column.low), (pc.less_equal, column.high)):
            if math.isfinite(bound):
                inside = pc.and_(inside, within(elements, pa.scalar(bound, elements.type)))
        wrong, why = pc.invert(inside), f"is not a finite number from {column.low:g} to {column.high:g}"
    first = pc.index(wrong, True).as_py() if wrong is not None else -1
    if first >= 0:
        raise fault(rows[first].as_py() if rows is not None else first, elements[first].as_py(), why)
    return array


def _unwritten(path: str | Path) -> Callable[[str], StoreError]:
    return lambda what: StoreError(
        f"{path}: {what}. Nothing was written; the fault is in the code that made the table."
    )


def _unreadable(path: str | Path) -> Callable[[str], StoreError]:
    return lambda what: StoreError(f"{path}: {what}. Delete the file and rerun.")


def write_parquet(path: str | Path, frame: pd.DataFrame | Mapping[str, Any], schema: Schema) -> None:
    """Write a table; lists may be any sequences, or rows of a 2-D array where ``frame`` is a dict.

    Raises:
        StoreError: the table is not as the schema says; nothing is written.
    """
    table = schema.table(frame, _unwritten(path))
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=3, write_page_checksum=True)


def read_parquet(path: str | Path, schema: Schema) -> pd.DataFrame:
    """Read a table; a list is a NumPy array, so ``np.stack(frame[name])`` is the matrix of equally long ones.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged, or not as the schema says.
    """
    complain = _unreadable(path)
    try:
        # One open file, not a data set: folders named like x=1 above it would become columns.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow's own, OSError, UnicodeDecodeError, ...
        raise complain(f"is damaged ({error})") from None
    for field in table.schema:
        if field.name in schema.columns and field.type != schema.columns[field.name].type:
            raise complain(f"column {field.name!r} is {field.type}; it must be {schema.columns[field.name].type}")
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return schema.table(columns, complain).to_pandas()


def write_csv(path: str | Path, frame: pd.DataFrame | Mapping[str, Any], schema: Schema) -> None:
    """Write a table without lists; a missing value is empty.

    Raises:
        StoreError: the table is not as the schema says; nothing is written.
    """
    table = schema.table(frame, _unwritten(path))
    with atomic(path) as temporary:
        table.to_pandas(integer_object_nulls=True).to_csv(temporary, index=False, lineterminator="\n")


def read_csv(path: str | Path, schema: Schema) -> pd.DataFrame:
    """Read a table that ``write_csv`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged, or not as the schema says; rows count from 0, the header apart.
    """
    complain = _unreadable(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        for row, fields in enumerate(rows):
            if len(fields) != len(header):
                raise ValueError(f"row {row} has {len(fields)} fields, not {len(header)}")
    except FileNotFoundError:
        raise
    except (ValueError, OSError, csv.Error) as error:
        raise complain(f"is damaged ({error})") from None
    columns = {}
    for index, name in enumerate(header):
        texts = pa.array([fields[index] for fields in rows], type=pa.string())
        column = schema.columns.get(name)
        if column is not None and (column.nullable or column.type != pa.string()):
            texts = pc.if_else(pc.equal(texts, ""), None, texts)
        columns[name] = texts
    return schema.table(columns, complain).to_pandas()


def write_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    """Write named arrays of numbers as one .npz.

    Raises:
        StoreError: an array holds Python objects.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise _unwritten(path)(f"array {name!r} holds Python objects")
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds
        raise _unreadable(path)(f"is damaged ({error})") from None


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities are refused (ValueError)."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


PACKAGES = (
    *("numpy", "scipy", "numba", "pandas", "pyarrow", "scikit-learn", "statsmodels", "torch", "matplotlib", "seaborn"),
    *("skorch", "snakemake", "papermill"),
)


def provenance(path: str | Path, config_digest: str, seed: int) -> Path:
    """Write ``<path>.provenance.json``: what made the file at ``path``. No time is in it, so it repeats to the byte.

    Args:
        path: a table or figure that exists.
        config_digest: ``hadyounot.config.digest`` of the study.
        seed: its root seed.

    Returns:
        the path of what was written: sha256, config_sha256, seed, python, packages (name to version) and
        commit (with "-dirty" where files differ from it; null outside a git checkout).
    """
    path = Path(path)
    sidecar = path.with_name(f"{path.name}.provenance.json")
    write_json(
        sidecar,
        {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "config_sha256": config_digest,
            "seed": seed,
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "commit": _commit(),
        },
    )
    return sidecar


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


METHODS = (
    *("random", "reseed", "knn", "knn_cosine", "influence", "influence_block"),
    *("linear_reg", "mlp_reg", "linear_clf", "mlp_clf", "linear_reg_aware", "oracle"),
)

SURROGATES = ("linear_reg", "mlp_reg", "linear_clf", "mlp_clf", "linear_reg_aware")

# of an item set: how strong it should be as an explanation
MEASURES = ("embedding_distance", "cosine_distance", "influence", "influence_block", *SURROGATES)

_INDEX, _COUNT, _TEXT = pa.int32(), pa.int64(), pa.string()
_STARS, _NUMBER = pa.float32(), pa.float64()

_USER = Column(_INDEX, "index of the user", low=0)
_TARGET = Column(_INDEX, "index of the recommended item that is explained", low=0)
_METHOD = Column(_TEXT, "what made the explanation", among=METHODS)
_DELETED = Column(pa.list_(_INDEX), "indices of the items of the history that are deleted, D_u", low=0)
_DATASET = Column(_TEXT, "name of the dataset in config/datasets.yaml")
_MODEL = Column(_TEXT, "name of the recommender in the study's config")
_TOP_K = Column(_COUNT, "K: length of the recommendation list that the target should leave", low=1)


def _count(meaning: str, **options: Any) -> Column:
    return Column(_COUNT, meaning, low=0, **options)


def _share(meaning: str, **options: Any) -> Column:
    return Column(_NUMBER, meaning, low=0, high=1, **options)


def _signed(meaning: str) -> Column:
    return Column(_NUMBER, meaning, low=-1, high=1, nullable=True)


RATINGS = Schema(
    "One rating; the rows are in the order of the source.",
    {
        "user": _USER,
        "item": Column(_INDEX, "index of the item", low=0),
        "value": Column(_STARS, "the rating, in stars"),
        "train": Column(pa.bool_(), "whether recommenders are trained on it; the rest tests them"),
    },
)

USERS = Schema("One user; the row number is the index.", {"id": Column(_TEXT, "the user's id in the source")})

ITEMS = Schema(
    "One item; the row number is the index.",
    {
        "id": Column(_TEXT, "the item's id in the source"),
        "title": Column(_TEXT, "what to call it; the id where nothing is known"),
    },
)

_TARGETS = {
    "target": Column(pa.list_(_INDEX), "indices of the user's top N items before, best first", low=0),
    "rank_before": Column(
        pa.list_(_INDEX), "rank of each target under the model trained on everything; 1 is best", low=1
    ),
    "rank_after": Column(pa.list_(_INDEX), "rank under the counterfactual model; deleted items stay out", low=1),
    "rank_after_readmitted": Column(pa.list_(_INDEX), "the same, if deleted items were candidates again", low=1),
    "score_before": Column(pa.list_(_STARS), "score of each target before, in stars"),
    "score_after": Column(pa.list_(_STARS), "score after, in stars"),
    "benchmark_score_after": Column(
        pa.list_(_STARS), "score after of the item now at the target's old rank, in stars: j in eq. (3)"
    ),
}

OUTCOMES = Schema(
    "One model retrained without a deletion, recorded raw (Algorithm 1).",
    {
        "user": _USER,
        "deleted": _DELETED,
        "top1_score_before": Column(_STARS, "highest score of a candidate before, in stars"),
        "top1_score_after": Column(_STARS, "highest score of a candidate after, in stars"),
        **_TARGETS,
    },
    same_length=tuple(_TARGETS),
)

CURVE = Schema(
    "One epoch of training.",
    {
        "epoch": Column(_INDEX, "passes over the training ratings so far", low=0),
        "train_rmse": Column(_NUMBER, "root mean squared error on the training ratings, in stars", low=0),
        "test_rmse": Column(_NUMBER, "the same on the test ratings", low=0),
        "objective": Column(_NUMBER, "what training minimises, a rating: squared error and L2, in stars²"),
    },
)

_ITEMS = Column(pa.list_(_INDEX), "indices of the items of the explanation, E; none where nothing is deleted", low=0)

EXPLANATIONS = Schema(
    "One explanation of a user's top recommendation by one method.",
    {"user": _USER, "target": _TARGET, "method": _METHOD, "items": _ITEMS},
)

GENERATION_TIME = Schema(
    "The time one explanation took; it differs from run to run.",
    {"user": _USER, "method": _METHOD, "seconds": Column(_NUMBER, "wall time, in seconds", low=0)},
)

EVALUATION = Schema(
    "One explanation tested: its items deleted, the model retrained, the target's rank read, eq. (2).",
    {
        "user": _USER,
        "target": _TARGET,
        "method": _METHOD,
        "items": _ITEMS,
        **{
            name: Column(_INDEX, _TARGETS[name].meaning.replace("each target", "the target"), low=1)
            for name in ("rank_before", "rank_after", "rank_after_readmitted")
        },
        "score_before": Column(_STARS, "score of the target before, in stars"),
        "score_after": Column(_STARS, "score after, in stars"),
    },
)

ABLATION = Schema(
    "One explanation by a variant of linear_reg, tested as above.",
    {name: column for name, column in EVALUATION.columns.items() if name != "method"},
)

_SIZE = Column(_COUNT, "items deleted at once", low=1)

NAIVE = Schema(
    "Algorithm 2 on one user: what all deletions of one size do to the user's top recommendation, at one K.",
    {
        "user": _USER,
        "target": _TARGET,
        "history": _count("training items of the user"),
        "size": _SIZE,
        "top_k": _TOP_K,
        "n_subsets": _count("deletions of this size: all of them, each really retrained"),
        "n_removing": _count("those after which the target left the top K"),
    },
)

TABLE1 = Schema(
    "One method in the paper's user study (Table 1): published, not reproducible from code. Only what the printed "
    "numbers imply is ours. Whether a standard deviation is over participants or over single answers is not said, so "
    "both are tried, for those who were kept and for all who were collected.",
    {
        "method": _METHOD,
        "mean": Column(_NUMBER, "average rating, published", low=1, high=5),
        "sd": Column(_NUMBER, "its standard deviation, published", low=0),
        "p_value": _share("published: one-sided paired t-test of linear_reg against this method", nullable=True),
        **{
            f"correlation_{name}": Column(
                _NUMBER,
                f"correlation between its ratings and linear_reg's that the published numbers imply if the test and "
                f"the standard deviations are over {units}; they contradict each other unless it is from -1 to 1",
                nullable=True,
            )
            for name, units in {
                "kept": "the participants kept",
                "collected": "the participants collected",
                "kept_answers": "the single answers of those kept",
                "collected_answers": "the single answers of all collected",
            }.items()
        },
        "mean_of_kept": Column(
            pa.bool_(), "whether the mean can be that of whole ratings, every question answered by all who were kept"
        ),
        "mean_of_collected": Column(pa.bool_(), "the same, by all who were collected"),
    },
)

TABLE2 = Schema(
    "One dataset (the paper's Table 2). Beside a stand-in are the paper's numbers of what it stands in for.",
    {
        "dataset": _DATASET,
        "users": _count("users"),
        "items": _count("items"),
        "interactions": _count("ratings"),
        "train": _count("ratings that recommenders are trained on"),
        "test": _count("ratings that test them"),
        "paper_users": _count(
            "users in the paper; empty where it has none",
            nullable=True,
        ),
        "paper_items": _count("items in the paper", nullable=True),
        "paper_interactions": _count("ratings in the paper", nullable=True),
    },
)

_SHARE_OF_USERS = {
    "top_k": _TOP_K,
    "n_users": _count("users explained"),
    "n_valid": _count("users whose target left the top K after really retraining"),
    "validity": _share("n_valid / n_users"),
    "ci_low": _share("lower end of the Wilson interval of the validity, 95 %"),
    "ci_high": _share("upper end"),
}

TABLE_VALIDITY = Schema(
    "Validity of one method at one K (the paper's Tables 3 and 4). Beside a stand-in are the paper's numbers of what "
    "it stands in for.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "method": _METHOD,
        **_SHARE_OF_USERS,
        "paper": _share(
            "validity in the paper; empty where it has none",
            nullable=True,
        ),
    },
)

RECOMMENDERS = Schema(
    "One recommender on one dataset: how good what is explained is.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "factors": _count("length of an embedding; empty where the recommender has none", nullable=True),
        "epochs": _count("passes over the training ratings; empty where the recommender has none", nullable=True),
        "train_rmse": Column(_NUMBER, "root mean squared error on the training ratings, in stars", low=0),
        "test_rmse": Column(_NUMBER, "the same on the test ratings", low=0),
        "ndcg_10": _share("normalised discounted cumulative gain of the top 10"),
        "same_top1_share": _share("share of users whose top recommendation is the most common one"),
        "distinct_top1": _count("different top recommendations"),
        "n_candidates": _count("items with a training rating: what is ranked, less each user's history"),
    },
)

SIGNAL = Schema(
    "How far a deletion moves the scores of its user, and of others.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "own_change": Column(_NUMBER, "mean |change of a score| of the deleting users, in the scores' units", low=0),
        "others_change": Column(_NUMBER, "the same of users who deleted nothing", low=0),
        "ratio": Column(
            _NUMBER,
            "own_change / others_change; below 5 effects drown in noise, empty if others do not move",
            low=0,
            nullable=True,
        ),
    },
)

ABLATIONS = Schema(
    "Validity of one variant of linear_reg at one K, beside linear_reg on the same users.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "family": Column(_TEXT, "what is varied"),
        "variant": Column(_TEXT, "how; linear_reg itself comes first"),
        **_SHARE_OF_USERS,
        "change_from_base": _signed("validity minus that of linear_reg; empty for itself"),
        "change_ci_low": _signed("lower end of its interval for paired shares, 95 %"),
        "change_ci_high": _signed("upper end"),
        "paper_change": _signed("change in the paper; empty where it has none"),
        "control": Column(
            _TEXT,
            "what differs in that one choice alone: linear_reg; the same surrogate on eq. (8), with the search of "
            "notebook 50; the size that explanations have, learnt from as many deletions per user; or the network that "
            "takes the mean; empty for itself, or where that size is not among the variants",
            nullable=True,
        ),
        "change_from_control": _signed("validity minus the control's"),
        "control_ci_low": _signed("lower end of its interval for paired shares, 95 %"),
        "control_ci_high": _signed("upper end"),
        "r2": Column(
            _NUMBER,
            "R² of predicted Δŷ_reg on the test users of Figure 7, whom no variant has seen; empty where another "
            "effect was learnt, or deletions of another size",
            high=1,
            nullable=True,
        ),
        "spearman": _signed("mean rank correlation with Δŷ_reg within such a user and target"),
    },
)

MCNEMAR = Schema(
    "Two methods compared on the same users: exact McNemar test.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "top_k": _TOP_K,
        "method_a": _METHOD,
        "method_b": _METHOD,
        "n_users": _count("users explained by both"),
        "only_a": _count("users for whom only a's explanation is valid"),
        "only_b": _count("users for whom only b's is"),
        "p_value": _share("two-sided"),
        "p_holm": _share(
            "the same, corrected by Holm for all pairs of the dataset, model and K; those of linear_reg_aware apart"
        ),
    },
)

TABLE_NAIVE = Schema(
    "What deletions up to one size can do at all, by Algorithm 2 on users with short histories: no method that names "
    "so many items can be valid for more of them.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "top_k": _TOP_K,
        "size": _SIZE,
        "n_users": _count("users tried; 0 where no history is so short"),
        "n_removable": _count("users for whom some deletion of exactly this size removes the target from the top K"),
        "n_removable_upto": _count("users for whom some deletion of at most this size does"),
        "share_upto": _share("n_removable_upto / n_users", nullable=True),
        "ci_low": _share("lower end of its Wilson interval, 95 %", nullable=True),
        "ci_high": _share("upper end", nullable=True),
        "mean_subset_share": _share(
            "share of a user's deletions of this size that remove the target, a mean over the users with so many items",
            nullable=True,
        ),
    },
)

RUNTIME = Schema(
    "What one stage cost, over all cells; it differs from run to run.",
    {
        "stage": Column(_TEXT, "the stage"),
        "minutes": Column(_NUMBER, "wall time, summed over its jobs, in minutes", low=0),
        "peak_mib": Column(
            _NUMBER, "largest resident memory of a job, in MiB; empty where it was not measured", low=0, nullable=True
        ),
        "retrainings": _count("models retrained; empty where there are none", nullable=True),
        "ns_per_rating_and_model": Column(
            _NUMBER,
            "wall time of the whole jobs per rating, epoch and model, in nanoseconds: at most this for retraining",
            low=0,
            nullable=True,
        ),
    },
)

MEASURED = Schema(
    "One item set of a test user: what measures say of it and what really deleting it did to the user's top item.",
    {
        "user": _USER,
        "score_decrease": Column(_NUMBER, "score of the top item before, less that after, in stars"),
        "embedding_distance": Column(
            _NUMBER, "mean Euclidean distance of the items from the top item; KNN takes the smallest", low=0
        ),
        "cosine_distance": Column(_NUMBER, "mean cosine distance, likewise"),
        **{
            name: Column(
                _NUMBER,
                f"sum of eq. (10) over the items{of}: predicted score decrease, in stars; empty for a black box",
                nullable=True,
            )
            for name, of in (("influence", ""), ("influence_block", ", over a block of parameters"))
        },
        **{
            name: Column(
                _NUMBER,
                "predicted Δŷ_reg, in stars" if "_reg" in name else 'predicted logit of "ranked lower"',
            )
            for name in SURROGATES
        },
    },
)

CORRELATION = Schema(
    "One measure against the really retrained score decrease of one user's top item, over item sets (Figure 7).",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "user": _USER,
        "measure": Column(_TEXT, "what is said of an item set before retraining", among=MEASURES),
        "n_sets": _count("item sets"),
        "pearson": _signed("Pearson correlation over the sets; empty where measure or decrease is constant"),
        "spearman": _signed("Spearman's, likewise"),
        "pearson_low": _signed("lower end of the 95 % interval of the Pearson correlation (Fisher's z)"),
        "pearson_high": _signed("upper end"),
    },
)

SURROGATE_QUALITY = Schema(
    "How well one surrogate, or influence function, predicts Δŷ_reg of users whom no surrogate has seen.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "predictor": Column(_TEXT, "what predicts", among=METHODS),
        "n_targets": _count("top items of each user: 1 is the one that is explained"),
        "n_users": _count("users with a target whose effect differs between deletions"),
        "n_rows": _count("deletions × targets, of all users"),
        "r2": Column(
            _NUMBER,
            "share of the variance of all rows explained; 0 or less is no better than their mean; empty for what"
            " predicts something else, which may order deletions all the same",
            high=1,
            nullable=True,
        ),
        "r2_within": Column(
            _NUMBER, "the same of the variance within a user and target, both centred there", high=1, nullable=True
        ),
        "spearman": _signed(
            "rank correlation of predicted and true effects of a user and target, a mean over targets, then users;"
            " 0 where predictions are constant"
        ),
        "spearman_low": Column(_NUMBER, "lower end of its 95 % t-interval, users as units", nullable=True),
        "spearman_high": Column(_NUMBER, "upper end", nullable=True),
        "lift": Column(
            _NUMBER,
            "true effect of the deletion predicted best, less the mean over the deletions of that user and target,"
            " in their standard deviations; a mean likewise; 0 is a random choice",
            nullable=True,
        ),
        "lift_low": Column(_NUMBER, "lower end of its 95 % t-interval, users as units", nullable=True),
        "lift_high": Column(_NUMBER, "upper end", nullable=True),
        "lift_best": Column(_NUMBER, "the lift of the truly best deletion: the ceiling", nullable=True),
    },
)

PROJECTION = Schema(
    "One training row of the surrogates in the plane (Figure 8).",
    {
        "user": _USER,
        "x": Column(_STARS, "first coordinate of t-SNE, which has no unit"),
        "y": Column(_STARS, "second coordinate"),
        "effect": Column(_STARS, "Δŷ_reg, in stars"),
    },
)

SEPARABILITY = Schema(
    "How well one probe tells effects apart by eq. (8), on held-out users: a number beside Figure 8.",
    {
        "dataset": _DATASET,
        "model": _MODEL,
        "probe": Column(_TEXT, "what is fitted", among=("linear", "non-linear")),
        "n_users": _count("training users"),
        "n_rows": _count("rows drawn from theirs: the points of the picture"),
        "folds": _count("folds of the cross-validation, grouped by user"),
        "r2": Column(_NUMBER, "held-out R² of Δŷ_reg, pooled over folds; 0 or less is no better than the mean", high=1),
        "r2_low": Column(_NUMBER, "lower end of its 95 % interval, users resampled", high=1),
        "r2_high": Column(_NUMBER, "upper end", high=1),
        "auc": _share('held-out area under the ROC curve of "Δŷ_reg is above its median", pooled; 0.5 is chance'),
        "auc_low": _share("lower end of its 95 % interval, users resampled"),
        "auc_high": _share("upper end"),
        "r2_fitted": Column(_NUMBER, "R² on the very rows that the probe is fitted to, all of them", high=1),
        "auc_fitted": _share("area under the ROC curve there"),
    },
)
