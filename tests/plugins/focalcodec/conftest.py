"""A store with the small models on both shelves, and one without anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from focal.plugins.models import Models
from tests.plugins.focalcodec.stock import stock


@pytest.fixture(scope="session")
def stocked(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Return models whose store has the small ones on both shelves; nobody changes it."""
    models = Models(tmp_path_factory.mktemp("models"))
    stock(models, small)
    stock(models, small, "local")
    return models


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """Return models whose store is empty."""
    return Models(tmp_path / "models")
