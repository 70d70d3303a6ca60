"""Messages and envelopes between processes, their codec and their version. Pure: bytes in, Structs out."""
