"""The first sentence of a result: both numbers, or why they say little."""

from __future__ import annotations

from collections.abc import Sequence

from rftkit.metrics import summarise
from rftkit.metrics.headline import with_headline
from rftkit.metrics.samples import Header, Provenance, Sample, SamplesFile
from rftkit.metrics.schema import Summary

LABELS = ("cat", "dog")


def measured(base: Sequence[str], tuned: Sequence[str], gold: Sequence[str]) -> Summary:
    """The summary of direct replies of both models; an empty one is on no list."""
    header = Header(task="classification", style="direct", labels=LABELS, expected=len(gold))
    samples = [
        Sample(id=str(n), image=str(n), side=side, gold=right, choices=LABELS, text=text, tokens=1,
               finished=True)
        for side, replies in (("base", base), ("tuned", tuned))
        for n, (text, right) in enumerate(zip(replies, gold, strict=True))
    ]  # fmt: skip
    return summarise(SamplesFile(header, tuple(samples)))


GOLD = ["cat", "dog"] * 50


def test_both_numbers_lead() -> None:
    base = ["cat"] * 100
    tuned = [right if n < 80 else "dog" for n, right in enumerate(GOLD)]
    found = measured(base, tuned, GOLD)
    assert found.headline.startswith("Accuracy 50.0 → 90.0 %, +40.0 points, 95 % interval +")
    assert found.headline.endswith(": the fine-tuned model is better.")
    assert found.tone == "better"
    assert found.fell == "Worse after training: cat (100.0 → 80.0 %)."
    assert found.advice.startswith("Next: cat is taken for dog in 10 of 50 images; add training")


def test_replies_that_are_all_invalid_measure_nothing() -> None:
    found = measured(["bird"] * 30, ["a bird"] * 30, GOLD[:30])
    assert found.headline.startswith(
        "No valid reply from either model (30 of 30 invalid): this measures nothing. Accuracy 0.0"
    )
    assert found.tone == "unknown"
    assert found.advice.startswith("Next: 30 of 30 replies are invalid; try some imitation first")


def test_replies_that_are_mostly_invalid_are_said_first() -> None:
    found = measured(GOLD, ["bird"] * 60 + GOLD[60:], GOLD)
    start = "60 of 100 replies of the fine-tuned model are invalid: accuracy says little. Accuracy"
    assert found.headline.startswith(start)
    assert found.tone == "unknown"


def test_a_test_set_that_is_too_small_is_said_first() -> None:
    gold = GOLD[:10]
    found = measured(["cat"] * 10, [*gold[:4], *["cat"] * 6], gold)
    assert found.headline.startswith("The test set is too small to tell: it shows differences of ")
    assert found.headline.endswith(": no significant difference.")


def test_a_model_that_only_guesses_is_not_praised() -> None:
    found = measured(["bird"] * 100, ["cat"] * 100, GOLD)
    start = "The fine-tuned model cannot be told from guessing (50.0 %). Accuracy 0.0 → 50.0 %, +50"
    assert found.headline.startswith(start)
    assert found.tone == "unknown"


def test_a_built_in_model_on_images_of_ones_own_is_not_advised_on() -> None:
    found = measured(["bird"] * 30, ["a bird"] * 30, GOLD[:30])
    own = Provenance(model="tiny", data="folder /pets")
    found = with_headline(found.model_copy(update={"provenance": own}))
    assert found.advice.startswith("Next: a real model (model.name).")


def test_a_large_difference_shows_on_a_small_test_set() -> None:
    gold = GOLD[:20]
    found = measured(["cat" if right == "dog" else "dog" for right in gold], gold, gold)
    assert found.headline.startswith("Accuracy 0.0 → 100.0 %")
    assert found.tone == "better"


def test_one_model_has_its_interval() -> None:
    header = Header(task="classification", style="direct", labels=LABELS, expected=20)
    samples = [Sample(id=str(n), image=str(n), side="tuned", gold="cat", choices=LABELS, text="cat",
                      tokens=1, finished=True) for n in range(20)]  # fmt: skip
    found = summarise(SamplesFile(header, tuple(samples)))
    assert found.headline.startswith("Accuracy of the fine-tuned model: 100.0 %, 95 % interval ")
