"""Whole files or none; tables as their schemas say; the same bytes for the same content."""

import hashlib
import json
import math
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hadyounot.study import schemas, store
from hadyounot.study.store import StoreError
from hypothesis import given, settings
from hypothesis import strategies as st

PROBED = pd.DataFrame({name: [0.5, 0.5] for name in schemas.SEPARABILITY.columns}).assign(
    dataset="toy", model="mf", probe=["linear", "non-linear"], n_users=3, n_rows=9, folds=3
)
EXPLAINED = pd.DataFrame(
    {"user": [3, 4], "target": [7, 8], "method": ["knn", "reseed"], "items": [[1, 2, 3], []]},
)


def outcomes(n=4, n_targets=5, **changed):
    random = np.random.default_rng(0)
    ranks = random.integers(1, 50, (3, n, n_targets), dtype=np.int32)
    scores = random.normal(3, 1, (3, n, n_targets)).astype(np.float32)
    return {
        "user": np.arange(n, dtype=np.int32),
        "deleted": random.integers(0, 100, (n, 3), dtype=np.int32),
        "top1_score_before": scores[0, :, 0],
        "top1_score_after": scores[1, :, 0],
        "top1_score_after_readmitted": scores[1, :, 0],
        "target": ranks[0] - 1,
        "rank_before": ranks[0],
        "rank_after": ranks[1],
        "rank_after_readmitted": ranks[2],
        "score_before": scores[0],
        "score_after": scores[1],
        "benchmark_score_after": scores[2],
        "benchmark_score_after_readmitted": scores[2],
    } | changed


def validity(**changed):
    row = {"dataset": ["d"], "model": ["m"], "method": ["knn"], "top_k": [5], "n_users": [10], "n_valid": [3]}
    return pd.DataFrame(row | {"validity": [0.3], "ci_low": [0.1], "ci_high": [0.6], "paper": [None]} | changed)


# -- atomic -----------------------------------------------------------------------------------------------------------


def test_atomic_creates_folders_and_leaves_only_the_file(tmp_path):
    path = tmp_path / "a b" / "c" / "x.txt"
    with store.atomic(path) as temporary:
        assert temporary.parent == path.parent  # os.replace works within one file system
        assert temporary.suffix == path.suffix
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["x.txt"]


def test_atomic_files_have_the_usual_permissions(tmp_path):
    with store.atomic(tmp_path / "x") as temporary:
        temporary.write_text("")
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [None, "old"])
def test_exception_mid_write_leaves_what_was_there(tmp_path, error, before):
    path = tmp_path / "x.txt"
    if before:
        path.write_text(before)

    def write_half():
        with store.atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert os.listdir(tmp_path) == (["x.txt"] if before else [])
    assert not before or path.read_text() == before


