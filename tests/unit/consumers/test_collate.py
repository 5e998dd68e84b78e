import random
from itertools import islice
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
from transformers import AutoTokenizer

from kaption.consumers.stream import Sample
from kaption.consumers.training.batches import TrainingBatches
from kaption.consumers.training.buckets import LengthBuckets
from kaption.consumers.training.examples import Collate, Example, ExampleMaker, TrainingBatch
from kaption.consumers.training.images import ImageTransform
from kaption.consumers.training.tokens import TextTokens
from kaption.schemas import CaptionKind, TextSource
from kaption.schemas.letterbox import Letterbox
from short_rows import take_short_rows
from support.tiny_models import tiny_clip
from support.training_samples import ListedStream, clean_pair, sample

pytestmark = pytest.mark.slow

BOX = Letterbox(32, 32, "bicubic", (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
WORDS = ["a", "red", "blue", "green", "circle", "square", "star", "on", "grass"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"), context=48)


@pytest.fixture(scope="module")
def make(folder: Path) -> ExampleMaker:
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return ExampleMaker(TextTokens(tokenizer), ImageTransform(BOX))


def worded(count: int, seed: int = 0) -> list[Sample]:
    """Samples with texts of 1 to 40 words."""
    rng = random.Random(seed)
    return [
        sample(number, " ".join(rng.choices(WORDS, k=rng.randint(1, 40))))
        for number in range(count)
    ]


def ids(batches: list[TrainingBatch]) -> list[str]:
    return [pair_id for batch in batches for pair_id in batch.pair_ids]


# Tokens.


@pytest.mark.parametrize("text", ["a red circle", "wow!", "", "red " * 90])
def test_tokens_are_those_of_the_clip_tokenizer_without_its_padding(text: str) -> None:
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    tokens = TextTokens(tokenizer)

    found = tokens(text)

    (row,) = tokenizer([text]).tolist()
    assert row == found + [tokens.pad_id] * (77 - len(found))
    assert found[-1] == tokenizer.eot_token_id


def test_a_wrapped_and_a_bare_tokenizer_of_transformers_agree(folder: Path) -> None:
    wrapped = TextTokens(open_clip.get_tokenizer(f"local-dir:{folder}"))
    bare = TextTokens(AutoTokenizer.from_pretrained(folder), context_length=48)

    for text in ["a red circle", "red " * 90]:
        assert wrapped(text) == bare(text)
    assert (wrapped.context_length, wrapped.pad_id) == (bare.context_length, bare.pad_id) == (48, 0)
    assert len(bare("red " * 90)) == 48


def test_an_end_token_that_is_also_the_padding_token_is_kept() -> None:
    class Tokenizer:
        context_length = 6
        pad_token_id = eos_token_id = 9

        def __call__(self, texts: list[str]) -> list[list[int]]:
            return [[1, *range(2, 2 + len(text)), 9, 9, 9, 9, 9][:6] for text in texts]

    tokens = TextTokens(Tokenizer())

    assert tokens("ab") == [1, 2, 3, 9]
    assert tokens("abcdef") == [1, 2, 3, 4, 5, 6]


def test_an_error_names_the_number_that_the_tokenizer_lacks(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match="give context_length"):
        TextTokens(tokenizer)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="give pad_id"):
        TextTokens(tokenizer, context_length=48)
    with pytest.raises(ValueError, match="let the tokenizer cut its texts"):
        TextTokens(lambda texts: [[1] * 9], context_length=8)("text")


# Collate.


def test_a_batch_is_padded_to_the_bucket_of_its_longest_text() -> None:
    collate = Collate(LengthBuckets((4, 8, 16)), pad_id=7)
    lengths = [3, 5, 1]

    batch = collate(
        [
            Example(
                f"pair-{at}", "text", [5] * length, torch.full((3, 2, 2), at, dtype=torch.uint8)
            )
            for at, length in enumerate(lengths)
        ]
    )

    assert batch.tokens.shape == (3, 8)
    assert batch.tokens.dtype == torch.int64
    assert batch.mask.sum(1).tolist() == lengths
    assert batch.tokens[1].tolist() == [5, 5, 5, 5, 5, 7, 7, 7]
    assert batch.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_text_longer_than_every_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="9 tokens, the longest bucket is 8"):
        LengthBuckets((4, 8)).up(9)


@pytest.mark.parametrize("lengths", [(), (8, 4), (4, 4), (0, 4)])
def test_buckets_that_do_not_ascend_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        LengthBuckets(lengths)


def test_shorter_rows_give_the_same_embeddings(folder: Path, make: ExampleMaker) -> None:
    model, _, _ = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", force_custom_text=True, require_pretrained=True
    )
    take_short_rows(model)
    (batch,) = TrainingBatches(worded(8), make, batch_size=8)
    (short,) = TrainingBatches([sample(1, "a red circle")], make, batch_size=8)

    for each in (batch, short):
        whole = open_clip.get_tokenizer(f"local-dir:{folder}")(each.texts)
        with torch.inference_mode():
            torch.testing.assert_close(
                model.eval().encode_text(each.tokens), model.encode_text(whole)
            )
    assert short.tokens.shape[1] == 16


def test_a_model_that_cannot_take_shorter_rows_is_named(folder: Path) -> None:
    model = open_clip.create_model(f"local-dir:{folder}")

    with pytest.raises(TypeError, match="force_custom_text=True"):
        take_short_rows(model)


# Batches.


