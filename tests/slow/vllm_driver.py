"""Run by test_vllm.py in a process of its own: vLLM's answers and scores beside transformers'.

python vllm_driver.py FOLDER MODEL [adapter]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# compiling takes minutes on a CPU, and a few replies do not need it
os.environ |= {"HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1"}

ANSWERS = ["3", "8", "<think>two loops</think>\n<answer>8</answer>"]


def main() -> None:
    folder, adapter = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    from rftkit.data.examples import load_examples
    from rftkit.models import open_policy
    from rftkit.models.policy import Prompt
    from rftkit.recipe_file import parse_recipe
    from rftkit.tasks import by_name

    sets = ["model.name=tiny", "data.source=digits", "data.shots=4"]
    recipe = parse_recipe("", "driver", sets)
    task, examples = by_name(recipe.task), load_examples(recipe, "test", limit=6).examples
    prompts = [Prompt(e.picture, task.prompt(e, recipe.style)) for e in examples]
    reference = open_policy(recipe.model, adapter)
    if adapter is None:
        adapter = _strong_adapter(recipe, folder)
        reference = open_policy(recipe.model, adapter)
    engine = open_policy(recipe.model, adapter, "vllm")
    found = {name: _told(policy, prompts) for name, policy in
             (("transformers", reference), ("vllm", engine))}  # fmt: skip
    print("\n@" + json.dumps(found | {"facts": engine.facts()}))


def _told(policy: Any, prompts: Any) -> dict[str, Any]:
    from rftkit.models.policy import Decoding

    greedy, answers = Decoding(32), [ANSWERS] * len(prompts)
    with policy.base():
        base = [c.text for c in policy.generate(prompts, greedy).completions]
        scores = policy.score(prompts, answers)
    made = policy.generate(prompts, greedy).completions
    return {
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
