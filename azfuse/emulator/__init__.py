"""The File service from the other side: an ASGI application on SQLite and sparse files."""
