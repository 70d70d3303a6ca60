"""Alerts that wfe sends by itself: rules over the server's status, and who is told.

A process of its own beside a server, which talks to it like a client (`service`). `rules` reads the configuration,
`samples` and `conditions` turn status answers into values, `states` decides what is to be said when (pure, time comes
in), `delivery` says it, `receivers` knows webhooks, mail and commands. Invariants: a receiver that is slow or dead
holds up nobody else; what waits, and what is said in an hour, is bounded; the server notices nothing of it all but one
status question every few seconds.
"""
