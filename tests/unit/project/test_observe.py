"""Log lines are structured, carry the task's context and never a secret; latency windows forget."""

from __future__ import annotations

import errno
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfe.errors import ConfigError
from wfe.observe import Counters, LatencyWindow, configure, get_logger, task_context
from wfe.secrets import add_secret, mask_secrets


@pytest.fixture
def log():
    stream = io.StringIO()

    def lines() -> list[dict]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    lines.stream = stream
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield lines
    logging.getLogger().handlers, logging.getLogger().level = handlers, level


def test_a_line_is_one_json_object_with_level_logger_and_fields(log):
    configure("info", "json", stream=log.stream, process="shard", index=1)
    get_logger("wfe.shard").info("recovered", runs=3)
    (line,) = log()
    assert {k: line[k] for k in ("level", "logger", "event", "process", "index", "runs")} == {
        "level": "info",
        "logger": "wfe.shard",
        "event": "recovered",
        "process": "shard",
        "index": 1,
        "runs": 3,
    }
    assert list(line)[:4] == ["time", "level", "logger", "event"]


def test_lines_below_the_level_are_dropped(log):
    configure("warning", "json", stream=log.stream)
    get_logger("x").info("quiet")
    get_logger("x").warning("loud")
    assert [line["event"] for line in log()] == ["loud"]


def test_a_logger_made_before_configure_follows_it(log):
    logger = get_logger("early")
    configure("info", "json", stream=log.stream)
    logger.info("late")
    assert log()[0]["logger"] == "early"


def test_lines_inside_a_task_carry_run_node_and_attempt(log):
    configure("info", "json", stream=log.stream)
    with task_context("0123", "charge", 2):
        get_logger("user").info("inside")
    get_logger("user").info("outside")
    inside, outside = log()
    assert (inside["run"], inside["node"], inside["attempt"]) == ("0123", "charge", 2)
    assert "run" not in outside


def test_a_context_provider_is_asked_only_when_a_line_is_written(log):
    asked = []

    def provider():
        asked.append(1)
        return {"run": "r1"}

    configure("warning", "json", stream=log.stream, context=provider)
    get_logger("x").info("dropped")
    assert not asked
    get_logger("x").error("kept")
    assert log()[0]["run"] == "r1"


def test_a_secret_is_masked_wherever_it_stands_in_a_line(log):
    add_secret('s3cr"et-value')
    configure("info", "json", stream=log.stream, mask=mask_secrets)
    get_logger("x").info('with s3cr"et-value', nested={"deep": ['s3cr"et-value']})
    assert "et-value" not in log.stream.getvalue()
    assert log()[0]["nested"] == {"deep": ["********"]}


def test_standard_logging_is_led_into_the_same_stream(log):
    configure("info", "json", stream=log.stream)
    with task_context("r", "n", 1):
        logging.getLogger("asyncio").error("lost %d", 3)
    (line,) = log()
    assert (line["logger"], line["event"], line["level"], line["run"]) == ("asyncio", "lost 3", "error", "r")


def test_an_exception_is_logged_with_its_traceback(log):
    configure("info", "json", stream=log.stream)
    try:
        raise KeyError("gone")
    except KeyError:
        get_logger("x").exception("failed")
    assert "KeyError: 'gone'" in log()[0]["exception"]


def test_values_that_json_cannot_hold_are_written_as_text(log):
    configure("info", "json", stream=log.stream)
    get_logger("x").info("odd", value=object)
    assert "object" in log()[0]["value"]


def test_console_format_is_for_people(log):
    configure("info", "console", stream=log.stream)
    get_logger("wfe.shard").info("recovered", runs=3)
    text = log.stream.getvalue()
    assert "recovered" in text
    assert "runs=3" in text
    assert not text.startswith("{")


class FullDisk(io.StringIO):
    """A file on a disk that has no room for so many writes."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self._refused = refused

    def write(self, text: str) -> int:
        if self._refused:
            self._refused -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_stops_nobody_and_says_later_how_much_was_lost():
    stream = FullDisk(refused=2)
    configure("info", "json", stream=stream)
    for number in range(4):
        get_logger("x").info("line", number=number)
    told, third, fourth = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (told["event"], told["level"], told["lines"]) == ("lines of the log could not be written", "warning", 2)
    assert (third["number"], fourth["number"]) == (2, 3)


def test_a_closed_stream_does_not_end_the_process(log):
    configure("info", "json", stream=log.stream)
    log.stream.close()
    get_logger("x").info("nobody reads this")
    assert log.stream.closed


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"format": "xml"}])
def test_an_unknown_level_or_format_is_refused(wrong):
    with pytest.raises(ConfigError, match="unknown log"):
        configure(**wrong)


def test_counters_count_from_zero_and_a_snapshot_stands_still():
    counters = Counters()
    counters["tasks_done"] += 2
    before = counters.snapshot()
    counters["tasks_done"] += 1
    assert before == {"tasks_done": 2}
    assert counters == {"tasks_done": 3}
    assert counters["never"] == 0


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_percentiles_are_never_too_low_and_at_most_a_sixteenth_too_high(values):
    window = LatencyWindow()
    for value in values:
        window.record(value)
    ordered = sorted(values)
    summary = window.summary(0)
    assert summary.count == len(values)
    assert summary.max_us == ordered[-1]
    for percent, got in ((50, summary.p50_us), (99, summary.p99_us)):
        exact = ordered[-(-len(values) * percent // 100) - 1]
        assert exact <= got <= exact * 17 / 16


def test_an_empty_window_is_all_zeros():
    summary = LatencyWindow().summary(5)
    assert (summary.count, summary.p50_us, summary.p99_us, summary.max_us) == (0, 0, 0, 0)


def test_old_values_leave_the_window_slice_by_slice():
    window = LatencyWindow(window_ms=1000, slices=5)
    window.turn(0)
    window.record(700)
    window.turn(400)
    window.record(7)
    assert window.summary(900).count == 2
    assert (window.summary(1000).count, window.summary(1000).max_us) == (1, 7)
    assert window.summary(10_000_000).count == 0


def test_a_clock_that_steps_back_keeps_the_window():
    window = LatencyWindow(window_ms=1000)
    window.turn(50_000)
    window.record(5)
    assert window.summary(100).count == 1


@pytest.mark.parametrize("value", [-5, 1 << 60])
def test_impossible_latencies_are_still_counted(value):
    window = LatencyWindow()
    window.record(value, 3)
    assert window.summary(0).count == 3
