"""`/`: what an operator sees."""
