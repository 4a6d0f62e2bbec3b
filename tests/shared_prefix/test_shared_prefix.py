"""Prompt groups, their packed rows and masks, and the caches: without a model."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import BatchFeature
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from rftkit.shared_prefix import attention
from rftkit.shared_prefix.feature_cache import FeatureCache, Features
from rftkit.shared_prefix.groups import (
    PromptKey,
    find_groups,
    images_of_rows,
    prompt_keys,
    without_padding,
)
from rftkit.shared_prefix.image_cache import ImageCache
from rftkit.shared_prefix.kv_cache import BLOCK, BlockLayer, grow_in_blocks
from rftkit.shared_prefix.logps import in_parts
from rftkit.shared_prefix.packing import Group, Packed, attention_mask, pack
from rftkit.shared_prefix.trainer import groups_together


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    made = np.random.default_rng(seed)
    return Image.fromarray(made.integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_a_group_is_one_prompt_wherever_its_rows_stand() -> None:
    keys = [PromptKey((1, 2)), PromptKey((3,)), PromptKey((1, 2)), PromptKey((1, 2), ("cat",))]
    assert find_groups(keys) == [[0, 2], [1], [3]]


def test_prompts_of_equal_tokens_and_copies_of_an_image_are_one() -> None:
    image = noise(8, 4)
    other = image.copy()
    other.putpixel((7, 3), (0, 0, 0))
    rows = [[image], [image.copy()], [other], [image, image], None]
    keys = prompt_keys([[1, 2]] * 5, rows)
    assert find_groups(keys) == [[0, 1], [2], [3], [4]]
    assert find_groups(prompt_keys([[1], [2], [1]], None)) == [[0, 2], [1]]


def test_images_of_the_same_pixels_in_another_shape_or_mode_differ() -> None:
    """One colour, wide and high: the same patches and as many tokens, other position ids."""
    wide = Image.new("RGB", (8, 4))
    rows = [[wide], [Image.new("RGB", (4, 8))], [Image.new("L", (24, 4))]]
    assert len({*prompt_keys([[1]] * 3, rows)}) == 3


def test_padding_is_no_part_of_a_prompt() -> None:
    ids, mask = torch.tensor([[0, 5, 6], [5, 0, 6]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert without_padding(ids, mask) == [[5, 6], [5, 0, 6]]


FLAT = {
    "pixel_values": torch.arange(10.0)[:, None],
    "image_grid_thw": torch.tensor([[1, 2, 2], [1, 1, 2], [1, 2, 1], [1, 1, 2]]),
}


def of_kind(kind: str, image_token: int = 0) -> Any:
    """As much of a model as says how its images lie."""
    return SimpleNamespace(config=SimpleNamespace(model_type=kind, image_token_id=image_token))


ONE_TWO_ONE = [PromptKey((), ("a",)), PromptKey((), ("b", "c")), PromptKey((), ("d",))]


def test_the_patches_of_a_row_are_those_of_its_images() -> None:
    chosen = images_of_rows(of_kind("qwen2_vl"), FLAT, ONE_TWO_ONE, [2, 1])
    assert chosen["pixel_values"][:, 0].tolist() == [8, 9, 4, 5, 6, 7]
    assert chosen["image_grid_thw"].tolist() == [[1, 1, 2], [1, 1, 2], [1, 2, 1]]


def test_images_with_an_entry_a_row_are_picked() -> None:
    rows = {"pixel_values": torch.arange(3)[:, None], "pixel_attention_mask": torch.arange(3) + 5}
    chosen = images_of_rows(of_kind("smolvlm"), rows, ONE_TWO_ONE, [2, 0])
    assert chosen["pixel_values"][:, 0].tolist() == [2, 0]
    assert chosen["pixel_attention_mask"].tolist() == [7, 5]
    assert images_of_rows(of_kind("smolvlm"), {"pixel_values": None}, ONE_TWO_ONE, [0]) == {}


def test_flat_tiles_go_to_the_prompts_that_have_tokens_for_them() -> None:
    keys = [PromptKey((1, 9, 9, 2)), PromptKey((9, 9, 9, 9, 9, 9)), PromptKey((3, 9, 9))]
    pixels = {"pixel_values": torch.arange(5.0)[:, None, None, None]}
    chosen = images_of_rows(of_kind("internvl", 9), pixels, keys, [2, 1])
    assert [*chosen] == ["pixel_values"]
    assert chosen["pixel_values"].flatten().tolist() == [4, 1, 2, 3]
    with pytest.raises(AssertionError, match="tiles of other prompts"):
        images_of_rows(of_kind("internvl", 9), pixels, keys[:2], [0])


def test_parts_are_filled_and_never_too_large() -> None:
    groups = [[0, 1, 2], [3], [4, 5, 6, 7, 8], [9, 10]]
    assert list(in_parts(groups, 4)) == [[[0, 1, 2], [3]], [[4, 5, 6, 7]], [[8], [9, 10]]]
    assert list(in_parts(groups, 99)) == [groups]
    assert list(in_parts([], 4)) == []


def group(prompt: list[int], *completions: list[int], rows: list[int], at: Any = None) -> Group:
    position_ids = torch.tensor(at or [list(range(len(prompt)))])
    tensors = [torch.tensor(ids, dtype=torch.long) for ids in completions]
    return Group(torch.tensor(prompt), position_ids, tensors, rows)


def test_a_group_becomes_one_row() -> None:
    packed = pack(
        [group([7, 8], [1, 2, 3], [], [4], [5, 6], rows=[2, 0, 3, 1]), group([9], rows=[])]
    )
    assert packed.input_ids_PL.tolist() == [[7, 8, 1, 2, 5], [9, 0, 0, 0, 0]]
    assert packed.ends_PL.tolist() == [[5, 5, 4, 4, 5], [1, 2, 3, 4, 5]]
    assert packed.position_ids_APL.tolist() == [[[0, 1, 2, 3, 2], [0, 0, 0, 0, 0]]]
    assert packed.group_U.tolist() == [0] * 4
    assert packed.place_U.tolist() == [1, 2, 3, 4]  # 1: the prompt's last token
    assert told(packed) == {(2, 0): (1, 1), (2, 1): (2, 2), (2, 2): (3, 3), (3, 0): (1, 4),
                            (1, 0): (1, 5), (1, 1): (4, 6)}  # fmt: skip


def told(packed: Packed) -> dict[tuple[int, int], tuple[int, int]]:
    """(row, column) of the batch -> the place it is read from, and the token."""
    columns = zip(packed.row_N.tolist(), packed.column_N.tolist(), strict=True)
    reads = packed.place_U[packed.read_E][packed.edge_N].tolist()
    tokens = packed.token_E[packed.edge_N].tolist()
    return dict(zip(columns, zip(reads, tokens, strict=True), strict=True))


def test_the_example_in_the_comment_is_true() -> None:
    packed = pack([group([11, 12], [21, 22, 23], [31, 32], [21, 22, 24], rows=[5, 2, 7])])
    assert packed.input_ids_PL.tolist() == [[11, 12, 21, 22, 31]]
    assert packed.ends_PL.tolist() == [[5, 5, 4, 4, 5]]
    assert packed.position_ids_APL.tolist() == [[[0, 1, 2, 3, 2]]]
    assert packed.place_U.tolist() == [1, 2, 3, 4]
    assert packed.read_E.tolist() == [0, 0, 1, 2, 2, 3]
    assert packed.token_E.tolist() == [21, 31, 22, 23, 24, 32]
    assert packed.edge_N.tolist() == [0, 2, 3, 1, 5, 0, 2, 4]
    assert packed.row_N.tolist() == [5, 5, 5, 2, 2, 7, 7, 7]
    assert packed.column_N.tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert attention_mask(packed.ends_PL)[0, 0].int().tolist()[4] == [1, 1, 0, 0, 1]


def test_a_completion_that_goes_on_from_another_is_written_once() -> None:
    packed = pack([group([9], [1, 2, 3], [1, 2], [1, 2, 3], [1, 4, 3], rows=[0, 1, 2, 3])])
    assert packed.input_ids_PL.tolist() == [[9, 1, 2, 4]]
    assert packed.ends_PL.tolist() == [[4, 4, 3, 4]]
    found = told(packed)
    assert [found[row, column] for row in (0, 2) for column in range(3)] == 2 * [
        (0, 1), (1, 2), (2, 3)
    ]  # fmt: skip
    assert (found[1, 1], found[3, 1], found[3, 2]) == ((1, 2), (1, 4), (3, 3))


def test_every_token_of_random_trees_follows_from_what_its_completion_begins_with() -> None:
    """What a token attends to, at which position ids, is prompt and completion up to it."""
    draw = random.Random(0)
    for _ in range(200):
        prompt = [draw.randrange(9) for _ in range(draw.randint(1, 4))]
        completions = [
            [draw.randrange(2) for _ in range(draw.randint(0, 5))]
            for _ in range(draw.randint(0, 6))
        ]
        packed = pack(
            [
                group(prompt, *completions, rows=[*range(len(completions))]),
                group([1], [2], rows=[9]),
            ]
        )
        mask, ids = attention_mask(packed.ends_PL)[0, 0], packed.input_ids_PL[0]
        positions, found = packed.position_ids_APL[0, 0], told(packed)
        assert len(found) == 1 + sum(map(len, completions))
        for row, completion in enumerate(completions):
            for column, token in enumerate(completion):
                place, read = found[row, column]
                seen = mask[place].nonzero()[:, 0]
                assert (ids[seen].tolist(), read) == (prompt + completion[:column], token)
                assert positions[seen].tolist() == [*range(len(seen))]


def test_a_group_without_completions_is_a_prompt_alone() -> None:
    packed = pack([group([7, 8], rows=[])])
    assert packed.input_ids_PL.tolist() == [[7, 8]]
    assert packed.edge_N.shape == packed.token_E.shape == packed.place_U.shape == (0,)


def test_position_ids_continue_after_the_largest_of_the_prompt() -> None:
    axes = [[0, 1, 1, 5], [0, 1, 2, 5], [0, 4, 1, 3]]
    packed = pack([group([1, 2, 3, 4], [5, 6], [7, 8, 9], rows=[0, 1], at=axes)])
    assert packed.position_ids_APL[:, 0, 4:].tolist() == [[6, 6, 7]] * 3
    assert packed.position_ids_APL[:, 0, :4].tolist() == axes


def test_completions_attend_to_the_prompt_and_themselves() -> None:
    seen = attention_mask(torch.tensor([[5, 5, 4, 4, 5, 6]]))[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_blocks_of_attention_are_the_same_as_one_mask() -> None:
    """Any tree, any block size: what a query of a block may see is what the mask says."""
    draw = random.Random(1)
    for block in (1, 3, 128):
        for _ in range(60):
            completions = [
                [draw.randrange(3) for _ in range(draw.randint(1, 6))]
                for _ in range(draw.randint(1, 7))
            ]
            packed = pack([group([5, 5, 5], *completions, rows=[*range(len(completions))])])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(attention, "BLOCK", block)
                layout = attention.row_layout(packed.ends_PL[0])
            expected = attention_mask(packed.ends_PL)[0, 0]
            assert visible(layout, expected.shape[0]).equal(expected)


def visible(layout: attention.RowLayout, length: int) -> Tensor:
    """(L, L): the causal call's, then each block's, at the places its queries and keys have."""
    seen = torch.zeros(length, length, dtype=torch.bool)
    seen[: layout.prompt, : layout.prompt] = torch.ones(layout.prompt, layout.prompt).tril().bool()
    if layout.blocks:
        gather = layout.gather_M.view(layout.blocks, -1)
        masks = layout.mask_CRK.expand(layout.blocks, -1, -1)
        real = torch.zeros(layout.gather_M.numel(), dtype=torch.bool)
        real[layout.real_N] = True
        for places, mask, kept in zip(gather, masks, real.view(gather.shape), strict=True):
            keys = torch.cat([torch.arange(layout.prompt), places])
            for query in kept.nonzero()[:, 0]:
                seen[places[query], keys[mask[query]]] = True
    return seen


def test_shuffled_rows_come_together_again() -> None:
    batch = {
        "prompt_keys": ["cat", "dog", "cat", "dog"],
        "pixel_values": [torch.zeros(2), torch.ones(2), torch.zeros(2), torch.ones(2)],
        "advantages": torch.tensor([0.0, 1.0, 2.0, 3.0]),
        "num_items_in_batch": torch.tensor(9),
        "old_per_token_logps": None,
    }
    found = groups_together(batch)
    assert found["prompt_keys"] == ["cat", "cat", "dog", "dog"]
    assert found["advantages"].tolist() == [0, 2, 1, 3]
    assert [int(pixels[0]) for pixels in found["pixel_values"]] == [0, 0, 1, 1]
    assert found["num_items_in_batch"] == 9
    assert found["old_per_token_logps"] is None


class Processor:
    """One patch a pixel of the top line; counts what it is given. Pads rows if `pads`."""

    def __init__(self, pads: bool = False) -> None:
        self.pads, self.given = pads, 0

    def preprocess(self, images: list[list[Image.Image]], scale: int = 1) -> BatchFeature:
        self.given += sum(len(row) for row in images)
        lines = [np.asarray(image)[0] * scale for row in images for image in row]
        if not self.pads:
            grid = np.array([[1, 1, len(line)] for line in lines])
            return BatchFeature({"pixel_values": np.concatenate(lines), "image_grid_thw": grid})
        width = max(map(len, lines))
        rows = np.stack([np.pad(line, (0, width - len(line))) for line in lines])
        return BatchFeature({"pixel_values": rows, "sizes": [len(line) for line in lines]})


def image(width: int, value: int) -> Image.Image:
    return Image.fromarray(np.full((2, width), value, dtype=np.uint8))


def asked(cache: ImageCache, processor: Processor, *rows: list[Image.Image], **how: int) -> Any:
    with cache.used_by(processor):
        return processor.preprocess(list(rows), **how)


@pytest.mark.parametrize("pads", [False, True])
def test_an_image_is_processed_once_and_comes_out_the_same(pads: bool) -> None:
    processor, cache = Processor(pads), ImageCache()
    rows = [[image(3, 1)], [image(3, 2)], [image(3, 1)], [image(3, 1)]]
    for _ in range(2):
        found = asked(cache, processor, *rows)
        expected = Processor(pads).preprocess(rows)
        for name, value in expected.items():
            assert np.array_equal(found[name], value)
    assert processor.given == 2
    asked(cache, processor, *rows, scale=3)
    assert processor.given == 4
    assert "preprocess" not in vars(processor)


def test_rows_are_padded_to_one_another_as_the_processor_does() -> None:
    processor, rows = Processor(pads=True), [[image(3, 1)], [image(5, 2)], [image(3, 1)]]
    found = asked(ImageCache(), processor, *rows)
    expected = Processor(pads=True).preprocess(rows)
    assert np.array_equal(found["pixel_values"], expected["pixel_values"])
    assert found["sizes"] == expected["sizes"]
    assert processor.given == 2


@pytest.mark.parametrize("tensors", ["pt", None])
def test_images_of_many_tiles_come_out_as_idefics_cuts_them(tensors: str | None) -> None:
    sizes = [(16, 8), (8, 16), (16, 8), (20, 20)]
    made = np.random.default_rng(0)
    rows = [[Image.fromarray(made.integers(0, 255, (h, w, 3), dtype=np.uint8))] for w, h in sizes]
    rows[0].append(rows[3][0])
    processor = Idefics3ImageProcessorPil(
        size={"longest_edge": 16}, max_image_size={"longest_edge": 8}
    )
    expected = processor.preprocess(rows, return_tensors=tensors, return_row_col_info=True)
    with ImageCache().used_by(processor):
        found = processor.preprocess(rows, return_tensors=tensors, return_row_col_info=True)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        same = found[name] == value
        assert same if isinstance(same, bool) else same.all(), name
    assert expected["pixel_values"].shape[1] > 3


def test_the_least_recently_used_image_is_dropped_first() -> None:
    size = 3 * 1 + 3 * 8  # bytes: pixels and grid
    processor, cache = Processor(), ImageCache(limit=2 * size)
    for value in (1, 2, 1, 3):
        asked(cache, processor, [image(3, value)])
    assert (processor.given, cache.cache.bytes) == (3, 2 * size)
    asked(cache, processor, [image(3, 1)])
    assert processor.given == 3
    asked(cache, processor, [image(3, 2)])
    assert processor.given == 4


def test_what_is_not_rows_of_images_goes_to_the_processor() -> None:
    class Other:
        def preprocess(self, images: Tensor) -> Tensor:
            return images + 1

    processor = Other()
    with ImageCache().used_by(processor):
        assert processor.preprocess(torch.zeros(1)) == 1


def states(rows: int, tokens: int) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


def test_a_layer_in_blocks_holds_what_transformers_does_whatever_befalls_it() -> None:
    torch.manual_seed(0)
    ours, theirs = BlockLayer(), DynamicLayer()

    def write(rows: int, tokens: int) -> None:
        new = states(rows, tokens)
        for one, other in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(one, other)

    write(2, 9)
    for layer in (ours, theirs):
        layer.batch_select_indices(torch.tensor([1, 1, 0]))
    for _ in range(2 * BLOCK + 3):
        write(3, 1)
    for layer in (ours, theirs):
        layer.reorder_cache(torch.tensor([2, 0, 1]))
    write(3, 1)
    for layer in (ours, theirs):
        layer.crop(-5)
    write(3, 2)
    assert ours.get_seq_length() == theirs.get_seq_length() == 9 + 2 * BLOCK + 3 + 1 - 5 + 2


def test_a_layer_in_blocks_is_copied_once_in_so_many_tokens() -> None:
    layer, places = BlockLayer(), set[tuple[int, int]]()
    layer.update(*states(1, 5))
    for _ in range(3 * BLOCK):
        places.add(tuple(held.data_ptr() for held in layer.update(*states(1, 1))))  # type: ignore[arg-type]
    assert 1 < len(places) <= 4


def test_only_plain_layers_grow_in_blocks() -> None:
    cache = DynamicCache()
    grow_in_blocks(cache)
    cache.update(*states(1, 3), layer_idx=1)
    assert [type(layer) for layer in cache.layers] == [BlockLayer, BlockLayer]
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=4)]
    grow_in_blocks(cache)
    assert [type(layer) for layer in cache.layers] == [BlockLayer, DynamicSlidingWindowLayer]


class Encoder:
    """As much of a Qwen model as has image features: the sum of each image's patches."""

    config = SimpleNamespace(model_type="qwen2_vl")

    def __init__(self) -> None:
        self.base_model, self.encoded = self, 0

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Any:
        self.encoded += len(image_grid_thw)
        parts = pixel_values.split(image_grid_thw.prod(-1).tolist())
        return SimpleNamespace(pooler_output=[part.sum(0, keepdim=True) for part in parts])


