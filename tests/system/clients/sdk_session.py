"""Runs the Python of docs/clients.md with the SDK of its own environment; takes the page's path.

Each ```python block there is a piece of one session in the form of doctest.
"""

import doctest
import re
import sys
from pathlib import Path

page = Path(sys.argv[1]).read_text()
blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "clients.md", sys.argv[1], 0)
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
runner.run(session)
if runner.failures or runner.tries < 10:
    sys.exit(f"{runner.failures} of {runner.tries} lines of Python differ")
