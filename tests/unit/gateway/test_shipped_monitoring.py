"""The alert rules and the Grafana dashboard in configs/ ask only for metrics that there are, in forms that load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wfe.gateway.metrics import ServerMetrics
from wfe.wire.messages import ServerStatus

CONFIGS = Path(__file__).parents[3] / "configs"
RULES = CONFIGS / "prometheus-alerts.yml"
PROMTOOL = shutil.which("promtool")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((CONFIGS / "grafana-dashboard.json").read_text())["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def metrics() -> dict[str, set[str]]:
    """Every metric with its labels, as Prometheus stores it."""
    found = {}
    for family in ServerMetrics(ServerStatus("", "serving", "", "", "", 0, 0)).collect():
        labels = set(getattr(family, "_labelnames", ()))
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = labels
            case "histogram":
                found[f"{family.name}_bucket"] = {*labels, "le"}
            case _:
                found[family.name] = labels
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda text: text if len(text) < 40 else "")
def test_every_metric_and_label_that_is_asked_for_exists(where: str, expression: str) -> None:
    known = metrics()
    used = set(re.findall(r"wfe_\w+", expression))
    assert used, f"{where} asks for nothing of wfe"
    assert used <= known.keys()
    labels = set().union(*(known[name] for name in used))
    grouped = {name.strip() for names in re.findall(r"by \(([^)]*)\)", expression) for name in names.split(",")}
    selected = set(re.findall(r"(\w+)=~?\"", expression))
    assert grouped | selected <= labels


def test_every_alert_says_what_is_wrong_and_how_bad() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_panels_have_places_of_their_own() -> None:
    taken = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
