"""The one place that writes: whole files or none, tables checked on write and on read, same content same bytes."""

import contextlib
import csv
import errno
import glob
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
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
FORBIDDEN = errno.EACCES, errno.EPERM, errno.EROFS


class StoreError(ValueError):
    """A file does not hold what it should; the message names file, column, row, value and fix."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` at the end. After an exception it is gone.

    Folders are created. Whoever reads ``path`` sees a whole file, whatever is killed and however many write it; what a
    killed process left behind goes when ``path`` is next written on that machine.

    Raises:
        OSError: there is no room, or no leave, to write it; the message names ``path`` and says what to do.
    """
    path = Path(path)
    name = f".{path.stem}.{platform.node()}"
    # The suffix is kept: matplotlib and others choose the format by it.
    temporary = path.with_name(f"{name}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(name)}.*.*{glob.escape(path.suffix)}"):
            writer = left.name.removeprefix(f"{name}.").split(".")[0]
            if writer.isdigit() and not psutil.pid_exists(int(writer)):
                left.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        told = unwritable(path, error)
        if told is None:
            raise
        raise told from error


def unwritable(path: Path, error: BaseException) -> OSError | None:
    """What names ``path`` and the fix, where ``error`` says that there is no room, or no leave, to write it."""
    if getattr(error, "errno", None) not in (*FULL, *FORBIDDEN):
        return None
    fix = "make room for it" if error.errno in FULL else f"make {path.parent} writable"
    return OSError(error.errno, f"{path} cannot be written: {os.strerror(error.errno)}; {fix} and run again")


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
        others: what columns that are not named hold, after those that are; None where there may be none.
    """

    meaning: str
    columns: Mapping[str, Column]
    same_length: tuple[str, ...] = ()
    others: Column | None = None

    def column(self, name: str) -> Column | None:
        """What a column holds; None where there may be none of this name."""
        return self.columns.get(name, self.others)

    def table(self, frame: Mapping[str, Any], complain: Callable[[str], StoreError]) -> pa.Table:
        """The checked Arrow table of ``frame``: columns of values by name; a list column may be a 2-D array.

        Raises:
            StoreError: what ``complain`` makes of the first fault.
        """
        named = list(frame)[: len(self.columns)] if self.others else list(frame)
        if named != list(self.columns):
            raise complain(f"has columns {', '.join(map(str, frame))}; it must have {', '.join(self.columns)}")
        arrays = {name: _array(name, frame[name], self.column(name), complain) for name in frame}
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
    return lambda what: StoreError(f"{path}: {what}; nothing was written: the fault is in the code that made the table")


AGAIN = "delete it and run snakemake again"


def _unreadable(path: str | Path, fix: str = AGAIN) -> Callable[[str], StoreError]:
    return lambda what: StoreError(f"{path}: {what}; {fix}")


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.provenance.json")


def _vouch(path: Path, **told: Any) -> Path:
    """Write beside ``path`` what its bytes must be, and what else is told of it; where."""
    sidecar = _sidecar(path)
    write_json(sidecar, {"file": path.name, "sha256": sha256(path), **told})
    return sidecar


def sha256(path: str | Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _intact(path: str | Path) -> bytes:
    """The bytes at ``path``, which are those that its sidecar vouches for, if it has one: the checksums of a format
    leave out its headers, where one bit may hide all rows.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: they are others.
    """
    path = Path(path)
    content, sidecar = path.read_bytes(), _sidecar(path)
    if sidecar.exists():
        try:
            due = json.loads(sidecar.read_bytes())["sha256"]
        except (ValueError, LookupError, TypeError):
            due = None
        if due != hashlib.sha256(content).hexdigest():
            raise _unreadable(path)(f"is damaged (its sha256 is not the one in {sidecar.name})")
    return content


def write_parquet(path: str | Path, frame: pd.DataFrame | Mapping[str, Any], schema: Schema) -> None:
    """Write a table; lists may be any sequences, or rows of a 2-D array where ``frame`` is a dict.

    Raises:
        StoreError: the table is not as the schema says; nothing is written.
    """
    table = schema.table(frame, _unwritten(path))
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=3, write_page_checksum=True)


def read_parquet(path: str | Path, schema: Schema, fix: str = AGAIN) -> pd.DataFrame:
    """Read a table; a list is a NumPy array, so ``np.stack(frame[name])`` is the matrix of equally long ones. What is
    wrong with the file is said with how to ``fix`` it.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged, or not as the schema says.
    """
    content, complain = _intact(path), _unreadable(path, fix)
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            table = file.read()
    except Exception as error:  # Arrow's own, OSError, UnicodeDecodeError, ...
        raise complain(f"is damaged ({error})") from None
    for field in table.schema:
        column = schema.column(field.name)
        if column is not None and field.type != column.type:
            raise complain(f"column {field.name!r} is {field.type}; it must be {column.type}")
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
    content, complain = _intact(path), _unreadable(path)
    try:
        text = content.decode()
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        for row, fields in enumerate(rows):
            if len(fields) != len(header):
                raise ValueError(f"row {row} has {len(fields)} fields, not {len(header)}")
    except (ValueError, csv.Error) as error:
        raise complain(f"is damaged ({error})") from None
    columns = {}
    for index, name in enumerate(header):
        texts = pa.array([fields[index] for fields in rows], type=pa.string())
        column = schema.column(name)
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
    content = _intact(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # zipfile and numpy raise a dozen kinds
        raise _unreadable(path)(f"is damaged ({error})") from None


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys; NaN and infinities are refused (ValueError)."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged.
    """
    content = _intact(path)
    try:
        return json.loads(content.decode())
    except ValueError as error:
        raise _unreadable(path)(f"is damaged ({error})") from None


