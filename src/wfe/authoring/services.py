"""What a Graph offers towards the world outside: people's decisions, compensation, events, HTTP, types from plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from wfe.authoring import fields
from wfe.authoring.calls import CallOptions, arguments
from wfe.authoring.canvas import Canvas
from wfe.authoring.refs import RefProxy, SecretProxy, state_of
from wfe.authoring.results import UNSET_ARGUMENT, Approval, HttpResponse
from wfe.authoring.retry import Duration, Retry, duration_ms, optional_ms, policy_of
from wfe.authoring.templates import template
from wfe.model import definition as model

P = ParamSpec("P")
T = TypeVar("T")

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_AUTH = {
    "basic": ("username", "password"),
    "bearer": (),
    "api_key": ("header", "query", "value"),
    "oauth2": ("token_url", "client_id", "client_secret", "scope"),
}
_AUTH_WANTED = (
    '{"bearer": token}, {"basic": {"username", "password"}}, {"api_key": {"header" or "query", "value"}} or '
    '{"oauth2": {"token_url", "client_id", "client_secret", "scope"}}; secrets as wfe.secret("NAME")'
)


class Services:
    """The methods of a Graph about people and other systems."""

    __slots__ = ()

    def _active(self) -> Canvas:
        raise NotImplementedError

    def approval(
        self,
        name: str,
        *,
        to: str | Sequence[str] | None = None,
        timeout: Duration | None = None,
        on_timeout: Literal["fail", "approve", "reject"] = "fail",
        on_reject: Literal["fail", "continue"] = "fail",
        form: Any = None,
        escalate: Sequence[tuple[Duration, object]] = (),
        id: str | None = None,
    ) -> Approval:
        """Waits for a person's decision. Refused: fails as Rejected, unless ``on_reject="continue"``; late: TimedOut.

        ``form``: the type of the decision's ``data``. ``escalate=[("1d", "boss")]``: who is asked after a while.
        """
        canvas = self._active()
        _check_name(canvas, "wf.approval", "the approval's name", name)
        _check_word(canvas, "wf.approval(on_timeout=...)", on_timeout, ("fail", "approve", "reject"))
        _check_word(canvas, "wf.approval(on_reject=...)", on_reject, ("fail", "continue"))
        if on_timeout != "fail" and timeout is None:
            raise canvas.fail(f"wf.approval(on_timeout={on_timeout!r}) needs a timeout=, after which it counts")
        pairs = not isinstance(escalate, (str, Mapping)) and all(
            isinstance(step, (tuple, list)) and len(step) == 2 for step in escalate
        )
        if not pairs:
            raise canvas.fail('wf.approval(escalate=...) takes pairs, a duration and who is asked: [("1d", "boss")]')
        steps = tuple(
            model.Escalation(after_ms=duration_ms(after, "wf.approval(escalate=...)"), to=template(canvas, who))
            for after, who in escalate
        )
        node_id = canvas.node_id("approval", id)
        canvas.add(
            model.Approval(
                id=node_id,
                approval=name,
                to=None if to is None else template(canvas, to),
                form=None if form is None else canvas.schema_of(form, f"the form of the approval {name!r}"),
                timeout_ms=optional_ms(timeout, "wf.approval(timeout=...)"),
                on_timeout=on_timeout,
                on_reject=on_reject,
                escalate=steps,
            )
        )
        return cast(Approval, canvas.value_of(node_id, Approval))

    # ---- compensation ----------------------------------------------------------------------------------------------

    def compensate_with(self, task: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """From here on, if the run fails or is cancelled, calls this task; what was registered last comes first.

        The arguments are those of this line. Errors that are caught do not trigger it; ``wf.compensate()`` does.
        """
        canvas = self._active()
        called: Any = task
        called, options = getattr(called, "__wfe_configured__", (called, CallOptions()))
        registered = getattr(called, "__wfe_task__", None) if not isinstance(called, RefProxy) else None
        if registered is None:
            raise canvas.fail(_no_task(called))
        if options.after is not None or options.join is not None or options.cancels or options.priority is not None:
            raise canvas.fail("wf.compensate_with: of with_options only id=, retry= and timeout= go on a compensation")
        with_ = arguments(canvas, registered.name, called.signature.params, args, kwargs)
        canvas.add(
            model.CompensateWith(
                id=canvas.node_id("compensate_with", options.id),
                task=registered.name,
                task_version=registered.version,
                with_=with_,
                retry=options.retry or registered.retry,
                timeout_ms=options.timeout_ms or registered.timeout_ms,
                labels=registered.labels if options.labels is None else options.labels,
                resources=registered.resources if options.resources is None else options.resources,
            )
        )

    def compensate(self, *, id: str | None = None) -> None:
        """Runs what is registered so far now, last first, and goes on when all is done; each is run once."""
        canvas = self._active()
        canvas.add(model.Compensate(id=canvas.node_id("compensate", id)))

    # ---- other systems ---------------------------------------------------------------------------------------------

    def emit(self, type: str, data: object = None, *, id: str | None = None) -> None:
        """Publishes an event of this type, which is kept in the run's history."""
        canvas = self._active()
        _check_text(canvas, "wf.emit", "the event's type", type)
        made = template(canvas, data)
        canvas.add(model.Emit(id=canvas.node_id("emit", id), emit=template(canvas, type), data=made))

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
        returns: type[T],
        id: str | None = None,
    ) -> HttpResponse[T]: ...
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
        id: str | None = None,
    ) -> HttpResponse[Any]: ...
    def http(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
        body: object = UNSET_ARGUMENT,
        json: object = UNSET_ARGUMENT,
        auth: Mapping[str, object] | None = None,
        timeout: Duration = "30s",
        retry: Retry | None = None,
        retry_status: Iterable[int] | None = None,
        accept: Iterable[int] = (),
        response_bytes_max: int | None = None,
        allow_private: bool = False,
        returns: Any = Any,
        id: str | None = None,
    ) -> HttpResponse[Any]:
        """An HTTP call by the engine: ``.status .headers .body``. ``json`` is ``body``; ``returns``: the body's type.

        Statuses in ``retry_status`` are retried by ``retry``; others of 400 and up are a fault HttpError, unless in
        ``accept``. Addresses of private networks are refused unless ``allow_private``.
        """
        canvas = self._active()
        if not isinstance(method, str) or method.upper() not in _METHODS:
            raise canvas.fail(f"wf.http takes a method ({', '.join(_METHODS)}), not {method!r}")
        _check_url(canvas, url)
        if body is not UNSET_ARGUMENT and json is not UNSET_ARGUMENT:
            raise canvas.fail("wf.http takes either body= or json=: they are the same")
        _check_auth(canvas, auth)
        sent = body if json is UNSET_ARGUMENT else json
        given: dict[str, Any] = {} if sent is UNSET_ARGUMENT else {"body": template(canvas, sent)}
        if retry_status is not None:
            given["retry_status"] = _statuses(canvas, "retry_status", retry_status)
        if response_bytes_max is not None:
            given["response_bytes_max"] = response_bytes_max
        node = model.Http(
            id=canvas.node_id("http", id),
            method=method.upper(),
            url=template(canvas, url),
            headers=_templates(canvas, "headers", headers),
            query=_templates(canvas, "query", query),
            auth=None if auth is None else template(canvas, dict(auth)),
            timeout_ms=optional_ms(timeout, "wf.http(timeout=...)") or 0,
            retry=policy_of(retry, "wf.http(retry=...)"),
            accept=_statuses(canvas, "accept", accept),
            allow_private=allow_private,
            returns=canvas.schema_of(returns, "what wf.http(returns=...) says"),
            **given,
        )
        canvas.add(node)
        response: Any = HttpResponse[returns]
        return cast(HttpResponse[Any], canvas.value_of(node.id, response))

    def custom(
        self,
        type: str,
        /,
        *,
        id: str | None = None,
        returns: Any = Any,
        retry: Retry | None = None,
        timeout: Duration | None = None,
        with_: Mapping[str, object] | None = None,
        **args: object,
    ) -> Any:
        """A node of a type that a plugin contributes. ``with_``: arguments whose names are taken by options here."""
        canvas = self._active()
        _check_name(canvas, "wf.custom", "the plugin's type", type)
        both = sorted(args.keys() & (with_ or {}).keys())
        if both:
            raise canvas.fail(f"wf.custom got {both[0]!r} twice, by name and in with_=")
        node_id = canvas.node_id(type, id)
        canvas.add(
            model.Custom(
                id=node_id,
                custom=type,
                with_={**_templates(canvas, "with_", with_), **_templates(canvas, "with_", args)},
                retry=policy_of(retry, "wf.custom(retry=...)"),
                timeout_ms=optional_ms(timeout, "wf.custom(timeout=...)"),
                returns=canvas.schema_of(returns, "what wf.custom(returns=...) says"),
            )
        )
        return canvas.value_of(node_id, returns)


