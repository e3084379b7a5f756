"""@azure/storage-file-share, the official JavaScript SDK, against a real emulator."""

import json
import shutil
import subprocess
import uuid

import pytest

from tests.emulator.signing import ACCOUNT, KEY

# ruff: noqa: E501 - the program is JavaScript

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
PACKAGE = "@azure/storage-file-share@12"

PROGRAM = r"""
const {
  ShareServiceClient, StorageSharedKeyCredential, AccountSASPermissions, ShareSASPermissions,
} = require("@azure/storage-file-share");
const assert = require("node:assert/strict");
// Host style: with path style the SDK forgets the account in the target of a rename.
const dns = require("node:dns");
const { lookup } = dns;
dns.lookup = (host, options, callback) => lookup("127.0.0.1", options, callback);
const [url, account, key, name] = process.argv.slice(2);
const credential = new StorageSharedKeyCredential(account, key);
const service = new ShareServiceClient(url, credential);
const done = [];
const step = async (title, work) => { await work(); done.push(title); };
const names = async (list) => { const all = []; for await (const x of list) all.push(x.name); return all; };

(async () => {
  const share = service.getShareClient(name);
  const root = share.rootDirectoryClient;
  const directory = share.getDirectoryClient("dir ü #1");
  const file = directory.getFileClient("file %&.bin");
  const data = Buffer.alloc(5 * 1024 * 1024 + 3, "azure");

  await step("share", async () => {
    await share.create({ metadata: { key: "value" }, quota: 10 });
    const properties = await share.getProperties();
    assert.equal(properties.quota, 10);
    assert.deepEqual(properties.metadata, { key: "value" });
    await share.setQuota(11);
    await share.setMetadata({ other: "1" });
    assert.equal((await share.getStatistics()).shareUsageBytes, 0);
    const found = [];
    for await (const one of service.listShares({ prefix: name, includeMetadata: true })) found.push(one);
    assert.equal(found.length, 1);
    assert.deepEqual(found[0].metadata, { other: "1" });
  });
  await step("service", async () => {
    const properties = await service.getProperties();
    assert.equal(properties.hourMetrics.version, "1.0");
    await service.setProperties({ hourMetrics: properties.hourMetrics });
  });
  await step("policies", async () => {
    const expiresOn = new Date(Date.now() + 3600 * 1000);
    await share.setAccessPolicy([{ id: "p", accessPolicy: { permissions: "r", expiresOn } }]);
    const { signedIdentifiers } = await share.getAccessPolicy();
    assert.equal(signedIdentifiers[0].id, "p");
  });
  await step("directory", async () => {
    await directory.create({ metadata: { a: "b" } });
    assert.ok(await directory.exists());
    assert.ok((await directory.getProperties()).fileId);
    await directory.setMetadata({ c: "d" });
    await directory.setProperties({ fileAttributes: undefined });
    assert.deepEqual((await directory.getProperties()).metadata, { c: "d" });
  });
  await step("file", async () => {
    await file.uploadData(data, { rangeSize: 4 * 1024 * 1024, concurrency: 2 });
    assert.ok(data.equals(await file.downloadToBuffer()));
    const part = await file.download(5, 5);
    assert.equal(part.contentRange, `bytes 5-9/${data.length}`);
    const { rangeList } = await file.getRangeList();
    assert.deepEqual(rangeList, [{ start: 0, end: data.length - 1 }]);
    await file.clearRange(0, 1024);
    await file.uploadRange("12345", 0, 5);
    await file.setMetadata({ m: "n" });
    await file.setHttpHeaders({ fileContentType: "text/plain" });
    await file.resize(4096);
    const properties = await file.getProperties();
    assert.equal(properties.contentLength, 4096);
    assert.equal(properties.contentType, "text/plain");
    assert.deepEqual(properties.metadata, { m: "n" });
  });
  await step("copy, rename, abort", async () => {
    const copy = directory.getFileClient("copy");
    const started = await copy.startCopyFromURL(file.url);
    assert.equal(started.copyStatus, "success");
    await assert.rejects(copy.abortCopyFromURL(started.copyId), { code: "NoPendingCopyOperation" });
    const { destinationFileClient } = await copy.rename("renamed file");
    assert.ok(await destinationFileClient.exists());
    const moved = await directory.rename("moved");
    assert.deepEqual(
      await names(moved.destinationDirectoryClient.listFilesAndDirectories()), ["file %&.bin"]);
    await moved.destinationDirectoryClient.rename("dir ü #1");
    await destinationFileClient.delete();
  });
  await step("from url", async () => {
    const target = root.getFileClient("from-url");
    await target.create(5);
    const { FileSASPermissions } = require("@azure/storage-file-share");
    const expiresOn = new Date(Date.now() + 3600 * 1000);
    const source = await file.generateSasUrl({ expiresOn, permissions: FileSASPermissions.parse("r") });
    await target.uploadRangeFromURL(source, 0, 0, 5);
    assert.equal((await target.downloadToBuffer()).toString(), "12345");
    await target.delete();
  });
  await step("leases", async () => {
    const lease = file.getShareLeaseClient();
    await lease.acquireLease(-1);
    await assert.rejects(file.delete(), { code: "LeaseIdMissing" });
    await lease.breakLease();
    const held = share.getShareLeaseClient();
    await held.acquireLease(15);
    await held.releaseLease();
  });
  await step("permissions and handles", async () => {
    const sddl = "O:SYG:SYD:(A;;FA;;;SY)S:NO_ACCESS_CONTROL";
    const { filePermissionKey } = await share.createPermission(sddl);
    assert.equal((await share.getPermission(filePermissionKey)).permission, sddl);
    assert.equal((await directory.forceCloseAllHandles()).closedHandlesCount, 0);
    for await (const _ of directory.listHandles({ recursive: true })) assert.fail("a handle");
  });
  await step("listing", async () => {
    for (let n = 0; n < 7; n++) await root.getFileClient(`page-${n}`).create(0);
    const pages = root.listFilesAndDirectories({
      prefix: "page-", includeTimestamps: true, includeETag: true, includeAttributes: true,
      includePermissionKey: true, includeExtendedInfo: true }).byPage({ maxPageSize: 3 });
    const sizes = [];
    for await (const page of pages) sizes.push(page.segment.fileItems.length);
    assert.deepEqual(sizes, [3, 3, 1]);
  });
  await step("snapshots", async () => {
    const { snapshot } = await share.createSnapshot();
    await file.delete();
    assert.ok(await share.withSnapshot(snapshot).getDirectoryClient("dir ü #1")
      .getFileClient("file %&.bin").exists());
  });
  await step("signatures", async () => {
    const expiresOn = new Date(Date.now() + 3600 * 1000);
    const whole = service.generateAccountSasUrl(expiresOn, AccountSASPermissions.parse("rl"), "sco");
    const other = new ShareServiceClient(whole);
    assert.ok((await names(other.listShares())).includes(name));
    const { ShareClient } = require("@azure/storage-file-share");
    const sas = share.generateSasUrl({ expiresOn, permissions: ShareSASPermissions.parse("l") });
    assert.equal((await names(new ShareClient(sas).rootDirectoryClient.listFilesAndDirectories())).length, 8);
  });
  await step("delete", async () => {
    await assert.rejects(directory.getDirectoryClient("none").delete(), { code: "ResourceNotFound" });
    await directory.delete();
    await share.delete({ deleteSnapshots: "include" });
    assert.equal(await share.exists(), false);
  });
  console.log(JSON.stringify(done));
})().catch((error) => { console.error(error); console.log(JSON.stringify(done)); process.exit(1); });
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return a directory into which the SDK has been installed."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    directory = tmp_path_factory.mktemp("js")
    (directory / "package.json").write_text("{}")
    result = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE],
        cwd=directory, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    if result.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {result.stderr.strip()[-200:]}")
    return directory


def test_the_main_operations(emulator, package):
    (package / "main.js").write_text(PROGRAM)
    url = emulator.url.replace("127.0.0.1", f"{ACCOUNT}.file.localhost")
    result = subprocess.run(
        ["node", "main.js", url, ACCOUNT, KEY, f"js-{uuid.uuid4().hex[:8]}"],
        cwd=package, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    assert len(json.loads(result.stdout)) == 13
