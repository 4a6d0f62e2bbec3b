"""The README.md of an export: what it is, how it is asked, how near it is to the adapter."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rftkit import files
from rftkit.export.card import ExportCard
from rftkit.export.held_out import image_tokens
from rftkit.export.modelfile import MODELFILE, SERVE
from rftkit.export.proof import PROOF, Proof
from rftkit.export.request import IN_GGUF
from rftkit.runs.model_card import listed_labels, literal, rendering

LIBRARY = {"merged": "transformers", "vllm": "transformers", "gguf": "gguf", "ollama": "gguf"}
TEXT = """\
---
library_name: {library}
pipeline_tag: image-text-to-text
base_model: {base}
tags: [rftkit, {task}]
---

# {name}

`{base}`, fine-tuned by rftkit for {task}: the adapter is merged into the weights. It needs neither
rftkit nor the adapter.

| | |
|---|---|
{rows}
{failed}
## How near it is to the adapter

{proof}

## Use it

{use}

The reply is greedy (temperature 0), at most {tokens} tokens, in style `{style}`. Images are shown
at no more than {pixels} pixels. The prompt, of one held-out image:

```text
{prompt}
```
{prefill}
## Labels

{labels}
"""
TRANSFORMERS = """\
```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

FOLDER = "."
PROMPT = {prompt}
PREFILL = {prefill!r}  # the reply begins with it

processor = AutoProcessor.from_pretrained(FOLDER)
model = AutoModelForImageTextToText.from_pretrained(FOLDER, device_map="auto").eval()
content = [{{"type": "image"}}, {{"type": "text", "text": PROMPT}}]
{rendering}
image = Image.open("photo.jpg").convert("RGB")
shrink = min(1.0, ({pixels} / (image.width * image.height)) ** 0.5)  # as in training
image = image.resize((round(image.width * shrink), round(image.height * shrink)))
inputs = processor(text=[text + PREFILL], images=[image], return_tensors="pt").to(model.device)
made = model.generate(**inputs, max_new_tokens={tokens}, do_sample=False)
written = made[0, inputs["input_ids"].shape[1] :]
print(PREFILL + processor.tokenizer.decode(written, skip_special_tokens=True))
```"""
LLAMA = """\
```bash
llama-server -m {text} --mmproj {mmproj} --temp 0{limits}
```
{thinking}
llama.cpp resizes images in its own way: send them as the model was trained on them, with sides that
are multiples of its patches, and nothing is resized."""
OPENS = """
In a chat its template begins the reply with "<think>", which this model was trained to write
itself: send the whole prompt to `/completion` instead, rendered as in training, up to where the
reply begins.
"""


def write_readme(folder: Path, name: str, card: ExportCard, proof: Proof | None) -> None:
    """Write README.md into an export."""
    recipe = card.recipe
    rows = {"base": f"`{recipe.model.name}`", "task": recipe.task, "style": recipe.style}
    rows |= {f"`{file}`": what for file, what in card.files.items()}
    text = TEXT.format(
        library=LIBRARY[card.kind],
        base=recipe.model.name,
        task=recipe.task,
        name=name,
        rows="\n".join(f"| {key} | {value} |" for key, value in rows.items()),
        failed="" if card.proved is not False else "\n**It failed its proof: do not use it.**\n",
        proof=f"{proof.words()}, on {proof.prompts} held-out prompts ([{PROOF}]({PROOF}))."
        if proof
        else "**Nothing was proved**: it was exported without a comparison.",
        use=_use(card),
        tokens=recipe.method.max_new_tokens,
        style=recipe.style,
        pixels=recipe.model.max_pixels,
        prompt=card.prompt,
        prefill=f"\nThe reply begins with {card.prefill!r}.\n" if card.prefill else "",
        labels=listed_labels(card.labels),
    )
    files.write_atomically(folder / "README.md", text)


def _use(card: ExportCard) -> str:
    if card.kind in IN_GGUF:
        text, mmproj = [name for name in card.files if name.endswith(".gguf")]
        least, most = image_tokens(card.recipe.model)
        limits = f" --image-min-tokens {least} --image-max-tokens {most}" if most > 0 else ""
        if card.template and not any(card.template.values()):
            given = json.dumps(dict(card.template))
            limits += f" --chat-template-kwargs {shlex.quote(given)}"
        thinking = OPENS if any(card.template.values()) else ""
        llama = LLAMA.format(text=text, mmproj=mmproj, limits=limits, thinking=thinking)
        ollama = f"```bash\nollama create NAME -f {MODELFILE}\n```\n\nOr by llama.cpp:\n\n"
        return ollama + llama if card.kind == "ollama" else llama
    recipe = card.recipe
    code = TRANSFORMERS.format(
        prompt=literal(card.prompt),
        prefill=card.prefill,
        rendering=rendering(card.template),
        pixels=recipe.model.max_pixels,
        tokens=recipe.method.max_new_tokens,
    )
    served = f"```bash\nsh {SERVE}\n```\n\nOr with transformers and torchvision:\n\n"
    plain = "With transformers and torchvision:\n\n"
    return (served if card.kind == "vllm" else plain) + code
