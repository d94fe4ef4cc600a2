"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes share the cores already; torch reads this when it is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures beside the checkout; skips by name where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the real pictures (../shared/data) are not beside this checkout")
    return folder
