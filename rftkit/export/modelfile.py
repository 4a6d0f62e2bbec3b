"""What serves an export: Ollama's Modelfile, and the command that starts vLLM."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rftkit.export.llama_cpp.convert import GgufFiles
from rftkit.export.markup import Markup
from rftkit.models.vllm_options import images_of_engine

MODELFILE, SERVE = "Modelfile", "serve.sh"
THINKING = "chat_template_thinking.jinja"  # the base's, without the "<think>" that a reply writes
VLLM_DTYPES = {"float16": "float16", "bfloat16": "bfloat16"}  # it computes in one of these


class Serving(NamedTuple):
    """What servers are told: longest in tokens of prompt and reply, tokens of a reply, and stops.

    images: of one prompt, at most. template: what the base's chat template is given.
    """

    name: str
    context: int
    reply: int
    stops: Sequence[str]
    images: int
    template: Mapping[str, bool]


def modelfile(made: GgufFiles, markup: Markup, serving: Serving) -> str:
    """Ollama's Modelfile, for one question with its image, which is what the model was trained on.

    Ollama puts the image before the prompt by itself.
    """
    template = f"{markup.before}{{{{ .Prompt }}}}{markup.after}{{{{ .Response }}}}"
    stops = [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in serving.stops]
    lines = [
        f"# ollama create {serving.name} -f {MODELFILE}",
        f"FROM ./{made.text.name}",
        f"FROM ./{made.mmproj.name}",
        f'TEMPLATE """{template}"""',
        "PARAMETER temperature 0",
        f"PARAMETER num_predict {serving.reply}",
        f"PARAMETER num_ctx {serving.context}",
        *stops,
    ]
    return "\n".join(lines) + "\n"


def serve_script(processor: Any, serving: Serving, dtype: str) -> str:
    """A shell script that serves its own folder with vLLM; what it is given goes to vLLM too."""
    limits = images_of_engine(processor)
    options = {
        "--served-model-name": serving.name,
        "--dtype": VLLM_DTYPES.get(dtype, "auto"),
        "--max-model-len": str(serving.context),
        "--limit-mm-per-prompt": json.dumps({"image": serving.images, "video": 0}),
        "--mm-processor-kwargs": json.dumps(limits["mm_processor_kwargs"]),
        "--generation-config": "vllm",
    }
    if serving.template:  # a request may still say otherwise
        options["--default-chat-template-kwargs"] = json.dumps(dict(serving.template))
    words = [f"  {name} {shlex.quote(value)}" for name, value in options.items()]
    if any(serving.template.values()):
        words.append(f'  --chat-template "$(dirname "$0")/{THINKING}"')
    command = " \\\n".join(['exec vllm serve "$(dirname "$0")"', *words, '  "$@"'])
    return f"#!/bin/sh\n# greedy replies, as measured: send temperature 0\n{command}\n"
