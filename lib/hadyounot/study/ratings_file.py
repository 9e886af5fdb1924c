"""Readers: files as people have them in, ratings out, or one error that names the place and the fix."""

import array
import ast
import codecs
import csv
import difflib
import gzip
import hashlib
import html
import io
import json
import re
import reprlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import scipy.sparse

from ..retrain.ratings import TOO_LARGE, Ratings
from .registry import RatingsFile, TitlesFile, suffix
from .yaml_file import as_yaml

_File = RatingsFile | TitlesFile
_SHORT = reprlib.Repr()
_SHORT.maxstring = 100  # where a file is not what it is taken for, a name or value may be all of it


class DataError(ValueError):
    """Data are not what they should be; the message names the file, line or field, and the fix."""


@dataclass(frozen=True)
class _Table:
    """Rows of text.

    Attributes:
        path: what messages call the file.
        header: names of the columns; empty where there is no header.
        places: (n,), where each row is: the line that it ends on, or its number from 1.
        rows: (n,), the values of each row, without white space around them.
        unit: what ``places`` count.
    """

    path: str
    header: list[str]
    places: Sequence[int]
    rows: list[Sequence[str]]
    unit: str = "line"

    def at(self, *rows: int) -> str:
        """Where rows are, as in "a.csv, lines 3 and 5"."""
        plural = "s" if len(rows) > 1 else ""
        return f"{self.path}, {self.unit}{plural} {' and '.join(str(self.places[row]) for row in rows)}"


def read_ratings(
    ratings_file: RatingsFile, titles_file: TitlesFile | None, read: Callable[[str], bytes], where: Path | str
) -> Ratings:
    """The ratings in ``read(file)``; ``where`` is the folder or archive that messages say the file is in.

    Raises:
        DataError: a file cannot be read as its row says, or holds what is no rating.
    """
    table, columns = _table(ratings_file, read(ratings_file.parts[0]), where)
    with np.errstate(over="ignore"):  # a number beyond float32 is no rating either
        values = pd.to_numeric(pd.Series(columns["rating"]), errors="coerce").to_numpy(np.float32)
    if _headed(table, columns):  # before what else may be wrong with the row, and deleted
        raise DataError(f"{table.at(0)}: {_no_rating(ratings_file, table, columns, 0)}")
    for what in ("user", "item"):
        if "" in columns[what]:
            place = table.at(columns[what].index(""))
            raise DataError(f"{place}: the {what} is empty; fill it in or delete the {table.unit}")
        numbers = pd.to_numeric(pd.Series(columns[what][:1000]), errors="coerce")  # enough to tell
        fractions = np.flatnonzero(numbers % 1 > 0)
        if len(fractions) and numbers.notna().sum() > len(numbers) / 2:
            raise DataError(
                f"{table.at(fractions[0])}: the {what} is {columns[what][fractions[0]]!r}, a fraction, as ratings are; "
                f"correct `{what}` in the registry row, or, if the file is a matrix with a column for each item, write "
                "it as a table of user, item and rating first (pandas.melt does that)"
            )
    ids = {what: pd.Series(columns[what], dtype=object) for what in ("user", "item")}  # objects are quick to list
    frame = pd.DataFrame({**ids, "rating": values})
    if ratings_file.missing is not None:
        frame = frame[frame["rating"] != np.float32(ratings_file.missing)]
        if frame.empty:
            raise DataError(
                f"{table.path}: every rating is {ratings_file.missing:g}, which says that there is none; correct "
                "`missing` in the registry row"
            )
    wrong = frame.index[~np.isfinite(frame["rating"])]
    if wrong.size:
        raise DataError(f"{table.at(wrong[0])}: {_no_rating(ratings_file, table, columns, wrong[0])}")
    repeated = frame.duplicated(["user", "item"], keep=ratings_file.duplicates or "first")
    if repeated.any() and not ratings_file.duplicates:
        second = frame.index[repeated][0]
        user, item = frame.loc[second, ["user", "item"]]
        first = frame.index[(frame["user"] == user) & (frame["item"] == item)][0]
        others = len(frame[repeated].drop_duplicates(["user", "item"])) - 1
        more = f", and {others:,} more pair{'s are' if others > 1 else ' is'} there twice" * bool(others)
        raise DataError(
            f"{table.at(first, second)}: user {user!r} rates item {item!r} twice{more}; delete one of the two "
            f"{table.unit}s, or write `duplicates: last` in the registry row if always the last one counts (or first)"
        )
    frame = frame[~repeated]
    if titles_file:
        titles_table, columns_of_titles = _table(titles_file, read(titles_file.parts[0]), where)
        titles = _titles(columns_of_titles)
        if titles.keys().isdisjoint(columns["item"]):
            raise DataError(
                _no_title(ratings_file, titles_file, table, titles_table, columns["item"], columns_of_titles["item"])
            )
        if titles_file.html:
            titles = {item: html.unescape(title) for item, title in titles.items()}
        titles |= titles_file.corrections
    else:
        titles = _titles(columns) if ratings_file.title is not None else {}
    del table, columns  # of 25 million ratings, gigabytes
    return Ratings.from_arrays(frame["user"], frame["item"], frame["rating"], titles)


