"""The journal: log and store logic, written once above the `Log` and `Store` ports; it does its I/O through them only.

`schema` numbers the tables and seals every value; `log` is a shard's write-ahead log; `rows` builds the changes of a
checkpoint and `store` reads a partition; `checkpoint` is the seam to the thread that commits; `catalogue` is the
coordinator's store; `verify` checks all of it.
"""
