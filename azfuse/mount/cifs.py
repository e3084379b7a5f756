"""The words of mount.cifs(8), so that a `cifs` line of fstab(5) works once its type is changed.

And some of nfs(5), FUSE and blobfuse2, to say what is to be written instead.
"""

from typing import Final

#: Other names of options of ours (all with dashes, as `parse_options` sees them).
ALIASES: Final = {"cred": "credentials"}

#: What azfuse does in any case, or what says nothing about shares over HTTPS.
IGNORED: Final = frozenset({
    "serverino", "noserverino", "nosharesock", "mfsymlinks", "nobrl", "seal", "sign", "vers",
    "cache", "nodynperm", "mapposix", "intr", "nointr", "soft",
    "rsize", "wsize", "bsize", "esize", "rasize", "echo-interval", "handletimeout",
    "closetimeo", "max-credits", "max-channels", "multichannel", "nomultichannel",
    "persistenthandles", "nopersistenthandles", "resilienthandles", "noresilienthandles",
    "nodfs", "nolease", "nohandlecache", "handlecache", "strictsync", "nostrictsync",
    "nounix", "noposix", "nocase", "ignorecase", "user-xattr", "noacl", "nosetuids",
    "domain", "dom", "workgroup", "domainauto", "netbiosname", "servern", "iocharset", "rdma",
    "nonempty", "nolock", "lock", "local-lock", "proto", "tcp", "minorversion", "nfsvers",
    "rwpidforward", "tcpnodelay", "witness", "nowitness", "compress", "sec",
})  # fmt: skip

_ACL: Final = "modes and owners are kept as -o posix says"
#: What cannot be had here, and what to do instead.
_REFUSED: Final = {
    "multiuser": "every program uses the credentials of the mount",
    "guest": "Azure Files lets nobody in without credentials",
    "prefixpath": "write the directory behind the share: account/share/directory",
    "ip": "the source names the host; /etc/hosts can give it another address",
    "addr": "the source names the host; /etc/hosts can give it another address",
    "port": "the source names the port: https://host:port/share",
    "hard": "a request is tried for retry-timeout seconds",
    "fsc": "use cache-dir=DIR",
    "cifsacl": _ACL,
    "modefromsid": _ACL,
    "idsfromsid": _ACL,
    "dynperm": _ACL,
    "mapchars": "reserved characters are written as mapposix does",
    "nomapposix": "reserved characters are written as mapposix does",
    "sfu": "special files are kept as -o posix says",
    "timeo": "use retry-timeout=SECONDS",
    "retrans": "use retry-timeout=SECONDS",
    "nconnect": "use max-transfers=N",
    "fsname": "it is the source",
    "subtype": "it is azfuse",
    "attribute-cache-timeout": "use actimeo=SECONDS",
    "attr-timeout": "use actimeo=SECONDS",
    "entry-timeout": "use actimeo=SECONDS",
    "negative-timeout": "use actimeo=SECONDS",
    "file-cache-timeout": "use cache-size=SIZE and cache-dir=DIR",
    "tmp-path": "use cache-dir=DIR",
    "context": "files have no SELinux labels",
    "forcemandatorylock": "locks hold between programs of one mount; see lease=",
    "backupuid": "rights are those of the credentials",
    "backupgid": "rights are those of the credentials",
}


def refusal(name: str, value: str | None) -> str | None:
    """Say why an option cannot be had here, None if that is not so."""
    if name == "sec" and (value or "").startswith("krb5"):
        return "AZURE_STORAGE_AUTH_MODE=login takes the place of Kerberos"
    return _REFUSED.get(name)