def test_every_sample_comes_once_in_full_batches(make: ExampleMaker) -> None:
    batches = list(TrainingBatches(worded(150), make, batch_size=8, pool_batches=5))

    assert sorted(ids(batches)) == sorted(f"pair-{number}" for number in range(150))
    assert sorted(len(batch.pair_ids) for batch in batches) == [6, *[8] * 18]


def test_batches_of_texts_of_similar_length_need_little_padding(make: ExampleMaker) -> None:
    def padding(pool_batches: int) -> float:
        made = TrainingBatches(worded(256), make, batch_size=8, pool_batches=pool_batches)
        masks = [batch.mask for batch in made]
        return 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks)

    assert padding(16) < 0.6 * padding(1)


def test_batches_have_few_shapes(make: ExampleMaker) -> None:
    batches = list(TrainingBatches(worded(256), make, batch_size=8))

    assert {batch.tokens.shape for batch in batches} == {(8, 16), (8, 32), (8, 48)}


def test_seed_and_epoch_decide_the_order_of_batches(make: ExampleMaker) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        batches = TrainingBatches(worded(64), make, batch_size=8, seed=seed)
        batches.set_epoch(epoch)
        return ids(list(batches))

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) == 4


def test_a_damaged_image_is_left_out_and_counted(
    make: ExampleMaker, caplog: pytest.LogCaptureFixture
) -> None:
    samples = worded(16)
    samples[5] = samples[5]._replace(image=samples[5].image[:60])
    batches = TrainingBatches(samples, make, batch_size=4)

    found = ids(list(batches))

    assert sorted(found) == sorted({f"pair-{number}" for number in range(16)} - {"pair-5"})
    assert batches.damaged == 1
    assert "image of pair-5" in caplog.text


def stream(chance: int, count: int = 100) -> ListedStream:
    samples = worded(count)
    return ListedStream(samples[: count // 4], samples[count // 4 :], chance=chance)


@pytest.mark.parametrize("taken", range(0, 13, 2))
def test_resumed_training_gets_exactly_the_remaining_samples(
    make: ExampleMaker, taken: int
) -> None:
    def batches(chance: int) -> TrainingBatches:
        return TrainingBatches(stream(chance), make, batch_size=8, pool_batches=3)

    first, second, third = batches(1), batches(2), batches(3)
    before = list(islice(first, taken))
    second.load_state_dict(first.state_dict())
    between = list(islice(second, 1))
    third.load_state_dict(second.state_dict())

    after = list(third)

    assert sorted(ids([*before, *between, *after])) == sorted(
        f"pair-{number}" for number in range(100)
    )


@pytest.mark.parametrize("taken", [2, 3, 5])
def test_a_stream_with_a_fixed_order_resumes_with_the_same_batches(
    make: ExampleMaker, taken: int
) -> None:
    def batches() -> TrainingBatches:
        return TrainingBatches(ListedStream(worded(100)), make, batch_size=8, pool_batches=3)

    whole = ids(list(batches()))
    first, second = batches(), batches()
    before = ids(list(islice(first, taken)))
    second.load_state_dict(first.state_dict())

    assert before + ids(list(second)) == whole


def test_the_epoch_after_an_abandoned_one_is_whole(make: ExampleMaker) -> None:
    batches = TrainingBatches(stream(1), make, batch_size=8)
    next(iter(batches))
    batches.set_epoch(1)

    iterator = iter(batches)
    state = batches.state_dict()

    assert (state["epoch"], state["out"], state["samples"]) == (1, [], {"given": [0, 0]})
    assert len(ids(list(iterator))) == 100


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stateful_loader_resumes_where_it_was(make: ExampleMaker, workers: int) -> None:
    def loader(chance: int) -> StatefulDataLoader[Any]:
        batches = TrainingBatches(stream(chance, 60), make, batch_size=8, pool_batches=3)
        return StatefulDataLoader(batches, batch_size=None, num_workers=workers)

    first, second = loader(1), loader(2)
    before = ids(list(islice(first, 4)))
    second.load_state_dict(first.state_dict())

    after = ids(list(second))

    assert sorted(before + after) == sorted(f"pair-{number}" for number in range(60))


def test_a_stream_without_a_state_trains_but_cannot_be_saved(make: ExampleMaker) -> None:
    batches = TrainingBatches([sample(1)], make, batch_size=8)

    assert [batch.pair_ids for batch in DataLoader(batches, batch_size=None)] == [["pair-1"]]
    with pytest.raises(TypeError, match="list has no state_dict"):
        batches.state_dict()


def test_a_recaption_does_not_take_the_language_of_the_alt_text(make: ExampleMaker) -> None:
    pair = clean_pair(1, "a dog", detected_language="pl")
    original = pair.captions[0].model_copy(update={"kind": CaptionKind.ORIGINAL})
    alt_text = pair.model_copy(update={"captions": (original,)})

    assert make.worded(Sample(pair, b""), 0).language is None
    assert make.worded(Sample(alt_text, b""), 0).language == "pl"


@pytest.mark.parametrize("language", ["de", None])
def test_the_text_of_a_copy_has_the_language_of_the_copy(
    make: ExampleMaker, language: str | None
) -> None:
    pair = clean_pair(1, "ein Hund", detected_language="pl")
    source = TextSource(pair_id="copy", language=language)
    text = pair.captions[0].model_copy(update={"kind": CaptionKind.ORIGINAL, "source": source})

    found = make.worded(Sample(pair.model_copy(update={"captions": (text,)}), b""), 0)

    assert found.language == language
