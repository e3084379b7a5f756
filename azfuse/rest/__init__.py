"""The File service as typed async calls; knows nothing of FUSE.

`account`, `share`, `directory` and `file` hold one method an operation, named
as the operation. `transport` sends, signs, retries and counts.
"""
