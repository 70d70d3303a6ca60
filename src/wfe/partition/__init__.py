"""Many runs, as pure data structures: entries, ready queue, timers, leases, keys, mail, dirty runs. Uses core and wire.

Nothing here does I/O or reads a clock. The shard actor owns one of each and makes batches of what they bring about.
"""
