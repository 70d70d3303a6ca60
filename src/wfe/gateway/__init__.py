"""HTTP: REST, event stream, dashboard, metrics; a client like any other. Reserved: its stage is still to come."""
