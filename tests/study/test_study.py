"""A study: its grid, what is skipped, what fails, what its figures are and what is said of them."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console
from waiting import wait_until

from rftkit.errors import Interrupted, RecipeError, UserError
from rftkit.files import append_line, write_atomically
from rftkit.measures import statistics
from rftkit.metrics import summarise, to_json
from rftkit.metrics.samples import Header, Sample, Timing, header_line, sample_line, timing_line
from rftkit.recipe.builtin import builtin_recipes, builtin_studies, find_study
from rftkit.recipe.toml import dump_recipe, load_recipe
from rftkit.runs.run import RunFolder, is_run
from rftkit.study import broken, contrast, plan_study, read_study, run_study
from rftkit.study.chart import tokens_and_score
from rftkit.study.contrast import Contrast, Pair, Seeded
from rftkit.study.grid import Study, cells, load_study
from rftkit.study.launch import Ended, launch
from rftkit.study.page import to_markdown
from rftkit.study.schema import Setting, Versus
from rftkit.study.words import answer, versus

QUIET = Console(file=io.StringIO())
CHART = "rftkit.study.page.tokens_and_score"
DATA = '[model]\nname = "tiny"\n[data]\nsource = "digits"\n'
Right = Callable[[str, str, int, int], bool]  # data set, style, seed, image


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 300)
    monkeypatch.setattr(CHART, lambda rows: "")  # half of the time that a page takes


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two recipes, `one` and `two`."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(DATA)
    return tmp_path


def study(text: str) -> Path:
    Path("s.toml").write_text(text)
    return Path("s.toml")


ONE = 'recipes = ["one.toml"]\nseeds = [0]\n'
TWO = 'recipes = ["one.toml", "two.toml"]\nseeds = [0, 1]\n'


@dataclass
class Fake:
    """Makes a finished run, or evaluation elsewhere, in place of the process that would.

    right: whether the fine-tuned model is right; the base model always is on image 0 and no other.
    """

    right: Right = lambda dataset, style, seed, image: True
    images: int = 10
    fails: str = "nothing"
    stops: str = "nothing"
    seen: list[list[str]] = field(default_factory=list)

    def __call__(self, words: Sequence[str], console: Console) -> Ended:
        self.seen.append(list(words))
        if words[3] == "rftkit.study.cross_test":
            return self.elsewhere(*map(Path, words[4:]))
        if self.fails in words[7]:
            return Ended(1, "rftkit: pets.csv:3: no such image; fix it")
        overrides = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
        recipe = load_recipe(Path(words[5]), overrides)
        run = RunFolder(Path(words[7]))
        run.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(run.resolved, dump_recipe(recipe))
        if self.stops in words[7]:
            run.set_status("stopped")
            raise Interrupted(signal.SIGINT)
        for step in (1, 2):
            long = 20 if recipe.style == "think" else 2
            append_line(run.metrics, {"step": step, "seconds": 3 * long, "length": long})
        self.write(run.evaluations / "test", Path(words[5]).stem, recipe.style, recipe.seed, True)
        run.set_status("finished")
        return Ended(0, "")

    def elsewhere(self, trained: Path, other: Path, home: Path) -> Ended:
        dataset, style, _, _, seed = trained.name.split("-")
        tested = f"{dataset} on {other.name.split('-')[0]}"
        self.write(home / "test", tested, style, int(seed[4:]), False)
        return Ended(0, "")

    def write(self, folder: Path, dataset: str, style: str, seed: int, base: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        labels = ("0", "1")
        header = Header(task="classification", style="direct", labels=labels, expected=self.images)
        samples = [
            Sample(
                side=side,
                id=f"{image}",
                image=f"{image}.png",
                text="0" if hit else "1",
                gold="0",
                half="base" if image % 2 else "new",
                tokens=20 if style == "think" else 2,
            )
            for side in ("base", "tuned")
            if base or side == "tuned"
            for image in range(self.images)
            for hit in [self.hit(side, dataset, style, seed, image)]
        ]
        timing = Timing(side="tuned", seconds=6.0, samples=self.images, tokens=1)
        lines = [header_line(header), *map(sample_line, samples), timing_line(timing)]
        (folder / "samples.jsonl").write_text("".join(lines))
        from rftkit.metrics.samples import read_samples

        summary = summarise(read_samples(folder / "samples.jsonl"))
        (folder / "summary.json").write_text(to_json(summary))

    def hit(self, side: str, dataset: str, style: str, seed: int, image: int) -> bool:
        if side == "base":
            return image == 0
        return self.right(dataset, style, seed, image)


def names(path: Path) -> list[str]:
    return [cell.name for cell in cells(load_study(path), path)]


def test_the_grid_is_every_combination_one_seed_after_the_other(location: Path) -> None:
    path = study(TWO + 'styles = ["direct", "think"]\nshots = [4, 16]\n')
    found = names(path)
    assert len(found) == len({*found}) == 16
    assert found[:3] == ["one-direct-grpo-4shot-seed0", "one-think-grpo-4shot-seed0",
                         "one-direct-grpo-16shot-seed0"]  # fmt: skip
    assert {name[-5:] for name in found[:8]} == {"seed0"}


def test_changes_come_from_all_then_method_then_style(location: Path) -> None:
    path = study(
        ONE + 'methods = ["sft", "grpo"]\n'
        '[set]\n"method.steps" = 7\nmethod.batch_size = 3\n"data.question" = "x y"\n'
        "[only.sft]\nmethod.batch_size = 9\n[only.direct]\nmethod.batch_size = 5\n"
    )
    found = {
        (c.wanted.method.kind, c.wanted.style): c.wanted for c in cells(load_study(path), path)
    }
    assert {key: recipe.method.batch_size for key, recipe in found.items()} == {
        ("sft", "think"): 9,
        ("sft", "direct"): 5,
        ("grpo", "think"): 3,
        ("grpo", "direct"): 5,
    }
    assert {recipe.method.steps for recipe in found.values()} == {7}
    assert {recipe.data.question for recipe in found.values()} == {"x y"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipe = []", "recipe: unknown key; did you mean 'recipes'?"),
        (ONE + "colour = 1", "colour: unknown key; known: recipes, styles"),
        ("seeds = [0]", "recipes: missing; name at least one recipe"),
        ("recipes = []", "recipes: empty; name at least one"),
        (ONE + "styles = []", "styles: empty; name at least one"),
        (ONE + 'styles = ["silent"]', "styles.0: "),
        (ONE + 'styles = ["think", "think"]', "styles: 'think' is there twice"),
        (ONE + "shots = [-1]", "shots.0: "),
        (ONE + 'shots = "4"', "shots: "),
        (ONE + '[set]\nstyle = "think"', "set: 'style' varies with `styles`"),
        (ONE + "[set]\ndata.shots = 4", "set: 'data.shots' varies with `shots`"),
        (ONE + "[only.fast]\nx = 1", "only: 'fast' is no style or method; known: think"),
        (ONE + "[set]\nx = 1979-05-27", "set: 'x': "),
        (ONE + "[set]\nmethod.stepps = 4", "method.stepps: unknown key; did you mean 'steps'?"),
        ('recipes = ["thre"]', "thre: neither a file nor a built-in recipe"),
        ('recipes = ["one.toml", "one.toml"]', "'one.toml' is there twice"),
        ('recipes = ["one.toml", "./one.toml"]', "two are called 'one'"),
        ("recipes = [", "not valid TOML"),
        (ONE + '[set]\nmethod.length = "sigmoid"', "style 'think', seed 0: one.toml: "),
        (TWO + 'tested_on = "all"\n[set]\nmodel.name = "tiny"\n', ""),
        (ONE + 'tested_on = "all"', "tested_on: no two recipes share task and model"),
    ],
)
def test_a_study_that_cannot_work_is_refused_before_it_starts(
    location: Path, text: str, said: str
) -> None:
    path = study(text)
    if not said:
        assert len(plan_study(path, location / "out")) == 8
        return
    with pytest.raises(RecipeError) as caught:
        run_study(path, location / "out", QUIET, "", Fake())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (location / "out").exists()


def test_a_style_that_a_recipe_forbids_is_named(location: Path) -> None:
    text = DATA + '[method.length]\nkind = "per_token"\n'
    (location / "one.toml").write_text(text)
    load_recipe(Path("one.toml"))
    with pytest.raises(RecipeError, match=r"style 'direct', seed 0: one\.toml: method\.length"):
        plan_study(study(ONE), location / "out")


def test_what_is_done_is_skipped_and_what_began_goes_on(location: Path) -> None:
    path, out = study(ONE), location / "out"
    stopping = Fake(stops="direct")
    with pytest.raises(Interrupted) as caught:
        run_study(path, out, QUIET, "rftkit study s.toml", stopping)
    assert str(caught.value) == "stopped; continue with: rftkit study s.toml"
    assert caught.value.exit_code == 130
    assert plan_study(path, out) == [
        ("one-think-grpo-allshot-seed0", "done"),
        ("one-direct-grpo-allshot-seed0", "begun"),
    ]
    assert read_study(out / "study.html").finished == 1
    again = Fake()
    page = run_study(path, out, QUIET, "", again)
    assert [words[7].rsplit("/")[-1] for words in again.seen] == ["one-direct-grpo-allshot-seed0"]
    assert again.seen[0][-1] == "--resume"
    assert "--resume" not in stopping.seen[0]
    assert read_study(page).finished == 2
    assert not (out / "lock").exists()
    third = Fake()
    run_study(path, out, QUIET, "", third)
    assert third.seen == []


def test_the_base_of_a_finished_cell_is_offered_to_the_next_of_its_kind(location: Path) -> None:
    running = Fake()
    text = 'recipes = ["one.toml"]\nstyles = ["direct"]\nshots = [1, 2]\nseeds = [0, 1]\n'
    run_study(study(text), location / "out", QUIET, "", running)
    given = [words[words.index("--base-from") + 1] if "--base-from" in words else ""
             for words in running.seen]  # fmt: skip
    cell = str(location / "out/one-direct-grpo-{}shot-seed{}")
    assert given == ["", cell.format(1, 0), cell.format(1, 0), cell.format(1, 1)]


def test_a_run_of_another_recipe_is_refused_with_what_differs(location: Path) -> None:
    out, idle = location / "out", Fake()
    run_study(study(ONE + "[set]\nmethod.steps = 5\n"), out, QUIET, "", Fake())
    with pytest.raises(
        RecipeError, match=r"seed0: made by another recipe: method\.steps is 6, was 5;"
    ):
        run_study(study(ONE + "[set]\nmethod.steps = 6\n"), out, QUIET, "", idle)
    assert idle.seen == []


def test_a_run_that_fails_is_named_and_the_others_go_on(location: Path) -> None:
    path, out, failing = study(TWO), location / "out", Fake(fails="one-think-grpo-allshot-seed0")
    page = run_study(path, out, QUIET, "rftkit study s.toml", failing)
    found = read_study(page)
    assert (len(failing.seen), found.finished, found.cells) == (8, 7, 8)
    assert [(f.cell, f.error) for f in found.failures] == [
        ("one-think-grpo-allshot-seed0", "pets.csv:3: no such image; fix it")
    ]
    assert "Failed: one-think-grpo-allshot-seed0: pets.csv:3" in page.read_text()
    assert broken(found).endswith("fix it; to try again: rftkit study s.toml")
    compared = [v for v in found.versus if v.setting.dataset == "one"]
    assert [[s.seed for s in v.contrast.seeds] for v in compared] == [[1]]
    mended = read_study(run_study(path, out, QUIET, "", Fake()))
    assert (mended.finished, mended.failures, broken(mended)) == (8, (), "")


def test_a_strangers_study_json_steers_no_terminal_and_odd_values_are_one_line(
    location: Path,
) -> None:
    page = run_study(study(ONE), location / "out", QUIET, "", Fake(thinking))
    file = location / "out" / "study.json"
    held = json.loads(file.read_text())
    evil = "x\x1b]0;own\x07\x9b31m\n# y"
    held["name"] += evil
    held["answer"] = [evil]
    held["failures"] = [{"cell": evil, "error": evil}]
    for row in held["rows"]:
        row["style"] += evil
        row["setting"]["dataset"] = row["setting"]["method"] = evil
    file.write_text(json.dumps(held))
    told = to_markdown(read_study(page))
    assert {c for c in told if not c.isprintable()} == {"\n"}
    shown = r"x\x1b]0;own\x07\x9b31m # y"
    assert told.count(shown) == 3 + 1 + 2 * 2 + 1
    assert f"\n- failed: {shown}: {shown}\n" in told
    held["rows"][0]["gain"]["verdict"] = "grand"
    file.write_text(json.dumps(held))
    with pytest.raises(UserError) as caught:
        read_study(page)
    assert str(caught.value) == (
        f"{file}: cannot be read (rows.0.gain.verdict: Input should be 'better', 'worse' or "
        "'no difference detected'); delete it, and `rftkit study` writes it anew"
    )


def test_a_cell_is_run_as_a_user_would_type_it(location: Path) -> None:
    fake = Fake()
    run_study(study(ONE), location / "out", QUIET, "", fake)
    assert fake.seen[0] == [
        *(sys.executable, "-P", "-m", "rftkit", "train", "one.toml"),
        *("--out", str(location / "out" / "one-think-grpo-allshot-seed0")),
        *("--set", 'style="think"', "--set", "seed=0"),
    ]


def thinking(dataset: str, style: str, seed: int, image: int) -> bool:
    """Thinking is worth 40 points on data set one, and nothing on two."""
    return image < (80 if style == "think" and dataset == "one" else 40)


def test_figures_are_those_of_the_samples(location: Path) -> None:
    page = run_study(study(TWO), location / "out", QUIET, "", Fake(thinking, 100))
    found = read_study(page)
    row = next(r for r in found.rows if (r.setting.dataset, r.style) == ("one", "think"))
    assert (row.after.value, row.before.value) == (0.8, 0.01)
    assert row.gain.value == pytest.approx(0.79)
    assert [s.value for s in row.after.seeds] == [0.8, 0.8]
    assert row.after.method == "bootstrap by image"
    assert row.after.low == pytest.approx(0.72, abs=0.02)  # of 100 images, not of 200
    assert (row.tokens_after, row.train_minutes, row.test_minutes) == (20, 2.0, 0.1)
    assert row.train_tokens == 40 * 4 * 8
    assert row.halves_after is not None
    assert row.halves_after.harmonic.value == pytest.approx(0.8)
    assert row.halves_before is not None
    assert row.halves_before.harmonic.value == 0
    assert found.minutes == pytest.approx(4 * (2.0 + 0.1) + 4 * (0.2 + 0.1))


def test_thinking_minus_direct_is_paired_and_corrected(location: Path) -> None:
    found = read_study(run_study(study(TWO), location / "out", QUIET, "", Fake(thinking, 100)))
    one, two = found.versus
    assert (one.setting.dataset, two.setting.dataset) == ("one", "two")
    assert one.contrast.value == pytest.approx(0.4)
    assert (one.contrast.won, one.contrast.lost, one.contrast.pairs) == (80, 0, 200)
    assert one.contrast.images == 100
    assert one.contrast.low == pytest.approx(0.30, abs=0.02)
    assert one.contrast.p < 0.001
    assert one.contrast.p_holm == pytest.approx(2 * one.contrast.p)
    assert (two.contrast.value, two.contrast.p, two.contrast.p_holm) == (0, 1, 1)
    assert two.contrast.low < 0 < two.contrast.high
    assert (one.times_tokens, one.times_minutes) == (10, 10)
    assert found.answer[0] == (
        "Of 2 comparisons, thinking helps in 1, hurts in 0, "
        "and in 1 no significant difference was found."
    )
    assert found.answer[1].startswith("Thinking helps on one (grpo, all images): +40.0 points")
    assert found.answer[2].startswith("No significant difference between think and direct on two")


def test_the_page_holds_what_the_json_says(location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHART, tokens_and_score)
    path = study(TWO + 'tested_on = "all"\n')
    page = run_study(path, location / "out", QUIET, "rftkit study s.toml", Fake(thinking, 100))
    text, found = page.read_text(), read_study(page)
    shown = re.sub(r"<[^>]+>", "", text)
    for line in found.answer:
        assert line in shown
    for row in found.rows:
        assert f"{100 * row.after.value:.1f} %" in shown
        assert f"{100 * row.after.low:.1f}–{100 * row.after.high:.1f}" in shown
    assert text.count("<svg") == 1
    assert "Free lunch" in text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert text.count("<h2>one</h2>") == 1
    markdown = to_markdown(found)
    assert "| think | grpo | all images | 1.0 % | 80.0 %" in markdown


def test_the_free_lunch_matrix_is_gain_over_the_base_model(location: Path) -> None:
    def right(dataset: str, style: str, seed: int, image: int) -> bool:
        return image < {"one": 90, "two": 60, "one on two": 31, "two on one": 1}[dataset]

    path, out, fake = study(TWO + 'tested_on = "all"\n'), location / "out", Fake(right, 100)
    found = read_study(run_study(path, out, QUIET, "", fake))
    gains = {
        (c.trained_on, c.tested_on): round(c.gain.value, 6)
        for c in found.crossed
        if c.style == "think"
    }
    assert gains == {
        ("one", "one"): 0.89,
        ("one", "two"): 0.3,
        ("two", "one"): 0.0,
        ("two", "two"): 0.59,
    }
    crossed = [words for words in fake.seen if words[3] == "rftkit.study.cross_test"]
    assert len(crossed) == 8  # 2 orders × 2 styles × 2 seeds
    again = Fake(right, 100)
    run_study(path, out, QUIET, "", again)
    assert again.seen == []


def test_one_style_alone_is_compared_with_nothing(location: Path) -> None:
    page = run_study(study(ONE + 'styles = ["think"]\n'), location / "out", QUIET, "", Fake())
    found = read_study(page)
    assert (found.versus, found.answer, found.crossed) == ((), (), ())
    text = page.read_text()
    assert "minus direct" not in text
    assert "Does thinking help" not in text
    assert "Free lunch" not in text


def test_one_seed_has_the_interval_of_its_own_report(location: Path) -> None:
    out = location / "out"
    found = read_study(run_study(study(ONE), out, QUIET, "", Fake(thinking, 100)))
    summary = json.loads(
        (out / "one-think-grpo-allshot-seed0" / "eval" / "test" / "summary.json").read_text()
    )
    after = found.rows[0].after
    own = summary["tuned"]["accuracy"]
    assert (round(after.low, 6), round(after.high, 6)) == (own["low"], own["high"])
    gain, difference = found.rows[0].gain, summary["difference"]
    assert (round(gain.low, 6), round(gain.high, 6)) == (difference["low"], difference["high"])
    assert round(gain.minimum_detectable_effect, 6) == difference["minimum_detectable_effect"]
    assert round(gain.p, 6) == difference["mcnemar_exact"]


def gap(image: int, before: float, after: float, seed: int = 0) -> Pair:
    return Pair(seed, f"{image}.png", before, after)


def test_few_moved_images_have_the_honest_interval() -> None:
    pairs = [gap(n, 0, 1) for n in range(6)] + [gap(n, 1, 0) for n in range(6, 8)]
    pairs += [gap(n, 1, 1) for n in range(8, 50)]
    found = contrast.contrast(pairs)
    assert found is not None
    known = statistics.paired_adjusted(2, 6, 50)
    assert (found.value, found.low, found.high) == pytest.approx(
        (known.difference, *known.interval)
    )
    assert found.p == pytest.approx(0.289063, abs=1e-6)


def test_a_second_seed_on_the_same_images_is_no_second_sample() -> None:
    once = [gap(n, 0, float(n < 60)) for n in range(200)]
    twice = once + [pair._replace(seed=1) for pair in once]
    one, two = contrast.contrast(once), contrast.contrast(twice)
    assert one is not None
    assert two is not None
    assert (two.value, two.images, two.pairs) == (0.3, 200, 400)
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.1)
    assert two.minimum_detectable_effect == one.minimum_detectable_effect


def test_sign_flips_count_as_the_exact_test_does() -> None:
    shares = [1.0] * 6 + [0.0] * 14
    assert statistics.sign_flips(shares, 0) == pytest.approx(2 / 64, abs=0.006)
    assert statistics.sign_flips([0.0, 0.0], 0) == 1
    assert statistics.sign_flips([0.5, -0.5], 0) == 1


def test_a_perfect_score_over_seeds_still_has_an_interval() -> None:
    samples = [
        Sample(side="tuned", id=str(n), image=str(n), text="a", gold="a", correct=1.0)
        for n in range(20)
    ]
    found = contrast.mean({0: samples, 1: samples})
    assert (found.value, found.high, found.method) == (1, 1, "Wilson by image")
    assert found.low == pytest.approx(0.8389, abs=1e-4)  # 20 of 20, not 40 of 40


def compared(low: float, high: float, holm: float = 0.01, seeds: Sequence[float] = ()) -> Versus:
    value = (low + high) / 2
    verdict = "better" if low > 0 else "worse" if high < 0 else "no difference detected"
    found = Contrast(
        value=value, low=low, high=high, method="", images=9, pairs=9, lost=0, won=0, p=0.01,
        p_holm=holm, minimum_detectable_effect=0.07, verdict=verdict,
        seeds=tuple(Seeded(seed=n, value=v) for n, v in enumerate(seeds)),
    )  # fmt: skip
    setting = Setting(dataset="pets", method="grpo", shots=4)
    one = Versus(
        setting=setting, style="think", contrast=found, times_tokens=6.0, times_minutes=None,
        words="",
    )  # fmt: skip
    return one.model_copy(update={"words": versus(one, 3)})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            compared(0.01, 0.09),
            "Thinking helps on pets (grpo, 4 shots): +5.0 points (95 % interval +1.0 to +9.0); "
            "it takes 6.0 times the tokens per reply.",
        ),
        (
            compared(-0.09, -0.01),
            "Thinking hurts on pets (grpo, 4 shots): −5.0 points (95 % interval −9.0 to −1.0); "
            "it takes 6.0 times the tokens per reply.",
        ),
        (
            compared(-0.01, 0.11),
            "No significant difference between think and direct on pets (grpo, 4 shots) (minimum "
            "detectable effect 7.0 points): +5.0 points (95 % interval −1.0 to +11.0); "
            "it takes 6.0 times the tokens per reply.",
        ),
    ],
)
def test_the_words_follow_the_interval(found: Versus, said: str) -> None:
    assert answer([found]) == (said,)


def test_the_words_warn_of_chance_and_of_seeds_that_disagree() -> None:
    assert "[" not in compared(0.01, 0.09, 0.05, [0.1, 0.02]).words
    doubtful = compared(0.01, 0.09, 0.2, [0.12, -0.02]).words
    assert "[not significant among 3 comparisons, Holm p 0.20; single seeds point both ways]" in (
        doubtful
    )
    assert answer([compared(0.01, 0.09), compared(-0.09, -0.01), compared(-0.1, 0.1)])[0] == (
        "Of 3 comparisons, thinking helps in 1, hurts in 1, "
        "and in 1 no significant difference was found."
    )


def test_a_process_is_shown_and_its_last_line_kept() -> None:
    console = Console(file=io.StringIO(), width=20)
    code = "import sys; print('out'); print('a' * 50, file=sys.stderr); sys.exit('rftkit: b[c]')"
    assert launch([sys.executable, "-c", code], console) == Ended(1, "rftkit: b[c]")
    assert console.file.getvalue() == f"  {'a' * 50}\n  rftkit: b[c]\n"  # type: ignore[attr-defined]


def test_a_signal_is_passed_on_once_and_stops_the_study() -> None:
    code = (
        "import os, signal, sys, time\n"
        "def stop(*_): print('saved', file=sys.stderr); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(120)"
    )
    console = Console(file=io.StringIO())
    with pytest.raises(Interrupted) as caught:
        launch([sys.executable, "-c", code], console)
    assert caught.value.number == signal.SIGINT
    assert "saved" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no process of it")
def test_a_run_is_stopped_when_its_study_is_killed(tmp_path: Path) -> None:
    run = (
        "import os, pathlib, signal, time\n"
        "def stop(*_): pathlib.Path('saved').touch(); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path('begun').touch()\n"
        "while not pathlib.Path('given-up').exists(): time.sleep(0.01)"
    )
    study = (
        "import sys\nfrom rich.console import Console\nfrom rftkit.study.launch import launch\n"
        f"launch([sys.executable, '-c', {run!r}], Console(quiet=True))"
    )
    with subprocess.Popen([sys.executable, "-c", study], cwd=tmp_path) as process:
        try:
            wait_until((tmp_path / "begun").exists, process)
            process.kill()
            process.wait()
            until = time.monotonic() + 60
            while not (tmp_path / "saved").exists() and time.monotonic() < until:
                time.sleep(0.01)
            assert (tmp_path / "saved").exists()
        finally:
            (tmp_path / "given-up").touch()


def test_a_run_that_another_process_works_in_is_waited_for(location: Path) -> None:
    folder = location / "out" / "one-think-grpo-allshot-seed0"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        lock = folder / "lock"
        lock.write_text(f"{other.pid} {socket.gethostname()}")
        said, started = io.StringIO(), list[bool]()

        def launched(words: Sequence[str], console: Console) -> Ended:
            started.append(lock.exists())
            return Ended(1, "no model here")

        class Told(io.StringIO):
            def write(self, text: str) -> int:
                if "waiting" in text:
                    lock.unlink()
                return said.write(text)

        run_study(study(ONE), location / "out", Console(file=Told(), width=300), "", launched)
        other.communicate(b"\n")
    line = f"in use by process {other.pid} on {socket.gethostname()}; waiting for it"
    assert said.getvalue().count(line) == 1
    assert started[0] is False


def test_studies_are_no_recipes() -> None:
    assert "does_thinking_help_tiny" in builtin_studies()
    assert not [name for name in builtin_recipes() if "thinking" in name]
    for given in ("does_thinking_help_tiny", "recipes/studies/does_thinking_help_tiny.toml"):
        assert find_study(Path(given)).name == "does_thinking_help_tiny.toml"
    with pytest.raises(RecipeError, match="did you mean 'does_thinking_help_tiny'"):
        find_study(Path("does_thinking_help"))


@pytest.mark.parametrize("path", builtin_studies().values(), ids=builtin_studies())
def test_every_built_in_study_can_be_run(path: Path, tmp_path: Path) -> None:
    assert {state for _, state in plan_study(path, tmp_path)} == {"to do"}
    assert not is_run(tmp_path)


def test_the_guide_shows_a_study_that_works_and_names_every_key(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "study.md").read_text("utf-8")
    example = guide.split("```text\n")[1].split("```")[0]
    path = tmp_path / "mine.toml"
    path.write_text(example.replace("recipes/tiny_hangar.toml", "tiny_hangar"))
    assert len(plan_study(path, tmp_path / "out")) == 18
    assert [key for key in Study.model_fields if f"| `{key}` |" not in guide] == []
