"""The survey: questions from explanations, the page in a real browser, answers checked, tests against scipy."""

import json
import re
import shutil
from itertools import pairwise
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hadyounot.report.tables import table1
from hadyounot.settings import ConfigError
from hadyounot.study import paths, published, schemas, store, yaml_file
from hadyounot.study.cell import Cell
from hadyounot.study.config import StudyConfig, check_study
from hadyounot.study.methods import METHOD
from hadyounot.study.stages.survey import survey as made_survey
from hadyounot.survey import __main__, analysis
from hadyounot.survey.answers import Answers, AnswersError, collect
from hadyounot.survey.page import page
from hadyounot.survey.power import people_needed, power
from hadyounot.survey.questions import BECAUSE, HAD_YOU_NOT, Explanation, Question, Survey, orders, williams
from hadyounot.workflow.demo import open_cell
from scipy import stats
from statsmodels.stats.multitest import multipletests

METHODS = ["knn", "influence", "linear_reg", "mlp_reg"]


@pytest.fixture(scope="module")
def cell() -> Cell:
    """An evaluated cell of the toy study."""
    return open_cell("85_survey", {}, "toy", "toy", "mf", "")


@pytest.fixture(scope="module")
def survey() -> Survey:
    """Five questions about movies whose titles are hard on HTML and CSV."""
    said = [
        Explanation(method=name, wording=HAD_YOU_NOT if METHOD[name].counterfactual else BECAUSE, items=[f"{name} <b>"])
        for name in METHODS
    ]
    question = Question(
        user="7", history=['</script><i>, "x"', "É"], recommendation="M", explanations=said, identical=[]
    )
    return Survey.of([question] * 5, "Consent.", "The code is 7.", "toy", "mf", "linear_reg", participants=12, seed=3)


def answers_of(survey, participant, ratings=None, **changed):
    """What the page would save."""
    given = ratings if ratings is not None else np.full((5, 4), 3)
    rated = [
        {"question": question + 1, "method": method, "rating": int(given[question][arm])}
        for question in range(5)
        for arm, method in enumerate(METHODS)
    ]
    said = {"version": survey.version, "participant": participant, "movies_a_month": 4, "attention": ["A", "D"]}
    return said | {"familiar": 80, "gender": "female", "age": "21-30", "ratings": rated} | changed


@pytest.fixture
def folder(survey, tmp_path):
    """A folder of simulated answers of 12 people, linear_reg liked best."""
    rng = np.random.default_rng(0)
    (tmp_path / "survey.json").write_text(survey.model_dump_json())
    for person in range(1, 13):
        mean = np.array([2.8, 2.9, 3.5, 3.3]) + rng.normal(0, 0.5)
        ratings = np.clip(np.rint(rng.normal(mean, 0.8, (5, 4))), 1, 5)
        (tmp_path / f"answers_{person:03d}.json").write_text(json.dumps(answers_of(survey, person, ratings)))
    return tmp_path


# -- questions --------------------------------------------------------------------------------------------------------


def test_questions_are_what_was_explained_and_evaluated(cell):
    made, tested = made_survey(cell), cell.read(paths.EVALUATION)
    assert made.methods == METHODS
    assert len({question.user for question in made.questions}) == 5
    titles, ids = cell.ratings.titles, cell.ratings.user_ids.astype(str).tolist()
    for question in made.questions:
        user = ids.index(question.user)
        rows = tested[tested["user"] == user].set_index("method")
        assert question.recommendation == titles[rows["target"].iloc[0]]
        assert set(question.history) == set(titles[cell.train.history(user)])
        for said in question.explanations:
            assert set(said.items) == set(titles[rows["items"][said.method]]) <= set(question.history)
            assert said.wording.startswith("Have you not" if METHOD[said.method].counterfactual else "We recommend")
        alike = {(a, b) for a in METHODS for b in METHODS if a < b and set(rows["items"][a]) == set(rows["items"][b])}
        assert alike == {(a, b) for same in question.identical for a in same for b in same if a < b}
    first = (cell.path(paths.SURVEY).read_bytes(), cell.path(paths.SURVEY_PAGE).read_bytes())
    made_survey(cell)
    assert first == (cell.path(paths.SURVEY).read_bytes(), cell.path(paths.SURVEY_PAGE).read_bytes())


