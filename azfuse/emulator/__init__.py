"""An emulator of the Azure Files REST API: the same service from the other side.

    server.py    uvicorn around it        app.py   the ASGI application: one request, start to end
    request.py   what was asked           operations.py  which operation that is, and who may do it
    authorization.py  who may: sharedkey.py, sas.py (delegation.py), tokens.py; cors.py for browsers
    account.py share.py directory.py file.py ...   one handler an operation, named as the operation
    features.py  settings of shares that only some accounts have, kept and given back
    store.py     SQLite names and properties (schema.py, shares.py, entries.py, snapshots.py),
                 sparse files for content (content.py, allocation.py)
    permissions.py  security descriptors by key; sddl.py reads and writes their two forms
    faults.py    injected latency, bandwidth and errors; admin.py shows and changes them live

The only thing it takes from `azfuse.rest` is the wire vocabulary (`wire`, `ErrorCode`), so that a
bug in the client cannot hide the same bug here. Every SQLite call runs on the event loop's thread
and is short; bytes by the megabyte are read and written in worker threads. A handler that does not
await between looking and changing is therefore atomic, without locks.
"""
