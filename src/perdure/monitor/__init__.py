"""What happened, how fast, and at what cost."""
