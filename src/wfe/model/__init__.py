"""Pure data: msgspec Structs that every room shares. No I/O, no clock, no behaviour beyond simple views."""
