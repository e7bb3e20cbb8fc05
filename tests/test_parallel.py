"""Pools after torch has used two threads in this process: nothing waits for ever, whatever is the default way to start a process."""
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from PIL import Image

from fastjpeg.datasets import data_path

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path):
    "Photos that are large enough for torch to use threads, one that is none, and recordings"
    rng = np.random.default_rng(0)
    for i in range(6): Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((320, 240)).save(tmp_path/f'{i}.jpg', quality=90, subsampling='4:4:4')
    (tmp_path/'bad.jpg').write_text('no picture')
    for i in range(4): sf.write(tmp_path/f'{i}.wav', rng.normal(0, .1, 4000), 8000)
    return tmp_path


@pytest.mark.parametrize('method', multiprocessing.get_all_start_methods())
def test_pools_after_training(folder, method):
    (folder/'run.py').write_text(textwrap.dedent('''
        import multiprocessing, sys, torch
        from pathlib import Path
        from torch import nn

        def main(folder, method):
            multiprocessing.set_start_method(method)
            torch.set_num_threads(2)
            from fastai.vision.all import Pipeline
            from fastjpeg.all import Mel, ToDb, extract_features, get_audio_files, read_coefs, reencode, verify_audio, verify_coefs
            net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
            opt = torch.optim.SGD(net.parameters(), .1)
            nn.functional.cross_entropy(net(torch.rand(8, 3, 128, 128)), torch.arange(8) % 2).backward()
            opt.step()
            files = sorted(folder.glob('*.jpg'))
            for o in files[:3]: read_coefs(o)
            print('coefs', [o.name for o in verify_coefs(files, progress=False)], [o.name for o in verify_coefs(files, n_workers=2, progress=False)])
            print('pictures', reencode(folder, folder/'new', n_workers=2, progress=False).status.value_counts()['written'])
            sounds = get_audio_files(folder)
            print('sounds', len(verify_audio(sounds, n_workers=2, progress=False)))
            print('features', set(extract_features(sounds, Pipeline([Mel(n_fft=256, n_mels=8), ToDb()]), folder/'features', sr=8000, n_workers=2, chunk=2, progress=False).status))

        if __name__ == '__main__': main(Path(sys.argv[1]), sys.argv[2])
    '''))
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '2'}
    res = subprocess.run([sys.executable, '-W', 'ignore', folder/'run.py', folder, method], capture_output=True, text=True, timeout=240, env=env)
    assert res.returncode == 0, res.stdout+res.stderr
    assert res.stdout.splitlines() == ["coefs ['bad.jpg'] ['bad.jpg']", 'pictures 6', 'sounds 0', "features {'ok'}"], res.stdout+res.stderr


def test_hymenoptera_after_training():
    path = data_path('hymenoptera', download=False)
    if path is None: pytest.skip('needs the data set hymenoptera')
    code = '''
        import sys, time, torch
        from pathlib import Path
        from fastjpeg.jpeg.all import verify_coefs
        torch.set_num_threads(2)
        torch.nn.Conv2d(3, 64, 3)(torch.rand(8, 3, 64, 64)).sum().backward()
        print(len(verify_coefs(sorted(Path(sys.argv[1]).rglob('*.jpg')), progress=False)))
    '''
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code), path], capture_output=True, text=True, timeout=60, env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '2'})
    assert res.stdout.strip() == '0', res.stdout+res.stderr


def test_one_way():
    "No module but `fastjpeg.parallel` makes a pool of its own"
    pool = re.compile(r'ThreadPoolExecutor|ProcessPoolExecutor|get_context|fastcore\.parallel|import.*\bparallel\b')
    found = {o.name for o in (ROOT/'fastjpeg').rglob('*.py') if pool.search(o.read_text(encoding='utf-8').replace('fastjpeg.parallel import', ''))}
    assert found == {'parallel.py'}, found