def features_of(encoder: Encoder, cache: FeatureCache, *rows: int) -> list[Tensor]:
    inputs = images_of_rows(of_kind("qwen2_vl"), FLAT, ONE_TWO_ONE, rows)
    with cache.used_by(encoder, [ONE_TWO_ONE[row] for row in rows]):
        output = encoder.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
    return list(output.pooler_output)


def test_an_image_is_encoded_once_whatever_prompt_it_is_in() -> None:
    encoder, cache = Encoder(), FeatureCache()
    assert [int(f) for f in features_of(encoder, cache, 1, 0)] == [4 + 5, 6 + 7, 0 + 1 + 2 + 3]
    assert [int(f) for f in features_of(encoder, cache, 2, 1)] == [8 + 9, 4 + 5, 6 + 7]
    assert encoder.encoded == 4
    assert "get_image_features" not in vars(encoder)


def test_features_are_kept_in_the_computers_memory_and_come_back_to_the_gpu() -> None:
    """On the GPU they would take memory that the plan does not count."""
    with FakeTensorMode():  # tensors of any device, without their values
        cache, pixels = FeatureCache(), torch.empty(4, 1, device="cuda")
        found = cache._lookup("cat", pixels, lambda: Features([torch.empty(1, device="cuda")]))
        (kept,) = cache.cache.values.values()
        assert (found.output[0].device.type, kept.output[0].device.type) == ("cuda", "cpu")


def test_features_encoded_in_an_evaluation_can_train() -> None:
    """An evaluation runs in inference mode, and training may need the same features next."""
    encoder, cache = Encoder(), FeatureCache()
    with torch.inference_mode():
        features_of(encoder, cache, 0)
    (feature,) = features_of(encoder, cache, 0)
    weight = torch.ones(1, requires_grad=True)
    (weight * feature).sum().backward()
    assert weight.grad is not None
    assert int(weight.grad) == 0 + 1 + 2 + 3


def test_caches_that_are_used_within_one_another_are_put_back() -> None:
    processor, outer, inner = Processor(), ImageCache(), ImageCache()
    with outer.used_by(processor):
        before = processor.preprocess
        with inner.used_by(processor):
            assert processor.preprocess is not before
        assert processor.preprocess is before
        processor.preprocess([[image(3, 1)]])
    assert len(outer.cache.values) == 1
    assert "preprocess" not in vars(processor)
