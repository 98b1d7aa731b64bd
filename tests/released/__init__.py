"""What released versions have written, kept to be upgraded."""
