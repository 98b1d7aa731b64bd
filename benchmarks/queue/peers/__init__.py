"""One adapter for each contender."""