@pytest.mark.parametrize(
    ("limit", "fix"),
    [
        ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9_999, 9_999))", "make room for it"),
        ("import os; os.chmod(folder, 0o555); os.geteuid() or os.seteuid(65534)", "make {} writable"),
    ],
)
def test_no_room_and_no_leave_name_the_file_and_the_fix(limit, fix):
    code = (
        "import sys; folder = sys.argv[1]\n"
        "import numpy as np; from hadyounot.study import store\n"
        f"{limit}\n"
        "store.write_arrays(f'{folder}/x.npz', a=np.random.default_rng(0).normal(size=9_999))"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are below folders that root alone may enter
        ran = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
        last = ran.stderr.splitlines()[-1]
        assert f"] {folder}/x.npz cannot be written: " in last
        assert last.endswith(f"; {fix.format(folder)} and run again")
        assert not os.listdir(folder)


def test_what_a_writer_killed_mid_write_left_goes_with_the_next_and_only_that(tmp_path):
    code = (
        "import os, sys; from hadyounot.study.store import atomic\n"
        "with atomic(sys.argv[1]) as t: t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    path, other = tmp_path / "[x].txt", tmp_path / "[x].a.txt"
    for killed in (path, other):
        assert subprocess.run([sys.executable, "-c", code, killed]).returncode == -9
        assert not killed.exists()
    assert len(os.listdir(tmp_path)) == 2
    with store.atomic(path) as temporary:
        temporary.write_text("mine")
        with store.atomic(path) as second:  # leaves the first, whose writer lives
            second.write_text("other")
        assert temporary.read_text() == "mine"
    assert path.read_text() == "mine"
    assert [name for name in os.listdir(tmp_path) if name != path.name] == [next(tmp_path.glob(".[[]x].a.*")).name]


def test_two_writers_leave_one_whole_file(tmp_path):
    path, met, temporaries = tmp_path / "x.txt", threading.Barrier(2), set()

    def write(letter):
        with store.atomic(path) as temporary, temporary.open("w") as file:
            file.write(letter * 1000)
            temporaries.add(temporary)
            met.wait()
            file.write(letter * 1000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(temporaries) == 2
    assert path.read_text() in ("a" * 2000, "b" * 2000)
    assert os.listdir(tmp_path) == ["x.txt"]


# -- tables -----------------------------------------------------------------------------------------------------------


def test_outcomes_round_trip(tmp_path):
    written = outcomes()
    store.write_parquet(tmp_path / "o.parquet", written, schemas.OUTCOMES)
    read = store.read_parquet(tmp_path / "o.parquet", schemas.OUTCOMES)
    assert list(read) == list(written)
    for name, values in written.items():
        again = np.stack(read[name].array)
        assert again.dtype == values.dtype
        np.testing.assert_array_equal(again, values, err_msg=name)


def test_no_rows_round_trip(tmp_path):
    store.write_parquet(tmp_path / "o.parquet", outcomes(n=0), schemas.OUTCOMES)
    assert store.read_parquet(tmp_path / "o.parquet", schemas.OUTCOMES).empty
    store.write_csv(tmp_path / "t.csv", validity().iloc[:0], schemas.TABLE_VALIDITY)
    assert store.read_csv(tmp_path / "t.csv", schemas.TABLE_VALIDITY).empty


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\r"))
NUMBER = st.floats(0, 1, allow_subnormal=True)
ROW = st.tuples(TEXT, st.integers(0, 2**63 - 1), NUMBER, st.none() | NUMBER, st.none() | st.integers(0, 2**53))
FREE = store.Schema(
    "Anything.",
    {
        "text": store.Column(pa.string(), "a text"),
        "count": store.Column(pa.int64(), "a count", low=0),
        "share": store.Column(pa.float64(), "a share", low=0, high=1),
        "maybe": store.Column(pa.float64(), "perhaps", nullable=True),
        "maybe_count": store.Column(pa.int64(), "perhaps a count", nullable=True),
    },
)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(ROW, max_size=5))
def test_csv_and_parquet_keep_every_value_and_repeat_to_the_byte(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("t")
    columns = dict(zip(FREE.columns, [list(c) for c in zip(*rows, strict=True)] or [[]] * 5, strict=True))
    for write, read in ((store.write_csv, store.read_csv), (store.write_parquet, store.read_parquet)):
        write(folder / "a", columns, FREE)
        back = read(folder / "a", FREE)
        for name, values in columns.items():
            assert [None if pd.isna(v) else v for v in back[name]] == values
        write(folder / "b", back, FREE)
        assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_csv_is_plain(tmp_path):
    store.write_csv(tmp_path / "t.csv", validity(), schemas.TABLE_VALIDITY)
    assert (tmp_path / "t.csv").read_text() == (
        "dataset,model,method,top_k,n_users,n_valid,validity,ci_low,ci_high,paper\nd,m,knn,5,10,3,0.3,0.1,0.6,\n"
    )
    counts = pd.DataFrame({"stage": ["a", "b"], "minutes": [1.0, 2.0], "peak_mib": [1.0, 2.0]})
    counts = counts.assign(retrainings=[7.0, math.nan], ns_per_rating_and_model=[0.5, math.nan])
    store.write_csv(tmp_path / "r.csv", counts, schemas.RUNTIME)
    assert (tmp_path / "r.csv").read_text().splitlines()[1:] == ["a,1.0,1.0,7,0.5", "b,2.0,2.0,,"]


def test_the_frame_s_own_types_leave_no_trace(tmp_path):
    wide = EXPLAINED.astype({"user": "int64", "method": "category"}).set_index(np.array([9, 5]))
    narrow = {name: list(EXPLAINED[name]) for name in EXPLAINED}
    store.write_parquet(tmp_path / "wide", wide, schemas.EXPLANATIONS)
    store.write_parquet(tmp_path / "narrow", narrow, schemas.EXPLANATIONS)
    assert (tmp_path / "wide").read_bytes() == (tmp_path / "narrow").read_bytes()
    read = store.read_parquet(tmp_path / "wide", schemas.EXPLANATIONS)
    assert read["user"].dtype == np.int32
    assert read["items"].map(len).tolist() == [3, 0]


SCORE = outcomes()["score_after"].copy()
SCORE[2, 3] = np.nan
WRONG = [
    (schemas.EXPLANATIONS, EXPLAINED.drop(columns="items"), "has columns user, target, method; it must have"),
    (schemas.EXPLANATIONS, EXPLAINED[["target", "user", "method", "items"]], "must have user, target"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(user=[3, -1]), "column 'user', row 1: -1 is not a finite number from 0"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(user=[3, 2**31]), "column 'user', row 1: 2147483648 is not int32"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(user=[3, 0.5]), "column 'user', row 1: 0.5 is not int32"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(user=[3, "4"]), "column 'user', row 1: '4' is not int32"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(user=[3, None]), "column 'user', row 1: None is missing"),
    (schemas.SEPARABILITY, PROBED.assign(probe=["linear", "luck"]), "row 1: 'luck' is not among linear, non-linear"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(items=[[1], [2, -3]]), "column 'items', row 1: -3 is not a finite number"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(items=[[1], [2, 0.5]]), r"column 'items', row 1: \[2, 0.5\] is not list"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(items=[[1], None]), "column 'items', row 1: None is missing"),
    (schemas.EXPLANATIONS, EXPLAINED.assign(items=[[1], [None]]), "column 'items', row 1: None is missing"),
    (schemas.EXPLANATIONS, {**EXPLAINED, "user": [1]}, "has columns of different lengths"),
    (schemas.OUTCOMES, outcomes(score_after=SCORE), "column 'score_after', row 2: None is missing|row 2: nan is not"),
    (schemas.OUTCOMES, outcomes(rank_after=[[1] * 5] * 3 + [[1] * 4]), "lists of target, .* differ in length"),
    (schemas.OUTCOMES, outcomes(rank_after=np.zeros((4, 5), int)), "column 'rank_after', row 0: 0 is not .* from 1"),
    (
        schemas.TABLE_VALIDITY,
        validity(validity=[1.2]),
        "'validity', row 0: 1.2 is not a finite number from 0 to 1",
    ),
    (schemas.TABLE_VALIDITY, validity(n_users=[math.inf]), "column 'n_users', row 0: inf is not int64"),
    (schemas.GENERATION_TIME, {"user": [1], "method": ["knn"], "seconds": [math.inf]}, "row 0: inf is not a finite"),
]


@pytest.mark.parametrize(("schema", "frame", "message"), WRONG)
def test_wrong_tables_are_not_written(tmp_path, schema, frame, message):
    path = tmp_path / "t.parquet"
    with pytest.raises(StoreError, match=message) as raised:
        store.write_parquet(path, frame, schema)
    assert str(path) in str(raised.value)
    assert "nothing was written" in str(raised.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user": pa.array([1, 2])}, "column 'user' is int64; it must be int32"),
        ({"user": pa.array([1, -2], pa.int32())}, "column 'user', row 1: -2 is not a finite number from 0"),
        ({"other": pa.array([1, 2])}, "has columns user, target, method, items, other; it must have"),
    ],
)
def test_wrong_tables_are_not_read(tmp_path, table, message):
    path = tmp_path / "t.parquet"
    store.write_parquet(path, EXPLAINED, schemas.EXPLANATIONS)
    right = pq.read_table(path)
    pq.write_table(pa.table(dict(zip(right.column_names, right.columns, strict=True)) | table), path)
    with pytest.raises(StoreError, match=message) as raised:
        store.read_parquet(path, schemas.EXPLANATIONS)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith("; delete it and run snakemake again")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("knn,5", "knn,five", "column 'top_k', row 0: 'five' is not int64"),
        ("0.3,", "1.3,", "column 'validity', row 0: 1.3 is not"),
        ("0.3,", ",", "column 'validity', row 0: None is missing"),
        ("ci_low", "ci", "has columns .*, ci, .*; it must have"),
        ("knn,5", "knn,5,6,7,8", r"is damaged \(row 0 has 13 fields, not 10\)"),
        (",0.6,\n", "", "is damaged .*last line is cut off"),
        ("d,m", "d,\xe9".encode().decode("latin-1"), None),
    ],
)
def test_edited_csv(tmp_path, old, new, message):
    path = tmp_path / "t.csv"
    store.write_csv(path, validity(), schemas.TABLE_VALIDITY)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    if message is None:
        assert store.read_csv(path, schemas.TABLE_VALIDITY)["model"][0] == new[2:]
        return
    with pytest.raises(StoreError, match=message) as raised:
        store.read_csv(path, schemas.TABLE_VALIDITY)
    assert str(path) in str(raised.value)


