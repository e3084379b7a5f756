"""What is remembered of the share, and for how long it may be believed.

State and who touches it (everything runs on one trio thread, so whatever lies
between two checkpoints is atomic; each `await` is a place where the rest of
the table may have changed):

    state                    kept in         changed by
    -----------------------  --------------  --------------------------------------------
    facts and listings       metadata.py     the tree (`fuse/tree.py`)
    segments of a file       content.py      write and truncate handlers, fetches, uploads
    order of eviction, use   blocks.py       whoever adds or drops bytes of a block
    blocks on local disk     disktier.py     a task that writes what readers and last closes offer
    fetches under way        reader.py       the reader; each fetch removes itself
    uploads under way        upload.py       the upload that holds the file's lock
    records of the journal   journal.py      `writeback.py`, one task writes them to disk
    files with dirty bytes   writeback.py    whoever writes; a final upload takes them off
    places in flight         transfers.py    each range request, while it travels
    counts                   counters.py     whoever does what is counted

One lock is held across requests: a file's own, because the steps of an
upload (create, size, ranges) must not interleave with those of another upload
of the same file, and a rename must not move a file under them.

Life of a byte: written (dirty) -> taken by an upload (dirty, in flight) ->
acknowledged (clean) -> evicted. A byte written again while in flight is a new
dirty byte; the acknowledgement of the old one does not touch it. An upload that
fails puts its bytes back to dirty. Dirty zeros over what is known to be a hole are
acknowledged without travelling (zeros.py).
"""
