"""The azfuse command: one module a subcommand."""
