"""Workloads that measure an engine through an ordinary client: chain, fanout, latency, replay.

``definitions`` builds their graphs as data, ``app`` holds their tasks (a worker loads it), ``workloads`` drives them in
a closed loop, ``replay`` turns a WfFormat 1.5 trace into a graph, ``report`` is what comes out. Nothing here starts a
server: whoever calls passes a client of one.
"""
