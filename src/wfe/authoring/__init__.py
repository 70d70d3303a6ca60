"""How workflows are written: graphs drawn in Python, YAML and JSON, the apps that hold them, and pictures of them.

Everything here ends as a `model.definition.Definition`. The room runs the author's code (importing it, drawing with it)
and reads his files; it knows neither servers nor runs. To follow a drawing: `workflows` -> `tracing` -> `graph` and
`blocks`, which put nodes on a `canvas`; `calls` for tasks; `refs`, `operators` and `refusals` for values.
"""
