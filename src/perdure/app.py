"""Wiring: settings in, running parts out. The only file below cli/ and testing/ that names concrete classes."""
