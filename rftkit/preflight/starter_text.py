"""The commented TOML that `rftkit init` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from rftkit.messages import one_line
from rftkit.model_info.support import TODAY, advised
from rftkit.preflight.findings import Finding
from rftkit.tasks import get_task
from rftkit.tasks.task import Task

CHECKED_EVERY = 50  # steps between two looks at a validation split


class Start(NamedTuple):
    """What a first recipe says.

    data: keys of its [data] table. found: lines about the data. budget: tokens of a reply; 0 leaves
    the default. limit: test images that are measured; 0 all. gigabytes: of this machine's GPU; 0
    where there is none.
    """

    taken: Finding
    data: Mapping[str, object]
    found: tuple[str, ...]
    budget: int
    limit: int
    gigabytes: float = 0.0


def starter_text(start: Start) -> str:
    """The recipe, which loads as it is."""
    task = get_task(start.taken.task)
    tables = [
        HEAD.format(
            found="\n".join(f"#   {one_line(line)}" for line in start.found),
            tiny=task.starter.model,
        ),
        TASK.format(name=task.name),
        _model(start.gigabytes),
        _data(start),
        _options(start) or task.starter.options,
        _method(start),
        _rewards(task),
        _eval(start),
    ]
    return "\n".join(table for table in tables if table)


def quoted(value: object) -> str:
    """A TOML value of a text, a number, a list or a table of texts.

    TOML's strings are JSON's, but for the one control character that JSON leaves bare.
    """
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {quoted(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _model(gigabytes: float) -> str:
    """The model that is advised for this GPU, and for those of other sizes."""
    own = advised(gigabytes)
    others = [f"{one.gigabytes} GB: {one.hub.partition('/')[2]}" for one in TODAY if one != own]
    return (
        f"[model]\nname = {quoted(own.hub)}   # for {own.gigabytes} GB; a hub id or local folder\n"
        f"# {', '.join(others)}; others: docs/models.md\n"
    )


def _data(start: Start) -> str:
    lines = [f"{key} = {quoted(value)}" for key, value in start.data.items()]
    lines.append("# shots = 16           # training images of each class; without it all are used")
    if get_task(start.taken.task).answer_kind == "label":
        lines.append('choices = "all"        # the prompt lists all classes; "none" asks openly')
        lines.append('# question = "What kind of … is this?"   # says better what you want to know')
    if "shots" in start.data:
        lines = [line for line in lines if not line.startswith("# shots")]
    return "[data]\n" + "\n".join(lines) + "\n"


def _options(start: Start) -> str:
    """The options that were found; a table among them has its own head, and so comes last."""
    options = start.taken.options
    plain = [f"{k} = {quoted(v)}" for k, v in options.items() if not isinstance(v, Mapping)]
    tables = [(k, v) for k, v in options.items() if isinstance(v, Mapping)]
    lines = ["[options]", *plain, ""] if plain else []
    for name, table in tables:
        lines += [f"[options.{name}]   # guessed from the data: check them"]
        lines += [f"{quoted(key)} = {quoted(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n" if lines else ""


def _method(start: Start) -> str:
    fits = "# the longest answer fits, and a thought before it"
    return METHOD + (f"max_new_tokens = {start.budget}   {fits}\n" if start.budget else "")


def _rewards(task: Task) -> str:
    weights = [f"{name} = {weight}" for name, weight in task.default_weights.items()]
    return "\n".join(["[rewards]", *weights]) + "\n"


def _eval(start: Start) -> str:
    lines = [f"limit = {start.limit}              # held-out images, evenly by class; 0 uses all"]
    if start.taken.validation:
        lines += [
            f"validation = {quoted(start.taken.validation)}     # images that choose the step kept",
            f"during = {CHECKED_EVERY}            # steps between two looks at them",
        ]
    return "\n".join(["[eval]", *lines]) + "\n"


HEAD = """\
# Written by `rftkit init`. What was found:
{found}
#
# rftkit check THIS_FILE                       reads every image, shows a prompt
# rftkit plan THIS_FILE --gpu 12GB             whether it fits a GPU
# rftkit train THIS_FILE                       needs a GPU; on a CPU it would take days
# rftkit train THIS_FILE --set model.name={tiny}
#                                              walks the whole path on any machine with a tiny
#                                              model, which learns nothing useful here
"""
TASK = """\
task = "{name}"
style = "think"        # "direct" answers at once: cheaper, and often as good; also
                       # answer-first, adaptive. Which pays: docs/tutorial_thinking.md
"""
METHOD = """\
[method]
kind = "grpo"          # reinforcement; "sft" imitates the answers, "exact" needs no sampled replies
                       # where the answers are a list. Which to take: docs/howto_choose.md
steps = 200
learning_rate = 1e-5
group_size = 8
"""
