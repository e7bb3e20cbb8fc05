"""Bad days: what must happen when files, disks and processes fail. Each cause has one class of error that names the file; nothing hangs, nothing takes the machine with it, and what was finished is kept.

| fault | outcome |
|---|---|
| a worker of a `DataLoader` is killed in an epoch | `RuntimeError` that says so; the model saved after the epoch before is there, and loads |
| disk full while re-encoding, or while a recording is saved | files that fit are whole and kept, the others are reported; no halves; the next run goes on |
| a file vanishes, shrinks, is a folder, a loop of links, a pipe, or has another kind's extension | `AudioError` or `FileNotFoundError` with its name; `verify_audio` and `reencode` report it and go on |
| 100 000 files; names in any script, and of 255 bytes | found and read as any others |
| recordings of 0 and of 1 samples; a header that says 10^9 | `AudioError`; one sample; `AudioError` without the memory |
| a small file that expands to gigabytes, sound or picture | refused by its size, before memory is spent |
| a learner's file from a stranger | weights alone are safe: safetensors, `QTables` from JSON |
| random bytes in every reader | `AudioError`, or an error of Pillow that is reported; never a crash |
| 1000 batches | no more memory, no more open files than after the first ones |"""
import io
import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, RandomSplitter, parent_label
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastjpeg.audio.core import AudioBlock, AudioError, LoadAudio, get_audio_files, verify_audio
from fastjpeg.jpeg.codec import decode, encode
from fastjpeg.jpeg.qtables import QTables
from fastjpeg.jpeg.transforms import reencode
from fastjpeg.models import small_cnn

SR = 8000
posix = pytest.mark.skipif(os.name != 'posix', reason='pipes, signals and limits of POSIX')


def tone(n=SR//2): return np.sin(np.arange(n)*.3).astype('float32')*.5


@pytest.fixture
def calls(tmp_path):
    "Twelve recordings of two classes"
    for i in range(12):
        (tmp_path/'calls'/'ab'[i % 2]).mkdir(parents=True, exist_ok=True)
        sf.write(tmp_path/'calls'/'ab'[i % 2]/f'{i}.wav', tone()*(1-i % 2/2), SR)
    return tmp_path/'calls'


@pytest.fixture
def pictures(tmp_path):
    "Six photos of noise, as PNG"
    (tmp_path/'pictures').mkdir()
    for i in range(6): Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path/'pictures'/f'{i}.png')
    return tmp_path/'pictures'


def python(code, *args, timeout=240):
    "Run it in a process of its own, as some of this is not to be survived"
    root = Path(__file__).parent.parent
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code), *map(str, args)], capture_output=True, text=True, timeout=timeout, env={**os.environ, 'PYTHONPATH': str(root)})


# ---- processes

@posix
def test_killed_worker(calls):
    code = '''
        import os, signal, sys
        from fastai.vision.all import *
        from fastjpeg.all import *
        class Fatal(Transform):
            def encodes(self, x:TensorAudio):
                if Path(sys.argv[1], 'now').exists() and mp.current_process().name != 'MainProcess': os.kill(os.getpid(), signal.SIGKILL)
                return x
        class Later(Callback):
            def after_epoch(self):
                if self.epoch == 0 and self.training is False: Path(sys.argv[1], 'now').touch()
        from multiprocessing import current_process; import multiprocessing as mp
        block = DataBlock((AudioBlock(8000, .25), CategoryBlock), get_items=get_audio_files, get_y=parent_label, splitter=RandomSplitter(seed=0), item_tfms=Fatal(), batch_tfms=[Mel(n_fft=256, hop_length=128, n_mels=16), ToDb()])
        dls = block.dataloaders(sys.argv[1], bs=4, num_workers=1)
        learn = Learner(dls, small_cnn(1, 2, (4,)), loss_func=CrossEntropyLossFlat(), path=sys.argv[1], cbs=[SaveModelCallback(every_epoch=True), Later()])
        with learn.no_bar(), learn.no_logging():
            try: learn.fit(3)
            except RuntimeError as e: print('RuntimeError', str(e).splitlines()[0])
        Path(sys.argv[1], 'now').unlink()
        learn.load('model_0')
        with learn.no_bar(), learn.no_logging(): learn.fit(3, start_epoch=1)
        print('went on', sorted(o.name for o in (learn.path/'models').iterdir()))
    '''
    res = python(code, calls)
    assert 'RuntimeError DataLoader worker' in res.stdout, res.stdout+res.stderr
    assert "went on ['model_0.pth', 'model_1.pth', 'model_2.pth']" in res.stdout, res.stdout+res.stderr


