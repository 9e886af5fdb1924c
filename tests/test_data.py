"""Datasets: the same bytes from every source, and one clear error for each way in which data can be wrong."""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hadyounot.retrain.ratings import Ratings
from hadyounot.settings import ConfigError
from hadyounot.study import datasets as datasets_module
from hadyounot.study.config import load_study
from hadyounot.study.datasets import DataError, obtain
from hadyounot.study.paths import PROJECT
from hadyounot.study.published import load_published
from hadyounot.study.ratings_file import read_ratings
from hadyounot.study.registry import ContentConfig, DatasetConfig, load_datasets
from hadyounot.study.yaml_file import as_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

CSV = "user,item,rating,name\nann,x,4,The X\nbob,x,2.5,The X\nann,y,1,Why\n"
TRIPLES = [("bob", "x", 2.5), ("ann", "y", 1.0), ("ann", "x", 4.0)]
COLUMNS = {"user": "user", "item": "item", "rating": "rating"}
gzipped = partial(gzip.compress, mtime=0)  # of the same bytes at every second: they name tests
BYTES = "user\titem\trating\nann\tx\t4.0\nbob\tx\t2.5\nann\ty\t1.0\n"


def row(*sources, **fields):
    return DatasetConfig.model_validate({"sources": list(sources), **fields})


def local(path="mine/stars.csv", **fields):
    return {"kind": "folder", "ratings": {"path": path, **COLUMNS, **fields}}


def put(folder, content, path="mine/stars.csv"):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


@cache
def canonical(ratings):
    """The bytes that a dataset comes to, written without pandas: oracle of ratings.tsv and titles.tsv."""
    lines = zip(ratings.user_ids[ratings.users], ratings.item_ids[ratings.items], ratings.values, strict=True)
    stars = "user\titem\trating\n" + "".join(f"{user}\t{item}\t{value}\n" for user, item, value in lines)
    titles = zip(ratings.item_ids, ratings.titles, strict=True)
    quoted = io.StringIO()
    csv.writer(quoted, delimiter="\t", lineterminator="\n").writerows([("item", "title"), *titles])
    return stars.encode(), quoted.getvalue().encode()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


# ---- MovieLens-100K, the real files


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    """The wheel's own members, and the dataset that is made of them."""
    folder = tmp_path_factory.mktemp("movielens")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole==1.2.1"]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{name}") for name in ("inter", "item")}
    whole = load_datasets()["ml-100k"]
    datasets = {"ml-100k": whole.model_copy(update={"sources": [s for s in whole.sources if s.kind == "wheel"]})}
    with pytest.MonkeyPatch.context() as patch:  # one download is enough
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        return members, datasets, folder, obtain("ml-100k", folder, datasets)


def test_the_wheel_holds_movielens(movielens):
    members, _, _, obtained = movielens
    u_data = members["inter"].split(b"\n", 1)[1]
    assert sha256(u_data) == "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
    ratings = obtained.ratings
    assert (ratings.n_users, ratings.n_items, len(ratings)) == (943, 1682, 100_000)
    known = [line.split("\t")[:3] for line in u_data.decode().splitlines()]
    assert [*zip(ratings.user_ids[ratings.users], ratings.item_ids[ratings.items], strict=True)] == [
        (user, item) for user, item, _ in known
    ]
    assert ratings.values.tolist() == [float(value) for *_, value in known]
    assert obtained.source == "wheel recbole==1.2.1"
    assert [*obtained.files.values()] == ["9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"]


def test_movielens_has_the_titles_of_u_item(movielens):
    ratings = movielens[3].ratings
    titles = dict(zip(ratings.item_ids, ratings.titles, strict=True))
    assert titles["1"] == "Toy Story (1995)"
    assert titles["267"] == "unknown"
    assert titles["1128"] == "Heidi Fleiss: Hollywood Madam (1995)"
    assert titles["1682"] == "Scream of Stone (Schrei aus Stein) (1991)"
    assert any("é" in title for title in titles.values())


def test_movielens_is_the_same_bytes_from_the_files_of_grouplens(movielens, tmp_path):
    """The real files in HADYOUNOT_DATA where they are, else the wheel's written as GroupLens writes them."""
    members, _, _, obtained = movielens
    whole = load_datasets()["ml-100k"]
    folder_source = next(source for source in whole.sources if source.kind == "folder")
    folder = datasets_module.data_folder()
    if not (folder / "ml-100k" / "u.item").exists():
        folder = tmp_path
        put(folder, members["inter"].split(b"\n", 1)[1], "ml-100k/u.data")
        odd = {"267": "unknown", "1201": "Marlene Dietrich: Shadow and Light (1996) "}
        lines = [line.split("\t") for line in members["item"].decode().splitlines()[1:]]
        u_item = [f"{item}|{odd.get(item, f'{title} ({year})')}|||0|1\n" for item, title, year, _ in lines]
        put(folder, "".join(u_item).encode("latin-1"), "ml-100k/u.item")
        rebuilt = folder_source.titles.model_copy(update={"sha256": None})
        folder_source = folder_source.model_copy(update={"titles": rebuilt})
    other = obtain("ml-100k", folder, {"ml-100k": whole.model_copy(update={"sources": [folder_source]})})
    assert canonical(other.ratings) == canonical(obtained.ratings)
    assert [sha256(content) for content in canonical(other.ratings)] == [whole.content.ratings, whole.content.titles]


def test_a_kept_dataset_needs_no_network_and_is_the_same(movielens, monkeypatch, capsys):
    _, datasets, folder, first = movielens
    assert sorted(file.name for file in (folder / "ml-100k").iterdir()) == [
        "TERMS.txt",
        "obtained.json",
        "ratings.tsv",
        "titles.tsv",
    ]
    kept = tuple((folder / "ml-100k" / file).read_bytes() for file in ("ratings.tsv", "titles.tsv"))
    assert kept == canonical(first.ratings)
    monkeypatch.setattr(datasets_module.subprocess, "run", None)
    before = {file: file.stat().st_mtime_ns for file in (folder / "ml-100k").iterdir()}
    second = obtain("ml-100k", folder, datasets)
    assert {file: file.stat().st_mtime_ns for file in (folder / "ml-100k").iterdir()} == before
    assert (second.source, second.files) == (first.source, first.files)
    assert canonical(second.ratings) == kept
    assert "terms of use" not in capsys.readouterr().err


def test_the_slice_is_the_rule_by_hand(movielens):
    _, datasets, folder, whole = movielens
    lines = movielens[0]["inter"].decode().splitlines()[1:20_001]
    rows = [tuple(line.split("\t")[:3]) for line in lines]
    for column, count in ((1, 200), (0, 120)):
        counts = Counter(line[column] for line in rows)
        chosen = [one for _, one in sorted((-number, one) for one, number in counts.items())][:count]
        rows = [line for line in rows if line[column] in chosen]
    piece = obtain("ml-100k-slice", folder, load_datasets() | datasets)
    ratings = piece.ratings
    found = zip(ratings.user_ids[ratings.users], ratings.item_ids[ratings.items], ratings.values, strict=True)
    assert [*found] == [(user, item, float(value)) for user, item, value in rows]
    assert (
        dict(zip(ratings.item_ids, ratings.titles, strict=True)).items()
        <= dict(zip(whole.ratings.item_ids, whole.ratings.titles, strict=True)).items()
    )
    assert piece.source == "slice of wheel recbole==1.2.1"


# ---- Amazon Music and Netflix, the real files


def real(name):
    """The dataset as it comes from the data folder alone; where HADYOUNOT_DATA is set it has to be there."""
    registry = load_datasets()
    whole = registry[getattr(registry[name].sources[0], "dataset", name)]
    folder = datasets_module.data_folder()
    files = [folder / file.path for file in datasets_module._files(whole.sources[0])]
    if "HADYOUNOT_DATA" not in os.environ and not all(file.exists() for file in files):
        there = " and ".join(map(str, files))
        pytest.skip(reason=f"the real {name} may not come with the project, smaller files do: to test it, put {there}")
    local_only = {key: row.model_copy(update={"sources": row.sources[:1]}) for key, row in registry.items()}
    return obtain(name, folder, local_only), files


def test_amazon_music_is_the_file_ordered_by_id():
    obtained, (reviews, metadata) = real("amazon-music")
    ratings = obtained.ratings
    assert (ratings.n_users, ratings.n_items, len(ratings)) == (5541, 3568, 64_706)
    lines = [line.split(",") for line in reviews.read_text().splitlines()[1:]]
    found = zip(ratings.user_ids[ratings.users], ratings.item_ids[ratings.items], ratings.values, strict=True)
    assert [*found] == sorted((user, item, float(value)) for user, item, value in lines)
    assert np.bincount(ratings.values.astype(int)).tolist() == [0, 2791, 3010, 6789, 16536, 35580]
    with open(metadata, newline="", encoding="utf-8") as file:
        known = {item: title for item, title in csv.reader(file) if title}
    titles = dict(zip(ratings.item_ids, ratings.titles, strict=True))
    assert len(titles.keys() & known) == sum(item != title for item, title in titles.items()) == 2670
    assert titles["5555991584"] == "Memory of Trees"
    assert "Black Holes & Revelations" in titles.values()
    assert [*obtained.files] == ["amazon-music/reviews_Digital_Music_5.csv", "amazon-music/Digital_Music.csv"]
    content = load_datasets()["amazon-music"].content
    assert [sha256(one) for one in canonical(ratings)] == [content.ratings, content.titles]


