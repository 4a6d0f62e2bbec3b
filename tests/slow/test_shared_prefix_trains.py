"""Shared prefixes give what TRL's own path gives: on tiny models of every architecture, in fp32."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig, set_seed
from vlm_batches import (
    END,
    IMAGE,
    KINDS,
    PAD,
    QWEN,
    START,
    VIDEO,
    Ask,
    Batch,
    batch_of,
    tiny_model,
)

from rftkit.models import loading
from rftkit.shared_prefix.decoding import shared_prefill
from rftkit.shared_prefix.feature_cache import FeatureCache
from rftkit.shared_prefix.forward import LogpOptions
from rftkit.shared_prefix.groups import images_of_rows
from rftkit.shared_prefix.kv_cache import BlockLayer
from rftkit.shared_prefix.logps import Batch as TrlBatch
from rftkit.shared_prefix.logps import BatchLogps, answer_logps, shared_logps
from rftkit.shared_prefix.supported import encoder_is_frozen, unsupported
from rftkit.shared_prefix.trainer import obstacle, shared_prefix_trainer

pytestmark = pytest.mark.slow

TEMPERATURE = 0.9
THREE = (Ask(3, 5, (4, 4), (1, 4, 7)), Ask(2, 6, (2, 4), (5, 3)), Ask(4, 2, (4, 2), (2, 6, 6)))
SHUFFLED = (3, 0, 7, 1, 4, 2, 5, 6)
ONE = (Ask(3, 5, (4, 4), (3, 6, 1, 9)),)


def ours(model: Any, batch: Batch, **how: Any) -> BatchLogps:
    return shared_logps(model, TrlBatch(*batch), LogpOptions(TEMPERATURE, **how))


def theirs(model: Any, batch: Batch, temperature: float = TEMPERATURE) -> BatchLogps:
    """TRL's own method, on a stand-in for the trainer that holds what it reads."""
    from trl import GRPOTrainer

    trainer: Any = SimpleNamespace(
        model_kwarg_keys={"logits_to_keep"},
        temperature=temperature,
        _entropy_bonus_enabled=False,
        use_liger_kernel=False,
    )
    trainer._full_logits_logps = MethodType(GRPOTrainer._full_logits_logps, trainer)
    found = GRPOTrainer._get_per_token_logps_and_entropies(
        trainer, model, *batch[:3], compute_entropy=True, **batch.inputs
    )
    return BatchLogps(found[0], found[1])


def gradients(model: Any, logps: Tensor) -> list[Tensor]:
    """Of a loss that weighs every token differently."""
    weights = torch.linspace(-1, 1, logps.numel()).reshape(logps.shape)
    wanted = [weight for weight in model.parameters() if weight.requires_grad]
    return list(torch.autograd.grad((logps * weights).sum(), wanted))


def assert_same_gradients(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    largest = max(float(one.abs().max()) for one in expected)
    assert largest > 0.1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * largest)


def close(found: Tensor, expected: Tensor, within: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=within)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str) -> Any:
    return tiny_model(kind)


@pytest.mark.parametrize(
    ("asks", "order"), [(ONE, range(4)), (THREE, SHUFFLED)], ids=["one group", "three, shuffled"]
)
def test_scores_and_gradients_are_trls(
    kind: str, model: Any, asks: Sequence[Ask], order: Sequence[int]
) -> None:
    batch = batch_of(kind, asks, order)
    found, expected = ours(model, batch, entropy=True), theirs(model, batch)
    assert expected.logps.std() > 1  # neither uniform nor certain: a mistake would show
    close(found.logps, expected.logps)
    close(found.entropies, expected.entropies)  # type: ignore[arg-type]
    assert_same_gradients(gradients(model, found.logps), gradients(model, expected.logps))


