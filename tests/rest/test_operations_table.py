"""Every operation of the reference's table has a method of the client."""

import inspect
import json
from pathlib import Path

import pytest

from azfuse.rest.account import Account
from azfuse.rest.directory import Directory
from azfuse.rest.file import File
from azfuse.rest.share import Share

TABLE = (
    Path(__file__).parents[3] / "shared" / "reference" / "azure-files-operations-2026-10-06.json"
)
CLASSES = {"service": Account, "share": Share, "directory": Directory, "file": File}

#: Operation of the table -> method of the class that the resource has.
METHODS = {
    "directory_create": "create_directory",
    "directory_delete": "delete_directory",
    "directory_force_close_handles": "force_close_handles",
    "directory_get_properties": "get_directory_properties",
    "directory_list_files_and_directories_segment": "list_directories_and_files",
    "directory_list_handles": "list_handles",
    "directory_rename": "rename_directory",
    "directory_set_metadata": "set_directory_metadata",
    "directory_set_properties": "set_directory_properties",
    "file_abort_copy": "abort_copy",
    "file_acquire_lease": "acquire_lease",
    "file_break_lease": "break_lease",
    "file_change_lease": "change_lease",
    "file_create": "create_file",
    "file_create_hard_link": "create_hard_link",
    "file_create_symbolic_link": "create_symbolic_link",
    "file_delete": "delete_file",
    "file_download": "get_file",
    "file_force_close_handles": "force_close_handles",
    "file_get_properties": "get_file_properties",
    "file_get_range_list": "list_ranges",
    "file_get_symbolic_link": "get_symbolic_link",
    "file_list_all_ranges": "list_ranges",
    "file_list_handles": "list_handles",
    "file_release_lease": "release_lease",
    "file_rename": "rename_file",
    "file_set_http_headers": "set_file_properties",
    "file_set_metadata": "set_file_metadata",
    "file_start_copy": "copy_file",
    "file_upload_range": "put_range",
    "file_upload_range_from_url": "put_range_from_url",
    "service_get_properties": "get_file_service_properties",
    "service_get_user_delegation_key": "get_user_delegation_key",
    "service_list_shares_segment": "list_shares",
    "service_set_properties": "set_file_service_properties",
    "share_acquire_lease": "acquire_share_lease",
    "share_break_lease": "break_share_lease",
    "share_change_lease": "change_share_lease",
    "share_create": "create_share",
    "share_create_permission": "create_permission",
    "share_create_snapshot": "snapshot_share",
    "share_delete": "delete_share",
    "share_get_access_policy": "get_share_acl",
    "share_get_permission": "get_permission",
    "share_get_properties": "get_share_properties",
    "share_get_statistics": "get_share_stats",
    "share_release_lease": "release_share_lease",
    "share_renew_lease": "renew_share_lease",
    "share_restore": "restore_share",
    "share_set_access_policy": "set_share_acl",
    "share_set_metadata": "set_share_metadata",
    "share_set_properties": "set_share_properties",
}
#: Operations that the service has beside those of the table.
FURTHER = {
    (Account, "preflight_file_request"),
    (Share, "get_share_metadata"),
    (Directory, "get_directory_metadata"),
    (File, "get_file_metadata"),
    (File, "clear_range"),
}


@pytest.mark.skipif(not TABLE.is_file(), reason=f"no table at {TABLE}")
def test_every_operation_has_a_method():
    operations = json.loads(TABLE.read_text(encoding="utf-8"))["operations"]
    assert set(operations) == set(METHODS)
    for name, operation in operations.items():
        owner = CLASSES[operation["resource"]]
        method = getattr(owner, METHODS[name], None)
        assert inspect.isfunction(method), f"{owner.__name__}.{METHODS[name]}"
        assert method.__doc__, name


def test_further_operations_have_a_method():
    for owner, name in FURTHER:
        assert inspect.isfunction(getattr(owner, name, None)), name
