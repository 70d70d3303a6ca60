"""What the kinds of node mean that are not plain steps: texts and the nodes that they become."""

from __future__ import annotations

from wfe.model.definition import (
    Approval,
    Assign,
    Boundary,
    BreakIf,
    Compensate,
    CompensateWith,
    Custom,
    Decision,
    DurableCall,
    Edge,
    Emit,
    Escalation,
    Graph,
    Http,
    Join,
    Lock,
    Loop,
    Map,
    Node,
    Race,
    Reduce,
    State,
    Task,
    Transform,
    WaitSignal,
)
from wfe.model.policy import RetryPolicy

A, B, C = (Task(id=name, task=name) for name in "abc")


def breaking(cond: str) -> Node:
    return Loop(id="loop", do=(A, BreakIf(id="break_if", cond=cond)))


NETS: list[tuple[str, Node]] = [
    ("- {graph: [{task: a}, {task: b}]}", Graph(id="graph", do=(A, B))),
    (
        "- {graph: [{task: a}, {task: b}, {task: c}], edges: [a -> b -> c, 'c->a'], entry: a}",
        Graph(id="graph", do=(A, B, C), edges=(Edge("a", "b"), Edge("b", "c"), Edge("c", "a")), entry=("a",)),
    ),
    (
        "- graph: [{task: a, split: xor}, {task: b, join: each}]\n"
        "  edges: [{from: a, to: b, port: error, errors: [E, F], weight: 2},"
        " {from: a, to: b, when: n > 1}, {from: a, to: b, default: true}]\n"
        "  regions: {left: [a, b], right: b}",
        Graph(
            id="graph",
            do=(Task(id="a", task="a", split="xor"), Task(id="b", task="b", join=Join(mode="xor"))),
            edges=(
                Edge("a", "b", port="error", errors=("E", "F"), weight=2),
                Edge("a", "b", when="n > 1"),
                Edge("a", "b", default=True),
            ),
            regions={"left": ("a", "b"), "right": ("b",)},
        ),
    ),
    *(
        (
            f"- {{graph: [{{task: a, join: {text}}}, {{task: b}}, {{task: c}}], edges: [b -> a, c -> a]}}",
            Graph(
                id="graph",
                do=(Task(id="a", task="a", join=join), B, C),
                edges=(Edge("b", "a"), Edge("c", "a")),
            ),
        )
        for text, join in (
            ("all", None),
            ("and", Join()),
            ("any", Join(mode="n", n=1)),
            ("each", Join(mode="xor")),
            ("xor", Join(mode="xor")),
            ("or", Join(mode="or")),
            ("{n: 2}", Join(mode="n", n=2)),
            ("{n: 2, rest: block}", Join(mode="n", n=2, rest="block")),
            ("{n: 1, rest: cancel, region: [b, c]}", Join(mode="n", n=1, rest="cancel", region=("b", "c"))),
            ("{thread: 3}", Join(mode="thread", n=3)),
        )
    ),
    (
        "- task: a\n"
        "  split: or\n"
        "  cancels: run\n"
        "  enabled_while: active('a')\n"
        "  on_missed: skip\n"
        "  boundary: [{timer: 5m, port: late, interrupting: false}, {signal: stop, port: stopped}]",
        Task(
            id="a",
            task="a",
            split="or",
            cancels=("run",),
            enabled_while="active('a')",
            on_missed="skip",
            boundary=(
                Boundary("late", after_ms=300_000, interrupting=False),
                Boundary("stopped", signal="stop"),
            ),
        ),
    ),
]

BLOCKS: list[tuple[str, Node]] = [
    ("- {loop: {until: a > 3}, do: [{task: a}]}", Loop(id="loop", until="a > 3", do=(A,))),
    ("- {loop: true, until: a > 3, do: [{task: a}]}", Loop(id="loop", until="a > 3", do=(A,))),
    (
        "- {loop: {while: n > 1}, max_iterations: null, index: i, do: [{task: a}]}",
        Loop(id="loop", while_="n > 1", max_iterations=None, index="i", do=(A,)),
    ),
    (
        "- {loop: {items: order.items}, as: x, max_iterations: 5, do: [{task: a}]}",
        Loop(id="loop", items="order.items", as_="x", max_iterations=5, do=(A,)),
    ),
    ("- {loop: true, do: [{task: a}, {break_if: a > 3}]}", breaking("a > 3")),
    ("- {loop: , do: [{task: a}, {break_if: true}]}", breaking("true")),
    ("- {race: [{task: a}, {task: b}]}", Race(id="race", do=(A, B))),
    ("- {lock: db, do: [{task: a}]}", Lock(id="lock", names=("db",), do=(A,))),
    ("- {lock: [x], do: [{task: a}]}", Lock(id="lock", names=("x",), do=(A,))),
    ("- {lock: db, key: 'k-${n}', do: [{task: a}]}", Lock(id="lock", names=("db",), key="k-${n}", do=(A,))),
    ("- {map: 3, do: [{task: a}]}", Map(id="map", items="3", do=(A,))),
    (
        "- {map: order.items, grow: more, complete_after: 2, complete_when: done > 1, rest: continue, do: [{task: a}]}",
        Map(
            id="map",
            items="order.items",
            grow="more",
            complete_after=2,
            complete_when="done > 1",
            rest="continue",
            do=(A,),
        ),
    ),
]

