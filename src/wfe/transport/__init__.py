"""ZeroMQ, and nothing else knows it: ``sockets`` (profiles, whole frames, sends that never block), ``aio`` (a socket on
an asyncio loop), ``waiter`` (sockets in a plain loop), ``endpoints`` (addresses, the directory of socket files).
"""
