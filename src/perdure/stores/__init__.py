"""Where things are kept, and all the SQL."""
