"""Notebooks to Markdown, from their saved outputs: plain Markdown as GitHub shows it, and MyST for the site."""
import base64
import hashlib
import re
from collections import Counter
from functools import cached_property
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from fastcore.xtras import clean_cli_output
from nbdev.config import get_config, nbpath2html
from nbdev.process import NBProcessor
from nbdev.processors import add_show_docs, clean_magics, filter_stream_, hide_, hide_line, mv_exports, rm_export

from tools.docs.showdoc import ImportLine, ShowDocs, doc_url

mimes = ['text/html', 'text/markdown', 'image/svg+xml', 'image/png', 'image/jpeg', 'text/latex', 'text/plain']     # the first that an output has is shown
suffixes = {'svg+xml': 'svg', 'jpeg': 'jpg', 'x-wav': 'wav', 'mpeg': 'mp3'}
fence_re = re.compile(r'(^ *```.*?^ *```[^\S\n]*$)', flags=re.M | re.S)
callout_re = re.compile(r'^(:{3,})\s*\{\.callout-(\w+)([^}\n]*)\}\n(.*?)\n\1[^\S\n]*$', flags=re.M | re.S)
symbol_re = re.compile(r'^#+ .*|\[[^\]\n]*\]\([^)\n]*\)|(?<!`)`([^`\s]+?)(?:\(\))?`(?!`)', flags=re.M)      # headings and links stay as they are
link_re = re.compile(r'(\]\(|^\[[^\]\n]+\]:\s*)([^)\s]+)', flags=re.M)
heading_re = re.compile(r'^#{1,6}\s+(.+?)\s*$', flags=re.M)
hidden_heading_re = re.compile(r'^#{1,6}\s.* -\s*$\n*', flags=re.M)        # for those who read the notebook: the symbol's own heading follows


def slug(heading):
    "The anchor of a heading: a single word keeps its dots, as `TensorAudio.create` does in nbdev's index; the rest is GitHub's rule"
    text = heading.lower().replace('`', '')
    return text if ' ' not in text else re.sub(r'[^\w\- ]', '', text).replace(' ', '-')


def outside_fences(func, md):
    "`func` applied to all of `md` but its fenced code"
    return ''.join(o if i % 2 else func(o) for i, o in enumerate(fence_re.split(md)))


def link_symbols(md, own):
    "Symbols in backticks linked to their documentation, wherever nbdev's indices say that it is; plain words only if they are among the headings `own` of the page, for they may be anything"
    def link(m):
        if not m[1] or (m[1].islower() and m[1].isalpha() and m[1] not in own): return m[0]
        url = doc_url(m[1])
        return f'[{m[0]}]({url})' if url else m[0]
    return symbol_re.sub(link, md)


def fenced(text, info='', options=''):
    "`text` in a fence longer than any in it"
    ticks = '`' * max(3, 1 + max(map(len, re.findall('`+', text)), default=0))
    return f'{ticks}{info}\n{options}{text.rstrip()}\n{ticks}'


def hide_cuda(cell):
    "Tests for a GPU, which show nothing"
    if 'cuda' in cell.directives_: del cell['source']


class Notebook:
    "A notebook as nbdev shows it: its directives obeyed, `show_doc` answered"
    def __init__(self, path):
        self.path, self.page = Path(path), nbpath2html(Path(path).name).stem
        procs = [add_show_docs, hide_line, filter_stream_, ShowDocs, ImportLine, rm_export, clean_magics, hide_, hide_cuda, mv_exports]
        self.cells = NBProcessor(path, procs=procs, process=True).nb.cells
        first = next(iter(self.cells), None)
        if not first or first.cell_type != 'markdown' or not first.source.startswith('# '): raise ValueError('the first cell must begin with "# Title"')

    @property
    def title(self): return heading_re.match(self.cells[0].source)[1]

    @property
    def lead(self):
        "The line after the title that begins with `>`: what the notebook is about"
        found = re.search(r'\A#[^\n]+\n+> *([^\n]+)', self.cells[0].source)
        return found[1] if found else ''

    @cached_property
    def anchors(self):
        "The anchors of all headings, by their text; of those that are equal but for capitals, the later ones are numbered"
        found, times = {}, Counter()
        for c in self.cells:
            if c.cell_type != 'markdown': continue
            for o in heading_re.findall(fence_re.sub('', hidden_heading_re.sub('', c.source))):
                found[o.replace('`', '')] = (a := slug(o)) + (f'-{times[a]}' if times[a] else '')
                times[a] += 1
        return found


