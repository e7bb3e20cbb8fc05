"""How well the package hears, on real recordings: CPU hours, so not a part of `make bench`. `python -m benchmarks.run hearing` runs all; it goes on where it was stopped.

Results are in benchmarks/results/, a row per run; delete a file to compute it anew. Needs the sets `fsdd` and `animal_sounds` (see `data_path`).

digits:  spoken digits of a speaker that was never heard: trained on five speakers, tested on all 500 recordings of the sixth, for each of the six.
animals: nine animals, 175 files as found in the web: 4-fold cross-validation, so that each file is tested on once; the set holds one file per recording, so no recording is on both sides of a split."""
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.mixup import MixUp
from fastai.vision.all import (CategoryBlock, CrossEntropyLossFlat, DataBlock, IndexSplitter, Learner, accuracy, set_seed)
from scipy.stats import t as student
from torch import nn

from fastjpeg.audio.all import *

RESULTS = Path(__file__).parent/'results'


class Results:
    "A CSV of runs that were made; each is written at once"
    def __init__(self, name):
        RESULTS.mkdir(exist_ok=True)
        self.path = RESULTS/f'{name}.csv'
        self.rows = pd.read_csv(self.path).to_dict('records') if self.path.exists() else []

    def get(self, f, **key):
        "The rows of `f(**key)`, computed only if they are not there"
        if not any(all(r[k] == v for k, v in key.items()) for r in self.rows):
            start = time.process_time()
            self.rows.append({**key, **f(**key), 'cpu_s': round(time.process_time()-start, 1)})
            pd.DataFrame(self.rows).to_csv(self.path, index=False)
            print('  ', self.rows[-1], flush=True)

    @property
    def df(self): return pd.DataFrame(self.rows)


def half_width(values):
    "Of the 95 % interval of Student's t"
    k = len(values)
    return student.ppf(.975, k-1)*np.std(values, ddof=1)/k**.5 if k > 1 else np.nan


def train(files, labels, valid, waves=(), specs=(), front=None, sr=8000, duration=.8, epochs=20, lr=1e-2, bs=32, seed=0, coords=False, cbs=None, widths=(16, 32, 64, 96), dropout=0., item_tfms=None, wd=.01):
    "One run, from files to the predictions of the files `valid`"
    front = front or [Mel(n_fft=256, hop_length=128, n_mels=64), ToDb(ref='max'), *specs, NormalizeSpec()]
    block = DataBlock((AudioBlock(sr, duration), CategoryBlock(vocab=sorted(set(labels)))), get_x=lambda i: files[i], get_y=lambda i: labels[i], splitter=IndexSplitter(valid),
                      item_tfms=item_tfms, batch_tfms=[*waves, *front, *([AddCoords()] if coords else [])])
    set_seed(seed)
    dls = block.dataloaders(range(len(files)), bs=bs, num_workers=0)
    net = small_cnn(dls.one_batch()[0].shape[1], dls.c, widths)
    net = nn.Sequential(*net[:-1], nn.Dropout(dropout), net[-1]).to(memory_format=torch.channels_last)
    learn = Learner(dls, net, loss_func=CrossEntropyLossFlat(), metrics=accuracy, wd=wd, cbs=cbs)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    preds, targets = learn.get_preds()
    return dict(right=int((preds.argmax(1) == targets).sum()), of=len(targets))
