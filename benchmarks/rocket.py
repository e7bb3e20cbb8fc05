"""ROCKET and its family: features against aeon's and the authors' own (largest difference, asserted), and times.

Peers that are not there are named and left out. The authors' plain files must lie on the Python path: minirocket_variable.py and minirocket_multivariate_variable.py
(github.com/angus924/minirocket), rocket_functions.py (github.com/angus924/rocket; `np.NINF` is -np.inf since numpy 2), hydra.py (github.com/angus924/hydra)."""
from functools import partial
from importlib import import_module

import numba
import numpy as np
import torch

from benchmarks.timing import compare, show
from fastjpeg.audio.rocket import Hydra, MiniRocket, MultiRocket, Rocket


def peer(name):
    "A module, or `None` with a word about it"
    try: return import_module(name)
    except ImportError as e: print(f'  {name} is not here ({e}): left out')


def pcm(n, channels, samples, seed=0):
    "Random walks as 16-bit samples"
    return np.random.RandomState(seed).randint(-300, 301, (n, channels, samples)).cumsum(-1).astype(np.int16)


def row(what, ours, theirs, exact=False):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    d = np.abs(ours-theirs)
    close = d <= 1e-5*np.abs(theirs)+1e-5
    if exact: assert d.max() == 0, (what, d.max())
    return dict(features=what, n=d.size, largest_difference=f'{d.max():.3g}', equal=f'{(d == 0).mean():.4%}', within_1e_5=f'{close.mean():.4%}')


def against_aeon():
    "MiniRocket and MultiRocket with the same seed, from fit to features; Rocket and Hydra with the same kernels"
    if not (aeon := peer('aeon.transformations.collection.convolution_based')): return []
    rows = []
    for channels in (1, 3):
        x = pcm(12, channels, 1500)
        t = torch.from_numpy(x)
        for backend in ('numba', 'torch'):
            mini = MiniRocket(normalize=False, seed=3, backend=backend).fit(t)(t)
            rows.append(row(f'MiniRocket, aeon, {channels} channels, {backend}', mini, aeon.MiniRocket(random_state=3).fit(x).transform(x), exact=True))
            ref = aeon.MultiRocket(n_kernels=1250, random_state=3).fit(x)
            multi = MultiRocket(10_000, normalize=False, seed=3, backend=backend).fit(t)
            # aeon fits the biases of the differences on other channels than it uses them on: take its biases
            if channels > 1: multi.biases1 = torch.from_numpy(ref.parameter1[-1])
            rows.append(row(f'MultiRocket, aeon, {channels} channels, {backend}', multi(t), ref.transform(x), exact=True))
    return rows


