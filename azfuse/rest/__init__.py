"""The File service as typed async calls; knows nothing of FUSE.

`account`, `share`, `directory` and `file` hold one method an operation, named
as the operation. `transport` sends, signs, retries, negotiates the version and
counts; `network` is the HTTP under it.

    account share directory file      what is asked
                                      (file: also reading ranges leases links; share: also
                                      share_leases share_access; both kinds of entries: handles)
        headers xml models errors     how it is written, what is answered
        service_properties share_settings
    sas                               signatures to give away, made without asking anyone
    transport                         one request, however many tries it takes
        auth retry versions counters
    exchange                          one try
    pool -> network -> streams        HTTP/1.1, connections, TCP and TLS

Nothing here keeps state of files: two calls know nothing of each other but the
connections, the version and the credentials they share.
"""
