"""Pictures as cameras, editors and instruments leave them: what must happen is in the manifest of the data set odd_images, and here for small ones made on the spot."""
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.augment import RandomErasing
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from PIL import Image, ImageOps

from fastjpeg.datasets import data_path
from fastjpeg.jpeg.codec import decode
from fastjpeg.jpeg.dct import DctBlock, JpegError, read_coefs, verify_coefs
from fastjpeg.jpeg.learn import LearnQTables, UseJpeg
from fastjpeg.jpeg.qtables import QTables
from fastjpeg.jpeg.rate import nbytes, to_bytes
from fastjpeg.jpeg.transforms import check_bits, reencode
from fastjpeg.models import small_cnn
from fastjpeg.shrink import find_pictures, main_reencode, shrink

ODD = data_path('odd_images', download=False)
MANIFEST = [] if ODD is None else pd.read_csv(ODD/'manifest.csv').to_dict('records')


def photo(size=(48, 32), mode='RGB', seed=0):
    "Smooth colours with some grain"
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(30, 220, (5, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(small)+rng.normal(0, 3, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8)).convert(mode)


def pixels(file):
    with Image.open(file) as im: a = np.asarray(im)
    return torch.from_numpy(a.copy()).permute(2, 0, 1) if a.ndim == 3 else torch.from_numpy(a.copy())[None]


def one(tmp_path, im=None, name='x.png', data=None, **kw):
    "The row of the report of `reencode` for one file, and the new picture"
    (tmp_path/'in').mkdir(exist_ok=True)
    if data is not None: (tmp_path/'in'/name).write_bytes(data)
    else: im.save(tmp_path/'in'/name, **kw.pop('save', {}))
    row = reencode(tmp_path/'in', tmp_path/'out', progress=False, **kw).set_index('file').loc[name]
    return row, Image.open(tmp_path/'out'/row.new) if row.status == 'written' else None


def jpeg_bytes(im=None, **kw):
    (im or photo()).save(buf := io.BytesIO(), 'JPEG', **kw)
    return buf.getvalue()


def with_segments(data, *segments):
    "A JPEG file with segments (marker, content) behind its start"
    return data[:2]+b''.join(bytes([255, m])+struct.pack('>H', len(o)+2)+o for m, o in segments)+data[2:]


XMP = b'http://ns.adobe.com/xap/1.0/\0'
def xmp(side, form='tiff:Orientation="{}"'): return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '+form.format(side).encode()+b'/></x:xmpmeta>'


# ---- the data set

@pytest.mark.skipif(ODD is None, reason='needs the data set odd_images')
@pytest.mark.parametrize('row', MANIFEST, ids=lambda o: o['path'])
def test_manifest(row, tmp_path):
    f, tool, expected = ODD/row['path'], row['tool'], row['expected']
    if tool.startswith('read_coefs'):
        try: c = read_coefs(f)
        except JpegError as e:
            assert 'refusal' in expected and str(f) in str(e)
            assert verify_coefs([f], progress=False) == [f]
            return
        assert torch.equal(decode(c)[0], pixels(f))
        if 'to_bytes' in tool:
            data, = to_bytes(c)
            again = read_coefs(data)
            assert torch.equal(again.qtables, c.qtables) and torch.equal(again.luma, c.luma) and len(data) == nbytes(c).item()
            assert torch.equal(decode(c)[0], pixels(io.BytesIO(data)))
        return
    (tmp_path/'in'/'sub').mkdir(parents=True)
    shutil.copy(f, tmp_path/'in'/'sub')
    kw = dict(quality=100, subsampling='4:4:4') if 'quality=100' in tool else {}
    new = reencode(tmp_path/'in', tmp_path/'out', progress=False, **kw).iloc[0]
    if f.name == 'gray12.png':
        assert new.status == 'skipped' and 'levels of gray' in new.reason
        with pytest.raises(ValueError, match='cuts off at 255'): check_bits(f)
    elif f.name == 'mask.png':
        assert new.status == 'skipped' and 'mask of labels' in new.reason
        for o in ('mask.png', 'sub', 'sub/*', '*.png', Path('sub'), tmp_path/'in'/'sub'): assert list(reencode(tmp_path/'in', tmp_path/'out', leave_out=o, progress=False).status) == ['left out']
    else:
        assert new.status == 'written'
        with Image.open(f) as a, Image.open(tmp_path/'out'/new.new) as b:
            assert ImageOps.exif_transpose(a).size == ImageOps.exif_transpose(b).size and a.getexif().get(0x0112) == b.getexif().get(0x0112)


# ---- what a picture holds

@pytest.mark.parametrize('bits', [8, 10, 12, 14])
def test_few_bits_in_16(tmp_path, bits):
    a = np.random.default_rng(0).integers(0, 2**bits, (60, 50)).astype(np.uint16)
    for name in ('x.png', 'x.tif'):
        row, _ = one(tmp_path, Image.fromarray(a), name)
        assert row.status == 'skipped' and 'levels of gray' in row.reason
        with pytest.raises(ValueError, match='no pictures'): find_pictures(tmp_path/'in')
    a[3, 3] = 65535                                             # one dead pixel does not make a photo of it
    assert one(tmp_path, Image.fromarray(a), 'y.png')[0].status == 'skipped'


def test_full_range_of_16_bits(tmp_path):
    a = np.asarray(photo((64, 48), 'L')).astype(np.uint16)*257+np.random.default_rng(0).integers(-100, 100, (48, 64)).astype(np.uint16)
    row, im = one(tmp_path, Image.fromarray(a.astype(np.uint16)), quality=100)
    assert row.status == 'written' and np.abs(np.asarray(im)-a/257.).mean() < 2
    block = DataBlock((DctBlock(quality=50), CategoryBlock), get_y=lambda o: 'a', splitter=lambda o: ([0], [0]))
    with pytest.raises(ValueError, match='x.png has 16 bits'): block.dataloaders([tmp_path/'in'/'x.png'], bs=1, num_workers=0).one_batch()


def test_colours_of_12_bits_in_16(tmp_path):
    "A PNG of 48 bits a pixel, written by hand; Pillow keeps the higher half of each number"
    import zlib
    rng = np.random.default_rng(0)
    for name, top, status in (('low.png', 4096, 'skipped'), ('full.png', 65536, 'written')):
        rows = b''.join(b'\0'+o.astype('>u2').tobytes() for o in rng.integers(0, top, (20, 30, 3)))
        chunk = lambda kind, body: struct.pack('>I', len(body))+kind+body+struct.pack('>I', zlib.crc32(kind+body))
        data = b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', 30, 20, 16, 2, 0, 0, 0))+chunk(b'IDAT', zlib.compress(rows))+chunk(b'IEND', b'')
        assert one(tmp_path, name=name, data=data)[0].status == status


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'I;16'])
def test_masks(tmp_path, mode):
    a = np.zeros((60, 80), np.uint8)
    for i, n in enumerate((1, 7, 20) if mode != '1' else (1,)): a[10*i:30+10*i, 20*i:25+20*i] = n
    im = {'1': lambda: Image.fromarray(a > 0), 'P': lambda: Image.fromarray(a, 'L').convert('P'), 'I;16': lambda: Image.fromarray(a.astype(np.uint16)), 'L': lambda: Image.fromarray(a)}[mode]()
    assert im.mode == mode
    for name in ('m.png', 'm.tif'):
        row, _ = one(tmp_path, im, name)
        assert row.status == 'skipped' and ('mask of labels' in row.reason or 'levels' in row.reason)
    photo().save(tmp_path/'in'/'photo.png')
    r = reencode(tmp_path/'in', tmp_path/'out', leave_out=['m.*'], progress=False).set_index('file')
    assert r.status.to_dict() == {'m.png': 'left out', 'm.tif': 'left out', 'photo.png': 'written'} and r.reason['m.png'] == "leave_out='m.*'"
    row, _ = one(tmp_path, photo((40, 30), mode if mode in 'LP' else 'L'), 'gray.png')
    assert row.status == 'written'


