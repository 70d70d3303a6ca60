"""The users' test kit: an engine in the process, on a virtual clock. Reserved: its stage is still to come."""