def write(path: str | Path, value: Any, schema: Schema | None = None) -> None:
    """Write a table (.parquet, .csv; with its schema), named arrays (.npz), a page (.html) or JSON, as the path says;
    and beside it ``<path>.provenance.json``, its sha256, which is verified on read.

    Raises:
        StoreError: the value is not what may be written; nothing is.
    """
    match Path(path).suffix:
        case ".parquet":
            write_parquet(path, value, schema)
        case ".csv":
            write_csv(path, value, schema)
        case ".npz":
            write_arrays(path, **value)
        case ".html":
            with atomic(path) as temporary:
                temporary.write_text(value, encoding="utf-8")
        case _:
            write_json(path, value)
    _vouch(Path(path))


def read(path: str | Path, schema: Schema | None = None) -> Any:
    """What ``write`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: the file is damaged, or not as the schema says.
    """
    match Path(path).suffix:
        case ".parquet":
            return read_parquet(path, schema)
        case ".csv":
            return read_csv(path, schema)
        case ".npz":
            return read_arrays(path)
        case ".html":
            return _intact(path).decode()
        case _:
            return read_json(path)


PACKAGES = (
    *("numpy", "scipy", "numba", "pandas", "pyarrow", "scikit-learn", "statsmodels", "torch", "matplotlib"),
    *("skorch", "snakemake", "papermill"),
)


def provenance(path: str | Path, config_digest: str, seed: int) -> Path:
    """Write ``<path>.provenance.json``: the sha256 of the table or figure at ``path``, and ``made_by``; where it is."""
    return _vouch(Path(path), **made_by(config_digest, seed))


def made_by(config_digest: str, seed: int) -> dict[str, Any]:
    """What makes files now. No time is in it, so it repeats to the byte.

    Args:
        config_digest: ``hadyounot.study.config.digest`` of the study.
        seed: its root seed.

    Returns:
        config_sha256, seed, python, packages (name to version) and commit (with "-dirty" where files differ from it;
        None outside a git checkout).
    """
    return {
        "config_sha256": config_digest,
        "seed": seed,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
