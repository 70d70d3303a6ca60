"""What a run waits for, as lines: waits that are alike are told once, whatever differs is told."""

from __future__ import annotations

from typing import Any

from wfe.cli.runs import print_run
from wfe.cli.waits import condensed
from wfe.cli.why import lines
from wfe.client.views import run_document
from wfe.client.why import Blocker, Explanation, why_document
from wfe.wire.messages import RunView, Waiting
from wfe.wire.runs import WAITING_MAX


def _wait(node: str, kind: str = "worker", detail: str = "pack", **more: Any) -> tuple[str, dict[str, Any]]:
    return f"{kind} of {node}", {"kind": kind, "node": node, "detail": detail, **more}


def _texts(*waits: tuple[str, dict[str, Any]]) -> list[str]:
    return [text for text, _ in condensed(list(waits))]


def test_many_items_of_a_map_are_three_lines_and_their_number() -> None:
    found = _texts(*(_wait(f"pack[{item}]") for item in range(50)))
    assert found == ["worker of pack[0]", "worker of pack[1]", "worker of pack[2]", "and 47 more of node pack likewise"]


def test_a_line_that_would_only_stand_for_one_other_is_not_written() -> None:
    assert _texts(*(_wait(f"pack[{item}]") for item in range(4))) == [f"worker of pack[{item}]" for item in range(4)]


def test_waits_of_other_kinds_nodes_details_and_reasons_are_all_told() -> None:
    odd = (
        _wait("pack[9]", kind="retry"),
        _wait("send[9]"),
        _wait("pack[8]", detail="other"),
        _wait("pack[7]", reason="slots"),
    )
    found = _texts(*(_wait(f"pack[{item}]") for item in range(20)), *odd)
    assert found[3] == "and 17 more of node pack likewise"
    assert found[4:] == [text for text, _ in odd]


def test_where_the_server_tells_no_more_the_last_line_says_so() -> None:
    found = _texts(*(_wait(f"pack[{item}]") for item in range(WAITING_MAX)))
    assert found[-2:] == [
        f"and {WAITING_MAX - 3} more of node pack likewise",
        f"perhaps more: no more than {WAITING_MAX} are told",
    ]


def test_get_and_why_of_a_wide_map_fit_on_a_screen(capsys: Any) -> None:
    view = RunView(
        "run-1", "flow", 1, "running", waiting_for=[Waiting("worker", f"pack[{n}]", "pack") for n in range(50)]
    )
    print_run(run_document(view))
    shown = capsys.readouterr().out
    assert "a worker for task pack (node pack[2])" in shown
    assert "and 47 more of node pack likewise" in shown
    assert "pack[3]" not in shown
    blockers = [Blocker("worker", f"pack[{n}]", "nobody", f"node pack[{n}] waits", "pack") for n in range(50)]
    found = list(lines(why_document(Explanation(view, blockers, "waits")), ""))
    assert found[2:] == ["- node pack[2] waits", "- and 47 more of node pack likewise"]


def test_children_of_a_map_keep_their_own_reasons() -> None:
    view = RunView("run-1", "flow", 1, "waiting")
    child = Explanation(view, [Blocker("timer", "nap", "timer", "node nap sleeps")], "sleeps")
    blockers = [Blocker("run", f"sub[{n}]", "run", f"waits for run-{n}", f"run-{n}", child=child) for n in range(6)]
    found = list(lines(why_document(Explanation(view, blockers, "waits")), ""))
    assert found == [line for n in range(6) for line in (f"- waits for run-{n}", "    - node nap sleeps")]
