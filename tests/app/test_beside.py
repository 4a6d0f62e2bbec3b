"""Beside one comparison: other models, votes, a folder, an image to copy, a late right answer."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import app_fakes
import fakes
import pytest
from PIL import Image

from rftkit.app.candidates import BASE, Candidate, candidates
from rftkit.app.drawn.panes import pane_html
from rftkit.app.drawn.picture import WIDE, picture, picture_uri
from rftkit.app.drawn.results import MORE, first_kind, rows_html
from rftkit.app.grid import asked, grid_html
from rftkit.app.history import added, history_html, tally
from rftkit.app.opening import Served, open_recorded
from rftkit.app.session import Desk, RunRequest
from rftkit.core import Completion
from rftkit.errors import UserError
from rftkit.inference.compare import compare
from rftkit.inference.form import Form
from rftkit.inference.model_backend import ModelBackend
from rftkit.inference.panes import Comparison
from rftkit.runs.adapter import Checkpoint, find, write_card
from rftkit.runs.run import RunFolder

THOUGHT = "<think>one closed loop</think>\n<answer>6</answer>"


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return open_recorded(app_fakes.samples_file(tmp_path), pace=0)


def live(**texts: str) -> Served:
    """A page whose model writes these texts."""
    said = {"base": texts.get("base", THOUGHT), "tuned": texts.get("tuned", THOUGHT)}
    return Served("live", "live", app_fakes.setup(), app_fakes.HeldBackend(said))  # type: ignore[arg-type]


def image_file(folder: Path, name: str, shade: str = "white") -> str:
    Image.new("RGB", (40, 30), shade).save(folder / name)
    return str(folder / name)


def ran(desk: Desk, path: str, **more: Any) -> Comparison:
    form = Form("classification", app_fakes.settings(), **more)
    *_, (both, _, _) = desk.run(RunRequest(form, path, "", "me"))
    return both


def test_a_right_answer_that_is_given_later_judges_what_was_written(tmp_path: Path) -> None:
    desk = Desk(live(base=THOUGHT.replace("6", "4")))
    form = Form("classification", app_fakes.settings())
    both = ran(desk, image_file(tmp_path, "x.png"))
    assert both.verdict == "different answer"
    (entry,) = added((), form, both)
    entry = desk.judged(entry, "6")
    assert (entry.comparison.verdict, entry.form.truth) == ("fixed", "6")
    assert entry.comparison.tuned.rewards["accuracy"] == 1.0
    assert desk.judged(entry, "4").comparison.verdict == "broke"
    assert desk.judged(entry, "").comparison.verdict == "different answer"


def test_a_side_that_never_began_is_not_said_to_be_unreadable(tmp_path: Path) -> None:
    desk, stop = Desk(live()), threading.Event()
    request = RunRequest(Form("classification", app_fakes.settings()),
                         image_file(tmp_path, "x.png"), "", "me")  # fmt: skip
    stop.set()
    *_, both = compare(desk.served.backend, desk.asked(request), stop)
    assert both.base.state == "stopped"
    assert "stopped before it began" in pane_html(both.base, "Base model")
    assert "could not read" not in pane_html(both.base, "Base model")


def test_votes_are_counted_with_an_interval(served: Served) -> None:
    both = next(iter(Desk(served).worked)).comparison
    form = Form("classification", app_fakes.settings())
    entries: tuple[Any, ...] = ()
    assert tally(entries) == ""
    for vote in ("tuned", "tuned", "tie", "base", "tuned", "both bad", ""):
        entries = added(entries, form, both)
        entries = (*entries[:-1], replace(entries[-1], vote=vote))
    words = tally(entries)
    assert words.startswith("6 votes: fine-tuned 3, base 1, tie 1, both bad 1. ")
    assert "Fine-tuned preferred in 75% of 4 decided votes, 95 % interval 30% to 95%." in words
    assert words in history_html(entries)
    assert "preferred" not in tally(entries[:3])  # two decided votes say nothing


def test_the_results_begin_with_what_is_there(served: Served) -> None:
    (evaluated,) = served.evaluated
    assert first_kind(evaluated) == "fixed"
    samples = tuple(s.model_copy(update={"text": "no idea"}) for s in evaluated.file.samples)
    unread = replace(evaluated, file=replace(evaluated.file, samples=samples))
    assert first_kind(unread) == "both wrong"


def test_rows_have_images_and_more_are_a_press_away(served: Served) -> None:
    (evaluated,) = served.evaluated
    page = rows_html(evaluated, "all", rows=2)
    assert page.count('<img src="data:image/') == 2
    assert f'data-open="{MORE}32"' in page
    assert "2 of 6 shown" in page
    assert MORE not in rows_html(evaluated, "all")


def test_an_empty_thought_shows_whether_thinking_changed_the_answer(tmp_path: Path) -> None:
    policy = Switching()
    desk = Desk(Served("live", "live", app_fakes.setup(), ModelBackend(policy)))
    settings = replace(app_fakes.settings(), unthought=True)
    request = RunRequest(Form("classification", settings, truth="6"),
                         image_file(tmp_path, "x.png"), "", "me")  # fmt: skip
    *_, (both, _, _) = desk.run(request)
    assert both.tuned.answer == "6"
    assert both.tuned.unthought == ("4", False)
    page = pane_html(both.tuned, "Fine-tuned model")
    assert "Without its thought: <b>4</b> ✗, thinking changed it." in page
    assert both.record()["tuned"]["without_thought"] == "4"
    assert ran(desk, image_file(tmp_path, "x.png")).tuned.unthought is None


class Switching(fakes.FakePolicy):
    """Answers 6 after a thought and 4 without one."""

    def __init__(self) -> None:
        super().__init__(lambda *_: Completion(""))

    def generate(self, prompts: Any, decoding: Any, watch: Any = None) -> Any:
        self.prompts += prompts
        self.answer = lambda *_: Completion(
            "<answer>4</answer>" if prompts[0].prefill else THOUGHT, 9
        )
        return super().generate(prompts, decoding)

    def score(self, prompts: Any, answers: Any, *, ended: bool = True) -> Any:
        said = "4" if prompts[0].prefill.endswith("</think>\n") and not _thought(prompts) else "6"
        return [[-0.1 if said in text else -3.0 for text in row] for row in answers]


def _thought(prompts: Any) -> bool:
    return "closed loop" in prompts[0].prefill


def run_folder(root: Path, name: str, model: str = "tiny", task: str = "") -> RunFolder:
    """A finished run, as far as a list of models looks at it."""
    run = RunFolder(root / name)
    recipe = fakes.recipe(model={"name": model}, **({"task": task} if task else {}))
    from rftkit.recipe.toml import dump_recipe

    run.folder.mkdir(parents=True)
    run.resolved.write_text(dump_recipe(recipe), "utf-8")
    run.set_status("finished", labels=["1", "2"])
    fakes.FakePolicy(fakes.never).save(run.adapter)
    write_card(run.adapter, recipe, ("1", "2"))
    return run


def test_runs_on_the_same_base_and_task_can_be_chosen(tmp_path: Path) -> None:
    for name, model in (("first", "tiny"), ("second", "tiny"), ("other", "tiny-hangar")):
        run_folder(tmp_path, name, model)
    found = candidates(find(tmp_path / "first"), [tmp_path, tmp_path / "none"])
    assert [one.name for one in found] == [BASE, "first", "second"]
    assert [one.adapter for one in found][:2] == [None, tmp_path / "first" / "adapter"]


def test_any_two_can_be_compared(tmp_path: Path) -> None:
    first, second = (run_folder(tmp_path, name).adapter for name in ("first", "second"))
    policy = fakes.FakePolicy(lambda *_: Completion(THOUGHT, 5))
    models = (Candidate(BASE), Candidate("first", first), Candidate("second", second))
    desk = Desk(Served("live", "live", app_fakes.setup(), ModelBackend(policy), models=models))
    assert "first on the left, second on the right" in desk.choose("first", "second")
    backend = desk.served.backend
    assert isinstance(backend, ModelBackend)
    assert backend.chosen == {"base": "default", "tuned": "second"}
    with backend._side("tuned"):
        assert policy.used == "second"
    with backend._side("base"):
        assert (policy.used, policy.tuned) == ("", True)
    both = desk.worked[0].comparison if desk.worked else None
    assert both is None
    assert desk.names == {"base": "first", "tuned": "second"}
    desk.choose(BASE, "first")
    assert backend.chosen == {"base": "", "tuned": "default"}
    assert desk.names == {"base": "Base model", "tuned": "Fine-tuned model"}
    with pytest.raises(UserError, match="choose two of the models that are listed"):
        desk.choose("third", BASE)


def test_a_replay_has_nothing_to_choose(served: Served) -> None:
    with pytest.raises(UserError, match="choose two"):
        Desk(served).choose(BASE, BASE)


def test_a_folder_becomes_a_grid(tmp_path: Path) -> None:
    desk = Desk(live(base=THOUGHT.replace("6", "4")))
    files = [image_file(tmp_path, f"{n}.png", "red") for n in range(2)]
    (tmp_path / "bad.png").write_text("no image")
    form = Form("classification", app_fakes.settings(), truth="6")
    *_, cells = asked(desk, [*files, str(tmp_path / "bad.png"), "notes.txt"], form, "me")
    assert [cell.kind for cell in cells] == ["different answers", "different answers", "no answer"]
    page = grid_html(cells, "all", 3)
    assert page.count("<li") == 3
    assert "3 of 3: 2 different answers, 1 no answer." in page
    assert grid_html(cells, "no answer", 3).count("<li") == 1
    assert "not a PNG, JPEG or WebP" in page


def test_what_a_grid_shows_is_never_markup(tmp_path: Path) -> None:
    desk = Desk(live(base=f"<answer>{app_fakes.EVIL}</answer>"))
    *_, cells = asked(desk, [image_file(tmp_path, "x.png")],
                      Form("classification", app_fakes.settings()), "me")  # fmt: skip
    assert app_fakes.EVIL not in grid_html(cells, "all", 1)


def test_a_comparison_can_be_copied_as_an_image(tmp_path: Path) -> None:
    desk = Desk(live(base=THOUGHT.replace("6", "4")))
    both = ran(desk, image_file(tmp_path, "x.png", "red"), truth="6")
    drawn = picture(both, ("Base model", "Fine-tuned model"))
    assert drawn.width == WIDE
    colours = {colour for _, colour in drawn.getcolors(1_000_000) or []}
    assert {(107, 114, 128), (42, 98, 201), (255, 0, 0)} <= colours  # grey, blue, and the image
    assert picture_uri(both, ("a", "b")).startswith("data:image/png;base64,")


def test_the_served_checkpoint_may_stand_alone(tmp_path: Path) -> None:
    run = run_folder(tmp_path, "first")
    alone = Checkpoint(run.adapter, fakes.recipe(model={"name": "tiny"}), tmp_path)
    found = candidates(alone, [])
    assert [one.name for one in found] == [BASE, "adapter"]
