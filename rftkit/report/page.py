"""One self-contained HTML page about a run: nothing is fetched, and no script is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rftkit.report import examples, matrix, plots, series, terminal
from rftkit.samples import FLAGS, Sample
from rftkit.summary import Summary
from rftkit.summary.schema import ClassRow, SideSummary
from rftkit.summary.verdict import points

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

TEMPLATE = "page.html.j2"
LENGTHS = ("total", "reasoning", "answer", "total, right", "total, wrong")


def no_picture(_: str) -> Image | None:
    """For a report made where the data is not."""
    return None


@dataclass(frozen=True)
class ReportInput:
    """What a page is made from; whatever is missing, its section is left out.

    samples: derived ones (`rftkit.scoring.rescored`). metrics: the lines of `metrics.jsonl`.
    versions: package -> version of the machine that trained. open_picture: example id -> picture,
    None where it cannot be had.
    """

    title: str
    summary: Summary | None = None
    samples: Sequence[Sample] = ()
    metrics: series.Metrics = ()
    recipe_toml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    open_picture: examples.OpenPicture = no_picture


def write_report(path: Path, page: ReportInput) -> None:
    """Writes the page to `path`, UTF-8, replacing what is there in one move."""
    text = render(page)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8", errors="replace")
    beside.replace(path)


def render(page: ReportInput) -> str:
    """The page as text."""
    summary = page.summary
    sides = [(name, side) for name, side in terminal.sides_of(summary) if side] if summary else []
    last = sides[-1][1] if sides else None
    asked = summary.provenance.prompt if summary else ""
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            page=page,
            summary=summary,
            sides=sides,
            setting=terminal.setting(summary) if summary else "",
            headline=plots.headline(summary) if summary and sides else "",
            charts=plots.training(page.metrics),
            cost=series.cost(page.metrics),
            classes=_classes(sides),
            grid=matrix.grid(last) if last else None,
            commonest=matrix.commonest(last) if last else (),
            groups=examples.groups(page.samples, asked, page.open_picture),
            provenance=_provenance(summary) if summary else [],
            flags=FLAGS,
            lengths=LENGTHS,
        )
    )


def _classes(
    sides: Sequence[tuple[str, SideSummary]],
) -> list[tuple[str, list[tuple[str, ClassRow]]]]:
    """Label -> its row on each side, in the order of the last side."""
    rows: dict[str, list[tuple[str, ClassRow]]] = {}
    for name, side in sides:
        for row in side.classes:
            rows.setdefault(row.label, []).append((name, row))
    return list(rows.items())


def _provenance(summary: Summary) -> list[tuple[str, str]]:
    """Name and value of everything known about how the figures were made."""
    facts = summary.provenance.model_dump(exclude={"prompt", "versions"})
    named = [(name.replace("_", " "), str(value)) for name, value in facts.items()]
    return [(name, value) for name, value in named if value not in ("", "None")]


def _environment() -> Environment:
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
        interval=terminal.interval,
        svg=Markup,  # our own charts; nothing else on the page is trusted
        bytes=lambda count: f"{count / 2**30:.2f} GiB",
        number=lambda share: f"{share:.3f}",
        p_value=lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
    )
    return environment