@pytest.mark.slow
def test_netflix_sample_is_the_recipe_by_hand():
    obtained, (matrix, movies) = real("netflix-sample")
    ratings = obtained.ratings
    assert (ratings.n_users, ratings.n_items, len(ratings)) == (10_000, 2103, 610_372)
    stored = scipy.sparse.load_npz(matrix).tocoo()
    frame = pd.DataFrame({"user": stored.row, "item": stored.col, "rating": stored.data})
    while True:
        by_user, by_item = (frame.groupby(column)["rating"].transform("size") for column in ("user", "item"))
        if (by_user >= 15).all() and (by_item >= 10).all():
            break
        frame = frame[(by_user >= 15) & (by_item >= 10)]
    drawn = np.random.default_rng(0).choice(np.unique(frame["user"]), 10000, replace=False)
    frame = frame[frame["user"].isin(drawn)]
    assert ratings.user_ids[ratings.users].tolist() == frame["user"].astype(str).tolist()
    assert ratings.item_ids[ratings.items].tolist() == frame["item"].astype(str).tolist()
    assert ratings.values.tolist() == frame["rating"].tolist()
    known = {}
    for line in movies.read_text("latin-1").splitlines():
        item, year, title = line.split(",", 2)
        known[item] = title.strip() if year == "NULL" else f"{title.strip()} ({year})"
    assert ratings.titles.tolist() == [known[item] for item in ratings.item_ids]
    assert obtained.files["netflix-sample/movie_titles.csv"] == sha256(movies.read_bytes())
    assert obtained.source.startswith("10,000 users drawn from netflix-sample/")


# ---- downloads


class Server(HTTPServer):
    """Answers request by request as told: (status, body, announced length); the last answer is repeated."""

    def __init__(self):
        self.answers, self.requests = [], 0
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/stars.zip"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        status, body, length = server.answers[min(server.requests, len(server.answers) - 1)]
        server.requests += 1
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # its pause before it tries again
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def zipped(content=CSV, name="stars.csv", **others):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for member, text in {name: content, **others}.items():
            file.writestr(zipfile.ZipInfo(member), text)  # of no date, as gzipped
    return archive.getvalue()


