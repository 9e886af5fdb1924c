"""The widgets of notebooks/explore.ipynb: they ask an ``Exploration``, and show what it says."""

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd

from ..report.figures import slope
from ..study.cell import Cell
from .explore import TOP, Exploration

SIZES = [("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5), ("the fewest", None)]


class Live:
    """A page on which to choose, tick, retrain and explain; it opens with one explanation of one user.

    Shown as widgets where a kernel lives, and as the same content, still, where none does.

    Args:
        cells: to choose from; the first is opened.
    """

    def __init__(self, cells: Sequence[Cell]):
        self.exploration = Exploration(cells[0])
        wide, self.fixed = widgets.Layout(width="340px"), widgets.Layout(width="97%", min_height="24px")
        told = {"style": {"description_width": "120px"}, "layout": wide}
        self.cell = widgets.Dropdown(options=[(cell.title, cell) for cell in cells], description="Recommender", **told)
        self.user = widgets.Text(description="User", continuous_update=False, **told)
        self.search = widgets.Text(description="Find", placeholder="a user or a title", **told)
        self.matches = widgets.Select(options=[], rows=5, layout=widgets.Layout(width="420px", display="none"))
        self.history = widgets.VBox(
            layout=widgets.Layout(height="330px", width="330px", overflow="auto", display="block")
        )
        self.target = widgets.Dropdown(description="Recommendation", **told)
        self.top_k = widgets.Dropdown(options=[1, 3, 5, TOP], description="out of the top", **told)
        self.size = widgets.Dropdown(options=SIZES, value=3, description="titles to name", **told)
        self.retrain = widgets.Button(description="Retrain now", button_style="primary")
        self.explain = widgets.Button(description="Explain", button_style="primary")
        self.heading, self.said, self.lists, self.tried = (widgets.HTML() for _ in range(4))
        self.chart = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.unforeseen = widgets.Output()
        self.ticks: dict[int, widgets.Checkbox] = {}
        self.filling = False
        for widget, act in (
            (self.cell, lambda: self._open(self.exploration.open, self.cell.value)),
            (self.user, lambda: self._open(self.exploration.choose, self.user.value)),
            (self.search, self._find),
            (self.matches, self._take),
            (self.target, self._follow),
        ):
            widget.observe(self._answering(act), "value")
        self.retrain.on_click(self._answering(self._retrain))
        self.explain.on_click(self._answering(self._explain))
        self._answering(self._begin)()

    def _answering(self, act: Callable[[], None]) -> Callable:
        """A callback that says in a sentence what was wrong with a question; any other error is shown on the page."""

        def callback(_: Any = None) -> None:
            if self.filling:  # it is we who set the value, no reader
                return
            with self.unforeseen:
                try:
                    act()
                except ValueError as error:
                    self.said.value = f'<p class="wrong"><b>{escape(str(error))}</b></p>'

        return callback

    def _begin(self) -> None:
        self._fill()
        self._explain()

    def _open(self, choose: Callable, value: Any) -> None:
        choose(value)
        self._fill()
        self.said.value = "<p>Tick titles and retrain without them, or ask for an explanation.</p>"

    def _fill(self) -> None:
        """Show the user's history anew, with nothing ticked, and the list."""
        history = self.exploration.history
        self.ticks = {
            row.item: widgets.Checkbox(description=f"{row.stars:g} ★  {row.title}", indent=False, layout=self.fixed)
            for row in history.itertuples()
        }
        self.heading.value = f"<b>Rated by user {escape(self.exploration.user_id)}</b> ({len(history)} to train on)"
        self.filling = True  # what was found is of another user's list
        self.search.value, self.matches.options = "", []
        self.filling = False
        self.matches.layout.display = "none"
        self._draw()

    def _draw(self) -> None:
        asked = self.exploration
        moved = asked.moved.sort_values("rank_before", kind="stable")
        self.filling = True
        self.user.value = asked.user_id
        self.target.options = [(f"{row.rank_before}  {row.title}", row.item) for row in moved.itertuples()]
        self.target.value = asked.target
        self.filling = False
        self.history.children = tuple(self.ticks[item] for item in asked.history["item"])
        self.lists.value = _lists(asked.moved, asked.target)
        drawn = io.BytesIO()
        slope(asked.moved, asked.target, TOP).savefig(drawn, dpi=110)
        self.chart.value = drawn.getvalue()
        self.tried.value = _html(asked.tried) if len(asked.tried) else ""

    def _retrain(self) -> None:
        said = self.exploration.retrain(item for item, tick in self.ticks.items() if tick.value)
        self._draw()
        self.said.value = f"<p><b>{escape(said)}</b></p>"

    def _explain(self) -> None:
        said = self.exploration.explain(self.top_k.value, self.size.value)
        for item, tick in self.ticks.items():
            tick.value = item in self.exploration.deleted
        self._draw()
        self.said.value = f"<p><b>{escape(said)}</b></p>"

    def _follow(self) -> None:
        self.exploration.follow(self.target.value)
        self._draw()

    def _find(self) -> None:
        found = self.exploration.find(self.search.value)
        self.filling = True
        self.matches.options = [(text, (kind, index)) for text, kind, index in found]
        self.matches.value = None
        self.filling = False
        self.matches.layout.display = "" if found else "none"
        if (text := self.search.value.strip()) and not found:
            raise ValueError(f"No user and no title is called {text!r}: give the start of an id, or a part of a title.")

    def _take(self) -> None:
        kind, index = self.matches.value
        if kind == "user":
            self._open(self.exploration.choose, str(self.exploration.cell.train.user_ids[index]))
        elif kind == "history":
            self.ticks[index].value = True
        else:
            self.exploration.follow(index)
            self._draw()

    @property
    def page(self) -> widgets.VBox:
        """All widgets, laid out."""
        chosen = widgets.VBox([self.cell, self.user, self.target, self.top_k, self.size])
        searched = widgets.VBox([self.search, self.matches, widgets.HBox([self.retrain, self.explain])])
        row = widgets.Layout(flex_flow="row wrap", grid_gap="12px")
        return widgets.VBox(
            [
                widgets.HBox([chosen, searched], layout=row),
                self.said,
                widgets.HBox([widgets.VBox([self.heading, self.history]), self.chart], layout=row),
                self.lists,
                self.tried,
                self.unforeseen,
            ]
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        history = self.exploration.history.head(len(self.exploration.deleted) + TOP)
        history = pd.DataFrame(
            {
                "deleted": ["×" * (item in self.exploration.deleted) for item in history["item"]],
                "title": history["title"],
                "stars": history["stars"].map("{:g} ★".format),
            }
        )
        image = base64.b64encode(self.chart.value).decode()
        parts = [
            f"<p>{escape(self.cell.value.title)}</p>{self.said.value}{self.heading.value}{_html(history)}",
            f'<img alt="ranks before and after retraining" src="data:image/png;base64,{image}">',
            f"{self.lists.value}{self.tried.value}",
        ]
        return self.page._repr_mimebundle_(**options) | {"text/html": "\n".join(parts), "text/plain": self.said.value}


def _lists(moved: pd.DataFrame, target: int) -> str:
    """Both lists beside each other; the target is bold, and below the lists where it is in neither."""

    def row(each: Any, rank: int) -> tuple[int, str]:
        title = escape(each.title)
        return rank, f"<b>{title}</b>" if each.item == target else title

    columns = {}
    for when in ("before", "after"):
        ranked = moved.sort_values(f"rank_{when}", kind="stable")
        ranked = ranked[(ranked[f"rank_{when}"] <= TOP) | (ranked["item"] == target)]
        rows = [row(each, getattr(each, f"rank_{when}")) for each in ranked.itertuples()]
        columns |= {(when, "rank"): pd.Series([rank for rank, _ in rows], dtype="Int64")}
        columns |= {(when, "title"): pd.Series([title for _, title in rows], dtype=object)}
    return pd.DataFrame(columns).to_html(index=False, escape=False, border=0, na_rep="")


def _html(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, border=0)
