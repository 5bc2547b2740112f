"""The store: DuckDB behind one lock. SQL lives in this package only, one file a subject."""

from soulcaster.db.connection import migrate, read, write

__all__ = ["migrate", "read", "write"]
