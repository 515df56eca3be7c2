"""The published models of FocalCodec: which files there are, how large, and what they make.

The law of this module: values only. Sizes are those of the files at ``REVISION``, to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass

REPOSITORY = "skymorphosis/focalcodec-onnx"
REVISION = "a683dc2f143f129c30becb04ffef95cbd52f9eb7"

ENCODER = "encoder.onnx"
"""The file that all three qualities share."""


@dataclass(frozen=True, slots=True)
class Published:
    """One quality of FocalCodec.

    Args:
        name: as in ``--quality``.
        wire_id: of the published weights.
        local_id: of any other weights of the same architecture, see docs/wire.md.
        frames: encoder frames of 20 ms that one token stands for: 1, 2 or 4.
        compressor: the file's name.
        decoder: the file's name.
    """

    name: str
    wire_id: int
    local_id: int
    frames: int
    compressor: str
    decoder: str

    @property
    def files(self) -> tuple[str, str, str]:
        """All it takes to encode and decode."""
        return ENCODER, self.compressor, self.decoder


QUALITIES = (
    Published("50hz", 1, 224, 1, "compressor_50hz.onnx", "decoder_50hz.onnx"),
    Published("25hz", 2, 225, 2, "compressor_25hz.onnx", "decoder_25hz.onnx"),
    Published("12.5hz", 3, 226, 4, "compressor_12_5hz.onnx", "decoder_12_5hz.onnx"),
)

SIZES = {
    ENCODER: 623_470_690,
    "compressor_50hz.onnx": 73_512_357,
    "compressor_25hz.onnx": 77_707_475,
    "compressor_12_5hz.onnx": 79_804_637,
    "decoder_50hz.onnx": 141_089_940,
    "decoder_25hz.onnx": 145_284_515,
    "decoder_12_5hz.onnx": 147_381_771,
}
"""Bytes of each file."""
