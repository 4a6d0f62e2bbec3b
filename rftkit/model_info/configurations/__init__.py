"""Public configurations of today's models: what decides their size, as transformers takes it.

The sizes that the plan counts with are checked against models of these configurations, and models
with random weights are made from them. What has no influence on the size, such as the base of
rotary positions, is left to transformers' defaults.
"""

from __future__ import annotations

from rftkit.model_info.configurations.gemma import gemma3, gemma4, gemma4_unified
from rftkit.model_info.configurations.others import (
    SIGLIP,
    SIGLIP_SMALL,
    internvl,
    lfm2,
    onevision,
    smolvlm2,
)
from rftkit.model_info.configurations.parts import Configuration, Decoder
from rftkit.model_info.configurations.qwen import qwen35

# fmt: off
CONFIGURATIONS: dict[str, Configuration] = {
    "Qwen/Qwen3.5-0.8B": qwen35(Decoder(1024, 3584, 24, 8, 2), 16, (12, 768, 3072, 12)),
    "Qwen/Qwen3.5-2B": qwen35(Decoder(2048, 6144, 24, 8, 2), 16, (24, 1024, 4096, 16)),
    "Qwen/Qwen3.5-4B": qwen35(Decoder(2560, 9216, 32, 16, 4), 32, (24, 1024, 4096, 16)),
    "Qwen/Qwen3.5-9B":
        qwen35(Decoder(4096, 12288, 32, 16, 4), 32, (27, 1152, 4304, 16), tied=False),
    "google/gemma-3-4b-it": gemma3(Decoder(2560, 10240, 34, 8, 4), 256),
    "google/gemma-3-12b-it": gemma3(Decoder(3840, 15360, 48, 16, 8), 256),
    "google/gemma-3-27b-it": gemma3(Decoder(5376, 21504, 62, 32, 16), 128),
    "google/gemma-4-E2B-it": gemma4(
        Decoder(1536, 6144, 35, 8, 1), 5, small=True, num_kv_shared_layers=20,
        use_double_wide_mlp=True),
    "google/gemma-4-E4B-it": gemma4(
        Decoder(2560, 10240, 42, 8, 2), 6, small=True, num_kv_shared_layers=18,
        use_double_wide_mlp=False),
    "google/gemma-4-12B-it": gemma4_unified(Decoder(3840, 15360, 48, 16, 8)),
    "google/gemma-4-26B-A4B-it": gemma4(
        Decoder(2816, 2112, 30, 16, 8), 6, small=False, attention_k_eq_v=True,
        num_global_key_value_heads=2, enable_moe_block=True, num_experts=128, top_k_experts=8,
        moe_intermediate_size=704),
    "google/gemma-4-31B-it": gemma4(
        Decoder(5376, 21504, 60, 32, 16), 6, small=False, attention_k_eq_v=True,
        num_global_key_value_heads=4),
    "OpenGVLab/InternVL3_5-1B-HF": internvl(Decoder(1024, 3072, 28, 16, 8)),
    "OpenGVLab/InternVL3_5-2B-HF": internvl(Decoder(2048, 6144, 28, 16, 8)),
    "OpenGVLab/InternVL3_5-4B-HF": internvl(Decoder(2560, 9728, 36, 32, 8)),
    "OpenGVLab/InternVL3_5-8B-HF": internvl(Decoder(4096, 12288, 36, 32, 8)),
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct":
        smolvlm2(Decoder(576, 1536, 30, 9, 3), 4, 512, 16),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct":
        smolvlm2(Decoder(960, 2560, 32, 15, 5), 4, 512, 16),
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": smolvlm2(Decoder(2048, 8192, 24, 32, 32), 3, 384, 14),
    "LiquidAI/LFM2-VL-450M": lfm2(Decoder(1024, 6656, 16, 16, 8), SIGLIP_SMALL, 2560),
    "LiquidAI/LFM2-VL-1.6B":
        lfm2(Decoder(2048, 12288, 16, 32, 8), SIGLIP | {"num_hidden_layers": 26}, 2560),
    "LiquidAI/LFM2-VL-3B": lfm2(Decoder(2048, 10752, 30, 32, 8), SIGLIP, 2560),
    "LiquidAI/LFM2.5-VL-450M": lfm2(Decoder(1024, 6656, 16, 16, 8), SIGLIP_SMALL, 2048),
    "LiquidAI/LFM2.5-VL-1.6B": lfm2(Decoder(2048, 12288, 16, 32, 8), SIGLIP, 2048),
    "LiquidAI/LFM2.5-VL-3B": lfm2(Decoder(2048, 10752, 30, 32, 8), SIGLIP, 2048, 128000),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf":
        onevision(Decoder(896, 4864, 24, 14, 2), 152000, tied=True),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf":
        onevision(Decoder(3584, 18944, 28, 28, 4), 152128, tied=False),
}
# fmt: on
