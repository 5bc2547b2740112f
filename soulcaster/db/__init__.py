"""The store: DuckDB behind one lock. SQL lives in this package only, one file a subject."""

from soulcaster.db.connection import count_contents, hold, read, write
from soulcaster.db.schema import check as check_schema
from soulcaster.db.schema import migrate

__all__ = ["check_schema", "count_contents", "hold", "migrate", "read", "write"]
