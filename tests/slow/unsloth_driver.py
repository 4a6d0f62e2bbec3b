"""Run by test_unsloth.py in a process of its own: trains the tiny model, prints what it saw.

    python unsloth_driver.py FOLDER grpo|sft|exact BACKEND [+accumulate] [+compile] [override ...]

+accumulate: micro-batches of one group, with Unsloth's own checkpointing, as a large model has
them. +compile: Unsloth compiles the layers, as it does on a GPU.

Unsloth must be imported before TRL and patches it for good, so one process serves one backend.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

RECIPE = """
seed = 3
[model]
name = "tiny"
load_in_4bit = true
[data]
source = "digits"
shots = 8
[method]
steps = 3
learning_rate = 1e-3
batch_size = 2
group_size = 4
kl = 0.0
max_new_tokens = 24
[eval]
limit = 8
batch_size = 8
"""


def main() -> None:
    folder, kind, backend, *more = sys.argv[1:]
    overrides = [word for word in more if not word.startswith("+")]
    accumulated = "+accumulate" in more
    if backend == "unsloth":
        patch(compiled="+compile" in more)
    from rich.console import Console

    from rftkit.data.examples import load_examples
    from rftkit.files import read_lines
    from rftkit.recipe.toml import parse_recipe
    from rftkit.runs.run import new_run
    from rftkit.training import grpo, methods, trainer
    from rftkit.training.trainer import TrainingJob

    if accumulated:
        trainer.WHOLE_BATCH_BELOW = 0

    recipe = parse_recipe(RECIPE, "driver", [f"method.kind={kind}", *overrides])
    policy = _open(recipe, backend, checkpointed=accumulated)
    train, held_out = (load_examples(recipe, split).examples for split in ("train", "test"))
    run, asked = new_run(Path(folder)), list[tuple[list[int], list[int]]]()
    grpo.trainer_class = _noting(grpo.trainer_class, asked)
    moves = Moves()
    job = TrainingJob(recipe, policy, run, Console(quiet=True), dress=moves.watched)
    methods.TRAIN[kind](job, train)
    policy.save(run.adapter)
    with policy.base():
        base = _replies(policy, recipe, held_out[:8])
    print("\n@" + json.dumps({
        "trainer": _trainer(kind),
        "had, moved": moves.counts(policy.model),
        "adapters": list(policy.model.peft_config),
        "quantised": _quantised(policy.model),
        "trainable": sum(p.numel() for p in policy.model.parameters() if p.requires_grad),
        "lines": read_lines(run.metrics),
        "effective": json.loads(run.effective.read_text("utf-8")),
        "adapter": str(run.adapter),
        "base": base,
        "images": _images(policy, asked),
        "tuned": _replies(policy, recipe, held_out[:8]),
        "beside": sorted(path.name for path in Path().iterdir()),
        "scores": _scores(policy, recipe, held_out[:2]),
        "refused": _refused(recipe) if (kind, backend) == ("sft", "unsloth") else {},
    }))  # fmt: skip


class Moves:
    """Which weights of lora_A had a gradient in any step, and which have moved in any.

    A gradient far below AdamW's epsilon of 1e-8 moves nothing in any number format.
    """

    LEAST = 1e-7

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.had: dict[str, Any] = {}
        self.moved: dict[str, Any] = {}

    def watched(self, kind: Any) -> Any:
        """A class of trainers that notes both."""
        moves = self

        class Watched(kind):  # type: ignore[misc]
            def training_step(self, model: Any, *given: Any, **more: Any) -> Any:
                moves.look(model)
                loss = super().training_step(model, *given, **more)
                for name, weight in moves.trained(model):
                    had = weight.grad.abs() > moves.LEAST
                    moves.had[name] = had | moves.had.get(name, had)
                return loss

        Watched.__name__ = kind.__name__
        return Watched

    def trained(self, model: Any) -> list[tuple[str, Any]]:
        return [(n, p) for n, p in model.named_parameters() if "lora_A.default" in n]

    def look(self, model: Any) -> None:
        """Note what has moved since the last look."""
        for name, weight in self.trained(model):
            moved = weight != self.before.get(name, weight)
            self.moved[name] = moved | self.moved.get(name, moved)
            self.before[name] = weight.detach().clone()

    def counts(self, model: Any) -> tuple[int, int]:
        """How many had a gradient, and how many of them have moved."""
        self.look(model)
        moved = sum(int((had & self.moved[name]).sum()) for name, had in self.had.items())
        return sum(int(had.sum()) for had in self.had.values()), moved


def patch(*, compiled: bool = False) -> None:
    import fake_cuda

    from rftkit.models import importing_unsloth

    fake_cuda.before_unsloth(compiled=compiled)
    with importing_unsloth():
        import unsloth

    fake_cuda.after_unsloth()
    _still_images()
    loader = unsloth.FastVisionModel.from_pretrained

    def on_the_cpu(*given: Any, **options: Any) -> Any:
        return loader(*given, **{**options, "device_map": {"": "cpu"}})

    unsloth.FastVisionModel.from_pretrained = on_the_cpu


def _still_images() -> None:
    """Unsloth asks transformers for a processor, which wants torchvision; it gets rftkit's."""
    from importlib.util import find_spec

    from transformers import AutoProcessor

    from rftkit.models.processing.load import load_processor

    if find_spec("torchvision") is None:
        AutoProcessor.from_pretrained = lambda name, *_, **__: load_processor(name)


