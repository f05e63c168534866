"""Benchmarks of speed, memory and traffic; README.md has one command for each. They are not tests."""
