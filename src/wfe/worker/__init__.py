"""Worker processes: they lend credit to shards, execute tasks, and report how those ended.

``actor`` is the protocol (with ``link``, one shard's conversation, and ``credit``, how much to ask of whom). ``runner``
executes: ``threads``, ``aio``, and ``processes`` with ``child`` and ``ipc``; ``functions`` are tasks made ready to run,
``job`` is one attempt, ``failure`` turns exceptions into facts. ``context``, ``resources`` and ``capture`` are what the
users' code meets. ``process`` and ``supervisor`` are the real processes; by ``deadlines`` a parent sees a stuck one.
Imports nothing by itself: `import wfe` reaches ``context`` and ``resources``, which are light.
"""
