"""An epoch from files to gradients: spoken digits of 0.14 to 2.28 s, 8 kHz (`fsdd`), the same small network, no workers, one thread. Asked: at least 3x the forum's recipe, accuracy no worse.

The recipe of fastai's forum (an `AudioBlock` of March 2020: librosa's defaults, an item at a time) makes a picture of each recording and leaves the rest to fastai's vision; the plain `Dataset` makes our spectrograms with librosa, and trains in a loop of its own."""
import warnings
from functools import partial

import librosa
import numpy as np
import pandas as pd
import soundfile as sf
import torch
from fastai.vision.all import CategoryBlock, CrossEntropyLossFlat, DataBlock, ImageBlock, IndexSplitter, Learner, PILImage, accuracy, set_seed
from torch import nn

from fastjpeg.all import *

from .timing import compare, show

SR, SECONDS, FFT, HOP, BANDS = 8000, .8, 256, 128, 64
WIDTHS = 8, 16, 32, 64      # of the network; with a larger one all ways are nearly as slow as the network


def picture(file):
    "As in the forum: resampled to 22050 Hz, 128 bands of librosa's own frames, decibels from 0 up as the bytes of an image"
    y = librosa.util.fix_length(librosa.load(file)[0], size=int(22050*SECONDS))
    db = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=22050), ref=np.max)
    return PILImage.create(np.uint8(np.flip(db-db.min(), axis=0)))


def forum(files, labels, valid):
    dls = DataBlock((ImageBlock, CategoryBlock), get_x=lambda i: picture(files[i]), get_y=lambda i: labels[i], splitter=IndexSplitter(valid))
    return Learner(dls.dataloaders(range(len(files)), bs=32, num_workers=0), small_cnn(1, 10, WIDTHS), loss_func=CrossEntropyLossFlat(), metrics=accuracy)


def ours(files, labels, valid):
    dls = DataBlock((AudioBlock(SR, SECONDS), CategoryBlock), get_x=lambda i: files[i], get_y=lambda i: labels[i], splitter=IndexSplitter(valid),
                    batch_tfms=[Mel(n_fft=FFT, hop_length=HOP, n_mels=BANDS), ToDb(ref='max'), NormalizeSpec()])
    return Learner(dls.dataloaders(range(len(files)), bs=32, num_workers=0), small_cnn(1, 10, WIDTHS), loss_func=CrossEntropyLossFlat(), metrics=accuracy)


class Plain(torch.utils.data.Dataset):
    "soundfile and librosa, an item at a time"
    def __init__(self, files, labels): self.files, self.labels = files, labels
    def __len__(self): return len(self.files)
    def __getitem__(self, i):
        y = librosa.util.fix_length(sf.read(self.files[i], dtype='float32')[0], size=int(SR*SECONDS))
        db = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR, n_fft=FFT, hop_length=HOP, n_mels=BANDS), ref=np.max)
        return torch.from_numpy(db/40+1)[None], self.labels[i]


def plain_epoch(net, opt, dl):
    net.train()
    for x, y in dl:
        nn.functional.cross_entropy(net(x), y).backward()
        opt.step()
        opt.zero_grad()


def quiet(learn, epochs):
    from .hearing import NoValidation
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2, cbs=NoValidation())


def epochs(files, labels):
    "Of 640 recordings"
    net = small_cnn(1, 10, WIDTHS)
    plain = partial(plain_epoch, net, torch.optim.Adam(net.parameters(), 1e-3), torch.utils.data.DataLoader(Plain(files, labels), 32, shuffle=True, drop_last=True))
    learners = {k: f(files, labels, [0]) for k, f in (("the forum's recipe", forum), ('fastjpeg', ours))}
    ways = {k: partial(quiet, o, 1) for k, o in learners.items()}
    return compare({"the forum's recipe": ways["the forum's recipe"], 'plain Dataset': plain, 'fastjpeg': ways['fastjpeg']}, repeats=5, warmup=1)


def accuracies(files, labels, valid, seeds=2):
    "After 5 epochs, on recordings 0 to 4 of each speaker and digit"
    rows = []
    for name, f in (("the forum's recipe", forum), ('fastjpeg', ours)):
        found = []
        for seed in range(seeds):
            set_seed(seed)
            learn = f(files, labels, valid)
            quiet(learn, 5)
            with learn.no_bar(), learn.no_logging(): found.append(learn.validate()[1])
        rows.append(dict(way=name, **{f'seed {i}': round(o, 4) for i, o in enumerate(found)}, mean=round(np.mean(found), 4)))
    return rows


def run():
    warnings.filterwarnings('ignore')
    try: path = data_path('fsdd')
    except FileNotFoundError as e: return print(f'epoch: skipped, {e}')
    df = pd.read_csv(path/'index.csv')
    files, labels = [path/o for o in df.path], df.digit.tolist()
    some = np.random.default_rng(0).permutation(len(df))[:641]
    show('an epoch of 640 recordings, from files to gradients', epochs([files[i] for i in some], [labels[i] for i in some]))
    show('digits recognised after 5 epochs, of 300 recordings', accuracies(files, labels, np.flatnonzero(df.official_split == 'test')))
