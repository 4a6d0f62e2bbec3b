"""The model card says what was measured, how it is used and under whose terms; no file's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from effort import assert_effort
from huggingface_hub import ModelCard, constants

from rftkit.errors import ModelError
from rftkit.publish import contents
from rftkit.publish.card import card_text, sections
from rftkit.publish.licence import UNKNOWN, licence_of
from rftkit.publish.usage import program_of
from rftkit.runs import model_card
from rftkit.runs.run import RunFolder
from rftkit.tasks import get_task

REPO = "anna/pets-lora"


def card_of(run: RunFolder, licence: str = "") -> str:
    return card_text(contents.find(run.folder), REPO, licence)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a page's tables, by the first of each line."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_a_card_has_both_models_by_both_ways_of_answering_with_intervals(pets: RunFolder) -> None:
    found = rows(sections(ModelCard(card_of(pets)).text)["Results"])
    assert found["accuracy, free reply (headline)"] == [
        "50.0 % (21.5–78.5)",
        "75.0 % (40.9–92.9)",
    ]
    assert found["accuracy, by the list"] == ["62.5 % (30.6–86.3)", "87.5 % (52.9–97.8)"]
    assert found["invalid replies"] == ["0.0 % (0.0–32.4)", "0.0 % (0.0–32.4)"]
    assert [cell.split(" %")[0] for cell in found["calibration error"]] == ["32.3", "7.3"]
    assert len(found["calibration error after temperature"]) == 2


def test_the_hub_reads_the_results_off_its_front_matter(pets: RunFolder) -> None:
    data = ModelCard(card_of(pets)).data
    assert [(r.metric_type, r.metric_value) for r in data.eval_results] == [
        ("accuracy", 0.75), ("accuracy", 0.875),
    ]  # fmt: skip
    assert data.eval_results[0].metric_name == ("accuracy, free reply: 75.0 % (40.9–92.9), n = 8")
    assert (data.model_name, data.base_model) == ("pets-lora", "Acme/Tiny-VL")
    assert data.tags == ["rftkit", "lora", "grpo", "classification"]
    assert data.datasets is None


def test_a_card_says_what_it_was_trained_on_and_what_is_not_known(pets: RunFolder) -> None:
    parts = sections(ModelCard(card_of(pets)).text)
    training = rows(parts["Training"])
    assert training["training images"] == ["4 of 30, 2 per class"]
    assert training["data"] == ["images of the author's own (`csv`)"]
    assert training["reply style"] == ["direct"]
    assert "calibrated on 3 held-out images" in parts["Results"]
    assert "divided by 1.25" in parts["Results"]
    limits = parts["Limits"]
    assert "It answers with one of its labels, whatever an image shows." in limits
    assert "No difference from the base model was detected; a test of 8 would show" in limits


def test_a_card_names_no_file_and_no_folder_of_the_author(pets: RunFolder) -> None:
    text = card_of(pets)
    assert [
        word for word in ("anna/secret", "secret", "scans", "pets.csv", ".jpg\n") if word in text
    ] == []


def test_of_a_base_in_a_folder_the_card_has_the_name_alone(pets: RunFolder) -> None:
    for file in (pets.resolved, pets.adapter / "README.md"):
        file.write_text(
            file.read_text("utf-8").replace("Acme/Tiny-VL@v1", "/home/anna/my models/vl")
        )
    text = card_of(pets)
    assert "The base was a folder called `vl` on the author's machine." in text
    assert "BASE, ADAPTER = 'vl', 'anna/pets-lora'\n" in text
    assert "my models" not in sections(ModelCard(text).text)["Use it"]
    assert ModelCard(text).data.base_model is None


def test_a_card_says_how_each_program_uses_the_adapter(pets: RunFolder) -> None:
    use = sections(ModelCard(card_of(pets)).text)["Use it"]
    assert "hf download anna/pets-lora --local-dir pets-lora" in use
    assert "rftkit predict photo.jpg --ckpt pets-lora\n" in use
    assert "BASE, ADAPTER = 'Acme/Tiny-VL', 'anna/pets-lora'\n" in use
    served = "vllm serve Acme/Tiny-VL --enable-lora --max-lora-rank 8"
    assert f"{served} --lora-modules pets-lora=anna/pets-lora" in use
    assert "### Ollama" in use
    assert "rftkit export pets-lora --to ollama" in use
    assert "It reads the answer and scores the list:" in use
    code = use.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert "Which pet?" in code


def test_what_a_user_wrote_into_the_card_stays_and_a_push_does_not_add_up(pets: RunFolder) -> None:
    readme = pets.adapter / "README.md"
    readme.write_text(readme.read_text("utf-8") + "\n## Thanks\n\nTo the vet.\n", "utf-8")
    once = card_of(pets)
    assert sections(ModelCard(once).text)["Thanks"].strip() == "To the vet."
    readme.write_text(once, "utf-8")
    assert card_of(pets) == once


def test_an_adapter_that_was_downloaded_keeps_its_figures(pets: RunFolder, tmp_path: Path) -> None:
    alone = tmp_path / "downloaded"
    shutil.copytree(pets.adapter, alone)
    once = card_of(pets)
    (alone / "README.md").write_text(once, "utf-8")
    assert card_text(contents.find(alone), REPO) == once


def test_an_export_keeps_what_its_exporter_says_of_its_use(pets: RunFolder, exported: Path) -> None:
    text = card_text(contents.find(pets.folder, exported), REPO)
    parts = sections(ModelCard(text).text)
    assert parts["Use it"].strip() == "As others."
    assert rows(parts["Results"])["accuracy, by the list"][1].startswith("87.5 %")
    (exported / "README.md").unlink()
    use = sections(ModelCard(card_text(contents.find(pets.folder, exported), REPO)).text)["Use it"]
    assert "vllm serve anna/pets-lora\n" in use
    assert "ollama run hf.co/anna/pets-lora\n" in use


def test_an_export_without_its_run_is_pushed_with_its_own_card(exported: Path) -> None:
    card = ModelCard(card_text(contents.find(exported), REPO))
    assert [*sections(card.text)] == ["", "Licence", "Use it"]
    assert (card.data.license, card.data.library_name) == ("mit", "transformers")


def test_without_an_evaluation_a_card_says_so(pets: RunFolder) -> None:
    (pets.evaluations / "test" / "summary.json").unlink()
    card = ModelCard(card_of(pets))
    assert sections(card.text)["Results"].strip() == "Not evaluated on held-out images."
    assert card.data.eval_results is None


def test_the_licence_is_that_of_the_bases_card_in_the_cache(
    pets: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert "license" not in ModelCard(card_of(pets)).data.to_dict()
    assert UNKNOWN.capitalize() in card_of(pets)
    _in_cache(tmp_path / "cache", "license: other\nlicense_name: acme\nlicense_link: https://a.b/c")
    data = ModelCard(card_of(pets)).data
    assert (data.license, data.license_name, data.license_link) == (
        "other",
        "acme",
        "https://a.b/c",
    )
    assert "Other (acme), <https://a.b/c>, that of the base model." in card_of(pets)
    assert ModelCard(card_of(pets, "apache-2.0")).data.license == "apache-2.0"


def test_a_local_bases_own_card_is_read_and_a_name_that_leads_nowhere_is_unknown(
    tmp_path: Path,
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    nowhere = tmp_path / "none.md"
    assert licence_of(str(tmp_path), nowhere).id == "mit"
    assert licence_of("not/a/hub/id", nowhere).words == UNKNOWN
    assert licence_of("tiny", nowhere).id == "apache-2.0"


@pytest.mark.parametrize(("head", "reason"), [
    ("x: *nope", 'its YAML cannot be read (found undefined alias \'nope\' in "<unicode string>", '
                 "line 1, column 4: x: *nope ^); mend it or remove the file"),
    ("x: " + "a" * 200_000, "200,003 characters between its first two lines of ---, above "
                            "200,000; shorten it or remove the file"),
])  # fmt: skip
def test_a_bases_card_that_cannot_be_read_is_one_line(
    head: str, reason: str, tmp_path: Path
) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"---\n{head}\n---\n")
    with pytest.raises(ModelError) as caught:
        licence_of(str(tmp_path), tmp_path / "none.md")
    assert str(caught.value) == f"{card}: {reason}, or name the licence with --license"
    assert licence_of(str(tmp_path), card, "mit").id == "mit"


@pytest.mark.parametrize("declared", ["[]", "5", "{a: b}", "[[mit]]", "''", "2020-01-01"])
def test_a_licence_that_is_no_text_is_unknown(declared: str, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"---\nlicense: {declared}\nlicense_name: [1]\n---\n")
    assert licence_of("not/a/hub/id", card).words == UNKNOWN


def test_a_long_card_takes_no_longer_than_its_length() -> None:
    lines, fences = "\n" * 400_000, "```python\n" * 100_000
    assert_effort(150, sections, lines)
    assert sections(lines) == {"": lines}
    assert_effort(50, program_of, fences)
    assert program_of(fences) == ""
    assert program_of(f"a\n{fences}```\n```\n") == f"{fences}```"


def test_a_heading_in_a_block_of_code_begins_no_section() -> None:
    page = "head\n## A\n```bash\n## no\n```\n## B\nb\n"
    assert sections(page) == {"": "head\n", "A": "```bash\n## no\n```\n", "B": "b\n"}


def _in_cache(cache: Path, front: str) -> None:
    """The base's card at the revision of the recipe, as the hub's client keeps it."""
    model = cache / "models--Acme--Tiny-VL"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "v1").write_text("c0ffee")
    (model / "snapshots" / "c0ffee").mkdir(parents=True)
    (model / "snapshots" / "c0ffee" / "README.md").write_text(f"---\n{front}\n---\n")


@pytest.mark.parametrize(
    ("name", "does", "title"),
    [
        ("classification", "reads the answer and scores the list", "labels"),
        ("detection", "reads the answer and draws its boxes", "categories"),
        ("number", "reads the answer", "kinds of question"),
    ],
)
def test_a_card_says_of_a_task_what_holds_for_it(name: str, does: str, title: str) -> None:
    task = get_task(name)
    assert model_card.what_predict_does(task) == does
    assert model_card.labels_title(task, ["one", "all"]) == title
    assert model_card.labels_title(task, []) == "labels"
