"""What an operator sees of the service: log lines, metrics and traces."""
