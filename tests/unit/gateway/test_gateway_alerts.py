"""The alert rules and the dashboard that are shipped: well-formed, and about metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIGS = Path(__file__).parents[3] / "configs"
ALERTS = CONFIGS / "prometheus" / "alerts.yaml"
DASHBOARD = CONFIGS / "grafana" / "wfe.json"
PAGE = CONFIGS.parent / "docs" / "observability.md"


def known_metrics() -> dict[str, set[str]]:
    """Labels by the names of samples, as the documentation has them."""
    found: dict[str, set[str]] = {"wfe_gateway_process_resident_memory_bytes": set()}
    for name, kind, labels in re.findall(r"^\| `(wfe_[a-z_]+)` \| (\w+) \| ([a-z, ]*)\|", PAGE.read_text(), re.M):
        names = {label.strip() for label in labels.split(",") if label.strip()}
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            found[name + suffix] = names | ({"le"} if suffix == "_bucket" else set())
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules()] + [each["expr"] for panel in panels for each in panel["targets"]]


def test_every_expression_is_about_metrics_and_labels_that_there_are() -> None:
    known = known_metrics()
    assert len(known) > 30
    for text in expressions():
        used = re.findall(r"\b(wfe_[a-z_]+)(?:\{([^}]*)\})?", text)
        assert used, text
        for name, labels in used:
            assert name in known, (name, text)
            given = set(re.findall(r"(\w+)\s*=", labels))
            assert given <= known[name], (name, given - known[name])
        assert text.count("(") == text.count(")"), text


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_the_dashboard_has_what_grafana_needs() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules_and_the_panels_expressions(tmp_path: Path) -> None:
    panels = tmp_path / "panels.yaml"
    filled = [text.replace("$__rate_interval", "5m").replace("$workflow", ".*") for text in expressions()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(filled)]
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for file in (ALERTS, panels):
        done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
