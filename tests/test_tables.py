"""Selection tables as they come from elsewhere: of other machines, programs, alphabets and channels. Nothing of them is dropped without a word."""
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from fastai.vision.all import CategoryBlock, ColReader, DataBlock, IndexSplitter

from fastjpeg.audio.all import *

SR = 8000
HEAD = 'Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\tAnnotation'
ROWS = ['1\tSpectrogram 1\t1\t0.1\t0.6\t500\t3000\ta.wav\twhit', '2\tSpectrogram 1\t1\t1.0\t1.5\t700\t2500\ta.wav\ttrill']
OTHER = [o.replace('a.wav', 'b.wav').replace('\t0.1\t', '\t0.2\t') for o in ROWS]


@pytest.fixture
def folder(tmp_path):
    "a.wav and b.wav of 3 s; in c.wav two channels that are each other's negative"
    x = .3*np.sin(2*np.pi*700*np.arange(3*SR)/SR)
    for name, o in (('a', x), ('b', x), ('c', np.stack([x, -x], 1))): sf.write(tmp_path/f'{name}.wav', o, SR, subtype='FLOAT')
    return tmp_path


def written(folder, *lines, head=HEAD, encoding='utf-8', name='t.txt', end='\n'):
    (folder/name).write_bytes((end.join([head, *lines])+end).encode(encoding))
    return folder/name


def read(*args, **kw):
    "A table that is read without a warning: name of the recording, times and class of each row"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        t = segments_from_raven(*args, **kw)
    assert all(Path(o).is_file() for o in t.file)
    return [(Path(o.file).name, o.start, o.end, o._4) for o in t[['file', 'start', 'end', 'class']].itertuples()]


PLAIN = [('a.wav', .1, .6, 'whit'), ('a.wav', 1., 1.5, 'trill')]
JOINED = PLAIN+[('b.wav', .2, .6, 'whit'), ('b.wav', 1., 1.5, 'trill')]


def test_selections_that_start_again(folder):
    path = written(folder, *ROWS, *OTHER)
    assert read(path) == JOINED
    assert read(path, file='a.wav') == read(path, file=folder/'a.wav') == PLAIN
    with pytest.raises(ValueError, match='no selection of .*c.wav; it has those of a.wav, b.wav'): segments_from_raven(path, file=folder/'c.wav')
    assert read(written(folder, *ROWS, HEAD, *OTHER)) == JOINED                         # cat a.txt b.txt
    assert read(written(folder, *ROWS, *OTHER, '', end='\r\n')) == JOINED
    same = [ROWS[0], ROWS[0].replace('0.1', '0.3')]                                     # one number, other times: two selections
    assert read(written(folder, *same)) == [PLAIN[0], ('a.wav', .3, .6, 'whit')]


def test_views_are_one_selection(folder):
    waves = [o.replace('Spectrogram', 'Waveform').replace('\t500\t3000', '\t\t') for o in ROWS]
    t = segments_from_raven(written(folder, waves[0], ROWS[0], ROWS[1], waves[1]))
    assert t['class'].tolist() == ['whit', 'trill'] and t.f_min.tolist() == [500, 700] and t.f_max.tolist() == [3000, 2500]


@pytest.mark.parametrize('name', [r'D:\rec\a.wav', r'\\server\share\a.wav', '/home/else/rec/a.wav', 'a.wav', './a.wav', r'sub\..\a.wav', 'D:/rec/a.wav'])
def test_paths_of_other_machines(folder, name):
    head, rows = HEAD.replace('Begin File', 'Begin Path'), [o.replace('a.wav', name) for o in ROWS]
    (folder/'sub').mkdir()
    assert read(written(folder, *rows, head=head)) == PLAIN
    assert read(written(folder, *[o+'\ta.wav' for o in rows], head=head+'\tBegin File')) == PLAIN
    (folder/'tables').mkdir()
    assert read(written(folder/'tables', *rows, head=head), folder=folder) == PLAIN
    with pytest.warns(UserWarning, match='1 of 1 recordings are neither .*folder='): segments_from_raven(written(folder/'tables', *rows, head=head))


