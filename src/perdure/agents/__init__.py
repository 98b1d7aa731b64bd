"""What a user writes, and what a run remembers."""
