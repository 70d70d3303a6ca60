"""The parent process of an engine: supervises shards and local workers, owns the catalogue and the front door.

``actor`` is the whole logic without I/O, made of ``routing`` (the front door), ``peers`` (who is known there),
``topology`` (shards and partitions), ``supervision`` (restarts), ``deploys`` (definitions) and ``status``. ``process``
gives it sockets, children, signals and time; ``children`` spawns and waits; ``moves`` hands partitions over before a
start with another number of shards; ``tokens`` are the files that let peers of the same user in.
"""
