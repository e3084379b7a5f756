"""The CRC-64 of Azure Storage: reflected polynomial 0x9A6C9329AC4BC9B5, ones in and out."""

import base64
from typing import Final

_POLYNOMIAL: Final = 0x9A6C9329AC4BC9B5
_ONES: Final = 0xFFFFFFFFFFFFFFFF


def _entry(index: int) -> int:
    value = index
    for _ in range(8):
        value = value >> 1 ^ _POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE: Final = tuple(_entry(index) for index in range(256))


def base64_of(data: bytes) -> str:
    """Return the checksum of *data* as headers carry it: little endian, base64."""
    value = _ONES
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return base64.b64encode((value ^ _ONES).to_bytes(8, "little")).decode()