def test_masks_of_colours_are_named(tmp_path):
    a = np.zeros((40, 40, 3), np.uint8); a[5:20, 5:20] = 0, 128, 64
    row, _ = one(tmp_path, Image.fromarray(a))
    assert row.status == 'written' and 'Few colours (2)' in row.reason


def test_stereo(tmp_path):
    left, right, small = photo(seed=1), photo(seed=2), photo((16, 12), seed=3)
    row, _ = one(tmp_path, left, 'stereo.mpo', save=dict(format='MPO', save_all=True, append_images=[right]))
    assert row.status == 'skipped' and '2 pictures of full size' in row.reason
    row, _ = one(tmp_path, left, 'cropped.mpo', save=dict(format='MPO', save_all=True, append_images=[right.crop((0, 0, 40, 30))]))
    assert row.status == 'skipped'
    (tmp_path/'in'/'small.mpo').write_bytes(b'')
    left.save(buf := io.BytesIO(), 'MPO', save_all=True, append_images=[small])
    data = buf.getvalue(); at = data.index(struct.pack('<LLL', 0, len(data)-data.rindex(b'\xff\xd8\xff'), data.rindex(b'\xff\xd8\xff')-data.index(b'MPF\0')-4))
    row, _ = one(tmp_path, name='small.mpo', data=data[:at]+struct.pack('<L', 0x020002)+data[at+4:])        # that it is one of two views is what it says
    assert row.status == 'skipped'
    row, im = one(tmp_path, left, 'preview.mpo', save=dict(format='MPO', save_all=True, append_images=[small]))
    assert row.status == 'written' and im.size == left.size and 'MPF' in row.reason