def _headed(table: _Table, columns: dict[str, list[str]]) -> bool:
    """Whether the first row looks like a header, which the file was not said to have: of no number, unlike the next."""
    said_none = not table.header and columns["rating"][0] != ""
    numbers = [pd.to_numeric(pd.Series(row), errors="coerce").notna().any() for row in table.rows[:2]]
    return said_none and numbers == [False, True]


def _no_rating(file: RatingsFile, table: _Table, columns: dict[str, list[str]], row: int) -> str:
    said = f"rating {columns['rating'][row]!r} is not a finite number"
    if row == 0 and _headed(table, columns):
        header, numbers = table.rows[0], file.columns()
        if not all(header[number - 1] for number in numbers.values()):
            header = [name for name in header if name]  # an index, as pandas writes it, was not counted
        names = {what: header[number - 1] if number <= len(header) else "..." for what, number in numbers.items()}
        return f"{said}; if the line is a header, give columns by name: write `{_written(names)}` in the registry row"
    if np.isfinite(pd.to_numeric(columns["rating"][row], errors="coerce")):
        return said + TOO_LARGE
    return f"{said}; write one such as 3.5, or delete the {table.unit}"


def _written(columns: dict[str, str | int]) -> str:
    """Columns as they are written in the registry row."""
    return ", ".join(f"{what}: {'...' if column == '...' else as_yaml(column)}" for what, column in columns.items())


def _no_title(
    ratings_file: RatingsFile,
    titles_file: TitlesFile,
    ratings: _Table,
    titles: _Table,
    items: list[str],
    ids: list[str],
) -> str:
    some, others = (", ".join(map(repr, [*dict.fromkeys(one)][:3])) for one in (ids, items))
    shared = [len(set(items).intersection(column)) for column in zip(*titles.rows, strict=True)]
    if max(shared):
        column = shared.index(max(shared))
        fix = f"write `item: {as_yaml(titles.header[column] if titles.header else column + 1)}` for the titles"
    elif some.startswith("'\"") and not titles_file.quoted:
        names = {what: str(column).strip('"') for what, column in titles_file.columns().items()}
        written = _written(names) if titles.header else ""
        fix = "leave out `quoted: false`" + f", write `{written}`" * bool(written)
        fix += ", and `backslash: true`" * any('\\"' in cell for row in titles.rows for cell in row) + " for the titles"
    else:
        fix = "correct `item`, here or there,"
    return (
        f"{titles.path}: column {titles_file.item!r} holds {some}, and none of its ids is an item of {ratings.path}, "
        f"whose column {ratings_file.item!r} holds {others}; {fix} in the registry row"
    )


def _titles(columns: dict[str, list[str]]) -> dict[str, str]:
    """Title by item id; an item's first title counts, an empty one does not."""
    years = columns.get("year", [""] * len(columns["item"]))
    titles = {}
    for item, title, year in zip(columns["item"], columns["title"], years, strict=True):
        if title:
            titles.setdefault(item, f"{title} ({year})" if year else title)
    return titles


