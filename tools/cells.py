"""Which cells of a notebook run here: what pytest (conftest.py) and tools/execute.py agree on."""
import re

from nbdev.config import get_config
from nbdev.test import nb_test_cells


def missing_data(source):
    "The names after `#| data:` in a cell that `data_path` does not find on this machine"
    from fastjpeg.datasets import data_path
    names = [n for o in re.findall(r'^#\|\s*data:(.*)$', source, flags=re.M) for n in o.split()]
    return [n for n in names if data_path(n, download=False) is None]


def cells_to_run(path, flags=()):
    "Ids of the cells that nbdev-test would run under `flags` and whose data is here; and the names of the data sets that are not"
    found, missing = set(), set()
    for cell in nb_test_cells(path, get_config().tst_flags.split(), flags):
        lacks = missing_data(cell.source)
        missing.update(lacks)
        if not lacks: found.add(cell.id)
    return found, missing
