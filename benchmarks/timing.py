"""Times several ways of doing one thing against each other, in turns, so that a noisy machine hurts all of them alike."""
import ctypes
import os
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

TABLES = []     # what was shown


def compare(ways, repeats=15, warmup=2):
    "`ways`: name -> function without arguments, the first is the reference. Rows with the median time in ms, how many times faster than the reference each is (the median over the turns), and between what bounds: a 95 % interval of that median, by bootstrap over the turns"
    times = {k: [] for k in ways}
    for i in range(warmup+repeats):
        for k, f in ways.items():
            start = perf_counter()
            f()
            if i >= warmup: times[k].append(1000*(perf_counter()-start))
    ref, rng = np.array(times[next(iter(ways))]), np.random.default_rng(0)
    rows = []
    for k, v in times.items():
        ratio = ref/v
        low, high = np.percentile(np.median(rng.choice(ratio, (2000, len(ratio))), 1), [2.5, 97.5])
        rows.append(dict(way=k, ms=round(median(v), 3), times_faster=round(float(np.median(ratio)), 2), low=round(float(low), 2), high=round(float(high), 2)))
    return rows


def peak_mb(f):
    "What `f()` needs at most on top of what is held before, MB, by Linux' own account; None elsewhere"
    try:
        ctypes.CDLL('libc.so.6').malloc_trim(0)             # else memory that was freed, but not given back, would be used again unseen
        Path('/proc/self/clear_refs').write_text('5')       # resets the high-water mark
    except OSError: return None
    def held(key): return next(int(o.split()[1]) for o in Path(f'/proc/{os.getpid()}/status').read_text().splitlines() if o.startswith(key))/1024
    before = held('VmRSS')
    f()
    return round(held('VmHWM')-before, 1)


def show(title, rows):
    "Prints rows (dicts with the same keys) as a table under a title, and keeps them for `run.py`"
    TABLES.append(dict(title=title, rows=rows))
    keys = list(rows[0])
    width = {k: max(len(k), *(len(str(r[k])) for r in rows)) for k in keys}
    print(f'\n{title}')
    print('  '.join(k.ljust(width[k]) for k in keys))
    for r in rows: print('  '.join(str(r[k]).ljust(width[k]) for k in keys), flush=True)
