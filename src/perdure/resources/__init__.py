"""Limits and usage."""