def bomb():
    """An archive of a file a thousand times its size."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("stars.csv", "," * 2_000_000)
    return archive.getvalue()


def remote(server, digest=None):
    return {"kind": "url", "url": server.url, "sha256": digest, "ratings": {"path": "stars.csv", **COLUMNS}}


def test_a_download_is_verified_kept_and_its_terms_shown_once(server, tmp_path, capsys):
    body = zipped()
    server.answers = [(200, body, len(body))]
    datasets = {"stars": row(local(), remote(server, sha256(body)), terms="Be kind.", citation="Ann, 1999.")}
    first = obtain("stars", tmp_path, datasets)
    said = capsys.readouterr().err
    assert said.index("mine/stars.csv is not there") < said.index("Be kind.\nPlease cite: Ann, 1999.")
    assert "100%" in said
    assert (first.source, first.files) == (server.url, {"stars.zip": sha256(body)})
    assert (tmp_path / "stars" / "ratings.tsv").read_text() == BYTES
    second = obtain("stars", tmp_path, datasets)
    assert server.requests == 1
    assert canonical(second.ratings) == canonical(first.ratings)
    assert "Be kind" not in capsys.readouterr().err
    (tmp_path / "stars" / "obtained.json").unlink()  # the archive is still there and needs no second download
    obtain("stars", tmp_path, datasets)
    assert server.requests == 1
    assert "Be kind" not in capsys.readouterr().err


def test_a_download_is_tried_again(server, tmp_path):
    body = zipped()
    server.answers = [(503, b"", 0), (200, body[:50], len(body)), (200, body, len(body))]
    obtained = obtain("stars", tmp_path, {"stars": row(remote(server, sha256(body)))})
    assert server.requests == 3
    assert len(obtained.ratings) == 3


def test_a_wrong_download_is_refused_and_not_left_lying(server, tmp_path):
    body, wanted = zipped(), "0" * 64
    server.answers = [(200, body, len(body))]
    with pytest.raises(DataError) as error:
        obtain("stars", tmp_path, {"stars": row(remote(server, wanted))})
    for part in (server.url, wanted, sha256(body), f"download {server.url} to {tmp_path}/stars/stars.zip"):
        assert part in str(error.value)
    assert server.requests == 3
    assert not (tmp_path / "stars").exists() or not list((tmp_path / "stars").iterdir())


def test_a_truncated_archive_without_a_digest(server, tmp_path):
    body = zipped(CSV * 50)[:-40]
    server.answers = [(200, body, len(body))]
    with pytest.raises(DataError, match=r"stars\.zip is truncated or no zip archive .*; delete it and run again"):
        obtain("stars", tmp_path, {"stars": row(remote(server))})


def test_an_archive_without_the_file(server, tmp_path):
    body = zipped(name="other.csv")
    server.answers = [(200, body, len(body))]
    with pytest.raises(DataError, match=r"stars\.zip: .*stars\.csv.*; correct `path`"):
        obtain("stars", tmp_path, {"stars": row(remote(server))})


def test_a_host_that_is_not_there_costs_seconds_and_the_next_source_is_taken(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as closed:
        dead = remote(closed)
    put(tmp_path, CSV)
    pauses, began = [], time.monotonic()
    monkeypatch.setattr("pooch.core.time.sleep", pauses.append)
    obtained = obtain("stars", tmp_path, {"stars": row(local("nowhere.csv"), dead, local())})
    assert time.monotonic() - began + sum(pauses) < 10
    assert len(obtained.ratings) == 3
    said = capfd.readouterr().err
    assert said.index("nowhere.csv is not there") < said.index(f"stars: {closed.url}: ")


def test_single_files_and_the_formats_of_ucsd(server, tmp_path):
    """Reviews in JSON, what is known of items in Python; ratings in another order than the archive has them."""
    reviews = [
        {"reviewerID": user, "asin": item, "overall": stars, "text": "a\u2028b"} for user, item, stars in TRIPLES
    ]
    first = gzipped("".join(f"{json.dumps(one)}\n" for one in reviews).encode())
    known = [{"asin": "x", "title": "It's &amp; The X"}, {"asin": "z", "title": "Z", "price": 1}, {"asin": "y"}]
    second = gzipped("".join(f"{one}\n" for one in known).encode())
    server.answers = [(200, body, len(body)) for body in (first, second)]
    whole = load_datasets()["amazon-music"]
    ucsd, cornac = (
        source.model_copy(update={"url": url})
        for source, url in zip(whole.sources[1:], (server.url.removesuffix("stars.zip"), server.url), strict=True)
    )
    update = {"expected": None, "content": None}
    stars = whole.model_copy(update=update | {"sources": [ucsd]})
    obtained = obtain("stars", tmp_path / "a", {"stars": stars})
    lines = b"user\titem\trating\nann\tx\t4.0\nann\ty\t1.0\nbob\tx\t2.5\n"
    assert canonical(obtained.ratings) == (lines, b"item\ttitle\nx\tIt's & The X\ny\ty\n")
    names = ["reviews_Digital_Music_5.json.gz", "meta_Digital_Music.json.gz"]
    assert obtained.files == dict(zip(names, map(sha256, (first, second)), strict=True))
    again = obtain("stars", tmp_path / "a", {"stars": stars})
    assert (server.requests, again.files, canonical(again.ratings)) == (2, obtained.files, canonical(obtained.ratings))

    digests = dict(zip(("ratings", "titles"), map(sha256, canonical(obtained.ratings)), strict=True))
    body = zipped("".join(f"{user},{item},{stars}\n" for user, item, stars in TRIPLES[::-1]), cornac.ratings.path)
    server.answers, server.requests = [(200, body, len(body))], 0
    stars = whole.model_copy(update=update | {"sources": [cornac], "content": ContentConfig(**digests)})
    for _ in range(2):  # the second from what was kept
        untitled = obtain("stars", tmp_path / "b", {"stars": stars}).ratings
        assert canonical(untitled) == (lines, b"item\ttitle\nx\tx\ny\ty\n")
    assert server.requests == 1


def test_netflix_small_comes_without_a_published_digest_and_that_of_the_download_is_kept(server, tmp_path):
    whole = load_datasets()["netflix-small"]
    archive = whole.sources[1]
    assert archive.sha256 is archive.ratings.sha256 is whole.content is None
    body = zipped("30878,1,4,2005-12-26\n30878,8,3,2004-01-01\n7,8,5,2004-01-02\n", archive.ratings.path)
    server.answers = [(200, body, len(body))]
    small = whole.model_copy(update={"expected": None, "sources": [archive.model_copy(update={"url": server.url})]})
    for _ in range(2):
        obtained = obtain("small", tmp_path, {"small": small})
        assert obtained.files == {"stars.zip": sha256(body)}
        assert obtained.ratings.values.tolist() == [4, 3, 5]
    assert server.requests == 1
    put(tmp_path, "30878,1,4\n", "netflix-small/data_small.csv")
    own = obtain("small", tmp_path, {"small": whole.model_copy(update={"expected": None})})
    assert own.files == {"netflix-small/data_small.csv": sha256(b"30878,1,4\n")}


def test_single_files_are_verified_and_may_be_put_there_by_hand(server, tmp_path):
    server.answers = [(404, b"", 0)]
    source = remote(server) | {"url": server.url.removesuffix("stars.zip")}
    source["ratings"] |= {"sha256": sha256(CSV.encode())}
    with pytest.raises(DataError, match=rf"To go on: download {server.url[:-4]}.csv to {tmp_path}/stars/stars.csv; "):
        obtain("stars", tmp_path, {"stars": row(source)})
    put(tmp_path, CSV, "stars/stars.csv")
    requests = server.requests
    assert canonical(obtain("stars", tmp_path, {"stars": row(source)}).ratings)[0] == BYTES.encode()
    assert server.requests == requests


def test_availability_says_where_a_dataset_is_or_what_to_do_first(server, tmp_path):
    own, web, part = row(local()), row(local(), remote(server)), {"kind": "slice", "dataset": "web"}
    part |= {"interactions": 3, "items": 1, "users": 1}
    datasets = {"own": own, "web": web, "part": row(part), "toy": load_datasets()["toy"]}

    def found(name):
        return datasets_module.availability(name, tmp_path, datasets)

    file = tmp_path / "mine/stars.csv"
    assert found("own") == f"not found. To go on: put {file} there; then run again."
    assert found("web") == found("part") == f"will be downloaded from {server.url}"
    assert found("toy") == "made from its seed"
    with pytest.raises(DataError, match=r"unknown dataset 'wep'; .*; write web"):
        found("wep")
    put(tmp_path, zipped(), "web/stars.zip")
    assert found("web") == f"found: {tmp_path / 'web/stars.zip'}"
    put(tmp_path, "{}", "web/obtained.json")
    assert found("part") == f"found: {tmp_path / 'web/obtained.json'}"
    put(tmp_path, CSV)
    assert found("own") == found("web") == f"found: {file}"
    assert server.requests == 0


@pytest.mark.parametrize("name", ["ml-100k", "amazon-music", "netflix-small", "netflix-part"])
def test_a_dataset_that_cannot_be_had_says_what_to_download_to_which_folder(tmp_path, monkeypatch, name):
    def gone(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("pooch.core.stream_download", gone)
    monkeypatch.setattr(
        datasets_module.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "no index")
    )
    registry = load_datasets()
    with pytest.raises(DataError) as error:
        obtain(name, tmp_path, registry)
    for source in registry[name].sources:
        for url in getattr(source, "downloads", ()):
            assert f"{url} to {tmp_path / name / url.rpartition('/')[2]}" in str(error.value)
    for file in datasets_module._files(registry[name].sources[0]):
        assert str(tmp_path / file.path) in str(error.value)
    with pytest.raises(DataError, match="netflix-part could not be obtained"):
        obtain("netflix-sample", tmp_path, registry)


def test_a_file_beside_the_study_is_written_with_a_dot(tmp_path, monkeypatch):
    monkeypatch.setenv("HADYOUNOT_STUDY", str(tmp_path / "shop"))
    put(tmp_path, CSV, "shop/loans.csv")
    with pytest.raises(DataError) as error:
        obtain("stars", tmp_path / "data", {"stars": row(local("loans.csv"))})
    fix = f"put {tmp_path}/data/loans.csv there, or write `path: ./loans.csv`, as {tmp_path}/shop/loans.csv is there;"
    assert fix in str(error.value)
    assert len(obtain("stars", tmp_path / "data", {"stars": row(local("./loans.csv"))}).ratings) == 3
    titled = local("loans.csv") | {"titles": {"path": "loans.csv", "item": "item", "title": "name"}}
    with pytest.raises(
        DataError, match=r", or write `path: ./loans.csv`, as \S+ is there, and `path: ./loans.csv`, as "
    ):
        obtain("stars", tmp_path / "data", {"stars": row(titled)})


def test_no_source_left(tmp_path):
    with pytest.raises(DataError) as error:
        obtain("stars", tmp_path, {"stars": row(local())})
    assert str(error.value) == (
        f"stars could not be obtained:\n  {tmp_path}/mine/stars.csv is not there\n"
        f"  To go on: put {tmp_path}/mine/stars.csv there; then run again."
    )


def wheel_in(folder, monkeypatch):
    """A wheel that pip finds without a network."""
    name = "tinystars-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinystars-1.0-py3-none-any.whl", "w") as file:
        file.writestr("tinystars/stars.csv", CSV)
        file.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\nName: tinystars\nVersion: 1.0\n")
        file.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{name}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return sha256((folder / "tinystars-1.0-py3-none-any.whl").read_bytes())


def wheel_source(digest, version="1.0"):
    ratings = {"path": "tinystars/stars.csv", **COLUMNS, "title": "name"}
    return {"kind": "wheel", "requirement": f"tinystars=={version}", "sha256": digest, "ratings": ratings}


def test_a_wheel(tmp_path, monkeypatch):
    digest = wheel_in(tmp_path, monkeypatch)
    with pytest.raises(DataError, match=rf"tinystars-1.0-py3-none-any.whl: sha256 is {digest}, the registry says 000"):
        obtain("stars", tmp_path / "a", {"stars": row(wheel_source("0" * 64))})
    with pytest.raises(DataError, match=r"pip download tinystars==2\.0: ERROR: .*tinystars"):
        obtain("stars", tmp_path / "a", {"stars": row(wheel_source(digest, "2.0"))})
    obtained = obtain("stars", tmp_path / "a", {"stars": row(wheel_source(digest))})
    assert obtained.ratings.titles.tolist() == ["The X", "Why"]


@pytest.fixture
def stars(server):
    body = zipped()
    server.answers = [(200, body, len(body))]
    return row(remote(server, sha256(body)))


@pytest.mark.parametrize("file", ["ratings.tsv", "titles.tsv", "obtained.json"])
def test_kept_files_that_were_changed(stars, tmp_path, file):
    obtain("stars", tmp_path, {"stars": stars})
    kept = tmp_path / "stars" / file
    kept.write_bytes(kept.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"is not as it was kept; delete .*obtained\.json and run again"):
        obtain("stars", tmp_path, {"stars": stars})
    (tmp_path / "stars" / "obtained.json").unlink()
    assert len(obtain("stars", tmp_path, {"stars": stars}).ratings) == 3


def test_kept_files_of_another_source_or_content_do_not_count(stars, server, tmp_path):
    obtain("stars", tmp_path, {"stars": stars})
    note = tmp_path / "stars" / "obtained.json"
    known = json.loads(note.read_text())
    note.write_text(json.dumps(known | {"source": "wheel other==3"}))
    assert obtain("stars", tmp_path, {"stars": stars}).source == server.url
    wanted = ContentConfig(ratings="0" * 64, titles=known["content"]["titles"])
    with pytest.raises(DataError, match=r"expects ratings='000.*correct `content` in the row"):
        obtain("stars", tmp_path, {"stars": stars.model_copy(update={"content": wanted})})


def test_kept_files_of_an_older_content_are_fetched_again(stars, server, tmp_path):
    obtain("stars", tmp_path, {"stars": stars})
    newer = CSV.replace("4", "5")
    body = zipped(newer)
    server.answers, server.requests = [(200, body, len(body))], 0
    put(tmp_path, newer)
    ratings, titles = map(sha256, canonical(obtain("mine", tmp_path, {"mine": row(local())}).ratings))
    update = row(remote(server, sha256(body)), content={"ratings": ratings, "titles": titles})
    assert obtain("stars", tmp_path, {"stars": update}).ratings.values.tolist() == [5, 2.5, 1]
    assert server.requests == 1


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    digest = wheel_in(tmp_path, monkeypatch)
    put(tmp_path, "a file", "stars")
    with pytest.raises(DataError, match=r"stars: cannot write \(.*\); set HADYOUNOT_DATA to a folder where"):
        obtain("stars", tmp_path, {"stars": row(wheel_source(digest))})


# ---- a user's own files


NUMBERS = {"user": 1, "item": 2, "rating": 3}
FRAME = pd.read_csv(io.StringIO(CSV))


def parquet(frame=FRAME):
    content = io.BytesIO()
    frame.to_parquet(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("path", "content", "fields"),
    [
        ("a.csv", CSV, {}),
        ("a.tsv", CSV.replace(",", "\t"), {}),
        ("a.csv", "\ufeff" + CSV, {}),
        ("a.csv", CSV.replace("\n", "\r\n"), {}),
        ("a.csv", CSV.replace("\n", "\n\n"), {}),
        ("a.csv", CSV.replace(",", " , "), {}),
        ("a.txt", CSV.replace(",", ";"), {"separator": ";"}),
        ("a.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv", CSV.split("\n", 1)[1], NUMBERS | {"title": 4}),
        ("a.csv", CSV.encode("utf-16"), {}),
        ("a.csv", CSV.encode("utf-32"), {}),
        ("a.csv.GZ", gzipped(CSV.encode()), {}),
        ("a.TSV", CSV.replace(",", "\t"), {}),
        ("a.dat", CSV.replace(",", "::"), {"separator": "::"}),
        ("a.dat", CSV.replace(",", "\t"), {"separator": r"\t"}),
        ("a.txt", CSV.replace(",", "  ").replace("The X", '"The X"  '), {"separator": " "}),
        ("a.csv", CSV.replace("\n", ",more\n").replace(",more", "," + "y" * 200_000, 2), {}),
        ("a.csv", CSV + "cat,x,99,The X\ncat,y,99.0,Why\n", {"missing": 99}),
        ("a.csv", CSV.replace("ann", "ann,x,9,The X\nann", 1), {"duplicates": "last"}),
        ("a.csv", CSV + "ann,x,9,No\nbob,x,9,No\n", {"duplicates": "first"}),
        ("a.zip", zipped(**{"data/": "", "__MACOSX/._stars.csv": "x"}), {}),
        ("a.ZIP", zipped(CSV.replace(",", "\t"), "b.tsv"), {}),
        ("a.jsonl", "".join(f"{json.dumps(one)}\n" for one in csv.DictReader(io.StringIO(CSV))), {}),
        ("a.ndjson.gz", gzipped(FRAME.to_json(orient="records", lines=True).encode()), {}),
        ("a.json", FRAME.to_json(orient="records", indent=1), {}),
        ("a.parquet", parquet(), {}),
        ("a.Parquet", parquet(FRAME.assign(user=FRAME["user"].astype("category"), rating=[4, 2.5, 1])), {}),
    ],
)
def test_own_data(tmp_path, path, content, fields):
    put(tmp_path, content, path)
    obtained = obtain("mine", tmp_path, {"mine": row(local(path, **{"title": "name"} | fields))})
    ratings = obtained.ratings
    assert canonical(ratings) == (BYTES.encode(), b"item\ttitle\nx\tThe X\ny\tWhy\n")
    assert all(type(one) is str for one in (*ratings.user_ids, *ratings.item_ids, *ratings.titles))
    assert obtained.source == path
    assert obtained.files == {path: sha256((tmp_path / path).read_bytes())}
    assert [file.name for file in tmp_path.iterdir()] == [path], "nothing is written beside a user's own files"


TITLED = {"user": 3, "item": 1, "rating": 2, "title": 3}


@pytest.mark.parametrize(
    ("content", "fields", "title"),
    [
        ('x::3::"The" X; A::B\n', {"separator": "::", "width": 3}, '"The" X; A::B'),
        (r'"x";"3";"Say \"X\"; \\ A"', {"separator": ";", "backslash": True}, 'Say "X"; \\ A'),
        ('x 3  "The  X" ', {"separator": " "}, "The  X"),
        ("x 3  The X", {"separator": " ", "width": 3}, "The X"),
    ],
)
def test_signs_in_titles(tmp_path, content, fields, title):
    put(tmp_path, content)
    assert obtain("mine", tmp_path, {"mine": row(local(**TITLED | fields))}).ratings.titles.tolist() == [title]


def test_ids_of_parquet_stay_whole_where_others_are_missing(tmp_path):
    frame = pd.DataFrame({"user": [2**53 + 1, 2], "item": [7, None], "rating": [3, 4], "name": [None, "Y"]})
    frame["who"] = ["a", "b"]
    put(tmp_path, parquet(frame.astype({"item": "Int64"})), "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 2: the item is empty; fill it in or delete the row"):
        obtain("mine", tmp_path, {"mine": row(local("a.parquet"))})
    ratings = obtain("mine", tmp_path, {"mine": row(local("a.parquet", user="who", item="user", title="name"))}).ratings
    assert (ratings.item_ids.tolist(), ratings.titles.tolist()) == (
        ["9007199254740993", "2"],
        ["9007199254740993", "Y"],
    )


def test_an_archive_of_several_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(
        tmp_path,
        zipped(CSV, "b/stars.csv", **{"b/": "", "c/t.csv.gz": gzipped(b"id,film\ny,Why not\n")}),
        "a.zip",
    )
    titles = {"path": "a.zip/c/t.csv.gz", "item": "id", "title": "film"}

    def stars(path):
        return {"mine": row(local(path) | {"titles": titles | {"path": path.partition("a.")[0] + titles["path"]}})}

    for path, folder in (("a.zip/b/stars.csv", tmp_path), ("~/a.zip/b/stars.csv", tmp_path / "elsewhere")):
        obtained = obtain("mine", folder, stars(path))
        assert canonical(obtained.ratings) == (BYTES.encode(), b"item\ttitle\nx\tx\ny\tWhy not\n")
        assert [*obtained.files.values()] == [sha256((tmp_path / "a.zip").read_bytes())]
        assert datasets_module.availability("mine", folder, stars(path)).startswith(f"found: {tmp_path / 'a.zip'}")
    for path, said in (("a.zip", "t.csv.gz"), ("a.zip/b/star.csv", "t.csv.gz, and no b/star.csv")):
        with pytest.raises(DataError, match=rf"a\.zip has b/stars\.csv, c/{said}; write `path: a\.zip/b/stars\.csv`"):
            obtain("mine", tmp_path, stars(path))
    with pytest.raises(DataError, match=rf"put {tmp_path}/b\.zip there"):
        obtain("mine", tmp_path, {"mine": row(local("b.zip/b/stars.csv"))})
    put(tmp_path, "", "a.csv")
    with pytest.raises(DataError, match=rf"^{tmp_path}/a\.csv is empty"):
        obtain("mine", tmp_path / "elsewhere", {"mine": row(local("~/a.csv"))})
    monkeypatch.setenv("HADYOUNOT_DATA", "~/stars")
    assert datasets_module.data_folder() == tmp_path / "stars"


def test_own_data_elsewhere_and_titles_in_another_file(tmp_path):
    put(tmp_path, CSV, "a.csv")
    put(tmp_path, 'id|film|year\nx| "Café" |1995\ny||2000\n'.encode("latin-1"), "titles.txt")
    titles = {"path": "titles.txt", "item": "id", "title": "film", "year": "year"}
    titles |= {"separator": "|", "encoding": "latin-1", "quoted": False, "corrections": {"z": "Zed"}}
    source = local(str(tmp_path / "a.csv"))
    source["titles"] = titles | {"path": str(tmp_path / "titles.txt")}
    obtained = obtain("mine", tmp_path / "data", {"mine": row(source)})
    assert obtained.ratings.titles.tolist() == ['"Café" (1995)', "y"]


def npz(users=(4, 4, 9), items=(2, 7, 2), values=(5, 3, 1)):
    content = io.BytesIO()
    scipy.sparse.save_npz(content, scipy.sparse.coo_array((values, (users, items))).tocsr())
    return content.getvalue()


MATRIX = {"user": "row", "item": "column", "rating": "value"}


def test_a_sparse_matrix_and_titles_that_hold_separators(tmp_path):
    put(tmp_path, npz(), "a.npz")
    put(tmp_path, '2,2003,"M", the\n7,1999, X \n', "titles.csv")
    titles = {"path": "titles.csv", "item": 1, "year": 2, "title": 3, "quoted": False, "width": 3}
    ratings = obtain("mine", tmp_path, {"mine": row(local("a.npz", **MATRIX) | {"titles": titles})}).ratings
    assert canonical(ratings)[0] == b"user\titem\trating\n4\t2\t5.0\n4\t7\t3.0\n9\t2\t1.0\n"
    assert ratings.titles.tolist() == ['"M", the (2003)', "X (1999)"]


@pytest.mark.parametrize("kind", ["json", "json.gz", "tsv.gz"])
def test_own_data_in_other_formats(tmp_path, kind):
    lines = [{"user": "ann", "item": "x", "rating": 4}, {"item": "x", "user": "bob", "rating": "2.5", "more": None}]
    content = "".join(f"{json.dumps(one)}\n\n" for one in [*lines, {"user": "ann", "item": "y", "rating": 1.0}])
    content = content.encode() if kind.startswith("json") else BYTES.encode()
    put(tmp_path, gzipped(content) if kind.endswith("gz") else content, f"a.{kind}")
    assert canonical(obtain("mine", tmp_path, {"mine": row(local(f"a.{kind}"))}).ratings)[0] == BYTES.encode()


def locked():
    """An archive that says that its file is encrypted."""
    body = bytearray(zipped())
    for flags in (6, body.index(b"PK\1\2") + 8):
        body[flags] |= 1
    return bytes(body)


HEADER, LINE = "user,item,rating\n", "ann,x,4\n"
RECORD = '{"user": "ann", "item": "x", "rating": 4}\n'


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("a.json", RECORD + "\n{'user': 1\n", "a.json, line 3: no record such as {...}; mend or delete the line"),
        ("a.json", RECORD + "[1]\n", "a.json, line 2: no record"),
        ("a.json", RECORD + "{}\n", "a.json, line 2: no record"),
        ("a.json", RECORD.replace("item", "itm"), "there is no column 'item'; the header has 'user', 'itm', 'rating'"),
        ("a.json", RECORD + RECORD.replace('"ann"', "null"), "a.json, line 2: the user is empty"),
        ("a.json", RECORD + RECORD.replace("ann", "bob").replace("4", '"4!"'), "a.json, line 2: rating '4!' is not"),
        ("a.json", RECORD + RECORD, "a.json, lines 1 and 2: user 'ann' rates item 'x' twice"),
        ("a.json", "\n", "a.json is empty"),
        ("a.json", b"{\xff}", "a.json, line 1: byte 0xff is not utf-8"),
        ("a.json.gz", RECORD, "a.json.gz is truncated or not compressed by gzip (Not a gzipped file"),
        ("a.json.gz", gzipped(RECORD.encode())[:-9], "a.json.gz is truncated or not compressed by gzip"),
        ("a.jsonl", "[[1]]", "a.jsonl, record 1: no record such as {...}; mend or delete the record"),
        ("a.json", f"[{RECORD},]", "a.json: no list of records in JSON ("),
        ("a.json", "[" * 200_000, "a.json: no list of records in JSON ("),
        ("a.json", '{"a":' * 200_000, "a.json, line 1: no record such as"),
        *(
            (
                "a.json",
                FRAME.to_json(orient=orient),
                "a.json, line 1: the record holds further ones; write a record for",
            )
            for orient in ("columns", "index", "split", "table")
        ),
        (
            "a.json",
            '{"usr": 1}\n',
            "the header has 'usr'; write `user: usr, item: ..., rating: ...` in the registry row",
        ),
        ("a.json", '{"usr": 1, "tags": [2]}\n', "a.json, line 1: there is no column 'user', 'item', 'rating'; "),
        ("a.zip", RECORD, "a.zip is truncated, locked or no zip archive (File is not a zip file); get it again"),
        ("a.zip", zipped(CSV * 9)[:-40], "a.zip is truncated, locked or no zip archive"),
        ("a.zip", zipped().replace(b"ann", b"bob"), "a.zip is truncated, locked or no zip archive (Bad CRC-32 for"),
        # a byte more before the end: the archive is said to begin before the file
        ("a.zip", zipped("")[:107] + b"\0" + zipped("")[107:], "a.zip is truncated, locked or no zip archive ("),
        ("a.zip", zipped(HEADER + "ann,x,?\n"), "a.zip/stars.csv, line 2: rating '?' is not"),
        ("a.zip", zipped("", "b/"), "a.zip holds no file"),
        ("a.zip", locked(), "a.zip is truncated, locked or no zip archive (File 'stars.csv' is encrypted"),
        ("a.parquet", RECORD, "a.parquet is truncated or no parquet file ("),
        ("a.parquet", parquet()[:-30], "a.parquet is truncated or no parquet file ("),
        (
            "a.parquet",
            parquet(FRAME.drop(columns="item")),
            "a.parquet: there is no column 'item'; the header has 'user', ",
        ),
        ("a.csv", parquet(), "a.csv is no text: it begins as a file of .parquet does; let its name end in .parquet"),
        ("a.csv", gzipped(CSV.encode()), "a.csv is no text: it begins as a file of .gz does; let its name end in .gz"),
        ("a.csv", zipped("a.csv"), "a.csv is no text: it begins as a file of .zip does; let its name end in .zip"),
        ("a.csv.bz2", bz2.compress(CSV.encode()), "a.csv.bz2 is no text: it begins as a file of .bz2 does; unpack it"),
        ("a.csv.xz", lzma.compress(CSV.encode()), "a.csv.xz is no text: it begins as a file of .xz does; unpack it"),
        (
            "a.csv",
            CSV.encode("utf-16-le"),
            "a.csv has zero bytes, so that it is no text in utf-8-sig; write `encoding:",
        ),
        ("a.npz", RECORD, "a.npz is no matrix that scipy.sparse.save_npz wrote ("),
        ("a.npz", npz()[:-30], "a.npz is no matrix"),
        ("a.zip", bomb(), "a.zip: stars.csv in it, unpacked, is of 2,000,000 bytes, over a hundred"),
        ("a.csv.gz", gzipped(b"," * 2_000_000), "a.csv.gz: unpacked, it is of more than 1,"),
        ("a.npz", npz(), "there is no column 'user', 'item', 'rating'; the header has 'row', 'column', 'value'"),
    ],
)
def test_bad_input_in_other_formats(tmp_path, path, content, message):
    put(tmp_path, content, path)
    with pytest.raises(DataError) as error:
        obtain("mine", tmp_path, {"mine": row(local(path))})
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("user", ["BZhang", "PAR1", "PK"])
def test_a_text_that_begins_as_the_name_of_a_format_is_a_text(tmp_path, user):
    put(tmp_path, f"{user},x,4\nbob,y,2\n")
    named = local(user=1, item=2, rating=3)
    assert user in obtain("mine", tmp_path, {"mine": row(named)}).ratings.user_ids


def test_a_draw_keeps_the_core_and_depends_on_its_seed(tmp_path):
    lines = [(user, item) for user in "abcdef" for item in "vwxyz" if (user, item) < ("e", "z")]  # f has none
    put(tmp_path, HEADER + "".join(f"{user},{item},3\n" for user, item in [*lines, ("f", "v"), ("f", "q")]))
    draw = {"kind": "draw", "dataset": "mine", "user_minimum": 3, "item_minimum": 2}

    def drawn(**fields):
        return obtain("part", tmp_path, {"mine": row(local()), "part": row(draw | fields)}).ratings

    assert set(drawn(users=5).user_ids) == set("abcde")  # q goes, then f with what is left of its ratings
    some = {tuple(drawn(users=2, seed=seed).user_ids) for seed in range(8)}
    assert len(some) > 2
    assert all(list(users) == sorted(users) for users in some)
    with pytest.raises(
        DataError, match="part: 5 users of mine have 3 ratings of items with 2; write a smaller `users`"
    ):
        drawn(users=6)


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5).map(str.strip).filter(bool)
triples = st.lists(
    st.tuples(text, text, st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=20, unique_by=lambda one: one[:2]
)


@settings(max_examples=60, deadline=None)
@given(triples, st.booleans())
def test_any_csv_and_any_kept_dataset_are_read_as_they_were_written(tmp_path_factory, rows, tabs):
    folder = tmp_path_factory.mktemp("own")
    path = "a.tsv" if tabs else "a.csv"
    with open(folder / path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if tabs else ",").writerows([("user", "item", "rating"), *rows])
    ratings = obtain("mine", folder, {"mine": row(local(path))}).ratings
    truth = Ratings.from_arrays(*zip(*rows, strict=True))
    for field in ("users", "items", "values", "user_ids", "item_ids", "titles"):
        assert getattr(ratings, field).tolist() == getattr(truth, field).tolist()
    files = datasets_module._canonical(ratings)
    again = read_ratings(datasets_module._KEPT_RATINGS, datasets_module._KEPT_TITLES, files.__getitem__, "")
    assert datasets_module._canonical(again) == files


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["a.csv", "a.tsv", "a.json", "a.csv.gz", "a.zip", "a.npz", "a.parquet"]),
    st.sampled_from([CSV.encode(), RECORD.encode(), b""]) | st.binary(max_size=60),
    st.integers(0, 200),
    st.binary(max_size=9)
    | st.sampled_from([b'"', b'"a', b",", b"\n", b"\t", b"\\", b"[", b"{", b"nan", b"1e999", b"\xff\xfe"]),
    st.booleans(),
)
def test_whatever_a_file_holds_it_is_ratings_or_one_error(tmp_path_factory, path, content, at, noise, packed):
    """Of any bytes, of a whole file with bytes put into it, and of those in an archive whose own are or are not."""
    folder = tmp_path_factory.mktemp("any")
    if packed and path.endswith((".gz", ".zip")):
        content = gzipped(content) if path.endswith(".gz") else zipped(content.decode("latin-1"))
    put(folder, content[:at] + noise + content[at:], path)
    try:
        assert len(obtain("mine", folder, {"mine": row(local(path))}).ratings)
    except DataError as error:
        assert path in str(error)  # noqa: PT017, as either is right


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,itm,rating\n" + LINE, "stars.csv, line 1: there is no column 'item'; the header has 'user', 'itm', "),
        ("user,itm,rating\n" + LINE, "write `item: itm` in the registry row"),
        (
            "reader,item,rating\n" + LINE,
            "write `user: ...` in the registry row, with one that no field names yet: 'reader'",
        ),
        (
            "user,book,rating\n" + LINE,
            "write `item: ...` in the registry row, with one that no field names yet: 'book'",
        ),
        (
            "user,item,stars,title\n" + "a,x,4,X\n",
            "write `rating: ...` in the registry row, with one that no field names yet: 'stars', 'title'",
        ),
        (
            "user,itm,stars\n" + LINE,
            "no column 'item', 'rating'; the header has 'user', 'itm', 'stars'; write `item: itm, rating: ...` in the",
        ),
        (
            HEADER + LINE + "bob,x,1\nann,x,2\nann,x,3\nbob,x,2\n",
            "lines 2 and 4: user 'ann' rates item 'x' twice, and 1 more pair is there twice; delete one",
        ),
        (
            '{"user": "ann", "item": "x", "rating": 4}\n',
            "stars.csv is JSON, or Python; let its name end in .jsonl, in the",
        ),
        (
            ' [{"user": "ann", "item": "x", "rating": 4}]\n',
            "stars.csv is JSON, or Python; let its name end in .jsonl, in",
        ),
        ("user" + "x" * 999 + ",item,rating\n" + LINE, "xxx...xxx"),
        (bytes(range(256)) * 4, "stars.csv is no text: it has zero bytes; write the ratings as text, CSV say, first"),
        ("a\nb" + "\0", "stars.csv is no text: it has zero bytes; write"),
        (HEADER.encode("utf-16-be"), "write `encoding: utf-16-be` in the registry row"),
        (
            "user;item;rating\nann;x;4\n",
            "the header has 'user;item;rating'; write `separator: ;` in the registry row, by",
        ),
        (HEADER + LINE + "bob,x,four\n", "stars.csv, line 3: rating 'four' is not a finite number; write one such as"),
        (HEADER + LINE + "bob,x,nan\n", "stars.csv, line 3: rating 'nan' is not a finite number"),
        (HEADER + LINE + "bob,x,\n", "stars.csv, line 3: rating '' is not a finite number"),
        (
            HEADER + LINE + "bob,x,1e39\n",
            "rating '1e39' is not a finite number of float32, which ends at 3.4e+38: scale",
        ),
        (HEADER + LINE + '"b\nob",x,-inf\n', "stars.csv, line 4: rating '-inf' is not a finite number"),
        (
            HEADER + LINE + "bob,x,1\n\nann,x,2\n",
            "stars.csv, lines 2 and 5: user 'ann' rates item 'x' twice; delete one",
        ),
        (HEADER + LINE + ",x,2\n", "stars.csv, line 3: the user is empty; fill it in or delete the line"),
        (HEADER + LINE + "bob,,2\n", "stars.csv, line 3: the item is empty"),
        (HEADER + LINE + "bob,x\n", "stars.csv, line 3: 2 columns where there should be 3; complete the line"),
        (HEADER + "bob,x, or y,3\n", "stars.csv, line 2: 4 columns where there should be 3"),
        (HEADER + LINE + 'bob,"x,3\n', "stars.csv, line 3: unexpected end of data; mend the quotes"),
        (b"user,item,rating\nann,x,4\nb\xf6b,x,3\n", "stars.csv, line 3: byte 0xf6 is not utf-8; write the file's"),
        ("", "stars.csv is empty; put ratings in it"),
        ("\n\n", "stars.csv is empty"),
        (HEADER, "stars.csv has a header and nothing else"),
        (
            HEADER.replace(",", ";", 2) + "x,4\n",
            "the header has 'user;item;rating'; correct `separator` in the registry row, as ',' is not it",
        ),
        ("user,item,rating;a;b\nann,x\n", "write `rating: rating;a;b` in the registry row"),
        (
            HEADER.replace("\n", ",a;b;c\n") + "ann,x,4,d;e,5\n",
            "5 columns where there should be 4; complete the line, put",
        ),
        (
            HEADER.replace("\n", ",a b c\n") + "ann,x,4,d e f,5\n",
            "5 columns where there should be 4; complete the line",
        ),
    ],
)
def test_bad_input_is_one_error_that_names_place_and_fix(tmp_path, content, message):
    put(tmp_path, content)
    with pytest.raises(DataError) as error:
        obtain("mine", tmp_path, {"mine": row(local())})
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


FILMS = "1::Up: A (1)::Drama\n2::Why (2)::War\n"


@pytest.mark.parametrize(
    ("content", "fields", "said", "fix"),
    [
        (
            "1::2::5::9\n1::3::4::9\n",
            NUMBERS | {"separator": ":"},
            "column 2 is empty in every line; ",
            {"separator": "::"},
        ),
        (
            "user\titem\trating\nann\tx\t4\n",
            {},
            "there is no column 'user', 'item', 'rating'; the header has 'user\\titem\\trating'; write ",
            {"separator": "\t"},
        ),
        ("ann;x;4\nbob;x;3\n", NUMBERS, "line 1: 1 columns where there should be 3; ", {"separator": ";"}),
        ("1 2  4\n1 3 4\n", NUMBERS, "line 1: 1 columns where there should be 3; ", {"separator": " "}),
        ('1|4|A\n2|4|A|"B"\n', TITLED | {"separator": "|", "quoted": False}, "line 2: 4 columns where", {"width": 3}),
        ('user,item,rating\n1,"x\\"y",3\n', {}, "line 2: ',' expected after '\"'; ", {"backslash": True}),
        ('user,item,rating\n1,"x,3\n2,y,3\n', {}, "line 2: unexpected end of data; ", {"quoted": False}),
        (
            '"user","item","rating"\n1,2,3\n',
            {"quoted": False},
            "its names are in quotes: leave out `quoted: false`",
            {"quoted": True},
        ),
        (
            "who,what,stars\n1,2,3\n2,2,3\n",
            NUMBERS,
            "line 1: rating 'stars' is not a finite number; if the line is a header",
            {"user": "who", "item": "what", "rating": "stars"},
        ),
        (
            "1,2,3\n2,2,3\n",
            {},
            "no column 'user', 'item', 'rating'; the header has '1', '2', '3'; if this is no header",
            NUMBERS,
        ),
        (
            ",userId,movieId,rating\n0,1,31,2.5\n1,1,1029,3\n",
            NUMBERS,
            "line 1: rating 'movieId' is not a finite number; if the line is a header",
            {"user": "userId", "item": "movieId", "rating": "rating"},
        ),
        (
            ",userId,movieId,rating\n0,1,31,2.5\n1,1,1029,3\n",
            {"user": 2, "item": 3, "rating": 4},
            "line 1: rating 'rating' is not a finite number; if the line is a header",
            {"user": "userId", "item": "movieId", "rating": "rating"},
        ),
        (
            ",user,item,rating\n0,a,x,2.5\n1,b,x,3\n",  # where no rating would be a number
            NUMBERS,
            "line 1: rating 'item' is not a finite number; if the line is a header",
            {"user": "user", "item": "item", "rating": "rating"},
        ),
        (
            "User,Item,Rating\n1,2,3\n2,2,3\n",
            {},
            "line 1: there is no column 'user', 'item', 'rating'; the header has 'User', ",
            {"user": "User", "item": "Item", "rating": "Rating"},
        ),
        ("who: a,item,rating\n1,2,3\n", {"user": "whoa"}, "there is no column 'whoa'; ", {"user": "who: a"}),
        (
            HEADER + "1,2,3\n1,3,3\n1,2,4\n",
            {},
            "lines 2 and 4: user '1' rates item '2' twice; ",
            {"duplicates": "last"},
        ),
        (
            HEADER + "1,4.5,2\n1,3.5,3\n",
            {},
            "line 2: the item is '4.5', a fraction, as ratings are; correct `item`",
            {"item": "rating", "rating": "item"},
        ),
        (
            "74,-7.82,8.79,99\n100,4.08,-0.29,6.36\n",
            NUMBERS,
            "if the file is a matrix with a column for each item, write it as",
            None,
        ),
        (
            "74,99,8.79,99\n100,99,-0.29,6.36\n50,4.08,99,3.2\n",  # where most have not rated the first joke
            NUMBERS,
            "line 3: the item is '4.08', a fraction, as ratings are; ",
            None,
        ),
        (
            HEADER + "1,2,99\n",
            {"missing": 99},
            "every rating is 99, which says that there is none; correct `missing`",
            {"missing": None},
        ),
    ],
)
def test_a_fix_that_is_followed_to_the_letter_works(tmp_path, content, fields, said, fix):
    """The error says what is wrong and names each field of the fix as it is to be written."""
    put(tmp_path, content)
    with pytest.raises(DataError) as error:
        obtain("mine", tmp_path, {"mine": row(local(**fields))})
    assert said in str(error.value)
    for field, value in (fix or {}).items():
        assert field in said or f"{field}: {as_yaml(value)}" in str(error.value)
    if fix:
        obtain("mine", tmp_path, {"mine": row(local(**fields | fix))})


@pytest.mark.parametrize(
    ("content", "fields", "said", "fix", "titles"),
    [
        (
            FILMS,
            {"item": 1, "title": 3, "separator": ":"},
            "line 2: 5 columns where there should be 6; write "
            "`separator: '::'` in the registry row, by which column 1 is '1', 2 is 'Up:A (1)', 3 is 'Drama'; and the "
            "new numbers of item, title",
            {"separator": "::", "title": 2},
            ["Up: A (1)", "Why (2)"],
        ),
        (
            "pos,item,film\n7,1,Up\n8,2,Why\n",
            {"item": "pos", "title": "film"},
            "column 'pos' holds '7', '8', and none of "
            "its ids is an item of {}/r.csv, whose column 2 holds '1', '2'; write `item: item` for the titles",
            {"item": "item"},
            ["Up", "Why"],
        ),
        (
            '"id","film"\n"1","Up"\n',
            {"item": '"id"', "title": '"film"', "quoted": False},
            "column '\"id\"' holds '\"1\"', and "
            "none of its ids is an item of {}/r.csv, whose column 2 holds '1', '2'; leave out `quoted: "
            "false`, write `item: id, title: film` for the titles in the registry row",
            {"item": "id", "title": "film", "quoted": True},
            ["Up", "2"],
        ),
        (
            '"id","film"\n"1","Say \\"Up\\""\n',
            {"item": '"id"', "title": '"film"', "quoted": False},
            "leave out `quoted: false`, write `item: id, title: film`, and `backslash: true` for the titles in",
            {"item": "id", "title": "film", "quoted": True, "backslash": True},
            ['Say "Up"', "2"],
        ),
        (
            "id,film\n01,Up\n",
            {"item": "id", "title": "film"},
            "holds '1', '2'; correct `item`, here or there, in",
            None,
            None,
        ),
        (
            "id,film\n1,\n",
            {"item": "id", "title": "film"},
            "column 'film' is empty in every line; write `title: ...`",
            None,
            None,
        ),
    ],
)
def test_titles_that_are_not_found_are_no_silence(tmp_path, content, fields, said, fix, titles):
    put(tmp_path, "a,1,3\nc,1,3\nb,2,4\n", "r.csv")
    put(tmp_path, content, "t.csv")

    def mine(**more):
        return {"mine": row(local("r.csv", **NUMBERS) | {"titles": {"path": "t.csv"} | fields | more})}

    with pytest.raises(DataError) as error:
        obtain("mine", tmp_path, mine())
    assert f"{tmp_path}/t.csv" in str(error.value)
    assert said.format(tmp_path) in str(error.value)
    if fix:
        assert obtain("mine", tmp_path, mine(**fix)).ratings.titles.tolist() == titles


def test_ratings_of_zero_are_said_and_may_be_none(server, tmp_path, capsys):
    """Also in a download that is kept already: what its row says of the files has changed."""
    body = zipped(CSV + "bob,y,0,Why\n")
    server.answers = [(200, body, len(body))]
    source = remote(server)
    assert 0 in obtain("stars", tmp_path, {"stars": row(source)}).ratings.values
    assert "; 1 of them are 0: where that means no rating, write `missing: 0` in the" in capsys.readouterr().err
    source["ratings"] |= {"missing": 0}
    for _ in range(2):
        assert canonical(obtain("stars", tmp_path, {"stars": row(source)}).ratings)[0] == BYTES.encode()
    assert "are 0" not in capsys.readouterr().err
    assert server.requests == 1
    put(tmp_path, HEADER + "a,b,0\na,c,-1\n")
    obtain("mine", tmp_path, {"mine": row(local())})
    assert "are 0" not in capsys.readouterr().err


def test_a_number_far_from_all_others_is_said(tmp_path, capsys):
    """Jester's ratings are from -10 to 10, and 99 where there is none."""
    put(tmp_path, HEADER + "a,b,8.79\na,c,-10\nb,b,99\nb,c,99\n")
    obtain("mine", tmp_path, {"mine": row(local())})
    assert "; the highest is 99, far from all others: where that means no rating, write `missing: 99`" in (
        capsys.readouterr().err
    )
    for other in ("b,b,9\nb,c,9\n", "b,b,99\n"):  # nor is one alone, as counts have a highest
        put(tmp_path, HEADER + "a,b,8.79\na,c,-10\n" + other)
        obtain("mine", tmp_path, {"mine": row(local())})
        assert "far from" not in capsys.readouterr().err


