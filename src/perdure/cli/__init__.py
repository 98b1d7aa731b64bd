"""The `perdure` command, one file per verb."""
