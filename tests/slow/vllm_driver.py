"""Run by test_vllm.py in a process of its own: vLLM's answers and scores beside transformers'.

python vllm_driver.py FOLDER          answers and scores of both, base and with an adapter
python vllm_driver.py FOLDER train [+broken|+leaky] [SET …]   GRPO with rollouts by vLLM, and how
    far the two differ; +broken: the engine's log-probabilities are of another model; +leaky: shared
    prefixes do not run
python vllm_driver.py FOLDER exported   replies and scores of an exported model, and of its adapter
"""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

# compiling takes minutes on a CPU, and a few replies do not need it
os.environ |= {"HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1"}

RECIPE = """
[model]
name = "tiny"
backend = "transformers"
generation = "vllm"
[data]
source = "digits"
shots = 4
[method]
steps = 3
learning_rate = 1e-2
batch_size = 2
group_size = 4
kl = 0.0
max_new_tokens = 24
"""
ANSWERS = ["3", "8", "<think>two loops</think>\n<answer>8</answer>"]


def main() -> None:
    ways = {"train": _trained, "exported": _exported}
    way = next((ways[word] for word in sys.argv[2:] if word in ways), _answered)
    found = way(Path(sys.argv[1]))
    print("\n@" + json.dumps(found))


def _answered(folder: Path) -> dict[str, Any]:
    from rftkit.data.examples import load_examples
    from rftkit.models import open_for_inference
    from rftkit.models.policy import Prompt
    from rftkit.recipe.toml import parse_recipe
    from rftkit.tasks import get_task

    sets = ["model.name=tiny", "data.source=digits", "data.shots=4"]
    recipe = parse_recipe("", "driver", sets)
    task, examples = get_task(recipe.task), load_examples(recipe, "test", limit=6).examples
    prompts = [Prompt(e.image, task.prompt(e, recipe.style)) for e in examples]
    adapter = _strong_adapter(recipe, folder)
    reference = open_for_inference(recipe.model, adapter)
    engine = open_for_inference(recipe.model, adapter, "vllm")
    found = {name: _told(policy, prompts) for name, policy in
             (("transformers", reference), ("vllm", engine))}  # fmt: skip
    return found | {"facts": asdict(engine.facts())}


def _exported(folder: Path) -> dict[str, Any]:
    from rich.console import Console

    from rftkit.data.examples import load_examples
    from rftkit.export.request import ExportRequest
    from rftkit.export.run import export
    from rftkit.models import open_for_inference
    from rftkit.models.policy import Decoding, prompt_of
    from rftkit.recipe.toml import parse_recipe
    from rftkit.runs.adapter import write_card
    from rftkit.tasks import get_task

    recipe = parse_recipe("", "driver", ["model.name=tiny", "data.source=digits", "data.shots=4"])
    found = load_examples(recipe, "test", limit=6)
    adapter = _strong_adapter(recipe, folder)
    write_card(adapter, recipe, found.labels)
    request = ExportRequest(
        kind="vllm", out=folder / "served", outtype="f16", images=2, force=False, converter=None
    )
    served = export(adapter, request, Console(file=io.StringIO()))
    prompts = [prompt_of(get_task(recipe.task), one, recipe.style) for one in found.examples]
    reference = open_for_inference(recipe.model, adapter)
    settings = recipe.model.model_copy(update={"name": str(served)})
    engine = open_for_inference(settings, None, "vllm")
    sides = {"transformers": reference, "vllm": engine}
    told: dict[str, Any] = {
        name: [made.text for made in policy.generate(prompts, Decoding(16)).completions]
        for name, policy in sides.items()
    }
    told |= {
        f"{name} scores": policy.score(prompts, [ANSWERS] * 6) for name, policy in sides.items()
    }
    with reference.base():
        told["base"] = [made.text for made in reference.generate(prompts, Decoding(16)).completions]
    return told


def _trained(folder: Path) -> dict[str, Any]:
    from rich.console import Console

    from rftkit.data.examples import load_examples
    from rftkit.files import read_lines
    from rftkit.models import open_for_training
    from rftkit.recipe.toml import parse_recipe
    from rftkit.runs.run import new_run
    from rftkit.training import grpo
    from rftkit.training.paths import vllm_agreement as agreement
    from rftkit.training.trainer import TrainingJob

    _eager()
    sets = [word for word in sys.argv[3:] if not word.startswith("+")]
    recipe = parse_recipe(RECIPE, "driver", sets)
    if "+broken" in sys.argv:
        _break_engine()
    if "+leaky" in sys.argv:
        _break_sharing()
    seen: list[tuple[float, float]] = []
    agreement.judge = lambda mean, largest: seen.append((mean, largest))
    policy, run = open_for_training(recipe), new_run(folder / "run")
    examples = load_examples(recipe, "train").examples
    console = Console(file=io.StringIO(), width=400)
    grpo.train(TrainingJob(recipe, policy, run, console), examples)
    return {
        "said": console.file.getvalue().splitlines(),
        "lines": read_lines(run.metrics),
        "differences": seen,
        "effective": json.loads(run.effective.read_text("utf-8")),
    }


def _break_sharing() -> None:
    from rftkit.shared_prefix import logps

    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel for this mask")

    logps.token_logps = broken


def _break_engine() -> None:
    """The log-probabilities that TRL gets from the engine are a nat too low."""
    from trl.generation.vllm_generation import VLLMGeneration

    own = VLLMGeneration.generate

    def shifted(self: Any, *given: Any, **more: Any) -> Any:
        prompts, completions, logps, ids = own(self, *given, **more)
        moved = [[[value - 1.0 for value in token] for token in row] for row in logps]
        return prompts, completions, moved, ids

    VLLMGeneration.generate = shifted


def _eager() -> None:
    """TRL has its engine compiled, which takes minutes on a CPU.

    There vLLM also packs weights as it loads them, and could not be given others after a step.
    """
    from functools import partial

    import torch
    from trl.generation import vllm_generation
    from vllm.model_executor.layers import utils

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain
    vllm_generation.LLM = partial(vllm_generation.LLM, enforce_eager=True)


def _told(policy: Any, prompts: Any) -> dict[str, Any]:
    from rftkit.models.policy import Decoding

    greedy, answers = Decoding(32), [ANSWERS] * len(prompts)
    with policy.base():
        base = [c.text for c in policy.generate(prompts, greedy).completions]
        scores = policy.score(prompts, answers)
    made = policy.generate(prompts, greedy).completions
    grown: list[int] = []
    watched = policy.generate(prompts[:1], greedy, lambda c: bool(grown.append(c.tokens)))
    stopped = policy.generate(prompts[:1], greedy, lambda c: c.tokens >= 2)
    return {
        "watched": watched.completions[0].text,
        "grown": grown,
        "stopped": stopped.completions[0].tokens,
        "base": base,
        "base scores": scores,
        "tuned": [c.text for c in made],
        "tokens": [[c.tokens, c.finished] for c in made],
        "tuned scores": policy.score(prompts, answers),
        "sampled": [
            c.text for c in policy.generate(prompts[:1] * 4, Decoding(8, 1.0, seed=1)).completions
        ],
    }


def _strong_adapter(recipe: Any, folder: Path) -> Path:
    """An adapter that changes every answer: random, and large enough to see."""
    import torch
    from peft import get_peft_model

    from rftkit.models import loading
    from rftkit.models.transformers import open_transformers

    torch.manual_seed(0)
    policy = open_transformers(recipe.model)
    model = get_peft_model(policy.model, loading.lora(recipe.model))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    policy.model = model
    policy.save(folder / "adapter")
    return folder / "adapter"


if __name__ == "__main__":
    main()
