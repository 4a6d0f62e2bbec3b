"""The first sentence of a result, what got worse, and what to do next."""

from __future__ import annotations

from rftkit.metrics.schema import SideSummary, Summary, Tone, display_model, sides_of
from rftkit.metrics.verdict import points
from rftkit.recipe.schema import BUILT_IN
from rftkit.recipe.sections import TINY

MOST_INVALID = 0.5  # share of replies past which a score says little
COARSE = 0.2  # a test set that cannot show less than this difference is named
FELL = 0.1  # accuracy that a class has to lose to be named
FEWEST = 3  # images of a class that is named
NAMED = 3


def with_headline(summary: Summary) -> Summary:
    """The summary, its `headline`, `tone`, `fell` and `advice` filled in."""
    warning, sentence = _warning(summary), _sentence(summary)
    tone: Tone = "unknown" if warning else _tone(summary)
    told = {"headline": " ".join(part for part in (warning, sentence) if part), "tone": tone}
    return summary.model_copy(update={**told, "fell": _fell(summary), "advice": _advice(summary)})


def _tone(summary: Summary) -> Tone:
    return summary.difference.verdict if summary.difference else "unknown"


def _sentence(summary: Summary) -> str:
    """Both numbers, their difference and what it allows to say; "" where nothing was measured."""
    name, d = summary.metric[:1].upper() + summary.metric[1:], summary.difference
    if summary.base and summary.tuned and d:
        before, after = (points(side.accuracy.value) for side in (summary.base, summary.tuned))
        low, high = (points(end, signed=True) for end in (d.low, d.high))
        numbers = f"{name} {before} → {after} %, {points(d.value, signed=True)} points, "
        verdict = {
            "better": "the fine-tuned model is better",
            "worse": "the fine-tuned model is worse",
            "no difference detected": "no significant difference",
        }[d.verdict]
        return f"{numbers}95 % interval {low} to {high}: {verdict}."
    for side, found in sides_of(summary):
        if found:
            low, high = (points(end) for end in (found.accuracy.low, found.accuracy.high))
            return (
                f"{name} of the {display_model(side)} model: {points(found.accuracy.value)} %, "
                f"95 % interval {low} to {high} %."
            )
    return ""


def _warning(summary: Summary) -> str:
    """Why the numbers say little; "" where they do not."""
    sides = [(name, side) for name, side in sides_of(summary) if side]
    if summary.decode == "generate":  # the answer by list is never invalid
        if sides and all(_invalid(side) == side.n for _, side in sides):
            who = "either model" if len(sides) > 1 else f"the {display_model(sides[0][0])} model"
            n = sides[0][1].n
            return f"No valid reply from {who} ({n} of {n} invalid): this measures nothing."
        for name, side in sides:
            if name == "tuned" and side.invalid.value > MOST_INVALID:
                return (
                    f"{_invalid(side)} of {side.n} replies of the fine-tuned model are invalid: "
                    f"{summary.metric} says little."
                )
    d = summary.difference
    if d and d.verdict == "no difference detected" and d.minimum_detectable_effect > COARSE:
        return (
            f"The test set is too small to tell: it shows differences of "
            f"{points(d.minimum_detectable_effect)} points or more."
        )
    tuned, chance = summary.tuned, summary.chance
    if tuned and chance and tuned.accuracy.low <= chance and summary.metric == "accuracy":
        return f"The fine-tuned model cannot be told from guessing ({points(chance)} %)."
    return ""


def _fell(summary: Summary) -> str:
    """The classes or categories that lost most from base to fine-tuned model; "" if none did."""
    before, after = _by_class(summary.base), _by_class(summary.tuned)
    drops = sorted(
        (after[name][0] - before[name][0], name)
        for name in before.keys() & after.keys()
        if after[name][1] >= FEWEST and before[name][0] - after[name][0] >= FELL
    )
    if not drops:
        return ""
    shown = ", ".join(
        f"{name or '(none)'} ({points(before[name][0])} → {points(after[name][0])} %)"
        for _, name in drops[:NAMED]
    )
    more = f" and {len(drops) - NAMED} more" if len(drops) > NAMED else ""
    return f"Worse after training: {shown}{more}."


def _by_class(side: SideSummary | None) -> dict[str, tuple[float, int]]:
    """Score and number of images by class, or by category where answers are no labels."""
    if side is None:
        return {}
    if side.classes:
        return {row.label: (row.accuracy.value, row.n) for row in side.classes}
    return {name: (rate.value, rate.n) for name, rate in side.groups.items()}


def _advice(summary: Summary) -> str:
    """What to do next, from what the fine-tuned model gets wrong; "" where nothing stands out."""
    side = summary.tuned or summary.base
    if side is None:
        return ""
    if (
        summary.provenance.model in TINY
        and summary.provenance.data.partition(" ")[0] not in BUILT_IN
    ):
        return (
            "Next: a real model (model.name). The built-in one knows nothing of such images; "
            "this shows that the path works."
        )
    truncated = side.health.get("truncated", 0)
    if truncated > MOST_INVALID * side.n / 2:
        return (
            f"Next: {truncated} of {side.n} replies are truncated; raise method.max_new_tokens, "
            "or train in style direct."
        )
    if side.invalid.value > MOST_INVALID / 2:
        return (
            f"Next: {_invalid(side)} of {side.n} replies are invalid; try some imitation first "
            '(method.warmup.steps), or evaluate by the list (eval.decode = "choices").'
        )
    wrong = sorted(
        ((cell.count, cell.gold, cell.answer) for cell in side.confusion
         if cell.answer not in (None, cell.gold)),
        key=lambda one: (-one[0], one[1], str(one[2])),
    )  # fmt: skip
    if not wrong or wrong[0][0] < 2:
        return ""
    count, gold, answer = wrong[0]
    images = next((row.n for row in side.classes if row.label == gold), count)
    return (
        f"Next: {gold} is taken for {answer} in {count} of {images} images; add training images of "
        "both, or say in data.question what tells them apart."
    )


def _invalid(side: SideSummary) -> int:
    return round(side.invalid.value * side.n)
