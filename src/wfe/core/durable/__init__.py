"""Durable functions in core: turns are booked, calls are activations of the one node, completions open the next turn.

`places` says where a call lives, `booking` is its part of evolve, `turns` takes what a worker says of a turn, `calls`
begins and ends single calls, `records` makes what a worker gets, `rounds` goes on after a failure or from a point.

The function itself is the node's place in the root frame (`places.MAIN`): its open attempt is a turn. A call has the
activation ``base + seq`` and lives at that place in the same tables as the nodes of graphs: open tasks, timers, waits,
children. What it brought is a completion in `DurableState.completions`, and as soon as there are more of them than the
function has had and no turn is open, the next turn is.
"""
