"""The HTTP server: connections, limits, TLS, tokens; independent of any run."""