STEPS: list[tuple[str, Node]] = [
    ("- {approval: manager, timeout: 2d}", Approval(id="approval", approval="manager", timeout_ms=172_800_000)),
    (
        "- approval: manager\n"
        "  id: ok\n"
        "  to: '${order.owner}'\n"
        "  form: {type: object}\n"
        "  timeout: 1d\n"
        "  on_timeout: reject\n"
        "  on_reject: continue\n"
        "  escalate: [{after: 2h, to: boss}, {after: 4h, to: '${order.boss}'}]",
        Approval(
            id="ok",
            approval="manager",
            to="${order.owner}",
            form={"type": "object"},
            timeout_ms=86_400_000,
            on_timeout="reject",
            on_reject="continue",
            escalate=(Escalation(7_200_000, "boss"), Escalation(14_400_000, "${order.boss}")),
        ),
    ),
    (
        "- {compensate_with: refund, with: {order_id: '${order.id}'}}",
        CompensateWith(id="compensate_with", task="refund", with_={"order_id": "${order.id}"}),
    ),
    (
        "- {compensate_with: refund@2, retry: {max_attempts: 5}, timeout: 1m}",
        CompensateWith(
            id="compensate_with",
            task="refund",
            task_version=2,
            retry=RetryPolicy(max_attempts=5),
            timeout_ms=60_000,
        ),
    ),
    ("- {compensate: true}", Compensate(id="compensate")),
    ("- {compensate: }", Compensate(id="compensate")),
    ("- {webhook: paid, timeout: 1h}", WaitSignal(id="webhook", signal="paid", webhook=True, timeout_ms=3_600_000)),
    (
        "- {signal: paid, correlate: '${order.id}', transient: true}",
        WaitSignal(id="signal", signal="paid", correlate="${order.id}", transient=True),
    ),
    (
        "- {decision: {big: n > 100, small: 'true', no: false, rest: true}}",
        Decision(id="decision", cases={"big": "n > 100", "small": "true", "no": "false", "rest": None}),
    ),
    (
        "- {transform: order.items, as: x, filter: x > 1, enrich: {tax: '${x.p * 2}'}, map: x.p,"
        " reduce: {value: total + x}}",
        Transform(
            id="transform",
            items="order.items",
            as_="x",
            filter="x > 1",
            enrich={"tax": "${x.p * 2}"},
            map="x.p",
            reduce=Reduce("total + x"),
        ),
    ),
    (
        "- {transform: order.items, reduce: {value: sum + item, initial: 0, total: sum}}",
        Transform(id="transform", items="order.items", reduce=Reduce("sum + item", initial=0, total="sum")),
    ),
    ("- {emit: paid, data: {x: '${n}'}}", Emit(id="emit", emit="paid", data={"x": "${n}"})),
    ("- {http: GET https://example.org/a}", Http(id="http", method="GET", url="https://example.org/a")),
    ("- {http: 'https://example.org/a', method: GET}", Http(id="http", method="GET", url="https://example.org/a")),
    (
        "- http: post ${order.url}/x?y=${n + 1}\n"
        "  headers: {X-Id: '${n}'}\n"
        "  query: {page: 1}\n"
        "  body: {a: '${order}'}\n"
        "  auth: {bearer: '${secret(\"TOKEN\")}'}\n"
        "  timeout: 5s\n"
        "  retry: {max_attempts: 2}\n"
        "  retry_status: [503]\n"
        "  accept: [404]\n"
        "  response_bytes_max: 1000\n"
        "  allow_private: true\n"
        "  returns: object",
        Http(
            id="http",
            method="POST",
            url="${order.url}/x?y=${n + 1}",
            headers={"X-Id": "${n}"},
            query={"page": 1},
            body={"a": "${order}"},
            auth={"bearer": '${secret("TOKEN")}'},
            timeout_ms=5_000,
            retry=RetryPolicy(max_attempts=2),
            retry_status=(503,),
            accept=(404,),
            response_bytes_max=1_000,
            allow_private=True,
            returns={"type": "object"},
        ),
    ),
    (
        "- {durable: agent, version: 2, with: {task: '${n}'}, returns: string}",
        DurableCall(id="agent", function="agent", version=2, with_={"task": "${n}"}, returns={"type": "string"}),
    ),
    (
        "- {custom: slack.post, with: {text: hi}, retry: {}, timeout: 5s, returns: string}",
        Custom(
            id="custom",
            custom="slack.post",
            with_={"text": "hi"},
            retry=RetryPolicy(),
            timeout_ms=5_000,
            returns={"type": "string"},
        ),
    ),
]

SEVERAL: list[tuple[str, tuple[Node, ...]]] = [
    (
        "- {state: {count: 0}, id: s}\n- {assign: s, set: {count: '${s.count + 1}'}}\n- {assign: s, value: {count: 5}}",
        (
            State(id="s", value={"count": 0}),
            Assign(id="assign", state="s", fields={"count": "${s.count + 1}"}),
            Assign(id="assign_2", state="s", value={"count": 5}),
        ),
    ),
]
