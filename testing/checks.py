"""What every check keeps to."""

# ruff: noqa: D102 - a test's name says what it shows

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kaption.schemas import Caption, CaptionKind
from kaption.workers.checks.check import Check
from kaption.workers.plugins import load_checks
from kaption.workers.policy.select import SelectPolicy

PLAIN = ("A red vase on a wooden table.", "木桌上放着一只红色的花瓶", "Ένα κόκκινο βάζο σε τραπέζι")
ODD = ("", " ", "\x00", "🙂" * 50, "a" * 60_000, "\ufffd")


class CheckConformance:
    """Override the fixture `policy`, which names the check, and `refused`."""

    accepted: Sequence[str] = PLAIN
    """Captions of a model that the check must pass."""
    refused: Sequence[str] = ()
    """Captions of a model that the check must fail."""

    @pytest.fixture(scope="class")
    @classmethod
    def policy(cls) -> SelectPolicy:
        raise NotImplementedError("override the fixture `policy`")

    @pytest.fixture(scope="class")
    @classmethod
    def check(cls, policy: SelectPolicy) -> Check:
        """Load the check as the select stage does."""
        (check,) = load_checks(policy)
        return check

    def test_a_good_caption_passes(self, check: Check) -> None:
        for text in self.accepted:
            result = check.check(Caption(text=text, kind=CaptionKind.VLM))

            assert result.passed, text
            assert result.name == check.name
            assert result.detail == ""

    def test_a_bad_caption_fails_and_the_detail_says_why(self, check: Check) -> None:
        for text in self.refused:
            result = check.check(Caption(text=text, kind=CaptionKind.VLM))

            assert not result.passed, text
            assert result.name == check.name
            assert result.detail

    @pytest.mark.parametrize("text", ODD)
    @pytest.mark.parametrize("kind", CaptionKind)
    def test_any_text_is_judged_without_an_error(
        self, check: Check, text: str, kind: CaptionKind
    ) -> None:
        result = check.check(Caption(text=text, kind=kind))

        assert result.passed == (result.detail == "")

    def test_the_same_caption_gets_the_same_result(self, check: Check) -> None:
        for text in (*self.accepted, *self.refused, *ODD):
            caption = Caption(text=text, kind=CaptionKind.VLM)

            assert check.check(caption) == check.check(caption)
