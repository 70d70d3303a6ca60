"""`Durable`: what a durable function asks of the engine. Every method is a recorded call of the instance that runs it.

Nothing here knows how a call is carried out: it is described (`model.calling.Call`) and handed to the `Caller`. Unlike
a Graph nothing is drawn: values are values, and mistakes are raised where they happen.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar, cast, overload
from uuid import UUID

import msgspec
from msgspec import Raw

from wfe.authoring import durable_calls as calls
from wfe.authoring.results import UNSET_ARGUMENT, Approval, HttpResponse
from wfe.authoring.retry import Duration, Retry, duration_ms, mistake, optional_ms, policy_of
from wfe.authoring.types import SchemaSet
from wfe.model.calling import MISSING, Call, Caller
from wfe.model.durable import (
    CALL_APPROVAL,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    NO_TIMEOUT,
    ApprovalBody,
    SignalBody,
    SleepBody,
)
from wfe.wire import payload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
D = TypeVar("D")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.msgpack.Encoder().encode
_Awaited = Coroutine[Any, Any, R]


class DurableRun:
    """``wf.run``: what is known of the run."""

    __slots__ = ("id", "key")

    def __init__(self, run_id: str, key: str) -> None:
        self.id = run_id
        self.key = key
        """Empty: the run was started without one."""


class Durable:
    """Handed to a durable function as its first parameter, ``wf``. Only the engine makes one."""

    __slots__ = ("_bind", "_caller")

    def __init__(self, caller: Caller, bind: calls.Bind | None = None) -> None:
        if bind is None:
            raise mistake("a wfe.Durable is made by the engine: start the function with a client, or with wfe.run(...)")
        self._caller, self._bind = caller, bind

    # ---- calls -------------------------------------------------------------------------------------------------------

    @overload
    def call(self, target: Callable[P, _Awaited[R]], /, *args: P.args, **kwargs: P.kwargs) -> _Awaited[R]: ...
    @overload
    def call(self, target: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> _Awaited[R]: ...
    def call(self, target: Any, /, *args: Any, **kwargs: Any) -> _Awaited[Any]:
        """``await wf.call(charge, order)``: a task (async or not) or a workflow, recorded. Its errors are raised."""
        return calls.call(self._caller, target, args, kwargs)

    def start(self, workflow: Any, /, *args: Any, key: str | None = None, **kwargs: Any) -> _Awaited[str]:
        """``await wf.start(other, x)``: starts another run and does not wait for its end; gives its run id.

        ``key`` makes it idempotent, as for clients.
        """
        return calls.start(self._caller, workflow, args, kwargs, key)

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def sleep(self, duration: Duration | None = None, *, until: datetime | None = None) -> _Awaited[None]:
        """``await wf.sleep("2d")``, or until a time. `asyncio.sleep` is recorded as well."""
        if (duration is None) == (until is None):
            raise mistake("wf.sleep takes either a duration or until=")
        body = SleepBody()
        if duration is not None:
            body = SleepBody(delay_ms=duration_ms(duration, "wf.sleep(...)"))
        elif isinstance(until, datetime) and until.tzinfo is not None:
            body = SleepBody(until_ms=max(1, -((_EPOCH - until) // timedelta(milliseconds=1))))
        else:
            raise mistake(f"wf.sleep(until=...) takes a datetime with a time zone, not {until!r}")
        return self._caller.call(Call(CALL_SLEEP, "", lambda: Raw(_encode(body)), _nothing))

    @overload
    def wait_signal(
        self, name: str, *, timeout: Duration | None = None, default: Any = ..., correlate: str = ""
    ) -> _Awaited[Any]: ...
    @overload
    def wait_signal(
        self, name: str, cls: type[T], *, timeout: Duration | None = None, correlate: str = ""
    ) -> _Awaited[T]: ...
    @overload
    def wait_signal(
        self, name: str, cls: type[T], *, timeout: Duration | None = None, default: D, correlate: str = ""
    ) -> _Awaited[T | D]: ...
    def wait_signal(
        self,
        name: str,
        cls: Any = Any,
        *,
        timeout: Duration | None = None,
        default: Any = UNSET_ARGUMENT,
        correlate: str = "",
    ) -> _Awaited[Any]:
        """Waits for an outside message and gives its payload. Sent early: queued. Late: the default, else `TimedOut`.

        ``timeout="0s"`` polls. ``correlate``: only a signal that was sent with this correlation counts.
        """
        _check_name("wf.wait_signal", "the signal's name", name)
        if default is not UNSET_ARGUMENT and timeout is None:
            raise mistake("wf.wait_signal(default=...) needs a timeout=, after which the default is taken")
        return self._caller.call(
            Call(
                CALL_SIGNAL,
                name,
                lambda: Raw(_encode(SignalBody(correlate))),
                payload.decoder_for(cls),
                timeout_ms=NO_TIMEOUT if timeout is None else duration_ms(timeout, "wf.wait_signal(timeout=...)"),
                returns=cls,
                default=MISSING if default is UNSET_ARGUMENT else default,
            )
        )

    def approval(
        self,
        name: str,
        *,
        to: str | list[str] | None = None,
        timeout: Duration | None = None,
        on_timeout: Literal["fail", "approve", "reject"] = "fail",
        on_reject: Literal["fail", "continue"] = "fail",
        form: Any = None,
    ) -> _Awaited[Approval]:
        """Waits for a person's decision. Refused: raises `Rejected`, unless ``on_reject="continue"``; late: `TimedOut`.

        ``form``: the type of the decision's ``data``.
        """
        _check_name("wf.approval", "the approval's name", name)
        if on_timeout not in ("fail", "approve", "reject") or on_reject not in ("fail", "continue"):
            raise mistake('wf.approval: on_timeout= is "fail", "approve" or "reject", on_reject= "fail" or "continue"')
        if on_timeout != "fail" and timeout is None:
            raise mistake(f"wf.approval(on_timeout={on_timeout!r}) needs a timeout=, after which it counts")

        def body() -> Raw:
            asked = payload.encode_value(to)
            wanted = payload.encode_value(None if form is None else _schema(form))
            return Raw(_encode(ApprovalBody(asked, wanted, on_timeout, on_reject)))

        limit_ms = optional_ms(timeout, "wf.approval(timeout=...)")
        return self._caller.call(
            Call(
                CALL_APPROVAL,
                name,
                body,
                payload.decoder_for(Approval),
                timeout_ms=NO_TIMEOUT if limit_ms is None else limit_ms,
                returns=Approval,
            )
        )

    # ---- other systems -----------------------------------------------------------------------------------------------

    @overload
    def http(self, method: str, url: str, *, returns: type[T], **options: Any) -> _Awaited[HttpResponse[T]]: ...
    @overload
    def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
        body: object = ...,
        json: object = ...,
        auth: Mapping[str, object] | None = None,
        timeout: Duration = "30s",
        retry: Retry | None = None,
        retry_status: Iterable[int] | None = None,
        accept: Iterable[int] = (),
        response_bytes_max: int = ...,
        allow_private: bool = False,
    ) -> _Awaited[HttpResponse[Any]]: ...
    def http(
        self,
        method: str,
        url: str,
        *,
        body: object = UNSET_ARGUMENT,
        json: object = UNSET_ARGUMENT,
        timeout: Duration = "30s",
        retry: Retry | None = None,
        returns: Any = Any,
        **options: Any,
    ) -> _Awaited[HttpResponse[Any]]:
        """An HTTP call by the engine: ``.status .headers .body``; the options are those of a Graph's ``wf.http``."""
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise mistake(f"wf.http takes a whole URL, with http:// or https://, not {url!r}")
        unknown = options.keys() - calls.HTTP_OPTIONS
        if unknown:
            raise mistake(f"wf.http has no option {min(unknown)!r} (it has: {', '.join(sorted(calls.HTTP_OPTIONS))})")
        if body is not UNSET_ARGUMENT and json is not UNSET_ARGUMENT:
            raise mistake("wf.http takes either body= or json=: they are the same")
        request = {name: value for name, value in options.items() if value is not None}
        sent = body if json is UNSET_ARGUMENT else json
        if sent is not UNSET_ARGUMENT:
            request["body"] = sent
        for name in ("accept", "retry_status"):
            if name in request:
                request[name] = list(request[name])
        timeout_ms = optional_ms(timeout, "wf.http(timeout=...)") or 0
        request |= {"method": method.upper(), "url": url, "timeout_ms": timeout_ms}
        response: Any = HttpResponse[returns]
        return calls.http(self._caller, request, policy_of(retry, "wf.http(retry=...)"), timeout_ms, response)

    def publish(self, data: object) -> None:
        """Tells whoever listens to the run (``run.stream()``); kept in its history."""
        self._caller.tell(Call(CALL_PUBLISH, "", lambda: payload.encode_value(data), _nothing))

    # ---- the same on every re-run ------------------------------------------------------------------------------------

    @property
    def run(self) -> DurableRun:
        """The run's id and key."""
        return DurableRun(self._caller.run_id, self._caller.run_key)

    def now(self) -> datetime:
        """The time (UTC) at which what the function last waited for happened."""
        return _EPOCH + timedelta(milliseconds=self._caller.now_ms)

    def random(self) -> float:
        """A number from 0 up to 1."""
        return (int.from_bytes(self._caller.random_bytes(8), "big") >> 11) / (1 << 53)

    def uuid(self) -> UUID:
        """A fresh random id."""
        return UUID(bytes=self._caller.random_bytes(16), version=4)

    def version(self, change: str) -> bool:
        """``if wf.version("ask-twice"):`` the new way; else as runs that came by here before the change do."""
        _check_name("wf.version", "the change's name", change)
        return self._caller.version(change)

    def continue_with(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Ends this round: the function begins anew in the same run, with these arguments and no recorded calls."""
        self._caller.continue_with(lambda: payload.encode_value(self._bind(args, kwargs)))


def _nothing(raw: Raw) -> None:
    """A call without a value."""


def _schema(form: Any) -> Any:
    """The JSON Schema of a form, with its named parts inside."""
    schemas = SchemaSet()
    try:
        schema = schemas.schema(form)
    except (TypeError, NotImplementedError, NameError) as error:
        raise mistake(f"wf.approval(form=...): {form!r} cannot be a payload ({error})") from error
    return cast(dict[str, Any], {**schema, "types": schemas.types} if schemas.types else schema)


def _check_name(method: str, what: str, name: object) -> None:
    if not isinstance(name, str) or not name:
        raise mistake(f"{method} takes {what} as text, not {name!r}")
