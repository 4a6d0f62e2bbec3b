"""llama.cpp's server in a process of its own: `python -m rftkit.export.llama_cpp.server_child`.

In a process of its own because a failed assertion of llama.cpp ends it. Its argument is JSON:
`text`, `mmproj`, `context` (tokens), `image_tokens` (least and most of one image), `threads`. It
prints one line, `address http://…`, and serves until its standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

ADDRESS = "address "


def main() -> None:
    """Serve."""
    import xllamacpp

    job: dict[str, Any] = json.loads(sys.argv[1])
    options = xllamacpp.CommonParams()
    options.model.path, options.mmproj.path = job["text"], job["mmproj"]
    options.mmproj_use_gpu, options.n_gpu_layers = False, 0
    options.n_ctx, options.n_parallel = job["context"], 1
    options.image_min_tokens, options.image_max_tokens = job["image_tokens"]
    options.warmup, options.fit_params, options.verbosity = False, False, -1
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = job["threads"]
    # as transformers computes: the keys and values of attention are not rounded to 16 bit
    options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(options)
    print(f"{ADDRESS}{server.listening_address}", flush=True)
    sys.stdin.read()
    os._exit(0)  # its threads do not end by themselves


if __name__ == "__main__":
    main()
