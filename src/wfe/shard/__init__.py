"""A shard: an actor that owns some partitions. Load -> batch -> decide and evolve -> commit -> effects.

`actor.Shard` is a state machine over frames and ticks; `process` runs it on real sockets and LMDB, `sim` on fakes.
Nothing that a batch brought about leaves before `Shard.commit` made it durable.
"""