def test_the_part_of_a_path_that_is_here(folder):
    "Two recordings of one name, in folders of their own"
    for o in 'xy':
        (folder/o).mkdir()
        (folder/'a.wav').rename(folder/o/'a.wav') if o == 'x' else (folder/'b.wav').rename(folder/o/'a.wav')
    path = written(folder, *[o.replace('a.wav', rf'E:\field\{k}\a.wav') for o in ROWS for k in 'xy'], head=HEAD.replace('Begin File', 'Begin Path'))
    t = segments_from_raven(path)
    assert t.file.tolist() == [str(folder/k/'a.wav') for k in 'xyxy']
    assert segments_from_raven(path, file=folder/'y'/'a.wav').file.tolist() == [str(folder/'y'/'a.wav')]*2
    with pytest.raises(ValueError, match='may both be a.wav'): segments_from_raven(path, file='a.wav')


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be'])
def test_encodings(folder, encoding):
    path = written(folder, *[o.replace('whit', 'café') for o in ROWS], encoding=encoding)
    assert [o[3] for o in read(path)] == ['café', 'trill']
    assert [o[3] for o in read(path, encoding=encoding)] == ['café', 'trill']


def test_encodings_of_one_byte(folder):
    path = written(folder, *[o.replace('whit', 'café – ö') for o in ROWS], encoding='cp1252')
    with pytest.warns(UserWarning, match='windows-1252'): assert segments_from_raven(path)['class'][0] == 'café – ö'
    assert read(written(folder, *[o.replace('whit', 'café') for o in ROWS], encoding='mac_roman'), encoding='mac_roman')[0][3] == 'café'
    with pytest.raises(ValueError, match='name its encoding'): segments_from_raven(path, encoding='utf-8')


def quoted(line, sep='\t'): return sep.join(o if o.replace('.', '').isdigit() else f'"{o}"' for o in line.split('\t'))


@pytest.mark.parametrize('sep', ['\t', ' ', ',', ';'])
@pytest.mark.parametrize('names', [False, True])
@pytest.mark.parametrize('mangled', [False, True])
def test_tables_of_R(folder, sep, names, mangled):
    "write.table and write.csv: quotes, names of rows (whose column has a header or none), names of columns without blanks"
    head = HEAD.translate(str.maketrans(' ()', '...')) if mangled else HEAD
    rows = [quoted(o, sep) for o in ROWS]
    if names: rows = [f'"{i}"{sep}{o}' for i, o in enumerate(rows, 1)]
    assert read(written(folder, *rows, head=quoted(head, sep))) == PLAIN
    if names: assert read(written(folder, *rows, head='""'+sep+quoted(head, sep))) == PLAIN


def test_quotes_within(folder):
    rows = [quoted(o) for o in ROWS]
    for q in '\\"', '""':
        assert read(written(folder, *[o.replace('whit', f'the {q}whit{q}') for o in rows], head=quoted(HEAD)))[0][3] == 'the "whit"'
    assert read(written(folder, *[o.replace('whit', 'the "whit" 5" long') for o in ROWS]))[0][3] == 'the "whit" 5" long'
    assert read(written(folder, *[o.replace('whit', '"the ""whit"", twice"') for o in ROWS]))[0][3] == 'the "whit", twice'       # a spreadsheet
    windows = [o.replace('a.wav', r'D:\rec\a.wav') for o in rows]
    assert read(written(folder, *windows, head=quoted(HEAD.replace('Begin File', 'Begin Path')))) == PLAIN


@pytest.mark.parametrize('label', ['Annotation', 'annotation', 'Species', 'Label', 'Common Name', 'Class'])
def test_columns_of_classes(folder, label): assert read(written(folder, *ROWS, head=HEAD.replace('Annotation', label))) == PLAIN


def test_columns_of_classes_that_must_be_named(folder):
    other = written(folder, *ROWS, head=HEAD.replace('Annotation', 'Vocalisation'))
    with pytest.raises(ValueError, match="no column 'Annotation'; it has .*'Vocalisation'"): segments_from_raven(other)
    assert read(other, label='Vocalisation') == read(other, label='vocalisation') == PLAIN
    two = written(folder, *[o+'\tjay' for o in ROWS], head=HEAD.replace('Annotation', 'Label')+'\tSpecies')
    with pytest.raises(ValueError, match="'Label', 'Species' may each hold the classes"): segments_from_raven(two)
    assert [o[3] for o in read(two, label='Species')] == ['jay', 'jay']
    assert read(written(folder, *[o+'\tjay' for o in ROWS], head=HEAD+'\tSpecies')) == PLAIN


