"""Perdure: a durable runtime for LLM agents."""