def test_ratings_that_are_all_the_same_are_said(tmp_path, capsys):
    for values, said in (("11", True), ("12", False)):
        put(tmp_path, HEADER + "".join(f"a,{item},{value}\n" for item, value in zip("bc", values, strict=True)))
        obtain("mine", tmp_path, {"mine": row(local())})
        assert ("; all are 1, from which `mf` learns nothing, so" in capsys.readouterr().err) == said


def test_ratings_that_are_words_make_no_header(tmp_path):
    put(tmp_path, "1,2,x\n2,2,3\n")  # nor do numbers
    with pytest.raises(DataError, match="line 1: rating 'x' is not a finite number; write one such as"):
        obtain("mine", tmp_path, {"mine": row(local(**NUMBERS))})
    put(tmp_path, "ann,x,good\nbob,y,fine\n")
    with pytest.raises(DataError, match="line 1: rating 'good' is not a finite number; write one such as"):
        obtain("mine", tmp_path, {"mine": row(local(**NUMBERS))})


def test_too_few_columns_for_a_number(tmp_path):
    put(tmp_path, "ann,x,4\n")
    said = r"line 1: `rating: 4` is beyond the 3 columns; write a smaller number at `ratings` in the registry row$"
    with pytest.raises(DataError, match=said):
        obtain("mine", tmp_path, {"mine": row(local(user=1, item=2, rating=4))})
    with pytest.raises(DataError, match="line 1: `rating: 4, title: 5` is beyond the 3 columns; write smaller numbers"):
        obtain("mine", tmp_path, {"mine": row(local(user=1, item=2, rating=4, title=5))})
    put(tmp_path, "1::2::5::9\n2::3::4::9\n")
    with pytest.raises(DataError, match="line 1: `rating: 5` is beyond the 4 columns; write a smaller number at"):
        obtain("mine", tmp_path, {"mine": row(local(separator="::", user=1, item=3, rating=5))})
    put(tmp_path, "1,Up\n", "t.csv")
    titled = local(**NUMBERS | {"separator": "::"}) | {"titles": {"path": "t.csv", "item": 1, "title": 3}}
    with pytest.raises(DataError, match=r"t\.csv, line 1: `title: 3` is beyond the 2 columns; .* at `titles` in"):
        obtain("mine", tmp_path, {"mine": row(titled)})
    put(tmp_path, "ann,x\nbob,x,3\n")  # the first line alone is short
    with pytest.raises(DataError, match="line 1: 2 columns where there should be 3; complete the line"):
        obtain("mine", tmp_path, {"mine": row(local(**NUMBERS))})


