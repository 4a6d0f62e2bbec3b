"""Grounding: one image, one phrase, the one box it speaks of."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rftkit.answers import box_text, boxes, replies
from rftkit.answers.boxes import Box, Grid
from rftkit.core import Attempt, Example, NoImage, Reward, Row, Style
from rftkit.errors import UserError
from rftkit.measures.box_metrics import measure_grounding
from rftkit.measures.values import Measure
from rftkit.rewards.general import format_reward, paper_answer, paper_format
from rftkit.tasks import options
from rftkit.tasks.annotated import corners_in_grid, placed, read_objects
from rftkit.tasks.options import GroundingOptions, Options
from rftkit.tasks.question import Question, QuestionForm, Trained, Unlabelled, boxes_asked
from rftkit.tasks.reading import Reading
from rftkit.tasks.starter import Starter
from rftkit.tasks.task import TABLES, Part, Parts, Scored, Task, Words

QUESTION = "Where in this picture is this: {}?"
SHAPE = (
    "Write one box as ({},{}),({},{}), its top left and its bottom right corner. x runs from 0 to "
    "{} from left to right, y from 0 to {} from top to bottom."
)

_WHOLE = r"\s*+(\d++)\s*+"
PAPER_CORNERS = re.compile(rf"\({_WHOLE},{_WHOLE}\)\s*+,\s*+\({_WHOLE},{_WHOLE}\)")


def read(row: Row, reading: Reading) -> tuple[Example, ...]:
    """The examples of a row. Columns: `label` (the phrase), `box`, `grid`; see `read_objects`.

    One example, or where an annotation has `regions`, one for each text that stands there once: of
    one that stands there twice nobody could say which is meant. The gold answer is JSON: a list of
    one [x1, y1, x2, y2] in fractions of the image.
    """
    regions = row.values.get("regions")
    if isinstance(regions, tuple):
        others = {key: value for key, value in row.values.items() if key != "regions"}
        texts = Counter(region.label for region in regions)
        once = [region for region in regions if texts[region.label] == 1]
        alone = [{**others, "objects": (one,), "phrase": one.label} for one in once]
        return tuple(e for values in alone for e in read(replace(row, values=values), reading))
    annotated = reading.value(row, "objects") is not None
    single = {**reading.columns, "boxes": reading.columns.get("box", "box")}
    objects = read_objects(
        row, reading if annotated else replace(reading, columns=single), one=True
    )
    named = (role for role in ("phrase", "label") if reading.value(row, role) is not None)
    role = next(named, None)
    phrase = reading.text(row, role) if role else "the main object"
    return (
        Example(
            id=f"{row.image.name}: {phrase}" if role else row.image.name,
            image=row.image,
            question=QUESTION.format(phrase),
            gold=boxes.dump_boxes([objects[0].box]),
            rationale=reading.rationale(row),
            location=row.location,
            meta={**placed(row, reading), "phrase": phrase},
            category=reading.cell(row, "category"),
        ),
    )


def row(example: Example) -> dict[str, object]:
    """The phrase and its box."""
    (box,) = corners_in_grid(example)
    named = {"category": example.category} if example.category else {}
    return {"phrase": example.meta["phrase"], "box": box, "grid": example.meta["grid"], **named}


def how_written(grid: Grid) -> str:
    """How one box is to be written."""
    return SHAPE.format(*grid.written("x1", "y1", "x2", "y2"), grid.width, grid.height)


def prompt(example: Example, style: Style) -> str:
    """The text beside the image: the question, how a box is written, the style."""
    shape = how_written(Grid.of(example.meta))
    return "\n".join([example.question, shape, replies.INSTRUCTIONS[style]])


def written(example: Example) -> str:
    """The gold box as the model is to write it: whole units of its coordinates."""
    return box_text.write_box(_gold(example), Grid.of(example.meta))


def found(attempt: Attempt) -> Box | None:
    """The one valid box in the reply; None if there is none, or more than one."""
    answer = attempt.reply.answer
    return None if answer is None else box_text.read_box(answer, Grid.of(attempt.example.meta))


def parsed(attempt: Attempt) -> list[float] | None:
    """The box of the reply in the coordinates of its text."""
    box = found(attempt)
    return None if box is None else boxes.in_grid(box, Grid.of(attempt.example.meta))


def iou(attempt: Attempt) -> float:
    """IoU of the reply's box with the gold box, in [0, 1]; 0 without exactly one valid box."""
    box = found(attempt)
    return 0.0 if box is None else boxes.iou(box, _gold(attempt.example))


