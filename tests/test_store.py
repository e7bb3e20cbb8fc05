"""One property for everything that takes `store=`: the same task goes on, killed or not, and computes nothing twice; another one is refused or done anew, and never gets the results of the first."""
import multiprocessing
import os
import random
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from store_users import USERS, make_data, run

here = Path(__file__).parent
spawn = multiprocessing.get_context('forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn')


@pytest.fixture(scope='session', autouse=True)
def server():
    "One process imports everything, before torch has threads, and is forked for each run"
    if spawn.get_start_method() != 'forkserver': return
    from multiprocessing import forkserver
    spawn.set_forkserver_preload(['store_users'])
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, [here, here.parent, os.environ.get('PYTHONPATH', '')]))): forkserver.ensure_running()


class Runs:
    "Runs of one user, its data and its folder"
    def __init__(self, user, folder):
        self.user, self.folder, self.data, self.changes = user, folder, folder/'data', USERS[user][2]
        self.log, self.result = folder/'log', folder/'result'
        make_data(self.data)

    def start(self, *jobs):
        self.log.write_text('')
        p = spawn.Process(target=run, args=(self.user, self.data, self.log, self.result, *((self.folder/store, change) for store, change in jobs)))
        p.start()
        return p

    def __call__(self, *jobs):
        "Of each store and change: a table or the text of an error, and how many pieces of work it took"
        p = self.start(*jobs)
        p.join()
        assert p.exitcode == 0
        return pd.read_pickle(self.result)

    def done(self): return len(self.log.read_text().splitlines())


def same(a, b):
    "Tables that agree to the last bit"
    if isinstance(a, str) or isinstance(b, str) or list(a) != list(b) or len(a) != len(b): return False
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y or x != x and y != y for k in a for x, y in zip(a[k], b[k]))


@pytest.fixture
def runs(request, tmp_path): return Runs(request.param, tmp_path)
every = pytest.mark.parametrize('runs', USERS, indirect=True)


@every
def test_killed_and_run_again(runs):
    (want, n), = runs(('undisturbed', None))
    assert n and not isinstance(want, str), want
    rng, done, kills = random.Random(0), 0, 0
    for stop in sorted(rng.sample(range(1, n), min(2, n-1))):         # when so many pieces are there, at whatever comes next
        p = runs.start(('store', None))
        while p.is_alive() and done+runs.done() < stop: time.sleep(.002)
        time.sleep(.01*rng.random())
        p.kill()
        p.join()
        done, kills = done+runs.done(), kills+1
    (got, more), (again, none) = runs(('store', None), ('store', None))
    assert same(got, want) and same(again, want) and none == 0
    assert n <= done+more <= n+kills        # what was under way may be done again, and nothing else
    assert not list((runs.folder/'store').rglob('*.part'))


@every
def test_another_task(runs):
    jobs = [(store, change) for change in runs.changes for store in ('store', f'new {change}')]
    (first, _), *found = runs(('store', None), *jobs)
    assert not isinstance(first, str), first
    for change, (got, n), (anew, _) in zip(runs.changes, found[::2], found[1::2]):
        assert not isinstance(anew, str), f'{change}: {anew}'
        if isinstance(got, str): assert got.startswith('StoreError') and ' was ' in got, got            # refused, and told why
        else: assert n and same(got, anew), f'{change}: the results of another task'