def test_a_file_that_is_not_the_one_meant(tmp_path):
    put(tmp_path, CSV)
    with pytest.raises(DataError, match=rf"stars.csv: sha256 is {sha256(CSV.encode())}, the registry says 000"):
        obtain("mine", tmp_path, {"mine": row(local(sha256="0" * 64))})
    with pytest.raises(DataError, match=r"users=2 items=2 interactions=3 where .* users=3 items=2 interactions=3; get"):
        obtain("mine", tmp_path, {"mine": row(local(), expected={"users": 3, "items": 2, "interactions": 3})})
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); make it a readable file"):
        obtain("mine", tmp_path, {"mine": row(local("mine"))})


def test_unknown_dataset(tmp_path):
    with pytest.raises(DataError, match=r"unknown dataset 'ml100k'; .* has ml-100k, .*; write ml-100k$"):
        obtain("ml100k", tmp_path)
    with pytest.raises(DataError, match="give it a row zzz"):
        obtain("zzz", tmp_path)


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HADYOUNOT_DATA", raising=False)
    assert datasets_module.data_folder() == PROJECT / "data"
    monkeypatch.setenv("HADYOUNOT_DATA", "elsewhere")
    assert datasets_module.data_folder() == PROJECT / "elsewhere"
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    assert datasets_module.data_folder() == tmp_path


