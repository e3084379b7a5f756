"""What turns words into a running mount: source, options, credentials, daemon, readiness."""
