"""The model card: what training wrote beside the adapter, with what was measured put in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rftkit.errors import ModelError
from rftkit.metrics.schema import display_model, sides_of
from rftkit.publish.contents import README, Source
from rftkit.publish.facts import (
    Facts,
    data_words,
    facts_of,
    hub_dataset,
    in_words,
    limits,
    result_rows,
)
from rftkit.publish.front_matter import Page, read_page
from rftkit.publish.licence import Licence, licence_of
from rftkit.publish.usage import usage
from rftkit.recipe.schema import Recipe
from rftkit.recipe.sections import TINY
from rftkit.report.terminal import setting
from rftkit.runs.model_card import RESULTS_ELSEWHERE, labels_title
from rftkit.tasks import get_task
from rftkit.tasks.task import AnswerKind

TASK_TYPES: dict[AnswerKind, str] = {  # -> the hub's; the others are all questions about an image
    "label": "image-classification",
    "boxes": "object-detection",
}
OURS = ("Results", "Training", "Limits", "Licence")  # sections that a push writes


def _is_own(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def card_text(source: Source, repo: str, declared: str = "") -> str:
    """The README.md that is pushed: front matter, and sections.

    declared: a licence that the user names. Raises ModelError if the folder's own card cannot be
    read.
    """
    readme = source.folder / README
    page = read_page(readme) if _is_own(readme) else Page({}, "\n# Model\n")
    data = _declared(page.head, readme)
    facts = facts_of(source)
    base = facts.recipe.model.name if facts else ""
    licence = licence_of(_base(source) or base, readme, declared)
    _front_matter(data, facts, repo, licence)
    parts = sections(page.text)
    made = {title: parts[title] for title in OURS if title in parts}
    if facts and (facts.summary or "Results" not in made):  # a pushed adapter has brought its own
        made |= _measured(facts)
    made["Licence"] = _licence(base, licence)
    kept = {title: body for title, body in parts.items() if title not in OURS}
    if facts:
        kept["Use it"] = usage(source, facts, repo, kept.get("Use it", ""))
    head = kept.pop("").replace(RESULTS_ELSEWHERE, "")
    if facts:  # its table says less than the one of ours
        head = re.sub(r"^\|.*\n+", "", head, flags=re.MULTILINE)
    head = re.sub(r"^# .*$", f"# {repo.rpartition('/')[2]}", head, count=1, flags=re.MULTILINE)
    return f"---\n{_yaml(data, readme)}\n---\n{_joined({'': head, **made, **kept})}"


def _declared(head: Mapping[str, Any], readme: Path) -> Any:
    """What a card's head says, as the hub's client holds it. Raises ModelError for what it cannot.

    Tags are looked at here, since a push adds to them.
    """
    from huggingface_hub import ModelCardData

    try:
        data: Any = ModelCardData(ignore_metadata_errors=False, **head)
    except (ValueError, TypeError) as error:
        raise _no_card(readme, error) from None
    tags = data.tags or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _no_card(readme, f"tags: {repr(tags)[:60]} is no list of texts")
    return data


def _yaml(data: Any, readme: Path) -> str:
    try:
        return str(data.to_yaml())
    except (ValueError, TypeError, RecursionError) as error:
        raise _no_card(readme, error) from None


def _no_card(readme: Path, reason: object) -> ModelError:
    told = " ".join(str(reason).split()).partition(". ")[0][:160]
    return ModelError(f"{readme}: no model card ({told}); mend it, or delete it to write one")


def sections(text: str) -> dict[str, str]:
    """Title -> body of a page's sections of the second level; "" -> what stands before them.

    A line in a block of code begins none.
    """
    title, fenced = "", False
    found: dict[str, list[str]] = {title: []}
    for line in text.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            title = line.removeprefix("## ").strip()
            found[title] = []
        else:
            found[title].append(line)
    return {title: "".join(lines) for title, lines in found.items()}


def _joined(parts: Mapping[str, str]) -> str:
    text = "\n\n".join(
        f"## {title}\n\n{body.strip()}" if title else f"\n{body.strip()}"
        for title, body in parts.items()
    )
    return text + "\n"


def _front_matter(data: Any, facts: Facts | None, repo: str, licence: Licence) -> None:
    if licence.id:
        data.license = licence.id
        data.license_name, data.license_link = licence.name or None, licence.link or None
    if facts is None:
        return
    recipe = facts.recipe
    base = recipe.model.name.partition("@")[0]
    data.base_model = base if "/" in base else None  # only what is on the hub has a page there
    data.datasets = hub_dataset(recipe) or None
    data.model_name = repo.rpartition("/")[2]
    data.tags = list(dict.fromkeys([*(data.tags or []), "rftkit", recipe.method.kind, recipe.task]))
    data.pipeline_tag = data.pipeline_tag or "image-text-to-text"
    data.eval_results = list(_results(facts)) or data.eval_results


def _results(facts: Facts) -> Iterable[Any]:
    """The fine-tuned model's figures, for the hub's table of results."""
    from huggingface_hub import EvalResult

    summary, recipe = facts.summary, facts.recipe
    if summary is None or summary.tuned is None:
        return
    side = summary.tuned
    ways = {"": side.accuracy}
    if side.decodings:
        ways = {", free reply": side.decodings.free, ", by the list": side.decodings.listed}
    for way, rate in ways.items():
        yield EvalResult(
            task_type=TASK_TYPES.get(
                get_task(recipe.task).answer_kind, "visual-question-answering"
            ),
            task_name=recipe.task,
            dataset_type=hub_dataset(recipe) or recipe.data.source,
            dataset_name=hub_dataset(recipe) or f"held-out images ({recipe.data.source})",
            dataset_split=summary.split,
            metric_type=summary.metric.replace(" ", "_"),
            metric_value=round(rate.value, 4),
            metric_name=f"{summary.metric}{way}: {in_words(rate)}, n = {rate.n}",
        )


def _measured(facts: Facts) -> dict[str, str]:
    return {
        "Results": _result_section(facts),
        "Training": _training_section(facts),
        "Limits": "\n".join(f"- {line}" for line in limits(facts)),
    }


def _result_section(facts: Facts) -> str:
    summary = facts.summary
    if summary is None:
        return "Not evaluated on held-out images."
    names = [display_model(name) for name, side in sides_of(summary) if side]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in result_rows(summary)]
    words = f"{setting(summary, named=False)}. In brackets: 95 % intervals."
    parts = [summary.headline, "\n".join(lines), words]
    if facts.calibration:
        temperature = facts.calibration.temperatures.tuned
        parts.append(
            f"Probabilities over the list are {facts.calibration.words}: they are a softmax of "
            f"log-probabilities divided by {temperature:.3g}."
        )
    return "\n\n".join(part for part in parts if part)


def _training_section(facts: Facts) -> str:
    recipe, method = facts.recipe, facts.recipe.method
    shots = f", {recipe.data.shots} per class" if recipe.data.shots else ""
    images = " of ".join(str(count) for count in facts.images) or "not recorded"
    title = labels_title(get_task(recipe.task), facts.labels)
    rows = {
        "data": data_words(recipe),
        "training images": images + shots,
        title: str(len(facts.labels)) if facts.labels else "none: open answers",
        "reply style": recipe.style,
        "method": f"{method.kind}, {method.steps} steps, learning rate {method.learning_rate:g}",
        "LoRA": f"rank {recipe.model.lora_rank}, {_adapted(recipe)}",
        "weights of the base": "4 bit (NF4)" if recipe.model.load_in_4bit else "16 or 32 bit",
        "seed": str(recipe.seed),
    }
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines) + f"\n\nThe recipe is in `rftkit.json`. {_base_words(recipe)}"


def _adapted(recipe: Recipe) -> str:
    return "language model and vision encoder" if recipe.model.lora_vision else "language model"


def _base_words(recipe: Recipe) -> str:
    base = recipe.model.name
    if base in TINY:
        return f"The base, `{base}`, comes with rftkit."
    if "/" in base:
        return f"The base is [`{base}`](https://huggingface.co/{base.partition('@')[0]})."
    return f"The base was a folder called `{base}` on the author's machine."


def _licence(base: str, licence: Licence) -> str:
    of = f"`{base}`" if base else "the base model"
    words = licence.words
    return f"{words[0].upper()}{words[1:]}. What is derived from {of} keeps its terms."


def _base(source: Source) -> str:
    """The base model as this machine knows it, by which its card is found."""
    return source.checkpoint.recipe.model.name if source.checkpoint else ""