def test_noise(tmp_path):
    rng = np.random.default_rng(0)
    for mode, shape in (('RGB', (90, 130, 3)), ('L', (90, 130)), ('CMYK', (90, 130, 4))):
        a = rng.integers(0, 256, shape, dtype=np.uint8)
        im = Image.fromarray(a, mode)
        for qtables in (QTables.standard(100), QTables([1]*64, [1]*64), QTables.standard(95)):
            shutil.rmtree(tmp_path/'out', ignore_errors=True)
            row, new = one(tmp_path, im, 'n.tif', qtables=qtables, subsampling='4:4:4')
            assert row.status == 'written' and new.size == (130, 90)
            new.load()


def test_too_wide_and_too_many(tmp_path, monkeypatch):
    row, _ = one(tmp_path, Image.new('RGB', (65501, 3)), 'wide.png')
    assert row.status == 'skipped' and '65501 x 3 pixels, JPEG holds 65500' in row.reason
    photo((100, 80)).save(tmp_path/'in'/'x.png')
    for limit, status in ((3000, 'skipped'), (8001, 'written')):
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit//2)
        r = reencode(tmp_path/'in', tmp_path/f'{limit}', progress=False).set_index('file')
        assert r.status['x.png'] == status


# ---- what goes along

@pytest.mark.parametrize('side', range(1, 9))
def test_orientation(tmp_path, side):
    exif = Image.Exif(); exif[0x0112] = side
    long = exif.tobytes()+bytes(100)
    data = jpeg_bytes()
    files = {'exif.jpg': with_segments(data, (0xE1, exif.tobytes())), 'xmp.jpg': with_segments(data, (0xE1, XMP+xmp(side))), 'element.jpg': with_segments(data, (0xE1, XMP+xmp(side, 'a="b"><tiff:Orientation>{}</tiff:Orientation><b'))),
             'two.jpg': with_segments(data, (0xE1, long+bytes(60000)), (0xE1, b'Exif\0\0'+bytes(9000)))}
    (tmp_path/'in').mkdir()
    for k, v in files.items(): (tmp_path/'in'/k).write_bytes(v)
    for k in ('a.png', 'a.webp', 'a.tif'): photo().save(tmp_path/'in'/k, exif=exif)
    photo().save(tmp_path/'in'/'x.webp', xmp=xmp(side))
    r = reencode(tmp_path/'in', tmp_path/'out', progress=False)
    assert set(r.status) == {'written'} and len(r) == 8
    for o in r.itertuples():
        with Image.open(tmp_path/'in'/o.file) as a, Image.open(tmp_path/'out'/o.new) as b:
            assert o.file == 'a.tif' or a.getexif().get(0x0112) == b.getexif().get(0x0112) == side, o.file        # Pillow turns a TIFF as it loads it
            a.load()
            assert ImageOps.exif_transpose(a).size == ImageOps.exif_transpose(b).size


