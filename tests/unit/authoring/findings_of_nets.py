"""Mistakes in nets, and in blocks whose nodes join, split and cancel: a text, and the finding with its line."""

from __future__ import annotations

from findings_of_kinds import HEAD

GRAPH = "workflow: flow\nparams: {n: integer}\nnodes:\n"


def graph(nodes: str, *edges: str, more: str = "") -> str:
    """Nodes on line 4 and after, one each; edges behind them, one each."""
    listed = "".join(f"- {node}\n" for node in nodes.splitlines())
    return GRAPH + listed + "edges:\n" + "".join(f"- {edge}\n" for edge in edges) + more


A, B, C = "{task: a}", "{task: b}", "{task: c}"

NETS: dict[str, tuple[str, str]] = {
    # nets in blocks
    "unknown cancels": (HEAD + "- {task: a}\n- {task: b, cancels: c}", "6:22: b: cancels names 'c', but there is no"),
    "cancels in another block": (
        HEAD + "- {when: n > 1, do: [{task: a}]}\n- {task: b, cancels: a}",
        "6:22: b: cancels names 'a', which is in another block",
    ),
    "too many for a join": (
        HEAD + "- {task: a}\n- {task: b, after: []}\n- {task: c, after: [a, b], join: {n: 3}}",
        "7:34: c: the join waits for 3 edges, and 2 lead to it: it never fires; n is at most 2",
    ),
    "value behind the first": (
        HEAD + "- {task: a}\n- {task: b, after: []}\n- {task: c, after: [a, b], join: any, with: {x: '${a}'}}",
        "7:49: c: 'a' may not have a value here; use merge(a, ...)",
    ),
    "value of the cancelled": (
        HEAD + "- {task: a}\n- {task: b, after: [], cancels: a}\n- {task: c, after: [a, b], with: {x: '${a}'}}",
        "7:38: c: 'a' may not have a value here",
    ),
    "split without edges": (
        HEAD + "- {task: a, split: xor}\n- {task: b}",
        "5:20: a: the split xor needs edges with conditions",
    ),
    "joins all of a deferred choice": (
        HEAD
        + "- {task: a, split: deferred}\n- {signal: b}\n- {signal: c, after: [a]}\n"
        + "- {task: d, after: [signal, signal_2]}",
        "8:3: d: the node waits for 'signal' and 'signal_2', but 'a' leads to only one of them; add join: each",
    ),
    "asks about nobody": (
        HEAD + "- {task: a, enabled_while: active('b')}",
        "5:28: a: active names 'b', but there is no such node",
    ),
    # graphs
    "edge to nobody": (
        graph("\n".join([A, B]), "a -> b", "b -> c"),
        "8:3: graph: the edge b -> c: to names 'c', but there is no such node",
    ),
    "edge across blocks": (
        graph(A + "\n{when: n > 1, do: [{task: b}]}", "a -> when", "b -> a"),
        "8:3: graph: the edge b -> a: from names 'b', which is in another block",
    ),
    "port": (
        graph("\n".join([A, B]), "{from: a, to: b, port: eror}"),
        "7:3: a: 'a' is never left by the port 'eror'; did you mean 'error'?",
    ),
    "case without a name": (
        graph("{decision: {big: n > 1, small: true}}\n{task: b}", "{from: decision, to: b, port: bigg}"),
        "7:3: decision: 'decision' is never left by the port 'bigg'; did you mean 'big'?",
    ),
    "errors of another port": (
        graph("\n".join([A, B]), "{from: a, to: b, errors: [E]}"),
        "7:3: a: errors count only for edges of the port error; add port: error",
    ),
    "condition without a split": (
        graph("\n".join([A, B]), "{from: a, to: b, when: n > 1}"),
        "7:3: a: the condition of this edge has no meaning: 'a' takes all of its edges; add split: xor",
    ),
    "two defaults": (
        graph(
            "{task: a, split: xor}\n{task: b}\n{task: c}",
            "{from: a, to: b, default: true}",
            "{from: a, to: c, default: true}",
        ),
        "9:3: a: 'a' has several default edges; keep one",
    ),
    "condition of the default": (
        graph("{task: a, split: xor}\n{task: b}", "{from: a, to: b, default: true, when: n > 1}"),
        "7:3: a: the default edge is taken when no other is",
    ),
    "name in a condition": (
        graph("{task: a, split: or}\n{task: b}", "{from: a, to: b, when: m > 1}", "{from: a, to: b, default: true}"),
        "7:26: a: unknown name 'm'",
    ),
    "no beginning": (graph("\n".join([A, B]), "a -> b", "b -> a"), "3:1: graph: the graph has no place to begin"),
    "entry misspelt": (
        graph("{task: start_here}\n" + B, "start_here -> b", more="entry: start_hear\n"),
        "8:8: graph: entry names 'start_hear', but there is no such node; did you mean 'start_here'?",
    ),
    "out of reach": (
        graph("\n".join([A, B, C]), "a -> b", "c -> a", more="entry: a\n"),
        "6:3: c: the node can never run: no edges lead to it",
    ),
    "behind the end": (
        graph("{end: 1}\n" + A, "end -> a"),
        "5:3: a: the node can never run: no edges lead to it",
    ),
    "circle without rest": (
        graph(
            "{set: 1, join: each}\n{set: 2, id: b, split: xor}\n{task: c}",
            "set -> b",
            "{from: b, to: set, when: n > 1}",
        )
        + "- {from: b, to: c, default: true}\nentry: set\n",
        "8:3: set: tokens would go round without end and without rest: set -> b -> set",
    ),
    "joins both branches of a choice": (
        graph(
            "{decision: {big: n > 1, small: true}}\n{task: a}\n{task: b}\n{task: c}",
            *("{from: decision, to: a, port: big}", "{from: decision, to: b, port: small}", "a -> c", "b -> c"),
        ),
        "7:3: c: the node waits for 'a' and 'b', but 'decision' leads to only one of them; add join: each",
    ),
    "joins a success and its failure": (
        graph("\n".join([A, B, C]), "a -> b", "{from: a, to: c, port: error}", "b -> c"),
        "6:3: c: the node waits for 'a' and 'b', but 'a' leads to only one of them",
    ),
    "unknown in a region": (
        graph("\n".join([A, B]), "a -> b", more="regions: {left: [a, x]}\n"),
        "8:17: graph: the region 'left' names 'x', but there is no such node",
    ),
    "region is a node": (
        graph("\n".join([A, B]), "a -> b", more="regions: {a: [b]}\n"),
        "8:14: graph: the region 'a' is also a node; give it another name",
    ),
    "region of a join": (
        graph("{task: a}\n{task: b, join: {n: 1, region: [a]}}", "a -> b"),
        "5:19: b: the region of a join is what rest: cancel withdraws",
    ),
    "after in a graph": (
        graph("{task: a}\n{task: b, after: [a]}", "a -> b"),
        "5:20: b: in a graph edges alone order the nodes",
    ),
    "port twice": (
        graph("{task: a, boundary: [{timer: 1s, port: x}, {signal: y, port: x}]}\n" + B, "{from: a, to: b, port: x}"),
        "4:64: a: two events leave by the port 'x'",
    ),
    "port of everybody": (
        graph("{task: a, boundary: [{timer: 1s, port: ok}]}\n" + B, "a -> b"),
        "4:42: a: 'ok' is already a way in which the node is left",
    ),
    "weight": (graph("\n".join([A, B]), "{from: a, to: b, weight: 1000000}"), "7:28: graph: 1e+06 is out of range"),
    "own value at first": (
        graph("{task: a, join: each, with: {x: '${a}'}}\n" + B, "a -> b", "b -> a", more="entry: a\n"),
        "4:35: a: 'a' has no value of its own when it runs for the first time; use merge(a, ...)",
    ),
    "value out of a graph": (
        graph("\n".join([A, B]), "a -> b", more="output: '${b}'\n"),
        "8:9: 'b' is made inside the graph 'graph' and may not exist here; use merge(b, ...)",
    ),
}
