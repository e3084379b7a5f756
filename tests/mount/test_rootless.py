"""Mounts of a user who is not root: fusermount3 does what only root may."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.namespace import USER, Shell, namespace, reachable_by_all

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

REPOSITORY = Path(__file__).parents[2]

# /dev/fuse as udev makes it on every distribution.
USERS_MACHINE = f"""
mknod -m 0666 fuse c 10 229
mount --bind fuse /dev/fuse
{{ cat /etc/passwd; echo ada:x:{USER}:{USER}::/mnt/home:/bin/sh; }} > passwd
mount --bind passwd /etc/passwd
printf '%s\\n' user_allow_other > fuse.conf
printf '%s\\n' '# nothing' > closed.conf
mkdir /mnt/home
chown {USER}:{USER} /mnt/home /mnt/share
"""


@pytest.fixture
def sh(tmp_path, share) -> Iterator[Shell]:
    further = USERS_MACHINE + reachable_by_all(sys.base_prefix, sys.prefix, str(REPOSITORY))
    variables = {"SRC": share.source, "XDG_RUNTIME_DIR": "", "DIR": f"{tmp_path}/upper"}
    with namespace(tmp_path, variables, further) as shell:
        try:
            yield shell
        finally:
            shell.user('azfuse unmount --all --timeout 30; fusermount3 -uz "$MNT"; true')


def test_mount_use_unmount(sh, share):
    assert sh.user('azfuse mount "$SRC" "$MNT"') == ""
    sh.user('echo text > "$MNT/file"; stat -c %u "$MNT/file" | grep -qx "$(id -u)"')
    assert f"user_id={USER}" in sh('findmnt -n -o OPTIONS "$MNT"')
    # Nobody else is let in, root neither.
    assert "Permission denied" in sh('ls "$MNT"', status=2)
    assert "/mnt/share" in sh.user("azfuse list")
    assert sh.user('azfuse status "$MNT" >/dev/null; azfuse unmount "$MNT"') == ""
    assert share.read("file") == b"text\n"
    # State is kept where this user may write.
    state = sh.user("find ~/.local/state/azfuse -maxdepth 1 -type d -perm 0700 -printf x")
    assert state


def test_fusermount_unmounts_and_everything_is_saved(sh, share):
    sh.user('azfuse mount "$SRC" "$MNT" -o writeback; echo text > "$MNT/file"')
    sh.user('fusermount3 -u "$MNT"; azfuse unmount "$MNT" 2>&1 || true')
    assert share.read("file") == b"text\n"


def test_others_are_let_in_where_the_administrator_allows_it(sh):
    said = sh.user('mount.azfuse "$SRC" "$MNT" -o allow_other', status=32)
    assert said == (
        "mount.azfuse: allow_other needs a line user_allow_other in /etc/fuse.conf (or run as "
        "root)\n"
    )
    sh('mount --bind "$DIR/fuse.conf" /etc/fuse.conf')
    sh.user('azfuse mount "$SRC" "$MNT" -o allow_other; echo text > "$MNT/file"')
    assert sh('cat "$MNT/file"') == "text\n"
    sh.user('azfuse unmount "$MNT"')
    sh.user('azfuse mount "$SRC" "$MNT" -o allow_root')
    assert sh('cat "$MNT/file"') == "text\n"
    sh.user('azfuse unmount "$MNT"')


def test_a_line_of_fstab_for_users(sh, share):
    state = "/mnt/home/state"
    sh.fstab.write_text(f"{share.source} {sh.point} azfuse noauto,user,state-dir={state} 0 0\n")
    for parent in (sh.fstab.parent, *sh.fstab.parent.parents):
        if stat.S_IMODE(parent.stat().st_mode) == 0o700 and parent.owner() == "root":
            parent.chmod(0o711)
    sh.fstab.chmod(0o644)
    # A set-uid mount(8) reads /etc/fstab and no other.
    sh(f'mount --bind "{sh.fstab}" /etc/fstab')
    assert sh.user('mount "$MNT"') == ""
    sh.user('echo text > "$MNT/file"')
    assert f"user_id={USER}" in sh('findmnt -n -o OPTIONS "$MNT"')
    sh.user('azfuse unmount "$MNT"')
    assert share.read("file") == b"text\n"


def test_remounting_is_for_root(sh):
    sh.user('azfuse mount "$SRC" "$MNT"')
    said = sh.user('mount.azfuse "$SRC" "$MNT" -o remount,ro', status=32)
    assert said.endswith("cannot be remounted: only root may do that\n")
    sh.user('azfuse unmount "$MNT"')


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ('mkdir "$DIR/dev"; mount --bind "$DIR/dev" /dev', "/dev/fuse is missing: run modprobe"),
        ("umount /dev/fuse", "/dev/fuse cannot be opened (Permission denied): run as root, or"),
        ('mount --bind /dev/null "$(command -v fusermount3)"', "fusermount3 is missing: install"),
        ("umount /etc/passwd", f"user {USER} has no name, and fusermount3 wants one"),
        ('chown root "$MNT"; chmod 0755 "$MNT"', "must be a directory that you may write to"),
    ],
)
def test_what_is_missing_is_said(sh, before, sentence):
    sh(before)
    said = sh.user('azfuse mount "$SRC" "$MNT"; test $? -gt 0')
    assert sentence in said
    assert said.startswith("azfuse: ")
    assert said.count("\n") == 1