def _no_task(value: object) -> str:
    """Why this cannot be a compensation."""
    if isinstance(value, RefProxy):
        return (
            "wf.compensate_with takes the task and its arguments: wf.compensate_with(refund, order.id); "
            "refund(order.id) calls it now"
        )
    if getattr(value, "__wfe_workflow__", None) is not None:
        return "wf.compensate_with takes a task; a workflow cannot be a compensation"
    return f"wf.compensate_with takes a task (a function with @wfe.task), not {value!r}"


def _check_name(canvas: Canvas, method: str, what: str, name: object) -> None:
    if not isinstance(name, str) or not name:
        raise canvas.fail(f"{method} takes {what} as plain text, known while drawing")


def _check_word(canvas: Canvas, what: str, word: object, words: tuple[str, ...]) -> None:
    if not isinstance(word, str) or word not in words:
        raise canvas.fail(f"{what} is one of {', '.join(map(repr, words))}, not {word!r}")


def _check_text(canvas: Canvas, method: str, what: str, value: object) -> None:
    state = state_of(value)
    kind = None if state is None else fields.kind(state.type)
    if (state is None and (not isinstance(value, str) or not value)) or kind not in (None, "text", "unknown"):
        raise canvas.fail(f"{method} takes {what} as text; use wf.format(...) to make it")


