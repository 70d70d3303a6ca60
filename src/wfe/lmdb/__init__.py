"""LMDB adapters of the `Log` and `Store` ports, the threads that use them, and the layout of a data directory.

Only this room knows LMDB. Its rules (docs/storage.md says why): the defaults ``sync=True, metasync=True`` for
durability "sync"; never ``writemap``; one writing thread per environment; every return of ``put(append=True)`` checked;
read transactions are short, because one that stays open stops the reuse of pages.
"""
