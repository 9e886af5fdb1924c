"""Reads YAML, and says what is wrong with it: the field, what is allowed, and what to write instead."""

import difflib
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError

from ..settings import ConfigError
from .paths import PROJECT

T = TypeVar("T")
CONFIG_FOLDER = PROJECT / "config"


def unknown_name(key: str, value: str, known: Iterable[str]) -> list[str]:
    """Problems, for ``report``, with a ``value`` of ``key`` that is not ``known``."""
    return [
        f"unknown {key} {as_yaml(value)}",
        f"known: {', '.join(known)}",
        f"write `{key}: {nearest(value, known) or '...'}`",
    ]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Safe YAML in which a key given twice is an error; what a merge (<<) brings may be given anew."""

    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        found, left = set(), [root] if root else []
        while left:
            node = left.pop()
            if id(node) in found or isinstance(node, yaml.ScalarNode):  # *alias: the node itself
                continue
            found.add(id(node))
            if isinstance(node, yaml.MappingNode):
                _refuse_twice(key for key, _ in node.value)
                left += [value for _, value in node.value]
            else:
                left += node.value
        return root


def _refuse_twice(keys: Iterable[yaml.Node]) -> None:
    lines = {}
    for key in keys:
        named, mark = (key.tag, str(key.value)), key.start_mark
        if named in lines:
            said = f"the key {key.value!r} is on line {lines[named]} already"
            raise yaml.MarkedYAMLError(problem=said, problem_mark=mark, note="rename or remove one of the two")
        lines[named] = mark.line + 1


def parsed_yaml(path: Path) -> object:
    """What a YAML file holds.

    Raises:
        ConfigError: it cannot be read, or is no YAML; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, _Loader)
    except OSError as error:
        there = sorted(file.name for file in path.parent.glob("*.yaml"))
        near = nearest(path.name, there)
        fix = f"; write {path.with_name(near)}" if near else ""
        found = f"; {path.parent} has {', '.join(there)}" if there else ""
        raise ConfigError(f"{path}: cannot be read ({error.strerror}){found}{fix}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line
        fix = (
            error.note
            or "write `key: value`, a space after the colon, indented by spaces like its neighbours, and "
            "in quotes where the value has signs such as | or %"
        )
        said = "".join(text.splitlines()[line : line + 1]).strip() or "the end of the file"
        raise ConfigError(f"{path}: line {line + 1}: {error.problem}: {said}; {fix}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({error}); remove the character") from None


def load(path: Path, kind: type[T]) -> T:
    """What a YAML file holds, as that type.

    Raises:
        ConfigError: the file is missing or no YAML, or a field is wrong.
    """
    try:
        return TypeAdapter(kind).validate_python(parsed_yaml(path))
    except ValidationError as error:
        raise ConfigError(report(path, problems_of(error, kind))) from None


def report(path: Path | str, problems: dict[str, list[str]]) -> str:
    """The message of a ConfigError: what is wrong with each field of ``path``, and what to write."""
    blocks = ["\n    ".join([f"{field}: {lines[0]}", *lines[1:]]) for field, lines in problems.items()]
    return "\n  ".join([f"{path}: {len(blocks)} to correct", *blocks])


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that is spelled most like ``word``; None where none is."""
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)), None)


def as_yaml(value: object) -> str:
    """The value as YAML in one line of bearable length."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return textwrap.shorten(text.removesuffix("...\n"), 200)


def _members(annotation: object) -> list:
    """The types that a value may have, other than None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _members(each) if member is not NoneType]
    return [annotation]


def _tags(members: list) -> list[str]:
    return [member.model_fields["kind"].default for member in members if "kind" in getattr(member, "model_fields", ())]


def problems_of(error: ValidationError, annotation: object) -> dict[str, list[str]]:
    """What is wrong, what is allowed and what to write instead, by dotted field."""
    problems = {}
    for one in error.errors():
        keys, model, name, field, members = [], None, None, None, _members(annotation)
        for step in one["loc"]:
            if len(members) > 1:  # not a key in the file but the member of the union that pydantic tried
                members = [member for member in members if _tags([member]) == [step]]
            elif members and step != "[key]":
                keys.append(step)
                if hasattr(members[0], "model_fields"):
                    model, name, field = members[0], step, members[0].model_fields.get(step)
                    members = _members(field.annotation) if field else []
                else:  # a dict or a list
                    members = _members(get_args(members[0])[-1])
        if one["type"] == "value_error" and keys and hasattr(members[0], "model_fields"):
            problems[".".join(map(str, keys))] = [one["msg"].removeprefix("Value error, ")]  # of fields together
            continue
        value, kind, default = one["input"], one["type"], field.default if field else None
        allowed = list(model.model_fields) if model else []
        said = one["msg"].removeprefix("Value error, ") + (
            f", not {as_yaml(value)}" if keys or not isinstance(value, dict) else ""
        )
        fix = f"write `{keys[-1]}: ...` ({field.description})" if field else "see config/README.md"
        if kind == "extra_forbidden":
            near = nearest(keys[-1], allowed)
            said = f"unknown key, with the value {as_yaml(value)}"
            fix = f"write `{near}: {as_yaml(value)}`" if near else f"remove {keys[-1]}"
        elif kind == "missing":
            said = "missing"
        elif kind.startswith("union_tag"):
            keys, allowed = [*keys, "kind"], _tags(members)
            given = value.get("kind") if isinstance(value, dict) else value
            said, fix = f"unknown kind {as_yaml(given)}", f"write `kind: {nearest(given, allowed) or allowed[0]}`"
        elif one["loc"][-1:] == ("[key]",):
            fix = f"write `{as_yaml(re.sub('[^a-z0-9._-]+', '-', str(keys[-1]).lower()).strip('-._'))}:`"
        elif kind == "string_type" and isinstance(value, int | float):
            fix = f'write `{keys[-1]}: "{value}"`'
        elif isinstance(default, str | int | float | list):
            fix = f"write `{name}: {as_yaml(default)}`, say"
        problems[".".join(map(str, keys)) or "the file"] = [
            said,
            *([f"allowed: {', '.join(allowed)}"] if allowed else []),
            fix,
        ]
    return problems
