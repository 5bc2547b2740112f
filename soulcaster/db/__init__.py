"""The store: DuckDB behind one lock. SQL lives in this package only, one file a subject."""

from soulcaster.db.connection import count_contents, migrate, read, write

__all__ = ["count_contents", "migrate", "read", "write"]