def hit(attempt: Attempt) -> float:
    """1 if that IoU is at least 0.5, else 0: the accuracy of RefCOCO's protocol."""
    return float(iou(attempt) >= 0.5 - boxes.NEAR)


def rounded(attempt: Attempt) -> bool:
    """Whether the reply's box is the gold one, but for less than a unit of its grid."""
    grid = Grid.of(attempt.example.meta)
    return boxes.is_rounded_gold([found(attempt)], [_gold(attempt.example)], grid)


def metrics(scored: Sequence[Scored]) -> tuple[Measure, ...]:
    """Mean IoU and accuracy at 0.5, the metrics of RefCOCO and LISA."""
    values = measure_grounding([(found(one.attempt), _gold(one.attempt.example)) for one in scored])
    return Measure.of("miou", values.mean_iou), Measure.of("acc_at_50", values.right)


def parts(attempt: Attempt) -> Parts:
    """The overlap, and whether it counts as right."""
    return {("miou", ""): Part(iou(attempt)), ("acc_at_50", ""): Part(hit(attempt))}


def wrong_answers(example: Example) -> list[str]:
    """A box around everything."""
    return [box_text.write_box(Box(0, 0, 1, 1), Grid.of(example.meta))]


def unlabelled(trained: Trained, question: Question) -> list[Unlabelled]:
    """The prompt for a phrase."""
    phrase = question.text
    if not phrase:
        raise UserError(
            "the task 'grounding' needs what to find; give --question \"the dog on the left\""
        )
    text = trained.filled(QUESTION.format(phrase), phrase=phrase)
    return [Unlabelled(text, meta={**boxes_asked(phrase), "phrase": phrase})]


def scheduled_rewards(chosen: Options, progress: float) -> dict[str, Reward]:
    """The IoU that the recipe's threshold allows at this share of the run."""
    assert isinstance(chosen, GroundingOptions)
    least = options.at(chosen.threshold, progress) - boxes.NEAR
    return {"iou": lambda attempt: score if (score := iou(attempt)) >= least else 0.0}


def paper_iou(attempt: Attempt) -> float:
    """Visual-RFT's LISA reward without its maths verifier: GIoU + 1 of the first four corners.

    Whole numbers only, in the answer block or, without one, anywhere in the text. Boxes score in
    [0, 2]; inverted corners are not noticed and can score far more. 0 where there is no box.
    """
    text = attempt.completion.text
    block = paper_answer(text)
    corners = PAPER_CORNERS.search(text if block is None else block)
    if corners is None:
        return 0.0
    grid = Grid.of(attempt.example.meta)
    gold = Box(*boxes.in_grid(_gold(attempt.example), grid))
    x1, y1, x2, y2 = map(float, corners.groups())
    score = 1 + boxes.giou(grid.written(x1, y1, x2, y2), gold)
    return score if math.isfinite(score) else 0.0


def _gold(example: Example) -> Box:
    return boxes.load_boxes(example.gold)[0]


TASK = Task(
    name="grounding",
    headline="iou",
    answer_kind="box",
    read=read,
    prompt=prompt,
    row=row,
    rewards={"iou": iou, "hit": hit, "format": format_reward},
    paper_rewards={"iou": paper_iou, "format": paper_format},
    parsed=parsed,
    sample=Example(
        "sample",
        NoImage(),
        QUESTION.format("the dog on the left"),
        boxes.dump_boxes([Box(0.1, 0.2, 0.3, 0.4)]),
    ),
    written=written,
    metric="IoU",
    metrics=metrics,
    parts=parts,
    wrong_answers=wrong_answers,
    form=QuestionForm(
        prompts=unlabelled,
        missing="phrase: empty; say what to find, such as 'the dog on the left'",
    ),
    words=Words("phrases", "category", "categories", "IoU with the gold box, mean over phrases"),
    sources=("lisa", "refs", *TABLES, "label_studio", "scenes"),
    placeholder="{phrase}",
    weights={"iou": 1.0, "format": 1.0},
    options=GroundingOptions,
    scheduled_rewards=scheduled_rewards,
    min_gold_reward=0.5,
    rounded=rounded,
    starter=Starter(("image", "phrase", "box"), "tiny-scenes"),
)
