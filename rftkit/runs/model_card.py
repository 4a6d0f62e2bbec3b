"""The README.md of an adapter: what it is, what it was trained on, and code that uses it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from rftkit import files
from rftkit.answers.replies import prefill
from rftkit.core import Example
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import TINY
from rftkit.runs.adapter import README
from rftkit.tasks import get_task
from rftkit.tasks.task import Task

MOST_LABELS = 200  # are listed
PROGRAM_NAMES = "BASE, ADAPTER"  # in the program below; a pushed card has them say other places
RESULTS_ELSEWHERE = (
    "How well it does stands in the `report.html` and the `eval/` folder of its run, "
    "with intervals."
)
CARD = """\
---
library_name: peft
pipeline_tag: image-text-to-text
base_model: {base}
tags: [rftkit, lora, {kind}, {task}]
---

# {name}

A LoRA adapter for `{base}`, trained with rftkit on the task `{task}`.

| | |
|---|---|
| training images | {images} |
| method | {kind}, {steps} steps, learning rate {rate:g}, seed {seed} |
| reply style | {style} |
| LoRA | rank {rank}, alpha {alpha} |

{elsewhere}

## Use it

With rftkit, which {reads}:

```bash
rftkit predict photo.jpg --ckpt FOLDER_OF_THIS_FILE
```

Without it, with transformers, peft and torchvision:

```python
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

{names} = {base!r}, "."
PROMPT = {prompt}
PREFILL = {prefill!r}  # the reply begins with it

processor = AutoProcessor.from_pretrained(BASE)
model = AutoModelForImageTextToText.from_pretrained(BASE, device_map="auto")
model = PeftModel.from_pretrained(model, ADAPTER).eval()
content = [{{"type": "image"}}, {{"type": "text", "text": PROMPT}}]
{rendering}
image = Image.open("photo.jpg").convert("RGB")
shrink = min(1.0, ({pixels} / (image.width * image.height)) ** 0.5)  # as in training
image = image.resize((round(image.width * shrink), round(image.height * shrink)))
inputs = processor(text=[text + PREFILL], images=[image], return_tensors="pt").to(model.device)
made = model.generate(**inputs, max_new_tokens={tokens}, do_sample=False)
written = made[0, inputs["input_ids"].shape[1] :]
print(PREFILL + processor.tokenizer.decode(written, skip_special_tokens=True))
```
{images_note}
## {title}

{labels}
"""


RENDERING = """\
text = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
)"""
SWITCHED = """\
text = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True,
    tokenize=False,
    {given},
)"""
WITHOUT_OPENING = """
text = text.removesuffix("<think>\\n")  # the reply itself begins with it"""


def write_model_card(
    adapter: Path,
    recipe: Recipe,
    shots: Sequence[Example],
    labels: Sequence[str],
    template: Mapping[str, bool],
) -> None:
    """Write README.md into the adapter's folder, in place of PEFT's empty one.

    template: what the base's chat template is given, {"enable_thinking": …} or nothing.
    """
    task, method = get_task(recipe.task), recipe.method
    builtin = "\nThe base is a built-in model: `BASE` is its folder, rftkit/models/tiny/weights.\n"
    text = CARD.format(
        base=recipe.model.name,
        name=adapter.parent.name,
        task=recipe.task,
        kind=method.kind,
        elsewhere=RESULTS_ELSEWHERE,
        names=PROGRAM_NAMES,
        steps=method.steps,
        rate=method.learning_rate,
        seed=recipe.seed,
        style=recipe.style,
        rank=recipe.model.lora_rank,
        alpha=2 * recipe.model.lora_rank,
        images=len({example.image.name for example in shots}),
        prompt=literal(task.prompt(shots[0], recipe.style)),
        prefill=prefill(recipe.style),
        rendering=rendering(template),
        tokens=method.max_new_tokens,
        pixels=recipe.model.max_pixels,
        images_note=builtin if recipe.model.name in TINY else "",
        reads=what_predict_does(task),
        title=labels_title(task, labels).capitalize(),
        labels=listed_labels(labels),
    )
    files.write_atomically(adapter / README, text)


def what_predict_does(task: Task) -> str:
    """What `rftkit predict` adds to the text of a reply, after a subject."""
    if task.predicts_boxes:
        return "reads the answer and draws its boxes"
    return "reads the answer" + (" and scores the list" if task.answer_kind == "label" else "")


def labels_title(task: Task, labels: Sequence[str]) -> str:
    """What the labels saved beside an adapter are: not all are what it answers."""
    return "labels" if task.predicts_labels or not labels else task.words.groups


def rendering(template: Mapping[str, bool]) -> str:
    """The lines of a program that render its prompt as training did, by the base's own template.

    template: what that is given. It begins the reply with "<think>" where it is to think, which a
    reply in a style with reasoning writes itself.
    """
    if not template:
        return RENDERING
    given = ", ".join(f"{name}={value}" for name, value in template.items())
    return SWITCHED.format(given=given) + (WITHOUT_OPENING if any(template.values()) else "")


def listed_labels(labels: Sequence[str]) -> str:
    """The labels in Markdown, the first of very many; a sentence where there are none."""
    shown = labels[:MOST_LABELS]
    rest = f", and {len(labels) - len(shown)} more" if len(labels) > len(shown) else ""
    return ", ".join(f"`{label}`" for label in shown) + rest or "None: it answers openly."


def literal(prompt: str) -> str:
    """A Python literal of a text, a line of it on each line."""
    lines = [repr(line) for line in prompt.splitlines(keepends=True)]
    return "(\n" + textwrap.indent("\n".join(lines), "    ") + "\n)" if len(lines) > 1 else lines[0]