def _table(file: _File, content: bytes, where: Path | str) -> tuple[_Table, dict[str, list[str]]]:
    """The file's table, and its named columns."""
    path = file.place(where)
    if file.sha256 and (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise DataError(
            f"{path}: sha256 is {found}, the registry says {file.sha256}; get the original file again, "
            "or correct sha256 in the registry row if this file is the one you mean"
        )
    path, content = _unpacked(file, content, path)
    table = _READERS.get(suffix(path), _delimited)(file, content, path)
    if not (table.header or table.rows):
        raise DataError(f"{path} is empty; put ratings in it, or correct `path` in the registry row")
    wanted = file.columns()
    missing = {what: column for what, column in wanted.items() if table.header and column not in table.header}
    if missing:
        place, names = path if table.unit == "row" else f"{path}, line 1", ", ".join(map(repr, missing.values()))
        raise DataError(f"{place}: there is no column {names}; {_no_column(file, table, missing)}")
    if not table.rows:
        raise DataError(f"{path} has a header and nothing else; put ratings in it")
    positions = {what: table.header.index(column) if table.header else column - 1 for what, column in wanted.items()}
    first = table.header or table.rows[0]
    width = max(len(first), *(position + 1 for position in positions.values()))
    for number, row in enumerate(table.rows):
        if len(row) != width:
            raise DataError(f"{table.at(number)}: {_other_count(file, table, first, row, width)}")
    columns = {what: [row[position] for row in table.rows] for what, position in positions.items()}
    for what, values in columns.items():
        if type(file).model_fields[what].is_required() and not any(values):
            other = _other_separator(file, path, first, table.rows[-1])
            raise DataError(
                f"{path}: column {wanted[what]!r} is empty in every {table.unit}; "
                + (other or f"write `{what}: ...` with another column in the registry row")
            )
    return table, columns


def _no_column(file: _File, table: _Table, missing: dict[str, str | int]) -> str:
    header = table.header
    more = f" and {len(header) - 20} more" if len(header) > 20 else ""
    said = f"the header has {', '.join(map(_SHORT.repr, header[:20]))}{more}; "
    if len(header) == 1 and suffix(table.path) not in _READERS:  # names are right or wrong where they are parted
        other = _other_separator(file, table.path, header, table.rows[0] if table.rows else header)
        wrong = f"correct `separator` in the registry row, as {_separator(file, table.path)!r} is not it"
        return said + (other or wrong)
    if any(f'"{column}"' in header for column in missing.values()):
        return f"{said}its names are in quotes: leave out `quoted: false` in the registry row"
    free, names = [name for name in header if name not in file.columns().values()], {}
    for what, column in missing.items():
        small = {name.lower(): name for name in free if name not in names.values()}
        near = difflib.get_close_matches(str(column).lower(), small, n=1, cutoff=0.7)  # title is like item by 0.67
        names[what] = small[near[0]] if near else "..."
    fixes = [f"write `{_written(names)}` in the registry row"]
    if "..." in names.values():
        left = ", ".join(_SHORT.repr(name) for name in free[:20] if name not in names.values())
        fixes[0] += f", with one that no field names yet: {left or 'there is none'}"
    numeric = pd.to_numeric(pd.Series(header), errors="coerce").notna()
    if numeric.any():
        numbers = _written({what: number for number, what in enumerate(file.columns(), 1)})
        fixes.append(f"if this is no header, give columns by number, as in `{numbers}`")
    return said + "; or ".join(fixes[::-1] if numeric.mean() > 0.5 else fixes)


def _other_count(file: _File, table: _Table, first: Sequence[str], row: Sequence[str], width: int) -> str:
    separator, said = _separator(file, table.path), f"{len(row)} columns where there should be {width}; "
    if other := _other_separator(file, table.path, first, row):
        return said + other
    widest = max(map(len, table.rows))
    if beyond := {what: number for what, number in file.columns().items() if not table.header and number > widest}:
        smaller = "smaller numbers" if len(beyond) > 1 else "a smaller number"
        where = "titles" if isinstance(file, TitlesFile) else "ratings"
        return f"`{_written(beyond)}` is beyond the {widest} columns; write {smaller} at `{where}` in the registry row"
    if file.quoted and len(separator) == 1:
        inside = f"put quotes around a {separator!r} inside a value"
    else:
        inside = f"write `width: {len(first)}` if the last column may hold a {separator!r}"
    return f"{said}complete the line, {inside}, or correct `separator` in the registry row"


def _other_separator(file: _File, path: str, *rows: Sequence[str]) -> str:
    """What to write where another separator parts all of these rows alike; empty where none does."""
    if suffix(path) in _READERS:
        return ""
    separator = _separator(file, path)
    lines = [separator.join(row) for row in rows]
    # a space is in titles too: it is looked at only where there is nothing else
    for other in ("\t", "::", "||", ";", "|", ",", *([] if separator in lines[0] else [" "])):
        parted = [line.split(other) for line in lines]
        if other != separator and len({len(row) for row in parted}) == 1 and len(parted[0]) >= len(file.columns()):
            columns = ", ".join(f"{number} is {_SHORT.repr(value)}" for number, value in enumerate(parted[0], 1))
            fix = f"write `separator: {as_yaml(other)}` in the registry row, by which column {columns}"
            numbered = [name for name, column in file.columns().items() if isinstance(column, int)]
            return fix + (f"; and the new numbers of {', '.join(numbered)}" if numbered else "")
    return ""


def _unpacked(file: _File, content: bytes, path: str) -> tuple[str, bytes]:
    """The file that is in an archive or compressed, and what to call it."""
    if path.lower().endswith(".zip"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                member = _member(file, path, archive.namelist())
                if (size := archive.getinfo(member).file_size) > _most(len(content)):
                    raise _bomb(path, f"{member} in it, unpacked, is of {size:,} bytes")
                path, content = f"{path}/{member}", archive.read(member)
        except DataError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            raise DataError(f"{path} is truncated, locked or no zip archive ({error}); get it again") from None
    if path.lower().endswith(".gz"):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                unpacked = packed.read(_most(len(content)) + 1)
            if len(unpacked) > _most(len(content)):
                raise _bomb(path, f"unpacked, it is of more than {_most(len(content)):,} bytes")
            content = unpacked
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is truncated or not compressed by gzip ({error}); get it again") from None
    return path, content


def _most(packed: int) -> int:
    """Bytes that so many are unpacked to at most: ratings become ten times as many, a bomb's zeros a thousand."""
    return 100 * packed + 2**20


def _bomb(path: str, says: str) -> DataError:
    return DataError(f"{path}: {says}, over a hundred times its size, as no ratings are; get it again, or unpack it")


def _member(file: _File, path: str, names: list[str]) -> str:
    """The file of an archive that is meant; folders, and what macOS puts beside files, are none."""
    archive, member = file.parts
    files = [name for name in names if not (name.endswith("/") or name.startswith("__MACOSX/"))]
    if member in files or (len(files) == 1 and not member):
        return member or files[0]
    near = [*difflib.get_close_matches(member, files, n=1), *files, "..."]
    has = f"has {', '.join(files[:20])}{' and more' if len(files) > 20 else ''}" if files else "holds no file"
    missing = f", and no {member}" if member else ""
    raise DataError(f"{path} {has}{missing}; write `path: {archive}/{near[0]}`, say, in the registry row")


# ---- formats


def _separator(file: _File, path: str) -> str:
    return file.separator or ("\t" if suffix(path) == ".tsv" else ",")


PACKED = {
    rb"\x1f\x8b": "gz", rb"PK\x03\x04": "zip", rb"PAR1\x15": "parquet", rb"BZh[1-9]1AY&SY": "bz2", rb"\xfd7zXZ": "xz"
}  # fmt: skip
"""How files that are no text begin, as no text does, and how their names should end; the last two are not read."""


_MARKS = {
    **dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"),
    **dict.fromkeys((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
}
"""Encoding by the byte order mark that it begins with; one of UTF-32 begins as one of UTF-16."""


def _text(file: _File, content: bytes, path: str) -> str:
    for magic, ending in PACKED.items():
        if re.match(magic, content):
            known = ending not in ("bz2", "xz")
            fix = f"let its name end in .{ending}, in the registry row too" if known else "unpack it"
            raise DataError(f"{path} is no text: it begins as a file of .{ending} does; {fix}")
    encoding = file.encoding
    if encoding == "utf-8-sig":
        encoding = next((each for mark, each in _MARKS.items() if content.startswith(mark)), encoding)
    if b"\0" in content and not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        if 0.4 < content.count(0) / len(content) < 0.6:  # every other byte, as in UTF-16
            wide = "utf-16-be" if content.startswith(b"\0") else "utf-16"
            raise DataError(
                f"{path} has zero bytes, so that it is no text in {encoding}; write `encoding: {wide}` in the registry "
                "row if it is text at all"
            )
        raise DataError(
            f"{path} is no text: it has zero bytes; write the ratings as text, CSV say, first (pandas has to_csv)"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not {error.encoding}; "
            "write the file's `encoding` (often latin-1) in the registry row, or save it as UTF-8"
        ) from None


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()


def _delimited(file: _File, content: bytes, path: str) -> _Table:
    text, separator = _text(file, content, path), _separator(file, path)
    if re.match(r"""[\s\[]*\{\s*["']""", text):
        ending = f".jsonl{'.gz' * path.lower().endswith('.gz')}"
        raise DataError(f"{path} is JSON, or Python; let its name end in {ending}, in the registry row too")
    lines, one = io.StringIO(text, newline=""), separator
    if len(separator) > 1:  # csv knows separators of one character only: that which ASCII has for it
        lines, one = (line.replace(separator, "\x1f") for line in lines), "\x1f"
    csv.field_size_limit(2**31 - 1)  # reviews may be longer than csv's default
    reader = csv.reader(
        lines,
        delimiter=one,
        quoting=csv.QUOTE_MINIMAL if file.quoted and len(separator) == 1 else csv.QUOTE_NONE,
        escapechar="\\" if file.backslash else None,
        strict=True,
    )
    places, rows, read = array.array("q"), [], 0
    try:
        for row in reader:
            read = reader.line_num
            if separator == " ":
                row = [value for value in row if value]
            if file.width and len(row) > file.width:
                row[file.width - 1 :] = [separator.join(row[file.width - 1 :])]
            if row:
                places.append(read)
                rows.append([sys.intern(value.strip()) for value in row])  # of few users, items, ratings
    except csv.Error as error:
        if '\\"' in text and not file.backslash:
            fix = 'write `backslash: true` in the registry row, where quotes inside values are written as \\"'
        else:
            fix = "mend the quotes, or write `quoted: false` in the registry row if quotes mean nothing in this file"
        raise DataError(f"{path}, line {read + 1}: {error}; {fix}") from None
    named = bool(rows) and isinstance(file.item, str)
    return _Table(path, rows[0] if named else [], places[named:], rows[named:])


def _records(file: _File, content: bytes, path: str) -> _Table:
    """A list of records, or a record a line, in JSON or, as in UCSD's older files, in Python.

    What a record leaves out is an empty value.
    """
    text, unit = _text(file, content, path), "line"
    if text.lstrip().startswith("["):
        unit = "record"
        try:
            records = [*enumerate(json.loads(text), 1)]
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: no list of records in JSON ({error}); mend it there") from None
    else:
        lines = enumerate(text.split("\n"), 1)
        records = [(number, _record(line)) for number, line in lines if line.strip()]
    seen, wanted, rows = {}, [*file.columns().values()], []
    for number, record in records:
        if not (record and isinstance(record, dict)):
            raise DataError(f"{path}, {unit} {number}: no record such as {{...}}; mend or delete the {unit}")
        values, known = [record.get(column) for column in wanted], not record.keys().isdisjoint(wanted)
        nested = [isinstance(value, dict | list) for value in (values if known else record.values())]
        if any(nested) if known else all(nested):
            raise DataError(
                f"{path}, {unit} {number}: the record holds further ones; write a record for each rating (in pandas "
                '`to_json(orient="records")`)'
            )
        seen |= dict.fromkeys(record)
        rows.append([*map(_cell, values)])
    header = wanted if seen.keys() >= set(wanted) else [*seen]
    return _Table(path, header, [number for number, _ in records], rows, unit)


def _record(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(line)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two of thousands of brackets
            return None


def _parquet(file: _File, content: bytes, path: str) -> _Table:
    try:
        stored = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        header = stored.schema_arrow.names
        named = dict.fromkeys(file.columns().values())
        wanted = [column for column in named if column in header]
        columns = stored.read(wanted).to_pydict()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is truncated or no parquet file ({error}); get it again") from None
    rows = [*zip(*(map(_cell, columns[column]) for column in wanted), strict=True)]
    return _Table(path, wanted if len(wanted) == len(named) else header, [*range(1, len(rows) + 1)], rows, "row")


def _sparse(file: _File, content: bytes, path: str) -> _Table:
    """What is stored in a matrix, in its order: (row, column, value)."""
    try:
        matrix = scipy.sparse.load_npz(io.BytesIO(content)).tocoo()
    except (ValueError, LookupError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no matrix that scipy.sparse.save_npz wrote ({error}); get it again") from None
    rows = [*zip(*(map(str, part.tolist()) for part in (matrix.row, matrix.col, matrix.data)), strict=True)]
    return _Table(path, ["row", "column", "value"], [*range(1, len(rows) + 1)], rows, "value")


_READERS: dict[str, Callable[[_File, bytes, str], _Table]] = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), _records),
    ".parquet": _parquet,
    ".npz": _sparse,
}
