"""Runs notebooks in a real kernel and saves their outputs: `python -m tools.execute nbs/10_audio.core.ipynb ... [--flags "slow"]`.

Cells with an nbdev test flag (slow, cuda) or whose data is not here keep the outputs that they have.
A cell that fails stops the run; nothing is saved then."""
import argparse
import os
import re
import sys
from pathlib import Path

from fastcore.nbio import read_nb
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbdev.clean import nbdev_clean

from tools.cells import cells_to_run


def belongs_on_page(output):
    "Not what goes to stderr (warnings name local paths), nor the empty HTML that a finished progress bar leaves behind"
    return output.get('name') != 'stderr' and output.get('data', {}).get('text/html') != ''


def execute(path, flags=()):
    import nbformat
    todo, missing = cells_to_run(path, flags)
    if missing: print(f'(cells without {", ".join(sorted(missing))} keep their outputs) ', end='', flush=True)
    ids = [c.id for c in read_nb(path).cells]
    nb = nbformat.read(path, as_version=4)
    client = NotebookClient(nb, timeout=1200, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}})
    with client.setup_kernel():
        for i, cell in enumerate(nb.cells):
            if ids[i] in todo: client.execute_cell(cell, i)
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [] if re.search(r'^#\|\s*hide\s*$', cell.source, flags=re.M) else [o for o in cell.outputs if belongs_on_page(o)]
    nbformat.write(nb, path)
    nbdev_clean(str(path))


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('notebooks', nargs='+', type=Path)
    p.add_argument('--flags', default='', help='nbdev test flags to run too, such as "slow cuda"')
    args = p.parse_args()
    os.environ.update(PYTHONWARNINGS='ignore', IN_TEST='1', OMP_WAIT_POLICY='PASSIVE')
    os.environ.pop('MPLBACKEND', None)      # figures go into the notebook
    for nb in args.notebooks:
        print(nb, end=' ', flush=True)
        try: execute(nb, args.flags.split())
        except CellExecutionError as e: sys.exit(f'\n{e}')
        print('ok')
