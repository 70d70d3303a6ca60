"""The HTTP gateway: REST, event streams, webhooks, metrics and the dashboard's files. A client like any other.

May touch: the client, definitions (core, authoring), Litestar and uvicorn (extra ``[server]``), files in ``static``.
Knows no transport and no process: `bootstrap` gives it a connected client. Invariants: whatever comes in over HTTP ends
as a typed answer (problem+json), never as a traceback; what a slow or dead reader can hold is bounded; it keeps nothing
that must outlive it, so that any number of gateways may stand before one server and die at any time.

Nothing is imported here: the package weighs nothing until a gateway is started.
"""