def narrowed(cell, **fields):
    study = cell.study.model_copy(update={"survey": cell.study.survey.model_copy(update=fields)})
    return Cell(study, cell.dataset, cell.model, cell.folder, makes=True)


def test_arms_of_ours_are_shown_if_asked_for_and_long_histories_are_not(cell, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(cell.folder, copied)
    other = narrowed(Cell(cell.study, cell.dataset, cell.model, copied), arms=["verified"])
    assert made_survey(other).methods == [*METHODS, "verified"]
    assert made_survey(other).questions[0].explanations[-1].wording == HAD_YOU_NOT
    few = narrowed(other, longest_history=1)
    told = StudyConfig.given(few.study.part("survey"))  # all that the workflow tells it
    with pytest.raises(ConfigError, match=r"survey.longest_history: 0 test users .* write at least `longest_history: "):
        made_survey(Cell(told, few.dataset, few.model, few.folder, makes=True))
    with pytest.raises(ConfigError, match=r"questions is 500; write a larger explanation.test_users, or fewer quest"):
        made_survey(narrowed(other, questions=500))


def test_a_cell_without_influence_functions_has_no_survey_and_is_told_which_have(cell, tmp_path):
    folder = shutil.copytree(cell.folder, tmp_path / "run")
    other = Cell(cell.study, cell.dataset, cell.model, folder, makes=True)
    tested = other.read(paths.EVALUATION)
    store.write(other.path(paths.EVALUATION), tested[tested["method"] != "influence"], schemas.EVALUATION)
    with pytest.raises(
        ConfigError, match=r"influence explains nothing here; make the survey of a cell of kind mf or ncf"
    ):
        made_survey(other)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_a_williams_square_is_balanced_for_place_and_for_what_comes_before(n):
    square = williams(n)
    places = [np.bincount(column, minlength=n) for column in square.T]
    assert len({count for column in places for count in column}) == 1
    pairs = pd.Series([tuple(pair) for row in square for pair in pairwise(row)]).value_counts()
    assert len(pairs) == n * (n - 1)
    assert pairs.nunique() == 1


def test_orders_are_balanced_within_each_block_and_come_from_the_seed():
    found = orders(4, 5, 10, seed=0)
    assert found.shape == (10, 5, 4)
    for question in range(5):
        for block in (found[:4, question], found[4:8, question]):
            assert sorted(map(tuple, block)) == sorted(map(tuple, williams(4)))
    assert (found == orders(4, 5, 10, seed=0)).all()
    assert (found != orders(4, 5, 10, seed=1)).any()
    assert (found[:, 0] != found[:, 1]).any()


# -- answers ----------------------------------------------------------------------------------------------------------


def test_good_answers_are_all_read(folder):
    found = collect(folder)
    assert [each.participant for each in found.answers] == list(range(1, 13))
    assert found.errors == []


def rewritten(folder, change):
    path = folder / "answers_003.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda c: c["ratings"][4].update(rating=6),
            r"ratings\.4\.rating is 6: input should be less than or equal to 5",
        ),
        (lambda c: c["ratings"][4].update(rating="4"), r"ratings\.4\.rating is '4': input should be a valid integer"),
        (lambda c: c["ratings"][4].pop("rating"), r"ratings\.4\.rating is missing"),
        (lambda c: c["ratings"].pop(4), r"ratings: knn of question 2 is rated 0 times, not once"),
        (lambda c: c["ratings"].append(c["ratings"][0]), r"ratings: knn of question 1 is rated 2 times, not once"),
        (lambda c: c["ratings"][0].update(method="svd"), r"ratings: knn of question 1 is rated 0 times|no explanation"),
        (lambda c: c.pop("familiar"), r"familiar is missing"),
        (lambda c: c.update(familiar=101), r"familiar is 101"),
        (lambda c: c.update(name="Ann"), r"name is 'Ann': extra inputs are not permitted"),
        (lambda c: c.update(participant=13), r"participant is 13, but the survey has orders for 1 to 12"),
        (lambda c: c.update(version="old"), r"version is 'old', but survey\.json beside it is '\w{16}'"),
    ],
)
def test_a_bad_file_is_one_error_that_names_it_and_the_rest_is_read(folder, change, told):
    rewritten(folder, change)
    found = collect(folder)
    (error,) = found.errors
    assert re.search(told, error)
    assert error.startswith(str(folder / "answers_003.json"))
    assert "\n" not in error
    assert [each.participant for each in found.answers] == [1, 2, *range(4, 13)]


