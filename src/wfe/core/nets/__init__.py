"""Nets: blocks whose nodes play the general token game (rules R1 to R10, docs/nets.md).

`shape` is a net compiled, `wiring` makes it from a definition, `reach` says what a token can still reach. `marking`
books events (it writes the state, evaluates nothing and looks at no clock); `play`, `leave`, `joins` and `boundaries`
decide.

How it works. A node of a net is a scope (kind FIRING): each firing is an activation with a frame of its own, inside
which everything is structured as anywhere else, nets included. When that frame has ended, `leave` chooses the edges
by which tokens leave and records `FiringEnded`; booking it puts the tokens on the edges and tests the joins behind
them, which needs no expression. A join that fires puts its node into ``joined``; `play.step` opens firings from there.
When nothing else in the run can move, `play.settle` tests what depends on the whole marking: or-joins, rounds that
can't be completed, and whether the net has ended or is stuck.
"""