def test_a_completion_does_not_see_its_neighbour(kind: str, model: Any) -> None:
    batch = batch_of(kind, ONE, range(4))
    changed = batch.ids.clone()
    changed[1, -batch.reply :] = (changed[1, -batch.reply :] + 7) % 70 + 2
    before, after = (
        ours(model, batch.with_ids(ids)).logps.detach() for ids in (batch.ids, changed)
    )
    assert (before[1] - after[1]).abs().max() > 0.1
    close(after[[0, 2, 3]], before[[0, 2, 3]], 1e-6)


def test_the_image_is_part_of_the_prompt(kind: str, model: Any) -> None:
    """Equal text below two images of one size: two groups, each with its own image."""
    batch = batch_of(kind, (Ask(3, 5, (4, 4), (4, 4)), Ask(3, 5, (4, 4), (4, 4))), (0, 2, 1, 3))
    same = batch.ids[:1].expand_as(batch.ids).contiguous()
    batch = batch.with_ids(same)
    found = ours(model, batch).logps
    assert (found[0] - found[1]).abs().max() > 1e-3
    close(found, theirs(model, batch).logps)


@pytest.mark.parametrize("kind", QWEN)
def test_an_even_image_wide_and_high(kind: str) -> None:
    """The patches are equal and so are the prompts; the positions are not."""
    model = tiny_model(kind)
    batch = batch_of(kind, (Ask(3, 5, (2, 4), (4, 4)), Ask(3, 5, (4, 2), (4, 4))), range(4))
    inputs = {**batch.inputs, "pixel_values": torch.ones_like(batch.inputs["pixel_values"])}
    ids = batch.ids[:1].expand_as(batch.ids).contiguous()
    batch = batch.with_ids(ids)._replace(inputs=inputs)
    close(ours(model, batch).logps, theirs(model, batch).logps)


def test_groups_may_be_cut_into_smaller_forwards(kind: str, model: Any) -> None:
    batch = batch_of(kind, THREE, SHUFFLED)
    whole = ours(model, batch, entropy=True)
    for most in (1, 2, 5):
        parts = ours(model, batch, entropy=True, rows_at_once=most)
        close(parts.logps, whole.logps)
        close(parts.entropies, whole.entropies)  # type: ignore[arg-type]


def test_masked_completions_score_nothing_and_cost_no_gradient(kind: str, model: Any) -> None:
    batch = batch_of(kind, THREE, SHUFFLED)
    mask = batch.mask.clone()
    mask[:4, -batch.reply :] = 0
    some = ours(model, batch._replace(mask=mask)).logps
    assert some[:4].abs().max() == 0
    close(some[4:], ours(model, batch).logps[4:])
    mask[:, -batch.reply :] = 0
    none = ours(model, batch._replace(mask=mask)).logps
    assert all(float(grad.abs().max()) == 0 for grad in gradients(model, none))


def test_a_prompt_without_a_image(kind: str, model: Any) -> None:
    batch = batch_of(kind, THREE, SHUFFLED)
    ids = batch.ids.where(batch.ids != IMAGE, 50)
    batch = batch.with_ids(ids)._replace(inputs={})
    close(ours(model, batch).logps, theirs(model, batch).logps)


def test_with_eager_attention(kind: str, model: Any) -> None:
    batch = batch_of(kind, THREE, SHUFFLED)
    expected = theirs(model, batch).logps
    model.set_attn_implementation("eager")
    try:
        close(ours(model, batch).logps, expected)
    finally:
        model.set_attn_implementation("sdpa")


