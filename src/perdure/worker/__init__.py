"""Takes messages and runs agents."""
