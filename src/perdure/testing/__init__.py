"""Kits that prove a store, a memory, a provider; fakes one can trust; a way to test an agent."""
