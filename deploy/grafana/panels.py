"""The kinds of panels that the dashboard has, each with the options that Grafana wants of it.

Source: the types of `@grafana/schema` 13.2, Grafana's own package of the classic format.
"""

from dataclasses import dataclass, field
from string import Template
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Query: TypeAlias = tuple[str, str]
"""An expression, and the name of each of its lines, in which {{label}} is the label's value."""

COLUMNS = 24
"""Of Grafana's grid."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

SELECTED = {
    "on": 'instance=~"$instance"',
    "of": 'instance=~"$instance",model=~"$model"',
    "rate": "$__rate_interval",
}
"""What `$on`, `$of` and `$rate` stand for in an expression: the chosen servers; and models; a time for rates."""


def promql(expr: str) -> str:
    return Template(expr).safe_substitute(SELECTED)


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        kind, unit: Grafana's names.
        width, height: in cells of the grid.
        defaults: of its fields, besides the unit.
        target: how each expression is asked for, besides itself.
    """

    kind: str
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    target: Json
    options: Json
    width: int = 8
    height: int = 8
    defaults: Json = field(default_factory=dict)
    transformations: list[Json] = field(default_factory=list)

    def json(self, number: int, x: int, y: int) -> Json:
        """As Grafana has it, at its place."""
        return {
            "datasource": SOURCE,
            "description": self.description,
            "fieldConfig": {"defaults": {"unit": self.unit} | self.defaults, "overrides": []},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "options": self.options,
            "targets": [self._target(place, *query) for place, query in enumerate(self.queries)],
            "title": self.title,
            "transformations": self.transformations,
            "type": self.kind,
        }

    def _target(self, place: int, expr: str, legend: str) -> Json:
        name = "ABCDEF"[place]
        query = {"editorMode": "code", "expr": promql(expr), "legendFormat": legend, "refId": name}
        return {"datasource": SOURCE} | query | self.target


OVER_TIME = {"instant": False, "range": True}
NOW = {"instant": True, "range": False}
LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(title: str, description: str, unit: str, expr: str, *, bad: float | None = None) -> Panel:
    """One number, red from `bad` on."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if bad is not None:
        steps.append({"color": "red", "value": bad})
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": LAST,
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    defaults = {"noValue": "–", "thresholds": {"mode": "absolute", "steps": steps}}
    return Panel("stat", title, description, unit, ((expr, title),), OVER_TIME, options, 3, 4, defaults)


def chart(title: str, description: str, unit: str, *queries: Query, stack: bool = False) -> Panel:
    """Lines over time, or areas that add up."""
    custom = {
        "fillOpacity": 30 if stack else 5,
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
    }
    legend = {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    defaults = {"custom": custom, "min": 0}
    return Panel("timeseries", title, description, unit, queries, OVER_TIME, options, defaults=defaults)


def table(title: str, description: str, expr: str, columns: dict[str, str], *, width: int) -> Panel:
    """The labels of what there is now.

    Args:
        columns: heading by label; `Value` is the value.
    """
    order = {label: place for place, label in enumerate(columns)}
    transformations: list[Json] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"excludeByName": {}, "indexByName": order, "renameByName": columns}},
    ]
    options = {"cellHeight": "sm", "frameIndex": 0, "showHeader": True}
    target = NOW | {"format": "table"}
    return Panel(
        "table", title, description, "none", ((expr, ""),), target, options, width, transformations=transformations
    )


def heatmap(title: str, description: str, unit: str, expr: str) -> Panel:
    """The buckets of a histogram over time; the expression's only label is `le`."""
    color = {"exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False, "scale": "exponential"}
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": color | {"scheme": "Blues", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    target = OVER_TIME | {"format": "heatmap"}
    return Panel("heatmap", title, description, unit, ((expr, "{{le}}"),), target, options)


def states(title: str, description: str, query: Query, words: tuple[str, str]) -> Panel:
    """Something that is 0 or 1, over time.

    Args:
        words: for 0, which is bad, and for 1.
    """
    meanings = {
        "0": {"color": "red", "index": 1, "text": words[0]},
        "1": {"color": "green", "index": 0, "text": words[1]},
    }
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 70, "lineWidth": 0}
    defaults = {"custom": custom, "mappings": [{"options": meanings, "type": "value"}]}
    return Panel("state-timeline", title, description, "none", (query,), OVER_TIME, options, COLUMNS, defaults=defaults)


def bars(title: str, description: str, unit: str, query: Query, *, width: int) -> Panel:
    """A bar for each value that there is now."""
    options = {
        "displayMode": "basic",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": LAST,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    return Panel("bargauge", title, description, unit, (query,), NOW, options, width, defaults={"min": 0})
