"""The endpoints, and their description (OpenAPI)."""