def test_a_table_that_contradicts_itself_or_is_no_table_is_one_error(survey, folder):
    said = answers_of(survey, 3)
    rows = [said | {"attention": "A D"} | rating for rating in said.pop("ratings")]
    (folder / "answers_003.json").unlink()
    pd.DataFrame(rows).to_csv(folder / "answers_003.csv", index=False)
    assert [collect(folder).errors, len(collect(folder).answers)] == [[], 12]
    for column, value, told in (("familiar", 5, "familiar is '5' and '80'"), ("rating", 6, "ratings.19.rating is '6'")):
        pd.DataFrame([*rows[:-1], rows[-1] | {column: value}]).to_csv(folder / "answers_003.csv", index=False)
        (error,) = collect(folder).errors
        assert told in error
    (folder / "answers_003.csv").write_text("")
    (error,) = collect(folder).errors
    assert "answers_003.csv: version is missing" in error
    (folder / "answers_003.csv").write_text('version,"' + 200_000 * "x\n")
    (error,) = collect(folder).errors
    assert "answers_003.csv cannot be read (" in error  # what csv takes in a field depends on who has set it before
    (folder / "answers_003.csv").write_text('version,"x\n')
    (error,) = collect(folder).errors
    assert "answers_003.csv cannot be read (unexpected end of data)" in error


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_that_a_spreadsheet_has_saved_is_read(survey, folder, separator):
    said = answers_of(survey, 3)
    rows = [said | {"attention": "A D"} | rating for rating in said.pop("ratings")]
    (folder / "answers_003.json").unlink()
    pd.DataFrame(rows).to_csv(folder / "3.CSV", index=False, sep=separator, encoding="utf-8-sig", lineterminator="\r\n")
    path = folder / "answers_004.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [collect(folder).errors, len(collect(folder).answers)] == [[], 12]


def test_the_same_participant_twice_is_an_error_and_neither_is_counted(folder):
    shutil.copy(folder / "answers_003.json", folder / "again.json")
    found = collect(folder)
    (error,) = found.errors
    assert re.search(r"participant 3 answered 2 times \(again\.json, answers_003\.json\); keep one", error)
    assert 3 not in [each.participant for each in found.answers]


def test_files_of_another_kind_and_damaged_ones_are_said_too(folder):
    (folder / "notes.txt").write_text("")
    (folder / "answers_001.json").write_text("{")
    (folder / ".hidden").write_text("")
    assert [re.search(r"(\w+\.\w+)(?: is neither|: Invalid JSON)", e)[1] for e in collect(folder).errors] == [
        *("answers_001.json", "notes.txt")
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_text("{}"), "version is missing"),
        (lambda path: path.write_text(path.read_text().replace("Consent.", "Sign.")), "so it was changed"),
    ],
)
def test_without_the_survey_that_was_answered_nothing_is_read(folder, change, told, capsys):
    change(folder / "survey.json")
    with pytest.raises(AnswersError, match=told):
        collect(folder)
    assert __main__.main(["check", str(folder)]) == 1
    assert told in capsys.readouterr().err


