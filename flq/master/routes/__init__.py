"""The endpoints: what each request is turned into, and their description (OpenAPI)."""
