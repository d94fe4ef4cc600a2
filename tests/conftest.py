"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures beside the checkout; skips by name where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real pictures (../shared/data) are not beside this checkout")
    return folder
