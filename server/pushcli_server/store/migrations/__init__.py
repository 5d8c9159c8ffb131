"""The database's history, as alembic's scripts; run by `migrate.py`."""
