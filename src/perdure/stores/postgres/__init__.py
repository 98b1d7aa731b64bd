"""The store in a PostgreSQL database, for any number of machines. Needs the extra `perdure[postgres]`."""
