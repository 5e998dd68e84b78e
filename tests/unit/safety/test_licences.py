"""Licences as pages and catalogues write them, and the list of accepted ones."""

# ruff: noqa: RUF001, E501  # words of many scripts, each licence on its line

import pytest

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.licence import AcceptedLicences, normalised
from kaption.workers.safety.policy import SafetyPolicy
from support.ingest_bench import Bench, image_bytes, raw

GIVEN = {
    "CC BY-SA 4.0": "CC-BY-SA-4.0",
    "https://creativecommons.org/licenses/by/2.0/": "CC-BY-2.0",
    "http://creativecommons.org/licenses/by-sa/3.0/de/deed.de": "CC-BY-SA-3.0-DE",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/legalcode": "CC-BY-NC-ND-4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    "CC0": "CC0-1.0",
    "cc-by-4.0": "CC-BY-4.0",
    "Public domain": "public-domain",
    "gemeinfrei": "public-domain",
    "All rights reserved": "all-rights-reserved",
    "© 2020 Jane. Alle Rechte vorbehalten.": "all-rights-reserved",
    "Tous droits réservés": "all-rights-reserved",
    "版权所有": "all-rights-reserved",
    "Creative Commons Attribution-ShareAlike 4.0 International": "CC-BY-SA-4.0",
    "Creative Commons Attribution-Share Alike 3.0 Unported": "CC-BY-SA-3.0",
    "Creative Commons Namensnennung - Weitergabe unter gleichen Bedingungen 3.0 Deutschland": "CC-BY-SA-3.0-DE",
    "Creative Commons Attribution - Pas d’Utilisation Commerciale 4.0": "CC-BY-NC-4.0",
    "Attribution-NonCommercial-ShareAlike License": "CC-BY-NC-SA",
    "Attribution License": "unknown",
    "Attribution: Jane Doe": "unknown",
    "CC BY": "CC-BY",
    "CC-BY-NC": "CC-BY-NC",
    "cc by nc nd 3.0": "CC-BY-NC-ND-3.0",
    "Reconocimiento-NoComercial-CompartirIgual 4.0 Internacional (CC BY-NC-SA 4.0)": "CC-BY-NC-SA-4.0",
    "クリエイティブ・コモンズ 表示-継承 4.0 国際": "CC-BY-SA-4.0",
    "知识共享 署名-非商业性使用 4.0": "CC-BY-NC-4.0",
    "MIT": "MIT",
    "MIT License": "MIT",
    "apache-2.0": "Apache-2.0",
    "GFDL": "GFDL",
    "GNU Free Documentation License 1.2": "GFDL",
    "?": "unknown",
    "4": "unknown",
    "Copyright Getty Images": "unknown",
    "Editorial use only": "unknown",
    "https://unsplash.com/license": "LicenseRef-Unsplash",
    "https://www.pexels.com/photo-license/": "LicenseRef-Pexels",
    "http://rightsstatements.org/vocab/InC/1.0/": "all-rights-reserved",
    "not in the public domain": "unknown",
    "CC BY 4.0, all rights reserved": "all-rights-reserved",
    "CC BY 4.0 or CC BY-SA 3.0": "unknown",
    "CC BY 4.0 (non-commercial use only)": "CC-BY-NC-4.0",
    "Domaine public": "public-domain",
    "Dominio público": "public-domain",
    "No known copyright restrictions": "public-domain",
    "CC BY-ND-SA 4.0": "unknown",
    "http://creativecommons.org/licenses/by/3.0/us/": "CC-BY-3.0-US",
    "http://creativecommons.org/licenses/by/3.0/pl/": "CC-BY-3.0",
    "https://creativecommons.org/licenses/by-nc/2.5/ca/": "CC-BY-NC-2.5",
    "creativecommons.org/licenses/by/4.0": "CC-BY-4.0",
    "CC-BY-SA-3.0-igo": "CC-BY-SA-3.0-IGO",
    "http://creativecommons.org/licenses/by-nc-sa/3.0/igo/": "CC-BY-NC-SA-3.0-IGO",
    "Open Government Licence v3.0": "OGL-UK-3.0",
    "CC BY 4": "CC-BY-4.0",
    "cc_by_sa_4.0": "CC-BY-SA-4.0",
    "Все права защищены": "all-rights-reserved",
    "С указанием авторства — С сохранением условий 4.0 Всемирная (CC BY-SA 4.0)": "CC-BY-SA-4.0",
    "PD": "public-domain",
    "PD-old-100": "public-domain",
    "Photo by Ann, 2020": "unknown",
    "by Jane 4.0": "unknown",
    "This work is licensed under a Creative Commons Attribution 4.0 International License.": "CC-BY-4.0",
    "Royalty-free": "unknown",
    "Public Domain Dedication (CC0)": "CC0-1.0",
    "https://spdx.org/licenses/CC-BY-4.0": "CC-BY-4.0",
    "CC BY 2.0, via Wikimedia Commons": "CC-BY-2.0",
    "CC BY-SA 3.0 <http://creativecommons.org/licenses/by-sa/3.0/>, via Wikimedia Commons": "CC-BY-SA-3.0",
    "CC-BY-SA 2.5, 2.0, 1.0": "unknown",
    "Attribution 4.0 International (CC BY 4.0)": "CC-BY-4.0",
    "CC Attribution": "CC-BY",
    "Atribución 4.0": "unknown",
    "Fair use": "unknown",
    "CC BY-SA v4": "CC-BY-SA-4.0",
    "CC BY version 2.5": "CC-BY-2.5",
    "CC-BY-4.0 AND MIT": "unknown",
    "MIT AND MIT": "MIT",
    "Released under the MIT License": "MIT",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "GNU GPLv3": "GPL-3.0-only",
    "GNU General Public License v3.0 only": "GPL-3.0-only",
    "gpl-3.0+": "GPL-3.0-or-later",
    "LGPL v2.1 or later": "LGPL-2.1-or-later",
    "AGPL-3": "AGPL-3.0-only",
    "apache helicopter 2": "unknown",
    "mit freundlicher Genehmigung": "unknown",
}


