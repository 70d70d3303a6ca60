"""Checks of single nodes by their fields alone: names, numbers, durations, policies, schemas. Pure."""

from __future__ import annotations

from msgspec import UNSET

from wfe.core.field_checks import VERSION_MAX, FieldChecker
from wfe.core.findings import Findings, did_you_mean
from wfe.limits import MAP_ITEMS_MAX, PAYLOAD_BYTES_MAX
from wfe.model.definition import (
    Approval,
    Assign,
    Block,
    Catch,
    CompensateWith,
    Custom,
    Decision,
    Definition,
    DurableCall,
    Emit,
    Fail,
    Graph,
    Http,
    Lock,
    Loop,
    Map,
    Node,
    NodeBase,
    Parallel,
    Race,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
    When,
)
from wfe.model.needs import check_needs

_PRIORITY_MAX = 1_000_000
_COUNT_MAX = 10_000
"""Of a join, or the weight of an edge."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_AUTH: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "basic": (("username", "password"), ()),
    "api_key": (("value",), ("header", "query")),
    "oauth2": (("token_url", "client_id", "client_secret"), ("scope",)),
}
"""Kind of authentication -> members that it needs, members that it may have."""
_PORTS = ("ok", "error", "timeout", "cancelled")


class NodeChecker(FieldChecker):
    """Checks one node at a time; findings go to ``findings``."""

    def __init__(self, findings: Findings, definition: Definition) -> None:
        super().__init__(findings, definition.types)
        self._locks = definition.locks

    def check(self, node: Node, where: str) -> None:
        """Everything about the node itself that its fields alone can tell."""
        self._wiring(node, where)
        self._block(node, where)
        self._wait(node, where)
        self._work(node, where)
        self._data(node, where)

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def _block(self, node: Node, where: str) -> None:
        match node:
            case When():
                self._branches(node, where)
            case Parallel() | Block() | Race() | Graph():
                self._not_empty(node.id, where, node.do)
            case Catch():
                self._not_empty(node.id, where, node.do)
                if not node.errors or not all(node.errors):
                    self._findings.error(node.id, f"{where}.errors", "catch needs the names of the errors it takes")
            case Map():
                self._map(node, where)
            case Loop():
                self._loop(node, where)
            case Lock():
                self._lock(node, where)
            case _:
                pass
        if isinstance(node, Graph):
            for index, edge in enumerate(node.edges):
                self._range(node.id, f"{where}.edges[{index}].weight", edge.weight, 1, _COUNT_MAX)

    def _branches(self, node: When, where: str) -> None:
        if not node.branches:
            self._findings.error(node.id, where, "a when needs at least one branch")
        for index, branch in enumerate(node.branches):
            place = f"{where}.branches[{index}]"
            self._not_empty(node.id, place, branch.do)
            if branch.cond is None and index == 0:
                self._findings.error(node.id, place, "otherwise must follow a when: the first branch has no condition")
            elif branch.cond is None and index < len(node.branches) - 1:
                message = "nothing can follow an otherwise without a condition: it takes every remaining case"
                self._findings.error(node.id, place, message, "make it the last branch")

    def _map(self, node: Map, where: str) -> None:
        self._not_empty(node.id, where, node.do)
        self._identifier(node.id, f"{where}.as", node.as_)
        self._range(node.id, f"{where}.max_parallel", node.max_parallel, 1, MAP_ITEMS_MAX)
        count, percent = node.tolerate_count, node.tolerate_percent
        if count is not None and percent is not None:
            self._findings.error(node.id, f"{where}.tolerate", "tolerate is a number of failures or a share, not both")
        self._range(node.id, f"{where}.tolerate", count, 0, MAP_ITEMS_MAX)
        self._range(node.id, f"{where}.tolerate", percent, 0.0, 100.0)
        self._range(node.id, f"{where}.complete_after", node.complete_after, 0, MAP_ITEMS_MAX)
        if node.grow is not None:
            self._name(node.id, f"{where}.grow", node.grow)
        if node.rest == "continue" and node.complete_after is None and node.complete_when is None:
            message = "there is no rest: the map waits for all of its items"
            self._findings.warning(node.id, f"{where}.rest", message, "add complete_after or complete_when")

    def _loop(self, node: Loop, where: str) -> None:
        self._not_empty(node.id, where, node.do)
        if node.items is not None:
            self._identifier(node.id, f"{where}.as", node.as_)
        if node.index:
            self._identifier(node.id, f"{where}.index", node.index)
            if node.items is not None and node.index == node.as_:
                message = f"the item and the number of the iteration have one name: {node.index!r}"
                self._findings.error(node.id, f"{where}.index", message, "give one of them another name")
        self._range(node.id, f"{where}.max_iterations", node.max_iterations, 1, VERSION_MAX)

    def _lock(self, node: Lock, where: str) -> None:
        self._not_empty(node.id, where, node.do)
        place = f"{where}.lock"
        if not node.names:
            self._findings.error(node.id, place, "a lock needs a name")
        if len(set(node.names)) < len(node.names):
            self._findings.error(node.id, place, "a lock is named twice", "name each once")
        shared = [name for name in node.names if name not in self._locks]
        for name in node.names:
            self._name(node.id, place, name)
        if shared and len(node.names) > 1:
            message = f"{shared[0]!r} is no lock of this run: several can only be taken of the run's own"
            add = f"add it to the workflow: locks: {{{shared[0]}: 1}}"
            self._findings.error(node.id, place, message, did_you_mean(shared[0], self._locks) or add)
        if node.key is not None and not shared:
            message = "the lock is the run's own: a key has no meaning"
            self._findings.error(node.id, f"{where}.key", message, "leave it out, or use a name that is not in locks")
        elif len(shared) == 1 and len(node.names) == 1:
            hint = did_you_mean(shared[0], self._locks)
            if hint is not None:
                message = f"{shared[0]!r} is no lock of this run, so it is shared by all runs"
                self._findings.warning(node.id, place, message, hint)

    # ---- waits ------------------------------------------------------------------------------------------------------

    def _wait(self, node: Node, where: str) -> None:
        match node:
            case Sleep():
                given = [value for value in (node.duration_ms, node.duration, node.until) if value is not None]
                if len(given) != 1:
                    message = "a sleep needs exactly one of a duration, an expression for it, or a time to sleep until"
                    self._findings.error(node.id, where, message)
                self._duration(node.id, f"{where}.duration_ms", node.duration_ms)
            case WaitSignal():
                self._signal(node, where)
            case Approval():
                self._approval(node, where)
            case _:
                pass

    def _signal(self, node: WaitSignal, where: str) -> None:
        self._name(node.id, f"{where}.signal", node.signal)
        self._duration(node.id, f"{where}.timeout", node.timeout_ms)
        self._schema(node.id, f"{where}.schema", node.schema)
        if node.default is not UNSET and node.timeout_ms is None:
            message = "the default is never used: without a timeout the wait does not end by itself"
            self._findings.warning(node.id, f"{where}.default", message, "add a timeout")
        if node.transient and node.timeout_ms == 0:
            message = "a poll never finds a transient signal: it is lost when nobody waits for it"
            self._findings.warning(node.id, f"{where}.transient", message, "leave transient out, or wait longer")

    def _approval(self, node: Approval, where: str) -> None:
        self._name(node.id, f"{where}.approval", node.approval)
        self._duration(node.id, f"{where}.timeout", node.timeout_ms)
        self._schema(node.id, f"{where}.form", node.form)
        if node.on_timeout != "fail" and node.timeout_ms is None:
            message = "on_timeout is never used: without a timeout the approval does not end by itself"
            self._findings.warning(node.id, f"{where}.on_timeout", message, "add a timeout")
        last_ms = 0
        for index, level in enumerate(node.escalate):
            place = f"{where}.escalate[{index}]"
            self._duration(node.id, f"{place}.after", level.after_ms, positive=True)
            if node.timeout_ms is not None and last_ms + level.after_ms >= node.timeout_ms:
                message = "nobody is asked then: the approval has timed out before"
                self._findings.warning(node.id, f"{place}.after", message, "escalate earlier, or wait longer")
            last_ms += level.after_ms

    # ---- what leaves the engine -------------------------------------------------------------------------------------

    def _work(self, node: Node, where: str) -> None:
        match node:
            case Task():
                self._name(node.id, f"{where}.task", node.task)
                self._range(node.id, f"{where}.task_version", node.task_version, 1, VERSION_MAX)
                self._duration(node.id, f"{where}.heartbeat", node.heartbeat_ms, positive=True)
                self._range(node.id, f"{where}.priority", node.priority, -_PRIORITY_MAX, _PRIORITY_MAX)
            case SubWorkflow() | StartWorkflow():
                self._name(node.id, f"{where}.workflow", node.workflow)
                self._range(node.id, f"{where}.version", node.version, 1, VERSION_MAX)
            case CompensateWith():
                self._name(node.id, f"{where}.task", node.task)
                self._range(node.id, f"{where}.task_version", node.task_version, 1, VERSION_MAX)
            case Custom():
                self._name(node.id, f"{where}.custom", node.custom)
            case DurableCall():
                self._name(node.id, f"{where}.durable", node.function)
                self._range(node.id, f"{where}.version", node.version, 1, VERSION_MAX)
            case Http():
                self._http(node, where)
            case _:
                pass
        if isinstance(node, (Task, CompensateWith)):
            self._needs(node, where)
        if isinstance(node, (Task, SubWorkflow, Http, Custom, DurableCall)):
            self._schema(node.id, f"{where}.returns", node.returns)
        if isinstance(node, (Task, Custom)):
            for name, schema in node.params.items():
                self._schema(node.id, f"{where}.params.{name}", schema)
                if name not in node.with_:
                    message = f"params describes {name!r}, and with does not give it"
                    self._findings.error(node.id, f"{where}.params.{name}", message)
        if isinstance(node, (Task, SubWorkflow, Http, Custom, CompensateWith)):
            self._duration(node.id, f"{where}.timeout", node.timeout_ms, positive=True)
        if isinstance(node, (Task, Http, Custom, CompensateWith)) and node.retry is not None:
            self._retry(node.id, f"{where}.retry", node.retry)

    def _needs(self, node: Task | CompensateWith, where: str) -> None:
        try:
            check_needs(node.labels, node.resources)
        except ValueError as error:
            field = "resources" if node.resources else "labels"
            self._findings.error(node.id, f"{where}.{field}", str(error))

    def _http(self, node: Http, where: str) -> None:
        if node.method not in _METHODS:
            known = f"it is one of {', '.join(_METHODS)}"
            hint = did_you_mean(node.method.upper(), _METHODS) or known
            self._findings.error(node.id, f"{where}.method", f"unknown method {node.method!r}", hint)
        url = node.url if isinstance(node.url, str) else ""
        if "${" not in url.partition("://")[0] and not url.startswith(("http://", "https://")):
            message = f"{node.url!r} is no address of the web"
            self._findings.error(node.id, f"{where}.url", message, "it starts with http:// or https://")
        for key, statuses in (("retry_status", node.retry_status), ("accept", node.accept)):
            for status in statuses:
                self._range(node.id, f"{where}.{key}", status, 100, 599)
        self._range(node.id, f"{where}.response_bytes_max", node.response_bytes_max, 1, PAYLOAD_BYTES_MAX)
        if node.body is not UNSET and node.method in ("GET", "HEAD"):
            message = f"a {node.method} request carries no body"
            self._findings.warning(node.id, f"{where}.body", message, "use query, or another method")
        if node.auth is not None:
            self._auth(node, f"{where}.auth")

    def _auth(self, node: Http, place: str) -> None:
        kinds = ("bearer", *_AUTH)
        given = node.auth
        if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in kinds:
            message = f"auth is one of {', '.join(f'{{{kind}: ...}}' for kind in kinds)}"
            name = next(iter(given), "") if isinstance(given, dict) else ""
            self._findings.error(node.id, place, message, did_you_mean(str(name), kinds))
            return
        ((kind, value),) = given.items()
        if kind == "bearer":
            return
        needed, optional = _AUTH[kind]
        members = set(value) if isinstance(value, dict) else set()
        lacking = [name for name in needed if name not in members]
        if kind == "api_key" and not members & set(optional):
            lacking.append("header (or query)")
        if lacking:
            self._findings.error(node.id, f"{place}.{kind}", f"{kind} needs {', '.join(lacking)}")
        for name in sorted(members - {*needed, *optional}):
            hint = did_you_mean(name, (*needed, *optional))
            self._findings.error(node.id, f"{place}.{kind}.{name}", f"{name!r} is no part of {kind}", hint)

    # ---- data -------------------------------------------------------------------------------------------------------

    def _data(self, node: Node, where: str) -> None:
        match node:
            case Fail():
                if not node.error:
                    self._findings.error(node.id, f"{where}.error", "fail needs the type of the error")
            case Emit():
                if not isinstance(node.emit, str) or not node.emit:
                    self._findings.error(node.id, f"{where}.emit", "emit needs the type of the event, as text")
            case Decision():
                self._cases(node, where)
            case Transform():
                self._transform(node, where)
            case Assign():
                if bool(node.fields) == (node.value is not UNSET):
                    message = "an assign changes some fields, or all of the state: exactly one of them"
                    self._findings.error(node.id, where, message, "give set: {field: value}, or value")
            case _:
                pass

    def _cases(self, node: Decision, where: str) -> None:
        if not node.cases:
            self._findings.error(node.id, where, "a decision needs at least one case")
            return
        names = list(node.cases)
        for index, (name, cond) in enumerate(node.cases.items()):
            place = f"{where}.decision.{name}"
            if not name:
                self._findings.error(node.id, place, "a case needs a name")
            elif name in _PORTS:
                message = f"{name!r} cannot be a case: it is one of the ways in which every node is left"
                self._findings.error(node.id, place, message, "choose another name")
            if cond is None and index < len(names) - 1:
                message = f"no case can follow {name!r}, which always holds"
                self._findings.error(node.id, place, message, "make it the last")
        if node.cases[names[-1]] is not None:
            message = "no case takes the rest: when none holds, the run fails with NoCase"
            self._findings.warning(node.id, where, message, "add other: true")

    def _transform(self, node: Transform, where: str) -> None:
        self._identifier(node.id, f"{where}.as", node.as_)
        if node.reduce is not None:
            self._identifier(node.id, f"{where}.reduce.total", node.reduce.total)
            if node.reduce.total == node.as_:
                message = f"the item and the result so far have one name: {node.as_!r}"
                self._findings.error(node.id, f"{where}.reduce.total", message, "give one of them another name")
        if node.filter is None and not node.enrich and node.map is None and node.reduce is None:
            message = "the transformation changes nothing"
            self._findings.warning(node.id, where, message, "add filter, enrich, map or reduce")

    # ---- wiring -----------------------------------------------------------------------------------------------------

    def _wiring(self, node: NodeBase, where: str) -> None:
        if node.join is not None:
            self._range(node.id, f"{where}.join", node.join.n, 1, _COUNT_MAX)
            if node.join.n != 1 and node.join.mode not in ("n", "thread"):
                message = f"a join of mode {node.join.mode} has no number"
                self._findings.error(node.id, f"{where}.join", message, "use {n: 2} or {thread: 2}")
            if node.join.rest != "drain" and node.join.mode != "n":
                message = f"a join of mode {node.join.mode} has no rest"
                self._findings.error(node.id, f"{where}.join", message, "rest belongs to {n: 2, rest: ...}")
        if node.on_missed != "wait" and node.enabled_while is None:
            message = "on_missed has no meaning without enabled_while"
            self._findings.warning(node.id, f"{where}.on_missed", message, "leave it out")
        ports: set[str] = set()
        for index, event in enumerate(node.boundary):
            place = f"{where}.boundary[{index}]"
            if (event.after_ms is None) == (event.signal is None):
                self._findings.error(node.id, place, "a boundary event has a timer or a signal, exactly one of them")
            self._duration(node.id, f"{place}.timer", event.after_ms, positive=True)
            if event.signal is not None:
                self._name(node.id, f"{place}.signal", event.signal)
            if event.port in _PORTS or event.port in getattr(node, "cases", ()):
                message = f"{event.port!r} is already a way in which the node is left"
                self._findings.error(node.id, f"{place}.port", message, "choose another name")
            elif not event.port:
                self._findings.error(node.id, f"{place}.port", "a port needs a name")
            elif event.port in ports:
                message = f"two events leave by the port {event.port!r}"
                self._findings.error(node.id, f"{place}.port", message, "give each a port of its own")
            ports.add(event.port)
