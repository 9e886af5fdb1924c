"""Writes the pages that are made from code, which a test holds them to: ``python -m hadyounot.workflow.docs``."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..report.tables import TABLES, table, verdict
from ..report.tables.common import pipes
from ..study import config, paths, schemas, store


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Configuration models named anywhere in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    if isinstance(field.default, BaseModel):
        return "*see below*"
    return "" if field.default is None else f"`{field.default}`"


def _sections(model: type[BaseModel], heading: str) -> Iterator[str]:
    first = (model.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{name}` | {_default(field)} | {(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in model.model_fields.items()
    ]
    yield "\n".join([f"## {heading}", "", first, "", "| field | default | meaning |", "|---|---|---|", *rows, ""])
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        for each in inner:
            yield from _sections(each, f"{heading}.{name}" + (f" ({each.__name__})" if len(inner) > 1 else ""))


def config_page() -> str:
    """config/README.md: every field of every configuration file."""
    parts = [
        "# Configuration",
        "",
        "*Made from the models of `lib/hadyounot/study/config.py` by `python -m hadyounot.workflow.docs`.*",
        "",
        "| file | what it is |",
        "|---|---|",
        "| `study.yaml` | MovieLens-100K × mf, by its rule and loose, and ncf, at reduced counts: what `make` runs |",
        "| `worlds.yaml` | what decides the numbers: many recommenders, protocols, splits and seeds: `make worlds` |",
        "| `paper.yaml` | all cells at the paper's own counts: `make paper` |",
        "| `smoke.yaml` | a planted world and a slice of MovieLens-100K: `make smoke` and the tests |",
        "| `toy.yaml` | the planted world alone: what a notebook opened by hand shows |",
        "| `datasets.yaml` | the registry of datasets; its head shows the row for your own data |",
        "| `published.yaml` | the numbers printed in the paper |",
        "| `claims.yaml` | what the paper claims, what measures it, and when ours agrees |",
        "",
        "Unknown keys are errors. Any field can be set for one run: `snakemake --config seed=1`. Settings of the",
        "machine (cores, cluster) are in `profiles/`, not here.",
        "",
        *_sections(config.StudyConfig, "study"),
    ]
    return "\n".join(parts)


def files_page() -> str:
    """docs/files.md: every table that a run writes, column by column."""
    parts = [
        "# Files of a run",
        "",
        "*Made from `lib/hadyounot/study/schemas.py` by `python -m hadyounot.workflow.docs`.* Each file is",
        "checked against its schema when it is written and when it is read; a table or figure has a",
        "`.provenance.json` beside it.",
        "",
    ]
    tables = {paths.TABLE.format(table=name): table(name) for name in TABLES}
    for place, schema in (schemas.BY_PATH | {place: each.schema for place, each in tables.items()}).items():
        rows = [f"| `{column}` | {spec.type} | {spec.meaning} |" for column, spec in schema.columns.items()]
        rows += [f"| … | {schema.others.type} | {schema.others.meaning} |"] if schema.others else []
        parts += [f"## `{place}`", "", schema.meaning, "", "| column | type | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


_CLAIMS = "<!-- claims -->\n", "<!-- end of claims -->"


def readme_page() -> str:
    """README.md with its table of claims: that of the snapshot in docs/results/worlds."""
    frame = store.read_csv(paths.PROJECT / "docs/results/worlds/verdict.csv", schemas.VERDICT)
    text = (paths.PROJECT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(_CLAIMS[0])
    _, _, after = rest.partition(_CLAIMS[1])
    table = pipes(verdict.shown(frame).drop(columns="worlds"))
    return f"{before}{_CLAIMS[0]}\n{verdict.counted(frame)}.\n\n{table}\n{_CLAIMS[1]}{after}"


PAGES = {"config/README.md": config_page, "docs/files.md": files_page, "README.md": readme_page}


def main(root: Path = paths.PROJECT) -> None:
    """Write all pages."""
    for place, page in PAGES.items():
        with store.atomic(root / place) as temporary:
            temporary.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
