"""Everything that leaves the process: the only room that knows HTTP clients and breakers."""
