"""Who answers prompts: one contract, and everyone who keeps it."""
