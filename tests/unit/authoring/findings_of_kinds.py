"""Mistakes with loops, states, races, locks and single nodes: a text, and the finding with its line."""

from __future__ import annotations

HEAD = "workflow: flow\nparams: {n: integer, order: {type: object}}\nlocks: {desk: 1, pair: 2}\nnodes:\n"
STATE = "- {state: {count: 0, name: x}, id: s}\n"

KINDS: dict[str, tuple[str, str]] = {
    # loops
    "break outside": (HEAD + "- {task: a}\n- {break_if: n > 1}", "6:3: break_if: break_if ends the loop around it"),
    "value out of a loop": (
        HEAD + "- {loop: {until: a > 1}, do: [{task: a}]}\n- {set: '${a}'}",
        "6:9: set: 'a' is made in each iteration of the loop 'loop' and is not known outside it; declare a state",
    ),
    "item out of a loop": (
        HEAD + "- {loop: {items: '[n]'}, as: x, do: [{task: a}]}\n- {set: '${x}'}",
        "6:9: set: 'x' is the item of the loop 'loop', known only inside it",
    ),
    "a loop has no value": (
        HEAD + "- {loop: {items: '[n]'}, do: [{task: a}]}\n- {set: '${loop}'}",
        "6:9: set: 'loop' is a loop and has no value; keep what the loop makes in a state",
    ),
    "while sees no value of its iteration": (
        HEAD + "- {loop: {while: a > 1}, do: [{task: a}]}",
        "5:18: loop: 'a' is made in each iteration",
    ),
    "items are no list": (HEAD + "- {loop: {items: n}, do: [{task: a}]}", "5:18: loop: a list of items is needed"),
    "until is no condition": (
        HEAD + "- {loop: {until: n + 1}, do: [{task: a}]}",
        "5:18: loop: a condition must be true or false",
    ),
    "loop for ever": (
        HEAD + "- {loop: true, max_iterations: null, do: [{set: 1}, {break_if: n > 1}]}",
        "5:32: loop: the loop has no bound and never waits",
    ),
    "item and index": (
        HEAD + "- {loop: {items: '[n]'}, index: item, do: [{task: a}]}",
        "5:33: loop: the item and the number of the iteration have one name",
    ),
    "index is a parameter": (HEAD + "- {loop: true, index: n, do: [{end: 1}]}", "5:23: loop: the name 'n' is also"),
    "node is an index": (
        HEAD + "- {loop: true, index: i, do: [{end: 1, id: i}]}",
        "5:44: i: 'i' is also the name of the iteration's number of a loop",
    ),
    # states
    "no such state": (
        HEAD + STATE + "- {assign: t, set: {count: 1}}",
        "6:12: assign: there is no state 't'; declare it above",
    ),
    "state misspelt": (
        HEAD + "- {state: {}, id: progress}\n- {assign: progres, value: 1}",
        "6:12: assign: there is no state 'progres'; did you mean 'progress'?",
    ),
    "assign to a task": (HEAD + "- {task: a}\n- {assign: a, value: 1}", "6:12: assign: 'a' is no state but a task"),
    "assign before the state": (
        HEAD + "- {assign: s, set: {count: 1}}\n" + STATE,
        "5:12: assign: 's' has not surely ended when this is evaluated",
    ),
    "state in a branch": (
        HEAD + "- {when: n > 1, do: [{state: {}, id: s}]}\n- {assign: s, set: {x: 1}}",
        "6:12: assign: 's' is made inside the when 'when' and may not exist here; declare the state before the block",
    ),
    "state of another iteration": (
        HEAD + "- {loop: {items: '[n]'}, do: [{state: {}, id: s}]}\n- {assign: s, set: {x: 1}}",
        "6:12: assign: 's' is made in each iteration of the loop",
    ),
    "type of a field": (
        HEAD + STATE + "- {assign: s, set: {count: many}}",
        "6:28: assign: it does not fit s.count: string does not fit number",
    ),
    "type of a state": (HEAD + STATE + "- {assign: s, value: 3}", "6:22: assign: it does not fit the state 's'"),
    "both set and value": (
        HEAD + STATE + "- {assign: s, set: {count: 1}, value: {count: 1, name: y}}",
        "6:3: assign: an assign changes some fields, or all of the state: exactly one",
    ),
    "assign has no value": (
        HEAD + STATE + "- {assign: s, set: {count: 1}}\n- {set: '${assign}'}",
        "7:9: set: 'assign' is a assign and has no value; use 's', the state that it changes",
    ),
    "two branches": (
        HEAD + STATE + "- parallel:\n  - {assign: s, set: {count: 1}}\n  - {assign: s, set: {count: 2}}",
        "8:5: assign_2: 'assign_2' changes s.count, and so does 'assign', which may run at the same time",
    ),
    "branch and whole state": (
        HEAD
        + STATE
        + "- parallel:\n  - {assign: s, set: {count: 1}}\n  - branch: [{assign: s, value: {count: 1, name: x}}]",
        "8:5: branch: 'assign_2' changes s.count, and so does 'assign'",
    ),
    "racing changes": (
        HEAD
        + STATE
        + "- race:\n  - branch: [{task: a}, {assign: s, set: {count: 1}}]\n"
        + "  - branch: [{task: b}, {assign: s, set: {count: 2}}]",
        "8:5: branch_2: 'assign_2' changes s.count",
    ),
    "unordered lines": (
        HEAD + STATE + "- {assign: s, set: {count: 1}}\n- {assign: s, set: {count: 2}, after: [s]}",
        "7:3: assign_2: 'assign_2' changes s.count",
    ),
    "items of a map": (
        HEAD + STATE + "- {map: 3, do: [{assign: s, set: {count: '${item}'}}]}",
        "6:3: map: 'assign' changes the state 's' in several items at the same time; give a result per item",
    ),
    # races
    "value out of a race": (
        HEAD + "- {race: [{task: a}, {task: b}]}\n- {set: '${a}'}",
        "6:9: set: 'a' is made inside the race 'race' and may not exist here; use merge(a, ...)",
    ),
    "the loser's value": (
        HEAD + "- {race: [{task: a}, {task: b}]}\n- {when: race.winner == 'a', do: [{set: '${b}'}]}",
        "6:41: set: 'b' is made inside the race 'race'",
    ),
    "value of the rival": (
        HEAD + "- {race: [{task: a}, {task: b, with: {x: '${a}'}}]}",
        "5:42: b: 'a' is made by another child of the race 'race'",
    ),
    "winner misspelt": (
        HEAD + "- {race: [{task: a}, {task: b}]}\n- {when: race.winner == 'c', do: [{set: 1}]}",
        "6:10: when: ",
    ),
    "order in a race": (
        HEAD + "- {race: [{task: a}, {task: b, after: [a]}]}",
        "5:39: b: the children of a race start together",
    ),
    "join in a race": (
        HEAD + "- {race: [{task: a}, {task: b, join: any}]}",
        "5:22: b: joins, splits, cancels and boundaries have no meaning",
    ),
    # locks
    "unknown lock among several": (
        HEAD + "- {lock: [desk, pear], do: [{task: a}]}",
        "5:10: lock: 'pear' is no lock of this run: several can only be taken of the run's own; did you mean 'pair'?",
    ),
    "lock twice": (HEAD + "- {lock: [desk, desk], do: [{task: a}]}", "5:10: lock: a lock is named twice"),
    "lock inside itself": (
        HEAD + "- {lock: desk, do: [{lock: desk, do: [{task: a}]}]}",
        "5:28: lock_2: the lock 'desk' is already held here",
    ),
    "shared lock inside itself": (
        HEAD + "- {lock: printer, do: [{map: 2, do: [{lock: printer, do: [{task: a}]}]}]}",
        "5:45: lock_2: the lock 'printer' is already held here",
    ),
    "key of an own lock": (HEAD + "- {lock: desk, key: x, do: [{task: a}]}", "5:21: lock: the lock is the run's own"),
    # decisions, transformations, waits
    "case after the rest": (
        HEAD + "- {decision: {a: true, b: n > 1}}",
        "5:18: decision: no case can follow 'a', which always holds; make it the last",
    ),
    "case is a port": (HEAD + "- {decision: {ok: n > 1, other: true}}", "5:19: decision: 'ok' cannot be a case"),
    "case is no condition": (HEAD + "- {decision: {a: n + 1, b: true}}", "5:18: decision: a condition must be"),
    "name in a filter": (
        HEAD + "- {transform: '[n]', filter: itm > 1}",
        "5:30: transform: unknown name 'itm'; did you mean",
    ),
    "total outside reduce": (
        HEAD + "- {transform: '[n]', map: total + item, reduce: {value: total + item}}",
        "5:27: transform: unknown name 'total'",
    ),
    "total is the item": (
        HEAD + "- {transform: '[n]', reduce: {value: item, total: item}}",
        "5:51: transform: the item and the result so far have one name",
    ),
    "approval": (HEAD + "- {approval: the boss}", "5:14: approval: 'the boss' is not a name"),
    "field of an approval": (
        HEAD + "- {approval: boss}\n- {set: '${approval.aproved}'}",
        "6:9: set: ",
    ),
    "method": (HEAD + "- {http: FROB https://a.b}", "5:10: http: unknown method 'FROB'; it is one of GET"),
    "address": (HEAD + "- {http: GET ftp://a.b}", "5:10: http: 'ftp://a.b' is no address of the web; it starts with"),
    "status": (HEAD + "- {http: GET https://a.b, accept: [40]}", "5:35: http: 40 is out of range: 100 to 599"),
    "auth": (
        HEAD + "- {http: GET https://a.b, auth: {baerer: x}}",
        "5:33: http: auth is one of {bearer: ...}, {basic: ...}",
    ),
    "parts of auth": (
        HEAD + "- {http: GET https://a.b, auth: {basic: {username: x}}}",
        "5:41: http: basic needs password",
    ),
    "secret in a text": (
        HEAD + "- {http: GET https://a.b, headers: {X: 'key ${secret(\"K\")}'}}",
        "5:40: http: a secret can only be handed to a task, whole; write",
    ),
    "secret in a value": (HEAD + "- {set: '${secret(\"K\")}'}", "5:9: set: a secret can only be handed to a task"),
    "secret in a condition": (HEAD + "- {task: a, if: secret(\"K\") == 'x'}", "5:17: a: a secret can only be handed"),
    "secret by a name": (HEAD + "- {task: a, with: {x: '${secret(n)}'}}", "5:23: a: secret() takes the name of a"),
    "marking elsewhere": (HEAD + "- {task: a, if: active('a')}", "5:17: a: active() asks about the marking of a net"),
    # the workflow
    "trigger twice": (
        "workflow: flow\ntriggers: [{webhook: a}, {webhook: a}]\nnodes: [{task: a}]",
        "2:36: the webhook 'a' is already a trigger",
    ),
    "manual twice": (
        "workflow: flow\non: [manual, {webhook: a}, manual]\nnodes: [{task: a}]",
        "2:28: 'manual' is already a trigger of this workflow; name each once",
    ),
    "name in a trigger": (
        "workflow: flow\ntriggers: [{webhook: a, input: '${bdy.x}'}]\nnodes: [{task: a}]",
        "2:32: unknown name 'bdy'; did you mean 'body'?",
    ),
    "default inside a schema": (
        "workflow: flow\ntypes: {T: {type: object, properties: {x: {type: integer, default: no}}}}\nnodes: [{task: a}]",
        "2:68: the default does not fit its own schema",
    ),
}
