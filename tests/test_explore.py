"""The live notebook: what it answers, what it says to bad questions, and how it does in a real browser."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys

import hadyounot as hyn
import numpy as np
import psutil
import pytest
from hadyounot.study import paths
from hadyounot.study.store import StoreError
from hadyounot.workflow.demo import open_cells
from hadyounot.workflow.explore import TOP, Exploration, claim, listed
from hadyounot.workflow.live import Live
from hadyounot.workflow.notebook import run
from test_notebook import wait_for

BOOK = paths.PROJECT / "notebooks/explore.ipynb"


@pytest.fixture(scope="module")
def cells():
    """Of the toy world, split in a folder of its own."""
    return open_cells({}, "toy", "")


@pytest.fixture
def asked(cells):
    return Exploration(cells[0])


# -- what it answers --------------------------------------------------------------------------------------------------


def test_by_hand_it_has_the_cells_whose_data_are_at_hand_and_the_toy_world(tmp_path, monkeypatch, cells):
    assert [cell.title for cell in cells] == ["Planted toy world × matrix factorisation"]
    monkeypatch.setenv("HADYOUNOT_DATA", str(tmp_path))
    assert [cell.title for cell in open_cells({}, "study", "")] == ["Planted toy world × matrix factorisation"]
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    lines = [f"{user}\t{item}\t{1 + (user * item) % 5}\t0" for user in range(1, 9) for item in range(1, 9)]
    (folder / "u.data").write_text("\n".join(lines))
    (folder / "u.item").write_text("\n".join(f"{item}|Film {item}|" for item in range(1, 9)))
    with pytest.raises(ValueError, match="ml-100k"):  # found, and not as the registry has them
        open_cells({}, "study", "")


def test_a_folder_of_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(
        StoreError, match="nowhere is no folder of a run of study: name that of one, or leave folder em"
    ):
        open_cells({}, "study", str(tmp_path / "nowhere"))


def test_a_finished_run_is_read_as_it_was_split(cells):
    (again,) = open_cells({}, "study", str(cells[0].folder))
    assert again.title == "Planted toy world × matrix factorisation"
    assert np.array_equal(again.train.values, cells[0].train.values)


def test_retraining_moves_the_list_as_retrain_does(asked):
    cell, user = asked.cell, asked.user
    items = asked.history["item"].tolist()[:3]
    first, target = asked.moved, asked.target
    assert (first["rank_before"] == first["rank_after"]).all()
    assert first["rank_before"].tolist() == list(range(1, TOP + 1))
    said = asked.retrain(items)
    (scores,) = cell.recommender().retrain(cell.train, [hyn.Deletion(user, tuple(items))])
    eligible = np.flatnonzero(cell.candidates(user))
    order = eligible[np.argsort(-scores[eligible], kind="stable")]
    after = asked.moved.sort_values("rank_after")
    assert after["item"].tolist()[:TOP] == order[:TOP].tolist() != first["item"].tolist()
    rank = order.tolist().index(target) + 1
    titles = cell.train.titles
    assert re.search(rf"^Retrained without {re.escape(listed(titles[items]))}: {titles[target]} .*rank {rank}\.$", said)
    assert asked.tried[["asked", "user", "rank before", "rank after"]].to_numpy().tolist() == [
        ["Retrain", asked.user_id, 1, rank]
    ]
    assert asked.history["item"].tolist()[:3] == items


@pytest.mark.parametrize(("top_k", "size"), [(1, 3), (3, 2), (1, None)])
def test_explain_claims_what_hyn_explain_does(asked, top_k, size):
    said = asked.explain(top_k, size)
    found = hyn.explain(asked.cell.recommender(), asked.cell.train, asked.user, top_k=top_k, size=size)
    assert said == claim(found, asked.cell.train.titles)
    assert asked.deleted == found.items
    assert asked.tried["rank after"].tolist() == [found.rank_after]


def test_a_claim_says_whether_it_holds():
    explanation = hyn.explain(hyn.BlackBox(Constant), RATINGS, user=0, size=2)
    assert not explanation.valid
    assert claim(explanation, RATINGS.titles) == (
        "Nothing that was tried stops us from recommending d: even without a and b it is rank 1 (3 models retrained)."
    ).replace("3 models", f"{explanation.retrained} models")


RATINGS = hyn.Ratings.from_arrays(["u", "u", "u", "v", "v"], ["a", "b", "c", "d", "e"], [5, 4, 3, 2, 1])


class Constant:
    """Scores that no deletion changes."""

    def fit(self, ratings):
        self.n_items = ratings.n_items

    def scores(self, user):
        return np.array([0, 0, 0, 2, 1.0])[: self.n_items]


def test_find_takes_users_titles_of_the_history_and_others(asked):
    user = asked.find("u1")
    assert user[0] == ("user u1", "user", asked.cell.train.user_ids.tolist().index("u1"))
    row = asked.history.iloc[0]
    assert asked.find(row["title"].upper())[0] == (f"{row['title']}: rated {row['stars']:g} ★", "history", row["item"])
    title = asked.moved["title"].iloc[4]
    assert (f"{title}: rank 5", "candidate", asked.moved["item"].iloc[4]) in asked.find(title)
    assert asked.find("  ") == asked.find("no such thing") == []


def test_another_recommender_of_the_same_dataset_keeps_the_user(asked, cells):
    asked.choose("u7")
    asked.retrain(asked.history["item"][:1])
    asked.open(cells[0])
    assert (asked.user_id, asked.deleted, len(asked.tried)) == ("u7", (), 1)


# -- bad questions ----------------------------------------------------------------------------------------------------


def test_bad_questions_get_a_sentence_and_change_nothing(cells):
    live = Live(cells)
    before = live.exploration.tried
    history = live.exploration.history["item"].tolist()
    for tick in live.ticks.values():
        tick.value = False
    live.retrain.click()
    assert f"Nothing is ticked: tick some of the {len(history)} titles that user " in live.said.value
    live.user.value = "u99"
    assert "toy has no user &#x27;u99&#x27;: give an id such as u" in live.said.value
    with pytest.raises(ValueError, match=rf"^{len(history) + 1} titles are ticked, not all of the {len(history)} that"):
        live.exploration.retrain([*history, live.exploration.target])
    live.target.value = live.target.options[1][1]
    live.explain.click()
    assert re.search(
        r"is rank 2 for user \w+, not among the top 1: choose a better one, or a larger K\.", live.said.value
    )
    live.search.value = "zzz"
    assert "No user and no title is called &#x27;zzz&#x27;" in live.said.value
    assert live.exploration.tried is before
    assert live.unforeseen.outputs == ()
    with pytest.raises(ValueError, match=r"rated \d+ titles, fewer than 99: choose a smaller size\.$"):
        live.exploration.explain(TOP, 99)


# -- the widgets ------------------------------------------------------------------------------------------------------


def test_the_widgets_ask_and_show(cells):
    live = Live(cells)
    live.search.value = "u7"
    live.matches.value = live.matches.options[0][1]
    assert live.user.value == live.exploration.user_id == "u7"
    assert (live.matches.options, live.matches.layout.display, live.search.value) == ((), "none", "")  # of the former
    first = live.lists.value, live.chart.value
    for item in live.exploration.history["item"][:3]:
        live.ticks[item].value = True
    live.retrain.click()
    assert live.said.value.startswith("<p><b>Retrained without Planted item ")
    assert live.lists.value != first[0]
    assert live.chart.value != first[1]
    live.explain.click()
    assert {item for item, tick in live.ticks.items() if tick.value} == set(live.exploration.deleted)
    assert live.exploration.tried["asked"].tolist() == ["Explain", "Retrain", "Explain"]
    assert live.tried.value.count("<tr") == 4


@pytest.mark.slow
def test_run_headless_it_is_a_page_of_stills_of_the_same_bytes(tmp_path):
    made = []
    for name in ("first", "second"):
        run(BOOK, {"config": "toy"}, tmp_path / f"{name}.ipynb", tmp_path / f"{name}.html")
        made.append([(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("ipynb", "html")])
    assert made[0] == made[1]
    log = json.loads(made[0][0])
    (output,) = log["cells"][-2]["outputs"]
    assert sorted(output["data"]) == ["text/html", "text/plain"]
    assert set(log["metadata"]) == {"kernelspec", "language_info"}
    assert b"models retrained)" in made[0][1]
    assert b"data:image/png;base64," in made[0][1]


# -- in a browser -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder, module, *arguments):
    """The address that a server prints, token and all. The server and its kernels end when this is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if name != "JUPYTER_TOKEN"}  # it would not be printed
    env |= {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    env |= {f"JUPYTERLAB_{name}_DIR": str(folder / name) for name in ("SETTINGS", "WORKSPACES")}
    command = [sys.executable, "-m", module, *arguments, f"--port={port}"]
    log = folder / "server.log"
    with log.open("w") as writing:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=writing, stderr=writing)
    try:
        wait_for(lambda: re.search(r"http://127\.0\.0\.1:\S+", log.read_text()), 60)
        (address,) = set(re.findall(r"http://127\.0\.0\.1:\S+", log.read_text()))
        assert f":{port}/" in address
        yield address
    finally:
        family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()
        assert not psutil.wait_procs(family, timeout=10)[1]


