"""`python -m tests.bench`: what a handful of workloads cost, in requests and in seconds."""