def test_csv_in_another_encoding(tmp_path):
    path = tmp_path / "t.csv"
    store.write_csv(path, validity(model=["é"]), schemas.TABLE_VALIDITY)
    path.write_bytes(path.read_text().encode("latin-1"))
    with pytest.raises(StoreError, match=r"is damaged .*utf-8"):
        store.read_csv(path, schemas.TABLE_VALIDITY)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    for read in (store.read_parquet, store.read_csv):
        with pytest.raises(FileNotFoundError, match=r"nothing"):
            read(tmp_path / "nothing", schemas.EXPLANATIONS)
    with pytest.raises(FileNotFoundError, match=r"nothing"):
        store.read_arrays(tmp_path / "nothing")


# -- arrays and damage ------------------------------------------------------------------------------------------------

ARRAYS = {"weights": np.linspace(0, 1, 7, dtype=np.float32), "shape": np.array([3, 4]), "intercept": np.float64(2)}


def test_arrays_round_trip_and_repeat_to_the_byte(tmp_path, monkeypatch):
    store.write_arrays(tmp_path / "a.npz", **ARRAYS)
    later = time.time() + 3  # a zip holds times in steps of 2 s
    with monkeypatch.context() as patched:
        patched.setattr(zipfile.time, "time", lambda: later)
        store.write_arrays(tmp_path / "b.npz", **ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = store.read_arrays(tmp_path / "a.npz")
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    with pytest.raises(StoreError, match="array 'x' holds Python objects"):
        store.write_arrays(tmp_path / "c.npz", x=np.array([None]))
    assert not (tmp_path / "c.npz").exists()


KEPT = {
    "o.parquet": (outcomes(), schemas.OUTCOMES),
    "t.csv": (validity(), schemas.TABLE_VALIDITY),
    "a.npz": (ARRAYS, None),
    "j.json": ({"retrained": 7}, None),
    "p.html": ("<p>a page</p>", None),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name, (value, schema) in KEPT.items():
        store.write(folder / name, value, schema)
        assert str(store.read(folder / name, schema)), "what is whole is read"
    return folder


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*KEPT]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 8))
def test_damage_is_one_clear_error(whole, name, place, bit):
    """A file cut short or with a flipped bit is refused, wherever the bit is."""
    path, good = whole / name, (whole / name).read_bytes()
    bad, at = bytearray(good), int(place * len(good))
    if bit == 8:
        bad = bad[:at]
    else:
        bad[at] ^= 1 << bit
    path.write_bytes(bad)
    try:
        with pytest.raises(StoreError, match=rf"^{re.escape(str(path))}: .*; delete it and run snakemake again$"):
            store.read(path, KEPT[name][1])
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("told", ["", "[]", "{}", '{"sha256": "00"}'])
def test_a_damaged_checksum_is_no_proof(tmp_path, told):
    path = tmp_path / "j.json"
    store.write(path, {"a": 1})
    path.with_name("j.json.provenance.json").write_text(told)
    with pytest.raises(StoreError, match=r"j\.json: is damaged \(its sha256 is not the one in j\.json\.prov"):
        store.read(path)
    store.write(path, {"a": 2})
    assert store.read(path) == {"a": 2}


