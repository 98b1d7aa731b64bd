"""The same scenarios under a deterministic scheduler: thousands of seeds, each of which can be run again."""
