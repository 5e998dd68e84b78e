"""Names of people are told from other words."""

import pytest

from kaption.workers.text.names import is_name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *((name, True) for name in ("Anna Schmidt", "J. Doe", "JANE ROE", "Nguyễn Văn An", "王伟")),
        *(
            (name, True)
            for name in ("João da Silva", "Prof. Karl Weiß", "Jean-Luc Moreau", "أحمد حسن")
        ),
        *((name, False) for name in ("Anna", "Red Fox", "Anna Street", "Anna plays", "J.", "白云")),
        *((name, False) for name in ("", " ", "Anna von", "U.S. Flag", "Victoria Falls", "고양이")),
    ],
)
def test_names_of_people_are_told(text: str, named: bool) -> None:
    assert is_name(text) == named
