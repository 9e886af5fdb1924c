"""What a user may get wrong in a study: one error that names the field, or the study is what it says; never a crash."""

import copy

from hadyounot.settings import ConfigError
from hadyounot.study.config import StudyConfig, check_study, load_study
from hadyounot.study.paths import PROJECT
from hadyounot.study.yaml_file import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

SMOKE = yaml.safe_load((PROJECT / "config/smoke.yaml").read_text())
FILE = {"path": "a.csv", "user": "u", "item": "i", "rating": "r"}
ROW = {"toy": {"title": "T", "sources": [{"kind": "folder", "ratings": FILE}]}}


def places(value, at=()):
    """Paths of everything in a study."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*at, key))


def put(study, at, value):
    """A copy of ``study`` with ``value`` at a place."""
    if not at:
        return value
    study = copy.deepcopy(study)
    part = study
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = value
    return study


leaf = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["toy", "mf", "ml-100k", "a/b", "../x", "hadyounot.retrain.peers:SurpriseSVD", "os:getcwd", ":"])
)
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | leaf, inner, max_size=3),
    max_leaves=6,
)


def test_the_studies_that_are_spoilt_are_good_ones():
    for study in (SMOKE, SMOKE | {"datasets": ROW}):
        assert isinstance(check_study(study, "mine.yaml"), StudyConfig)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([SMOKE, SMOKE | {"datasets": ROW}]).flatmap(
        lambda study: st.tuples(st.just(study), st.sampled_from([*places(study)]))
    ),
    anything,
)
def test_whatever_a_study_says_it_is_a_study_or_one_error(where, value):
    study, at = where
    try:
        assert isinstance(check_study(put(study, at, value), "mine.yaml"), StudyConfig)
    except ConfigError as error:
        assert str(error).startswith("mine.yaml")  # noqa: PT017, as either is right


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2_500), st.text(max_size=6) | st.sampled_from([": ", "\n  ", "{", "!!python/object:os.system", "&a"])
)
def test_whatever_a_file_holds_it_is_a_study_or_one_error(tmp_path_factory, at, noise):
    path = tmp_path_factory.mktemp("study") / "mine.yaml"
    text = (PROJECT / "config/smoke.yaml").read_text()
    path.write_text(text[:at] + noise + text[at:], encoding="utf-8")
    try:
        assert isinstance(load_study(path), StudyConfig)
    except ConfigError as error:
        assert "mine.yaml" in str(error)  # noqa: PT017, as either is right
