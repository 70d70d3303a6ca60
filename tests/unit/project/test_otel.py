"""OpenTelemetry: when it is on, what OTEL_* variables say, and that nothing of it is needed or loaded otherwise."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
from contextvars import copy_context

import pytest
from opentelemetry import trace

from wfe import otel
from wfe.bootstrap.traces import export, with_tracing
from wfe.config import ServeOptions
from wfe.errors import ConfigError
from wfe.model.ids import mint_run_id
from wfe.model.policy import ErrorInfo
from wfe.model.trace import own_trace, run_span
from wfe.wire.traces import RunTrace

URL = "http://127.0.0.1:4318"
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        ("", {}, ""),
        ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, ""),
        (URL, {}, URL),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, otel.BY_ENVIRONMENT),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, otel.BY_ENVIRONMENT),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_SDK_DISABLED": "true"}, ""),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_TRACES_EXPORTER": "none"}, ""),
        (otel.BY_ENVIRONMENT, {}, otel.BY_ENVIRONMENT),
    ],
)
def test_where_spans_go_is_given_or_what_the_standard_variables_say(given, environ, found):
    assert otel.endpoint_of(given, environ) == found


def test_an_address_that_is_no_url_is_refused_with_an_example():
    with pytest.raises(ConfigError, match=re.escape(URL)):
        otel.endpoint_of("127.0.0.1:4318", {})


def test_traces_without_the_extra_are_refused_when_asked_for_and_left_out_when_only_the_environment_names_them(
    monkeypatch,
):
    monkeypatch.setattr(otel, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install 'wfe\[otel\]'"):
        with_tracing(ServeOptions(otel=URL))
    assert otel.endpoint_of("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}) == ""


@pytest.mark.parametrize(
    ("given", "environ", "found"),
    [
        (-1.0, {}, 1.0),
        (0.25, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.25),
        (-1.0, {"OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        (-1.0, {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, 1.0),
        (-1.0, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}, 0.1),
        (-1.0, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "9"}, 1.0),
        (-1.0, {"OTEL_TRACES_SAMPLER": "traceidratio"}, 1.0),
    ],
)
def test_the_share_is_given_or_that_of_the_standard_sampler(given, environ, found):
    assert otel.share_of(given, environ) == found


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="from 0 to 1"):
        otel.share_of(7.0, {})
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER_ARG"):
        otel.share_of(-1.0, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "much"})


def test_the_current_span_is_known_by_its_context_and_what_was_current_before_comes_back():
    assert otel.current_traceparent() == ""
    token = otel.enter(GIVEN)
    assert token is not None
    assert otel.current_traceparent() == GIVEN
    otel.leave(token)
    assert otel.current_traceparent() == ""


def test_a_command_inherits_the_context_that_its_variable_names():
    def started(environ):
        otel.inherit(environ)
        return otel.current_traceparent()

    assert copy_context().run(started, {"TRACEPARENT": GIVEN}) == GIVEN
    assert copy_context().run(started, {"TRACEPARENT": "nonsense"}) == ""
    assert copy_context().run(started, {}) == ""
    assert otel.current_traceparent() == ""


def test_nothing_of_it_is_loaded_by_clients_workers_and_shards():
    code = (
        "import sys, wfe.client.sync, wfe.worker.process, wfe.shard.process, wfe.gateway.state, wfe.otel as o\n"
        f"assert o.current_traceparent() == '' and o.enter('{GIVEN}') is None\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf'))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class Spans(otel.Tracing):
    """Spans that go nowhere but here."""

    def __init__(self):
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.memory, ids = InMemorySpanExporter(), otel._Ids()
        provider = TracerProvider(id_generator=ids)
        processor = SimpleSpanProcessor(self.memory)
        provider.add_span_processor(processor)
        super().__init__(provider, ids, processor, self.memory)


def test_each_round_of_a_run_that_went_on_after_it_failed_has_a_span_below_the_first():
    spans, run = Spans(), mint_run_id(1, 1_760_000_000_000, 9)
    context = own_trace(run, 1.0)
    error = ErrorInfo("ValueError", "wrong")
    export(spans, RunTrace(run, "w", 1, context, 1_000, 2_000, "failed", error))
    export(spans, RunTrace(run, "w", 1, context, 1_000, 3_000, "completed", round=1))
    first, second = spans.memory.get_finished_spans()
    assert f"{first.context.span_id:016x}" == run_span(run)
    assert first.parent is None
    assert first.status.status_code is trace.StatusCode.ERROR
    assert (first.start_time, first.end_time) == (1_000_000_000, 2_000_000_000)
    assert second.parent.span_id == first.context.span_id
    assert second.context.trace_id == first.context.trace_id
    assert second.attributes["wfe.run.round"] == 1
    assert second.status.status_code is trace.StatusCode.UNSET


def test_a_collector_that_does_not_answer_is_named_once_and_holds_up_no_end(caplog):
    caplog.set_level(logging.WARNING, "wfe.otel")  # another test may have set the root's
    with socket.socket() as refusing:  # bound and not listening: nobody else gets the port meanwhile
        refusing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{refusing.getsockname()[1]}"
        tracing = otel.open_tracing(url, "test")
        run = mint_run_id(1, 1_760_000_000_000, 9)
        for number in range(3):
            tracing.start("s", own_trace(run, 1.0), f"{number + 1:016x}", 1, {}).end(2)
        tracing.close()
    said = [record.getMessage() for record in caplog.records if record.name == "wfe.otel"]
    assert said == [f"no spans can be sent to {url}: they are dropped until it answers"]
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry.exporter")]