# ---- disks

@posix
def test_disk_full_while_reencoding(pictures, tmp_path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(pictures/'small.png')       # this one fits
    code = '''
        import resource, signal, sys
        from fastjpeg.jpeg.all import reencode
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))    # writing beyond that fails, as on a full disk
        df = reencode(sys.argv[1], sys.argv[2], quality=95, progress=False)
        print(df.status.value_counts().to_dict(), df.reason.max())
    '''
    res = python(code, pictures, tmp_path/'new')
    assert "'skipped': 6" in res.stdout and "'written': 1" in res.stdout and 'OSError' in res.stdout, res.stdout+res.stderr
    assert sorted(o.name for o in (tmp_path/'new').iterdir()) == ['.reencode', 'small.png.jpg']
    df = reencode(pictures, tmp_path/'new', quality=95, progress=False)                # there is room again
    assert df.status.value_counts().to_dict() == {'written': 6, 'present': 1}
    for o in (tmp_path/'new').glob('*.jpg'): Image.open(o).load()


@posix
def test_killed_while_reencoding(tmp_path):
    (tmp_path/'in'/'a').mkdir(parents=True)
    for i in range(40): Image.fromarray(np.random.default_rng(i).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(tmp_path/'in'/'a'/f'{i}.png')
    code = '''
        import json, os, signal, sys, time
        from pathlib import Path
        from fastjpeg.jpeg.transforms import reencode
        root = Path(sys.argv[1])
        for n in (1, 12, 25):
            pid = os.fork()
            if not pid:
                reencode(root/'in', root/'out', quality=90, n_workers=2, progress=False)
                os._exit(0)
            while sum(1 for _ in (root/'out').glob('a/*.jpg')) < n: time.sleep(.001)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        print(json.dumps(reencode(root/'in', root/'out', quality=90, progress=False).status.value_counts().to_dict()))
        reencode(root/'in', root/'whole', quality=90, progress=False)
    '''
    res = python(code, tmp_path)
    counts = json.loads(res.stdout or '{}')
    assert sum(counts.values()) == 40 and counts.get('present', 0) > 10, res.stdout+res.stderr
    pictures = {o.name: o.read_bytes() for o in (tmp_path/'out'/'a').iterdir()}
    assert len(pictures) == 40 and pictures == {o.name: o.read_bytes() for o in (tmp_path/'whole'/'a').iterdir()}
    assert not [o for o in (tmp_path/'out').rglob('*') if o.name.endswith('.part')]


@posix
def test_disk_full_while_saving(tmp_path):
    code = '''
        import resource, signal, sys, torch
        from fastjpeg.audio.all import TensorAudio
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
        try: TensorAudio(torch.zeros(1, 80000), sr=8000).save(sys.argv[1])
        except Exception as e: print(type(e).__name__, e)
    '''
    res = python(code, tmp_path/'long.wav')
    assert res.stdout.strip() and 'long.wav' in res.stdout and not (tmp_path/'long.wav').exists(), res.stdout+res.stderr


# ---- files

def test_what_is_no_recording(calls):
    good = len(get_audio_files(calls))
    (calls/'folder.wav').mkdir()
    (calls/'text.wav').write_text('not audio')
    (calls/'picture.flac').write_bytes(b'\x89PNG\r\n\x1a\n'+bytes(100))
    (calls/'empty.ogg').touch()
    bad = [calls/'text.wav', calls/'picture.flac', calls/'empty.ogg']
    for o in [*bad, calls/'folder.wav']:
        with pytest.raises(AudioError, match=o.name): LoadAudio(SR)(o)
    with pytest.raises(FileNotFoundError, match='gone.wav'): LoadAudio(SR)(calls/'gone.wav')
    assert set(verify_audio(get_audio_files(calls), progress=False)) == set(bad) and len(get_audio_files(calls)) == good+3
    assert set(verify_audio([calls/'gone.wav', calls/'folder.wav'], progress=False)) == {calls/'gone.wav', calls/'folder.wav'}


def test_extension_of_another_format(calls):
    sf.write(calls/'a.flac', tone(), SR)
    (calls/'a.flac').rename(calls/'is_flac.wav')        # libsndfile looks at the content
    assert LoadAudio(SR)(calls/'is_flac.wav').shape == (1, SR//2)


@posix
def test_links_and_pipes(calls):
    (calls/'a.wav').symlink_to(calls/'b.wav')
    (calls/'b.wav').symlink_to(calls/'a.wav')
    (calls/'again').symlink_to(calls, target_is_directory=True)
    os.mkfifo(calls/'pipe.wav')
    n = len(get_audio_files(calls))                     # the loop of folders is not walked
    assert n == 12+3
    with pytest.raises(AudioError, match='pipe'): LoadAudio(SR)(calls/'pipe.wav')       # and does not wait for somebody to write
    with pytest.raises(OSError, match='a.wav'): LoadAudio(SR)(calls/'a.wav')
    assert {o.name for o in verify_audio(get_audio_files(calls), progress=False)} == {'a.wav', 'b.wav', 'pipe.wav'}


def test_file_shrinks_or_vanishes_after_it_was_listed(calls):
    block = DataBlock((AudioBlock(SR, .25), CategoryBlock), get_items=get_audio_files, get_y=parent_label, splitter=IndexSplitter([0, 1]))
    dls = block.dataloaders(calls, bs=2, num_workers=0)
    file = dls.valid_ds.items[0]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(AudioError, match=file.name): list(dls.valid)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=file.name): list(dls.valid)


def test_pictures_that_are_none(pictures, tmp_path):
    (pictures/'sound.jpg').write_bytes(b'RIFF'+bytes(40))
    (pictures/'cut.png').write_bytes((pictures/'0.png').read_bytes()[:200])
    (pictures/'folder.png').mkdir()
    df = reencode(pictures, tmp_path/'new', quality=30, progress=False).set_index('file')
    assert (df.status == 'written').sum() == 6 and set(df.index[df.status == 'skipped']) == {'sound.jpg', 'cut.png'}
    assert df.reason['sound.jpg'].startswith('UnidentifiedImageError')


def test_picture_vanishes(pictures, tmp_path, monkeypatch):
    from fastjpeg.jpeg import transforms
    names = transforms._names
    def and_then(files, root):
        res = names(files, root)
        (pictures/'3.png').unlink()
        return res
    monkeypatch.setattr(transforms, '_names', and_then)
    df = reencode(pictures, tmp_path/'new', quality=30, progress=False).set_index('file')
    assert df.status.to_dict() == {f'{i}.png': 'skipped' if i == 3 else 'written' for i in range(6)} and 'FileNotFoundError' in df.reason['3.png']


@posix
def test_names_and_numbers(tmp_path):
    names = ['grüße 你好 🐦.wav', 'a'*251+'.wav', "quote'\" & $x;.wav", ' lead.wav']
    for o in names: sf.write(tmp_path/o, tone(), SR)
    assert {o.name for o in get_audio_files(tmp_path)} == set(names) and not verify_audio(get_audio_files(tmp_path), progress=False)
    with pytest.raises(OSError): LoadAudio(SR)(tmp_path/('a'*300+'.wav'))
    (many := tmp_path/'many').mkdir()
    for i in range(100):
        (many/f'{i}').mkdir()
        sf.write(many/f'{i}'/'0.wav', tone(), SR)
        for j in range(1, 1000): os.link(many/f'{i}'/'0.wav', many/f'{i}'/f'{j}.wav')
    files = get_audio_files(many)
    assert len(files) == 100_000
    dls = DataBlock((AudioBlock(SR, .25), CategoryBlock), get_items=lambda _: files, get_y=parent_label, splitter=RandomSplitter(seed=0)).dataloaders(many, bs=4, num_workers=0)
    assert dls.c == 100 and dls.one_batch()[0].shape == (4, 1, SR//4)


# ---- sizes

def wav(frames, says=None):
    "Bytes of a 16-bit mono WAV of silence whose header says that there are `says` frames"
    n = 2*(frames if says is None else says)
    return b'RIFF'+struct.pack('<I', 36+n)+b'WAVEfmt '+struct.pack('<IHHIIHH', 16, 1, 1, SR, 2*SR, 2, 16)+b'data'+struct.pack('<I', n)+bytes(2*frames)


def test_no_sample_one_sample_and_too_many(tmp_path):
    for name, data in (('none.wav', wav(0)), ('one.wav', wav(1)), ('liar.wav', wav(100, 10**9))): (tmp_path/name).write_bytes(data)
    with pytest.raises(AudioError, match='none.wav'): LoadAudio(SR)(tmp_path/'none.wav')
    assert LoadAudio(SR)(tmp_path/'one.wav').shape == (1, 1) and LoadAudio(SR, .5)(tmp_path/'one.wav').shape == (1, SR//2)
    with pytest.raises(AudioError, match='liar.wav'): LoadAudio(SR)(tmp_path/'liar.wav')
    assert {o.name for o in verify_audio(get_audio_files(tmp_path), progress=False)} == {'none.wav', 'liar.wav'}


@posix
def test_flac_bomb(tmp_path):
    with sf.SoundFile(tmp_path/'bomb.flac', 'w', SR, 1, 'PCM_16') as f:
        for _ in range(600): f.write(np.zeros(2**20, 'int16'))
    assert (tmp_path/'bomb.flac').stat().st_size < 3e6         # 2.3 GiB as float32
    code = '''
        import resource, sys
        from fastjpeg.audio.all import *
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try: LoadAudio(8000)(sys.argv[1])
        except AudioError as e: print(e)
        print(LoadAudio(8000, 1.)(sys.argv[1]).shape)           # a part of it is no danger
        print('MiB', (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss-before)//1024)
    '''
    res = python(code, tmp_path/'bomb.flac')
    assert 'GiB of memory' in res.stdout and 'bomb.flac' in res.stdout and '[1, 8000]' in res.stdout, res.stdout+res.stderr
    assert int(res.stdout.split('MiB')[1]) < 200, res.stdout


def test_picture_bomb(pictures, tmp_path):
    Image.new('1', (30000, 30000)).save(pictures/'bomb.png')    # 900 million pixels in a few kB
    assert (pictures/'bomb.png').stat().st_size < 200_000
    df = reencode(pictures, tmp_path/'new', quality=30, progress=False).set_index('file')
    assert df.reason['bomb.png'].startswith('DecompressionBombError') and (df.status == 'written').sum() == 6


# ---- what strangers send

def test_weights_without_trust(tmp_path):
    "`load_learner` unpickles, and a pickle can run any program. Weights as safetensors and tables as JSON hold numbers and nothing else"
    from safetensors.torch import load_model, save_model
    a, b = (small_cnn(1, 3, (4, 8)) for _ in range(2))
    save_model(a, tmp_path/'a.safetensors')
    load_model(b, tmp_path/'a.safetensors')
    for p, q in zip(a.state_dict().values(), b.state_dict().values()): assert torch.equal(p, q)
    q = QTables.standard(30)
    assert QTables.from_json(q.to_json()) == q
    for bad in ('{"luma": [[1]]}', '[]', '{"luma": 1, "chroma": 2, "more": 3}', '{"luma": '+str([300]*64)+', "chroma": '+str([1]*64)+'}'):
        with pytest.raises(ValueError): QTables.from_json(bad)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(['wav', 'flac', 'ogg', 'aiff', 'mp3']), where=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=20), cut=st.integers(0, 4000))
def test_random_bytes_in_recordings(kind, where, cut):
    sf.write(buf := io.BytesIO(), tone(1600), SR, format=kind.upper())
    data = bytearray(buf.getvalue())
    for i, v in where: data[i % len(data)] = v
    data = bytes(data[:max(1, len(data)-cut % len(data))])
    try: x = LoadAudio(SR, .1)(data)
    except AudioError: return
    assert x.shape == (1, SR//10) and x.isfinite().all()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(shape=st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)), q=st.lists(st.integers(1, 255), min_size=128, max_size=128), sub=st.sampled_from(['4:4:4', '4:2:2', '4:2:0']), seed=st.integers(0, 2**31))
def test_codec_with_any_size_and_tables(shape, q, sub, seed):
    x = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    tables = QTables(q[:64], q[64:])
    y = decode(encode(x, tables, '4:4:4' if shape[1] == 1 else sub))
    assert y.shape == x.shape and y.dtype == torch.uint8


# ---- endurance

@posix
def test_a_thousand_batches(calls):
    code = '''
        import os, psutil, sys
        from fastai.vision.all import *
        from fastjpeg.all import *
        block = DataBlock((AudioBlock(8000, .25), CategoryBlock), get_items=get_audio_files, get_y=parent_label, splitter=IndexSplitter([0]), batch_tfms=[AddNoise(), Mel(n_fft=256, hop_length=128, n_mels=16), ToDb(), NormalizeSpec()])
        dls, me, seen = block.dataloaders(sys.argv[1], bs=4, num_workers=0), psutil.Process(), []
        for i in range(500):
            for b in dls.train: pass
            if i in (100, 499): seen.append((me.memory_info().rss/2**20, me.num_fds()))
        print(500*len(dls.train), seen)
        (m1, f1), (m2, f2) = seen
        assert m2 < m1+30 and f2 <= f1, seen
    '''
    res = python(code, calls)
    assert res.returncode == 0, res.stdout+res.stderr