def test_channel_is_read_alone(folder):
    rows = [o.replace('a.wav', 'c.wav').replace('1\tSpectrogram 1\t1', '1\tSpectrogram 1\t2') for o in ROWS]
    t = segments_from_raven(written(folder, *rows))
    assert t.channel.tolist() == [2, 1]
    waves = [LoadAudio(SR)(Segment.from_row(o)) for o in t.itertuples()]
    x = torch.from_numpy(sf.read(folder/'c.wav', dtype='float32')[0])
    assert torch.equal(waves[0][0], x[int(.1*SR):int(.6*SR), 1]) and torch.equal(waves[1][0], x[SR:int(1.5*SR), 0])
    assert LoadAudio(SR)(Segment(folder/'c.wav', .1, .6)).abs().max() == 0              # their mean is silence
    batch = DataBlock((AudioBlock(SR, .4), CategoryBlock), get_x=Segment.from_row, get_y=ColReader('class'), splitter=IndexSplitter([0])).dataloaders(t, bs=1, num_workers=0).one_batch()[0]
    assert batch.square().mean().sqrt() > .1
    with pytest.raises(AudioError, match='a.wav: channel 2 was asked for, the recording has 1'): LoadAudio(SR)(Segment(folder/'a.wav', .1, .6, 2))


def test_sequence_there_and_back(folder):
    "Several recordings in one table: Raven counts from the first, the file from its own beginning"
    found = pd.DataFrame({'file': [str(folder/'b.wav'), str(folder/'a.wav')], 'start': [.5, 1.], 'end': [.75, 2.], 'class': ['x', 'y'], 'probability': [.5, .9], 'channel': [1, 1], 'f_min': [100., 200.], 'f_max': [900., 1000.]})
    files = [folder/f'{o}.wav' for o in 'acb']
    path = to_raven(found, folder/'out.txt', files=files)
    lines = pd.read_csv(path, sep='\t')
    assert lines['Begin Time (s)'].tolist() == [6.5, 1.] and lines['File Offset (s)'].tolist() == [.5, 1.] and lines['End Time (s)'].tolist() == [6.75, 2.]
    back = segments_from_raven(path)
    pd.testing.assert_frame_equal(back, found[['file', 'start', 'end', 'class', 'channel', 'f_min', 'f_max']])
    assert read(path, file='a.wav') == [('a.wav', 1., 2., 'y')]
    assert to_audacity(found, folder/'out2.txt', files=files).read_text() == '6.500000\t6.750000\tx\n1.000000\t2.000000\ty\n'
    with pytest.raises(ValueError, match='not among the 2 files'): to_raven(found, path, files=files[:2])


@pytest.mark.parametrize('change, said', [
    (('Begin Time (s)', 'Start'), "no column 'Begin Time (s)'"), (('Begin File', 'Source'), "no column 'Begin File'"), (('\t0.1\t', '\t0,1\t'), "row 1, column 'Begin Time (s)': '0,1' is no number"),
    (('\t0.1\t', '\t\t'), "'' is no number"), (('\ttrill', '\ttrill\tmore'), 'row 2 has 10 columns, and the header 9'), (('500', 'low'), "'low' is no number"), (('2\tSpectrogram 1\t1\t1.0\t1.5\t700\t2500\ta.wav', '2\tSpectrogram 1\t1\t1.0\t1.5\t700\t2500\t'), 'row 2 names no recording')])
def test_what_is_missing_is_named(folder, change, said):
    path = written(folder)
    path.write_text('\n'.join([HEAD, *ROWS]).replace(*change))
    with pytest.raises(ValueError) as e: segments_from_raven(path)
    assert str(path) in str(e.value) and said in str(e.value), str(e.value)


def test_tables_of_nothing(folder):
    assert segments_from_raven(written(folder)).shape == (0, 7)
    for data in b'', b'\n\n':
        (folder/'empty.txt').write_bytes(data)
        with pytest.raises(ValueError, match='empty.txt: no table in it'): segments_from_raven(folder/'empty.txt')
    with pytest.raises(ValueError): segments_from_raven(folder/'a.wav')
    unnamed = written(folder, *[o.replace('\ta.wav', '') for o in ROWS], head=HEAD.replace('\tBegin File', ''))
    assert read(unnamed, file=folder/'b.wav') == [('b.wav', *o[1:]) for o in PLAIN]


def test_field_tables():
    root = data_path('field_audio', download=False)
    if root is None: pytest.skip('no field_audio on this machine')
    expected = pd.read_csv(root/'manifest.csv').set_index('path').expected
    for name in expected.index[expected.str.contains('segment')]:
        t = segments_from_raven(root/name)
        assert len(t) == int(expected[name].split()[0])
        for o in t.itertuples(): assert LoadAudio(16000)(Segment.from_row(o)).square().mean().sqrt() > .01
    assert len(segments_from_raven(root/'joined_tables.txt', file='a.wav')) == 2
    t = segments_from_raven(root/'channel_2.txt')
    assert t['class'].tolist() == ['café'] and LoadAudio(16000)(Segment.from_row(t.iloc[0])).square().mean().sqrt() > .1