def test_what_is_kept_and_what_is_named(tmp_path):
    iptc = b'Photoshop 3.0\0'+b'8BIM\x04\x04\0\0'+struct.pack('>I', 12)+b'\x1c\x02\x78\0\x07caption'
    data = with_segments(jpeg_bytes(dpi=(300, 200), comment=b'mine', icc_profile=bytes(range(256))*600), (0xED, iptc), (0xE1, XMP+xmp(6)), (0xEB, b'JP\0\1jumb'), (0xEC, b'Ducky\0\1'))
    row, im = one(tmp_path, name='x.jpg', data=data)
    assert row.status == 'written' and row.reason == 'Dropped: APP11 JP'
    with Image.open(io.BytesIO(data)) as old:
        for k in ('dpi', 'comment', 'icc_profile', 'xmp', 'photoshop'): assert im.info[k] == old.info[k], k
    from PIL.PngImagePlugin import PngInfo
    text = PngInfo(); text.add_text('Title', 'A photo')
    row, im = one(tmp_path, photo(), 'x.png', save=dict(pnginfo=text, dpi=(120, 120), icc_profile=b'profile'))
    assert row.reason == 'Dropped: Title' and im.info['dpi'] == (120, 120) and im.info['icc_profile'] == b'profile'
    row, im = one(tmp_path, photo(), 'x.tif')
    assert row.reason == '' and 'dpi' not in im.info and 'exif' not in im.info


# ---- folders and names

def test_of_another_folder_or_another_time(tmp_path):
    for name, colour in (('train', 'red'), ('val', 'blue')):
        (tmp_path/name).mkdir()
        Image.new('RGB', (40, 40), colour).save(tmp_path/name/'1.jpg')
    r = lambda o='train', **kw: reencode(tmp_path/o, tmp_path/'small', progress=False, **kw)
    assert list(r().status) == ['written'] and list(r().status) == ['present']
    with pytest.raises(ValueError, match='of another folder'): r('val')
    with pytest.raises(ValueError, match='other settings'): r(quality=60)
    with pytest.raises(ValueError, match='other settings'): r(subsampling='4:4:4')
    with pytest.raises(ValueError, match='other settings'): r(qtables=QTables([9]*64, [9]*64))
    assert Image.open(tmp_path/'small'/'1.jpg').getpixel((20, 20))[0] > 200
    Image.new('RGB', (40, 40), 'lime').save(tmp_path/'train'/'1.jpg')                                # edited since
    assert list(r().status) == ['written'] and Image.open(tmp_path/'small'/'1.jpg').getpixel((20, 20))[1] > 200
    (tmp_path/'small'/'1.jpg').write_bytes(b'cut')                                                     # not what was written
    assert list(r().status) == ['written'] and Image.open(tmp_path/'small'/'1.jpg').size == (40, 40)


def test_a_name_that_another_file_takes(tmp_path):
    (tmp_path/'in').mkdir()
    get = lambda: {o.file: (o.new, o.status) for o in reencode(tmp_path/'in', tmp_path/'out', progress=False).itertuples()}
    colour = lambda n: Image.open(tmp_path/'out'/n).convert('RGB').getpixel((20, 20))
    photo((40, 40)).save(tmp_path/'in'/'x.png')
    assert get() == {'x.png': ('x.png.jpg', 'written')}
    Image.new('RGB', (40, 40), 'red').save(tmp_path/'in'/'x.png.jpg')
    assert get() == {'x.png': ('x.png.jpg.jpg', 'written'), 'x.png.jpg': ('x.png.jpg', 'written')} and colour('x.png.jpg')[0] > 240
    (tmp_path/'in'/'x.png.jpg').unlink()
    assert get() == {'x.png': ('x.png.jpg', 'written')} and colour('x.png.jpg')[0] < 240


def test_a_folder_in_the_way(tmp_path):
    (tmp_path/'in'/'x.png.jpg').mkdir(parents=True)
    photo().save(tmp_path/'in'/'x.png')
    photo().save(tmp_path/'in'/'x.png.jpg'/'y.jpg')
    photo().save(tmp_path/'in'/'z.jpg')
    for status in ('written', 'present'):
        r = reencode(tmp_path/'in', tmp_path/'out', progress=False).set_index('file')
        assert r.status.to_dict() == {'x.png': status, 'x.png.jpg/y.jpg': status, 'z.jpg': status} and (tmp_path/'out'/r.new['x.png']).is_file()
    (tmp_path/'out'/'z.jpg').unlink(); (tmp_path/'out'/'z.jpg').mkdir()                                # by somebody else
    r = reencode(tmp_path/'in', tmp_path/'out', progress=False).set_index('file')
    assert r.status['z.jpg'] == 'skipped' and 'IsADirectoryError' in r.reason['z.jpg'] and r.status['x.png'] == 'present'
    assert not list((tmp_path/'out').rglob('*.part'))


