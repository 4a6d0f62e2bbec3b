"""The models of today whose sizes are counted: by transformers, from their public configurations.

A test counts them again.
"""

from __future__ import annotations

from rftkit.model_info.config_sizes import kind_of, text_of, vision_of
from rftkit.model_info.configurations import CONFIGURATIONS
from rftkit.model_info.count import Counts
from rftkit.model_info.shapes import Shape

COUNTED = {
    "Qwen/Qwen3.5-0.8B": Counts(497_614_848, 254_778_176, 100_592_896, 676_416, 157_696, 6_291_456),
    "Qwen/Qwen3.5-2B": Counts(
        1_372_717_056, 509_108_032, 331_416_576, 1_051_200, 407_552, 12_582_912
    ),
    "Qwen/Qwen3.5-4B": Counts(
        3_569_090_560, 636_660_736, 333_514_240, 2_029_056, 408_064, 23_592_960
    ),
    "Qwen/Qwen3.5-9B": Counts(
        6_918_504_448, 2_035_298_816, 456_010_480, 2_704_896, 499_168, 50_331_648
    ),
    "google/gemma-3-4b-it": Counts(
        3_208_642_560, 671_620_608, 419_816_304, 1_862_656, 543_456, 26_214_400
    ),
    "google/gemma-3-12b-it": Counts(
        10_758_389_760, 1_007_644_416, 421_290_864, 4_091_904, 543_456, 58_982_400
    ),
    "google/gemma-3-27b-it": Counts(
        25_598_361_600, 1_410_984_704, 423_060_336, 7_094_784, 543_456, 115_605_504
    ),
    "google/gemma-4-E2B-it": Counts(
        1_876_819_968, 2_751_749_376, 475_728_160, 1_645_824, 724_224, 18_874_368
    ),
    "google/gemma-4-E4B-it": Counts(
        3_972_792_320, 3_490_221_056, 478_087_456, 2_429_952, 726_272, 27_525_120
    ),
    "google/gemma-4-12B-it": Counts(
        10_899_947_520, 1_007_402_752, 52_379_904, 4_098_048, 22_912, 58_982_400
    ),
    "google/gemma-4-26B-A4B-it": Counts(
        1_656_258_560, 23_576_883_200, 572_792_112, 1_249_920, 696_656, 23_068_672
    ),
    "google/gemma-4-31B-it": Counts(
        29_286_727_680, 1_410_617_600, 575_741_232, 7_651_840, 699_216, 115_605_504
    ),
    "OpenGVLab/InternVL3_5-1B-HF": Counts(
        440_401_920, 311_230_464, 309_265_408, 630_784, 449_536, 3_145_728
    ),
    "OpenGVLab/InternVL3_5-2B-HF": Counts(
        1_409_286_144, 622_453_760, 316_607_488, 1_089_536, 452_608, 12_582_912
    ),
    "OpenGVLab/InternVL3_5-4B-HF": Counts(
        3_633_315_840, 778_108_416, 321_064_960, 2_064_384, 454_144, 24_903_680
    ),
    "OpenGVLab/InternVL3_5-8B-HF": Counts(
        6_945_767_424, 1_244_967_936, 337_583_104, 2_727_936, 458_752, 50_331_648
    ),
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": Counts(
        106_168_320, 56_805_696, 93_510_912, 305_280, 178_752, 884_736
    ),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": Counts(
        314_572_800, 94_680_000, 98_229_504, 542_720, 179_136, 2_457_600
    ),
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": Counts(
        1_610_612_736, 201_951_232, 434_220_912, 1_130_496, 555_872, 16_777_216
    ),
    "LiquidAI/LFM2-VL-450M": Counts(
        287_309_824, 67_174_144, 96_338_688, 374_784, 176_640, 4_718_592
    ),
    "LiquidAI/LFM2-VL-1.6B": Counts(
        1_035_993_088, 134_347_520, 414_463_392, 694_272, 537_024, 16_777_216
    ),
    "LiquidAI/LFM2-VL-3B": Counts(
        2_434_793_472, 134_478_848, 429_702_896, 1_528_832, 557_152, 22_020_096
    ),
    "LiquidAI/LFM2.5-VL-450M": Counts(
        287_309_824, 67_174_144, 94_234_880, 374_784, 175_616, 4_718_592
    ),
    "LiquidAI/LFM2.5-VL-1.6B": Counts(
        1_035_993_088, 134_347_520, 426_285_296, 694_272, 556_128, 16_777_216
    ),
    "LiquidAI/LFM2.5-VL-3B": Counts(
        2_434_793_472, 262_405_120, 426_285_296, 1_528_832, 556_128, 22_020_096
    ),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": Counts(
        357_826_560, 136_263_552, 399_585_440, 549_888, 527_168, 4_358_144
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": Counts(
        6_525_288_448, 1_090_786_816, 414_732_320, 2_523_136, 535_232, 67_895_296
    ),
}


def counted(hub: str) -> Shape:
    """The shape of one of them."""
    config = CONFIGURATIONS[hub]
    kind = kind_of(config)
    return Shape(
        name=hub.rpartition("/")[2],
        kind=kind,
        text=text_of(config["text_config"], kind, config),
        vision=vision_of(config["vision_config"], kind, config),
        hub=hub,
        counts=COUNTED[hub],
    )
