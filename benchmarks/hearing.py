"""How well the package hears, on real recordings: CPU hours, so not a part of `make bench`. `python -m benchmarks.hearing` runs all, `python -m benchmarks.hearing digits` a part; it goes on where it was stopped.

Results are in benchmarks/results/, a row per run. Needs the sets `fsdd` and `animal_sounds` (see `data_path`).

digits:  spoken digits of a speaker that was never heard: trained on five speakers, tested on all 500 recordings of the sixth, for each of the six.
animals: nine animals, 175 files as found in the web: 4-fold cross-validation, so that each file is tested on once; the set holds one file per recording, so no recording is on both sides of a split."""
import sys

import numpy as np
import pandas as pd
import torch
from fastai.callback.mixup import MixUp
from fastai.vision.all import Callback, CancelValidException, CategoryBlock, CrossEntropyLossFlat, DataBlock, IndexSplitter, Learner, MixedPrecision, set_seed
from fastcore.foundation import L
from scipy.stats import t as student
from torch import nn

from fastjpeg.audio.all import *

from .kept import Results


def half_width(values):
    "Of the 95 % interval of Student's t"
    k = len(values)
    return student.ppf(.975, k-1)*np.std(values, ddof=1)/k**.5 if k > 1 else np.nan


class NoValidation(Callback):
    "Until the end there is nothing to look at"
    def before_validate(self): raise CancelValidException()


class Bfloat16(Callback):
    "The network computes in bfloat16, which halves the time on processors that can; fastai's own callback is for CUDA"
    order = MixedPrecision.order
    def before_batch(self): self.autocast = torch.autocast('cpu', dtype=torch.bfloat16); self.autocast.__enter__()
    def after_pred(self): self.learn.pred = self.pred.float(); self.autocast.__exit__(None, None, None)


def train(files, labels, valid, waves=(), specs=(), front=None, sr=8000, duration=.8, epochs=20, lr=1e-2, bs=32, seed=0, coords=False, cbs=(), widths=(24, 48, 96, 128), dropout=0., item_tfms=None, wd=.01):
    "One run, from files to how many of the files `valid` are recognised"
    front = front or [Mel(n_fft=256, hop_length=128, n_mels=64), ToDb(ref='max'), *specs, NormalizeSpec()]
    audio = [LoadAudio(sr, duration)(o) for o in files]         # each file is read once
    block = DataBlock((AudioBlock(sr, duration), CategoryBlock(vocab=sorted(set(labels)))), get_x=lambda i: audio[i], get_y=lambda i: labels[i], splitter=IndexSplitter(valid),
                      item_tfms=item_tfms, batch_tfms=[*waves, *front, *([AddCoords()] if coords else [])])
    set_seed(seed)
    dls = block.dataloaders(range(len(files)), bs=bs, num_workers=0)
    net = small_cnn(dls.one_batch()[0].shape[1], dls.c, widths)
    net = nn.Sequential(*net[:-1], nn.Dropout(dropout), net[-1]).to(memory_format=torch.channels_last)
    learn = Learner(dls, net, loss_func=CrossEntropyLossFlat(), wd=wd, cbs=[Bfloat16(), *L(cbs)])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr, cbs=NoValidation())
        preds, targets = learn.get_preds()
    return dict(right=int((preds.argmax(1) == targets).sum()), of=len(targets))


# ---- digits of a speaker that was never heard

SPEAKERS = 'nicolas', 'george', 'jackson', 'lucas', 'theo', 'yweweler'
SPEED, NOISE, MASKS = Speed((.78, 1.28), p=1), AddNoise(snr=(5, 40), beta=(0, 2)), [MaskTime(.15, 2), MaskFreq(.14, 2)]
WAYS = {        # what is given to `train`
    'plain': {},
    'speed': dict(waves=[SPEED]),
    'speed, SpecAugment': dict(waves=[SPEED], specs=MASKS),
    'speed, noise, SpecAugment': dict(waves=[SPEED, NOISE], specs=MASKS),
    'the same with CoordConv': dict(waves=[SPEED, NOISE], specs=MASKS, coords=True),
    'the same with MixUp': dict(waves=[SPEED, NOISE], specs=MASKS, cbs=MixUp(.3)),
    'the same with PCEN for dB': dict(waves=[SPEED, NOISE], front=[Mel(n_fft=256, hop_length=128, n_mels=64), Pcen(), *MASKS, NormalizeSpec()])}


