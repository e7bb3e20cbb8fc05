"""`make bench`: ours against named peers, in one run. `python -m benchmarks.run audio` runs one of them. Asserts nothing about time.

`benchmarks/savings.py` (bytes), `benchmarks/hearing.py` (accuracy) and `benchmarks/search.py` (tables) take hours, and are programs of their own."""
import platform
import sys
from importlib import import_module
from pathlib import Path

import torch

ALL = sorted(o.stem for o in Path(__file__).parent.glob('*.py') if o.stem not in ('run', 'timing', 'savings', 'hearing', 'search'))

if __name__ == '__main__':
    torch.set_num_threads(1)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'
    print(f'python {platform.python_version()}, torch {torch.__version__}, one CPU thread, GPU: {gpu}')
    for name in sys.argv[1:] or ALL: import_module(f'benchmarks.{name}').run()