# ---- planted world and split


def test_planted_world(tmp_path):
    toy = obtain("toy", tmp_path)
    ratings = toy.ratings
    assert canonical(ratings) == canonical(datasets_module.planted()) != canonical(datasets_module.planted(1))
    lengths = np.bincount(ratings.users)
    assert (len(lengths), lengths.min() >= 12, lengths.max() <= 18) == (60, True, True)
    assert ratings.n_items == 40
    assert set(ratings.values.tolist()) <= set(np.arange(1, 5.5, 0.5).tolist())
    assert not list(tmp_path.iterdir())


def test_planted_world_can_be_learnt():
    """Surprise's SVD with two factors is far better on unseen ratings than its user and item biases."""
    from surprise import SVD, BaselineOnly, Dataset, Reader, accuracy

    ratings = datasets_module.planted()
    train = datasets_module.split(ratings, 0.8, 0, "toy")
    frame = pd.DataFrame({"user": ratings.users, "item": ratings.items, "rating": ratings.values.astype(float)})
    trainset = Dataset.load_from_df(frame[train], Reader(rating_scale=(1, 5))).build_full_trainset()
    unseen = [*frame[~train].itertuples(index=False, name=None)]
    learner = SVD(n_factors=2, n_epochs=300, lr_all=0.02, reg_all=0.02, random_state=0).fit(trainset)
    biases = BaselineOnly(verbose=False).fit(trainset)
    learnt, by_means = (accuracy.rmse(one.test(unseen), verbose=False) for one in (learner, biases))
    assert learnt < 0.6 * by_means


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 300), st.floats(0.05, 0.95), st.integers(0, 99))
def test_split_has_exactly_its_share(n, share, seed):
    ratings = Ratings.from_arrays(["u"] * n, range(n), np.ones(n))
    if not 0 < round(share * n) < n:
        with pytest.raises(DataError, match=f"toy: train_share {share} of {n} ratings leaves .*; choose"):
            datasets_module.split(ratings, share, seed, "toy")
        return
    train = datasets_module.split(ratings, share, seed, "toy")
    assert (train.dtype, train.shape, train.sum()) == (bool, (n,), round(share * n))
    assert (train == datasets_module.split(ratings, share, seed, "toy")).all()


