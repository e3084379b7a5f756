"""`python -m azfuse`: the command where the script is not on the path."""

from azfuse.cli.main import main

main()
