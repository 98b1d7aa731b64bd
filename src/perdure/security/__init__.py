"""Keys, scopes, and the validation of what comes in."""
