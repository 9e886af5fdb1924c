"""The executed notebooks of a run as a site that needs no network, in the paper's order, with a search.

``python -m hadyounot.workflow.site STUDY RUN SITE``; it is Sphinx with MyST-NB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from ..settings import ConfigError
from ..study import paths
from ..study.cell import Cell
from ..study.config import StudyConfig, load_study
from ..study.stages import STAGES
from .notebook import heading, typeset

TITLE = "Had you not: the executed notebooks"
SETTINGS = f"""\
project = html_title = "{TITLE}"
extensions = ["myst_nb"]
nb_execution_mode = "off"
html_theme_options = {{"page_width": "1120px", "sidebar_width": "280px", "show_powered_by": False}}
html_show_sourcelink = html_show_copyright = html_copy_source = False
html_static_path, html_css_files = ["wide"], ["wide.css"]
"""
WIDE = "div.cell_output { overflow-x: auto; }\n"  # a wide table scrolls by itself


def site(study: StudyConfig, run: Path, folder: Path) -> int:
    """Build it; how many notebooks are in it.

    Args:
        study: whose run.
        run: its folder.
        folder: of the site, whose first page is ``index.html``.

    Raises:
        FileNotFoundError: nothing was executed in ``run``.
        RuntimeError: Sphinx said that something is wrong.
    """
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as source:
        count = _write_source(study, run, Path(source))
        if count == 0:
            raise FileNotFoundError(f"{run} has no executed notebook of this study: run it first, as `make` does")
        if build_main(["-q", "-E", "-d", f"{source}/.doctrees", source, str(folder)]):
            raise RuntimeError(f"{folder}: Sphinx could not build the site; what it says is above")
    return count


def _write_source(study: StudyConfig, run: Path, source: Path) -> int:
    """What Sphinx reads: a page for each notebook of the study that ran to its end, and one that lists them. How many
    notebooks there are.
    """
    import nbformat

    cells = Cell.all_of(study, run)
    places = {cell.dataset: study.titles[cell.dataset] for cell in cells}
    places |= {f"{cell.dataset}/{cell.model}": cell.title for cell in cells} | {"all": "All of them together"}
    run_of_each = {f"{cell.dataset}/{cell.model}": cell for cell in cells} | {cell.dataset: cell for cell in cells}
    index, count = [f"# {TITLE}\n"], 0
    for place, title in places.items():
        entries = []
        for path in sorted(run.glob(paths.EXECUTED.format(cell=place, notebook="*"))):
            stage = next((name for name in STAGES if path.stem.startswith(name)), path.stem)
            part = path.stem.removeprefix(stage).removeprefix("_")  # of a stage in parts: which
            former = stage in STAGES and part not in STAGES[stage].of(run_of_each[place])
            if former or not (run / paths.HTML.format(cell=place, notebook=path.stem)).exists():  # or it failed
                continue
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = typeset(cell.source)
                elif "hide" in cell.metadata.get("tags", []):
                    cell.metadata.tags.append("remove-input")
            page = source / place / path.name
            page.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, page)
            named = ": ".join(filter(None, [heading(notebook), part.replace("_", " ")]))
            entries.append(f"{named} <{place}/{path.stem}>")
        if entries:
            index += [f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n", *entries, "```\n"]
        count += len(entries)
    (source / "index.md").write_text("\n".join(index), encoding="utf-8")
    (source / "conf.py").write_text(SETTINGS, encoding="utf-8")
    (source / "wide").mkdir()
    (source / "wide/wide.css").write_text(WIDE, encoding="utf-8")
    return count


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 for success."""
    parser = argparse.ArgumentParser(prog="python -m hadyounot.workflow.site", description=__doc__.split("\n")[0])
    for name, meaning in (("study", "its YAML"), ("run", "its folder"), ("folder", "where to, of the site")):
        parser.add_argument(name, type=Path, help=meaning)
    given = parser.parse_args(arguments)
    try:
        count = site(load_study(given.study), given.run, given.folder)
    except (ConfigError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.folder / 'index.html'}: {count} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
