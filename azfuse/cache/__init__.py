"""What is remembered of the share, and for how long it may be believed."""
