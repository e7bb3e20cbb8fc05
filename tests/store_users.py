"""Everything that takes `store=`, on small tasks: what `test_store.py` kills, changes and runs again, in processes of their own."""
import os
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (Adam, CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Learner, Resize, SGD, accuracy,
                               get_image_files, set_seed)
from PIL import Image
from torch import nn

import fastjpeg.audio.frontends as frontends
import fastjpeg.audio.recordings as recordings
import fastjpeg.jpeg.curves as curves
import fastjpeg.jpeg.transforms as transforms
from fastjpeg.all import *
from fastjpeg.store import Store

SR = 8000


def make_data(folder):
    "Recordings and pictures of two classes"
    rng = np.random.default_rng(0)
    for i in range(16):
        for kind in ('sounds', 'pictures'): (folder/kind/'ab'[i % 2]).mkdir(parents=True, exist_ok=True)
        TensorAudio(torch.from_numpy(rng.normal(0, .1, (1, 1600)).astype('float32')), sr=SR).save(folder/'sounds'/'ab'[i % 2]/f'{i}.wav')
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder/'pictures'/'ab'[i % 2]/f'{i}.png')


def label(wrong, file): return 'a' if file.name == wrong else file.parent.name


def sounds(data, wrong=None, duration=.2, tfms=()):
    block = DataBlock((AudioBlock(SR, duration), CategoryBlock), get_y=partial(label, wrong), splitter=IndexSplitter(range(4)), batch_tfms=[*tfms, Stft(n_fft=64)])
    return block.dataloaders(sorted(get_audio_files(data/'sounds')), bs=4, num_workers=0)


def pictures(data, wrong=None, size=16, wd=.01, seed=0, opt=Adam):
    block = DataBlock((ImageBlock, CategoryBlock), get_y=partial(label, wrong), splitter=IndexSplitter(range(6)), item_tfms=Resize(size))
    dls = block.dataloaders(sorted(get_image_files(data/'pictures')), bs=4, num_workers=0)
    set_seed(seed)
    return Learner(dls, small_cnn(3, 2, (4,)), metrics=accuracy, wd=wd, opt_func=opt)


def heard(data, wrong=None, seed=0, **kw):
    dls = sounds(data, wrong, **kw)
    set_seed(seed)
    return Learner(dls, small_cnn(1, 2, (4,)))


def of_front_ends(data, wrong=None, store=None, **kw):
    files = sorted(get_audio_files(data/'sounds'))
    settings = dict(frontends={'a': Stft(n_fft=64), 'b': Mel(n_fft=64, n_mels=16)}, seeds=2, budget=1, sr=SR, duration=.15, bs=4, model=partial(small_cnn, widths=(4,)))
    return compare_frontends(files, [label(wrong, o) for o in files], **{**settings, **kw}, store=store).drop(columns=['front_ms', 'train_s'])


def of_sweep(data, store=None, qualities=(5, 20, 50, 90), subsampling='4:2:0', **kw): return quality_sweep(pictures(data, **kw), qualities, store=store, subsampling=subsampling, progress=False)


def of_recordings(data, store=None, hop=.1, how='mean', **kw):
    return predict_recordings(heard(data, **kw), sorted(get_audio_files(data/'sounds')), store, hop=hop, how=how, progress=False)[0]


class Mean(nn.Module):
    def __init__(self, factor=1.):
        super().__init__()
        self.factor, self.linear = factor, nn.Linear(1, 1)
        with torch.no_grad(): self.linear.weight.fill_(factor)
    def forward(self, x): return self.linear(x.as_subclass(torch.Tensor).abs().mean(-1)[..., None])[..., 0]


def of_features(data, store=None, factor=1., sr=SR, **kw):
    set_seed(0)
    extract_features(sorted(get_audio_files(data/'sounds')), Mean(factor), store, sr=sr, n_workers=0, chunk=1, progress=False, **kw)
    return read_features(store)


def of_reencode(data, store=None, **kw):
    reencode(data/'pictures', store, n_workers=0, progress=False, **kw)
    files = sorted(o for o in store.rglob('*.jpg') if '.reencode' not in o.parts)
    return pd.DataFrame([(o.relative_to(store).as_posix(), o.read_bytes()) for o in files])