@pytest.mark.parametrize("given", GIVEN)
def test_a_licence_gets_its_identifier(given: str) -> None:
    assert normalised(given) == GIVEN[given]


@pytest.mark.parametrize(
    ("accepted", "given", "passes"),
    [
        ((), "All rights reserved", True),
        (("CC-BY",), "https://creativecommons.org/licenses/by/3.0/de/", True),
        (("CC-BY",), "CC BY-SA 4.0", False),
        (("CC-BY",), "CC BY-NC 4.0", False),
        (("cc by 4.0",), "CC BY 4.0", True),
        (("CC-BY-4.0",), "CC BY 3.0", False),
        (("CC-BY-4.0",), "CC BY", False),
        (("CC0-1.0", "public-domain"), "gemeinfrei", True),
        (("CC-BY",), None, False),
        (("CC-BY",), "?", False),
        (("CC-BY", "unknown"), None, True),
        (("CC-BY", "unknown"), "ask me", True),
        (("CC-BY", "unknown"), "Tous droits réservés", False),
    ],
)
def test_the_list_accepts_what_it_names(
    accepted: tuple[str, ...], given: str | None, passes: bool
) -> None:
    licences = AcceptedLicences(accepted)

    if passes:
        licences.checked(given)
    else:
        with pytest.raises(Reject) as refused:
            licences.checked(given)
        assert refused.value.reason is Reason.LICENCE_REFUSED


def test_a_typo_in_the_list_is_one_clear_error() -> None:
    with pytest.raises(Fatal, match="CC-YB"):
        AcceptedLicences(["CC-YB-4.0"])


def test_a_pair_keeps_the_given_and_the_normalised_licence(bench: Bench) -> None:
    given = raw(image_bytes(90), 0).record.model_copy(update={"licence": "cc by 2.0"})
    message = raw(image_bytes(90), 0)
    message = type(message)(given, message.origin, message.position)
    stage = bench.stage(safety=SafetyPolicy(licences=("CC-BY",)))

    pair = stage.prepare(message).pair

    assert (pair.licence, pair.licence_id) == ("cc by 2.0", "CC-BY-2.0")
