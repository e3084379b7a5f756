"""azfuse: mount an Azure Files share on Linux over its REST API.

Data flows one way, and imports point the same way, downwards only:
`cli` > `mount` > `fuse` > `cache` > `rest`. The `emulator` stands beside `rest`
and shares only its wire vocabulary (`azfuse.rest.wire`).
"""

__version__ = "0.1.0"
