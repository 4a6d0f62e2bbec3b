"""One self-contained HTML page about a run: nothing is fetched, and no script is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.files import write_atomically
from rftkit.metrics import Summary, schema
from rftkit.metrics.samples import FLAGS, Header, Sample
from rftkit.metrics.schema import ClassRow, SideSummary
from rftkit.metrics.verdict import points
from rftkit.report import confusion as matrix
from rftkit.report import plots, reliability, tables, terminal
from rftkit.report import samples_shown as examples
from rftkit.report import training_curves as series
from rftkit.report.baselines import ALONE, BaselineTable, cells
from rftkit.report.published.table import Beside
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

TEMPLATE = "page.html.j2"
LENGTHS = ("total", "reasoning", "answer", "total, right", "total, wrong")


def no_image(_: str) -> Sequence[Image]:
    """For a report made where the data is not."""
    return ()


@dataclass(frozen=True)
class ReportInput:
    """What a page is made from; whatever is missing, its section is left out.

    samples: derived ones (`metrics.scoring.rescored`). metrics: the lines of `metrics.jsonl`.
    versions: package -> version of the machine that trained. open_images: example id -> its
    images, none where they cannot be had. beside: what papers measured on the same data.
    baselines: what simple methods make of the same shots.
    how: which paths the training took, by the names of `effective.json`.
    no_images: why the images of the data cannot be shown, empty where they can. facts: name and
    value of what stands at the top. commands: what can be done with the run next.
    alarms: what went wrong while it trained, a line each.
    """

    title: str
    summary: Summary | None = None
    samples: Sequence[Sample] = ()
    metrics: series.Metrics = ()
    recipe_toml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    open_images: examples.OpenImages = no_image
    beside: Beside | None = None
    baselines: BaselineTable | None = None
    how: Mapping[str, str] = field(default_factory=dict)
    no_images: str = ""
    facts: Sequence[tuple[str, str]] = ()
    commands: Sequence[str] = ()
    alarms: Sequence[str] = ()


def write_report(path: Path, page: ReportInput) -> None:
    """Writes the page to `path`, UTF-8, replacing what is there in one move."""
    write_atomically(path, render(page).encode(errors="replace"))


def render(page: ReportInput) -> str:
    """The page as text."""
    summary = page.summary
    sides = [(name, side) for name, side in schema.sides_of(summary) if side] if summary else []
    last = sides[-1][1] if sides else None
    task = get_task(summary.task) if summary else None
    text = (
        environment()
        .get_template(TEMPLATE)
        .render(
            page=page,
            summary=summary,
            sides=sides,
            setting=terminal.setting(summary) if summary else "",
            words=task.words if task else None,
            graded=task is not None and task.graded,
            headline=plots.headline(summary) if summary and sides else "",
            charts=plots.training(page.metrics),
            cost=series.cost(page.metrics),
            baseline_rows=_baseline_rows(page),
            alone=ALONE,
            metrics=tables.metric_rows(sides),
            peak_words=tables.peak_words(sides),
            kinds=tables.kinds(summary, sides) if summary else None,
            levels=dict.fromkeys(level for _, side in sides for level in side.levels),
            classes=_classes(sides),
            grid=matrix.grid(last) if last and last.classes else None,
            commonest=matrix.commonest(last) if last else (),
            groups=_groups(page, summary) if summary else [],
            boxed=task is not None and task.predicts_boxes,
            confidences=task is not None and task.answer_kind == "boxes",
            options=task is not None and task.answer_kind == "option",
            provenance=_provenance(page),
            flags=FLAGS,
            calibration=reliability.section(sides),
            lengths=[kind for kind in LENGTHS if any(kind in side.lengths for _, side in sides)],
        )
    )
    return with_contents(text)


SECTION = re.compile(r"<section(?: id=\"[\w-]+\")?>\n<h2>(.*?)</h2>")
CONTENTS = "<!-- contents -->"


def with_contents(text: str) -> str:
    """The page with an anchor at each section, and links to them where it is marked."""
    links = list[str]()

    def anchored(found: re.Match[str]) -> str:
        title = found.group(1)
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        links.append(f'<a href="#{anchor}">{title}</a>')
        return f'<section id="{anchor}">\n<h2>{title}</h2>'

    page = SECTION.sub(anchored, text)
    return page.replace(CONTENTS, f'<nav aria-label="Contents">{" ".join(links)}</nav>')


def _groups(page: ReportInput, summary: Summary) -> list[examples.Group]:
    header = Header(
        task=summary.task,
        style=summary.style,
        decode=summary.decode,
        expected=summary.expected,
        prompt=summary.provenance.prompt,
    )
    return examples.groups(page.samples, header, page.open_images)


def _baseline_rows(page: ReportInput) -> list[tuple[tuple[str, ...], str]]:
    """The cells of each baseline, and how it was made or why it is missing."""
    rows = page.baselines.rows if page.baselines else ()
    return [(cells(row), row.how or f"none: {row.missing}") for row in rows]


def _classes(
    sides: Sequence[tuple[str, SideSummary]],
) -> list[tuple[str, list[tuple[str, ClassRow]]]]:
    """Label -> its row on each side, in the order of the last side."""
    rows: dict[str, list[tuple[str, ClassRow]]] = {}
    for name, side in sides:
        for row in side.classes:
            rows.setdefault(row.label, []).append((name, row))
    return list(rows.items())


def _provenance(page: ReportInput) -> list[tuple[str, str]]:
    """Name and value of everything known about how the run and its results were made."""
    facts: dict[str, object] = dict(page.how)
    if page.summary:
        facts |= page.summary.provenance.model_dump(exclude={"prompt", "versions"})
    named = [(name.replace("_", " "), str(value)) for name, value in facts.items()]
    return [(name, value) for name, value in named if value not in ("", "None")]


@cache
def environment() -> Environment:
    """Where templates are looked for, and the filters that they use; one, made once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("rftkit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        points=points,
        interval=tables.interval,
        in_words=tables.in_words,
        titled=titled,
        model=schema.display_model,
        svg=Markup,  # our own charts; nothing else on the page is trusted
        bytes=lambda count: f"{count / 2**30:.2f} GiB",
        number=lambda share: f"{share:.3f}",
        p_value=lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
    )
    return environment


def titled(text: str) -> str:
    """The text with its first letter large and the others as they are.

    >>> titled("accuracy"), titled("IoU")
    ('Accuracy', 'IoU')
    """
    return text[:1].upper() + text[1:]
