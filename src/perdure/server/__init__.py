"""The doors: HTTP for programs, pages for people."""
