"""`make bench`: ours against named peers, in one run. `python -m benchmarks.run audio` runs one of them. Asserts nothing about time. Results go to results/bench.json, from which the site's page is made.

`benchmarks/savings.py` (bytes), `benchmarks/hearing.py` (accuracy) and `benchmarks/search.py` (tables) take hours, and are programs of their own."""
import json
import platform
import sys
from importlib import import_module
from importlib.metadata import distributions, version
from pathlib import Path

import torch

from .timing import TABLES

ALL = sorted(o.stem for o in Path(__file__).parent.glob('*.py') if o.stem not in ('run', 'timing', 'savings', 'hearing', 'search'))

RESULT = Path(__file__).parent/'results'/'bench.json'


def about(): # the machine and the versions
    cpu = next((o.split(':')[1].strip() for o in Path('/proc/cpuinfo').read_text().splitlines() if o.startswith('model name')), platform.processor()) if Path('/proc/cpuinfo').exists() else platform.processor()
    packages = 'torch', 'fastai', 'numpy', 'librosa', 'pillow', 'nnAudio', 'torchaudio', 'audiomentations', 'kornia', 'aeon', 'tsai', 'jpeglib'
    return dict(cpu=cpu, threads=1, gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else 'none', python=platform.python_version(),
                **{o: version(o) for o in packages if any(d.name.lower() == o.lower() for d in distributions())})


if __name__ == '__main__':
    torch.set_num_threads(1)
    print(', '.join(f'{k} {v}' for k, v in about().items()))
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in sys.argv[1:] or ALL:
        TABLES.clear()
        import_module(f'benchmarks.{name}').run()
        if TABLES: kept[name] = dict(about=about(), tables=list(TABLES))
        RESULT.write_text(json.dumps(kept, indent=1))
