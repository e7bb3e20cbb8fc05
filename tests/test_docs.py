"""What the site makes of a notebook; the build checks its links itself, here is what could go wrong in silence."""
import base64
import json

import pytest

pytest.importorskip('sphinx')
from tools.docs.nb2md import Markdown, Myst, Notebook                                   # noqa: E402
from tools.docs.showdoc import show_doc                                                 # noqa: E402

sound = base64.b64encode(b'RIFF').decode()
outputs = [
    dict(output_type='stream', name='stderr', text='a warning'),
    dict(output_type='stream', name='stdout', text='10%\r\x1b[31m100%\x1b[0m\n'),
    dict(output_type='display_data', metadata={}, data={'text/html': f'<style>p {{}}</style><audio src="data:audio/wav;base64,{sound}"></audio>'})]


def cell(source, outputs=(), kind='code'):
    return dict(cell_type=kind, metadata={}, source=source, **(dict(outputs=list(outputs), execution_count=None) if kind == 'code' else {}))


@pytest.fixture
def notebook(tmp_path):
    "A notebook of one cell of each kind"
    cells = [cell('# Title\n\n> Lead', kind='markdown'),
             cell('See [x](10_audio.core.ipynb#TensorAudio.create), `torch.stft`.\n\n::: {.callout-note}\n## Mind\nthe gap\n:::', kind='markdown'),
             cell('## hidden -', kind='markdown'), cell('### hidden too -\n\nbut not this', kind='markdown'), cell('#| hide\nsecret = 1'), cell('#| cuda\nsecret = 2'), cell('#| data: fsdd\nshown = 1', outputs),
             cell('#| echo: false\nunseen = 1'), cell('#| output: false\nsilent = 1', outputs)]
    (tmp_path/'50_tutorial.x.ipynb').write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))
    return Notebook(tmp_path/'50_tutorial.x.ipynb')


def test_markdown(notebook, tmp_path):
    md = Markdown([notebook], tmp_path, pages='https://x/').convert(notebook)
    assert (notebook.page, notebook.title, notebook.lead) == ('tutorial.x', 'Title', 'Lead')
    for o in ('(https://x/audio.core.html#tensoraudio.create)', '[`torch.stft`](https://', '> [!NOTE]\n> **Mind**', '```python\nshown = 1',
              '```text\n100%\n```', 'silent', 'but not this'): assert o in md
    for o in ('secret', 'hidden', 'unseen', 'a warning', '#|', '10%\r', 'style', 'base64'): assert o not in md
    file, = (tmp_path/'_files').iterdir()
    assert file.read_bytes() == b'RIFF' and f'src="_files/{file.name}"' in md


def test_myst(notebook, tmp_path):
    md = Myst([notebook], tmp_path).convert(notebook)
    for o in ('{.lead}\n> Lead', '(audio.core.md#tensoraudio.create)', '{admonition} Mind\n:class: note', '```{raw} html'): assert o in md


def test_show_doc():
    def scale(x:list, # Values
              q:'float|None'=None, # Divisor
              *args) -> list: # Values / `q`
        "Divides"
    md = show_doc(scale, name='scale')
    assert '### scale' in md and "scale(x:list, q:float|None=None, *args) -> list" in md
    assert "| <code>x</code> | `list` |  | Values |" in md and '| **Returns** | `list` |  | Values / `q` |' in md


def test_show_doc_of_properties(): # no brackets, for they are not called
    class Scale:
        @property
        def q(self)->int: # Of all rows
            "What it divides by"
        @property
        def bare(self): "Nothing is known of it"
    md = show_doc(Scale.q, name='Scale.q')
    assert '```python\nScale.q -> int\n```' in md and 'What it divides by' in md and '| **Returns** | `int` | Of all rows |' in md
    assert '```python\nScale.bare\n```' in show_doc(Scale.bare, name='Scale.bare')
    from fastai.learner import Learner
    import fastjpeg.jpeg.learn      # noqa: F401    it adds the property
    assert '```python\nLearner.qtables -> QTables\n```' in show_doc(Learner.qtables)
