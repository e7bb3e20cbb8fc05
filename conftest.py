"""Collects each notebook of nbs/ as one test: its cells run in order in one shell, as nbdev-test would run them.

`--flags "slow cuda"` runs the cells so flagged too. A cell flagged `#| data: NAME` is skipped, and counted, when `data_path(NAME)` finds nothing on this machine."""
import os
from pathlib import Path

import pytest

os.environ.setdefault('OMP_NUM_THREADS', '1')       # two workers on two cores: more threads only get in each other's way
os.environ.setdefault('MPLBACKEND', 'agg')
os.environ['IN_TEST'] = '1'                         # the closing nbdev_export() of a notebook does nothing


def pytest_addoption(parser):
    parser.addoption('--flags', default='', help='nbdev test flags to run that are skipped by default, such as "slow cuda"')


def pytest_collect_file(file_path, parent):
    if file_path.suffix == '.ipynb' and not file_path.name.startswith(('_', '.')): return NotebookFile.from_parent(parent, path=file_path)


class CellError(Exception):
    def __init__(self, idx, cell, exc, tb): self.idx, self.cell, self.exc, self.tb = idx, cell, exc, tb


class NotebookFile(pytest.File):
    def collect(self):
        item = Notebook.from_parent(self, name=self.path.stem)
        if self.config.getoption('--flags'): item.add_marker(pytest.mark.timeout(0))       # cells that are skipped by default may take hours
        yield item


class Notebook(pytest.Item):
    def runtest(self):
        from fastcore.nbio import read_nb
        from execnb.shell import CaptureShell

        from tools.cells import cells_to_run
        todo, missing = cells_to_run(self.path, self.config.getoption('--flags').split())
        shell, cwd = CaptureShell(self.path, mpl_format=None), Path.cwd()
        os.chdir(self.path.parent)
        try:
            for i, cell in enumerate(read_nb(self.path).cells):
                if cell.id not in todo: continue
                try: shell.cell(cell)
                except pytest.fail.Exception as e: raise CellError(i, cell, e, 'The cell still runs.') from None       # pytest-timeout
                if shell.exc: raise CellError(i, cell, shell.exc, shell.prettytb(fname=self.path))
        finally:
            os.chdir(cwd)
            shell.close()
        if missing: self.user_properties.append(('skipped_data', f'{self.name}: {", ".join(sorted(missing))}'))

    def repr_failure(self, excinfo):
        if not isinstance(excinfo.value, CellError): return super().repr_failure(excinfo)
        e = excinfo.value
        return f'cell {e.idx} ({e.cell.id}): {type(e.exc).__name__}: {e.exc}\n\n{e.cell.source}\n\n{e.tb}'

    def reportinfo(self): return self.path, None, self.name


def pytest_terminal_summary(terminalreporter):
    found = sorted({v for r in terminalreporter.getreports('passed') for k, v in r.user_properties if k == 'skipped_data'})
    if found: terminalreporter.write_line(f'cells skipped, data not on this machine -- {"; ".join(found)}')