def explored(page, cells):
    """Choose a user, tick three, retrain, explain, as a reader does."""
    expected = Exploration(cells[0])
    page.get_by_text("retrained).").first.wait_for(timeout=120_000)
    expected.choose("u7")
    user = page.get_by_label("User", exact=True)
    user.fill("u7")
    user.press("Enter")
    page.get_by_text("Rated by user u7").first.wait_for()
    ticks = page.locator(".widget-checkbox input[type=checkbox]")
    page.wait_for_function(f"document.querySelectorAll('.widget-checkbox').length == {len(expected.history)}")
    lists = page.locator("table.dataframe").first
    before = lists.inner_text()
    for place in range(3):
        ticks.nth(place).check()
    page.get_by_role("button", name="Retrain now").click()
    page.get_by_text(expected.retrain(expected.history["item"][:3])).first.wait_for()
    assert lists.inner_text() != before
    page.get_by_role("button", name="Explain").click()
    found = hyn.explain(expected.cell.recommender(), expected.cell.train, expected.user)
    page.get_by_text(claim(found, expected.cell.train.titles)).first.wait_for()
    user.fill("nobody")
    user.press("Enter")
    page.get_by_text("toy has no user 'nobody': give an id").first.wait_for()


@pytest.fixture
def folder(tmp_path):
    """One that holds the notebook, of the toy world."""
    text = BOOK.read_text()
    assert text.count('= \\"study\\"') == 1
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/explore.ipynb").write_text(text.replace('= \\"study\\"', '= \\"toy\\"'))
    return tmp_path


