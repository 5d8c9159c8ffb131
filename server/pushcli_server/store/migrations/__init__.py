"""The database's history, as alembic's scripts; run by `database.migrate`."""