def test_split_depends_on_seed_and_dataset_and_favours_no_rating():
    ratings = Ratings.from_arrays(["u"] * 40, range(40), np.ones(40))
    digests = {
        datasets_module.split_digest(datasets_module.split(ratings, 0.7, seed, name))
        for seed in range(20)
        for name in ("a", "b")
    }
    assert len(digests) == 40
    often = sum(datasets_module.split(ratings, 0.7, seed, "a").astype(int) for seed in range(1000))
    assert np.abs(often - 700).max() < 5 * np.sqrt(1000 * 0.7 * 0.3)


@given(npst.arrays(bool, st.integers(0, 40)))
def test_split_digest_is_of_the_bytes(mask):
    assert datasets_module.split_digest(mask) == sha256(bytes(int(one) for one in mask))


# ---- configuration files


def test_the_registry():
    registry = load_datasets()
    movielens = registry["ml-100k"]
    assert [source.kind for source in movielens.sources] == ["folder", "url", "wheel"]
    assert movielens.sources[1].url == "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
    assert movielens.sources[1].sha256 == "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
    printed = load_published().table2
    assert {name: registry[name].expected for name in printed} == printed
    assert {"toy", "ml-100k-slice"} <= registry.keys()


STUDY = "models: {mf: {kind: mf, factors: 4}}\ncells:\n- {dataset: toy, model: mf}\n"
ROW = "mine:\n  sources:\n  - kind: folder\n    ratings: {path: a.csv, user: u, item: i, rating: r}\n"
BLOCK = """mine:
  sources:
  - kind: folder
    ratings:
      path: a.csv
      separator: {}
      user: u
      item: i
      rating: r
"""


