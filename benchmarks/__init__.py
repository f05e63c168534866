"""How fast FLQ is, and in how little memory. README.md has one command for each. Nothing here is a test."""
