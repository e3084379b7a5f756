"""`python -m tests.bench`: workloads on azfuse, on rclone mount, and on what the kernel allows.

__main__   the command line          catalogue  every workload by name
measure    one run, start to end     workload   what a workload is
place      directory and emulator    streams, small, programs, listing, long: the workloads
peers      who is measured           worker     runs one in a process of its own
driver     a mount's process         store      the share, past every driver
results    runs, as JSON             content    bytes that can be told apart
report     tables and ratios         budget     requests against the architecture's table
passthrough  a FUSE file system over a directory, the floor of Python's kernel path
"""
