"""``python -m hadyounot.plan``, as README has taught; it lives in ``hadyounot.workflow.plan``."""

import sys

from .workflow.plan import main

if __name__ == "__main__":
    main(*sys.argv[1:])