class Markdown:
    "Writes one of `notebooks` as plain Markdown; links to other pages begin with `pages`, to images and sounds with `files`"
    lexer = 'python'

    def __init__(self, notebooks, media, pages='', files=''):
        self.notebooks, self.media, self.pages, self.files = {o.page: o for o in notebooks}, media, pages, files
        self.site = get_config().doc_url.rstrip('/') + '/'

    def convert(self, nb):
        "The Markdown of notebook `nb`"
        self.nb, self.n_figures = nb, 0
        blocks = [b for cell in nb.cells for b in (self.code(cell) if cell.cell_type == 'code' else [self.text(cell.source)])]
        return '\n\n'.join(o.strip('\n') for o in blocks if o.strip()) + '\n'

    def code(self, cell):
        "The code of a cell and its outputs, as far as its directives show them"
        flags = cell.directives_
        if flags.get('include') == 'false': return
        if flags.get('echo') != 'false' and cell.source.strip(): yield fenced(cell.source.strip(), self.lexer)
        if flags.get('output') == 'false': return
        for stdout, outs in groupby(cell.outputs, lambda o: o.output_type == 'stream' and o.name == 'stdout'):
            if stdout:                  # what is printed may come in pieces
                text = ''.join(o.text for o in outs)
                yield self.text(text) if flags.get('output') == 'asis' else self.output(text)
            else: yield from (self.data(o) for o in outs if 'data' in o)

    def data(self, out):
        "The best representation of a rich output"
        mime = next((o for o in mimes if o in out.data), None)
        if not mime: return ''
        value, kind = out.data[mime], mime.split('/')[1]
        if kind == 'markdown': return self.text(value)
        if kind == 'html': return self.html(value)
        if kind == 'latex': return f'$$\n{value.strip().strip("$").strip()}\n$$'
        if kind == 'plain': return self.output(value)
        raw = value.encode() if kind == 'svg+xml' else base64.b64decode(value)
        width = out.get('metadata', {}).get(mime, {}).get('width')        # figures of doubled resolution say how wide they want to be
        self.n_figures += 1
        alt = f'Figure {self.n_figures} of the page ' + re.sub('["`<>]', '', self.nb.title)
        src = self.file(raw, kind)
        return self.raw(self.figure(src, f'<img src="{src}" alt="{alt}"' + (f' width="{width}">' if width else '>')))

    def figure(self, src, img): return img

    def file(self, raw, kind):
        "The link to a file with the bytes `raw`, written next to the pages and named by its content"
        name = f'{self.nb.page}-{hashlib.sha1(raw).hexdigest()[:8]}.{suffixes.get(kind, kind)}'
        (self.media/'_files').mkdir(exist_ok=True, parents=True)
        (self.media/'_files'/name).write_bytes(raw)
        return f'{self.files}_files/{name}'

    def html(self, html):
        "Saved HTML without its styles and scripts, which the site has for all pages, and with embedded sounds and images as files"
        html = re.sub(r'<(style|script)\b.*?</\1>', '', html, flags=re.S)
        html = re.sub(r'data:\w+/([\w+-]+);base64,([\w+/=\s]+)', lambda m: self.file(base64.b64decode(m[2]), m[1]), html)
        return self.raw(dedent('\n'.join(o for o in html.splitlines() if o.strip()))) if html.strip() else ''

    def text(self, md):
        "Markdown of the author's, with its callouts and links rewritten"
        md = callout_re.sub(lambda m: self.callout(m[2], *self.callout_title(m[3], m[4])), hidden_heading_re.sub('', md))
        return outside_fences(lambda o: link_re.sub(lambda m: m[1] + self.link(m[2]), link_symbols(o, self.nb.anchors)), md)

    def callout_title(self, attributes, body):
        "Title and body of a callout; the title is an attribute or a heading in the first line"
        if named := re.search(r'title="([^"]*)"', attributes): return named[1], body
        if heading := re.match(r'\s*#+\s+(.+)\n', body): return heading[1], body[heading.end():]
        return '', body

    def link(self, target):
        "Where a link that the author wrote leads in this format"
        path, _, anchor = target.partition('#')
        if not path: return f'#{anchor.lower()}'
        if path.endswith('.ipynb'): return self.href(nbpath2html(path).stem, anchor.lower())
        if target.startswith(self.site): return self.symbol(path.removeprefix(self.site).removesuffix('.html') or 'index', anchor)
        if re.search(r'\.(png|jpe?g|svg|gif)$', path) and '://' not in path: return self.image(path)
        return target

    def symbol(self, page, anchor):
        "A link that nbdev made: to the method if it is on the page, else to its class, else to the page"
        anchors = self.notebooks[page].anchors if page in self.notebooks else {}
        while page in self.notebooks and anchor and anchor not in anchors: anchor = anchor.rpartition('.')[0]
        return self.href(page, anchors.get(anchor, anchor))

    def href(self, page, anchor): return f'{self.pages}{page}.html' + (f'#{anchor}' if anchor else '')

    def image(self, path): return f'{self.files}_images/{Path(path).name}'      # where Sphinx puts it

    def raw(self, html): return html

    def output(self, text): return fenced(clean_cli_output(text), 'text') if text.strip() else ''

    def callout(self, kind, title, body):
        lines = [f'[!{kind.upper()}]', *([f'**{title}**', ''] if title else []), *body.strip().splitlines()]
        return '\n'.join(f'> {o}'.rstrip() for o in lines)


class Readme(Markdown):
    "Markdown for GitHub's front page, where players do not work"
    def html(self, html): return re.sub(r'<audio.*?src="([^"]+)".*?</audio>', r'<a href="\1">Listen</a>', super().html(html), flags=re.S)


class Myst(Markdown):
    "Writes Markdown for Sphinx, which checks the links"
    lexer = 'ipython3'

    def href(self, page, anchor): return f'{page}.md' + (f'#{anchor}' if anchor else '')

    def image(self, path): return path

    def figure(self, src, img): return f'<a href="{src}">{img}</a>'      # on a phone, the way to see it large

    def raw(self, html): return fenced(f'<div class="output">\n{html}\n</div>', '{raw} html')

    def output(self, text): return fenced(clean_cli_output(text), '{code-block} text', ':class: output\n\n') if text.strip() else ''

    def callout(self, kind, title, body): return f'::::::{{admonition}} {title or kind.capitalize()}\n:class: {kind}\n\n{body.strip()}\n::::::'

    def text(self, md):
        md = re.sub(r'^\[source\]\((\S+)\)$', r'[source](\1){.source}', super().text(md), flags=re.M)
        return re.sub(r'\A(#[^\n]+\n+)>', r'\1{.lead}\n>', md)
