"""Alarms: what goes wrong while a model learns, said once, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from statistics import fmean, median
from typing import NamedTuple

from rftkit.recipe.schema import Recipe
from rftkit.training.alarms.seen import LIMITS, Alarm, Record, Seen


class Rule(NamedTuple):
    """look: what is wrong, in words with its value; None where nothing is. when: by the limits."""

    look: Callable[[Seen], str | None]
    when: str
    advice: str


class Watch:
    """Looks at every step of a run. raised: the alarms that it has had, which are not repeated."""

    def __init__(
        self, recipe: Recipe, before: Sequence[Record] = (), raised: Collection[str] = ()
    ) -> None:
        self.recipe, self.records, self.raised = recipe, list(before), set(raised)
        self.limits = LIMITS

    def step(
        self, record: Record, moved: float | None = None, room: float | None = None
    ) -> list[Alarm]:
        """The alarms that go off with this step; see `Seen` for what else is known of it."""
        self.records.append(record)
        seen = Seen(self.records, self.recipe, self.limits, moved, room)
        found = list[Alarm]()
        for name, rule in RULES.items():
            if name not in self.raised and (text := rule.look(seen)):
                found.append(Alarm(int(record["step"]), name, text, rule.advice))
        self.raised |= {alarm.name for alarm in found}
        return found


def _truncated(seen: Seen) -> str | None:
    steps = seen.limits.truncated_steps
    last = seen.last("truncated", steps)
    if not last or min(last) < seen.limits.truncated:
        return None
    budget = seen.recipe.method.max_new_tokens
    return f"{fmean(last):.0%} of the completions of {steps} steps were cut off at {budget} tokens"


def _silent(seen: Seen) -> str | None:
    steps = seen.limits.silent_steps
    last = seen.last("silent_groups", steps)
    if not last or min(last) < seen.limits.silent_groups:
        return None
    earned = seen.last("reward", 1)
    return f"for {steps} steps every group earned the same reward ({earned[0]:.2f} in this one)"


def _held_out(seen: Seen) -> str | None:
    measured = [n for n, one in enumerate(seen.records) if one.get("validation") is not None]
    if not measured or measured[-1] != len(seen.records) - 1:
        return None
    best = max(measured, key=lambda n: seen.records[n]["validation"])
    top, now = (float(seen.records[n]["validation"]) for n in (best, measured[-1]))
    if top - now < seen.limits.held_out_fall:
        return None
    then = _learnt(seen.records[best])
    if then is None or (learnt := _learnt(seen.records[-1])) is None or learnt <= then:
        return None
    what = "the reward rose" if "reward" in seen.records[-1] else "the loss fell"
    at = seen.records[best]["step"]
    return f"since step {at} {what}, and held-out accuracy fell from {top:.1%} to {now:.1%}"


def _learnt(record: Record) -> float | None:
    """What training raises: the mean reward, or else the loss the other way round."""
    if record.get("reward") is not None:
        return float(record["reward"])
    return -float(record["loss"]) if record.get("loss") is not None else None


def _repetition(seen: Seen) -> str | None:
    steps = seen.limits.repetition_steps
    last = seen.last("repetition", steps)
    if not last or min(last) < seen.limits.repetition:
        return None
    return f"{fmean(last):.0%} of what the completions of {steps} steps say repeats itself"


def _entropy_low(seen: Seen) -> str | None:
    steps = seen.limits.entropy_steps
    ends, silent = seen.ends("entropy", steps), seen.last("silent_groups", steps)
    if ends is None or not silent or fmean(silent) < 0.5:
        return None
    first, last = map(fmean, ends)
    if last >= seen.limits.entropy_collapse * first:
        return None
    return f"the entropy of the completions fell from {first:.3g} to {last:.3g} nats a token"


def _entropy_high(seen: Seen) -> str | None:
    ends = seen.ends("entropy", seen.limits.entropy_steps)
    if ends is None:
        return None
    first, last = map(fmean, ends)
    if last < seen.limits.entropy_high or last < seen.limits.entropy_explosion * first:
        return None
    return f"the entropy of the completions rose from {first:.3g} to {last:.3g} nats a token"


def _spike(key: str, high: float, seen: Seen) -> tuple[float, float] | None:
    """This step's value and the median before, where the one is far above the other."""
    before = [
        float(record[key])
        for record in seen.records[-1 - seen.limits.spike_window : -1]
        if record.get(key) is not None
    ]
    now = seen.last(key, 1)
    if not now or 2 * len(before) < seen.limits.spike_window:
        return None
    usual = median(before)
    return (now[0], usual) if now[0] > max(high, seen.limits.spike * usual) else None