def test_a_file_without_a_checksum_is_held_to_its_format(tmp_path):
    """Of a run that was made before there were any: pages of parquet and members of npz have sums of their own."""
    for name in KEPT.keys() - {"p.html"}:  # a browser reads half a page too
        value, schema = KEPT[name]
        path = tmp_path / name
        store.write(path, value, schema)
        path.with_name(f"{name}.provenance.json").unlink()
        assert str(store.read(path, schema))
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(StoreError, match=r"is damaged \(.*\); delete it and run snakemake again"):
            store.read(path, schema)


# -- JSON and provenance ----------------------------------------------------------------------------------------------


def test_json_is_sorted_and_finite(tmp_path):
    store.write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    store.write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "é", "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json(tmp_path / "c.json", {"a": math.nan})
    assert not (tmp_path / "c.json").exists()


def test_provenance_repeats_and_says_what_made_the_file(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x\n")
    sidecar = store.provenance(table, config_digest="c0ffee", seed=7)
    assert sidecar == tmp_path / "t.csv.provenance.json"
    first = sidecar.read_bytes()
    store.provenance(table, config_digest="c0ffee", seed=7)
    assert sidecar.read_bytes() == first
    said = json.loads(first)
    assert said["sha256"] == hashlib.sha256(b"x\n").hexdigest()
    assert (said["config_sha256"], said["seed"]) == ("c0ffee", 7)
    assert said["packages"]["numpy"] == np.__version__
    assert str(tmp_path) not in first.decode()
    table.write_text("y\n")
    with pytest.raises(StoreError, match=r"t\.csv: is damaged \(its sha256 is not the one in t\.csv\.provenance\.json"):
        store.read_csv(table, schemas.TABLE_VALIDITY)
    head = subprocess.run(
        ["git", "rev-parse", "--verify", "HEAD"], cwd=Path(store.__file__).parent, capture_output=True
    )
    commit = head.stdout.decode().strip() if head.returncode == 0 else None
    assert said["commit"] in ([commit, f"{commit}-dirty"] if commit else [None])


def test_every_schema_is_documented():
    found = {name: value for name, value in vars(schemas).items() if isinstance(value, store.Schema)}
    assert len(found) == 33
    assert {id(schema) for schema in schemas.BY_PATH.values()} <= {id(schema) for schema in found.values()}
    for name, schema in found.items():
        assert schema.meaning.endswith("."), name
        assert all(column.meaning for column in schema.columns.values()), name
