"""A recording of two hours through `predict_recording`: times real time, peak memory, its slope; against `learn.predict`, window by window. Then a folder of the same length, killed and resumed."""
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import *      # the progress bar of a learner
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize, parent_label
from fastai.learner import Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed

from benchmarks.timing import show
from fastjpeg.audio.core import AudioBlock, TensorAudio, get_audio_files
from fastjpeg.audio.recordings import predict_recording, predict_recordings, soundscape
from fastjpeg.audio.spectrogram import Mel, ToDb
from fastjpeg.datasets import coo_calls
from fastjpeg.models import small_cnn

SR, PIECE = 8000, 300       # Hz; seconds of a recording that are made at a time


def make(folder):
    "A learner for half a second of the eight animals at 8 kHz, not trained: what it costs does not depend on it. And five minutes of their calls"
    files = get_audio_files(coo_calls(folder/'calls', n=10))
    set_seed(0)
    dls = DataBlock((AudioBlock(SR, .5), CategoryBlock), get_y=parent_label, splitter=IndexSplitter(range(0, 80, 5)),
                    batch_tfms=[Mel(n_fft=256, hop_length=64, n_mels=40), ToDb(), Normalize()]).dataloaders(files, bs=32, num_workers=0)
    learn = Learner(dls, small_cnn(1, 8), loss_func=CrossEntropyLossFlat(), path=folder)
    learn.export(folder/'learner.pkl')
    soundscape(folder/'piece.wav', files, [o.parent.name for o in files], PIECE, SR)
    return sf.read(folder/'piece.wav', dtype='float32')[0]


def long_recording(path, piece, hours):
    "Writes the piece again and again, each time a little later and at another level, so that no two windows are the same"
    with sf.SoundFile(path, 'w', SR, 1) as f:
        for i in range(round(hours*3600/PIECE)): f.write(np.roll(piece, 997*i)*(.5+.04*i))


def held(key):
    "Memory by Linux' account, MiB: VmRSS now, VmHWM at most"
    return next(int(o.split()[1]) for o in Path('/proc/self/status').read_text().splitlines() if o.startswith(key))/1024


class Watch(Callback):
    "Memory after each batch"
    def __init__(self): self.rss = []
    def after_batch(self): self.rss.append(held('VmRSS'))


def through(folder, hop):
    "In a process of its own: the whole recording"
    torch.set_num_threads(1)
    learn, watch = load_learner(folder/'learner.pkl'), Watch()
    predict_recording(learn, folder/'piece.wav', hop=hop, progress=False)          # warm-up
    learn.add_cb(watch)
    before, start, cpu = held('VmRSS'), time.perf_counter(), time.process_time()
    table = predict_recording(learn, folder/'long.wav', hop=hop, progress=False)
    seconds, cpu, duration = time.perf_counter()-start, time.process_time()-cpu, table.end.max()
    later = np.array(watch.rss[len(watch.rss)//10:])
    slope = np.polyfit(np.linspace(duration/36000, duration/3600, len(later)), later, 1)[0]
    return {'hop (s)': hop, 'windows': round((duration-.5)/hop)+1, 'seconds': round(seconds, 1), 'CPU s': round(cpu, 1), 'times real time': round(duration/seconds), 'of CPU': round(duration/cpu), 'rows': len(table),
               'RSS before, MiB': round(before), 'peak RSS, MiB': round(held('VmHWM')), 'slope, MiB per hour': round(slope, 2)}


def one_by_one(folder, seconds=20, hop=.25):
    "The peer: each window cut out and given to `learn.predict`"
    learn = load_learner(folder/'learner.pkl')
    x = TensorAudio.create(folder/'piece.wav', duration=seconds)
    start = time.process_time()
    with learn.no_bar(), learn.no_logging():
        for s in range(0, x.shape[1]-SR//2+1, round(hop*SR)): learn.predict(x[:, s:s+SR//2])
    return seconds/(time.process_time()-start)


def killed(folder, learn, files, after=(3, 6)):
    "Killed twice, then run to the end: (the same table as without?, files kept when it was killed)"
    want, _ = predict_recordings(learn, files, folder/'unharmed', progress=False)
    for n in after:
        p = multiprocessing.get_context('fork').Process(target=predict_recordings, args=(learn, files, folder/'killed'), kwargs=dict(progress=False))
        p.start()
        while p.is_alive() and len(list((folder/'killed').glob('*.npz'))) < n: time.sleep(.01)
        p.kill()
        p.join()
    kept = len(list((folder/'killed').glob('*.npz')))
    got, _ = predict_recordings(learn, files, folder/'killed', progress=False)
    return pd.DataFrame.equals(got, want), kept


def run(hours=2):
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        piece = make(folder)
        long_recording(folder/'long.wav', piece, hours)
        rows = []
        for hop in (.5, .25):
            with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool: rows.append(pool.submit(through, folder, hop).result())
        show(f'a recording of {hours} h, {SR} Hz, windows of 0.5 s, small_cnn on mel spectrograms, one thread', rows)
        print(f'learn.predict, window by window, hop 0.25 s: {one_by_one(folder):.0f} times real time, of CPU')
        files = [folder/f'{i}.wav' for i in range(8)]
        for f in files: long_recording(f, piece, hours/8)
        same, kept = killed(folder, load_learner(folder/'learner.pkl'), files)
        print(f'{len(files)} recordings, {hours} h together, killed twice by SIGKILL; {kept} were done; resumed, the table is the same as without: {same}')


if __name__ == '__main__':
    torch.set_num_threads(1)
    run()
