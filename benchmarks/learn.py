"What `LearnQTables` costs: training ResNet-18 on 224 x 224 photos, batches of 16, with and without. Asked: at most 2x"
import warnings
from statistics import median
from time import perf_counter

import torch
import torchvision
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from torch.utils.data import TensorDataset

from fastjpeg.jpeg.all import LearnQTables, QTables, UseJpeg

from .jpeg import photos
from .timing import show


class Clock(Callback):
    "Times of the training steps, in ms, from the batch to the stepped weights"
    order = -100
    def __init__(self): self.ms = []
    def _now(self): # when all work is done
        if torch.cuda.is_available(): torch.cuda.synchronize()
        return perf_counter()
    def before_batch(self): self.start = self._now()
    def after_batch(self):
        if self.training: self.ms.append(1000*(self._now()-self.start))


def learner(device, cb):
    data = TensorDataset(photos(32).float()/255, torch.arange(32) % 2)
    dls = DataLoaders.from_dsets(data, TensorDataset(*data[:2]), bs=16, shuffle=False, num_workers=0, device=device)
    return Learner(dls, torchvision.models.resnet18(num_classes=2), loss_func=CrossEntropyLossFlat(), cbs=[Clock(), *cb])


def run():
    warnings.filterwarnings('ignore')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    ways = {'without': [], 'UseJpeg': [UseJpeg(QTables.standard(50))], 'LearnQTables(rate_weight=)': [LearnQTables(rate_weight=.1)], 'LearnQTables(target_rate=)': [LearnQTables(target_rate=20)]}
    learners = {k: learner(device, cb) for k, cb in ways.items()}
    for _ in range(6):                          # in turns, so that a noisy machine hurts all of them alike
        for learn in learners.values():
            with learn.no_bar(), learn.no_logging(): learn.fit(1)
    ms = {k: median(learn.clock.ms[2:]) for k, learn in learners.items()}      # without the first turn
    show(f'training step, ResNet-18, 16 photos of 224 x 224, {device}', [dict(way=k, ms=round(v, 1), times_as_long=round(v/ms['without'], 2)) for k, v in ms.items()])