# -- what they say ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, True),
        ({"attention": ["D", "A"]}, True),
        ({"attention": ["A"]}, False),
        ({"attention": ["A", "B", "D"]}, False),
        ({"movies_a_month": 1}, True),
        ({"movies_a_month": 0}, False),
        ({"familiar": 60}, True),
        ({"familiar": 59}, False),
    ],
)
def test_those_are_excluded_whom_the_paper_excludes(survey, folder, changed, kept):
    for path in folder.glob("answers_*"):
        path.unlink()
    (folder / "one.json").write_text(json.dumps(answers_of(survey, 1, **changed)))
    found = collect(folder)
    assert (len(analysis.kept(found.answers)), len(found.errors)) == (int(kept), 0)


def test_every_reason_is_said_and_people_are_counted(survey):
    said = [answers_of(survey, 1, attention=["B"], movies_a_month=0, familiar=0), answers_of(survey, 2, gender="male")]
    answers = [Answers.model_validate(each) for each in said]
    assert [len(analysis.reasons(each)) for each in answers] == [3, 0]
    counted = analysis.demographics(answers)
    assert counted.to_dict("list") == {
        "what": ["age", "gender", "gender"],
        "answer": ["21-30", "female", "male"],
        "people": [2, 1, 1],
        "share": [1.0, 0.5, 0.5],
    }


def test_what_the_page_offers_is_what_answers_may_hold(survey):
    fields, texts = Answers.model_fields, survey.texts
    assert set(texts.gender_options) == set(get_args(fields["gender"].annotation))
    assert set(texts.age_options) == set(get_args(fields["age"].annotation))
    assert set(texts.attention_options) == set(get_args(get_args(fields["attention"].annotation)[0]))


def test_tests_are_those_of_scipy_by_hand(folder):
    found = collect(folder)
    table = analysis.compared(analysis.ratings(found.answers, found.survey), "linear_reg").set_index("method")
    raw = [json.loads(path.read_text())["ratings"] for path in sorted(folder.glob("answers_*"))]
    means = {m: np.array([np.mean([r["rating"] for r in one if r["method"] == m]) for one in raw]) for m in METHODS}
    p = {m: stats.ttest_rel(means["linear_reg"], means[m], alternative="greater").pvalue for m in METHODS}
    others = sorted((m for m in METHODS if m != "linear_reg"), key=p.get)
    holm = np.maximum.accumulate([min(1, p[m] * (3 - place)) for place, m in enumerate(others)])
    for method in METHODS:
        assert table.loc[method, "mean"] == pytest.approx(means[method].mean())
        assert table.loc[method, "sd"] == pytest.approx(means[method].std(ddof=1))
    for method, corrected in zip(others, holm, strict=True):
        assert table.loc[method, "p_value"] == pytest.approx(p[method])
        assert table.loc[method, "p_holm"] == pytest.approx(corrected)
    assert table.loc["linear_reg", table.columns[3:]].isna().all()


def rated_by(people, taste, seed):
    """Ratings of people who differ, and in what they like by ``taste`` (SD), of methods that are all alike."""
    rng = np.random.default_rng(seed)
    likes = rng.normal(3.5, 0.5, (people, 1)) + rng.normal(0, taste, (people, 4))
    rows = [
        (person + 1, question, METHODS[arm], place, likes[person, arm] + rng.normal(0, 0.8))
        for person in range(people)
        for question in range(1, 6)
        for place, arm in enumerate(rng.permutation(4), 1)
    ]
    return pd.DataFrame(rows, columns=["participant", "question", "method", "place", "rating"])


