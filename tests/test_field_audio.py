"""Recordings as recorders, phones and shell pipes leave them: read to their last sample, or with a word about what is missing. The same on the files of `field_audio`, where they are on this machine, and on small ones of each kind that are made here."""
import io
import random
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from fastjpeg.audio.core import AudioError, LoadAudio, Segment, TensorAudio
from fastjpeg.audio.files import Recording, _mpeg_runs, audio_info, get_audio_files, read_audio, verify_audio
from fastjpeg.datasets import data_path

SR, N = 16000, 48000
SOUND = (.4*np.sin(.17*np.arange(N)+4*np.sin(np.arange(N)/3000))*np.sin(np.arange(N)/2000)**2).astype('float32')


def encoded(fmt, sub, x=SOUND, sr=SR):
    sf.write(buf := io.BytesIO(), x, sr, format=fmt, subtype=sub)
    return buf.getvalue()


def kept(file):
    "What `damaged='keep'` gives, and what is said about this file"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        x = TensorAudio.create(file, damaged='keep')
    return x, [str(o.message) for o in said if Path(str(file)).name in str(o.message)]


def crops_are_of_the_whole(file, whole, n=60, eps=1e-5):
    "Crops of a second, anywhere, are what a read of all of it has there; so are those of `LoadAudio`"
    rng, frames, sr = random.Random(0), whole.shape[1], whole.sr
    for _ in range(n):
        start = rng.randrange(max(1, frames-sr+1))
        x, _ = read_audio(file, lambda n, sr, start=start: (start, min(n, start+sr)))
        want = whole[:, start:start+x.shape[1]].numpy()
        assert x.shape[1] >= min(sr, frames)-2304 and np.abs(x-want).max() < eps, start
    for _ in range(5): assert LoadAudio(8000, 1.)(file, split_idx=0).shape == (1, 8000)
    if frames > sr: assert LoadAudio(sr)(Segment(file, .25, .75)).shape == (1, round(.75*sr)-round(.25*sr))


# ---- the files of the data set

def field():
    if (root := data_path('field_audio', download=False)) is None: return []
    return [(root/r.path, r) for r in pd.read_csv(root/'manifest.csv').itertuples() if not r.path.endswith('.txt')]


