# ruff: noqa: RUF001  # CJK punctuation is in some texts
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaption.workers.models.open_clip import OpenClipScorer, build
from kaption.workers.models.windows import MOST_WINDOWS, fit, score_texts, split_windows, windows_of
from kaption.workers.policy.score import ClipPolicy
from support.tiny_models import tiny_clip

pytestmark = pytest.mark.slow


def count(text: str) -> int:
    """Two marks and a token for every three characters of a word."""
    return 2 + sum(-(-len(word) // 3) for word in text.split())


TEXTS = st.lists(
    st.sampled_from(["red", "vase", ", ", ". ", " ", "; ", "wonderful", "x" * 70, "\n"]),
    max_size=60,
).map("".join)


@given(TEXTS, st.integers(min_value=4, max_value=30), st.integers(min_value=0, max_value=3))
def test_windows_fit_and_cover_the_text(text: str, limit: int, overlap: int) -> None:
    windows = split_windows(text, count, limit, overlap)

    assert all(count(window.text) <= limit for window in windows)
    assert all(window.text in text for window in windows)
    covered = "".join(window.text for window in split_windows(text, count, limit, 0))
    assert covered.replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")


def test_windows_end_at_clauses_and_overlap_by_one() -> None:
    text = "red vase, on a table. It is old, very old; from Rome"

    windows = split_windows(text, count, 12, 1)

    assert [window.text for window in windows] == [
        "red vase, on a table.",
        "It is old, very old;",
        "very old; from Rome",
    ]


def test_a_clause_longer_than_the_context_is_cut_between_words() -> None:
    windows = split_windows("alpha beta gamma delta epsilon", count, 6, 0)

    assert [window.text for window in windows] == ["alpha beta", "gamma delta", "epsilon"]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> OpenClipScorer:
    folder = tiny_clip(tmp_path_factory.mktemp("clip"))
    return build(ClipPolicy(model=f"local-dir:{folder}", device="cpu"))


@pytest.mark.parametrize("seed", range(5))
def test_one_token_past_the_context_scores_like_the_shorter_text(
    scorer: OpenClipScorer, seed: int
) -> None:
    # See torchmetrics issue 2883: there the extra token costs the score.
    rng = np.random.default_rng(seed)
    words = rng.choice(["red", "blue", "star", "circle", "on", "grass"], 14)
    fits = " ".join(words)
    longer = f"{fits} snow"
    image = rng.normal(size=16).astype(np.float32)
    image /= np.linalg.norm(image)

    short, long = score_texts(scorer, [fits, longer], np.stack([image, image]))

    assert scorer.count_tokens(fits) == scorer.context_length
    assert len(short.window_scores) == 1
    assert len(long.window_scores) == 2
    assert long.window_scores[0] == pytest.approx(short.score, abs=1e-5)
    assert abs(long.score - short.score) <= 2 / 15


def test_the_mean_weighs_windows_by_the_tokens_they_add(scorer: OpenClipScorer) -> None:
    text = "red star on grass " * 2 + "blue circle, " + "snow " * 7
    image = np.eye(1, 16, dtype=np.float32)

    (scored,) = score_texts(scorer, [text], image)

    first, second = scored.window_scores
    assert scored.score == pytest.approx((11 * first + 7 * second) / 18)


@given(TEXTS, st.integers(min_value=4, max_value=30))
def test_a_fitted_text_is_a_prefix_that_fits(text: str, limit: int) -> None:
    short = fit(text, count, limit)

    assert count(short) <= limit
    assert text.startswith(short)
    assert short == text or count(text) > limit


def test_a_text_is_fitted_at_a_clause() -> None:
    assert fit("A red vase, standing on a wooden table", count, 9) == "A red vase"


LONG = {
    "english": "A red vase stands on a wooden table, near the old window. " * 200,
    "chinese": "红色的花瓶放在木桌上，旁边有一扇旧窗户。" * 420,
    "thai without spaces": "แจกันสีแดงบนโต๊ะไม้" * 430,
    "one word": "x" * 8_192,
    "separators": ", " * 4_096,
    "sixty thousand": "a vase. " * 8_192,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_the_work_for_a_text_is_bounded(text: str) -> None:
    tokenized = 0

    def costly(part: str) -> int:
        nonlocal tokenized
        tokenized += len(part)
        return 2 + len(part.encode()) // 2

    windows = windows_of(text, costly, 77)

    assert 1 <= len(windows) <= MOST_WINDOWS
    assert all(costly(window.text) <= 77 and window.text in text for window in windows)
    assert tokenized <= 40_000


def test_the_windows_of_a_long_text_lie_all_over_it() -> None:
    text = " ".join(f"Sentence {number} is here." for number in range(800))

    windows = windows_of(text, count, 20)

    places = [text.index(window.text) / len(text) for window in windows]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] > 0.8
    assert all(window.text.startswith("Sentence") for window in windows)
    assert all(window.text.endswith("here.") for window in windows)