def _noting(own: Any, asked: list[tuple[list[int], list[int]]]) -> Any:
    """As rftkit's choice of a class, which notes the prompts that vLLM would get, and TRL's."""
    from rftkit.training.paths.vllm_rollouts import with_plain_prompts

    def chosen(*given: Any, **more: Any) -> Any:
        kind = own(*given, **more)

        class Noting(with_plain_prompts(kind)):  # type: ignore[misc]
            def _generate_single_turn(self, prompt_ids: Any, *rest: Any, **more: Any) -> Any:
                asked.extend(zip(self._plain, map(list, prompt_ids), strict=True))
                return kind._generate_single_turn(self, prompt_ids, *rest, **more)

        Noting.__name__ = kind.__name__
        return Noting

    return chosen


def _images(policy: Any, asked: list[tuple[list[int], list[int]]]) -> list[list[int]]:
    """Tokens of the image in each prompt of the two kinds; [] where the rest differs."""
    pad = policy.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    return [
        [ids.count(pad) for ids in both]
        if len({tuple(i for i in ids if i != pad) for ids in both}) == 1
        else []
        for both in asked
    ]


def _quantised(model: Any) -> list[str]:
    """The modules whose weights are in 4 bit, by their transformers names."""
    from bitsandbytes.nn import Params4bit

    bare = model.get_base_model()
    names = (name for name, weight in bare.named_parameters() if isinstance(weight, Params4bit))
    return sorted(name.replace(".base_layer", "") for name in names)


def _open(recipe: Any, backend: str, *, checkpointed: bool) -> Any:
    if backend != "unsloth":
        from rftkit.models.transformers import open_transformers

        return open_transformers(recipe.model)
    from rftkit.models.unsloth import Training, open_unsloth

    policy = open_unsloth(recipe.model, None, Training(recipe.seed, checkpointed=checkpointed))
    if recipe.model.generation == "merged":
        policy.generation = "merged"
    return policy


def _refused(recipe: Any) -> dict[str, str]:
    """What is said of a base model without one of its tensors, and of one that is cut off."""
    from safetensors.torch import load_file, save_file

    from rftkit.errors import ModelError
    from rftkit.models.tiny.cache import ensure_tiny

    base = Path(shutil.copytree(ensure_tiny("tiny"), "base"))
    weights, said = base / "model.safetensors", {}
    held = load_file(weights)
    named = recipe.model_copy(update={"model": recipe.model.model_copy(update={"name": str(base)})})

    def refused() -> str:
        try:
            _open(named, "unsloth", checkpointed=False)
        except ModelError as error:
            return str(error)
        return ""

    save_file({n: t for n, t in held.items() if "layers.1.mlp.up_proj" not in n}, weights,
              {"format": "pt"})  # fmt: skip
    said["lacking"] = refused()
    weights.write_bytes(weights.read_bytes()[:-9])
    said["cut off"] = refused()
    shutil.rmtree(base)
    return said


def _prompts(recipe: Any, examples: Any) -> Any:
    from rftkit.models.policy import Prompt
    from rftkit.tasks import get_task

    task = get_task(recipe.task)
    return [Prompt(e.image, task.prompt(e, recipe.style)) for e in examples]


def _replies(policy: Any, recipe: Any, examples: Any) -> list[str]:
    from rftkit.models.policy import Decoding

    made = policy.generate(_prompts(recipe, examples), Decoding(24)).completions
    return [completion.text for completion in made]


def _scores(policy: Any, recipe: Any, examples: Any) -> Any:
    return policy.score(_prompts(recipe, examples), [["3", "8"]] * len(examples))


def _trainer(kind: str) -> str:
    import trl

    return str((trl.GRPOTrainer if kind == "grpo" else trl.SFTTrainer).__module__)


if __name__ == "__main__":
    main()
