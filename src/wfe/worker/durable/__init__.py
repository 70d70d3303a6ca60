"""Durable functions inside a worker: plain Python that is run, suspended, and re-run with its recorded results.

`loop` is a deterministic asyncio loop, `instance` one function of one run on it, `live` those that this worker keeps.
Nothing here may wait, read a clock or throw dice on behalf of the function: all that it sees comes from the record.
"""
