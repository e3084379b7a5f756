"""What the kernel sees: operations, inodes, handles, attributes, names."""