@pytest.mark.skipif(not field(), reason='field_audio is not on this machine')
@pytest.mark.parametrize('file, row', field(), ids=[r.path for _, r in field()])
def test_field_audio(file, row):
    if row.expected == 'extra': pytest.importorskip('av')
    bad = verify_audio([file], progress=False)
    x, said = kept(file)
    assert (x.sr, x.shape[0]) == (row.sr, row.channels)
    if row.expected == 'cut':
        assert bad == [file] and len(said) == 1 and ('missing' in said[0])
        assert x.shape[1] >= .97*row.frames > -1 and x.shape[1] > 0
        with pytest.raises(AudioError, match=file.name): TensorAudio.create(file)
        assert LoadAudio(SR)(Segment(file, .1, .6)).shape == (1, SR//2)           # before the cut
    else:
        assert bad == [] and said == [] and abs(x.shape[1]-row.frames) <= (2304 if file.suffix == '.mp3' or 'mp3' in file.name else 0)
        crops_are_of_the_whole(file, x)
    if '.w64' in row.path: assert x.abs().max() < .5           # and not the garbage of numbers taken for others


# ---- MP3

def without_info(x=SOUND, sr=44100):
    "As encoders write it that cannot go back: no first frame that says how many there are"
    mp3 = encoded('MP3', 'MPEG_LAYER_III', x, sr)
    run, = _mpeg_runs(mp3, 0, len(mp3))
    assert run.has_info and len(run.spans) == 1
    return mp3[run.spans[0][0]+run.size:run.spans[0][1]], (run.n-1)*run.samples


@pytest.fixture(scope='module')
def long(): return np.tile(SOUND, 40)                # 44 s at 44.1 kHz


def test_mp3_without_a_header(tmp_path, long):
    data, frames = without_info(long)
    (tmp_path/'a.mp3').write_bytes(data)
    assert sf.info(tmp_path/'a.mp3').frames != frames                           # what libsndfile supposes
    x = TensorAudio.create(tmp_path/'a.mp3')
    assert x.shape == (1, frames) and not verify_audio([tmp_path/'a.mp3'], progress=False)
    crops_are_of_the_whole(tmp_path/'a.mp3', x)
    art = b'ID3\3\0\0'+bytes([0, 0, 127, 127])+bytes(127*128+127)                 # a tag with a picture before it, and one behind
    (tmp_path/'art.mp3').write_bytes(art+data+b'TAG'+bytes(125))
    assert np.array_equal(read_audio(tmp_path/'art.mp3')[0], x.numpy())


def test_mp3_of_variable_rate(tmp_path, long):
    silent, loud = without_info(long*0), without_info(np.random.default_rng(0).uniform(-1, 1, N).astype('float32'))
    (tmp_path/'v.mp3').write_bytes(loud[0]+silent[0])                            # large frames first: libsndfile supposes too few
    x = TensorAudio.create(tmp_path/'v.mp3')
    assert x.shape == (1, loud[1]+silent[1])
    crops_are_of_the_whole(tmp_path/'v.mp3', x, n=20)


def test_joined_mp3(tmp_path):
    one = encoded('MP3', 'MPEG_LAYER_III', sr=22050)
    n = read_audio(one)[0].shape[1]
    (tmp_path/'j.mp3').write_bytes(one*3)
    x = TensorAudio.create(tmp_path/'j.mp3')
    assert x.shape == (1, 3*n) and np.abs(x[0, n:2*n].numpy()-read_audio(one)[0][0]).max() < 1e-6
    crops_are_of_the_whole(tmp_path/'j.mp3', x, n=20)
    (tmp_path/'two_rates.mp3').write_bytes(one+encoded('MP3', 'MPEG_LAYER_III', sr=44100))
    assert verify_audio([tmp_path/'two_rates.mp3'], progress=False) and 'more is there' in audio_info([tmp_path/'two_rates.mp3'], progress=False).error[0]
    with pytest.warns(UserWarning, match='two_rates.mp3: more is there'): read_audio(tmp_path/'two_rates.mp3')


def test_mp3_in_wav(tmp_path):
    data, frames = without_info(sr=22050)
    fmt = struct.pack('<HHIIHHHHIHHH', 0x55, 1, 22050, 8000, 1, 0, 12, 1, 2, 576, 1, 1393)
    body = b'WAVEfmt '+struct.pack('<I', len(fmt))+fmt+b'fact'+struct.pack('<II', 4, frames)+b'data'+struct.pack('<I', len(data))+data
    (tmp_path/'m.wav').write_bytes(b'RIFF'+struct.pack('<I', len(body))+body)
    x = TensorAudio.create(tmp_path/'m.wav')
    assert x.shape == (1, frames)
    crops_are_of_the_whole(tmp_path/'m.wav', x, n=20)


def test_blocks_of_mp3_are_those_of_the_whole(tmp_path):
    "soundfile seeks after each read, and the decoder loses its thread: what was heard block by block was wrong after each border"
    (tmp_path/'a.mp3').write_bytes(encoded('MP3', 'MPEG_LAYER_III', np.tile(SOUND, 10)*np.repeat(np.linspace(0, 1, 48), 10000), 44100))
    with Recording(tmp_path/'a.mp3') as f: blocks = np.concatenate(list(f.blocks(2**14)))
    assert np.abs(blocks.T-read_audio(tmp_path/'a.mp3')[0]).max() < 1e-6


# ---- headers

def sized(data, at, size): return data[:at]+size+data[at+len(size):]
def le(n): return struct.pack('<I', n % 2**32)
def be(n): return struct.pack('>I', n % 2**32)


WAV, AIFF, AU, W64, RF64, CAF = (encoded(o, 'PCM_16') for o in ('WAV', 'AIFF', 'AU', 'W64', 'RF64', 'CAF'))
FLAC = encoded('FLAC', 'PCM_16')


def flac_total(n): return FLAC[:21]+bytes([FLAC[21] & 0xF0 | n >> 32])+be(n)+FLAC[26:]
def ssnd(n): return sized(AIFF, AIFF.index(b'SSND')+4, be(n))
def ds64(n): return sized(RF64, RF64.index(b'ds64')+16, struct.pack('<Q', n))
def w64_data(n): return sized(W64, W64.index(b'data\xf3')+16, struct.pack('<Q', n))


whole = {
    'zero.wav': sized(sized(WAV, 4, le(0)), 40, le(0)), 'wrapped.wav': sized(WAV, 40, le(9000)), 'fl003.wav': sized(WAV, 40, le(44)), 'piped.wav': sized(WAV, 40, le(-1)),
    'arecord.wav': sized(WAV, 40, le(2**31)), 'sox.wav': sized(WAV, 40, le(2**31-1)), 'mplayer.wav': sized(WAV, 40, le(2**31-4096)), 'two_chunks.wav': WAV[:40]+le(20000)+WAV[44:20044]+b'data'+le(2*N-20000)+WAV[20044:],
    'list_behind.wav': WAV+b'LIST'+le(4)+b'INFO', 'tag_behind.wav': WAV+b'TAG'+bytes(125), 'zeros_behind.wav': WAV+bytes(3000),
    'zero.aiff': sized(sized(ssnd(0), AIFF.index(b'COMM')+10, be(0)), 4, be(0)), 'small.aiff': ssnd(5000), 'piped.aiff': ssnd(-1), 'piped.au': sized(AU, 8, be(-1)), 'zero.au': sized(AU, 8, be(0)),
    'zero.w64': w64_data(0), 'small.w64': w64_data(24+5000), 'piped.w64': w64_data(2**64-1), 'float.w64': None, 'zero.rf64': ds64(0), 'bw64.wav': b'BW64'+RF64[4:], 'piped.caf': sized(CAF, CAF.index(b'data')+4, b'\xff'*8),
    'piped.flac': flac_total(0), 'half.flac': flac_total(N//2)}


def extensible_w64():
    "A W64 of float32 whose format chunk is an extensible one"
    chunk = W64.index(b'fmt \xf3')
    guid = struct.pack('<H', 3)+bytes.fromhex('000000001000800000aa00389b71')
    fmt = struct.pack('<HHIIHHHHI', 0xFFFE, 1, SR, 4*SR, 4, 32, 22, 32, 4)+guid
    data = SOUND.tobytes()
    return W64[:chunk+16]+struct.pack('<Q', 24+len(fmt))+fmt+W64[W64.index(b'data\xf3'):][:16]+struct.pack('<Q', 24+len(data))+data


@pytest.mark.parametrize('name', whole)
def test_all_that_is_there(name, tmp_path):
    (tmp_path/name).write_bytes(whole[name] or extensible_w64())
    x = TensorAudio.create(tmp_path/name)
    assert x.sr == SR and x.shape == (1, N) and np.abs(x[0].numpy()-SOUND).max() < 1e-4
    assert not verify_audio([tmp_path/name], progress=False) and audio_info([tmp_path/name], progress=False).frames[0] == N
    crops_are_of_the_whole(tmp_path/name, x, n=10)


cut = {f'{fmt}_{sub}.{fmt}'.lower(): (fmt, sub) for fmt, sub in [('WAV', 'PCM_16'), ('WAV', 'PCM_24'), ('WAV', 'FLOAT'), ('WAV', 'ULAW'), ('WAV', 'IMA_ADPCM'), ('WAV', 'GSM610'), ('RF64', 'PCM_16'), ('W64', 'PCM_16'),
       ('AIFF', 'PCM_16'), ('AU', 'PCM_16'), ('CAF', 'PCM_16'), ('FLAC', 'PCM_16'), ('OGG', 'VORBIS'), ('OGG', 'OPUS'), ('MP3', 'MPEG_LAYER_III')]}


@pytest.mark.parametrize('name', cut)
def test_what_was_cut(name, tmp_path):
    data = encoded(*cut[name], np.tile(SOUND, 5), SR)
    whole = read_audio(data)[0]
    (tmp_path/name).write_bytes(data[:len(data)*8//10])
    assert verify_audio([tmp_path/name], progress=False) == [tmp_path/name] and 'cut short' in audio_info([tmp_path/name], progress=False).error[0]
    with pytest.raises(AudioError, match=name): LoadAudio(SR)(tmp_path/name)
    x, said = kept(tmp_path/name)
    assert len(said) == 1 and 'missing' in said[0] and .6 < x.shape[1]/whole.shape[1] < .83
    n = x.shape[1]-4000
    assert np.abs(x.numpy()[:, :n]-whole[:, :n]).max() < 1e-4
    for damaged in ('error', 'keep'):           # what lies before the cut
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            y = LoadAudio(SR, damaged=damaged)(Segment(tmp_path/name, 1., 3.))
        assert np.abs(y.numpy()-whole[:, SR:3*SR]).max() < 1e-4
    with pytest.raises(AudioError, match=name): LoadAudio(SR)(Segment(tmp_path/name, 14., 14.9))
    with pytest.warns(UserWarning, match=name): assert LoadAudio(SR, 14., damaged='keep')(tmp_path/name).shape == (1, 14*SR)


def test_more_is_promised_than_is_there(tmp_path):
    for name, data in {'fl005.wav': sized(WAV, 40, le(2*N+44)), 'one.wav': sized(WAV, 40, le(2*N+2)), 'double.flac': flac_total(2*N)}.items():
        (tmp_path/name).write_bytes(data)
        assert verify_audio([tmp_path/name], progress=False)
        with pytest.raises(AudioError, match=name): read_audio(tmp_path/name)
        x, said = kept(tmp_path/name)
        assert x.shape == (1, N) and len(said) == 1
        assert audio_info([tmp_path/name], progress=False).duration[0] == 3


def test_joined_files(tmp_path):
    for name, data, n in [('j.ogg', encoded('OGG', 'VORBIS')*2, 2*N), ('j.wav', WAV*3, 3*N), ('j.opus', encoded('OGG', 'OPUS')*2, 2*N)]:
        (tmp_path/name).write_bytes(data)
        x = TensorAudio.create(tmp_path/name)
        assert x.shape == (1, n)
        crops_are_of_the_whole(tmp_path/name, x, n=20)
        assert not verify_audio([tmp_path/name], progress=False)
    (tmp_path/'j.flac').write_bytes(FLAC*2)
    assert 'more is there' in audio_info([tmp_path/'j.flac'], progress=False).error[0]


def test_crops_of_what_cannot_be_sought(tmp_path):
    "GSM has no seek, and that of Vorbis lands beside the place in the last page"
    for fmt, sub in [('WAV', 'GSM610'), ('WAV', 'MS_ADPCM'), ('WAV', 'IMA_ADPCM'), ('OGG', 'VORBIS'), ('OGG', 'OPUS')]:
        (tmp_path/sub).write_bytes(encoded(fmt, sub, np.tile(SOUND, 2)))
        crops_are_of_the_whole(tmp_path/sub, TensorAudio.create(tmp_path/sub), n=40)


def test_real_vorbis():
    if (root := data_path('esc10', download=False)) is None: pytest.skip('esc10 is not on this machine')
    for file in sorted(root.glob('*/*.ogg'))[:60]:
        whole, sr = read_audio(file)
        n = whole.shape[1]
        for start in range(n-sr, n-500, 3001):
            x, _ = read_audio(file, lambda *_, start=start: (start, start+500))
            assert np.array_equal(x, whole[:, start:start+500]), (file, start)


# ---- kinds that need an extra

def encode(path, codec, sr=44100, n=3, fmt=None):
    av = pytest.importorskip('av')
    x = np.tile(SOUND, n)
    with av.open(str(path), 'w', format=fmt) as out:
        stream = out.add_stream(codec, rate=sr)
        stream.layout = 'mono'
        size = 960 if codec == 'libopus' else 1024
        for i in range(0, len(x), size):
            frame = av.AudioFrame.from_ndarray(x[None, i:i+size].copy(), format='flt' if codec == 'libopus' else 'fltp', layout='mono')
            frame.sample_rate, frame.pts = sr, i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path, x


@pytest.mark.parametrize('name, codec, sr', [('a.m4a', 'aac', 44100), ('a.mp4', 'aac', 16000), ('a.aac', 'aac', 44100), ('a.mkv', 'aac', 48000), ('a.webm', 'libopus', 48000), ('a.3gp', 'aac', 16000)])
def test_phones(name, codec, sr, tmp_path):
    file, x = encode(tmp_path/name, codec, sr)
    assert get_audio_files(tmp_path) == [file] and not verify_audio([file], progress=False)
    whole = TensorAudio.create(file)
    assert whole.sr == sr and len(x)-sr//1000 <= whole.shape[1] < len(x)+4096      # some containers round their length to a millisecond
    lag = 1024 if name == 'a.aac' else 0        # the delay of the encoder, where there is no container that tells it
    n = min(len(x), whole.shape[1])-lag
    assert np.corrcoef(whole[0, lag:lag+n].numpy(), x[:n])[0, 1] > .98
    crops_are_of_the_whole(file, whole, n=20, eps=1e-3)
    (tmp_path/'m4a_in_name.wav').write_bytes(file.read_bytes())
    for again in (tmp_path/'m4a_in_name.wav', file.read_bytes()): assert np.abs(read_audio(again)[0]-whole.numpy()).max() < 1e-3     # AAC fills gaps with noise


def test_phones_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr('fastjpeg.audio.files._has_ffmpeg', lambda: False)
    for o in ('a.m4a', 'b.m4a', 'C.WEBM'): (tmp_path/o).write_bytes(b'\0\0\0\x20ftypM4A '+bytes(100))
    with pytest.raises(AudioError, match=r'3 files of a kind that needs fastjpeg\[ffmpeg\] were left out: 2 .m4a, 1 .webm'): get_audio_files(tmp_path)
    (tmp_path/'d.wav').write_bytes(WAV)
    with pytest.warns(UserWarning, match='3 files of a kind'): assert get_audio_files(tmp_path) == [tmp_path/'d.wav']
    (tmp_path/'m4a.wav').write_bytes((tmp_path/'a.m4a').read_bytes())
    for o in ('a.m4a', 'm4a.wav'):
        with pytest.raises(AudioError, match=rf'{o}.*fastjpeg\[ffmpeg\]'): read_audio(tmp_path/o)


@pytest.mark.parametrize('name', ['a.mp3', 'a.wav', 'a.ogg', 'a.flac', 'a.aiff', 'a.m4a'])
def test_empty_and_tiny_files(name, tmp_path):
    for data in (b'', b'R', b'RIFF', b'OggS', b'fLaC', b'ID3', b'\xff\xfb\x90\0', WAV[:40], AIFF[:30], AU[:10]):
        (tmp_path/name).write_bytes(data)
        with pytest.raises(AudioError, match=name): LoadAudio(SR)(tmp_path/name)
        assert verify_audio([tmp_path/name], progress=False)


def test_other_kinds_are_found(tmp_path):
    for fmt, ext in [('VOC', 'voc'), ('NIST', 'sph'), ('WAV', 'wave')]: (tmp_path/f'a.{ext}').write_bytes(encoded(fmt, 'PCM_16'))
    files = get_audio_files(tmp_path)
    assert len(files) == 3 and not verify_audio(files, progress=False)
