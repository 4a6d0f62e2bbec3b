"""Time and memory of a step that sums over a list of answers, beside imitation and sampled GRPO.

    python benchmarks/exact_step.py --threads 1
    python benchmarks/exact_step.py --prompts 300 --labels 40 --steps 5 --out out/exact.json

All arms hold the same random Qwen2.5-VL of 22.8 million parameters, its adapter on the language
model, prompts and images, and take their steps in turn, 2 prompts a step, without KL:

    sft        TRL's SFTTrainer on one answer of 5 tokens
    exact-K    rftkit's exact training, K answers of 5 random tokens
    stock      TRL's GRPOTrainer, groups of 8, 16 new tokens
    shared     the same by rftkit's shared prefixes

Seconds on a CPU are those that this process got. Peak memory is measured in a process of its own
for each arm: what a step adds to the model, its adapter and the optimizer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from grpo_arms import LORA_ON, Case, dataset_of, model_of, rows_of, trainer_of
from grpo_step import RETURNED, now, peak_of
from peft import LoraConfig, get_peft_model
from transformers import TrainingArguments, set_seed
from transformers.utils import logging

from rftkit.models.policy import Prompt
from rftkit.models.transformers import TransformersPolicy
from rftkit.recipe.sections import Model
from rftkit.training.exact.answers import Question
from rftkit.training.exact.objectives import Goal
from rftkit.training.exact.trainer import ExactTrainer, Passes

TOKENS = 5  # of an answer, without the end of the turn
GROUP = 8
Step = Callable[[int], float]


def main() -> None:
    """Parse, measure, print."""
    given = _arguments()
    logging.set_verbosity_error()
    torch.set_num_threads(given.threads)
    if given.memory_of:
        prompt, arm = given.memory_of
        print(json.dumps({"bytes": peak_of(runner(case_of(int(prompt)), arm))}))
        return
    found = json.loads(given.out.read_text("utf-8")) if given.out and given.out.exists() else []
    arms = ["sft", *(f"exact-{labels}" for labels in given.labels), "stock", "shared"]
    print("| prompt | arm | s a step | by sft | stock by it | MB | of stock |\n" + "|---" * 7 + "|")
    for prompt in given.prompts:
        known = next((one for one in found if (one["prompt"], one["arms"]) == (prompt, arms)), None)
        if known is None:
            known = {"prompt": prompt, "arms": arms, "seconds": measure(prompt, arms, given.steps)}
            if not given.no_memory:
                known["peak_bytes"] = {arm: _in_a_process(prompt, arm) for arm in arms}
            found.append(known)
        print(table(known), flush=True)
        if given.out:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prompts", nargs="+", type=int, default=[300, 1000], help="their tokens")
    parser.add_argument("--labels", nargs="+", type=int, default=[1, 10, 40, 100])
    parser.add_argument("--steps", type=int, default=5, help="measured, after one that is not")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON of every step; what is there is kept")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def case_of(prompt: int) -> Case:
    """Prompts of so many tokens, 64 of them of an image."""
    return Case("direct", prompt, GROUP)


def measure(prompt: int, arms: list[str], steps: int) -> dict[str, list[float]]:
    """Seconds of steps, taken in turn; the order alternates. The first is dropped."""
    runners = {arm: runner(case_of(prompt), arm) for arm in arms}
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(steps + 1):
        for arm in arms if number % 2 else arms[::-1]:
            found[arm].append(runners[arm](number))
    return {arm: seconds[1:] for arm, seconds in found.items()}


def runner(case: Case, arm: str) -> Step:
    """A function that takes one training step with the seed it is given, and returns seconds."""
    if arm in ("stock", "shared"):
        trainer = trainer_of(case, arm)
        batch = partial(rows_of, case, trainer.train_dataset)
    elif arm == "sft":
        trainer = _sft(case)
        batch = lambda number: trainer.data_collator(_rows(case, trainer.train_dataset, number))  # noqa: E731
    else:
        trainer = _exact(case, int(arm.removeprefix("exact-")))
        batch = lambda number: {"index": _chosen(case, len(trainer.train_dataset), number)}  # noqa: E731
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    trainer.current_gradient_accumulation_steps = 1
    device = trainer.accelerator.device

    def step(number: int) -> float:
        set_seed(number)
        started = now(device)
        trainer.training_step(trainer.model, batch(number), None)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return now(device) - started

    return step


def _chosen(case: Case, length: int, number: int) -> list[int]:
    return [(number * case.prompts + i) % length for i in range(case.prompts)]


def _rows(case: Case, dataset: Any, number: int) -> list[dict[str, Any]]:
    return [dataset[row] for row in _chosen(case, len(dataset), number)]


def answer(number: int) -> str:
    """TOKENS digits, each a token: different for each number, and no two begin alike for long."""
    made = torch.Generator().manual_seed(number)
    return "".join(str(int(digit)) for digit in torch.randint(10, (TOKENS,), generator=made))


def _common(case: Case) -> dict[str, Any]:
    return {
        "output_dir": tempfile.gettempdir(),
        "per_device_train_batch_size": case.prompts,
        "learning_rate": 1e-4,
        "max_steps": 1,
        "gradient_checkpointing": False,
        "bf16": False,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "remove_unused_columns": False,
    }


def _sft(case: Case) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    model, processor = model_of(case)
    rows = dataset_of(case, processor)[:]

    def with_reply(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        chosen = {name: [values[n] for n in batch["number"]] for name, values in rows.items()}
        replies = [[{"role": "assistant", "content": answer(n)}] for n in batch["number"]]
        return {**chosen, "completion": replies}

    count = len(rows["prompt"])
    return SFTTrainer(
        model=model,
        args=SFTConfig(completion_only_loss=True, max_length=None, **_common(case)),
        train_dataset=Dataset.from_list([{"number": n} for n in range(count)]).with_transform(
            with_reply
        ),
        processing_class=processor,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=LORA_ON),
    )


class _Shown:
    """An image that is there."""

    def __init__(self, image: Any) -> None:
        self.image, self.name = image, "noise"

    def open(self) -> Any:
        return self.image


def _exact(case: Case, labels: int) -> Any:
    set_seed(0)
    model, processor = model_of(case)
    rows = dataset_of(case, processor)[:]
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=LORA_ON))
    policy = TransformersPolicy(Model(name="random"), None, model, processor, "transformers")  # type: ignore[arg-type]
    texts = tuple(answer(number) for number in range(labels))
    ids = [policy.answer_ids(text) for text in texts]
    rewards = torch.zeros(labels, dtype=torch.float64)
    rewards[0] = 1.0

    def question(number: int) -> Question:
        text = rows["prompt"][number][0]["content"]
        prompt = Prompt(_Shown(rows["images"][number][0]), text)
        return Question(None, prompt, texts, ids, rewards, {"accuracy": rewards}, case.prompt)  # type: ignore[arg-type]

    return ExactTrainer(
        model=model,
        args=TrainingArguments(**_common(case)),
        train_dataset=[{"index": number} for number in range(len(rows["prompt"]))],
        policy=policy,
        question=question,
        goal=Goal(),
        passes=Passes(),
    )


def _in_a_process(prompt: int, arm: str) -> int:
    command = [sys.executable, __file__, "--memory-of", str(prompt), arm]
    command += ["--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **RETURNED})
    if done.returncode:
        sys.exit(f"{prompt}, {arm}: {done.stderr[-2000:]}")
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def table(found: dict[str, Any]) -> str:
    """The lines of a prompt length: medians of steps taken next to each other."""
    seconds, peaks = found["seconds"], found.get("peak_bytes")

    def ratio(one: str, other: str) -> str:
        pairs = zip(seconds[one], seconds[other], strict=True)
        return f"{statistics.median(a / b for a, b in pairs):.2f}"

    lines = []
    for arm in found["arms"]:
        cells = [str(found["prompt"]), arm, f"{statistics.median(seconds[arm]):.2f}"]
        cells += [ratio(arm, "sft"), ratio("stock", arm)]
        if peaks:
            cells += [f"{peaks[arm] / 1e6:.0f}", f"{100 * peaks[arm] / peaks['stock']:.0f} %"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
