"""What one run does, as pure functions: *decide* turns a command and a state into events, *evolve* books events.

Nothing here does I/O, reads a clock or draws random numbers: time and randomness come in with the `Turn`.
"""
