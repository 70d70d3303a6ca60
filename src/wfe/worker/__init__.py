"""Worker processes: they lend credit to shards, execute tasks, and report how those ended.

``actor`` is the protocol (with ``link``, one shard's conversation, and ``credit``, how much to ask of whom); ``runner``
executes (``threads``, ``aio``, ``processes`` with ``child`` and ``ipc``; ``functions`` are tasks made ready to run, ``job``
is one attempt, ``failure`` turns exceptions into facts); ``context``, ``resources`` and ``capture`` are what users' code
meets; ``process`` and ``supervisor`` are the real processes, ``deadlines`` what lets a parent see that one is stuck.
Imports nothing by itself: `import wfe` reaches ``context`` and ``resources``, which are light.
"""
