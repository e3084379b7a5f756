"""mount(8), umount(8), fstab(5), findmnt(8) and df(1) as an administrator uses them.

In a mount namespace of their own, where our helper lies in /sbin and nothing of this
machine's /run is touched.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.mount.harness import Share
from tests.mount.namespace import Shell, namespace

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(os.geteuid() != 0, reason="mount(8) is for root"),
]


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(f"username={DEVELOPMENT_ACCOUNT}\npassword={DEVELOPMENT_KEY}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def sh(tmp_path, share, credentials) -> Iterator[Shell]:
    words = f"credentials={credentials},state-dir={tmp_path / 'state'}"
    with namespace(tmp_path, {"SRC": share.source, "WORDS": words}) as shell:
        yield shell


def findmnt(sh: Shell, column: str) -> str:
    return sh(f'findmnt -n -o {column} --target "$MNT"').strip()


def test_mount_and_what_the_tools_say(sh, share):
    assert sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS"') == ""
    assert findmnt(sh, "SOURCE,FSTYPE").split() == [share.source, "fuse.azfuse"]
    assert {"rw", "nosuid", "nodev", "relatime"} <= set(findmnt(sh, "OPTIONS").split(","))
    source, kind = sh('df --output=source,fstype "$MNT"').splitlines()[1].split()
    assert (source, kind) == (share.source, "fuse.azfuse")
    assert share.source in sh("mount -t fuse.azfuse")
    # What root mounts is for everybody.
    sh('echo text > "$MNT/file"; setpriv --reuid 1234 --clear-groups cat "$MNT/file"')
    assert sh('umount "$MNT"') == ""
    assert sh('mountpoint "$MNT"', status=32)
    assert share.read("file") == b"text\n"


def test_by_the_type_that_the_kernel_shows(sh, share):
    assert sh('mount -t fuse.azfuse "$SRC" "$MNT" -o "ro,$WORDS"') == ""
    assert findmnt(sh, "SOURCE,FSTYPE").split() == [share.source, "fuse.azfuse"]
    assert "Read-only" in sh('touch "$MNT/file"', status=1)
    sh('umount "$MNT"')


def fstab(sh: Shell, share: Share, credentials: Path, *options: str, kind: str = "azfuse") -> None:
    words = ",".join(("_netdev", "nofail", f"credentials={credentials}", *options))
    state = f"state-dir={credentials.parent / 'state'}"
    sh.fstab.write_text(f"{share.source} {sh.point} {kind} {words},{state} 0 0\n")


@pytest.mark.parametrize("kind", ["azfuse", "fuse.azfuse"])
def test_fstab(sh, share, credentials, kind):
    fstab(sh, share, credentials, "x-systemd.automount,uid=1234,gid=1234", kind=kind)
    sh("mount -a")
    assert findmnt(sh, "SOURCE,FSTYPE").split() == [share.source, "fuse.azfuse"]
    # Again: it sees that the share is mounted.
    sh("mount -a")
    assert sh('mount | grep -c "$MNT"') == "1\n"
    assert sh('setpriv --reuid 1234 --clear-groups touch "$MNT/mine"; stat -c %u "$MNT/mine"') == (
        "1234\n"
    )
    assert "0 parse errors, 0 errors" in sh("findmnt --verify --tab-file $LIBMOUNT_FSTAB")
    sh("umount -a -t fuse.azfuse")
    sh('mount "$MNT"; test -e "$MNT/mine"')
    sh('umount "$MNT"')


def test_fstab_of_a_share_that_is_away(sh, share, credentials, own_emulator):
    own_emulator.stop()
    fstab(sh, share, credentials, "retry-timeout=1")
    text = sh.fstab.read_text().replace(share.source, f"{own_emulator.endpoint}/share")
    sh.fstab.write_text(text)
    said = sh("mount -a 2>&1; echo $?")
    assert "mount.azfuse: " in said
    assert said.count("\n") == 2  # a sentence, and the status
    assert sh('mountpoint -q "$MNT"; echo $?') == "32\n"


def test_helper_flags(sh):
    assert sh('mount -f -t azfuse "$SRC" "$MNT" -o "$WORDS"; mountpoint -q "$MNT"', status=32) == ""
    wrong = 'mount -t azfuse "$SRC" "$MNT" -o "$WORDS,cache_szie=1G"'
    assert "unknown option cache_szie; did you mean cache-size?" in sh(wrong, status=1)
    said = sh('mount -n -v -s -t azfuse "$SRC" "$MNT" -o "$WORDS,cache_szie=1G"')
    assert "fuse.azfuse" in said
    assert "nosuid" in said
    assert "AccountKey" not in said
    sh('umount "$MNT"')
    # -i: no helper, so the kernel is asked for a type that it does not know.
    assert "unknown filesystem type" in sh('mount -i -t azfuse "$SRC" "$MNT"', status=32)


def test_remount_read_only_and_back(sh, share):
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS,dirty-expire=600"; echo 1 > "$MNT/file"')
    busy = 'exec 3>"$MNT/open"; echo dirty >&3; mount -o remount,ro "$MNT"; echo $?'
    said = sh(busy)
    assert "files in it are open for writing" in said
    assert said.endswith("32\n")
    assert sh('mount -o remount,ro "$MNT"') == ""
    assert "ro" in findmnt(sh, "OPTIONS").split(",")
    assert "Read-only" in sh('touch "$MNT/other"', status=1)
    assert share.read("open") == b"dirty\n"
    assert sh('mount -o remount,rw,noatime "$MNT"') == ""
    assert {"rw", "noatime", "nosuid", "nodev"} <= set(findmnt(sh, "OPTIONS").split(","))
    sh('echo 2 > "$MNT/file"; umount "$MNT"')
    assert share.read("file") == b"2\n"


def test_remount_of_what_began_read_only(sh, share, credentials):
    fstab(sh, share, credentials, "ro,writeback")
    sh('mount "$MNT"')
    sh('mount -o remount,rw "$MNT"')
    sh('echo text > "$MNT/file"; mount -o remount,ro "$MNT"')
    assert share.read("file") == b"text\n"
    sh('umount "$MNT"')


def test_what_a_remount_cannot_change(sh):
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS"')
    said = sh('mount -o remount,cache-size=1G "$MNT"', status=1)
    assert "option cache-size cannot change while it is mounted (it is 536870912)" in said
    assert said.count("\n") == 1
    sh('umount "$MNT"')
    said = sh('mount.azfuse "$SRC" "$MNT" -o remount,ro', status=32)
    assert said.endswith("cannot be remounted: azfuse has nothing mounted there\n")


def test_a_snapshot_stays_read_only(sh, share):
    taken = share.sdk.create_snapshot()["snapshot"]
    sh(f'mount -t azfuse "$SRC" "$MNT" -o "$WORDS,snapshot={taken}"')
    assert "a snapshot stays read-only" in sh('mount -o remount,rw "$MNT"', status=32)
    assert "Read-only" in sh('touch "$MNT/other"', status=1)
    sh('umount "$MNT"')


def test_lazy_and_busy(sh, share):
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS"')
    said = sh('cd "$MNT"; umount "$MNT"', status=32)
    assert "busy" in said
    script = 'exec 3>"$MNT/late"; umount -l "$MNT"; echo text >&3; exec 3>&-; mountpoint -q "$MNT"'
    sh(script, status=32)
    sh('azfuse unmount "$MNT" --timeout 30 || true')
    assert share.read("late") == b"text\n"


def test_umount_returns_when_everything_is_saved(sh, share):
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS,_netdev,writeback=600"')
    sh('echo text > "$MNT/file"')
    assert sh('umount "$MNT"') == ""
    assert share.read("file") == b"text\n"
    assert sh("azfuse list").splitlines()[1:] == []


def test_umount_by_force_does_not_wait(sh, own_emulator):
    own_emulator.stop()
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS,_netdev"; echo text > "$MNT/file"')
    assert sh('umount -f "$MNT"') == ""
    assert sh('mountpoint -q "$MNT"', status=32) == ""
    assert "nothing mounted" in sh('umount.azfuse -l "$MNT"', status=32)
    assert "is not mounted" in sh('umount.azfuse "$MNT"', status=32)
    assert sh("umount.azfuse -V").startswith("umount.azfuse ")
    assert "usage" in sh("umount.azfuse", status=1)


def test_what_umount_cannot_save_is_said(sh, share):
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS,_netdev,writeback=600,retry-timeout=1"')
    sh('echo text > "$MNT/file"')
    share.emulator.faults(rules=[{"action": "error", "operation": "CreateFile", "times": 1000}])
    said = sh('umount "$MNT"', status=32)
    assert "the data is kept in" in said
    share.emulator.faults()
    sh('mount -t azfuse "$SRC" "$MNT" -o "$WORDS"; umount "$MNT"')
    assert share.read("file") == b"text\n"


def test_as_the_first_process_of_a_container(sh, share):
    """With what `docker run --cap-add SYS_ADMIN` leaves to root; stopped as docker stops it."""
    allowed = "sys_admin,chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap"
    bounded = "-all,+" + allowed.replace(",", ",+")
    sh(
        f"""
        unshare --pid --fork setpriv --bounding-set={bounded} --inh-caps=-all \
            azfuse mount "$SRC" "$MNT" -f -o "$WORDS,dirty-expire=600" 2>"$LOG" &
        until mountpoint -q "$MNT"; do kill -0 $! || exit 9; sleep 0.05; done
        exec 3>"$MNT/file"
        echo text >&3
        kill -TERM "$(pgrep --parent $!)"
        wait $!
        """,
        LOG=str(share.emulator.directory / "container.log"),
    )
    assert share.read("file") == b"text\n"


def test_nothing_secret_is_shown(sh):
    sh('mount -v -t azfuse "$SRC" "$MNT" -o "$WORDS"')
    everywhere = sh(
        "cat /proc/self/mountinfo; ps axww -o args; cat /run/mount/utab 2>&1; azfuse list"
    )
    assert DEVELOPMENT_KEY not in everywhere
    sh('umount "$MNT"')
