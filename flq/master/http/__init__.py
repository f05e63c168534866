"""The HTTP server: connections, limits, TLS, tokens; it knows no run."""
