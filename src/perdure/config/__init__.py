"""Settings, from file, environment and command line."""
