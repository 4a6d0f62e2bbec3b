"""How a pushed model is used, by program: rftkit, transformers, vLLM, Ollama."""

from __future__ import annotations

import re

from rftkit.publish.contents import WEIGHTS, Source
from rftkit.publish.facts import Facts
from rftkit.runs.model_card import PROGRAM_NAMES, what_predict_does
from rftkit.tasks import get_task

RFTKIT = """\
### rftkit

It {reads}:

```bash
hf download {repo} --local-dir {name}
rftkit predict photo.jpg --ckpt {name}{more}
```
"""
VLLM_ADAPTER = """\
### vLLM

```bash
vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules {name}={repo}
```

Ask for the model `{name}`, with the prompt of the program above.{vision}
"""
VISION = (
    " The vision encoder is adapted too, which not every vLLM loads from an adapter: if yours does "
    "not, `rftkit export {name} --to vllm` merges the two."
)
OLLAMA_ADAPTER = """\
### Ollama

Ollama reads whole models in GGUF, not this adapter. From the adapter's folder, or
from its run, rftkit makes one, with a `Modelfile`:

```bash
rftkit export {name} --to ollama
```
"""
TRANSFORMERS = """\
### transformers

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("{repo}")
model = AutoModelForImageTextToText.from_pretrained("{repo}", device_map="auto")
```
"""
VLLM = """\
### vLLM

```bash
vllm serve {repo}
```
"""
OLLAMA = """\
### Ollama

```bash
ollama run hf.co/{repo}
```
"""


def usage(source: Source, facts: Facts, repo: str, written: str) -> str:
    """The section on use. written: what the folder's own card says of it.

    Of an adapter that is a whole program for transformers, with the prompt it was trained on. What
    an exporter has written of a whole model stays as it is.
    """
    if source.exported is not None:
        return written or _of_exported(source, repo)
    recipe, name = facts.recipe, repo.rpartition("/")[2]
    base = recipe.model.name.partition("@")[0]
    program = program_of(written)
    named = f"{PROGRAM_NAMES} = {base!r}, {repo!r}"
    reads = what_predict_does(get_task(recipe.task))
    parts = [RFTKIT.format(repo=repo, name=name, more=_asked(facts), reads=reads)]
    if program:
        code = re.sub(rf"^{PROGRAM_NAMES} = .*$", lambda _: named, program, flags=re.MULTILINE)
        rest = written.partition(program)[2].partition("\n### ")[0].strip()
        parts.append(f"### transformers\n\n{code}\n" + (f"\n{rest}\n" if rest else ""))
    vision = VISION.format(name=name) if recipe.model.lora_vision else ""
    parts.append(
        VLLM_ADAPTER.format(
            base=base if "/" in base else "FOLDER_OF_THE_BASE",
            rank=recipe.model.lora_rank,
            name=name,
            repo=repo,
            vision=vision,
        )
    )
    return "\n".join([*parts, OLLAMA_ADAPTER.format(name=name)])


def program_of(written: str) -> str:
    """The first block of Python, with its fences; "" where there is none that ends."""
    begun = re.search(r"^```python\n", written, re.MULTILINE)
    ended = begun and re.compile(r"^```$", re.MULTILINE).search(written, begun.end())
    return written[begun.start() : ended.end()] if begun and ended else ""


def _asked(facts: Facts) -> str:
    """The rest of the command, where the task asks something of its own."""
    takes = get_task(facts.recipe.task).form.takes
    asked = ' --question "…"' if "text" in takes else ""
    return asked + (" --option … --option …" if "options" in takes else "")


def _of_exported(source: Source, repo: str) -> str:
    has_gguf = any(source.folder.rglob(WEIGHTS[1]))
    has_config = (source.folder / "config.json").is_file()
    parts = [TRANSFORMERS, VLLM] if has_config else []
    parts += [OLLAMA] if has_gguf else []
    return "\n".join(part.format(repo=repo) for part in parts)