def test_the_mixed_model_errs_as_means_of_people_do():
    """Every person rates every explanation, so its errors are those of the analysis of variance of people's means."""
    table = rated_by(60, 0.5, 0)
    found = analysis.compared(table, "linear_reg").set_index("method").drop("linear_reg")
    means = table.pivot_table(index="participant", columns="method", values="rating")
    interaction = means.sub(means.mean(axis=1), axis=0) - means.mean() + means.to_numpy().mean()
    error = np.sqrt(2 * (interaction**2).to_numpy().sum() / (59 * 3) / 60)
    assert ((found["mixed_high"] - found["mixed_low"]) / 2).to_numpy() == pytest.approx(1.96 * error, rel=0.03)
    assert found["mixed_difference"].to_numpy() == pytest.approx(found["difference"].to_numpy(), abs=0.03)


@pytest.mark.slow
def test_people_with_tastes_of_their_own_are_no_proof_of_a_difference():
    p = [analysis.compared(rated_by(25, 0.8, seed), "linear_reg")["mixed_p"].dropna() for seed in range(25)]
    assert (pd.concat(p) < 0.05).mean() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("people", [2, 4, 6])
def test_the_paper_s_tests_are_there_where_few_people_answered(people):
    for seed in range(12):
        found = analysis.compared(rated_by(people, 0, seed), "linear_reg")
        assert found["p_value"].notna().sum() == found["p_holm"].notna().sum() == 3


def test_a_model_that_cannot_be_fitted_is_left_out_and_the_tests_are_not(monkeypatch):
    class Singular:
        def fit(self, **options):
            raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(analysis, "mixedlm", lambda *given, **options: Singular())
    found = analysis.compared(rated_by(6, 0, 0), "linear_reg")
    assert found.filter(like="mixed").isna().all(axis=None)
    assert found["p_holm"].notna().sum() == 3


def test_people_who_see_no_difference_show_none_and_one_person_is_too_few(survey, folder):
    for path in folder.glob("answers_*"):
        path.unlink()
    for person in (1, 2):
        ratings = np.random.default_rng(person).integers(1, 6, (5, 1)).repeat(4, axis=1)
        (folder / f"{person}.json").write_text(json.dumps(answers_of(survey, person, ratings)))
    found = collect(folder)
    table = analysis.compared(analysis.ratings(found.answers, survey), "linear_reg")
    assert (table["p_value"].dropna() == 1).all()
    with pytest.raises(AnswersError, match="1 participants are kept, and a test needs 2"):
        analysis.compared(analysis.ratings(found.answers[:1], survey), "linear_reg")


def noncentral(effect, n):
    """Power of the one-sided paired t-test, by scipy."""
    return stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, effect * np.sqrt(n))


@pytest.mark.parametrize(("difference", "correlation", "n"), [(0.217, 0.39, 92), (0.1, 0.0, 30), (0.5, 0.5, 12)])
def test_power_is_that_of_the_noncentral_t(difference, correlation, n):
    effect = difference / np.sqrt(0.87**2 + 0.74**2 - 2 * correlation * 0.87 * 0.74)
    assert power(difference, 0.87, 0.74, correlation, n) == pytest.approx(noncentral(effect, n), rel=1e-6)
    needed = people_needed(difference, 0.87, 0.74, correlation)
    assert noncentral(effect, needed - 1) < 0.8 <= noncentral(effect, needed)


def test_notebook_86_shows_the_power_of_each_difference_that_the_paper_prints():
    printed = published.load_published().user_study
    table = table1.powers(printed)
    best, sds = printed.linear_reg.sd, {METHOD[name].label: getattr(printed, name).sd for name in METHODS}
    for row in table.itertuples():
        sd = sds[row.method]
        effect = row.difference / np.sqrt(best**2 + sd**2 - 2 * row.correlation * best * sd)
        assert row.power == pytest.approx(noncentral(effect, printed.kept), rel=1e-6)
        for needed, found in ((row.people, effect), (row.people_half, effect / 2)):
            assert noncentral(found, needed - 1) < 0.8 <= noncentral(found, needed)
    assert len(table) == 6
    assert (table["correlation"] == 0).sum() == 3  # each as implied, and with none


# -- tables and the command -------------------------------------------------------------------------------------------


