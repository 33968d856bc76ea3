"""What operators see of a running server: request ids, logs, metrics and traces."""
