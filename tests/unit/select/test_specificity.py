"""Specificity: generic texts lose against other images, and copies of an image do not count."""

from typing import cast

import numpy as np
import pytest
import redis

from kaption.workers.models.scorer import Scorer
from kaption.workers.stages.select.specificity import Others, bank_id, mean_of_nearest
from kaption.workers.stores.bank import Bank, Embedded


class Named:
    """What `Others` needs to know of a scorer."""

    revision = "r"
    preprocessing_id = "p"


def images(*rows: list[float], first: int = 0) -> Embedded:
    table = np.array(rows, np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return Embedded([f"{first + n:064x}" for n in range(len(rows))], table)


def many(count: int, first: int = 0) -> Embedded:
    rows = np.random.default_rng(first).normal(size=(count, 8))
    return images(*rows.tolist(), first=first)


def others(redis_url: str, size: int) -> Others:
    return Others(Bank(redis.Redis.from_url(redis_url), "t:", size), cast(Scorer, Named()))


BEACHES = images([1, 0, 0.3], [1, 0.2, 0], [1, -0.2, 0], [0, 0, 1], first=5)
"""Three images of one kind and another one."""


def test_a_text_that_fits_many_images_has_the_higher_mean() -> None:
    generic, special = [1.0, 0.0, 0.0], [0.7, 0.0, 0.7]
    own = images([1, 0, 1], [1, 0, 1])

    wide, narrow = mean_of_nearest(np.array([generic, special], np.float32), own, BEACHES, 3)

    assert wide is not None
    assert narrow is not None
    assert wide > narrow + 0.1


@pytest.mark.parametrize("nearest", [1, 2, 4, 100])
def test_the_nearest_images_count_or_all_where_there_are_fewer(nearest: int) -> None:
    text = np.array([[1.0, 0.0, 0.0]], np.float32)
    cosines = np.sort(BEACHES.rows @ text[0])[::-1]

    (found,) = mean_of_nearest(text, images([0, 1, 0]), BEACHES, nearest)

    assert found == pytest.approx(float(cosines[:nearest].mean()), abs=1e-6)


def test_the_own_image_and_its_copies_do_not_count() -> None:
    # Given a bank with the image itself under another embedding, a copy of it, and another image
    own = images([1, 0, 0])
    bank = Embedded(
        [own.sha256s[0], "c" * 64, "d" * 64],
        np.array([[0.6, 0.8, 0], [0.999, 0.0447, 0], [0, 1, 0]], np.float32),
    )
    # When a text that fits the image is compared with them
    (found,) = mean_of_nearest(np.array([[1, 0, 0]], np.float32), own, bank, 2)
    # Then only the other image counts
    assert found == 0.0


@pytest.mark.parametrize("bank", [Embedded([], np.zeros((0, 3), np.float32)), images([1, 0, 0])])
def test_without_another_image_there_is_no_mean(bank: Embedded) -> None:
    assert mean_of_nearest(np.array([[1, 0, 0]], np.float32), images([1, 0, 0]), bank, 2) == [None]


def test_a_full_bank_stands_alone_and_the_batch_helps_one_that_is_not(redis_url: str) -> None:
    # Given a bank with room for four images that has two
    made = others(redis_url, 4)
    made.accept(many(2))
    # When batches come before and after it is full
    early = made.beside(many(4, first=1))
    made.accept(many(3, first=2))
    late = [others(redis_url, 4).beside(many(3, first=at)) for at in (10, 20)]
    # Then the images of the batch that are not in it stand beside it, until it is full
    assert list(early.sha256s) == [f"{n:064x}" for n in range(5)]
    assert list(late[0].sha256s) == list(late[1].sha256s) == [f"{n:064x}" for n in range(4)]
    assert bank_id(late[0]) == bank_id(late[1])


def test_a_bank_is_read_again_as_it_grows(redis_url: str) -> None:
    made, replica = others(redis_url, 100), others(redis_url, 100)
    replica.accept(many(40))
    assert len(made.beside(many(1, first=90)).sha256s) == 41
    replica.accept(many(20, first=40))

    sizes = [len(made.beside(many(1, first=90)).sha256s) for _ in range(11)]

    # 40 images were held, so it is read again after 10 more
    assert sizes == [41] * 9 + [61, 61]


def test_the_id_names_the_images_whatever_their_order() -> None:
    bank = many(5)
    turned = Embedded(bank.sha256s[::-1], bank.rows[::-1])

    assert bank_id(bank) == bank_id(turned) != bank_id(many(4))
    assert bank_id(Embedded([], bank.rows[:0])) is None


def test_a_scorer_that_embeds_all_images_close_together_has_no_copies() -> None:
    # Given images whose cosines are all above 0.9
    base = np.ones((1, 8), np.float32)
    close = images(*(base + 0.2 * many(6).rows).tolist())
    assert (close.rows @ close.rows.T).min() > 0.9
    own = Embedded(close.sha256s[:1], close.rows[:1])
    # When a text is compared with them
    (found,) = mean_of_nearest(own.rows, own, close, 10)
    # Then the five others count
    assert found == pytest.approx(float((close.rows[1:] @ close.rows[0]).mean()), abs=1e-6)