@pytest.mark.skipif(os.name != 'posix', reason='names of 255 bytes')
def test_long_names(tmp_path):
    (tmp_path/'in').mkdir()
    for n in (*range(243, 252), ): photo().save(tmp_path/'in'/('x'*n+'.jpg'))
    for o in ('字'*83+'.jpg', 'y'*249+'.png', 'ok.jpg'): photo().save(tmp_path/'in'/o)
    for again in range(2):
        r = reencode(tmp_path/'in', tmp_path/'out', progress=False).set_index('file')
        assert (r.status == ('present' if again else 'written')).sum() == 11 and list(r.index[r.status == 'skipped']) == ['y'*249+'.png'] and 'too long' in r.reason['y'*249+'.png']


@pytest.mark.skipif(sys.platform != 'linux', reason='names of any bytes')
def test_names_of_any_bytes(tmp_path, capsys):
    (tmp_path/'in').mkdir()
    photo().save(tmp_path/'in'/os.fsdecode(b'caf\xe9.png'), 'PNG')
    (tmp_path/'in'/os.fsdecode(b'\xff.png')).write_text('no picture')
    for status in ('written', 'present'):
        r = shrink(tmp_path/'in', tmp_path/'out', quality=50).set_index('file')
        assert r.status.to_dict() == {'caf\\udce9.png': status, '\\udcff.png': 'skipped'} and (tmp_path/'out'/os.fsdecode(b'caf\xe9.png.jpg')).is_file()
    with pytest.raises(ValueError, match='one class'): find_pictures(tmp_path/'in')
    assert 'left out' in capsys.readouterr().out


@pytest.mark.skipif(os.name != 'posix', reason='links')
def test_links(tmp_path):
    for o in ('store/cats/1.jpg', 'store/cats/2.jpg', 'in/dogs/3.jpg'):
        (tmp_path/o).parent.mkdir(parents=True, exist_ok=True)
        photo().save(tmp_path/o)
    for link, to in (('cats', tmp_path/'store'/'cats'), ('again', tmp_path/'store'/'cats'), ('dogs/up', '..'), ('dogs/self', '.'), ('gone.jpg', 'nowhere.jpg'), ('3.jpg', 'dogs/3.jpg')): (tmp_path/'in'/link).symlink_to(to)
    r = reencode(tmp_path/'in', tmp_path/'in'/'out', progress=False).set_index('file')
    assert set(r.index[r.status == 'written']) == {'again/1.jpg', 'again/2.jpg', 'dogs/3.jpg', '3.jpg'}
    assert set(r.index[r.status == 'left out']) == {'cats', 'dogs/up', 'dogs/self'} and set(r.index[r.status == 'skipped']) == {'gone.jpg'}
    with pytest.raises(SystemExit) as e: main_reencode(str(tmp_path/'in'), str(tmp_path/'other'))
    assert e.value.code == 1


def test_unreadable_folder(tmp_path, monkeypatch, capsys):
    (tmp_path/'in'/'closed').mkdir(parents=True)
    photo().save(tmp_path/'in'/'x.jpg')
    scandir = os.scandir
    def refuse(o):
        if Path(o).name == 'closed': raise PermissionError(13, 'Permission denied', str(o))
        return scandir(o)
    monkeypatch.setattr(os, 'scandir', refuse)
    r = reencode(tmp_path/'in', tmp_path/'out', progress=False).set_index('file')
    assert r.status.to_dict() == {'x.jpg': 'written', 'closed': 'skipped'} and 'PermissionError' in r.reason['closed']
    (tmp_path/'in'/'x.jpg').unlink()
    for o in ('a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'b/2.jpg'):
        (tmp_path/'in'/o).parent.mkdir(exist_ok=True)
        photo().save(tmp_path/'in'/o)
    (tmp_path/'in'/'b'/'up').symlink_to('..')
    files, labels = find_pictures(tmp_path/'in')
    assert len(files) == 4 and labels == list('aabb') and 'closed: PermissionError' in capsys.readouterr().out


# ---- the command

def test_exit_codes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)
    def code(dest, **kw):
        try: main_reencode(str(tmp_path/'in'), str(tmp_path/dest), **kw)
        except SystemExit as e: return e.code
        return 0
    (tmp_path/'in').mkdir()
    photo((100, 80)).save(tmp_path/'in'/'x.png')
    assert code('out') == 0
    (tmp_path/'in'/'cut.png').write_bytes((tmp_path/'in'/'x.png').read_bytes()[:500])
    capsys.readouterr()
    assert code('out') == 1
    said = capsys.readouterr().out
    assert 'skipped: cut.png' in said and '1 pictures in' in said and '1 files are not there' in said
    assert code('out', leave_out='cut.png,*.txt') == 0 and code('out', quality=30) == 2 and code('tiny', max_pixels=50) == 2
    assert 'DecompressionBombError' in capsys.readouterr().out and code('tiny', max_pixels=8000, leave_out='cut.png') == 0