def test_the_command_lists_errors_and_exclusions(folder, capsys):
    assert __main__.main(["check", str(folder)]) == 0
    assert "12 participants read, 12 kept; 0 errors" in capsys.readouterr().out
    rewritten(folder, lambda content: content.update(attention=["B"]))
    (folder / "notes.txt").write_text("")
    assert __main__.main(["check", str(folder)]) == 1
    said = capsys.readouterr()
    assert "12 participants read, 11 kept; 1 errors\nparticipant 3 is excluded: attention check failed\n" in said.out
    assert "notes.txt is neither" in said.err


def test_a_study_with_answers_has_a_table_and_a_figure_of_them(folder):
    from hadyounot.report import output, writing

    text = (yaml_file.CONFIG_FOLDER / "toy.yaml").read_text()
    plain = check_study(yaml_file.yaml.safe_load(text), "toy")
    study = check_study(yaml_file.yaml.safe_load(text) | {"answers": "."}, "toy")
    assert set(output.names(study)) - set(output.names(plain)) == {"table1_answers", "figure2_answers"}
    rewritten(folder, lambda content: content.update(familiar=10))
    (folder / "notes.txt").write_text("")
    for name in ("table1_answers", "figure2_answers"):
        writing.write(name, study, folder)
        if name == "table1_answers":
            told = (folder / "tables/table1_answers.md").read_text()
    rows = pd.read_csv(folder / "tables/table1_answers.csv").set_index("method")
    assert rows["paper_mean"].tolist() == [3.586, 3.658, 3.803, 3.789]
    assert (rows["n_people"] == 11).all()
    assert "participant 3: more than 40 % of the movies unfamiliar" in told
    assert "notes.txt is neither" in told
    assert (folder / "figures/figure2_answers.png").stat().st_size > 10_000
    for path in sorted(folder.glob("answers_*"))[3:]:
        path.write_text("{")
    (folder / "answers_001.json").unlink()
    with pytest.raises(AnswersError, match="1 participants are kept") as raised:  # and why so few is not lost
        writing.write("table1_answers", study, folder)
    lines = str(raised.value).splitlines()
    assert lines[1] == "participant 3: more than 40 % of the movies unfamiliar"
    assert sum("Invalid JSON" in line for line in lines) == 9


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_names_nothing_outside_itself(survey):
    text = page(survey)
    assert not re.search(r"https?:|\b(?:src|href)=", text)
    assert "default-src 'none'" in text
    assert text.count("</script>") == 2


@pytest.fixture
def browser_page(browser, survey, tmp_path_factory):
    """The survey of participant 5, opened from a file in a headless browser that may not use the network."""
    path = tmp_path_factory.mktemp("page") / "survey.html"
    path.write_text(page(survey), encoding="utf-8")
    with browser.new_context(accept_downloads=True, offline=True) as context:
        opened = context.new_page()
        faults = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        opened.goto(f"{path.as_uri()}#5")
        yield opened
        assert faults == []


def focused(opened):
    """Name, type and value of the element that has the focus."""
    return opened.evaluate("(({name, type, value}) => [name, type, value])(document.activeElement)")


