"""azfuse in a Debian of its own: what only shows where packages, systemd and fstab are real."""
