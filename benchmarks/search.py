"""Which search finds the best tables? All methods of `search_qtables` with the same budget on one real task, a part of CIFAR-10: hypervolume on the images of the search and on others, and what it cost.

Writes `results/search.csv`, a row per search; killed and run again, it goes on where it was. `python -m benchmarks.search [--seeds 5] [--budget 150]` takes about an hour of one CPU core.
Each seed draws its own network, and its own split of the 2500 pictures: 1400 to train on (the network, and the tables of 'grad'), 100 for the learner's validation set, 400 to search on, 600 held out."""
import argparse
from functools import cache

import numpy as np
import torch
from fastai.vision.all import CrossEntropyLossFlat, DataLoaders, Learner, TensorImage, accuracy, set_seed

from fastjpeg.all import *

from .kept import Results
from .savings import Shift

SEARCHES = [('standard', 'all'), ('random', 'sorted'), ('random', 'low4'), ('nsga2', 'low4'), ('nsga2', 'sorted'), ('tpe', 'low4'), ('gp', 'low4'), ('de', 'low4'), ('pso', 'low4'), ('mcmc', 'full'), ('grad', 'full')]
REF = dict(loss=(4, -np.log(10)), accuracy=(4, .1))     # a network that guesses, files at a quarter of the pixels


@cache
def task(seed):
    "A trained learner, the items of the search and those held out"
    d = np.load(data_path('cifar10')/'cifar10_subset.npz')
    x, y = (np.concatenate([d[f'{k}_train'], d[f'{k}_test']]) for k in 'xy')
    order = np.random.default_rng(seed).permutation(len(x))
    items = list(zip(TensorImage(torch.from_numpy(x[order]).permute(0, 3, 1, 2).float()/255), torch.from_numpy(y[order]).long()))
    set_seed(seed, reproducible=True)
    dls = DataLoaders.from_dsets(items[:1400], items[1400:1500], bs=50, num_workers=0, device='cpu')
    dls.train.rng.seed(seed)
    learn = Learner(dls, small_cnn(3, 10, (32, 64, 96)), loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=Shift(2, 2, True))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(10, 5e-3)
    learn.remove_cb(learn.cbs[-1])
    return learn, items[1500:1900], items[1900:]


def standard(objective):
    "The front of the standard tables: all hundred qualities"
    tables = [QTables.standard(q) for q in range(1, 101)]
    return ParetoFront.of(tables, *zip(*map(objective, tables)))


def volumes(front, held):
    "Hypervolume over log2(rate) of a front, by the loss on the images of the search, and by loss and accuracy on those held out"
    return dict(search=front.hypervolume(REF['loss']), **{k: front.rescore(o).hypervolume(REF[k]) for k, o in held.items()})


def one(seed, budget, method, space):
    "One search: a row of the table"
    learn, search, held = task(seed)
    objective, held = ClassifierObjective(learn, search, 'loss'), {k: ClassifierObjective(learn, held, k) for k in REF}
    front = standard(objective) if method == 'standard' else search_qtables(objective, method, space, budget, seed=seed, progress=False)
    return dict(tables=len(front), **{k: round(v, 5) for k, v in volumes(front, held).items()})


def run(argv=()):
    p = argparse.ArgumentParser(prog='python -m benchmarks.search', description=__doc__)
    p.add_argument('--seeds', type=int, default=5)
    p.add_argument('--budget', type=int, default=150)
    args = p.parse_args(argv)
    res = Results('search', code=[one, task.__wrapped__, standard, volumes, search_qtables], ref=REF, data=data_path('cifar10')/'cifar10_subset.npz')
    for seed in range(args.seeds):
        for method, space in SEARCHES: res.get(one, seed=seed, budget=args.budget, method=method, space=space)
    print(res.save().groupby(['method', 'space'])[['search', *REF, 'cpu_s']].agg(['mean', 'std']).round(4).to_string())


if __name__ == '__main__':
    import sys
    torch.set_num_threads(1)
    run(sys.argv[1:])
