"""What the model thinks of one example now and then: its likeliest answers."""

from __future__ import annotations

from rich.text import Text
from torch import Tensor

from rftkit.files import append_line
from rftkit.messages import printable
from rftkit.training.exact.answers import Question
from rftkit.training.reward_functions import RolloutLog, Scorer
from rftkit.training.trackers.tracker import Rollout

SHOWN = 3  # answers


class Samples:
    """Keeps and shows one question of every so many steps."""

    def __init__(self, scorer: Scorer, log: RolloutLog) -> None:
        self.scorer, self.log = scorer, log

    def __call__(self, step: int, asked: Question, logps: Tensor) -> None:
        """step: of the trainer's own. logps: (K,), of the question's answers."""
        first, step = step == 1, step + self.log.before
        if not first and step % self.log.every:
            return
        probabilities = logps.double().exp().tolist()
        order = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
        likely = {asked.texts[number]: probabilities[number] for number in order[:SHOWN]}
        best, gold = asked.texts[order[0]], self.scorer.task.written(asked.example)
        rewards = {name: float(values[order[0]]) for name, values in asked.parts.items()}
        prompt = asked.prompt.text
        record = {"step": step, "id": asked.example.id, "prompt": prompt, "text": best}
        probability = {name: round(value, 6) for name, value in likely.items()}
        append_line(
            self.log.file,
            {**record, "gold": gold, "rewards": rewards, "probabilities": probability},
        )
        example = asked.example
        rollout = Rollout(example.id, example.image, prompt, best, gold, rewards)
        self.log.tracker.rollouts(step, [rollout])
        shown = ", ".join(f"{printable(name)} {value:.0%}" for name, value in likely.items())
        self.log.console.print(
            Text.assemble(
                (f"step {step}", "dim"), f" {printable(asked.example.id)}  gold ",
                (printable(gold), "bold"), f"\n  {shown}",
                (f", off the list {max(0.0, 1 - sum(probabilities)):.0%}", "dim"),
            )
        )  # fmt: skip