def test_with_an_adapter_on_and_off_under_gradient_checkpointing(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    where = r".*(visual|vision_model|language_model|text_model).*\.(qkv|q_proj|v_proj|up_proj|fc1)"
    model = get_peft_model(tiny_model(kind), LoraConfig(target_modules=where, r=4))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    batch = batch_of(kind, THREE, SHUFFLED)
    plain = gradients(model, theirs(model, batch).logps)
    model.train()
    model.enable_input_require_grads()
    model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
    found = ours(model, batch).logps
    assert_same_gradients(gradients(model, found), plain)
    with torch.no_grad(), model.disable_adapter():
        off = ours(model, batch).logps
        close(off, theirs(model, batch).logps)
    assert (off - found).abs().max() > 0.01


def test_entropy_passes_gradient_only_if_asked(kind: str, model: Any) -> None:
    batch = batch_of(kind, ONE, range(4))
    held, passed = (
        ours(model, batch, entropy=True, entropy_gradient=wanted).entropies
        for wanted in (False, True)
    )
    assert held is not None
    assert passed is not None
    assert not held.requires_grad
    assert max(float(grad.abs().max()) for grad in gradients(model, passed)) > 1e-3


def test_few_logits_at_once_change_nothing(
    kind: str, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(kind, THREE, SHUFFLED)
    whole = ours(model, batch, entropy=True)
    expected = gradients(model, whole.logps)
    monkeypatch.setattr("rftkit.shared_prefix.forward.LOGITS_AT_ONCE", 5 * 96)
    parts = ours(model, batch, entropy=True)
    close(parts.entropies, whole.entropies)  # type: ignore[arg-type]
    assert_same_gradients(gradients(model, parts.logps), expected)


def test_under_bfloat16_autocast(kind: str) -> None:
    """As far from the truth as TRL's way: both round, each in places of its own."""
    batch, model = batch_of(kind, THREE, SHUFFLED), tiny_model(kind).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = ours(model, batch).logps, theirs(model, batch).logps
    assert found.dtype == torch.float32
    exact = theirs(model.float(), batch).logps
    off, allowed = ((logps - exact).abs().mean() for logps in (found, expected))
    assert off < 1.5 * allowed


def test_with_an_adapter_on_a_4_bit_base(kind: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    tiny_model(kind).save_pretrained(tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(
        tmp_path, quantization_config=loading.nf4(), dtype=torch.float32
    )
    where = r".*(language_model|text_model).*\.(q_proj|v_proj|up_proj|down_proj)"
    model = get_peft_model(base, LoraConfig(target_modules=where, r=4))
    stored = {
        w.dtype for n, w in model.named_parameters() if n.endswith("q_proj.base_layer.weight")
    }
    assert stored == {torch.uint8}
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.train()  # else bitsandbytes packs the weights for a CPU, which these are too small for
    batch = batch_of(kind, THREE, SHUFFLED)
    found, expected = ours(model, batch).logps, theirs(model, batch).logps
    close(found, expected)
    assert_same_gradients(gradients(model, found), gradients(model, expected))


def test_whole_answers_are_scored_after_their_own_prompt(kind: str, model: Any) -> None:
    batch = batch_of(kind, THREE, range(8))
    expected = theirs(model, batch).logps.sum(1)
    firsts, size = [0, 3, 5], batch.ids.shape[1] - batch.reply
    ids, mask = batch.ids[:, :size], batch.mask[:, :size]
    inputs = {"input_ids": ids[firsts], "attention_mask": mask[firsts]}
    inputs |= images_of_rows(model, batch.inputs, batch.prompts, firsts)
    prompts = [batch.prompts[row] for row in firsts]
    replies = zip(batch.ids[:, size:], batch.mask[:, size:].bool(), strict=True)
    tokens = [row[kept] for row, kept in replies]
    answers = [tokens[:3], tokens[3:5], tokens[5:]]
    for rows_at_once in (None, 2):
        options = LogpOptions(TEMPERATURE, rows_at_once=rows_at_once)
        found = answer_logps(model, inputs, prompts, answers, options)
        assert [len(given) for given in found] == [3, 2, 3]
        close(torch.cat(found), expected)
        expected_gradients = gradients(model, theirs(model, batch).logps.sum(1))
        assert_same_gradients(gradients(model, torch.cat(found)), expected_gradients)
    one = answer_logps(model, inputs, prompts, [[], tokens[3:5], []], options)
    close(one[1], expected[3:5])


def test_what_may_follow_a_completion_is_scored_given_it(kind: str, model: Any) -> None:
    """Beside TRL's forward of each completion with each thing that follows it."""
    batch, size = batch_of(kind, THREE, SHUFFLED), 3
    follow = [torch.tensor([5, 6, 7]), torch.tensor([5, 9]), torch.tensor([4])]
    rows = [0, 4, 5]
    given = [follow if row in rows else () for row in range(len(batch.ids))]
    found = shared_logps(
        model, TrlBatch(*batch, follow_B=given), LogpOptions(TEMPERATURE, entropy=True)
    )
    alone = ours(model, batch, entropy=True)
    close(found.logps, alone.logps)
    close(found.entropies, alone.entropies)  # type: ignore[arg-type]
    assert {*found.follow} == {*rows}
    expected: dict[int, Tensor] = {}
    for row in rows:
        kept = batch.ids[row][batch.mask[row].bool()]
        begun = int(batch.mask[row, -batch.reply :].sum())
        images = images_of_rows(model, batch.inputs, batch.prompts, [row] * size)
        images["num_images"] = [batch.inputs["num_images"][row]] * size
        grown = [torch.cat([kept, ids]) for ids in follow]
        pad = torch.nn.utils.rnn.pad_sequence
        ids, mask = (
            pad(part, batch_first=True) for part in (grown, [torch.ones_like(g) for g in grown])
        )
        if kind in QWEN:
            images["mm_token_type_ids"] = (ids == IMAGE).int()
        columns = ids.shape[1] - len(kept) + begun
        logps = theirs(model, Batch(ids, mask, columns, batch.prompts, images)).logps
        expected[row] = (logps[:, begun:] * mask[:, len(kept) :]).sum(1)
    for row in rows:
        close(found.follow[row], expected[row])
    together = torch.cat([found.follow[row] for row in rows])
    assert_same_gradients(
        gradients(model, together),
        gradients(model, torch.cat([expected[row] for row in rows])),
    )


def test_features_of_a_frozen_encoder_are_computed_once(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    where = r".*(language_model|text_model).*\.(q_proj|v_proj|up_proj)"
    model = get_peft_model(tiny_model(kind), LoraConfig(target_modules=where, r=4))
    assert encoder_is_frozen(model)
    batch, cache, encoded = batch_of(kind, THREE, SHUFFLED), FeatureCache(), list[int]()
    first = next(m for n, m in model.named_modules() if n.endswith(("patch_embed", "vision_model")))
    expected = ours(model, batch).logps
    gradient = gradients(model, expected)
    first.register_forward_hook(lambda *_: encoded.append(1))
    for _ in range(2):
        found = ours(model, batch, features=cache).logps
        close(found, expected)
        assert_same_gradients(gradients(model, found), gradient)
    assert len(encoded) == 3
    with model.disable_adapter():
        ours(model, batch)
    assert len(encoded) == 4, "without the cache the encoder works again"


def test_no_forward_hashes_what_is_on_the_gpu(
    kind: str, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash has to wait for the GPU, and for a copy of all pixels from there."""
    batch, cache = batch_of(kind, THREE, SHUFFLED), FeatureCache()
    monkeypatch.setattr(hashlib, "blake2b", pytest.fail)
    for _ in range(2):
        with torch.no_grad():
            ours(model, batch, features=cache)
    with shared_prefill(model, batch.prompts, cache):
        model.generate(**generation(kind, do_sample=False))


def test_features_are_used_in_every_way_through_the_model(kind: str, model: Any) -> None:
    batch, cache, encoded = batch_of(kind, THREE, SHUFFLED), FeatureCache(), list[int]()
    encoder = model.model.visual if kind in QWEN else model.model.vision_model
    hook = encoder.register_forward_hook(lambda *_: encoded.append(1))
    with shared_prefill(model, batch.prompts, cache):
        model.generate(**generation(kind, do_sample=False))
    assert len(encoded) == 3
    ours(model, batch, features=cache)
    hook.remove()
    assert len(encoded) == 3


def test_an_encoder_with_an_adapter_is_not_frozen(kind: str) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny_model(kind), LoraConfig(target_modules="all-linear", r=2))
    assert not encoder_is_frozen(model)


def test_what_cannot_share_says_why() -> None:
    assert unsupported(tiny_model("qwen2_5_vl")) is None
    other = SimpleNamespace(config=SimpleNamespace(model_type="llava"))
    assert "llava" in str(unsupported(other))
    flash = tiny_model("idefics3")
    flash.config.text_config._attn_implementation = "flash_attention_2"
    assert "flash_attention_2" in str(unsupported(flash))


SILENT = [IMAGE, VIDEO, START, END]


def generation(kind: str, **how: Any) -> dict[str, Any]:
    """What TRL gives to generate: the prompts of three groups, shuffled."""
    batch = batch_of(kind, THREE, SHUFFLED)
    width = batch.ids.shape[1] - batch.reply
    inputs = {name: value for name, value in batch.inputs.items() if name != "num_images"}
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = inputs["mm_token_type_ids"][:, :width]
    ids, mask = batch.ids[:, :width], batch.mask[:, :width]
    wanted = GenerationConfig(
        max_new_tokens=12, pad_token_id=PAD, eos_token_id=[1, 5], suppress_tokens=SILENT, **how
    )
    return {"input_ids": ids, "attention_mask": mask, "generation_config": wanted, **inputs}


@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
def test_the_same_tokens_are_generated(kind: str, model: Any, sampled: bool) -> None:
    how = {"do_sample": True, "temperature": 1.2, "top_k": 0} if sampled else {"do_sample": False}
    inputs, read = generation(kind, **how), list[int]()
    prompts = batch_of(kind, THREE, SHUFFLED).prompts
    for seed in range(2 if sampled else 1):
        torch.manual_seed(seed)
        expected = model.generate(**inputs)
        hook = text_model(model).register_forward_pre_hook(
            lambda _, __, given: read.append(given["inputs_embeds"].shape[:2].numel()),
            with_kwargs=True,
        )
        torch.manual_seed(seed)
        with shared_prefill(model, prompts):
            found = model.generate(**inputs)
        hook.remove()
        assert torch.equal(found, expected)
        with shared_prefill(model, prompts):
            cache = model.generate(**inputs, return_dict_in_generate=True).past_key_values
        assert {type(layer) for layer in cache.layers} == {BlockLayer}
    width = inputs["input_ids"].shape[1]
    assert read[:2] == [3 * width, 8]  # three prompts, then eight rows
    assert len(expected[:, width:].unique()) > 10 or not sampled
    assert "_prefill" not in vars(model)


def text_model(model: Any) -> Any:
    inner = model.model
    return inner.language_model if hasattr(inner, "language_model") else inner.text_model


@pytest.mark.parametrize("where", [r".*\.", r".*language_model.*\."], ids=["all", "text"])
def test_training_ends_where_trls_training_ends(tmp_path: Path, where: str) -> None:
    """Two steps of two micro-batches with a reference: images, shuffle, sampling, loss."""
    ended = {}
    for shared in (False, True):
        trainer = grpo_trainer(tmp_path / str(shared), shared, where)
        lots: list[dict[str, Any]] = []
        own = trainer._compute_loss

        def seen(model: Any, inputs: Any, own: Any = own, lots: Any = lots) -> Any:
            lots.append(inputs)
            return own(model, inputs)

        trainer._compute_loss = seen
        trainer.train()
        weights = [w for w in trainer.model.parameters() if w.requires_grad]
        replies = [row for lot in lots for row in lot["completion_ids"].tolist()]
        images = [len(lot["image_grid_thw"].unique(dim=0)) for lot in lots]
        ended[shared] = ([w.detach().clone() for w in weights], sorted(replies), images)
    processed = {key[1] for key in trainer.images.cache.values}
    assert len(processed) == 4
    assert (trainer.features is None) == (where == r".*\.")
    assert not trainer.features or len(trainer.features.cache.values) == 4
    assert ended[True][1] == ended[False][1]
    assert ended[True][2] == [1, 1, 1, 1]  # a micro-batch is one group
    assert max(ended[False][2]) > 1
    assert_same_gradients(ended[True][0], ended[False][0])
    assert max(float(w.abs().max()) for w in ended[True][0] if w.shape[1] == 4) > 0.01  # was 0


def test_mixed_precision_is_that_of_trls_own_way(tmp_path: Path) -> None:
    """Accelerate casts around the model's forward, which shared prefixes go past."""
    seen: dict[bool, set[torch.dtype]] = {False: set(), True: set()}
    for shared, dtypes in seen.items():
        trainer = grpo_trainer(tmp_path / str(shared), shared, r".*\.", bf16=True)
        layer = text_model(trainer.model.get_base_model()).layers[0].self_attn.q_proj
        own = trainer._get_per_token_logps_and_entropies

        def scored(
            *given: Any, own: Any = own, layer: Any = layer, dtypes: Any = dtypes, **named: Any
        ) -> Any:
            hook = layer.register_forward_hook(lambda _, __, found: dtypes.add(found.dtype))
            try:
                return own(*given, **named)
            finally:
                hook.remove()

        trainer._get_per_token_logps_and_entropies = scored
        trainer.train()
    assert seen == {False: {torch.bfloat16}, True: {torch.bfloat16}}


def grpo_trainer(folder: Path, shared: bool, where: str, bf16: bool = False) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from trl import GRPOConfig, GRPOTrainer

    from rftkit.models.processing.still import StillQwen25VLProcessor
    from rftkit.models.tiny.tokenizer import SPECIALS, token_ids, train_tokenizer

    tokenizer = train_tokenizer(["seven wings"], 280)
    specials = token_ids(tokenizer, SPECIALS)
    pad, _, end, start, stop, image_id, video_id = specials
    model = tiny_model(
        "qwen2_5_vl", vocabulary=len(tokenizer), specials=(image_id, video_id, start, stop)
    )
    model.generation_config.update(eos_token_id=end, pad_token_id=pad)
    area = {"shortest_edge": 64, "longest_edge": 1024}
    image_processor = Qwen2VLImageProcessorPil(size=area, patch_size=4, merge_size=2)
    template = tokenizer.chat_template
    processor = StillQwen25VLProcessor(image_processor, tokenizer, chat_template=template)
    made = torch.Generator().manual_seed(0)
    images = [
        Image.fromarray(
            torch.randint(0, 255, (16, side, 3), generator=made, dtype=torch.uint8).numpy()
        )
        for side in (16, 24, 32, 40)
    ]
    rows = [
        {"prompt": [{"role": "user", "content": "wings?" * (n + 1)}], "images": [image]}
        for n, image in enumerate(images)
    ]
    config = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_generations=4,
        max_completion_length=6,
        beta=0.1,
        loss_type="dapo",
        learning_rate=1.0,
        optim="sgd",
        max_steps=2,
        temperature=0.8,
        top_k=0,
        generation_kwargs={"suppress_tokens": sorted({*specials} - {end})},
        gradient_checkpointing=True,
        bf16=bf16,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        shuffle_dataset=False,
        remove_unused_columns=False,
    )
    set_seed(0)
    kind = shared_prefix_trainer() if shared else GRPOTrainer
    return kind(
        model=model,
        reward_funcs=lambda completion_ids, **_: [float(sum(ids) % 5) for ids in completion_ids],
        args=config,
        train_dataset=Dataset.from_list([{"number": n} for n in range(4)]).with_transform(
            lambda batch: {name: [rows[n][name] for n in batch["number"]] for name in rows[0]}
        ),
        processing_class=processor,
        peft_config=LoraConfig(r=4, target_modules=where + "(q_proj|v_proj|up_proj|qkv)"),
    )


def test_a_run_that_cannot_share_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import GRPOTrainer

    model = tiny_model("qwen2_5_vl")
    assert obstacle(model) is None
    other = SimpleNamespace(config=SimpleNamespace(model_type="llava"))
    assert str(obstacle(other)).endswith("is not among those it is tested with")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert str(obstacle(model)).endswith("share the work")
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", lambda self, inputs: None)
    assert obstacle(model) == "TRL has changed GRPOTrainer._compute_loss"