@pytest.mark.slow
def test_as_a_page_of_its_own(browser, cells, folder):
    arguments = re.search(r"^\t\S+/voila (.+)", (paths.PROJECT / "Makefile").read_text(), re.M)[1].split()
    with served(folder, "voila", *arguments) as address:
        page = browser.new_page()
        page.goto(address.partition("?")[0])
        page.get_by_text("Password or token").first.wait_for()
        page.goto(address)
        explored(page, cells)
        assert not page.get_by_text("open_cells").count(), "voila shows code"
        page.close()


@pytest.mark.slow
def test_in_jupyterlab(browser, cells, folder):
    never = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"
    options = ["--notebook-dir=notebooks", "--ip=127.0.0.1", "--no-browser", "--allow-root", never]
    with served(folder, "jupyterlab", *options) as address:
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.goto(address)
        page.locator(".jp-DirListing-itemText", has_text="explore.ipynb").dblclick()
        page.locator("h1", has_text="Had you not rated these?").wait_for(timeout=60_000)
        # what the notebook's own sign shows before it is connected is idle too, and what is run then is lost
        page.get_by_text(re.compile(r"\| Idle$")).first.wait_for(timeout=60_000)
        page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        page.get_by_text("Run All Cells", exact=True).click()
        explored(page, cells)
        page.close()