def of_search(data, store=None, budget=12, seed=0, space='scale', **kw):
    front = search_qtables(ClassifierObjective(pictures(data, **kw), metric='loss'), 'random', space, budget, seed=seed, store=store, progress=False)
    return pd.DataFrame(dict(rate=front.rate, score=front.score))


def of_rocket(data, store=None, wrong=None, seed=0, **kw):
    block = DataBlock((AudioBlock(SR, .2), CategoryBlock), get_y=partial(label, wrong), splitter=IndexSplitter(range(4)), **kw)
    dls = block.dataloaders(sorted(get_audio_files(data/'sounds')), bs=4, num_workers=0)
    rocket = MiniRocket(84, seed=seed).fit(torch.randn(4, 1, 1600, generator=torch.Generator().manual_seed(0)))
    return pd.DataFrame([o.numpy().ravel() for part in rocket_learner(dls, rocket, store=store).features() for o in part])


# user -> its function; where its work is done, to be counted; what can be changed. 'file' changes a file itself
USERS = {
    'compare_frontends': (of_front_ends, (frontends, '_train'), dict(budget=2, sr=4000, duration=.1, bs=8, lr=1., wrong='1.wav', groups=list(range(8))*2, item_tfms=LoudestSegment(.05), batch_tfms=AddNoise(),
                          model=partial(small_cnn, widths=(5,)), valid_pct=.4, frontends={'a': Stft(n_fft=128), 'b': Mel(n_fft=64, n_mels=17)}, file='sounds/b/1.wav')),
    'quality_sweep': (of_sweep, (curves, 'measure_images'), dict(wrong='1.png', size=24, seed=1, subsampling='4:4:4', opt=SGD, qualities=(6, 21, 51, 91), file='pictures/a/0.png')),
    'predict_recordings': (of_recordings, (recordings._Detector, '__call__'), dict(hop=.05, how='max', seed=1, tfms=[Gain((6, 6))], duration=.15, file='sounds/b/1.wav')),
    'extract_features': (of_features, (Mean, 'forward'), dict(factor=2., sr=4000, duration=.1, mono=False, pad_mode='wrap', file='sounds/b/1.wav')),
    'reencode': (of_reencode, (transforms, '_encode_file'), dict(quality=30, subsampling='4:4:4', file='pictures/a/0.png')),
    'search_qtables': (of_search, (ClassifierObjective, '__call__'), dict(budget=13, seed=1, space='low4', wrong='1.png', size=24, file='pictures/a/0.png')),
    'rocket_learner': (of_rocket, (Store, 'put'), dict(wrong='1.wav', seed=1, item_tfms=[LoudestSegment(.1)], file='sounds/b/1.wav'))}


def change_file(file):
    "Other samples or pixels, of the same number"
    if file.suffix == '.wav': file.write_bytes(file.read_bytes()[:-100]+b'\1'*100)
    else: Image.new('RGB', (24, 24), 'red').save(file)


def run(user, data, log, result, *jobs):
    "Runs in a process of its own, each a store and what is changed for it; each piece of work leaves a line in `log`. To `result` goes a list (pickled): a table or the text of an error, and how many pieces it took"
    warnings.filterwarnings('ignore')
    torch.set_num_threads(1)
    f, (where, name), changes = USERS[user]
    work, found, n = getattr(where, name), [], 0
    def counted(*args, **kw):
        nonlocal n
        res = work(*args, **kw)
        n += 1
        with open(log, 'a') as file: print('done', file=file)
        return res
    with mock.patch.object(where, name, counted):
        for store, change in jobs:
            n = 0
            if change == 'file': change_file(data/changes['file'])
            try: res = f(data, store=store, **({} if change in (None, 'file') else {change: changes[change]}))
            except ValueError as e: res = f'{type(e).__name__}: {e}'
            found.append((res, n))
    part = Path(f'{result}.part')
    pd.to_pickle(found, part)
    os.replace(part, result)
