"""Messages, their states and moves, and the contract of where they are kept."""
