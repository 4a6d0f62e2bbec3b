"""The section on calibration: where it is, what it draws, and what it says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from rftkit.metrics import summarise
from rftkit.metrics.lists.calibration import probabilities
from rftkit.metrics.samples import Header, Sample, SamplesFile, Side
from rftkit.report.page import ReportInput, render
from rftkit.report.reliability import FITTED, NOT_FITTED, section
from rftkit.report.terminal import show_summary

LABELS = ("cat", "dog", "fox")


def scored(n: int = 40, temperatures: dict[Side, float] | None = None) -> SamplesFile:
    """Labels drawn at temperature 2 of the scores that both sides give, tuned twice as sure."""
    rng, samples = np.random.default_rng(0), []
    for number in range(n):
        scores = dict(zip(LABELS, rng.normal(0, 2, 3).round(3).tolist(), strict=True))
        gold = str(rng.choice(LABELS, p=[*probabilities(scores, 2.0).values()]))
        sides: tuple[tuple[Side, float], ...] = (("base", 1.0), ("tuned", 2.0))
        for side, scale in sides:
            own = {label: scale * score for label, score in scores.items()}
            samples.append(Sample(side=side, id=str(number), image=str(number), text="cat",
                                  gold=gold, scores=own))  # fmt: skip
    header = Header(task="classification", style="direct", labels=LABELS, expected=n,
                    temperatures=temperatures or {})  # fmt: skip
    return SamplesFile(header, tuple(samples))


def page(file: SamplesFile) -> str:
    return render(ReportInput("a run", summarise(file), file.samples))


def test_the_page_draws_both_models_and_says_what_is_not_calibrated() -> None:
    html = page(scored())
    assert "<h2>Calibration</h2>" in html
    assert NOT_FITTED in html
    assert FITTED not in html
    assert "· after the temperature" not in html
    chart = html[html.index('aria-label="base model: ') :]
    assert "fine-tuned model: " in chart[: chart.index(">")]
    assert "% sure, " in chart[: chart.index(">")]
    assert "Only 40 answers: read the intervals, not the values." in html


def test_after_a_temperature_both_are_told() -> None:
    file = scored(temperatures={"base": 2.0, "tuned": 4.0})
    summary = summarise(file)
    assert summary.base
    assert summary.tuned
    found = section([("base", summary.base), ("tuned", summary.tuned)])
    assert found is not None
    rows = [(title, tuple(cell.text for cell in cells)) for title, cells in found.rows]
    assert ("temperature", ("2.00", "4.00")) in rows
    assert rows[2][0] == "· after the temperature"
    assert rows[2][1][0] == rows[2][1][1]  # the same probabilities after all
    assert rows[1][1][0] != rows[2][1][0]
    assert FITTED in found.sentences
    assert summary.tuned.calibration
    assert summary.tuned.calibration.after
    kept = summary.tuned.calibration.after.coverage[1]
    small = dict(found.rows)["kept at 10 % error"][1].small
    assert f"{kept.wrong} of {kept.kept} wrong" in small


def test_without_scores_there_is_no_section() -> None:
    file = scored()
    bare = tuple(sample.model_copy(update={"scores": None}) for sample in file.samples)
    html = page(SamplesFile(file.header, bare))
    assert "Calibration" not in html
    assert "calibration error" not in printed(SamplesFile(file.header, bare))


def printed(file: SamplesFile) -> str:
    out = io.StringIO()
    show_summary(summarise(file), Console(file=out, width=80))
    return out.getvalue()


@pytest.mark.parametrize("temperatures", [{}, {"base": 2.0, "tuned": 4.0}])
def test_the_terminal_has_a_row(temperatures: dict[Side, float]) -> None:
    text = printed(scored(temperatures=temperatures))
    assert "calibration error" in text
    assert ("· after temperature" in text) == bool(temperatures)
