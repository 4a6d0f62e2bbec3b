"""Groups, their rows and masks, and the memory of pictures: without a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from rftkit.shared_prefix.cache import ROOM, RoomyLayer, make_roomy
from rftkit.shared_prefix.groups import find_groups, of_rows, pictures_of, tokens_of
from rftkit.shared_prefix.logps import in_parts
from rftkit.shared_prefix.packing import Group, attention, pack
from rftkit.shared_prefix.pictures import PictureMemory
from rftkit.shared_prefix.trainer import together


def test_a_group_is_one_prompt_and_one_picture_wherever_its_rows_stand() -> None:
    one, other = torch.ones(300), torch.ones(300)
    other[7] = 2  # not among the values of a glimpse
    prompts = [(1, 2), (3,), (1, 2), (1, 2), (3,)]
    assert find_groups(prompts, [one, one, other, one, one]) == [[0, 3], [1, 4], [2]]
    assert find_groups(prompts, []) == [[0, 2, 3], [1, 4]]


def test_pictures_of_another_shape_differ() -> None:
    assert find_groups([(1,), (1,)], [torch.zeros(4, 6), torch.zeros(6, 4)]) == [[0], [1]]


def test_equal_patches_that_lie_in_another_way_are_another_picture() -> None:
    """One colour, wide and high: the same patches, as many tokens, other positions."""
    even, grids = torch.ones(8, 3), [torch.tensor([[1, 2, 4]]), torch.tensor([[1, 4, 2]])]
    assert find_groups([(1,)] * 3, [even] * 3, [grids[0], grids[1], grids[0]]) == [[0, 2], [1]]
    batch = {
        "prompt_ids": torch.ones(3, 2, dtype=torch.long),
        "prompt_mask": torch.ones(3, 2, dtype=torch.long),
        "pixel_values": [even] * 3,
        "image_grid_thw": [grids[0], grids[1], grids[0]],
        "advantages": torch.arange(3.0),
    }
    assert together(batch)["advantages"].tolist() == [0, 2, 1]


def test_padding_is_no_part_of_a_prompt() -> None:
    ids, mask = torch.tensor([[0, 5, 6], [5, 0, 6]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert tokens_of(ids, mask) == [(5, 6), (5, 0, 6)]


FLAT = {
    "pixel_values": torch.arange(10)[:, None],
    "image_grid_thw": torch.tensor([[1, 2, 2], [1, 1, 2], [1, 2, 1], [1, 1, 2]]),
    "num_images": [1, 2, 1],
}


def test_flat_pictures_are_cut_at_their_grids() -> None:
    assert [rows[:, 0].tolist() for rows in pictures_of(FLAT)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    chosen = of_rows(FLAT, [2, 1])
    assert chosen["pixel_values"][:, 0].tolist() == [8, 9, 4, 5, 6, 7]
    assert chosen["image_grid_thw"].tolist() == [[1, 1, 2], [1, 1, 2], [1, 2, 1]]


def test_pictures_with_an_entry_a_row_are_picked() -> None:
    given = {"pixel_values": torch.arange(3)[:, None], "pixel_attention_mask": torch.arange(3) + 5}
    chosen = of_rows(given, [2, 0])
    assert chosen["pixel_values"][:, 0].tolist() == [2, 0]
    assert chosen["pixel_attention_mask"].tolist() == [7, 5]
    assert of_rows({}, [0]) == {}
    assert pictures_of({"pixel_values": None}) == []


def test_lots_are_filled_and_never_too_large() -> None:
    groups = [[0, 1, 2], [3], [4, 5, 6, 7, 8], [9, 10]]
    assert list(in_parts(groups, 4)) == [[[0, 1, 2], [3]], [[4, 5, 6, 7]], [[8], [9, 10]]]
    assert list(in_parts(groups, 99)) == [groups]
    assert list(in_parts([], 4)) == []


def group(prompt: list[int], *completions: list[int], rows: list[int], at: Any = None) -> Group:
    places = torch.tensor(at or [list(range(len(prompt)))])
    tensors = [torch.tensor(ids, dtype=torch.long) for ids in completions]
    return Group(torch.tensor(prompt), places, tensors, rows)


def test_a_group_becomes_one_row() -> None:
    packed = pack(
        [group([7, 8], [1, 2, 3], [], [4], [5, 6], rows=[2, 0, 3, 1]), group([9], rows=[])]
    )
    assert packed.ids.tolist() == [[7, 8, 1, 2, 5], [9, 0, 0, 0, 0]]
    assert packed.segments.tolist() == [[0, 0, 1, 1, 4], [0, -1, -1, -1, -1]]
    assert packed.places.tolist() == [[[0, 1, 2, 3, 2], [0, 0, 0, 0, 0]]]
    number, place, token = packed.read.tolist()
    assert number == [0] * 6
    assert place == [1, 2, 3, 1, 1, 4]  # the prompt's last token predicts every first one
    assert token == [1, 2, 3, 4, 5, 6]
    assert packed.row.tolist() == [2, 2, 2, 3, 1, 1]
    assert packed.column.tolist() == [0, 1, 2, 0, 0, 1]


def test_positions_go_on_after_the_largest_of_the_prompt() -> None:
    axes = [[0, 1, 1, 5], [0, 1, 2, 5], [0, 4, 1, 3]]
    packed = pack([group([1, 2, 3, 4], [5, 6], [7, 8, 9], rows=[0, 1], at=axes)])
    assert packed.places[:, 0, 4:].tolist() == [[6, 6, 7]] * 3
    assert packed.places[:, 0, :4].tolist() == axes


def test_completions_see_the_prompt_and_themselves() -> None:
    seen = attention(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_shuffled_rows_come_together_again() -> None:
    batch = {
        "prompt_ids": torch.tensor([[0, 1], [2, 2], [0, 1], [2, 2]]),
        "prompt_mask": torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1]]),
        "pixel_values": [torch.zeros(2), torch.ones(2), torch.zeros(2), torch.ones(2)],
        "advantages": torch.tensor([0.0, 1.0, 2.0, 3.0]),
        "num_items_in_batch": torch.tensor(9),
        "old_per_token_logps": None,
    }
    found = together(batch)
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


def picture(width: int, value: int) -> Image.Image:
    return Image.fromarray(np.full((2, width), value, dtype=np.uint8))


def asked(memory: PictureMemory, processor: Processor, *rows: list[Image.Image], **how: int) -> Any:
    with memory.used_by(processor):
        return processor.preprocess(list(rows), **how)


@pytest.mark.parametrize("pads", [False, True])
def test_a_picture_is_prepared_once_and_comes_out_the_same(pads: bool) -> None:
    processor, memory = Processor(pads), PictureMemory()
    rows = [[picture(3, 1)], [picture(3, 2)], [picture(3, 1)], [picture(3, 1)]]
    for _ in range(2):
        found = asked(memory, processor, *rows)
        expected = Processor(pads).preprocess(rows)
        for name, value in expected.items():
            assert np.array_equal(found[name], value)
    assert processor.given == 2
    asked(memory, processor, *rows, scale=3)
    assert processor.given == 4
    assert "preprocess" not in vars(processor)


def test_rows_are_padded_to_one_another_as_the_processor_does() -> None:
    processor, rows = Processor(pads=True), [[picture(3, 1)], [picture(5, 2)], [picture(3, 1)]]
    found = asked(PictureMemory(), processor, *rows)
    expected = Processor(pads=True).preprocess(rows)
    assert np.array_equal(found["pixel_values"], expected["pixel_values"])
    assert found["sizes"] == expected["sizes"]
    assert processor.given == 2


@pytest.mark.parametrize("tensors", ["pt", None])
def test_pictures_of_many_tiles_come_out_as_idefics_cuts_them(tensors: str | None) -> None:
    sizes = [(16, 8), (8, 16), (16, 8), (20, 20)]
    made = np.random.default_rng(0)
    rows = [[Image.fromarray(made.integers(0, 255, (h, w, 3), dtype=np.uint8))] for w, h in sizes]
    rows[0].append(rows[3][0])
    processor = Idefics3ImageProcessorPil(
        size={"longest_edge": 16}, max_image_size={"longest_edge": 8}
    )
    expected = processor.preprocess(rows, return_tensors=tensors, return_row_col_info=True)
    with PictureMemory().used_by(processor):
        found = processor.preprocess(rows, return_tensors=tensors, return_row_col_info=True)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        same = found[name] == value
        assert same if isinstance(same, bool) else same.all(), name
    assert expected["pixel_values"].shape[1] > 3


def test_the_least_used_picture_is_forgotten_first() -> None:
    size = 3 * 1 + 3 * 8  # bytes: pixels and grid
    processor, memory = Processor(), PictureMemory(limit=2 * size)
    for value in (1, 2, 1, 3):
        asked(memory, processor, [picture(3, value)])
    assert (processor.given, memory.memory.bytes) == (3, 2 * size)
    asked(memory, processor, [picture(3, 1)])
    assert processor.given == 3
    asked(memory, processor, [picture(3, 2)])
    assert processor.given == 4


def test_what_is_not_rows_of_pictures_goes_to_the_processor() -> None:
    class Other:
        def preprocess(self, images: Tensor) -> Tensor:
            return images + 1

    processor = Other()
    with PictureMemory().used_by(processor):
        assert processor.preprocess(torch.zeros(1)) == 1


def states(rows: int, tokens: int) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 4)


def test_a_layer_with_room_holds_what_transformers_does_whatever_befalls_it() -> None:
    torch.manual_seed(0)
    ours, theirs = RoomyLayer(), DynamicLayer()

    def write(rows: int, tokens: int) -> None:
        new = states(rows, tokens)
        for one, other in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(one, other)

    write(2, 9)
    for layer in (ours, theirs):
        layer.batch_select_indices(torch.tensor([1, 1, 0]))
    for _ in range(2 * ROOM + 3):
        write(3, 1)
    for layer in (ours, theirs):
        layer.reorder_cache(torch.tensor([2, 0, 1]))
    write(3, 1)
    for layer in (ours, theirs):
        layer.crop(-5)
    write(3, 2)
    assert ours.get_seq_length() == theirs.get_seq_length() == 9 + 2 * ROOM + 3 + 1 - 5 + 2


def test_a_layer_with_room_is_copied_once_in_so_many_tokens() -> None:
    layer, places = RoomyLayer(), set[tuple[int, int]]()
    layer.update(*states(1, 5))
    for _ in range(3 * ROOM):
        places.add(tuple(held.data_ptr() for held in layer.update(*states(1, 1))))  # type: ignore[arg-type]
    assert 1 < len(places) <= 4


def test_only_plain_layers_get_room() -> None:
    cache = DynamicCache()
    make_roomy(cache)
    cache.update(*states(1, 3), layer_idx=1)
    assert [type(layer) for layer in cache.layers] == [RoomyLayer, RoomyLayer]
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=4)]
    make_roomy(cache)
    assert [type(layer) for layer in cache.layers] == [RoomyLayer, DynamicSlidingWindowLayer]