def pressed(opened, steps):
    """By keyboard alone: ``steps`` maps the name of a field to what is pressed there; then Next."""
    for _ in range(40):
        opened.keyboard.press("Tab")
        name, kind, value = focused(opened)
        for key in steps.pop((name, value), steps.pop(name, [])):
            opened.keyboard.press(key)
        if kind == "submit":
            opened.keyboard.press("Enter")
            return
    raise AssertionError("Next is not reached by the Tab key")


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_browser_fills_it_in_by_keyboard_and_what_it_saves_is_read(browser_page, survey, folder, kind):
    opened = browser_page
    wanted = {
        (question + 1, method): 1 + (question + arm) % 5 for question in range(5) for arm, method in enumerate(METHODS)
    }
    pressed(opened, {})  # nothing said: it stays, says why, and goes there
    assert "Please choose: Consent" in opened.get_by_role("alert").inner_text()
    assert focused(opened)[0] == "consent"
    opened.keyboard.press("Space")
    pressed(opened, {"monthly": ["3"]})
    for number in (1, 2, 3, None, 4, 5):
        if number is None:
            assert survey.texts.attention in opened.locator("legend").inner_text()
            pressed(opened, {("attention", "A"): ["Space"], ("attention", "D"): ["Space"]})
            continue
        assert opened.get_by_role("heading", level=1).inner_text() == f"Question {number} of 5"
        assert opened.get_by_role("list", name="Movies watched").inner_text().splitlines() == ['</script><i>, "x"', "É"]
        if number == 1:
            pressed(opened, {})
            said = opened.get_by_role("alert")
            assert said.inner_text() == "Please rate this one from 1 to 5: Explanation 1 of 4"
            assert said.evaluate("(e) => e.closest('fieldset').contains(document.activeElement)")
            top, high = said.evaluate("(e) => [e.getBoundingClientRect().top, innerHeight]")
            assert 0 < top < high
            first = opened.locator("fieldset.explanation").first
            heard = first.evaluate("(e) => document.getElementById(e.getAttribute('aria-describedby')).ariaLabel")
            assert heard is None
            snapshot = first.aria_snapshot()
            assert f"{METHODS[survey.orders[4][0][0]]} <b>" in snapshot
            opened.get_by_role("heading", level=1).focus()
        shown = opened.locator("fieldset.explanation li").all_inner_texts()
        assert shown == [f"{METHODS[arm]} <b>" for arm in survey.orders[4][number - 1]]
        steps = {}
        for method in METHODS:  # Space chooses 1, each arrow one more
            steps[f"{number}|{method}"] = ["Space", *["ArrowRight"] * (wanted[number, method] - 1)]
        pressed(opened, steps)
    assert opened.get_by_role("heading", level=1).inner_text() == "About you"
    for key in ("Tab", "7", "5", "Tab", "Space", "Tab", "Space", "ArrowRight", "Tab", "Enter"):
        opened.keyboard.press(key)
    shown = opened.get_by_label("Your answers")
    assert json.loads(shown.input_value())["participant"] == 5
    assert "The code is 7." in opened.locator("main").inner_text()
    for _ in range(2 if kind == "json" else 3):  # past the text
        opened.keyboard.press("Tab")
    with opened.expect_download(timeout=5000) as download:
        opened.keyboard.press("Enter")
    assert download.value.suggested_filename == f"answers_005.{kind}"
    (folder / "answers_005.json").unlink()
    download.value.save_as(folder / f"answers_005.{kind}")
    found = collect(folder)
    assert found.errors == []
    (mine,) = [each for each in found.answers if each.participant == 5]
    assert {(rating.question, rating.method): rating.rating for rating in mine.ratings} == wanted
    assert (mine.movies_a_month, mine.familiar, mine.attention) == (3, 75, ["A", "D"])
    assert (mine.gender, mine.age) == ("female", "21-30")
    assert analysis.reasons(mine) == []
    for _ in range(8):
        opened.get_by_role("button", name="Back").click()
    assert opened.get_by_label("Your participant number").get_attribute("readonly") is not None
    assert len(analysis.compared(analysis.ratings(found.answers, found.survey), "linear_reg")) == 4


def test_p_values_of_each_kind_are_corrected_with_their_like():
    ratings = rated_by(60, 0.5, 0)
    ratings["rating"] += 0.4 * (ratings["method"] == "linear_reg")  # or all that are corrected are 1
    found = analysis.compared(ratings, "linear_reg").dropna(subset="mixed_p")
    for p, holm in (("p_value", "p_holm"), ("mixed_p", "mixed_p_holm")):
        assert found[holm].tolist() == pytest.approx(multipletests(found[p], method="holm")[1].tolist())
    assert (found["mixed_p_holm"] != found["p_holm"]).any()