def test_the_command(tmp_path):
    (tmp_path/'in'/'masks').mkdir(parents=True)
    photo((100, 80)).save(tmp_path/'in'/'x.png')
    Image.new('L', (9, 9)).save(tmp_path/'in'/'masks'/'x.png')
    (tmp_path/'run.py').write_text('from fastjpeg.shrink import main_reencode\nmain_reencode()')
    args = tmp_path/'in', '--dest', tmp_path/'out', '--leave-out', 'masks', '--max-pixels', '8000'
    res = subprocess.run([sys.executable, '-W', 'ignore', tmp_path/'run.py', *args], capture_output=True, text=True, timeout=120, env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent.parent)})
    assert res.returncode == 0 and "left out: masks/x.png (leave_out='masks')" in res.stdout, res.stdout+res.stderr


def test_files_that_grow(tmp_path, capsys):
    (tmp_path/'in').mkdir()
    for i in range(3): photo((200, 160), seed=i).save(tmp_path/'in'/f'{i}.jpg', quality=20)
    shrink(tmp_path/'in', tmp_path/'out', quality=98)
    said = capsys.readouterr().out
    assert 'times LARGER' in said and 'smaller' not in said and '3 of them have grown' in said


def test_tables_of_any_editor(tmp_path):
    q = QTables([7]*64, range(10, 74))
    (tmp_path/'in').mkdir()
    photo().save(tmp_path/'in'/'x.png')
    text = q.to_text()
    for i, data in enumerate((text.encode('utf-8-sig'), text.encode('utf-16'), text.replace(' ', ', ').encode(), text.replace('\n', '\r\n').encode(), q.to_json().encode(), json.dumps(json.loads(q.to_json()), indent=2).encode('utf-8-sig'),
                              str(q.to_pillow()).encode())):
        (tmp_path/'t').write_bytes(data)
        shrink(tmp_path/'in', tmp_path/f'{i}', qtables=tmp_path/'t')
        assert QTables.from_file(tmp_path/f'{i}'/'x.png.jpg') == q
    for data in (b'\xff\xfe\0', b'{"luma": 3}', b'{"luma": 3', b'1 2', bytes(range(256))):
        (tmp_path/'t').write_bytes(data)
        with pytest.raises(ValueError, match=str(tmp_path/'t')): shrink(tmp_path/'in', tmp_path/'no', qtables=tmp_path/'t')


# ---- learning

@pytest.mark.parametrize('make', [lambda: UseJpeg(QTables.standard(30)), lambda: LearnQTables(QTables.standard(30), rate_weight=.1)], ids=['UseJpeg', 'LearnQTables'])
def test_batches_that_leave_the_range(make):
    set_seed(0)
    block = DataBlock((ImageBlock, CategoryBlock), get_x=lambda i: np.array(photo((32, 32), seed=i)), get_y=lambda i: 'ab'[i % 2], splitter=lambda o: (range(12), range(12, 16)), batch_tfms=[Normalize.from_stats(*imagenet_stats, cuda=False), RandomErasing(p=1., sh=.5, max_count=3)])
    learn = Learner(block.dataloaders(list(range(16)), bs=4, num_workers=0), small_cnn(3, 2, (4, 8)), loss_func=CrossEntropyLossFlat(), cbs=make())
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert np.isfinite(learn.recorder.values[-1][0])
    x = learn.dls.one_batch()[0]
    other = Learner(learn.dls, small_cnn(3, 2, (4, 8)), loss_func=CrossEntropyLossFlat(), cbs=make())
    other.dls = learn.dls
    cb = next(o for o in other.cbs if isinstance(o, UseJpeg))
    assert (p := cb._pixels(x)).min() >= 0 and p.max() <= 1
    assert cb._pixels(x.bfloat16()).max() <= 1
    with pytest.raises(ValueError, match='normalised by something else'): cb._pixels(x*5)
