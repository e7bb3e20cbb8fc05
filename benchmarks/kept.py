"""Runs of hours, each kept in a store (`bench_out/NAME`) as soon as it is there; the table in `results/` is written when all are."""
import time
from pathlib import Path

import pandas as pd

from fastjpeg.store import Store, write_whole

RESULTS = Path(__file__).parent/'results'


class Results:
    def __init__(self, name, **task):
        self.name, self.rows, self.kept = name, [], Store(Path('bench_out')/name, name, **task)

    def get(self, f, **key):
        "A row: `key`, `f(**key)` and its CPU seconds, computed only if it is not there"
        row = self.kept.get(key)
        if row is None:
            start = time.process_time()
            row = self.kept.put({**key, **f(**key), 'cpu_s': round(time.process_time()-start, 1)}, key)
            print('  ', row, flush=True)
        self.rows.append(row)

    def save(self):
        "The table, also written to `results/NAME.csv`"
        df = pd.DataFrame(self.rows)
        write_whole(RESULTS/f'{self.name}.csv', lambda f: df.to_csv(f, index=False))
        return df
