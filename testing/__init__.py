"""For tests of plug-ins: conformance suites, and builders of records.

`kaption.testing.records` needs only Kaption. The suites need pytest as well. Each is a class: make
a subclass whose name begins with ``Test``, override the fixtures that its docstring names, and
pytest runs every test of the suite on your plug-in. Nothing outside of tests may import this
package.
"""

import sys
from pkgutil import iter_modules

if "pytest" in sys.modules:
    # So that a failing assert of a suite shows the values that it compared.
    _suites = (f"{__name__}.{module.name}" for module in iter_modules(__path__))
    sys.modules["pytest"].register_assert_rewrite(*_suites)