def _kl(seen: Seen) -> str | None:
    found = _spike("kl", seen.limits.kl_high, seen)
    return found and f"KL to the base model is {found[0]:.2g} nats a token, {found[1]:.2g} before"


def _grad_norm(seen: Seen) -> str | None:
    found = _spike("grad_norm", seen.limits.grad_norm_high, seen)
    return found and f"the gradient's norm is {found[0]:.3g}, {found[1]:.3g} in the steps before"


def _unchanged(seen: Seen) -> str | None:
    if seen.moved is None or seen.moved > seen.limits.unchanged:
        return None
    return f"after {seen.limits.unchanged_steps} steps the adapter is what it was when they began"


def _format_only(seen: Seen) -> str | None:
    ends = seen.ends("rewards", seen.limits.flat_steps)
    if ends is None or not all(seen.headline in one for part in ends for one in part):
        return None
    first, last = (
        {name: fmean(one.get(name, 0.0) for one in part) for name in ends[1][-1]} for part in ends
    )
    own = last[seen.headline] - first[seen.headline]
    if own >= seen.limits.flat or last[seen.headline] >= seen.limits.flat_good:
        return None
    rises = {name: last[name] - first[name] for name in last if name != seen.headline}
    name = max(rises, key=lambda one: rises[one], default="")
    if not name or rises[name] < seen.limits.flat_beside:
        return None
    return (
        f"the reward {name} rose from {first[name]:.2f} to {last[name]:.2f}, {seen.headline} went "
        f"from {first[seen.headline]:.2f} to {last[seen.headline]:.2f}"
    )


def _disk(seen: Seen) -> str | None:
    if seen.room is None or seen.room >= seen.limits.room:
        return None
    return f"the disk has room for {seen.room:.1f} checkpoints more"


RULES = {
    "truncated": Rule(
        _truncated,
        "{truncated:.0%} of the completions and more are cut off, in {truncated_steps} "
        "steps running",
        "raise method.max_new_tokens: what is cut off has no answer to earn a reward with",
    ),
    "silent": Rule(
        _silent,
        "every group's completions earn the same, in {silent_steps} steps running",
        "GRPO learns nothing from such groups: stop if the reward is at its top, else a higher "
        "method.temperature, a larger method.group_size or a warm-up (docs/warmup.md)",
    ),
    "held_out": Rule(
        _held_out,
        "a check on held-out examples (`eval.during`) finds {held_out_fall:.0%} less "
        "than the best one did, while the reward rose or the loss fell",
        "it learns the training images by heart, or earns a reward by other means than right "
        "answers: set eval.patience, and look at rollouts.jsonl",
    ),
    "repetition": Rule(
        _repetition,
        "{repetition:.0%} of the word 4-grams and more are repeats, in "
        "{repetition_steps} steps running",
        "lower method.learning_rate, give method.kl a value, or pay rewards.no_repetition",
    ),
    "entropy_low": Rule(
        _entropy_low,
        "the mean of {entropy_steps} steps falls below {entropy_collapse:.0%} of the "
        "first {entropy_steps}, and half of the groups are silent",
        "it always writes the same: a higher method.temperature, or method.kl",
    ),
    "entropy_high": Rule(
        _entropy_high,
        "the mean of {entropy_steps} steps is over {entropy_high:g} nats a token and "
        "{entropy_explosion:g} times that of the first {entropy_steps}",
        "it writes at random: lower method.learning_rate, or give method.kl a value",
    ),
    "kl": Rule(
        _kl,
        "over {kl_high:g} nats a token and {spike:g} times the median of the "
        "{spike_window} steps before",
        "lower method.learning_rate, or give method.kl a higher value",
    ),
    "grad_norm": Rule(
        _grad_norm,
        "over {grad_norm_high:g} and {spike:g} times the median of the {spike_window} steps before",
        "lower method.learning_rate if the loss does not come down",
    ),
    "unchanged": Rule(
        _unchanged,
        "after {unchanged_steps} steps no weight of the adapter has moved by {unchanged:g}",
        "raise method.learning_rate",
    ),
    "format_only": Rule(
        _format_only,
        "between the first {flat_steps} steps and the last {flat_steps} another reward "
        "rose by {flat_beside:g}, the task's own by less than {flat:g}, and it is below "
        "{flat_good:g}",
        "it learns the form and not the answer: give the answer's reward a higher weight, or look "
        "at rollouts.jsonl for a reward that is earned too easily",
    ),
    "disk": Rule(
        _disk,
        "room for fewer than {room:g} checkpoints",
        "make room: a run that finds none stops, and goes on with --resume",
    ),
}