def test_a_study_and_a_registry_that_are_right(tmp_path):
    put(tmp_path, STUDY, "study.yaml")
    put(tmp_path, ROW, "datasets.yaml")
    assert load_study(tmp_path / "study.yaml").models["mf"].factors == 4
    put(tmp_path, STUDY.replace("toy", "mine"), "study.yaml")
    assert load_study(tmp_path / "study.yaml", tmp_path / "datasets.yaml").cells[0].dataset == "mine"
    put(tmp_path, STUDY.replace("toy", "mine") + "datasets: datasets.yaml\n", "study.yaml")
    assert [*load_study(tmp_path / "study.yaml").datasets] == ["mine"]
    put(tmp_path, STUDY + "datasets: dataset.yaml\n", "study.yaml")
    with pytest.raises(
        ConfigError, match=f"{tmp_path}/dataset.yaml: cannot be read .*; write {tmp_path}/datasets.yaml"
    ):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("factors", "factor", ["models.mf.factor: unknown key, with the value 4", "epochs", "write `factors: 4`"]),
        ("factors: 4", "zzz: 4", ["models.mf.zzz: unknown key", "allowed: seed, ", "kind, factors,", "remove zzz"]),
        ("factors: 4", "factors: 0", ["models.mf.factors: Input", "equal to 1, not 0", "write `factors: 16`, say"]),
        ("factors: 4", "factors: four", ["models.mf.factors: ", "valid integer", "not four", "write `factors: 16`"]),
        (
            "kind: mf",
            "kind: mff",
            ["models.mf.kind: unknown kind mff", "allowed: mf, ncf, svd, blackbox", "write `kind: mf`"],
        ),
        ("cells:", "train_share: 1.5\ncells:", ["train_share: ", "not 1.5", "write `train_share: 0.7`, say"]),
        ("dataset: toy", "dataset: 7", ["cells.0.dataset: ", "valid string, not 7", 'write `dataset: "7"`']),
        ("dataset: toy, ", "", ["cells.0.dataset: missing", "write `dataset: ...` (A name from datasets.yaml.)"]),
        (
            "dataset: toy",
            "dataset: toyy",
            ["cells.0.dataset: unknown dataset toyy", "known: ml-100k", "`dataset: toy`"],
        ),
        ("model: mf", "model: mff", ["cells.0.model: unknown model mff", "known: mf", "write `model: mf`"]),
        ("- {dataset", "- 3\n- {dataset", ["cells.0: ", "valid dictionary", "not 3"]),
        (
            "cells:",
            "surrogates: {logistic: {penalties: [1, -2]}}\ncells:",
            ["surrogates.logistic.penalties.1: ", "greater than 0, not -2", "write `penalties: ["],
        ),
        (
            "factors: 4}}",
            "factors: 4}",
            ["study.yaml: line 2: did not find expected ',' or '}'", "cells:", "write `key: value`"],
        ),
        (STUDY, "", ["the file: ", "not null"]),
        (STUDY, "\x07", ["study.yaml: not YAML", "remove"]),
    ],
)
def test_a_wrong_study_is_one_error_that_says_what_to_write(tmp_path, old, new, said):
    assert old in STUDY
    put(tmp_path, STUDY.replace(old, new), "study.yaml")
    with pytest.raises(ConfigError) as error:
        load_study(tmp_path / "study.yaml")
    for part in (str(tmp_path / "study.yaml"), *said):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("user: u", "usr: u", ["mine.sources.0.ratings.usr: unknown key", "write `user: u`"]),
        ("user: u", "usr: u", ["mine.sources.0.ratings.user: missing", "write `user: ...` (Column of the user ids"]),
        ("user: u", "user: 0", ["mine.sources.0.ratings.user: Input should be greater than or equal to 1, not 0"]),
        ("user: u", "user: 3", ["mine.sources.0.ratings: columns are given by name and by number", "one way for all"]),
        ("kind: folder", "kind: folders", ["mine.sources.0.kind: unknown kind folders", "wheel", "`kind: folder`"]),
        ("- kind: folder\n    ", "- ", ["mine.sources.0.kind: unknown kind null", "allowed: folder, url,"]),
        ("user: u", "user: i", ["mine.sources.0.ratings: user and item are both column 'i'; give each one of its own"]),
        ("user: u", "user: u, encoding: utf8x", ["mine.sources.0.ratings.encoding: Python knows no", "utf8x"]),
        ("user: u", "user: u, encoding: rot13", ["mine.sources.0.ratings.encoding: Python knows no", "rot13"]),
        (ROW[21:], "kind: same\n    dataset: mine\n    split: 1\n", ["mine.sources: mine is cut from itself"]),
        ("user: u", "user: u, sha256: abc", ["mine.sources.0.ratings.sha256: ", "not abc", "write `sha256: ...`"]),
        ("path: a.csv", "path: a.json.gz, title: 3", ["mine.sources.0.ratings: columns are given by name and by"]),
        ("user: u, item: i, rating: r", "user: 1, item: 2, rating: 3, width: 0", ["ratings.width: ", "not 0"]),
        ("a.csv, user: u, item: i, rating: r", "a.npz, user: 1, item: 2, rating: 3", ["of a .npz file have names"]),
        (
            "kind: folder",
            f"kind: url\n    url: https://a.b/\n    sha256: {'c' * 64}",
            ["mine.sources.0: sha256 is that of"],
        ),
        (
            "kind: folder",
            "kind: url\n    url: https://a.b/\n    titles: {path: t/a.csv, item: i, title: t}",
            ["mine.sources.0: two files would be kept as a.csv; download them"],
        ),
        ("mine:", "mine:\n  stands_for: yours", ["mine.stands_for: unknown stands_for yours", "write `stands_for: "]),
        ("mine:", "My shop:", ["My shop: ", "write `my-shop:`"]),
        (ROW[21:], "kind: same\n    dataset: yours\n    split: 1\n", ["mine.sources.0.dataset: unknown dataset yours"]),
        ("user: u", 'user: u, separator: ""', ["ratings.separator: should be text within a line, in quotes: a bare |"]),
        (ROW, BLOCK.format("|"), ["ratings.separator: should be text within a line", 'such as ";", "|", "\\t" or']),
        (ROW, BLOCK.format("|\n       x"), ["ratings.separator: should be text within a line"]),
        (
            "user: u",
            r"user: u, separator: '\s+'",
            ['a regular expression: " " stands for a run of spaces too, not \\s+'],
        ),
        (
            ROW,
            BLOCK.format("%"),
            [
                "line 6: found character that cannot start any token",
                "in quotes where the value has signs such as | or %",
            ],
        ),
        ("user: u", "user: u, user: v", ["line 4: the key 'user' is on line 4 already", "rename or remove one of the"]),
        (ROW, ROW + ROW, ["line 5: the key 'mine' is on line 1 already: mine:; rename or remove one of the two"]),
        (
            "a.csv, user: u, item: i, rating: r",
            "a.zip/b.JSONL, user: 1, item: 2, rating: 3",
            ["a .jsonl file have names"],
        ),
        ("mine:", "100:", ["100: ", "write `'100':`"]),
    ],
)
def test_a_wrong_registry_is_one_error_that_says_what_to_write(tmp_path, old, new, said):
    assert old in ROW
    put(tmp_path, ROW.replace(old, new), "datasets.yaml")
    with pytest.raises(ConfigError) as error:
        load_datasets(tmp_path / "datasets.yaml")
    for part in (str(tmp_path / "datasets.yaml"), *said):
        assert part in str(error.value)


def test_what_fields_say_together_is_one_sentence(tmp_path):
    put(tmp_path, ROW.replace("user: u", "user: 3"), "datasets.yaml")
    with pytest.raises(ConfigError, match=r"'rating': 'r'\}; use one way for all$"):
        load_datasets(tmp_path / "datasets.yaml")


def test_every_problem_of_a_file_is_named_at_once(tmp_path):
    put(tmp_path, STUDY.replace("factors: 4", "factors: 0, epoch: 3"), "study.yaml")
    with pytest.raises(ConfigError, match=r"2 to correct\n  models\.mf\.factors: (?s:.*)\n  models\.mf\.epoch: "):
        load_study(tmp_path / "study.yaml")


def test_a_configuration_file_that_is_not_there(tmp_path):
    put(tmp_path, STUDY, "study.yaml")
    with pytest.raises(ConfigError, match=r"studi\.yaml: cannot be read .*has study\.yaml; write .*/study\.yaml"):
        load_study(tmp_path / "studi.yaml")
    put(tmp_path, b"\xff\xfe", "study.yaml")
    with pytest.raises(ConfigError, match=r"study\.yaml: byte 0 is not UTF-8; save the file as UTF-8"):
        load_study(tmp_path / "study.yaml")
