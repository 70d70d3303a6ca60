"""The whole cluster in one process on a simulated clock, network and disk, driven by one seed.

The production actors and journal run on fakes; nothing here is imported by them.
"""