def against_authors():
    rows, n = [], np.array([1500, 1000, 700, 300, 90, 50, 20, 9, 5, 1200, 800, 400], np.int32)
    for name, channels in (('minirocket_variable', 1), ('minirocket_multivariate_variable', 3)):
        if not (authors := peer(name)): continue
        x = pcm(12, channels, 1500)
        joined = np.concatenate([o[:, :k] for o, k in zip(x, n)], 1).astype(np.float32)
        joined = joined[0] if channels == 1 else joined
        fitted = authors.fit(joined, n)
        for backend in ('numba', 'torch'):
            m = MiniRocket(normalize=False, same=True, backend=backend).fit(torch.from_numpy(x), n)
            m.biases0 = torch.from_numpy(fitted[-1])
            if channels > 1:
                sizes, chosen = fitted[:2]
                m.channels.zero_()
                for k, c in enumerate(np.split(chosen, np.cumsum(sizes)[:-1])): m.channels[k, torch.from_numpy(c).long()] = True
            rows.append(row(f'{name}.py, {backend}', m(torch.from_numpy(x), n), authors.transform(joined, n, fitted), exact=True))
    z = torch.randn(8, 1, 1500, generator=torch.Generator().manual_seed(0))
    if authors := peer('rocket_functions'):
        for backend in ('numba', 'torch'):
            m = Rocket(1000, normalize=False, backend=backend).fit(z)
            w = np.concatenate([o[0, :k] for o, k in zip(m.weights.double().numpy(), m.sizes.tolist())])
            pads = ((m.sizes-1)*m.dilations//2*m.padded).int().numpy()
            kernels = w, m.sizes.int().numpy(), m.biases.double().numpy(), m.dilations.int().numpy(), pads
            rows.append(row(f'rocket_functions.py, {backend}', m(z), authors.apply_kernels(z[:, 0].double().numpy(), kernels)))
    if authors := peer('hydra'):
        ref = authors.Hydra(1500, g=16, seed=0)
        for backend in ('numba', 'torch'):
            m = Hydra(n_groups=16, normalize=False, backend=backend).fit(z)
            assert (m.weights == ref.W).all()
            rows.append(row(f'hydra.py, {backend}', m(z), ref(z)))
    return rows


def alone(backend):
    "Largest difference between a clip alone and the same in a padded batch"
    x, n = torch.randn(6, 2, 2000, generator=torch.Generator().manual_seed(0)), torch.tensor([2000, 1500, 700, 90, 9, 1])
    rows = []
    for make in (MiniRocket, MultiRocket, lambda **kw: Rocket(500, **kw), lambda **kw: Hydra(n_groups=8, **kw)):
        m = make(backend=backend).fit(x, n)
        d = (m(x, n)-torch.cat([m(x[i:i+1, :, :k]) for i, k in enumerate(n.tolist())])).abs().max().item()
        rows.append(dict(alone_against_batch=type(m).__name__, backend=backend, largest_difference=d))
    return rows


def speed():
    numba.set_num_threads(1)
    torch.set_num_threads(1)            # numba's setting, which aeon changes, is torch's too where both use one OpenMP
    x = pcm(8, 1, 4096)
    t, n = torch.from_numpy(x).float(), np.array([4096, 2000]*4, np.int32)
    aeon = peer('aeon.transformations.collection.convolution_based')
    ways = {}
    if aeon:
        ref = aeon.MiniRocket(random_state=0).fit(x)
        ways['aeon'] = partial(ref.transform, x)
    for backend in ('numba', 'torch'): ways[f'fastjpeg, {backend}'] = partial(MiniRocket(normalize=False, backend=backend).fit(t), t)
    if tsai := peer('tsai.models.MINIROCKET_Pytorch'):
        theirs = tsai.MiniRocketFeatures(1, 4096)
        theirs.fit(t)
        ways['tsai, torch'] = partial(theirs, t)
    show('MiniRocket, 9,996 features of 8 clips of 4096 samples', compare(ways, repeats=9))
    if authors := peer('minirocket_variable'):
        joined = np.concatenate([o[0, :k] for o, k in zip(x, n)]).astype(np.float32)
        fitted, m = authors.fit(joined, n), MiniRocket(normalize=False, same=True).fit(t, n)
        show('the same of unequal length', compare({'minirocket_variable.py': lambda: authors.transform(joined, n, fitted), 'fastjpeg, numba': lambda: m(t, n)}, repeats=9))
    if aeon:
        for what, theirs, ours in (('MultiRocket, 49,728 features', aeon.MultiRocket(), MultiRocket), ('Rocket, 1000 kernels', aeon.Rocket(1000), lambda **kw: Rocket(1000, **kw)),
                                   ('Hydra, 16 groups', aeon.HydraTransformer(n_groups=16), lambda **kw: Hydra(n_groups=16, **kw))):
            theirs.fit(x[:4])
            ways = {f'fastjpeg, {backend}': partial(ours(backend=backend).fit(t[:4]), t[:4]) for backend in ('numba', 'torch')}
            ways = {'aeon': partial(theirs.transform, x[:4]), **ways}
            show(f'{what}, 4 clips of 4096 samples', compare(ways, repeats=3, warmup=1))


def on_gpu():
    "Clips a second, for batches of 256 clips of 4096 samples"
    x = torch.from_numpy(pcm(256, 1, 4096)).float()
    for cls in (MiniRocket, MultiRocket):
        m = cls().fit(x[:32])
        gpu, g = cls(), x.cuda()
        gpu.load_state_dict(m.state_dict())
        gpu.cuda()
        def fetched(module, g=g): return module(g).cpu()
        ways = {'CPU, numba': partial(m, x), 'GPU, torch': partial(fetched, gpu)}
        if cls is MiniRocket and (tsai := peer('tsai.models.MINIROCKET_Pytorch')):
            theirs = tsai.MiniRocketFeatures(1, 4096).cuda()
            theirs.fit(g)
            ways['GPU, tsai'] = partial(fetched, theirs)
        rows = compare(ways, repeats=3, warmup=1)
        for r in rows: r['clips_a_second'] = round(256000/r['ms'])
        show(cls.__name__, rows)


def run():
    if rows := against_aeon()+against_authors(): show('features of 16-bit samples (Rocket, Hydra: of noise)', rows)
    show('a clip alone and in a padded batch', alone('numba')+alone('torch'))
    speed()
    if torch.cuda.is_available(): on_gpu()