def digit(way, speaker, seed):
    path = data_path('fsdd')
    df = pd.read_csv(path/'index.csv')
    return train([path/o for o in df.path], df.digit.tolist(), np.flatnonzero(df.speaker == speaker), seed=seed, **WAYS[way])


def digits():
    res, main = Results('hearing_digits', ways=WAYS, code=[digit, train], data=get_audio_files(data_path('fsdd'))), 'speed, noise, SpecAugment'
    for way, seed in dict.fromkeys([*((main, o) for o in range(6)), *((way, o) for o in range(3) for way in WAYS)]):     # what matters most first
        for speaker in SPEAKERS: res.get(digit, way=way, speaker=speaker, seed=seed)
    df = res.save().assign(accuracy=lambda o: o.right/o.of)
    table = df.pivot_table(index='way', columns='speaker', values='accuracy').loc[list(WAYS)]
    means = df.groupby(['way', 'seed']).accuracy.mean().groupby('way')
    table['mean'], table['+-'], table['seeds'], table['cpu_s'] = means.mean(), means.agg(half_width), means.size(), df.groupby('way').cpu_s.mean()
    print(f'\nDigits of a speaker never heard, means of seeds, 95 % interval over them\n{table.round(3).to_string()}')


# ---- animals

def animal_files():
    path = data_path('animal_sounds')
    df = pd.read_csv(path/'index.csv')
    return [path/o for o in df.path], df.label.tolist()


def mfcc_features(file):
    "Mean and standard deviation over a recording of 20 coefficients, their slopes and second slopes"
    m = Mfcc(n_mfcc=20, deltas=2, n_fft=512, hop_length=160, n_mels=64)(LoadAudio(16000)(file)).flatten(0, 1)
    return torch.cat([m.mean(1), m.std(1)]).numpy()


def by_mfcc(x, y, fit, test):
    "The peer: logistic regression, its regularisation chosen by cross-validation within the training files"
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    grid = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)), {'logisticregression__C': [.01, .1, 1, 10]}, cv=4).fit(x[fit], y[fit])
    return int((grid.predict(x[test]) == y[test]).sum())


def by_network(files, labels, test, seed):
    return train(files, labels, test, sr=16000, duration=None, item_tfms=LoudestSegment(1.5), bs=16, epochs=60, lr=5e-3, seed=seed, widths=(16, 32, 64, 96), dropout=.3, wd=.05, cbs=MixUp(.4),
                 waves=[Gain((-6, 6)), Speed((.7, 1.4), p=.8), AddNoise(snr=(5, 40), beta=(-.5, 2)), Shift((-.3, .3), p=.7)],
                 front=[Mel(n_fft=512, hop_length=200, n_mels=64), ToDb(ref='max'), MaskTime(.2, 2), MaskFreq(.15, 2), NormalizeSpec()])['right']


def animal(way, seed):
    from sklearn.model_selection import StratifiedKFold
    files, labels = animal_files()
    y, right = np.array(labels), 0
    x = np.stack([mfcc_features(o) for o in files]) if way == 'MFCC + logistic regression' else None
    for fit, test in StratifiedKFold(4, shuffle=True, random_state=seed).split(y, y):
        right += by_network(files, labels, test, seed) if x is None else by_mfcc(x, y, fit, test)
    return dict(right=right, of=len(y))


def animals():
    res = Results('hearing_animals', code=[animal, train, by_network, by_mfcc, mfcc_features], data=animal_files())
    ways = 'MFCC + logistic regression', 'network, end to end'
    for seed in range(5):
        for way in ways: res.get(animal, way=way, seed=seed)
    table = res.save().assign(accuracy=lambda o: o.right/o.of).pivot(index='seed', columns='way', values='accuracy')[list(ways)]
    table['difference'] = table[ways[1]]-table[ways[0]]
    print(f'\nNine animals, accuracy of 4-fold cross-validation\n{table.round(3).to_string()}')
    print('\n'.join(f'{k}: {v.mean():.3f} +- {half_width(v):.3f} (95 % interval over {len(v)} seeds)' for k, v in table.items()))


if __name__ == '__main__':
    torch.set_num_threads(1)
    for f in (animals, digits):
        if len(sys.argv) < 2 or f.__name__ in sys.argv[1:]: f()
