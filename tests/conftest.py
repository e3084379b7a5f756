"""Fixtures for every layer of tests."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run every async test on trio, the only loop azfuse runs on."""
    return "trio"
