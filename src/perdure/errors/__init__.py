"""Every error in one tree, and what becomes of it."""
