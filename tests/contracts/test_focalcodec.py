"""FocalCodec keeps the contract of codecs, with the published weights and with any others."""

from __future__ import annotations

from pathlib import Path

import pytest

from focal.core.codec import CodecSpec
from focal.plugins.models import Models
from focal.testing import CodecContract
from tests.plugins.focalcodec.stock import spec_named, stock

NAMES = ["50hz", "25hz", "12.5hz", "50hz-local", "25hz-local", "12.5hz-local"]


@pytest.fixture(scope="module")
def models(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Return models with the small files on both shelves."""
    models = Models(tmp_path_factory.mktemp("models"))
    stock(models, small)
    stock(models, small, "local")
    return models


@pytest.mark.parametrize("name", NAMES)
class TestFocalCodec(CodecContract):
    @pytest.fixture(autouse=True)
    def choose(self, name: str, models: Models) -> None:
        self.name = name
        self.models = models

    def spec(self) -> CodecSpec:
        return spec_named(self.name, self.models)