def _check_url(canvas: Canvas, url: object) -> None:
    _check_text(canvas, "wf.http", "the URL", url)
    if isinstance(url, str) and not url.startswith(("http://", "https://")):
        raise canvas.fail(f"wf.http takes a whole URL, with http:// or https://, not {url!r}")


def _check_auth(canvas: Canvas, auth: object) -> None:
    if auth is None:
        return
    if not isinstance(auth, Mapping) or len(auth) != 1 or next(iter(auth)) not in _AUTH:
        raise canvas.fail(f"wf.http(auth=...) is one of {_AUTH_WANTED}")
    ((kind, value),) = auth.items()
    if kind == "bearer":
        if not isinstance(value, (str, SecretProxy, RefProxy)):
            raise canvas.fail(f"wf.http(auth=...): the bearer token is text; {_AUTH_WANTED}")
    elif not isinstance(value, Mapping) or not value.keys() <= set(_AUTH[kind]):
        raise canvas.fail(f"wf.http(auth=...): {kind} takes {', '.join(_AUTH[kind])}; {_AUTH_WANTED}")


def _templates(canvas: Canvas, what: str, values: Mapping[str, object] | None) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise canvas.fail(f"{what}= takes a dict of names and values")
    return {name: template(canvas, value) for name, value in values.items()}


def _statuses(canvas: Canvas, what: str, values: Iterable[int]) -> tuple[int, ...]:
    found = (values,) if isinstance(values, int) else tuple(values)
    if not all(isinstance(status, int) and 100 <= status <= 599 for status in found):
        raise canvas.fail(f"wf.http({what}=...) takes HTTP statuses, such as [404], not {values!r}")
    return found
